"""Who counts as a neighbour: the nearest few, all within a distance, those that share a border, or lattice steps."""

import abc
import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from tusi.data import Atoms, Lattice, NeighborGraph
from tusi.data.flags import UNUSABLE, has
from tusi.errors import InputError
from tusi.structure.neighbourhoods.steps import Step, by_steps, nearest_steps
from tusi.structure.neighbourhoods.tessellation import tessellate

LONGEST = 2.0
"""Links over this many times the median link span a hole or the outside of the window, not a bond."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeighbourRule(abc.ABC):
    """How the neighbours of atoms are chosen; `find_neighbours` applies it to each image and frame by itself.

    A rule of one's own is a frozen dataclass with the method `links`.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class NextInTable(NeighbourRule):
    ...     def links(self, position):
    ...         return np.stack([np.arange(len(position) - 1), np.arange(1, len(position))], axis=1)
    >>> graph = find_neighbours(Atoms.at(np.zeros((3, 2)), length_unit="pixel"), rule=NextInTable())
    >>> graph.rule, graph.degree.tolist()
    ('NextInTable()', [1, 1, 0])
    """

    @abc.abstractmethod
    def links(self, position: Float[np.ndarray, "atom 2"]) -> Int[np.ndarray, "link 2"]:
        """Return rows (atom, neighbour) of the finite positions of one frame, each link in every direction it holds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nearest(NeighbourRule):
    """The nearest few atoms, nearest first; the relation need not be symmetric.

    Attributes
    ----------
    count
        How many; an atom has fewer where the frame has.

    Examples
    --------
    >>> atoms = Atoms.at(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), length_unit="pixel")
    >>> find_neighbours(atoms, rule=Nearest(count=1)).neighbour.tolist()
    [1, 0, 1]
    """

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError("count", expected="at least 1", got=str(self.count))

    def links(self, position: Float[np.ndarray, "atom 2"]) -> Int[np.ndarray, "link 2"]:
        """Return the nearest atoms of each atom, nearest first."""
        count = min(self.count, len(position) - 1)
        if count < 1:
            return _no_links()
        nearest = cKDTree(position).query(position, k=count + 1)[1]
        atom = np.arange(len(position))[:, None]
        itself = nearest == atom
        itself[~itself.any(axis=1), -1] = True
        return np.stack([np.repeat(atom[:, 0], count), nearest[~itself]], axis=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Within(NeighbourRule):
    """All atoms within a distance.

    Attributes
    ----------
    cutoff
        The distance, in the length unit of the atoms.

    Examples
    --------
    >>> atoms = Atoms.at(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), length_unit="pixel")
    >>> find_neighbours(atoms, rule=Within(cutoff=1.5)).degree.tolist()
    [1, 1, 0]
    """

    cutoff: float

    def __post_init__(self) -> None:
        if not 0 < self.cutoff < np.inf:
            raise InputError("cutoff", expected="a positive length", got=str(self.cutoff))

    def links(self, position: Float[np.ndarray, "atom 2"]) -> Int[np.ndarray, "link 2"]:
        """Return all pairs within the distance, both ways."""
        if len(position) < 2:
            return _no_links()
        return _both_ways(cKDTree(position).query_pairs(self.cutoff, output_type="ndarray"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delaunay(NeighbourRule):
    """Atoms joined by an edge of the Delaunay triangulation; along a line, the atoms next to each other.

    Attributes
    ----------
    longest
        Longest edge kept, in units of the median edge: triangles along the border and across holes have longer ones.

    Examples
    --------
    >>> y, x = np.mgrid[:5, :5] + 0.5 * np.arange(5)[:, None] * np.array([0, 1])[:, None, None]
    >>> atoms = Atoms.at(np.stack([y.ravel() * 0.866, x.ravel()], axis=1), length_unit="pixel")
    >>> int(find_neighbours(atoms, rule=Delaunay()).degree[12])
    6
    """

    longest: float = LONGEST

    def __post_init__(self) -> None:
        if not self.longest > 0:
            raise InputError("longest", expected="a positive multiple of the median edge", got=str(self.longest))

    def links(self, position: Float[np.ndarray, "atom 2"]) -> Int[np.ndarray, "link 2"]:
        """Return the short edges of the triangulation, both ways."""
        edges = tessellate(position)
        return _both_ways(edges.pair[_short(edges.length, self.longest)])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Voronoi(NeighbourRule):
    """Atoms whose Voronoi cells share a border that is not a mere corner: four on a square lattice, not six or eight.

    Attributes
    ----------
    least_edge
        Shortest border that counts, in units of the distance between the two atoms: it is 1 on a square lattice and
        0.58 on a triangular one.
    longest
        Longest link kept, in units of the median link.

    Examples
    --------
    >>> y, x = np.mgrid[:5, :5] + 0.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="pixel")
    >>> int(find_neighbours(atoms, rule=Voronoi()).degree[12])
    4
    """

    least_edge: float = 0.2
    longest: float = LONGEST

    def __post_init__(self) -> None:
        if not self.least_edge >= 0:
            raise InputError("least_edge", expected="0 or a positive ratio", got=str(self.least_edge))
        if not self.longest > 0:
            raise InputError("longest", expected="a positive multiple of the median link", got=str(self.longest))

    def links(self, position: Float[np.ndarray, "atom 2"]) -> Int[np.ndarray, "link 2"]:
        """Return the pairs of cells that share a border, both ways."""
        edges = tessellate(position)
        shared = edges.border >= self.least_edge * edges.length
        pair, length = edges.pair[shared], edges.length[shared]
        return _both_ways(pair[_short(length, self.longest)])


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatticeSteps(NeighbourRule):
    """Atoms a few steps away in a registered lattice, counted, not measured: distortion and dimerisation change none.

    Attributes
    ----------
    lattice
        The lattice that the atoms were registered to.
    steps
        (rows, columns) to a site of the same kind, or (rows, columns, basis site of the neighbour). `None` takes
        `nearest_steps` of each basis site.
    basis_site
        Kind of the sites whose neighbours are wanted; `None` for all.

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:5, :5] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=np.ones(25))
    >>> rule = LatticeSteps(lattice=register_lattice(atoms), steps=((0, 1), (0, -1)))
    >>> rule, find_neighbours(atoms, rule=rule).of(12).tolist()
    (LatticeSteps(steps=((0, 1), (0, -1)), basis_site=None), [13, 11])
    """

    lattice: Lattice = dataclasses.field(repr=False)
    steps: tuple[Step, ...] | None = None
    basis_site: int | None = None

    def links(self, position: Float[np.ndarray, "atom 2"]) -> Int[np.ndarray, "link 2"]:
        """Return the filled sites that the steps lead to; the positions only tell how many atoms there are."""
        lattice = self.lattice
        if len(lattice) and lattice.atom.max() >= len(position):
            raise InputError("lattice", expected="the lattice of these atoms", got="one that refers to more atoms")
        kinds = np.unique(lattice.index[:, 2]) if self.basis_site is None else [self.basis_site]
        links = [_no_links()]
        for kind in kinds:
            steps = self.steps if self.steps is not None else nearest_steps(lattice, basis_site=int(kind))
            centre, neighbour = by_steps(lattice, steps, basis_site=int(kind))
            atom = np.where(neighbour >= 0, lattice.atom[neighbour], -1)
            owner = np.broadcast_to(lattice.atom[centre][:, None], atom.shape)
            filled = (atom >= 0) & (owner >= 0)
            links.append(np.stack([owner[filled], atom[filled]], axis=1))
        return np.concatenate(links)


def find_neighbours(atoms: Atoms, *, rule: NeighbourRule) -> NeighborGraph:
    """Return the neighbours of every atom by a rule.

    Atoms flagged unusable (not converged, unlikely, failed) and atoms without a finite position have no neighbours and
    are nobody's. Atoms of different images or frames are never neighbours.

    Parameters
    ----------
    atoms
        The atoms.
    rule
        `Nearest`, `Within`, `Delaunay`, `Voronoi`, `LatticeSteps` or a rule of your own.

    Returns
    -------
    NeighborGraph
        One row for each of `atoms`, in their order; `rule` as its own words.

    Raises
    ------
    InputError
        `LatticeSteps` is given atoms of several images, or atoms that the lattice was not registered to.

    Examples
    --------
    >>> atoms = Atoms.at(np.array([[0.0, 0.0], [0.0, 1.0], [np.nan, 3.0], [0.0, 2.5]]), length_unit="pixel")
    >>> graph = find_neighbours(atoms, rule=Nearest(count=2))
    >>> graph.of(0).tolist(), graph.of(2).tolist(), graph.rule
    ([1, 3], [], 'Nearest(count=2)')
    """
    usable = usable_atoms(atoms)
    if isinstance(rule, LatticeSteps):
        _one_frame(atoms)
        links = rule.links(atoms.position)
        links = links[usable[links].all(axis=1)]
    else:
        frames = np.unique(np.stack([atoms.image, atoms.frame], axis=1)[usable], axis=0)
        found = [_no_links()]
        for image, frame in frames:
            rows = np.flatnonzero(usable & (atoms.image == image) & (atoms.frame == frame))
            found.append(rows[rule.links(atoms.position[rows])])
        links = np.concatenate(found)
    order = np.argsort(links[:, 0], kind="stable")
    degree = np.bincount(links[:, 0], minlength=len(atoms))
    start = np.concatenate([[0], np.cumsum(degree)])
    return NeighborGraph(start=start, neighbour=links[order, 1], rule=repr(rule))


def usable_atoms(atoms: Atoms) -> Bool[np.ndarray, " atom"]:
    """Return which atoms have a finite position and no flag that bars them from later stages.

    Examples
    --------
    >>> usable_atoms(Atoms.at(np.array([[0.0, 0.0], [np.nan, 1.0]]), length_unit="pixel")).tolist()
    [True, False]
    """
    return ~has(atoms.flags, UNUSABLE) & np.isfinite(atoms.position).all(axis=1)


def _one_frame(atoms: Atoms) -> None:
    if len(atoms) and (np.ptp(atoms.image) or np.ptp(atoms.frame)):
        raise InputError("atoms", expected="atoms of one image and frame, as a lattice has", got="several")


def _no_links() -> Int[np.ndarray, "0 2"]:
    return np.empty((0, 2), np.int64)


def _both_ways(pair: Int[np.ndarray, "pair 2"]) -> Int[np.ndarray, "link 2"]:
    return np.concatenate([pair, pair[:, ::-1]])


def _short(length: Float[np.ndarray, " edge"], longest: float) -> Bool[np.ndarray, " edge"]:
    return length <= longest * np.median(length) if len(length) else np.empty(0, bool)
