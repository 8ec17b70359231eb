"""Simulated alloys on a triangular metal lattice: known Hamiltonian -> arrangement -> columns -> image."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from tusi.data import Atoms, SiteGraph, length_unit_of, pixel_size_of
from tusi.errors import InputError
from tusi.execution import Executor, Progress, SerialExecutor
from tusi.generative.crystal import sample_crystal, window_graph
from tusi.generative.models import model_named
from tusi.imaging import Acquisition, Contamination, Display, Distortion, Scene, acquire, distort

CRYSTAL_TO_WINDOW = 2
"""How many times as wide as the window the periodic crystal is at least."""

_MARGIN = 3

PICTURE = Acquisition(
    dose=150.0,
    line_jitter=0.3,
    contamination=Contamination(background=0.06, intensity=0.04),
    display=Display(smoothing=2.3),
)
"""An acquisition like that of the real MoS2-ReS2 images: a low-pass filtered, clipped 8-bit picture without a scale."""

COUNTS = Acquisition(dose=300.0, line_jitter=0.1)
"""An acquisition that stores detected electrons."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlloyRecipe:
    """A binary alloy on a triangular lattice of metal columns, as in MoS2, and how its columns look.

    Attributes
    ----------
    composition
        Fraction of the metal sites of the crystal that hold the second species.
    model, couplings
        Name of the lattice Hamiltonian in `tusi.generative` and its couplings, in kT.
    species
        Names of the two metals.
    intensity
        Mean column intensity of each species, relative to a column of amplitude 1.
    intensity_spread
        Relative standard deviation of the column intensities of one species.
    sulphur_intensity
        Intensity of the chalcogen columns over every second triangle; 0 for none.
    vacancy_fraction
        Fraction of the metal sites left empty.
    dimerisation
        Displacement of close-packed metal rows toward and away from each other in turn, in metal-metal distances.
    disorder
        Standard deviation of a column's random displacement along each axis, in metal-metal distances.
    spacing
        Metal-metal distance, in pixels.
    spot_width
        Standard deviation of a column's image, in metal-metal distances.
    rotation
        Angle of the close-packed rows to the x axis, in degrees; at 90 they run along y.
    distortion
        Drift and slow distortion.
    shape
        Rows and columns of the image.

    Examples
    --------
    >>> recipe = AlloyRecipe(composition=0.55, couplings=(-0.2, 0.0))
    >>> recipe.model, recipe.species
    ('P2', ('Mo', 'Re'))
    """

    composition: float
    model: str = "P2"
    couplings: tuple[float, ...] = (0.0, 0.0)
    species: tuple[str, str] = ("Mo", "Re")
    intensity: tuple[float, float] = (1.0, 1.95)
    intensity_spread: float = 0.07
    sulphur_intensity: float = 0.35
    vacancy_fraction: float = 0.0
    dimerisation: float = 0.0
    disorder: float = 0.015
    spacing: float = 24.0
    spot_width: float = 0.135
    rotation: float = 0.0
    distortion: Distortion = Distortion()
    shape: tuple[int, int] = (528, 528)

    def __post_init__(self) -> None:
        if not 0 <= self.composition <= 1:
            raise InputError("composition", expected="a fraction between 0 and 1", got=str(self.composition))
        if len(self.couplings) != len(model_named(self.model).terms):
            expected = f"{len(model_named(self.model).terms)} for the model {self.model!r}"
            raise InputError("couplings", expected=expected, got=str(self.couplings))
        if len(self.species) != 2 or len(self.intensity) != 2:
            raise InputError("species", expected="two species, two intensities", got=str(self.species))
        if not (self.spacing >= 4 and self.spot_width > 0 and 0 <= self.vacancy_fraction < 1):
            raise InputError(
                "recipe", expected="spacing >= 4 pixels, spot_width > 0, vacancy_fraction below 1", got=repr(self)
            )

    @property
    def vectors(self) -> Float[np.ndarray, "2 2"]:
        """Steps (y, x) of one row and of one column, in pixels."""
        angle = np.deg2rad(self.rotation)
        cosine, sine = np.cos(angle), np.sin(angle)
        upright = self.spacing * np.array([[np.sqrt(0.75), 0.5], [0.0, 1.0]])
        return upright @ np.array([[cosine, -sine], [sine, cosine]])


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedAlloy:
    """An image of an alloy with everything that is true about it.

    Attributes
    ----------
    grid
        The image.
    truth
        Metal columns whose centre lies inside the image, species one-hot; positions in the grid's length unit, without
        line jitter; intensities in the detector's units, before any display.
    sulphur
        Chalcogen columns inside the image, likewise.
    graph
        All metal sites inside the image as a window in the crystal; `graph.atom` are rows of `truth`.
    recipe
        What was simulated: model, couplings and all.
    acquisition
        How the image was taken.
    """

    grid: xr.DataArray
    truth: Atoms
    sulphur: Atoms
    graph: SiteGraph
    recipe: AlloyRecipe
    acquisition: Acquisition

    @property
    def composition(self) -> float:
        """Fraction of the window's metal columns that are of the second species."""
        return float(self.truth.species_probability[:, 1].mean()) if len(self.truth) else float("nan")

    @property
    def n_clusters(self) -> int:
        """Columns of the window whose six neighbours are in it too, none of the seven a vacancy."""
        complete = ~self.graph.boundary & self.graph.occupied
        return int(self.graph.occupied[self.graph.first_neighbours[complete]].all(axis=1).sum())


