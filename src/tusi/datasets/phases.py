"""Images of two or three crystalline phases side by side, with the area of each phase known in every window."""

import dataclasses

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter

from tusi.data import make_grid
from tusi.errors import InputError
from tusi.structure.sliding import SlidingWindows

LAYOUTS = ("stripes", "domains")
"""How phases may lie side by side: parallel stripes across a slope, or irregular domains."""

_N_BALANCING = 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrystalPhase:
    """A crystal of round columns in projection.

    Attributes
    ----------
    vectors
        The two lattice vectors, each (y, x), in pixels.
    basis
        Fractional coordinates of the columns along the two vectors.
    brightness
        Peak of each column, in signal units.
    width
        Standard deviation of a column, in pixels.

    Examples
    --------
    >>> phase = CrystalPhase(vectors=((8.0, 0.0), (0.0, 8.0)), basis=((0.0, 0.0),), brightness=(1.0,), width=1.6)
    >>> image = phase.image((32, 32))
    >>> round(float(image[0, 0]), 3), round(float(image[4, 4]), 3)
    (1.0, 0.008)
    """

    vectors: tuple[tuple[float, float], tuple[float, float]]
    basis: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    brightness: tuple[float, ...] = (1.0,)
    width: float = 1.6

    def __post_init__(self) -> None:
        if len(self.basis) != len(self.brightness) or not self.basis:
            raise InputError("brightness", expected=f"one for each of {len(self.basis)} columns, at least one",
                             got=str(len(self.brightness)))  # fmt: skip
        if abs(np.linalg.det(np.array(self.vectors))) < 1.0 or not self.width > 0:
            raise InputError("vectors", expected="a cell of at least one pixel and a width above zero", got=repr(self))

    def image(self, shape: tuple[int, int]) -> Float[np.ndarray, "y x"]:
        """Return the crystal's image, by its Fourier series.

        Parameters
        ----------
        shape
            Height and width, in pixels.
        """
        reciprocal = np.linalg.inv(np.array(self.vectors)).T
        area = abs(np.linalg.det(np.array(self.vectors)))
        reach = int(np.ceil(1.2 / self.width / np.linalg.norm(reciprocal, axis=1).min())) + 1
        order = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
        frequency = order @ reciprocal
        envelope = np.exp(-2.0 * np.pi**2 * self.width**2 * (frequency**2).sum(axis=1))
        kept = envelope > 1e-7
        phase = np.exp(-2j * np.pi * order[kept] @ np.array(self.basis).T) @ np.array(self.brightness)
        factor = 2.0 * np.pi * self.width**2 / area * envelope[kept] * phase
        along_y = np.exp(2j * np.pi * np.arange(shape[0])[:, None] * frequency[kept, 0])
        along_x = np.exp(2j * np.pi * np.arange(shape[1])[:, None] * frequency[kept, 1])
        return ((along_y * factor) @ along_x.T).real


