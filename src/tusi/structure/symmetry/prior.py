"""What is taken to be likely before the data: groups, how atoms occupy positions, and how far symmetry is broken."""

import dataclasses
import functools
import math

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.structure.symmetry.operations import subgroups
from tusi.structure.symmetry.plane_groups import PLANE_GROUPS, identify_group, plane_group

STRAIN_SHARE = 0.25
"""Displacement of the lattice vectors over that of the atoms, where symmetry is broken."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SymmetryPrior:
    """The law that structures are taken to come from.

    A parent structure is drawn first: its plane group, which Wyckoff positions its atoms occupy (every way that gives
    the number of atoms in the cell is as likely as any other), and coordinates and origin evenly over the cell, the
    shape of the lattice evenly in the hyperbolic measure. With probability `broken` the parent is then distorted: one
    of its proper subgroups is chosen, each as likely as any other, atoms are displaced by a normal law of one of the
    scales, lattice vectors by a quarter of it, and of this the part that keeps the subgroup is what happens.

    Attributes
    ----------
    groups
        Weight of each plane group as (name, weight) pairs; groups left out cannot be parents.
    broken
        Probability that the parent's symmetry is broken.
    scales
        Standard deviations of the displacements per axis, in units of the cell's side (the root of its area); each is
        as likely as any other. From about a tenth of the cell on nothing of the parent is recognised, and the distorted
        structure is taken to be spread over the cell.
    positions
        "any" Wyckoff positions, or "general" ones alone.
    most_orbits
        Largest number of orbits in a cell of the parent; `None` for no limit.
    larger_cell
        Probability that the parent's cell is smaller than the observed one by a factor of 2, 3 or 4.

    Examples
    --------
    >>> prior = SymmetryPrior.uniform()
    >>> round(sum(prior.of_parents(4).values()), 9)
    1.0
    >>> SymmetryPrior.known({"p3m1": 0.9, "p3": 0.1}).of_parents(3)["p3m1"]
    0.9
    """

    groups: tuple[tuple[str, float], ...] = tuple((name, 1.0) for name in PLANE_GROUPS)
    broken: float = 0.5
    scales: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3)
    positions: str = "any"
    most_orbits: int | None = None
    larger_cell: float = 0.0

    def __post_init__(self) -> None:
        unknown = [name for name, weight in self.groups if name not in PLANE_GROUPS or not 0 <= weight < math.inf]
        if unknown or not sum(weight for _, weight in self.groups) > 0:
            raise InputError(
                "groups", expected="plane groups with weights of at least 0", got=", ".join(unknown) or "no weight"
            )
        if not (0 <= self.broken <= 1 and 0 <= self.larger_cell < 1):
            raise InputError("broken", expected="probabilities", got=f"{self.broken}, {self.larger_cell}")
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise InputError("scales", expected="positive displacements", got=str(self.scales))
        if self.positions not in ("any", "general"):
            raise InputError("positions", expected="'any' or 'general'", got=repr(self.positions))

    @classmethod
    def uniform(cls) -> "SymmetryPrior":
        """Return the prior of an unknown material: every group alike."""
        return cls()

    @classmethod
    def by_complexity(cls) -> "SymmetryPrior":
        """Return a prior in which a group's weight is its order: simple structures, those of high symmetry, first."""
        return cls(groups=tuple((name, float(plane_group(name).order)) for name in PLANE_GROUPS))

    @classmethod
    def known(cls, groups: dict[str, float], *, broken: float = 0.5) -> "SymmetryPrior":
        """Return the prior of a material of which the parent groups are known with these weights.

        Parameters
        ----------
        groups
            Weight of each group that is possible.
        broken
            Probability that the parent's symmetry is broken.
        """
        return cls(groups=tuple(groups.items()), broken=broken)

    def of_parents(self, n_atoms: int) -> dict[str, float]:
        """Return the probability of each parent group for this number of atoms in the primitive cell."""
        return dict(_of_parents(self, n_atoms))

    def n_ways(self, name: str, n_atoms: int) -> int:
        """Return in how many ways Wyckoff positions of a group can hold this number of atoms of the primitive cell."""
        points, lines, general = plane_group(name).multiplicities
        if self.positions == "general":
            points, lines = (), ()
        table = n_occupations(points, (*lines, general), n_atoms=n_atoms)
        return sum(count for orbits, count in table if orbits <= (self.most_orbits or orbits))


@functools.lru_cache(maxsize=1024)
def _of_parents(prior: SymmetryPrior, n_atoms: int) -> tuple[tuple[str, float], ...]:
    possible = {name: weight for name, weight in prior.groups if prior.n_ways(name, n_atoms) > 0}
    total = sum(possible.values())
    if not total:
        raise InputError(
            "groups",
            expected=f"a group that {n_atoms} atoms in the cell can have",
            got=", ".join(name for name, _ in prior.groups),
            then="Allow more orbits, special positions or other groups.",
        )
    return tuple((name, weight / total) for name, weight in possible.items())


@functools.lru_cache(maxsize=4096)
def n_occupations(points: tuple[int, ...], free: tuple[int, ...], *, n_atoms: int) -> tuple[tuple[int, int], ...]:
    """Return for each number of orbits in how many ways Wyckoff positions hold this number of atoms.

    Parameters
    ----------
    points
        Multiplicity of each point: it holds one orbit or none.
    free
        Multiplicity of each line and of the general position: they hold any number of orbits.
    n_atoms
        Atoms in the primitive cell.

    Examples
    --------
    >>> n_occupations((), (1, 1, 2), n_atoms=2)
    ((1, 1), (2, 3))
    """
    table = np.zeros((n_atoms + 1, n_atoms + 1), dtype=np.int64)
    table[0, 0] = 1
    for size in points:
        if size <= n_atoms:
            table[size:, 1:] += table[:-size, :-1].copy()
    for size in free:
        for atoms in range(size, n_atoms + 1):
            table[atoms, 1:] += table[atoms - size, :-1]
    return tuple((orbits, int(count)) for orbits, count in enumerate(table[n_atoms]) if count)


@functools.cache
def proper_subgroups(name: str) -> dict[str, float]:
    """Return the share of each plane group among the proper subgroups of a group that keep its translations.

    The group p1 has none.

    Examples
    --------
    >>> proper_subgroups("pmg") == {"p1": 0.25, "p2": 0.25, "pm": 0.25, "pg": 0.25}
    True
    """
    group = plane_group(name)
    number = {rotation.tobytes(): k for k, rotation in enumerate(group.rotation)}
    products = np.einsum("gab,hbc->ghac", group.rotation, group.rotation)
    table = np.array([[number[product.tobytes()] for product in row] for row in products])
    found = subgroups(table)[:-1]
    names = [identify_group(group.rotation[members], group.translation[members]) for members in found]
    return {other: names.count(other) / len(names) for other in dict.fromkeys(names)}


def broken_prior(prior: SymmetryPrior, n_atoms: int) -> Float[np.ndarray, " group"]:
    """Return the probability of each plane group as the subgroup to which a broken parent is distorted."""
    probability = dict.fromkeys(PLANE_GROUPS, 0.0)
    for name, weight in prior.of_parents(n_atoms).items():
        for other, share in proper_subgroups(name).items():
            probability[other] += weight * share
    return np.array([probability[name] for name in PLANE_GROUPS])
