"""Simulated windows of crystals whose plane group is known exactly, whole or with broken symmetry."""

import dataclasses

import numpy as np

from tusi.data import Atoms, Lattice
from tusi.errors import InputError
from tusi.structure.symmetry.operations import product_table, subgroups
from tusi.structure.symmetry.plane_groups import plane_group
from tusi.structure.symmetry.prior import SymmetryPrior
from tusi.structure.symmetry.strata import stratum_of
from tusi.structure.symmetry.structures import CrystalStructure, distort, draw_parent

MOST_DRAWS = 300
"""Structures drawn until one has its atoms far enough apart."""

LABEL_ERROR = 1e-3
"""Probability that the stated species of an atom is wrong."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotifRecipe:
    """Windows of crystals drawn from a law of structures.

    Attributes
    ----------
    prior
        The law: parents, and how they are broken.
    n_atoms
        Numbers of atoms in the cell, each as likely as any other.
    n_species
        Species, each as likely for an orbit.
    noise
        Standard deviation of a position's error per axis, in units of the cell's side.
    shape
        Cells along the two lattice vectors.
    separation
        Smallest distance between two atoms, in units of the cell's side; whole structures that fail are drawn anew.
    cell_side
        Side of the cell (root of its area), in pixels.

    Examples
    --------
    >>> MotifRecipe(noise=0.05).shape
    (6, 6)
    """

    prior: SymmetryPrior = dataclasses.field(default_factory=SymmetryPrior)
    n_atoms: tuple[int, ...] = (2, 3, 4, 6, 8, 12)
    n_species: int = 2
    noise: float = 0.03
    shape: tuple[int, int] = (6, 6)
    separation: float = 0.05
    cell_side: float = 20.0

    def __post_init__(self) -> None:
        if not (0 < self.noise < 1 and 0 <= self.separation < 1 and self.cell_side > 0):
            raise InputError(
                "recipe",
                expected="noise and separation between 0 and 1, and a positive side",
                got=f"{self.noise}, {self.separation}, {self.cell_side}",
            )
        if not self.n_atoms or min(self.n_atoms) < 1 or min(self.shape) < 1 or self.n_species < 1:
            raise InputError("recipe", expected="atoms, cells and species", got=f"{self.n_atoms}, {self.shape}")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MotifWindow:
    """A simulated window and the truth.

    Attributes
    ----------
    atoms, lattice
        What an observer has: positions with their covariance, species with probabilities, and the registration.
    structure
        The true structure, in units of the cell's side.
    parent
        Plane group that the structure was made with.
    scale
        Displacement that broke the parent, in units of the cell's side; 0 where it is whole.
    breaking
        Root mean square displacement per axis from the nearest structure with the parent's symmetry, in the same unit.
    """

    atoms: Atoms
    lattice: Lattice
    structure: CrystalStructure
    parent: str
    scale: float
    breaking: float

    @property
    def group(self) -> str:
        """Exact plane group of the structure."""
        return self.structure.group


def simulate_motif_window(recipe: MotifRecipe, *, rng: np.random.Generator) -> MotifWindow:
    """Draw a structure, break its symmetry or not, repeat it over a window, and measure each atom with noise.

    Parameters
    ----------
    recipe
        Law of the structures, size of the window, noise.
    rng
        Source of randomness.

    Examples
    --------
    >>> recipe = MotifRecipe(prior=SymmetryPrior.known({"p4g": 1.0}, broken=0.0), n_atoms=(8,), separation=0.1)
    >>> window = simulate_motif_window(recipe, rng=np.random.default_rng(1))
    >>> len(window.atoms), window.parent
    (288, 'p4g')
    """
    n_atoms = int(rng.choice(recipe.n_atoms))
    for _ in range(MOST_DRAWS):
        window = _draw(recipe, n_atoms, rng)
        if _closest(window[0]) >= recipe.separation:
            break
    else:
        raise InputError("separation", expected="one that structures can have", got=str(recipe.separation))
    structure, parent, scale, breaking = window
    atoms, lattice = measure_window(structure, recipe, rng=rng)
    return MotifWindow(atoms=atoms, lattice=lattice, structure=structure, parent=parent, scale=scale, breaking=breaking)


def measure_window(
    structure: CrystalStructure, recipe: MotifRecipe, *, rng: np.random.Generator
) -> tuple[Atoms, Lattice]:
    """Repeat a structure over a window and measure each atom with noise.

    Parameters
    ----------
    structure
        Atoms in a cell.
    recipe
        Size of the window, noise, side of the cell.
    rng
        Source of randomness.

    Examples
    --------
    >>> structure = CrystalStructure(vectors=np.eye(2), fraction=np.zeros((1, 2)), species=np.zeros(1, int))
    >>> atoms, lattice = measure_window(structure, MotifRecipe(shape=(4, 5)), rng=np.random.default_rng(1))
    >>> len(atoms), len(lattice)
    (20, 20)
    """
    index = np.argwhere(np.ones((*recipe.shape, len(structure.fraction)), bool))
    site = index[:, 2]
    vectors = structure.vectors * (recipe.cell_side / structure.side)
    exact = (index[:, :2] + structure.fraction[site]) @ vectors
    error = recipe.noise * recipe.cell_side
    position = exact + rng.normal(0.0, error, exact.shape)
    probability = np.full((len(site), recipe.n_species), LABEL_ERROR / max(recipe.n_species - 1, 1))
    probability[np.arange(len(site)), structure.species[site]] = 1.0 - LABEL_ERROR if recipe.n_species > 1 else 1.0
    atoms = dataclasses.replace(
        Atoms.at(position, length_unit="pixel"),
        covariance=np.broadcast_to(error**2 * np.eye(2), (len(site), 2, 2)),
        species_probability=probability,
        species=tuple(f"species {number}" for number in range(recipe.n_species)),
    )
    last = np.array(recipe.shape) - 1
    lattice = Lattice(
        index=index,
        position=exact,
        atom=np.arange(len(site)),
        vacancy_probability=np.zeros(len(site)),
        domain=np.zeros(len(site)),
        boundary=((index[:, :2] == 0) | (index[:, :2] == last)).any(axis=1),
        vectors=vectors[None],
        basis=structure.fraction % 1.0,
        length_unit="pixel",
    )
    return atoms, lattice


def _draw(recipe: MotifRecipe, n_atoms: int, rng: np.random.Generator) -> tuple[CrystalStructure, str, float, float]:
    """Draw a structure with its parent's group, the scale of its distortion, and how far it went."""
    prior = recipe.prior
    parents = prior.of_parents(n_atoms)
    parent = str(rng.choice(list(parents), p=list(parents.values())))
    structure, made_with = draw_parent(plane_group(parent), n_atoms, prior=prior, n_species=recipe.n_species, rng=rng)
    kept = subgroups(product_table(made_with))[:-1]
    if not len(kept) or rng.random() >= prior.broken:
        return structure, parent, 0.0, 0.0
    scale = float(rng.choice(prior.scales))
    chosen = made_with[kept[rng.integers(len(kept))]]
    broken = distort(structure, chosen, scale=scale * structure.side, rng=rng)
    back = stratum_of(made_with, broken.fraction, broken.vectors).point[3:].reshape(-1, 2) @ broken.vectors
    return broken, parent, scale, float(np.sqrt(np.mean(back**2)) / structure.side)


def _closest(structure: CrystalStructure) -> float:
    """Return the smallest distance between two atoms, in units of the cell's side."""
    difference = structure.fraction[:, None] - structure.fraction
    steps = np.argwhere(np.ones((3, 3), bool)) - 1
    around = (difference - np.round(difference))[:, :, None] + steps
    distance = np.linalg.norm(around @ structure.vectors, axis=-1)
    return float(distance[distance > 1e-12].min() / structure.side)
