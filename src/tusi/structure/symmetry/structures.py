"""Crystal structures drawn from the prior, and the exact plane group of a structure."""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float, Int

from tusi.errors import InputError
from tusi.structure.symmetry.mean_cells import N_STRAINS, strain_tensor
from tusi.structure.symmetry.operations import Operations, find_operations
from tusi.structure.symmetry.plane_groups import PlaneGroup, identify_group, site_group
from tusi.structure.symmetry.prior import STRAIN_SHARE, SymmetryPrior
from tusi.structure.symmetry.strata import LONGEST_ASPECT, invariant_directions
from tusi.structure.translations import reduce_vectors

EXACT = 1e-6
"""Distance, in units of the cell's side, and strain below which a symmetry is exact."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CrystalStructure:
    """Atoms in a cell.

    Attributes
    ----------
    vectors
        Reduced lattice vectors as rows (y, x).
    fraction
        Positions, in units of the lattice vectors.
    species
        Number of the species of each atom.
    """

    vectors: Float[np.ndarray, "2 2"]
    fraction: Float[np.ndarray, "site 2"]
    species: Int[np.ndarray, " site"]

    @property
    def side(self) -> float:
        """Square root of the cell's area."""
        return float(np.sqrt(abs(np.linalg.det(self.vectors))))

    @property
    def alike(self) -> Bool[np.ndarray, "site site"]:
        """Which atoms are of one species."""
        return self.species[:, None] == self.species

    def operations(self) -> Operations:
        """Return the operations that are exact, up to the cell's translations."""
        return find_operations(
            self.fraction, self.vectors, compatible=self.alike, tolerance=EXACT * self.side, strain_tolerance=EXACT
        )

    @property
    def group(self) -> str:
        """Plane group, referred to the primitive cell."""
        return group_of(self.operations(), self.fraction)

    @property
    def site_groups(self) -> tuple[str, ...]:
        """Point group about each atom."""
        return site_groups_of(self.operations())


def group_of(operations: Operations, fraction: Float[np.ndarray, "site 2"]) -> str:
    """Return the name of the plane group of operations that are exact for these positions."""
    return identify_group(operations.rotation, operations.miss(fraction).mean(axis=1))


def site_groups_of(operations: Operations) -> tuple[str, ...]:
    """Return the point group about each site under a group of operations."""
    sites = range(operations.image.shape[1])
    return tuple(site_group(operations.rotation[operations.image[:, site] == site]) for site in sites)


def draw_parent(
    group: PlaneGroup, n_atoms: int, *, prior: SymmetryPrior, n_species: int = 1, rng: np.random.Generator
) -> tuple[CrystalStructure, Operations]:
    """Draw a structure made with a plane group, and the operations it was made with.

    Its exact group can be a larger one: two equal atoms, placed anyhow, have p2.

    Parameters
    ----------
    group
        The group.
    n_atoms
        Atoms in the primitive cell.
    prior
        Decides which positions are occupied.
    n_species
        Species, each as likely for an orbit.
    rng
        Source of randomness.
    """
    vectors = draw_lattice(group.lattice, rng=rng)
    orbits = [group.images(_place(group, kind, rng)) for kind in _draw_occupation(group, n_atoms, prior=prior, rng=rng)]
    species = np.concatenate([np.full(len(orbit), rng.integers(n_species)) for orbit in orbits])
    origin = rng.random(2)
    fraction = np.concatenate(orbits) + origin
    reduced = reduce_vectors(vectors)
    change = np.rint(reduced @ np.linalg.inv(vectors))
    fraction = (fraction @ np.linalg.inv(change)) % 1.0
    order = rng.permutation(n_atoms)
    structure = CrystalStructure(vectors=reduced, fraction=fraction[order], species=species[order])
    exact = structure.operations()
    if len(exact) == group.order:
        return structure, exact
    turn = np.linalg.inv(change).T
    shift = (group.translation + origin - np.einsum("kab,b->ka", group.rotation, origin)) @ turn.T
    rotation = np.rint(turn @ group.rotation @ np.linalg.inv(turn)).astype(int)
    kept = []
    for w, s in zip(rotation, shift, strict=True):
        same = (exact.rotation == w).all(axis=(1, 2))
        difference = exact.miss(structure.fraction).mean(axis=1) - s
        near = np.abs(difference - np.round(difference)).max(axis=1) < 100 * EXACT
        kept.append(np.flatnonzero(same & near)[0])
    return structure, exact[np.array(kept)]


