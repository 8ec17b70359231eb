"""Neighbourhoods: the vectors from each atom to its neighbours, one slot a direction, gaps where one is missing."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from tusi.data import Atoms, Lattice
from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.structure.neighbourhoods.references import match_slots
from tusi.structure.neighbourhoods.rules import LatticeSteps, Nearest, NeighbourRule, find_neighbours, usable_atoms
from tusi.structure.neighbourhoods.steps import Step, by_steps, nearest_steps, step_vectors
from tusi.structure.neighbourhoods.tessellation import inside_hull
from tusi.units import LENGTH_UNITS


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Neighbourhoods(Record):
    """Vectors from centres to neighbours; a slot is the same direction for every centre.

    Attributes
    ----------
    centre
        Row of the centre in the `Atoms` of its image.
    neighbour
        Row of the neighbour in each slot; -1 where it is missing: a vacancy, an atom outside the window or unusable.
    vector
        Position of the neighbour minus that of the centre, (y, x) in `length_unit`; NaN where it is missing.
    reference
        The ideal vector of each slot.
    position
        (y, x) of the centre.
    image
        Number of the image of the centre.
    length_unit
        "angstrom" or "pixel".

    Examples
    --------
    >>> y, x = np.mgrid[:4, :4] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=np.ones(16))
    >>> hoods = neighbourhoods(atoms, n_slots=4)
    >>> hoods.vector.shape, int(hoods.complete.sum()), hoods.distance[5].tolist()
    ((16, 4, 2), 4, [3.0, 3.0, 3.0, 3.0])
    """

    format_name: ClassVar[str] = "neighbourhoods"
    row: ClassVar[str] = "centre"

    centre: Int[np.ndarray, " centre"] = array("centre", dtype=np.int64)
    neighbour: Int[np.ndarray, "centre slot"] = array("centre", "slot", dtype=np.int64)
    vector: Float[np.ndarray, "centre slot 2"] = array("centre", "slot", "axis")
    reference: Float[np.ndarray, "slot 2"] = array("slot", "axis")
    position: Float[np.ndarray, "centre 2"] = array("centre", "axis")
    image: Int[np.ndarray, " centre"] = array("centre", dtype=np.int64)
    length_unit: str

    def _check(self) -> None:
        if self.reference.shape[1] != 2:
            raise InputError("reference", expected="two columns (y, x)", got=f"shape {self.reference.shape}")
        if self.length_unit not in LENGTH_UNITS:
            raise InputError("length_unit", expected=f"one of {LENGTH_UNITS}", got=repr(self.length_unit))
        if (np.isfinite(self.vector).all(axis=2) != (self.neighbour >= 0)).any():
            raise InputError("vector", expected="NaN exactly where `neighbour` is -1", got="others")

    @property
    def n_slots(self) -> int:
        """Number of slots."""
        return self.neighbour.shape[1]

    @property
    def missing(self) -> Bool[np.ndarray, "centre slot"]:
        """Which slots are empty."""
        return self.neighbour < 0

    @property
    def complete(self) -> Bool[np.ndarray, " centre"]:
        """Which centres have a neighbour in every slot."""
        return np.logical_not(self.missing.any(axis=1))

    @property
    def distance(self) -> Float[np.ndarray, "centre slot"]:
        """Length of each vector, in `length_unit`; NaN where it is missing."""
        return np.hypot(self.vector[..., 0], self.vector[..., 1])

    @property
    def angle(self) -> Float[np.ndarray, "centre slot"]:
        """Angle of each vector from the x axis towards y, in radians from -pi to pi; NaN where it is missing."""
        return np.arctan2(self.vector[..., 0], self.vector[..., 1])

    @property
    def displacement(self) -> Float[np.ndarray, "centre slot 2"]:
        """Each vector minus the ideal one of its slot, in `length_unit`; NaN where it is missing."""
        return self.vector - self.reference

    @property
    def empty(self) -> Bool[np.ndarray, "centre slot"]:
        """Which slots are empty though in view: there are atoms of the image farther out in that direction.

        The place half a step beyond the missing neighbour must lie inside the convex hull of the image's atoms.
        """
        found = np.zeros(self.neighbour.shape, bool)
        for image in np.unique(self.image):
            rows = np.flatnonzero(self.image == image)
            missing = self.missing[rows]
            neighbour = (self.position[rows][:, None] + self.vector[rows])[~missing]
            beyond = (self.position[rows][:, None] + 1.5 * self.reference)[missing]
            here = np.zeros(missing.shape, bool)
            here[missing] = inside_hull(beyond, np.concatenate([self.position[rows], neighbour]))
            found[rows] = here
        return found

    def differences(self, values: Float[np.ndarray, "atom *component"]) -> Float[np.ndarray, "centre slot *component"]:
        """Return the value of each neighbour minus that of the centre, NaN where it is missing.

        With simulated position errors as the values it gives the errors of `vector`, shared atoms included.

        Parameters
        ----------
        values
            One row for each atom of the image.
        """
        values = np.asarray(values, float)
        gap = self.missing.reshape(*self.neighbour.shape, *(1,) * (values.ndim - 1))
        return np.where(gap, np.nan, values[self.neighbour] - values[self.centre][:, None])

    def covariance(self, atoms: Atoms) -> Float[np.ndarray, "centre component component"]:
        """Return the joint covariance of the vectors of each centre, flattened as `vector.reshape(n_centres, -1)`.

        Two vectors of a centre share its error: their covariance is that of its position. The errors of different
        atoms are taken as independent. NaN in the rows and columns of missing neighbours, and everywhere if the
        centre's covariance is not known. Different centres share atoms too: see `differences`.

        Parameters
        ----------
        atoms
            The atoms from which the neighbourhoods were made, with covariances.

        Raises
        ------
        InputError
            `atoms` has too few rows for these neighbourhoods.
        """
        if len(self) and max(self.centre.max(), self.neighbour.max(initial=-1)) >= len(atoms):
            raise InputError("atoms", expected="those of these neighbourhoods", got=f"only {len(atoms)} rows")
        n_centres, n_slots = self.neighbour.shape
        joint = np.empty((n_centres, n_slots, 2, n_slots, 2))
        joint[:] = atoms.covariance[self.centre][:, None, :, None, :]
        slots = np.arange(n_slots)
        joint[:, slots, :, slots, :] += np.moveaxis(atoms.covariance[self.neighbour], 1, 0)
        joint[np.broadcast_to(self.missing[:, :, None, None, None], joint.shape)] = np.nan
        joint[np.broadcast_to(self.missing[:, None, None, :, None], joint.shape)] = np.nan
        return joint.reshape(n_centres, 2 * n_slots, 2 * n_slots)


def neighbourhoods(
    atoms: Atoms,
    *,
    lattice: Lattice | None = None,
    rule: NeighbourRule | None = None,
    n_slots: int | None = None,
    steps: tuple[Step, ...] | None = None,
    basis_site: int = 0,
) -> Neighbourhoods:
    """Return the vectors from each atom to its neighbours, sorted into slots of the same direction.

    With a lattice, slots are steps in it and the centres are the atoms on one kind of site. Without one, the slots are
    the most frequent vectors among the neighbours by `rule`; a neighbour belongs to the nearest slot within half of
    the shortest slot's length, and of two in one slot the nearer one. Unusable atoms are neither centres nor
    neighbours.

    Parameters
    ----------
    atoms
        The atoms; of one image and frame where a lattice is given.
    lattice
        The lattice that `atoms` was registered to.
    rule
        Who is a neighbour where no lattice is given; `Nearest(count=n_slots)` (six if that is `None`) when not given.
    n_slots
        How many slots. `None` takes the first shell of the lattice, or all vectors that are frequent.
    steps
        Steps in the lattice, one for each slot, instead of the nearest `n_slots`.
    basis_site
        Kind of the sites that are centres.

    Returns
    -------
    Neighbourhoods
        Empty where there are no usable atoms.

    Raises
    ------
    InputError
        Both a lattice and a rule are given, steps without a lattice, or a lattice of other atoms.

    References
    ----------
    A. Belianinov, Q. He, M. Kravchenko, S. Jesse, A. Borisevich, S. V. Kalinin, Nat. Commun. 6, 7801 (2015).

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:5, :5] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=np.ones(25))
    >>> hoods = neighbourhoods(atoms, lattice=register_lattice(atoms))
    >>> hoods.n_slots, len(hoods), int(hoods.complete.sum())
    (4, 25, 9)
    """
    if lattice is None:
        if steps is not None:
            raise InputError("steps", expected="a lattice to count them in", got="none", then="Give `lattice`.")
        rule = rule or Nearest(count=6 if n_slots is None else n_slots)
        return _by_rule(atoms, rule, n_slots)
    if rule is not None:
        raise InputError("rule", expected="none where a lattice is given", got=repr(rule))
    if not len(lattice):
        return _gather(atoms, np.empty(0, np.int64), np.empty((0, n_slots or 0), np.int64), np.zeros((n_slots or 0, 2)))
    steps = steps or nearest_steps(lattice, basis_site=basis_site, n_steps=n_slots)
    return _by_lattice(atoms, LatticeSteps(lattice=lattice, steps=steps, basis_site=basis_site))


def _by_rule(atoms: Atoms, rule: NeighbourRule, n_slots: int | None) -> Neighbourhoods:
    graph = find_neighbours(atoms, rule=rule)
    link = atoms.position[graph.neighbour] - atoms.position[graph.atom]
    reference, slot = match_slots(graph.atom, link, n_slots=n_slots)
    neighbour = np.full((len(atoms), len(reference)), -1)
    kept = slot >= 0
    neighbour[graph.atom[kept], slot[kept]] = graph.neighbour[kept]
    centre = np.flatnonzero(usable_atoms(atoms))
    return _gather(atoms, centre, neighbour[centre], reference)


def _by_lattice(atoms: Atoms, rule: LatticeSteps) -> Neighbourhoods:
    """Put the neighbours by lattice steps into one column a step."""
    lattice, steps, basis_site = rule.lattice, rule.steps or (), rule.basis_site or 0
    find_neighbours(atoms, rule=rule)
    site, target = by_steps(lattice, steps, basis_site=basis_site)
    usable = np.append(usable_atoms(atoms), False)
    atom = np.where(usable[lattice.atom], lattice.atom, -1)
    neighbour = np.where(target >= 0, atom[target], -1)
    occupied = atom[site] >= 0
    return _gather(
        atoms, atom[site][occupied], neighbour[occupied], step_vectors(lattice, steps, basis_site=basis_site)
    )


def _gather(
    atoms: Atoms,
    centre: Int[np.ndarray, " centre"],
    neighbour: Int[np.ndarray, "centre slot"],
    reference: Float[np.ndarray, "slot 2"],
) -> Neighbourhoods:
    vector = atoms.position[neighbour] - atoms.position[centre][:, None]
    return Neighbourhoods(
        centre=centre,
        neighbour=neighbour,
        vector=np.where(neighbour[..., None] < 0, np.nan, vector),
        reference=reference,
        position=atoms.position[centre],
        image=atoms.image[centre],
        length_unit=atoms.length_unit,
    )
