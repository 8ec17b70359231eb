"""The power spectrum of an image, split into diffuse signal, filtered noise and rounding."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.optimize import least_squares

ROUNDING = 1 / 12
"""Variance of rounding, in steps squared."""

_LOWEST, _HIGHEST, _BIN = 0.06, 0.5, 0.01
_LEAST_PIXELS = 8
_SMOOTHINGS = (0.05, 0.7, 1.3, 2.0, 2.6, 3.2, 4.0, 5.0)
_FILTER_CROSSING = 0.42
_MOST_STEPS = 40, 200
_WIDTH_TOLERANCE = 0.03
_LARGEST_SMOOTHING = 0.95
_LARGEST_FLOOR, _COUNTS_TO_FLOOR = 2.5, 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseSpectrum:
    """Power of the noise per pixel at spatial frequency f, in cycles per pixel.

    `white exp(-(2 pi smoothing f)^2) + floor / (1 + (f / floor_frequency)^2)`: white noise behind a Gaussian filter,
    and what rounding and other processing of a display add.

    Attributes
    ----------
    white
        Power of the noise before the filter, in signal units squared.
    smoothing
        Standard deviation of the filter, in pixels.
    floor, floor_frequency
        Power that no filter removed, in signal units squared, and the frequency at which it has halved.
    signal_frequency
        The highest frequency at which the diffuse signal exceeds the noise, in cycles per pixel.
    """

    white: float
    smoothing: float
    floor: float
    floor_frequency: float
    signal_frequency: float

    def transfer(self, frequency: Float[np.ndarray, "*bin"]) -> Float[np.ndarray, "*bin"]:
        """Return the factor by which the filter damps an amplitude at this frequency."""
        return np.exp(-2 * (np.pi * self.smoothing * frequency) ** 2)

    def filtered(self, frequency: Float[np.ndarray, "*bin"]) -> Float[np.ndarray, "*bin"]:
        """Return the power of the filtered noise at this frequency."""
        return self.white * self.transfer(frequency) ** 2

    def rounding(self, frequency: Float[np.ndarray, "*bin"]) -> Float[np.ndarray, "*bin"] | np.floating:
        """Return the power of what the filter did not touch at this frequency."""
        return self.floor / (1 + (frequency / self.floor_frequency) ** 2)


@dataclasses.dataclass(frozen=True, eq=False)
class RadialPower:
    """Median power of an image in rings of spatial frequency, scaled to the mean of an exponential distribution."""

    frequency: Float[np.ndarray, " ring"]
    power: Float[np.ndarray, " ring"]
    n_pixels: Float[np.ndarray, " ring"]


def frequencies(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies of `rfft2` along y (as a column) and x (as a row), in cycles per pixel."""
    return np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]


def noise_sector(shape: tuple[int, int], fast_axis: str) -> np.ndarray:
    """Return the frequencies closer to the fast axis than to the slow one: line jitter has its power elsewhere."""
    y, x = frequencies(shape)
    fast, slow = (x, y) if fast_axis == "x" else (y, x)
    return (np.abs(fast) > np.abs(slow)) & (x > 0)


def radial_power(image: Float[np.ndarray, "y x"], *, fast_axis: str) -> RadialPower:
    """Return the median power in rings; medians pass over Bragg peaks and other lines."""
    window = np.outer(np.hanning(image.shape[0] + 2)[1:-1], np.hanning(image.shape[1] + 2)[1:-1])
    centred = (image - np.average(image, weights=window)) * window
    power = np.abs(np.fft.rfft2(centred)) ** 2 / (window**2).sum()
    y, x = frequencies(image.shape)
    radius = np.hypot(y, x)
    ring = np.floor((radius - _LOWEST) / _BIN).astype(int)
    inside = noise_sector(image.shape, fast_axis) & (ring >= 0) & (radius < _HIGHEST)
    rows = []
    for number in range(round((_HIGHEST - _LOWEST) / _BIN)):
        chosen = inside & (ring == number)
        n_pixels = int(chosen.sum())
        if n_pixels >= _LEAST_PIXELS:
            rows.append((np.sqrt((radius[chosen] ** 2).mean()), np.median(power[chosen]) / np.log(2), float(n_pixels)))
    table = np.array(rows).reshape(-1, 3)
    return RadialPower(table[:, 0], table[:, 1], table[:, 2])


