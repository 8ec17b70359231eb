"""Crystals with planted defects: atoms, and the truth about every vacancy, dislocation and boundary among them."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from tusi.data import Atoms
from tusi.errors import InputError
from tusi.structure.defects.table import Defect, DefectKind, Defects
from tusi.units import ANGSTROM

SPECIES = ("A", "B")
"""The two species; A is the brighter."""

CELLS: dict[str, tuple[tuple[tuple[float, float], tuple[float, float]], tuple[tuple[float, float], ...]]] = {
    "square": (((1.0, 0.0), (0.0, 1.0)), ((0.0, 0.0),)),
    "triangular": (((np.sqrt(0.75), -0.5), (0.0, 1.0)), ((0.0, 0.0),)),
    "honeycomb": (((np.sqrt(0.75), -0.5), (0.0, 1.0)), ((0.0, 0.0), (2 / 3, 1 / 3))),
}
"""Lattice vectors (y, x) in units of the lattice constant, and sites in units of the vectors."""

INTERSTITIAL_PLACE = {"square": (0.5, 0.5), "triangular": (2 / 3, 1 / 3), "honeycomb": (1 / 3, 2 / 3)}
"""The middle of the largest hole of each cell, in units of its vectors."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrystalRecipe:
    """A crystal and what is wrong with it.

    Attributes
    ----------
    cell
        One of `CELLS`: "square", "triangular" or "honeycomb" (two unlike columns in a cell).
    lattice_constant
        In angstrom.
    size
        Height and width of the window, in lattice constants.
    noise
        Standard deviation of the measured position along each axis, in angstrom.
    displacement
        Standard deviation of the columns' true displacement from their sites along each axis, in angstrom.
    angle
        By how much the crystal is turned, in degrees.
    vacancies, substitutions, interstitials
        How many of each, in the interior and apart from each other.
    dislocations
        Position (y, x) of each, in lattice constants, and its Burgers vector (steps along the two vectors).
    poisson_ratio
        Of the elastic field around dislocations.
    label_error
        How often a column's species is read wrongly; the stated probabilities know this and the window's composition.
    misorientation
        By how many degrees the part right of the middle is turned; zero for a single crystal.
    order
        Wave vector of an ordered alloy in units of the reciprocal vectors, as in (0.5, 0.5); `None` for one species.
    phase_shift
        Lattice steps by which the order right of the middle is shifted.
    """

    cell: str = "triangular"
    lattice_constant: float = 3.16
    size: tuple[float, float] = (24.0, 24.0)
    noise: float = 0.05
    displacement: float = 0.05
    angle: float = 0.0
    vacancies: int = 0
    substitutions: int = 0
    interstitials: int = 0
    dislocations: tuple[tuple[tuple[float, float], tuple[int, int]], ...] = ()
    poisson_ratio: float = 0.3
    label_error: float = 0.0
    misorientation: float = 0.0
    order: tuple[float, float] | None = None
    phase_shift: tuple[int, int] = (0, 0)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedCrystal:
    """Atoms of a crystal with defects, and the truth.

    Attributes
    ----------
    atoms
        What a microscope would report: noisy positions with their covariance, species probabilities.
    truth
        The planted defects; probability 1.
    ideal
        Position of each atom without displacement and noise, in angstrom.
    """

    atoms: Atoms
    truth: Defects
    ideal: Float[np.ndarray, "atom 2"]


def simulate_defects(recipe: CrystalRecipe, *, rng: np.random.Generator) -> SimulatedCrystal:
    """Simulate the atoms of a crystal with planted defects.

    Point defects sit on random sites at least three lattice constants from each other, from the border and from all
    other defects. Dislocations carry the elastic field of an edge dislocation in an isotropic medium. The origin of the
    lattice is random.

    Parameters
    ----------
    recipe
        The crystal and its defects.
    rng
        Source of randomness.

    Returns
    -------
    SimulatedCrystal
        Atoms and truth.

    Raises
    ------
    InputError
        The cell has no such name, or there is no room for so many point defects.

    Examples
    --------
    >>> crystal = simulate_defects(CrystalRecipe(vacancies=2), rng=np.random.default_rng(0))
    >>> crystal.truth.titles
    ('vacancy', 'vacancy')
    """
    if recipe.cell not in CELLS:
        raise InputError("recipe.cell", expected=f"one of {', '.join(CELLS)}", got=repr(recipe.cell))
    extent = np.array(recipe.size) * recipe.lattice_constant
    position, index, right = _sites(recipe, extent, rng)
    label = _labels(recipe, index, right)
    chosen = _places_for_points(recipe, position, extent, rng)
    vacant, replaced, beside = np.split(chosen, np.cumsum([recipe.vacancies, recipe.substitutions]))
    label[replaced] = 1 - label[replaced]
    hole = np.array(INTERSTITIAL_PLACE[recipe.cell]) - np.array(CELLS[recipe.cell][1])[index[beside, 2]]
    extra = position[beside] + hole @ _vectors(recipe)
    ideal = np.concatenate([np.delete(position, vacant, axis=0), extra])
    label = np.concatenate([np.delete(label, vacant), np.zeros(len(extra), np.int64)])
    atoms = _observed(recipe, ideal, label, rng)
    points = [
        *((DefectKind.VACANCY, place) for place in position[vacant]),
        *((DefectKind.SUBSTITUTION, place) for place in position[replaced]),
        *((DefectKind.INTERSTITIAL, place) for place in extra),
    ]
    return SimulatedCrystal(atoms=atoms, truth=_truth(recipe, points, extent), ideal=ideal)


