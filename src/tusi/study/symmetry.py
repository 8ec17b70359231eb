"""Which plane group the crystal of an image has, window by window, and which groups its windows cannot tell apart."""

import dataclasses
import functools
import itertools
from collections import Counter
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from tusi.data import Atoms, Descriptors, Lattice
from tusi.data.record import array_fields
from tusi.errors import InputError
from tusi.structure.symmetry import (
    PLANE_GROUPS,
    SlidingCells,
    SymmetryPrior,
    identify_group,
    map_symmetry,
    plane_group,
)
from tusi.study.capture import captured
from tusi.study.options import SCAN_ERROR

SMALLEST_WINDOW, LARGER_WINDOW = 6, 8
"""Cells along each side of a window; the larger one where cells are taken four at a time."""

MOST_WINDOWS = {2: 25, 4: 9, 12: 4}
"""Windows of an image by the number of sites in the averaged cell, up to which each entry holds."""

FILLED = 0.75
"""Share of the cells that lie in windows, about: the others stand along the border."""

MOST_SITES, MOST_SITES_DOUBLED = 12, 2
"""Sites in a cell beyond which no symmetry is looked for, and beyond which no doubled cell is."""

CREDIBLE = 0.95
"""Probability of the groups that are named together."""

UNTOLD = 0.1
"""Nats below which the windows told nothing beyond the prior."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SymmetryMap:
    """Probability of each plane group in windows over one image.

    Attributes
    ----------
    table
        One row for each window: probability of each group, `information` in nats, `smaller_cell`.
    window
        Cells along the two lattice vectors of a window.
    supercell
        Cells that were taken as one.
    n_sites
        Sites in the averaged cell.
    n_kinds
        Kinds of columns, told apart by their brightness.
    scan_error
        Standard deviation of each component of the affine distortion that the scan may have.
    notes
        What could not be had, and warnings.
    """

    format_name: ClassVar[str] = "symmetry-map"

    table: Descriptors
    window: tuple[int, int]
    supercell: tuple[int, int]
    n_sites: int
    n_kinds: int
    scan_error: float
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    @property
    def most_probable(self) -> dict[str, int]:
        """How many windows each group is the most probable one of, the most frequent first."""
        return dict(Counter(window[0] for window in self._credible).most_common())

    @property
    def n_decided(self) -> int:
        """Windows in which one group has 95 % or more."""
        return sum(len(window) == 1 for window in self._credible)

    def rivals(self, group: str) -> tuple[str, ...]:
        """Return the groups that a group is not told from where it is the most probable one, the likeliest first.

        Parameters
        ----------
        group
            A plane group.
        """
        found = Counter(name for window in self._credible if window[0] == group for name in window[1:])
        return tuple(name for name, _ in found.most_common())

    @property
    def verdict(self) -> tuple[str, ...]:
        """What was found, in sentences; what was not told apart is named."""
        windows = self.most_probable
        if not windows:
            return ("No window in which a plane group could be told.",)
        (best, often), *others = windows.items()
        more = "".join(f", {name} in {number}" for name, number in others)
        number = sum(windows.values())
        decided = {0: "none", number: "all"}.get(self.n_decided, str(self.n_decided))
        sentences = [
            f"{best} is the most probable group in {often} of {number} windows{more}; decided at 95 %: {decided}"
        ]
        if self.rivals(best):
            sentences.append(f"{best} is not told from {_related(best, self.rivals(best))}")
        if float(np.nanmedian(self.table.column("information"))) < UNTOLD:
            sentences.append("The windows say next to nothing: these are the probabilities before the data")
        if self.supercell != (1, 1):
            smaller = float(np.nanmean(self.table.column("smaller_cell")))
            sentences.append(
                f"Cells were taken {self.supercell[0]} x {self.supercell[1]} at a time, because of displacements of "
                f"period two; with probability {smaller:.2f} the true cell is smaller"
            )
        return tuple(f"{sentence}." for sentence in sentences)

    @property
    def _credible(self) -> list[tuple[str, ...]]:
        """The fewest groups that hold 95 % of each window that some structure explains, the most probable first."""
        values = self.table.select(PLANE_GROUPS).value
        found = []
        for probability in values[np.isfinite(values).all(axis=1)]:
            order = np.argsort(-probability, kind="stable")
            number = int(np.searchsorted(np.cumsum(probability[order]), CREDIBLE)) + 1
            found.append(tuple(PLANE_GROUPS[k] for k in order[:number].tolist()))
        return found


def symmetry_of(
    atoms: Atoms, lattice: Lattice, *, doubled: bool = False, scan_error: float = SCAN_ERROR
) -> SymmetryMap:
    """Return the probability of each plane group in windows that cover an image.

    Windows of six cells a side lie side by side, half over each other where there are few, and are larger where there
    would be many, so that the time does not grow with the image. Columns of one cell are of different kinds where their
    typical intensities differ by more than these scatter; which species an alloy has where does not count, since
    random occupation has the symmetry of the average. Positions alone decide the rest, lattice vectors only as far as
    the scan is known.

    Parameters
    ----------
    atoms
        Atoms of one image, with covariances.
    lattice
        The lattice that `atoms` was registered to.
    doubled
        Whether 2 x 2 cells are taken as one, to see structures with a doubled cell.
    scan_error
        Standard deviation of each component of an unknown affine distortion of the scan: 0.02 for lengths and angles
        that are known to two per cent.

    Returns
    -------
    SymmetryMap
        Empty, with notes, where the data bear no window.

    Raises
    ------
    InputError
        The scan error is not a number of 0 or more.

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:12, :12] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom")
    >>> symmetry_of(atoms, register_lattice(atoms), scan_error=0.0).verdict[0]
    'p4m is the most probable group in 9 of 9 windows; decided at 95 %: all.'
    """
    if not 0 <= scan_error < 1:
        raise InputError("scan_error", expected="a number from 0 to 1", got=str(scan_error))
    kind = kinds_of_sites(atoms, lattice)
    supercell = (2, 2) if doubled and len(kind) <= MOST_SITES_DOUBLED else (1, 1)
    n_sites = len(kind) * supercell[0] * supercell[1]
    notes: list[str] = []
    tables, window = [], SlidingCells()
    if not len(kind) or n_sites > MOST_SITES:
        notes.append(f"a cell of {n_sites} sites: symmetry is looked for in cells of 1 to {MOST_SITES}")
    else:
        window = _window(lattice, n_sites, supercell, scan_error)
        marked = _with_kinds(atoms, lattice, kind)
        prior = SymmetryPrior(larger_cell=0.0 if supercell == (1, 1) else 0.5)
        for domain in range(len(lattice.vectors)):
            call = functools.partial(map_symmetry, marked, lattice, window=window, prior=prior, domain=domain)
            found = captured(call)
            notes += [text for _, text in found.warnings] + ([found.error] if found.error else [])
            tables += [found.value] if found.value is not None else []
    if not any(len(table) for table in tables) and not notes:
        notes.append(f"no window of {window.shape[0]} x {window.shape[1]} cells is filled")
    return SymmetryMap(
        table=_stacked(tables, lattice),
        window=window.shape,
        supercell=supercell,
        n_sites=n_sites,
        n_kinds=len(np.unique(kind)),
        scan_error=scan_error,
        notes=tuple(dict.fromkeys(notes)),
    )


def kinds_of_sites(atoms: Atoms, lattice: Lattice) -> Int[np.ndarray, " basis"]:
    """Return the kind of each site of the cell: alike are sites whose typical intensities lie within their scatter.

    Parameters
    ----------
    atoms
        Atoms of one image.
    lattice
        Their lattice.

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:8, :8] * 3.0
    >>> corner = np.stack([y.ravel(), x.ravel()], axis=1)
    >>> both, bright = np.concatenate([corner, corner + 1.5]), np.repeat([3.0, 1.0], 64)
    >>> atoms = Atoms.at(both, length_unit="angstrom", intensity=bright)
    >>> kinds_of_sites(atoms, register_lattice(atoms)).tolist()
    [0, 1]
    """
    centre, scatter = np.full((2, len(lattice.basis)), np.nan)
    for site in range(len(lattice.basis)):
        intensity = atoms.intensity[lattice.atom[(lattice.index[:, 2] == site) & (lattice.atom >= 0)]]
        intensity = intensity[np.isfinite(intensity)]
        if len(intensity):
            centre[site] = np.median(intensity)
            scatter[site] = 1.4826 * np.median(np.abs(intensity - centre[site]))
    kind = np.arange(len(centre))
    for site, other in itertools.combinations(range(len(centre)), 2):
        if not abs(centre[site] - centre[other]) > np.hypot(scatter[site], scatter[other]):
            kind[kind == kind[other]] = kind[site]
    return np.unique(kind, return_inverse=True)[1]


@functools.cache
def subgroup_names(name: str) -> frozenset[str]:
    """Return the names of the plane groups that keep some operations of a group and all of its translations.

    Parameters
    ----------
    name
        Short symbol.

    Examples
    --------
    >>> sorted(subgroup_names("p4g"))
    ['cm', 'cmm', 'p1', 'p2', 'p4', 'pg', 'pgg']
    """
    group = plane_group(name)
    found = {"p1"}
    for pair in itertools.combinations_with_replacement(range(group.order), 2):
        members = set(pair)
        while True:
            products = {_product(group.rotation, i, j) for i in members for j in members}
            if products <= members:
                break
            members |= products
        rows = sorted(members)
        found.add(identify_group(group.rotation[rows], group.translation[rows]))
    return frozenset(found - {name})


def _product(rotation: Int[np.ndarray, "operation 2 2"], first: int, second: int) -> int:
    """Return which operation two others compose to; rotations name the operations of a primitive cell."""
    return int((rotation == rotation[first] @ rotation[second]).all(axis=(1, 2)).argmax())


def _related(group: str, rivals: tuple[str, ...]) -> str:
    """Name the rivals of a group by how they are related to it."""
    below = [name for name in rivals if name in subgroup_names(group)]
    above = [name for name in rivals if group in subgroup_names(name)]
    rest = [name for name in rivals if name not in (*below, *above)]
    parts = [
        f"{what}{'s' * (len(names) > 1)} {', '.join(names)}"
        for what, names in (("its subgroup", below), ("its supergroup", above))
        if names
    ]
    return "; ".join([*parts, *([", ".join(rest)] if rest else [])])


def _window(lattice: Lattice, n_sites: int, supercell: tuple[int, int], scan_error: float) -> SlidingCells:
    """Return windows that cover the lattice without being too many."""
    most = next(number for limit, number in MOST_WINDOWS.items() if n_sites <= limit)
    n_cells = len(np.unique(np.column_stack([lattice.domain, lattice.index[:, :2]]), axis=0))
    smallest = SMALLEST_WINDOW if supercell == (1, 1) else LARGER_WINDOW
    side = max(smallest, int(np.ceil(np.sqrt(FILLED * n_cells / most) / supercell[0])) * supercell[0])
    crowded = FILLED * n_cells > most * (side / 2) ** 2
    step = side if crowded else max(side // 2 // supercell[0], 1) * supercell[0]
    return SlidingCells(shape=(side, side), step=(step, step), supercell=supercell, scan_error=scan_error)


def _with_kinds(atoms: Atoms, lattice: Lattice, kind: Int[np.ndarray, " basis"]) -> Atoms:
    """Return the atoms with the kind of their site in the place of the species."""
    n_kinds = int(kind.max()) + 1
    probability = np.full((len(atoms), n_kinds), np.nan)
    filled = lattice.atom >= 0
    probability[lattice.atom[filled]] = np.eye(n_kinds)[kind[lattice.index[filled, 2]]]
    return dataclasses.replace(
        atoms, species=tuple(f"kind {k + 1}" for k in range(n_kinds)), species_probability=probability
    )


def _stacked(tables: list[Descriptors], lattice: Lattice) -> Descriptors:
    """Return the rows of all tables in one; without any, an empty table with the same columns."""
    if not tables:
        tables = [map_symmetry(_NO_ATOMS[lattice.length_unit], lattice[:0])]
    fields = [field.name for field in array_fields(tables[0])]
    joined = {name: np.concatenate([getattr(table, name) for table in tables]) for name in fields}
    return dataclasses.replace(tables[0], **joined)


_NO_ATOMS = {unit: Atoms.at(np.empty((0, 2)), length_unit=unit) for unit in ("angstrom", "pixel")}