def simulate_alloy(
    recipe: AlloyRecipe, acquisition: Acquisition = PICTURE, *, rng: np.random.Generator, image: int = 0
) -> SimulatedAlloy:
    """Simulate one image of an alloy.

    An arrangement of the species is drawn from the Hamiltonian at the recipe's composition by canonical Monte Carlo on
    a periodic crystal at least twice as wide as the image, and the image is a window in it. The window's own
    composition therefore fluctuates as it does in an experiment.

    Parameters
    ----------
    recipe
        The alloy and its columns.
    acquisition
        How the image is taken: `PICTURE` mimics the real MoS2-ReS2 images, `COUNTS` stores electrons.
    rng
        Draws everything that is random.
    image
        Number of the image, written into the truth.

    Returns
    -------
    SimulatedAlloy
        Image and truth.

    Raises
    ------
    InputError
        The recipe is impossible.

    Examples
    --------
    >>> recipe = AlloyRecipe(composition=0.5, couplings=(-0.3, 0.0), shape=(160, 160))
    >>> alloy = simulate_alloy(recipe, COUNTS, rng=np.random.default_rng(0))
    >>> len(alloy.truth) == len(alloy.graph), alloy.n_clusters
    (True, 30)
    """
    patch = _draw_patch(recipe, rng=rng)
    metal, sulphur = _columns(recipe, patch, rng=rng)
    n_metal = len(metal)
    scene = Scene(
        position=np.concatenate([metal.position, sulphur.position]),
        amplitude=np.concatenate([metal.amplitude, sulphur.amplitude]),
        width=np.concatenate([metal.width, sulphur.width]),
        shape=recipe.shape,
    )
    scene = distort(scene, recipe.distortion, rng=rng)
    grid = acquire(scene, acquisition, rng=rng)
    seen = scene.inside
    site_seen = np.zeros(patch.species.shape, bool)
    site_seen[patch.near] = seen[:n_metal]
    graph = window_graph(patch.species, inside=site_seen, species=recipe.species, image=image)
    graph = dataclasses.replace(graph, atom=np.where(graph.occupied, np.cumsum(graph.occupied) - 1, -1))
    occupied = patch.species[patch.near] >= 0
    probability = patch.species[patch.near][:, None] == np.arange(2)
    truth = _atoms(scene[np.arange(n_metal)], grid, acquisition, image=image)
    truth = dataclasses.replace(truth, species=recipe.species, species_probability=probability.astype(float))
    return SimulatedAlloy(
        grid=grid,
        truth=truth[occupied & seen[:n_metal]],
        sulphur=_atoms(scene[np.arange(n_metal, len(scene))], grid, acquisition, image=image)[seen[n_metal:]],
        graph=graph,
        recipe=recipe,
        acquisition=acquisition,
    )


def series_recipes(
    compositions: Sequence[float] = (0.05, 0.55, 0.78, 0.95),
    *,
    couplings: tuple[float, ...] = (0.0, 0.0),
    model: str = "P2",
) -> tuple[AlloyRecipe, ...]:
    """Return recipes like the four real MoS2-ReS2 images: one Hamiltonian, growing Re content and dimerisation.

    Parameters
    ----------
    compositions
        Fraction of Re of each image.
    couplings, model
        The shared Hamiltonian; couplings in kT.

    Examples
    --------
    >>> [recipe.dimerisation for recipe in series_recipes(couplings=(-0.2, 0.0))]
    [0.0, 0.04, 0.07, 0.1]
    """
    return tuple(
        AlloyRecipe(
            composition=composition,
            model=model,
            couplings=tuple(couplings),
            dimerisation=0.0 if composition < 0.5 else round(0.04 + 0.15 * (composition - 0.55), 2),
            rotation=0.0 if composition < 0.5 else 90.0,
            disorder=0.015 if composition < 0.5 else 0.035,
            intensity_spread=0.07 if composition < 0.5 else 0.1,
            distortion=Distortion(drift=(0.002, -0.003), amplitude=0.8),
        )
        for composition in compositions
    )


