"""Off-centring: where a column stands in the cage of its neighbours; with Born charges, the polarisation."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.data import Atoms, Descriptors, Lattice
from tusi.errors import InputError
from tusi.structure.neighbourhoods.steps import Step, sites_of, step_vectors
from tusi.structure.order.stencils import Stencil, SteppedSites, atoms_at_steps, check_registered
from tusi.units import ANGSTROM

COULOMB_PER_SQUARE_METRE = 16.02176634
"""One elementary charge times one angstrom over one cubic angstrom, in C/m^2."""

REACH = 2
OFF_CENTRE = 0.2
SAME_SHELL = 1.2
FEWEST, WHOLE = 2, 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cage:
    """A kind of site and the neighbours whose mean position is the middle of its cage.

    Attributes
    ----------
    centre
        Basis site inside the cage.
    steps
        (rows, columns, basis site) from the centre to each neighbour.

    Examples
    --------
    >>> Cage(centre=1, steps=((0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0))).n_neighbours
    4
    """

    centre: int
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if len(self.steps) < FEWEST or any(len(step) != 3 for step in self.steps):
            raise InputError("steps", expected="two or more (rows, columns, basis site)", got=str(self.steps))
        if (0, 0, self.centre) in self.steps:
            raise InputError("steps", expected="neighbours of the centre", got="the centre itself")

    @property
    def n_neighbours(self) -> int:
        """Neighbours in the cage."""
        return len(self.steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BornCharge:
    """What turns a displacement into a polarisation, charge times displacement over volume.

    Attributes
    ----------
    charge
        Effective charge that moves with the displacement, in elementary charges. Where other ions, seen or not, move
        along, it is their sum weighted by how far each goes; it comes from theory and is taken as exact.
    volume
        Volume of the cell that holds one centre, in cubic angstrom: the area in the image times the repeat along the
        beam.

    Examples
    --------
    >>> round(BornCharge(charge=7.1, volume=64.4).polarisation_per_angstrom, 4)
    1.7664
    """

    charge: float
    volume: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.charge) and np.isfinite(self.volume) and self.volume > 0):
            raise InputError("born", expected="a finite charge and a volume above zero", got=repr(self))

    @property
    def polarisation_per_angstrom(self) -> float:
        """Polarisation of a displacement by one angstrom, in C/m^2."""
        return COULOMB_PER_SQUARE_METRE * self.charge / self.volume


def find_cage(lattice: Lattice, *, centre: int, of: tuple[int, ...] | None = None) -> Cage:
    """Find the cage of a kind of site: the nearest shell of other kinds that surrounds it evenly.

    Shells are counted in the mean lattice: sites within 1.2 times the nearest one's distance. A shell is a cage if it
    has four sites or more and its mean lies within a fifth of its radius from the centre. The shells of every other
    kind and of all of them together are tried; two sites make a cage if there is no better. In a lattice of one kind
    of site, that kind is its own cage.

    Parameters
    ----------
    lattice
        A registered lattice.
    centre
        Basis site inside the cage.
    of
        Basis sites of the neighbours; `None` finds them.

    Returns
    -------
    Cage
        Centre and steps.

    Raises
    ------
    InputError
        There is no such basis site, or no kind of site surrounds it evenly.

    Examples
    --------
    >>> from tusi.datasets.crystals import CrystalRecipe, simulate_crystal
    >>> crystal = simulate_crystal(CrystalRecipe(shape=(6, 6)), rng=np.random.default_rng(0))
    >>> find_cage(crystal.lattice, centre=1).steps
    ((0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0))
    """
    domain = int(lattice.domain[sites_of(lattice, centre)[0]])
    kinds = np.unique(lattice.index[lattice.domain == domain, 2]).tolist()
    others = tuple(kind for kind in kinds if kind != centre) or (centre,)
    tried = [of] if of is not None else [others, *((kind,) for kind in others)]
    shells = [_nearest_shell(lattice, centre, among) for among in tried]
    even = [(length, steps) for length, off, steps in shells if len(steps) >= FEWEST and off < OFF_CENTRE * length]
    even = [one for one in even if len(one[1]) >= WHOLE] or even
    if not even:
        raise InputError(
            "centre", expected="a site with a shell of neighbours all around it", got=str(centre), then="Give a `Cage`."
        )
    return Cage(centre=centre, steps=min(even, key=lambda one: one[0])[1])


def polarisation(atoms: Atoms, lattice: Lattice, *, cage: Cage, born: BornCharge | None = None) -> Descriptors:
    """Measure how far each centre is displaced from the mean position of its cage.

    The displacement is a sum of positions with fixed weights, so its covariance follows exactly: that of the centre
    plus those of the cage divided by the square of their number. Neighbouring cages share columns, and their errors
    are not independent. Columns tilted against the beam are displaced too; an image cannot tell.

    Parameters
    ----------
    atoms
        Atoms with the covariance of their positions.
    lattice
        The lattice that `atoms` was registered to.
    cage
        Centre and neighbours, for instance from `find_cage`.
    born
        Charge and volume, if polarisation is wanted.

    Returns
    -------
    Descriptors
        displacement_y, displacement_x (length) and, with `born`, polarisation_y, polarisation_x (C/m^2) for each
        filled centre; NaN where a neighbour is missing.

    Raises
    ------
    InputError
        The lattice is empty or belongs to other atoms; polarisation is wanted of positions in pixels.

    References
    ----------
    .. [1] C.-L. Jia et al., "Unit-cell scale mapping of ferroelectricity and tetragonality in epitaxial ultrathin
       ferroelectric films", Nature Materials 6, 64 (2007).

    Examples
    --------
    >>> from tusi.datasets.crystals import CrystalRecipe, Polar, simulate_crystal
    >>> recipe = CrystalRecipe(shape=(8, 8), polar=Polar(displacement=(0.0, 0.1)), noise=0.0)
    >>> crystal = simulate_crystal(recipe, rng=np.random.default_rng(0))
    >>> table = polarisation(crystal.atoms, crystal.lattice, cage=find_cage(crystal.lattice, centre=1))
    >>> round(float(np.nanmean(table.column("displacement_x"))), 6)
    0.1
    """
    check_registered(atoms, lattice)
    if born is not None and atoms.length_unit != ANGSTROM:
        raise InputError("born", expected="positions in angstrom", got=atoms.length_unit, then="Calibrate the image.")
    found, stencil = displacement_stencil(atoms, lattice, cage)
    value, covariance = stencil.of_positions(atoms.position), stencil.covariance(atoms.covariance)
    names, units = ("displacement_y", "displacement_x"), (atoms.length_unit,) * 2
    if born is not None:
        widened = np.concatenate([np.eye(2), born.polarisation_per_angstrom * np.eye(2)])
        value, covariance = value @ widened.T, widened @ covariance @ widened.T
        names, units = (*names, "polarisation_y", "polarisation_x"), (*units, "C/m^2", "C/m^2")
    return Descriptors(
        position=atoms.position[found.centre],
        value=value,
        covariance=covariance,
        atom=found.centre,
        image=atoms.image[found.centre],
        names=names,
        units=units,
        length_unit=atoms.length_unit,
    )


def displacement_stencil(atoms: Atoms, lattice: Lattice, cage: Cage) -> tuple[SteppedSites, Stencil]:
    """Return the sites of the centres, and the weights that give each centre's displacement from its cage."""
    found = atoms_at_steps(lattice, [(0, 0, cage.centre), *cage.steps], basis_site=cage.centre)
    coefficient = np.array([[1.0, *[-1.0 / cage.n_neighbours] * cage.n_neighbours]])
    return found, Stencil.of(found.atom, coefficient, n_atoms=len(atoms))


def _nearest_shell(lattice: Lattice, centre: int, kinds: tuple[int, ...]) -> tuple[float, float, tuple[Step, ...]]:
    """Return radius, distance of the mean from the centre, and steps of the nearest shell of these kinds."""
    span = range(-REACH, REACH + 1)
    steps = [(row, column, kind) for row in span for column in span for kind in kinds]
    steps = [step for step in steps if step != (0, 0, centre)]
    vector: Float[np.ndarray, "step 2"] = step_vectors(lattice, steps, basis_site=centre)
    length = np.linalg.norm(vector, axis=1)
    near = length < SAME_SHELL * length.min()
    chosen = tuple(step for step, inside in zip(steps, near, strict=True) if inside)
    return float(length[near].mean()), float(np.linalg.norm(vector[near].mean(axis=0))), chosen