SQUARE_PHASE = CrystalPhase(vectors=((8.0, 0.0), (0.0, 8.0)), width=1.7)
HEXAGONAL_PHASE = CrystalPhase(vectors=((6.57, 1.76), (1.76, 6.57)), width=1.5)
DIMERISED_PHASE = CrystalPhase(
    vectors=((8.0, 0.0), (0.0, 16.0)), basis=((0.0, 0.06), (0.0, 0.44)), brightness=(1.0, 1.0), width=1.7
)
"""The square phase with its columns in pairs along x: it shares every peak of the square phase and adds some."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhasesRecipe:
    """How an image of several phases is made.

    Attributes
    ----------
    phases
        The crystals.
    shape
        Height and width of the image, in pixels.
    layout
        "stripes" or "domains".
    domain_size
        Standard deviation of the filter behind irregular domains, or width of a stripe, in pixels.
    snr
        Variance of the noise-free image (its mean power about its mean) over variance of the noise.
    pixel_size
        Side of a pixel, in angstrom; `None` for an image in pixels.

    Examples
    --------
    >>> PhasesRecipe(phases=(SQUARE_PHASE, HEXAGONAL_PHASE), shape=(64, 96)).snr
    10.0
    """

    phases: tuple[CrystalPhase, ...] = (SQUARE_PHASE, HEXAGONAL_PHASE)
    shape: tuple[int, int] = (384, 384)
    layout: str = "domains"
    domain_size: float = 64.0
    snr: float = 10.0
    pixel_size: float | None = None

    def __post_init__(self) -> None:
        if not self.phases:
            raise InputError("phases", expected="at least one", got="none")
        if self.layout not in LAYOUTS:
            raise InputError("layout", expected=f"one of {', '.join(LAYOUTS)}", got=repr(self.layout))
        if not (self.snr > 0 and self.domain_size > 0):
            raise InputError("snr", expected="snr and domain_size above zero", got=f"{self.snr} and {self.domain_size}")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedPhases:
    """An image of several phases, and the truth.

    Attributes
    ----------
    recipe
        How it was made.
    grid
        The image with noise.
    label
        Phase of each pixel.
    noise_deviation
        Standard deviation of the noise, in signal units.
    """

    recipe: PhasesRecipe
    grid: xr.DataArray
    label: Int[np.ndarray, "y x"]
    noise_deviation: float

    def abundance(self, windows: SlidingWindows) -> Float[np.ndarray, "window phase"]:
        """Return the share of each phase in each window, every pixel weighted by the squared window function.

        Parameters
        ----------
        windows
            Size, step and window function.
        """
        weight = windows.weight**2 / (windows.weight**2).sum()
        seen = self._seen(windows)
        return np.stack([(seen == k) @ weight.ravel() for k in range(len(self.recipe.phases))], axis=1).round(12)

    def inside(self, windows: SlidingWindows) -> Int[np.ndarray, " window"]:
        """Return the phase of each window that lies inside one phase, and -1 for windows over an interface.

        Parameters
        ----------
        windows
            Size, step and window function.
        """
        seen = self._seen(windows)
        return np.where((seen == seen[:, :1]).all(axis=1), seen[:, 0], -1)

    def _seen(self, windows: SlidingWindows) -> Int[np.ndarray, "window pixel"]:
        """Return the labels of each window's pixels."""
        windows.counts(self.recipe.shape)
        views = np.lib.stride_tricks.sliding_window_view(self.label, windows.shape)
        return views[:: windows.strides[0], :: windows.strides[1]].reshape(-1, windows.weight.size)


def simulate_phases(recipe: PhasesRecipe = PhasesRecipe(), *, rng: np.random.Generator) -> SimulatedPhases:
    """Return an image of several phases side by side, with white Gaussian noise.

    Interfaces are sharp: each pixel shows the crystal of its own phase, and all crystals share one origin. The crystals
    are scaled to the same variance. Irregular domains belong to the largest of as many smooth random fields, raised or
    lowered until all phases have about the same area.

    Parameters
    ----------
    recipe
        Phases, sizes, and noise.
    rng
        Source of randomness.

    Returns
    -------
    SimulatedPhases
        The image, with the truth beside it.

    Examples
    --------
    >>> world = simulate_phases(PhasesRecipe(shape=(128, 192)), rng=np.random.default_rng(1))
    >>> windows = SlidingWindows(size=32)
    >>> world.abundance(windows).sum(axis=1).round(9).min().item(), sorted(set(world.inside(windows).tolist()))
    (1.0, [-1, 0, 1])
    """
    label = _labels(recipe, rng)
    images = np.stack([phase.image(recipe.shape) for phase in recipe.phases])
    images /= images.std(axis=(1, 2), keepdims=True)
    clean = np.take_along_axis(images, label[None], axis=0)[0]
    deviation = float(np.sqrt(clean.var() / recipe.snr))
    noisy = clean + deviation * rng.standard_normal(recipe.shape)
    return SimulatedPhases(
        recipe=recipe,
        grid=make_grid(noisy, pixel_size=recipe.pixel_size, name="phases"),
        label=label,
        noise_deviation=deviation,
    )


def _labels(recipe: PhasesRecipe, rng: np.random.Generator) -> Int[np.ndarray, "y x"]:
    """Return the phase of each pixel."""
    n = len(recipe.phases)
    if recipe.layout == "stripes":
        y, x = np.ogrid[: recipe.shape[0], : recipe.shape[1]]
        slope, start = rng.uniform(-0.5, 0.5), rng.uniform(0, n * recipe.domain_size)
        return np.floor((x + slope * y + start) / recipe.domain_size).astype(np.int64) % n
    fields = gaussian_filter(
        rng.standard_normal((n, *recipe.shape)), recipe.domain_size, axes=(1, 2), mode="reflect", truncate=3.0
    )
    fields /= fields.std(axis=(1, 2), keepdims=True)
    for _ in range(_N_BALANCING):
        share = np.bincount(fields.argmax(axis=0).ravel(), minlength=n) / fields[0].size
        fields -= (share - 1.0 / n)[:, None, None]
    return fields.argmax(axis=0)