def mean_spot_width(image: Float[np.ndarray, "y x"]) -> float:
    """Return the standard deviation of the mean spot around the image's bright maxima, in pixels.

    The strongest frequency gives the distance of lattice planes; patches around the brighter maxima are averaged and
    fitted by an elliptical Gaussian, of which the narrower width counts: the other may hold a neighbour. Filtered
    images give it within some per cent; in very noisy ones it is too small.
    """
    power = np.abs(np.fft.rfft2(image - image.mean())) ** 2
    radius = np.hypot(*frequencies(image.shape))
    power[(radius < 4 / min(image.shape)) | (radius > 0.25)] = 0
    spacing = 1 / max(float(radius.flat[np.argmax(power)]), 1 / max(image.shape))
    reach = max(round(0.18 * spacing), 3)
    smooth = gaussian_filter(image, spacing / 12)
    peak = (smooth == maximum_filter(smooth, int(0.6 * spacing) | 1)) & (smooth > np.percentile(smooth, 70))
    rows = np.argwhere(peak)
    rows = rows[((rows >= reach) & (rows < np.array(image.shape) - reach)).all(axis=1)]
    if not len(rows):
        return spacing / 6
    offset = np.arange(-reach, reach + 1)
    patch = image[rows[:, 0, None, None] + offset[:, None], rows[:, 1, None, None] + offset].mean(axis=0)
    squared = (offset[:, None] ** 2 + offset**2).astype(float)
    near = squared <= reach**2

    y, x = (axis[near] for axis in np.broadcast_arrays(offset[:, None], offset[None, :]))

    def misfit(values: np.ndarray) -> np.ndarray:
        form = np.exp(values[2]) * y**2 + np.exp(values[3]) * x**2 + 2 * values[4] * x * y
        return values[0] + values[1] * np.exp(-form / 2) - patch[near]

    curvature = -2 * np.log(spacing / 8)
    start = [patch.min(), max(float(np.ptp(patch)), 1e-12), curvature, curvature, 0.0]
    fit = least_squares(misfit, start, max_nfev=200).x
    form = np.array([[np.exp(fit[2]), fit[4]], [fit[4], np.exp(fit[3])]])
    return float(np.clip(np.linalg.eigvalsh(form)[-1] ** -0.5, 0.5, spacing))


def fit_spectrum(power: RadialPower, *, spot_width: float, step: float, brightness: float) -> NoiseSpectrum:
    """Split the radial power into signal, filtered noise and rounding.

    The diffuse signal of spots of width s is `(a + b f^2) exp(-(2 pi s f)^2)` (spots of unequal height, spots off
    their sites); noise that passed the same filter decays more slowly, because a spot is wider than the filter.

    Parameters
    ----------
    power
        Median power in rings, in signal units squared.
    spot_width
        Standard deviation of the spots, in pixels.
    step
        Step to which the image was rounded, in signal units; 0 when it was not.
    brightness
        Mean signal above its minimum, in signal units: white noise of counts is about `step` times that, which must
        not be taken for rounding.
    """
    f2, log_power = power.frequency**2, np.log(np.maximum(power.power, np.finfo(float).tiny))
    weight = 1 / np.sqrt(2 / power.n_pixels + 0.05**2)
    largest_floor = min(_LARGEST_FLOOR * step**2, _COUNTS_TO_FLOOR * step * brightness)
    floor = min(step**2 * ROUNDING, largest_floor / 2) or 1e-12 * float(power.power.max())
    decay = (2 * np.pi * spot_width) ** 2

    def parts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        noise = np.exp(values[0] - np.exp(values[1]) * f2) + floor * np.exp(values[2]) / (1 + f2 * np.exp(-values[6]))
        signal = (np.exp(values[3]) + np.exp(values[4]) * f2) * np.exp(-decay * np.exp(2 * values[5]) * f2)
        return noise, signal

    def misfit(values: np.ndarray) -> np.ndarray:
        noise, signal = parts(values)
        return np.append((np.log(noise + signal) - log_power) * weight, [(values[2] - 0.5) / 1.5, values[6] / 2])

    largest = np.log(decay * _LARGEST_SMOOTHING**2)
    lower = [-60, np.log(1e-3), -12, -60, -60, -_WIDTH_TOLERANCE, -6]
    upper = [90, max(largest, -3.0), np.log(max(largest_floor / floor, 2.0)), 90, 90, _WIDTH_TOLERANCE, 6]
    fits = []
    for smoothing in _SMOOTHINGS:
        rate = (2 * np.pi * smoothing) ** 2
        at = float(np.clip(_FILTER_CROSSING / smoothing, 0.08, 0.4))
        level = float(np.interp(at, power.frequency, log_power))
        start = [level + rate * at**2, np.log(rate), 0.0, log_power[0] + 2, log_power[0] + 2, 0.0, 0.0]
        fits.append(_descend(misfit, start, (lower, upper), _MOST_STEPS[0]))
        if np.log(rate) >= upper[1]:
            break
    values = min(
        (_descend(misfit, fit.x, (lower, upper), _MOST_STEPS[1]) for fit in sorted(fits, key=_cost)[:2]), key=_cost
    ).x
    noise, signal = parts(values)
    below = np.flatnonzero(signal > noise)
    return NoiseSpectrum(
        white=float(np.exp(values[0])),
        smoothing=float(np.sqrt(np.exp(values[1])) / (2 * np.pi)),
        floor=float(floor * np.exp(values[2])),
        floor_frequency=float(np.exp(values[6] / 2)),
        signal_frequency=float(power.frequency[below[-1]]) if len(below) else 0.0,
    )


def _descend(misfit: Callable, start: Any, bounds: tuple[list, list], most_steps: int) -> Any:
    """Run one robust least-squares descent from inside the bounds."""
    inside = np.clip(start, np.array(bounds[0]) + 1e-6, np.array(bounds[1]) - 1e-6)
    return least_squares(misfit, inside, loss="soft_l1", bounds=bounds, max_nfev=most_steps)


def _cost(fit: Any) -> float:
    return float(fit.cost)
