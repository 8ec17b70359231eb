"""The features that mix linearly: power of each spot of the local spectra above its noise floor, with known variance.

Between phases side by side in a window the *power* of a spot, summed over the few frequencies that the window function
spreads it to, grows with the area of its phase (Parseval), whereas its amplitude at one frequency does not. The noise
adds a floor to every power, which is measured where there are no spots and taken away.
"""

import dataclasses

import numpy as np
import scipy.fft as fft
import xarray as xr
from jaxtyping import Bool, Float, Int
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from tusi.structure.sliding.apply import transform_blocks
from tusi.structure.sliding.transforms import Transform, faded
from tusi.structure.sliding.windows import SlidingWindows

_RADIUS = 2.6
"""Reach of a spot, in steps of frequency: the main lobe of a Hann window, and what a border inside the window adds."""

_LEAST_FREQUENCY = 2.5
"""Closest to frequency zero, in steps: nearer lies what the window function makes of the brightness."""

_SIGNIFICANCE = 6.0
_MOST_SPOTS = 60
_LEAST_FLOOR = 1e-9
_LEAST_EMPTY = 24
_QUANTILE = 0.25
_MOST_SAMPLES = 400
"""Windows from which the noise is measured."""

_N_ROUNDS = 2


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PowerSpectra:
    """Spots found in the local spectra of an image, and the power of each in each window.

    Attributes
    ----------
    power
        Power of each spot above the noise floor, in units of the mean of all.
    noise_scale
        Noise of each window relative to the mean window.
    constant, slope
        Variance of a spot's power: `noise_scale**2 * constant + noise_scale * slope * mean`.
    floor
        Mean power of the noise at each frequency, same unit as `mean_power`.
    mean_power
        Mean of the windows' spectra, frequency zero in the middle.
    spot
        Number of the spot that each frequency belongs to, -1 for none.
    noise_deviation
        Standard deviation of the noise of a pixel, were it white, in signal units.
    """

    power: Float[np.ndarray, "window spot"]
    noise_scale: Float[np.ndarray, " window"]
    constant: Float[np.ndarray, " spot"]
    slope: Float[np.ndarray, " spot"]
    floor: Float[np.ndarray, "ky kx"]
    mean_power: Float[np.ndarray, "ky kx"]
    spot: Int[np.ndarray, "ky kx"]
    noise_deviation: float