def _vectors(recipe: CrystalRecipe, turn: float = 0.0) -> Float[np.ndarray, "2 2"]:
    """Return the lattice vectors in angstrom, turned by the recipe's angle and by as many more degrees."""
    angle = np.deg2rad(recipe.angle + turn)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return recipe.lattice_constant * np.array(CELLS[recipe.cell][0]) @ rotation


def _sites(
    recipe: CrystalRecipe, extent: Float[np.ndarray, "2"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "site 2"], Int[np.ndarray, "site 3"], Bool[np.ndarray, " site"]]:
    """Return the sites inside the window, strained by the dislocations, their indices, and which lie right."""
    origin = rng.random(2) @ _vectors(recipe) + extent / 2
    left = _filled(recipe, extent, origin, turn=0.0)
    if not recipe.misorientation:
        position = left[0]
        right = position[:, 1] > extent[1] / 2
    else:
        turned = _filled(recipe, extent, origin, turn=recipe.misorientation)
        keep = left[0][:, 1] < extent[1] / 2, turned[0][:, 1] >= extent[1] / 2
        left = tuple(np.concatenate([one[keep[0]], other[keep[1]]]) for one, other in zip(left, turned, strict=True))
        position, right = left[0], np.repeat([False, True], [keep[0].sum(), keep[1].sum()])
    apart = _not_too_close(position, right, 0.6 * recipe.lattice_constant) if recipe.misorientation else slice(None)
    return position[apart], left[1][apart], right[apart]


def _filled(
    recipe: CrystalRecipe, extent: Float[np.ndarray, "2"], origin: Float[np.ndarray, "2"], *, turn: float
) -> tuple[Float[np.ndarray, "site 2"], Int[np.ndarray, "site 3"]]:
    """Return the sites of one crystal that end up inside the window, and their indices."""
    vectors, basis = _vectors(recipe, turn), np.array(CELLS[recipe.cell][1])
    reach = int(np.ceil(1.5 * max(recipe.size))) + 4
    steps = np.arange(-reach, reach + 1)
    index = np.stack(np.meshgrid(steps, steps, np.arange(len(basis)), indexing="ij"), axis=-1).reshape(-1, 3)
    position = (index[:, :2] + basis[index[:, 2]]) @ vectors + origin
    position = position[:, :] + sum(
        (_edge_field(position - np.array(core) * recipe.lattice_constant, np.array(burgers) @ vectors, recipe)
         for core, burgers in recipe.dislocations),
        start=np.zeros(2),
    )  # fmt: skip
    inside = ((position > 0) & (position < extent)).all(axis=1)
    return position[inside], index[inside]


def _edge_field(
    place: Float[np.ndarray, "site 2"], burgers: Float[np.ndarray, "2"], recipe: CrystalRecipe
) -> Float[np.ndarray, "site 2"]:
    """Return the displacement around an edge dislocation at the origin; its cut lies along -b and shifts by b."""
    length = float(np.linalg.norm(burgers))
    along = burgers / length
    across = np.array([along[1], -along[0]])
    x, y = place @ along, place @ across
    square = np.maximum(x**2 + y**2, (0.1 * length) ** 2)
    rest = 1 - recipe.poisson_ratio
    glide = np.arctan2(y, x) + x * y / (2 * rest * square)
    climb = -(1 - 2 * recipe.poisson_ratio) / (4 * rest) * np.log(square / length**2)
    climb -= (x**2 - y**2) / (4 * rest * square)
    return length / (2 * np.pi) * (glide[:, None] * along + climb[:, None] * across)