def simulate_series(
    recipes: Sequence[AlloyRecipe],
    acquisition: Acquisition = PICTURE,
    *,
    rng: np.random.Generator,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> list[SimulatedAlloy]:
    """Simulate several images, independent of each other and of the number of workers.

    Parameters
    ----------
    recipes
        One per image, e.g. `series_recipes(couplings=(-0.2, 0.0))`.
    acquisition
        How each image is taken.
    rng
        Parent of the images' random streams.
    executor, progress
        Where the work runs, and who is told of every finished image.

    Examples
    --------
    >>> recipes = [AlloyRecipe(composition=x, shape=(96, 96)) for x in (0.2, 0.8)]
    >>> [alloy.graph.image for alloy in simulate_series(recipes, COUNTS, rng=np.random.default_rng(0))]
    [0, 1]
    """
    items = [(recipe, acquisition, number) for number, recipe in enumerate(recipes)]
    return (executor or SerialExecutor()).map(_simulate_item, items, rng=rng, progress=progress)


def _simulate_item(item: tuple[AlloyRecipe, Acquisition, int], rng: np.random.Generator) -> SimulatedAlloy:
    recipe, acquisition, number = item
    return simulate_alloy(recipe, acquisition, rng=rng, image=number)


@dataclasses.dataclass(frozen=True, eq=False)
class _Patch:
    """Part of the crystal in oblique axes: species (-1 for a vacancy), nominal positions, and which sites matter."""

    species: Int[np.ndarray, "row column"]
    row: Int[np.ndarray, "row 1"]
    position: Float[np.ndarray, "row column 2"]
    near: Bool[np.ndarray, "row column"]


def _draw_patch(recipe: AlloyRecipe, *, rng: np.random.Generator) -> _Patch:
    """Draw the crystal and unroll the part of it that lies under the image and a margin around it."""
    origin = rng.uniform(size=2) @ recipe.vectors
    reach = _MARGIN * recipe.spacing + abs(recipe.distortion.amplitude) * 5
    drift = np.abs(recipe.distortion.drift) * np.array(recipe.shape[0])
    low, high = -reach - drift, np.array(recipe.shape) + reach + drift
    corners = np.array([[y, x] for y in (low[0], high[0]) for x in (low[1], high[1])])
    index = (corners - origin) @ np.linalg.inv(recipe.vectors)
    first, last = np.floor(index.min(axis=0)).astype(int), np.ceil(index.max(axis=0)).astype(int)
    row, column = np.ogrid[first[0] : last[0] + 1, first[1] : last[1] + 1]
    position = origin + row[..., None] * recipe.vectors[0] + column[..., None] * recipe.vectors[1]
    near = np.all((position >= low) & (position <= high), axis=-1)
    diagonal = float(np.hypot(*(high - low)))
    side = 2 * int(np.ceil(CRYSTAL_TO_WINDOW * diagonal / np.sqrt(2) / (recipe.spacing * np.sqrt(0.75)) / 2))
    crystal = sample_crystal(
        (side, side),
        model_named(recipe.model),
        couplings=np.array(recipe.couplings),
        composition=recipe.composition,
        rng=rng,
    )
    species = crystal[row % side, column % side].astype(np.int64)
    species[rng.random(species.shape) < recipe.vacancy_fraction] = -1
    return _Patch(species, row, position, near)


def _columns(recipe: AlloyRecipe, patch: _Patch, *, rng: np.random.Generator) -> tuple[Scene, Scene]:
    """Return the metal columns near the image (vacancies have amplitude 0) and the chalcogen columns."""
    across = recipe.vectors[0] - recipe.vectors[1] / 2
    side = np.where(patch.row % 2 == 0, 0.5, -0.5)[..., None]
    displaced = patch.position + side * recipe.dimerisation * recipe.spacing * across / np.hypot(*across)
    metal = displaced[patch.near]
    centre = displaced.copy()
    centre[:-1, :-1] = (displaced[:-1, :-1] + displaced[1:, :-1] + displaced[:-1, 1:]) / 3
    chosen = patch.near.copy()
    chosen[-1:, :] = chosen[:, -1:] = False
    sulphur = centre[chosen] if recipe.sulphur_intensity > 0 else np.empty((0, 2))
    kind = patch.species[patch.near]
    mean = np.where(kind < 0, 0.0, np.array(recipe.intensity)[np.maximum(kind, 0)])
    return _scene(metal, mean, recipe, rng=rng), _scene(
        sulphur, np.full(len(sulphur), recipe.sulphur_intensity), recipe, rng=rng
    )


def _scene(position: np.ndarray, mean: np.ndarray, recipe: AlloyRecipe, *, rng: np.random.Generator) -> Scene:
    """Give columns their random displacement and intensity."""
    spread = 1 + recipe.intensity_spread * rng.normal(size=len(position))
    return Scene(
        position=position + recipe.disorder * recipe.spacing * rng.normal(size=position.shape),
        amplitude=mean * np.maximum(spread, 0.05),
        width=np.full(len(position), recipe.spot_width * recipe.spacing),
        shape=recipe.shape,
    )


def _atoms(scene: Scene, grid: xr.DataArray, acquisition: Acquisition, *, image: int) -> Atoms:
    """Return a scene's columns as a table in the grid's unit."""
    electrons = 2 * np.pi * acquisition.dose * acquisition.peak_fraction * scene.amplitude * scene.width**2
    atoms = Atoms.at(
        scene.position * pixel_size_of(grid),
        length_unit=length_unit_of(grid),
        intensity=acquisition.detector.gain * electrons,
    )
    return dataclasses.replace(atoms, image=np.full(len(scene), image))
