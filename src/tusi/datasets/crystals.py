"""Simulated crystals whose strain, off-centring, tilt and dimerisation are known: atoms with errors, and images."""

import dataclasses

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter

from tusi.data import Atoms, Lattice
from tusi.errors import InputError
from tusi.imaging import Acquisition, Scene, acquire

CENTRE, ROW_OXYGEN, COLUMN_OXYGEN = 1, 2, 3
"""Basis sites of the perovskite cell that are displaced: the cation in the cage, and the anions around it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StrainField:
    """Displacement that is slow from cell to cell: a uniform gradient and a standing wave.

    Attributes
    ----------
    gradient
        du_i/dx_j for i, j in (y, x).
    amplitude
        Amplitude of u_y = sin(2 pi x / wavelength) and of u_x = sin(2 pi (x + y) / wavelength), in angstrom.
    wavelength
        In angstrom.
    """

    gradient: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 0.0), (0.0, 0.0))
    amplitude: float = 0.0
    wavelength: float = 80.0

    def displacement(self, position: Float[np.ndarray, "atom 2"]) -> Float[np.ndarray, "atom 2"]:
        """Return the displacement (y, x) of points of the unstrained crystal."""
        k = 2 * np.pi / self.wavelength
        y, x = position.T
        wave = np.stack([np.sin(k * x), np.sin(k * (x + y))], axis=1)
        return position @ np.array(self.gradient).T + self.amplitude * wave

    def gradient_at(self, position: Float[np.ndarray, "atom 2"]) -> Float[np.ndarray, "atom 2 2"]:
        """Return the gradient du_i/dx_j at points of the unstrained crystal."""
        k = 2 * np.pi / self.wavelength
        y, x = position.T
        slope = np.zeros((len(position), 2, 2))
        slope[:, 0, 1] = np.cos(k * x)
        slope[:, 1, 0] = slope[:, 1, 1] = np.cos(k * (x + y))
        return np.array(self.gradient) + self.amplitude * k * slope


@dataclasses.dataclass(frozen=True, kw_only=True)
class Polar:
    """Displacement of the cation in each cage, alike everywhere or with a wall across x.

    Attributes
    ----------
    displacement
        (y, x), in angstrom.
    wall_width
        The displacement goes as tanh of the distance from the middle column over this, in angstrom; 0 for no wall.
    """

    displacement: tuple[float, float] = (0.0, 0.0)
    wall_width: float = 0.0

    def at(self, position: Float[np.ndarray, "atom 2"]) -> Float[np.ndarray, "atom 2"]:
        """Return the displacement at each place, in angstrom."""
        x = position[:, 1] - position[:, 1].mean() if len(position) else position[:, 1]
        profile = np.tanh(x / self.wall_width) if self.wall_width > 0 else np.ones(len(position))
        return profile[:, None] * np.array(self.displacement)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OffCentre:
    """Displacements of single cations that average to zero.

    Attributes
    ----------
    amplitude
        Root mean square length of the displacement, in angstrom.
    n_sites
        Sites at that distance, the first along x + y; 0 for normally distributed displacements.
    correlation_length
        Standard deviation of the Gaussian over which displacements are alike, in cells; 0 for independent ones.
    """

    amplitude: float = 0.0
    n_sites: int = 0
    correlation_length: float = 0.0

    def draw(self, shape: tuple[int, int], rng: np.random.Generator) -> Float[np.ndarray, "row column 2"]:
        """Draw the displacement of every cell."""
        field = rng.standard_normal((*shape, 2))
        if self.correlation_length > 0:
            width = (self.correlation_length, self.correlation_length, 0)
            field = gaussian_filter(field, width, mode="wrap")
            field /= field.std()
        if self.n_sites == 0:
            return self.amplitude / np.sqrt(2) * field
        sector = 2 * np.pi / self.n_sites
        angle = np.pi / 4 + sector * np.floor(np.arctan2(field[..., 0], field[..., 1]) % (2 * np.pi) / sector)
        return self.amplitude * np.stack([np.sin(angle), np.cos(angle)], axis=-1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dimerisation:
    """A displacement wave of period two on the first kind of site.

    Attributes
    ----------
    amplitude
        Of the displacement, in angstrom: neighbours come closer, and further apart, by twice its share along the bond.
    wave
        Multiples of row and column whose sum gives the sign: (0, 1) alternates from column to column.
    columns
        First and last column of the dimerised part, in cells; `None` for all of it.
    """

    amplitude: float = 0.0
    wave: tuple[int, int] = (0, 1)
    columns: tuple[int, int] | None = None

    def at(self, cell: Int[np.ndarray, "atom 2"], vectors: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "atom 2"]:
        """Return the displacement of each cell, across the lines of equal sign."""
        steps = np.array(self.wave[::-1] if self.wave[0] != self.wave[1] else self.wave)
        along = steps @ vectors
        across = np.array([-along[1], along[0]]) / np.hypot(*along)
        sign = (-1.0) ** (cell @ np.array(self.wave))
        if self.columns is not None:
            sign = sign * ((cell[:, 1] >= self.columns[0]) & (cell[:, 1] <= self.columns[1]))
        return self.amplitude * sign[:, None] * across


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrystalRecipe:
    """A crystal, what is displaced in it, and how well its columns are seen.

    The defaults make a perovskite along [001] of which the cations are seen, a cation in a cage of four.

    Attributes
    ----------
    vectors
        Lattice vectors as rows (y, x), in angstrom.
    basis
        Places of the basis sites, in lattice vectors.
    intensity
        Relative intensity of each basis site.
    shape
        Rows and columns of cells.
    strain, polar, off_centre, dimerisation
        What is displaced: everything slowly, the second kind of site, and the first.
    tilt
        Angle by which the anions (third and fourth kind) of neighbouring cages turn to and fro, in rad.
    disorder
        Standard deviation of a random displacement of every column along each axis, in angstrom.
    noise
        Standard deviation of the error of a typical position along y, in angstrom; it varies from column to column by a
        quarter.
    noise_ratio
        Error along x over that along y.
    """

    vectors: tuple[tuple[float, float], tuple[float, float]] = ((3.9, 0.0), (0.0, 3.9))
    basis: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.5, 0.5))
    intensity: tuple[float, ...] = (1.0, 0.5)
    shape: tuple[int, int] = (24, 24)
    strain: StrainField = StrainField()
    polar: Polar = Polar()
    off_centre: OffCentre = OffCentre()
    dimerisation: Dimerisation = Dimerisation()
    tilt: float = 0.0
    disorder: float = 0.0
    noise: float = 0.05
    noise_ratio: float = 1.5

    def __post_init__(self) -> None:
        if len(self.basis) != len(self.intensity) or not self.basis:
            raise InputError("basis", expected="basis sites, an intensity for each", got=str(self.basis))
        if min(self.shape) < 1 or self.noise < 0 or not self.noise_ratio > 0:
            raise InputError("recipe", expected="cells, noise >= 0 and noise_ratio > 0", got=repr(self))
        if self.tilt and len(self.basis) <= COLUMN_OXYGEN:
            raise InputError("tilt", expected="a basis with anions", got=str(self.basis), then="Use `with_anions`.")

    @classmethod
    def triangular(cls, *, spacing: float = 3.16, **fields: object) -> "CrystalRecipe":
        """Return a triangular lattice of one kind of site, like the metal of a dichalcogenide."""
        vectors = ((spacing * np.sqrt(0.75), -spacing / 2), (0.0, spacing))
        return cls(**{"vectors": vectors, "basis": ((0.0, 0.0),), "intensity": (1.0,), **fields})  # pyright: ignore[reportArgumentType]

    @classmethod
    def with_anions(cls, **fields: object) -> "CrystalRecipe":
        """Return a perovskite whose anions are seen too."""
        basis = ((0.0, 0.0), (0.5, 0.5), (0.5, 0.0), (0.0, 0.5))
        return cls(**{"basis": basis, "intensity": (1.0, 0.6, 0.2, 0.2), **fields})  # pyright: ignore[reportArgumentType]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedCrystal:
    """A crystal with everything that is true about it.

    Attributes
    ----------
    atoms
        The columns as they were measured, with the true covariance of the errors; a row for each site of `lattice`.
    lattice
        Index and expected place of every column.
    position
        True positions, in angstrom.
    gradient
        True gradient of the slow displacement at each column.
    off_centring
        True displacement of each column from where its lattice site stands in the strained crystal, in angstrom.
    recipe
        What was simulated.
    """

    atoms: Atoms
    lattice: Lattice
    position: Float[np.ndarray, "atom 2"]
    gradient: Float[np.ndarray, "atom 2 2"]
    off_centring: Float[np.ndarray, "atom 2"]
    recipe: CrystalRecipe

    def image(
        self, acquisition: Acquisition, *, rng: np.random.Generator, pixel_size: float = 0.2, spot_width: float = 0.5
    ) -> xr.DataArray:
        """Take an image of the crystal's inside, columns being Gaussian spots.

        Parameters
        ----------
        acquisition
            How the image is taken; its pixel size is set here.
        rng
            Draws the noise.
        pixel_size, spot_width
            Side of a pixel and standard deviation of a spot, in angstrom.
        """
        low, high = self.position.min(axis=0), self.position.max(axis=0)
        n_pixels = np.floor((high - low) / pixel_size).astype(int) + 1
        scene = Scene(
            position=(self.position - low) / pixel_size,
            amplitude=np.array(self.recipe.intensity)[self.lattice.index[:, 2]],
            width=np.full(len(self.position), spot_width / pixel_size),
            shape=(int(n_pixels[0]), int(n_pixels[1])),
        )
        grid = acquire(scene, dataclasses.replace(acquisition, pixel_size=pixel_size), rng=rng)
        for axis, start in zip(("y", "x"), low, strict=True):
            shifted = xr.DataArray(grid.coords[axis].values + start, dims=axis, attrs=grid.coords[axis].attrs)
            grid = grid.assign_coords({axis: shifted})
        return grid


def simulate_crystal(recipe: CrystalRecipe, *, rng: np.random.Generator, image: int = 0) -> SimulatedCrystal:
    """Simulate a crystal: where its columns are, where they are seen, and how sure that is.

    Parameters
    ----------
    recipe
        The crystal.
    rng
        Draws off-centring, disorder and errors.
    image
        Number of the image, written into the tables.

    Returns
    -------
    SimulatedCrystal
        Atoms, lattice and truth.

    Examples
    --------
    >>> recipe = CrystalRecipe(shape=(5, 6), polar=Polar(displacement=(0.0, 0.1)))
    >>> crystal = simulate_crystal(recipe, rng=np.random.default_rng(0))
    >>> len(crystal.atoms), crystal.off_centring[-1].round(3).tolist()
    (60, [0.0, 0.1])
    """
    vectors, basis = np.array(recipe.vectors), np.array(recipe.basis)
    sizes = (*recipe.shape, len(basis))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in sizes), indexing="ij"), axis=-1).reshape(-1, 3)
    cell, kind = index[:, :2], index[:, 2]
    ideal = (cell + basis[kind]) @ vectors
    strained = ideal + recipe.strain.displacement(ideal)
    away = _off_centring(recipe, index, ideal, rng=rng)
    position = strained + away
    covariance = _covariance(recipe, len(index), rng=rng)
    error = (np.linalg.cholesky(covariance) @ rng.standard_normal((len(index), 2, 1)))[:, :, 0] if recipe.noise else 0.0
    atoms = Atoms.at(position + error, length_unit="angstrom", intensity=np.array(recipe.intensity)[kind])
    edge = (cell == 0).any(axis=1) | (cell == np.array(recipe.shape) - 1).any(axis=1)
    lattice = Lattice(
        index=index,
        position=strained,
        atom=np.arange(len(index)),
        vacancy_probability=np.zeros(len(index)),
        domain=np.zeros(len(index)),
        boundary=edge,
        vectors=vectors[None],
        basis=basis,
        image=image,
        length_unit="angstrom",
    )
    atoms = dataclasses.replace(atoms, covariance=covariance, image=np.full(len(index), image))
    gradient = recipe.strain.gradient_at(ideal)
    return SimulatedCrystal(
        atoms=atoms, lattice=lattice, position=position, gradient=gradient, off_centring=away, recipe=recipe
    )


def _off_centring(
    recipe: CrystalRecipe,
    index: Int[np.ndarray, "atom 3"],
    ideal: Float[np.ndarray, "atom 2"],
    *,
    rng: np.random.Generator,
) -> Float[np.ndarray, "atom 2"]:
    """Return the displacement of each column from its lattice site."""
    away = recipe.disorder * rng.standard_normal(ideal.shape)
    cell, kind = index[:, :2], index[:, 2]
    first, centre = kind == 0, kind == CENTRE
    away[first] += recipe.dimerisation.at(cell[first], np.array(recipe.vectors))
    away[centre] += recipe.polar.at(ideal[centre])
    away[centre] += recipe.off_centre.draw(recipe.shape, rng)[tuple(cell[centre].T)]
    lever = 0.5 * recipe.tilt * (-1.0) ** cell.sum(axis=1) * np.linalg.norm(recipe.vectors, axis=1).mean()
    away[kind == ROW_OXYGEN, 0] -= lever[kind == ROW_OXYGEN]
    away[kind == COLUMN_OXYGEN, 1] += lever[kind == COLUMN_OXYGEN]
    return away


def _covariance(recipe: CrystalRecipe, n_atoms: int, *, rng: np.random.Generator) -> Float[np.ndarray, "atom 2 2"]:
    """Return the covariance of each column's error: larger along x, not quite along the axes, and not all alike."""
    tenth = 0.1 * recipe.noise_ratio
    shape = np.array([[1.0, tenth], [tenth, recipe.noise_ratio**2]])
    size = (recipe.noise * rng.uniform(0.75, 1.25, n_atoms)) ** 2
    return size[:, None, None] * shape