def _not_too_close(
    position: Float[np.ndarray, "site 2"], right: Bool[np.ndarray, " site"], distance: float
) -> Bool[np.ndarray, " site"]:
    """Return the sites without those of the right grain that a site of the left one leaves no room for."""
    nearest, _ = cKDTree(position[~right]).query(position)
    return ~right | (nearest > distance)


def _labels(
    recipe: CrystalRecipe, index: Int[np.ndarray, "site 3"], right: Bool[np.ndarray, " site"]
) -> Int[np.ndarray, " site"]:
    """Return the species of every site: its sublattice's, or that of the ordered alloy."""
    if recipe.order is None:
        return index[:, 2].copy()
    steps = index[:, :2] - right[:, None] * np.array(recipe.phase_shift)
    return (np.cos(2 * np.pi * steps @ np.array(recipe.order)) < 0).astype(np.int64)


def _places_for_points(
    recipe: CrystalRecipe,
    position: Float[np.ndarray, "site 2"],
    extent: Float[np.ndarray, "2"],
    rng: np.random.Generator,
) -> Int[np.ndarray, " defect"]:
    """Return sites for the point defects, far from each other, from the border and from other defects."""
    distance = 3 * recipe.lattice_constant
    inner = ((position > distance) & (position < extent - distance)).all(axis=1)
    taken = [np.array(core) * recipe.lattice_constant for core, _ in recipe.dislocations]
    if recipe.misorientation or any(recipe.phase_shift):
        inner &= np.abs(position[:, 1] - extent[1] / 2) > distance
    chosen: list[int] = []
    wanted = recipe.vacancies + recipe.substitutions + recipe.interstitials
    for site in rng.permutation(np.flatnonzero(inner)):
        if len(chosen) == wanted:
            break
        if all(np.linalg.norm(position[site] - other) > distance for other in taken):
            chosen.append(int(site))
            taken.append(position[site])
    if len(chosen) < wanted:
        raise InputError("recipe.size", expected=f"room for {wanted} point defects", got=f"room for {len(chosen)}")
    return np.array(chosen, dtype=np.int64)


def _observed(
    recipe: CrystalRecipe, ideal: Float[np.ndarray, "atom 2"], label: Int[np.ndarray, " atom"], rng: np.random.Generator
) -> Atoms:
    """Return the atoms with noise in positions, intensities and species."""
    n_atoms = len(ideal)
    scatter = np.hypot(recipe.noise, recipe.displacement)
    seen = np.where(rng.random(n_atoms) < recipe.label_error, 1 - label, label)
    intensity = np.where(seen == 1, 0.5, 1.0) * rng.normal(1.0, 0.03, n_atoms)
    likelihood = np.where(seen[:, None] == np.arange(2), 1 - recipe.label_error, recipe.label_error)
    posterior = likelihood * np.bincount(label, minlength=2)
    atoms = Atoms.at(ideal + rng.normal(0.0, scatter, (n_atoms, 2)), length_unit=ANGSTROM, intensity=intensity)
    return dataclasses.replace(
        atoms,
        covariance=np.broadcast_to(recipe.noise**2 * np.eye(2), (n_atoms, 2, 2)),
        intensity_variance=(0.03 * intensity) ** 2,
        species=SPECIES,
        species_probability=posterior / posterior.sum(axis=1, keepdims=True),
    )


def _truth(
    recipe: CrystalRecipe, points: list[tuple[DefectKind, Float[np.ndarray, "2"]]], extent: Float[np.ndarray, "2"]
) -> Defects:
    """Return the planted defects as a table."""
    rows = [Defect(kind=kind, position=place) for kind, place in points]
    for core, steps in recipe.dislocations:
        place = np.array(core) * recipe.lattice_constant
        vector = np.array(steps) @ _vectors(recipe)
        rows.append(Defect(kind=DefectKind.DISLOCATION, position=place, steps=steps, vector=vector))
    wall = np.array([[[0.0, extent[1] / 2], [extent[0], extent[1] / 2]]])
    middle = {"position": extent / 2, "segments": wall, "domains": (0, 1)}
    if recipe.misorientation:
        rows.append(Defect(kind=DefectKind.GRAIN_BOUNDARY, misorientation=recipe.misorientation, **middle))
    if recipe.order is not None and any(recipe.phase_shift):
        rows.append(Defect(kind=DefectKind.ANTIPHASE_BOUNDARY, steps=recipe.phase_shift, **middle))
    return Defects.of(rows, length_unit=ANGSTROM, species=SPECIES)