def distort(
    structure: CrystalStructure, kept: Operations, *, scale: float, rng: np.random.Generator
) -> CrystalStructure:
    """Displace atoms and strain the lattice at random, in the ways that keep a group of operations.

    Parameters
    ----------
    structure
        What is distorted.
    kept
        The group that stays.
    scale
        Standard deviation of the displacements per axis before projection, in the unit of the lattice vectors.
    rng
        Source of randomness.
    """
    directions = invariant_directions(kept, structure.vectors)
    precision = np.linalg.inv(distortion_covariance(structure.vectors, len(structure.fraction)))
    spread = np.linalg.inv(directions.T @ precision @ directions)
    change = scale * directions @ rng.multivariate_normal(np.zeros(len(spread)), (spread + spread.T) / 2)
    metric = np.eye(2) + 2 * strain_tensor(change[:N_STRAINS])
    vectors = structure.vectors @ np.linalg.cholesky(metric)
    return dataclasses.replace(
        structure, vectors=vectors, fraction=structure.fraction + change[N_STRAINS:].reshape(-1, 2)
    )


def distortion_covariance(vectors: Float[np.ndarray, "2 2"], n_sites: int) -> Float[np.ndarray, "component component"]:
    """Return the covariance of strains and fractional positions when every atom is displaced by one unit of length."""
    covariance = np.zeros((N_STRAINS + 2 * n_sites,) * 2)
    area = abs(np.linalg.det(vectors))
    covariance[:N_STRAINS, :N_STRAINS] = 2 * STRAIN_SHARE**2 / area * np.eye(N_STRAINS)
    covariance[N_STRAINS:, N_STRAINS:] = np.kron(np.eye(n_sites), np.linalg.inv(vectors @ vectors.T))
    return covariance


def draw_lattice(lattice: str, *, rng: np.random.Generator) -> Float[np.ndarray, "2 2"]:
    """Draw a cell of unit area of this kind of lattice, evenly in the hyperbolic measure and at any angle.

    Parameters
    ----------
    lattice
        "oblique", "rectangular", "centred", "square" or "hexagonal".
    rng
        Source of randomness.

    Examples
    --------
    >>> cell = draw_lattice("hexagonal", rng=np.random.default_rng(1))
    >>> round(float(cell[0] @ cell[1] / (cell[0] @ cell[0])), 6)
    -0.5
    """
    if lattice == "oblique":
        while True:
            x, y = rng.uniform(-0.5, 0.5), 1 / rng.uniform(1 / LONGEST_ASPECT, 2 / math.sqrt(3))
            if x * x + y * y >= 1:
                break
        cell = np.array([[1.0, 0.0], [x, y]])
    elif lattice == "rectangular":
        cell = np.diag([1.0, math.exp(rng.uniform(-1, 1) * math.log(LONGEST_ASPECT))])
    elif lattice == "centred":
        ratio = math.exp(rng.uniform(-1, 1) * math.log(2 * LONGEST_ASPECT))
        cell = np.array([[ratio, 1.0], [ratio, -1.0]])
    elif lattice in ("square", "hexagonal"):
        cell = np.eye(2) if lattice == "square" else np.array([[1.0, 0.0], [-0.5, math.sqrt(0.75)]])
    else:
        raise InputError("lattice", expected="the kind of lattice of a plane group", got=repr(lattice))
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return cell @ turn / np.sqrt(abs(np.linalg.det(cell)))


Kind = tuple[str, int]
"""A Wyckoff position: "point", "line" or "general", and which."""


def _draw_occupation(
    group: PlaneGroup, n_atoms: int, *, prior: SymmetryPrior, rng: np.random.Generator
) -> tuple[Kind, ...]:
    """Draw which positions are occupied, every way alike."""
    points, lines, general = group.multiplicities
    kinds: list[tuple[Kind, int]] = [(("general", 0), general)]
    if prior.positions == "any":
        kinds += [(("point", k), n) for k, n in enumerate(points)] + [(("line", k), n) for k, n in enumerate(lines)]
    ways = [way for way in _ways(tuple(kinds), n_atoms) if len(way) <= (prior.most_orbits or len(way))]
    if not ways:
        raise InputError("n_atoms", expected=f"a number that orbits of {group.name} add up to", got=str(n_atoms))
    return ways[rng.integers(len(ways))]


def _ways(kinds: tuple[tuple[Kind, int], ...], n_atoms: int) -> list[tuple[Kind, ...]]:
    """Return every way to fill positions with this number of atoms."""
    if not kinds:
        return [()] if n_atoms == 0 else []
    (kind, size), rest = kinds[0], kinds[1:]
    most = min(n_atoms // size, 1 if kind[0] == "point" else n_atoms)
    return [(kind,) * n + way for n in range(most + 1) for way in _ways(rest, n_atoms - n * size)]


def _place(group: PlaneGroup, kind: Kind, rng: np.random.Generator) -> Float[np.ndarray, "2"]:
    """Draw a point of a Wyckoff position."""
    where, number = kind
    if where == "point":
        return np.array(group.points[number])
    if where == "line":
        start, along = group.lines[number]
        return np.array(start) + rng.random() * np.array(along)
    return rng.random(2)