def measure_spots(grid: xr.DataArray, windows: SlidingWindows) -> PowerSpectra:
    """Find the spots of an image's local spectra, and measure them in every window.

    The floor is a low quantile over windows and over rings of frequency, spots left out. Spots are maxima of the mean
    spectrum that stand six standard errors above the floor; a frequency belongs to the nearest spot within 2.6 steps.
    The noise of a window follows its brightness linearly, as counts do, by a fit to the power outside all spots.

    Parameters
    ----------
    grid
        One image.
    windows
        Size, step and window function.

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> y, x = np.mgrid[:96, :96]
    >>> noise = 0.5 * np.random.default_rng(1).standard_normal((96, 96))
    >>> found = measure_spots(make_grid(np.cos(2 * np.pi * x / 6.0) + noise), SlidingWindows(size=24))
    >>> found.power.shape, round(found.noise_deviation, 1)
    ((49, 1), 0.5)
    """
    n_windows = int(np.prod(windows.counts((grid.sizes["y"], grid.sizes["x"]))))
    mean_power, sample = _mean_and_sample(grid, windows, n_windows)
    n_independent = n_windows / windows.shared_power
    spot = np.full(mean_power.shape, -1)
    for _ in range(_N_ROUNDS):
        floor = _floor(sample, _empty(spot))
        spot = _spots(mean_power, floor, n_independent)
    n_spots = int(spot.max()) + 1
    empty = _empty(spot)
    sums = _SpotSums(spot=spot, empty=empty, floor=floor)
    measured = np.empty((n_windows, n_spots + 2))
    for number, block in transform_blocks(grid, windows, transform=sums):
        measured[number] = block
    scale = _noise_scale(measured[:, -2], measured[:, -1], n_empty=int(empty.sum()))
    under = np.bincount(spot[spot >= 0], floor[spot >= 0], minlength=n_spots)
    unit = float((measured[:, :n_spots] - scale[:, None] * under).mean()) if n_spots else 1.0
    unit = unit if unit > 0 else 1.0
    constant, slope = _variance(spot, floor, windows)
    return PowerSpectra(
        power=(measured[:, :n_spots] - scale[:, None] * under) / unit,
        noise_scale=scale,
        constant=constant / unit**2,
        slope=slope / unit,
        floor=floor,
        mean_power=mean_power,
        spot=spot,
        noise_deviation=float(np.sqrt(np.median(floor) / (windows.weight**2).sum())),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class WindowPower(Transform):
    """The power spectrum of each window, as a row of 64-bit numbers."""

    def axes(self, shape: tuple[int, int], *, step: float, unit: str) -> dict:  # noqa: ARG002
        """Return one dimension."""
        return {"frequency": (np.arange(shape[0] * shape[1]), "1")}

    def apply(self, patches: Float[np.ndarray, "window y x"], weight: Float[np.ndarray, "y x"]) -> np.ndarray:
        """Return the spectra."""
        return _power(patches, weight).reshape(len(patches), -1)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _SpotSums(Transform):
    """Power in each spot, power over floor outside all spots, and brightness."""

    spot: np.ndarray
    empty: np.ndarray
    floor: np.ndarray

    def axes(self, shape: tuple[int, int], *, step: float, unit: str) -> dict:  # noqa: ARG002
        return {"feature": (np.arange(int(self.spot.max()) + 3), "1")}

    def apply(self, patches: Float[np.ndarray, "window y x"], weight: Float[np.ndarray, "y x"]) -> np.ndarray:
        power = _power(patches, weight).reshape(len(patches), -1)
        inside = np.flatnonzero(self.spot.ravel() >= 0)
        n_spots = int(self.spot.max()) + 1
        member = np.zeros((len(inside), n_spots))
        member[np.arange(len(inside)), self.spot.ravel()[inside]] = 1.0
        outside = np.flatnonzero(self.empty.ravel())
        ratio = power[:, outside] @ (1.0 / self.floor.ravel()[outside]) / max(len(outside), 1)
        brightness = np.einsum("wyx,yx->w", patches, weight) / weight.sum()
        return np.column_stack([power[:, inside] @ member, ratio, brightness])


def _power(patches: Float[np.ndarray, "window y x"], weight: Float[np.ndarray, "y x"]) -> np.ndarray:
    """Return the full power spectra, frequency zero in the middle."""
    found = fft.fft2(faded(patches, weight))
    return fft.fftshift(found.real**2 + found.imag**2, axes=(1, 2))


def _mean_and_sample(grid: xr.DataArray, windows: SlidingWindows, n_windows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the windows' spectra, and the spectra of some windows spread over the image."""
    total, kept = np.zeros(windows.weight.size), []
    every = -(-n_windows // _MOST_SAMPLES)
    for number, block in transform_blocks(grid, windows, transform=WindowPower()):
        total += block.sum(axis=0)
        kept.append(block[number % every == 0])
    return (total / n_windows).reshape(windows.shape), np.concatenate(kept).reshape(-1, *windows.shape)


def _order(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the frequencies along y and x, zero in the middle."""
    return tuple(fft.fftshift(np.rint(fft.fftfreq(n) * n)) for n in shape)  # pyright: ignore[reportReturnType]


def _radius(shape: tuple[int, int]) -> Float[np.ndarray, "ky kx"]:
    """Return the distance from frequency zero, in steps of frequency."""
    y, x = _order(shape)
    return np.hypot(y[:, None], x)


def _half(shape: tuple[int, int]) -> Bool[np.ndarray, "ky kx"]:
    """Return one of each pair of opposite frequencies."""
    y, x = _order(shape)
    return (x > 0) | ((x == 0) & (y[:, None] > 0))


def _floor(sample: Float[np.ndarray, "window ky kx"], empty: Bool[np.ndarray, "ky kx"]) -> Float[np.ndarray, "ky kx"]:
    """Return the mean power of noise alone, from a low quantile over windows on each ring of frequency.

    Noise has exponentially distributed power. The quantile passes over windows with more in them than noise.
    """
    shape = sample.shape[1:]
    y, x = (order / n for order, n in zip(_order(shape), shape, strict=True))
    frequency = np.hypot(y[:, None], x)
    n_rings = max(min(shape) // 4, 2)
    ring = np.minimum((frequency * 2 * n_rings).astype(int), n_rings - 1)
    least = max(_LEAST_FLOOR * float(sample.max()), np.finfo(float).tiny)
    rings = [r for r in range(n_rings) if (empty & (ring == r)).sum() >= _LEAST_EMPTY]
    if not rings:
        return np.full(shape, max(float(np.quantile(sample, _QUANTILE)) / -np.log1p(-_QUANTILE), least))
    middle = np.array([frequency[empty & (ring == r)].mean() for r in rings])
    value = np.array([np.quantile(sample[:, empty & (ring == r)], _QUANTILE) for r in rings]) / -np.log1p(-_QUANTILE)
    return np.exp(np.interp(frequency, middle, np.log(np.maximum(value, least))))


def _spots(
    mean_power: Float[np.ndarray, "ky kx"], floor: Float[np.ndarray, "ky kx"], n_independent: float
) -> Int[np.ndarray, "ky kx"]:
    """Return the spot that each frequency belongs to, strongest first; each pair of opposite spots once."""
    peak = (mean_power == maximum_filter(mean_power, 3, mode="wrap")) & (_radius(mean_power.shape) > _LEAST_FREQUENCY)
    peak &= mean_power / floor - 1.0 > _SIGNIFICANCE / np.sqrt(n_independent)
    place = np.argwhere(peak)
    if not len(place):
        return np.full(mean_power.shape, -1)
    place = place[np.argsort(-mean_power[tuple(place.T)], kind="stable")]
    y, x = _order(mean_power.shape)
    distance, nearest = cKDTree(place).query(np.argwhere(np.ones(mean_power.shape, dtype=bool)))
    half = _half(mean_power.shape)[tuple(place.T)]
    half |= ~_has_opposite(np.column_stack([y[place[:, 0]], x[place[:, 1]]]))
    number = np.full(len(place), -1)
    chosen = np.flatnonzero(half)[:_MOST_SPOTS]
    number[chosen] = np.arange(len(chosen))
    found = np.where(distance <= _RADIUS, number[nearest], -1).reshape(mean_power.shape)
    return np.where(_radius(mean_power.shape) > 1.5, found, -1)


def _has_opposite(order: Float[np.ndarray, "peak 2"]) -> Bool[np.ndarray, " peak"]:
    """Say for each peak whether its opposite is a peak too (not so for some at the largest frequencies)."""
    known = {tuple(one) for one in order.tolist()}
    return np.array([(-one[0], -one[1]) in known for one in order.tolist()])


def _empty(spot: Int[np.ndarray, "ky kx"]) -> Bool[np.ndarray, "ky kx"]:
    """Return one of each pair of opposite frequencies, far from zero and from all spots."""
    return _half(spot.shape) & (_radius(spot.shape) > _LEAST_FREQUENCY) & ~_near(spot >= 0)


def _near(mask: Bool[np.ndarray, "ky kx"]) -> Bool[np.ndarray, "ky kx"]:
    """Return the mask and its opposite, wider by two steps."""
    opposite = np.roll(mask[::-1, ::-1], tuple((n + 1) % 2 for n in mask.shape), axis=(0, 1))
    return maximum_filter(mask | opposite, 5, mode="wrap")


def _noise_scale(
    ratio: Float[np.ndarray, " window"], brightness: Float[np.ndarray, " window"], *, n_empty: int
) -> Float[np.ndarray, " window"]:
    """Return each window's noise relative to the mean: a straight line in its brightness, where that is significant."""
    spread = float(np.ptp(brightness))
    if n_empty < _LEAST_EMPTY or len(ratio) < _LEAST_EMPTY or not spread > 0:
        return np.ones(len(ratio))
    design = np.column_stack([np.ones(len(ratio)), (brightness - brightness.mean()) / spread])
    coefficient, *_ = np.linalg.lstsq(design, ratio, rcond=None)
    error = np.sqrt(((ratio - design @ coefficient) ** 2).mean() * np.linalg.inv(design.T @ design)[1, 1])
    if abs(coefficient[1]) < 5.0 * error:
        coefficient[1] = 0.0
    return np.clip(design @ coefficient, 0.2, 5.0)


def _variance(
    spot: Int[np.ndarray, "ky kx"], floor: Float[np.ndarray, "ky kx"], windows: SlidingWindows
) -> tuple[Float[np.ndarray, " spot"], Float[np.ndarray, " spot"]]:
    """Return the variance of a spot's noise power, and how fast the variance grows with the spot's power.

    Noise at two frequencies is correlated as the Fourier transform of the squared window function.
    """
    squared = windows.weight**2
    correlation = np.abs(fft.fft2(squared)) / squared.sum()
    spread = windows.weight.size * (squared**2).sum() / squared.sum() ** 2
    constant, slope = [], []
    for k in range(int(spot.max()) + 1):
        place = np.argwhere(spot == k)
        noise = floor[tuple(place.T)]
        difference = place[:, None] - place
        shared = correlation[difference[..., 0] % spot.shape[0], difference[..., 1] % spot.shape[1]] ** 2
        constant.append(noise @ shared @ noise)
        slope.append(2.0 * spread * noise.mean())
    return np.array(constant), np.array(slope)
