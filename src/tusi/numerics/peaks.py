"""Bright spots of unknown size in a noisy image: their scale, and where the response to that scale peaks."""

import numpy as np
import scipy.fft
import scipy.ndimage as ndimage
from jaxtyping import Bool, Float, Int

N_RINGS = 8192
"""Rings of equal width in squared frequency into which the power spectrum is summed."""

SCALE_STEP = 2**0.25
"""Ratio between neighbouring scales that are tried."""


def blob_energy(
    image: Float[np.ndarray, "y x"], scales: Float[np.ndarray, " scale"]
) -> tuple[Float[np.ndarray, " scale"], Float[np.ndarray, " scale"]]:
    """Return the variance of the scale-normalised Laplacian of Gaussian of an image, and its white-noise part.

    Computed for all scales from one power spectrum; the noise level is the median of the spectrum beyond half of the
    Nyquist frequency. For isolated Gaussian spots of width s the energy peaks at scale sqrt(2) s.

    Parameters
    ----------
    image
        The image, any units.
    scales
        Widths of the Gaussian, pixel.
    """
    taper = np.outer(np.hanning(image.shape[0] + 2)[1:-1], np.hanning(image.shape[1] + 2)[1:-1])
    values = (image - image.mean()) * taper
    power = np.abs(scipy.fft.rfft2(values)) ** 2
    k_y = 2 * np.pi * scipy.fft.fftfreq(image.shape[0])[:, None]
    k_x = 2 * np.pi * scipy.fft.rfftfreq(image.shape[1])[None, :]
    k_squared = (k_y**2 + k_x**2).ravel()
    bins = (k_squared * (N_RINGS / (2 * np.pi**2 + 1e-9))).astype(np.int64)
    count = np.bincount(bins, minlength=N_RINGS)
    ring_power = np.bincount(bins, weights=power.ravel(), minlength=N_RINGS)
    ring = np.bincount(bins, weights=k_squared, minlength=N_RINGS) / np.maximum(count, 1)
    high = power.ravel()[k_squared > (np.pi / 2) ** 2]
    floor = float(np.median(high)) / np.log(2) if high.size else 0.0
    signal, noise = np.empty(len(scales)), np.empty(len(scales))
    for n, scale in enumerate(scales):
        passed = (scale**2 * ring) ** 2 * np.exp(-ring * scale**2)
        signal[n], noise[n] = float((passed * ring_power).sum()), float((passed * count).sum()) * floor
    return signal, noise


def laplacian_of_gaussian(
    image: Float[np.ndarray, "y x"], scale: float
) -> tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"], float]:
    """Return minus the scale-normalised Laplacian of the smoothed image, the smoothed image, and the noise gain.

    The noise gain is the root sum of squares of the filter: the standard deviation of the response to white noise of
    unit variance.
    """
    smooth = ndimage.gaussian_filter(image, scale, mode="nearest", truncate=4.0)
    response = ndimage.laplace(smooth, mode="nearest")
    response *= -(scale**2)
    size = 2 * int(4 * scale + 3) + 1
    impulse = np.zeros((size, size))
    impulse[size // 2, size // 2] = 1.0
    kernel = scale**2 * ndimage.laplace(ndimage.gaussian_filter(impulse, scale, mode="constant", truncate=4.0))
    return response, smooth, float(np.sqrt((kernel**2).sum()))


def local_maxima(
    response: Float[np.ndarray, "y x"], above: Float[np.ndarray, "y x"] | float
) -> Int[np.ndarray, "peak 2"]:
    """Return the pixels that exceed a threshold and all eight neighbours; a plateau counts once, at its first pixel."""
    peak: Bool[np.ndarray, "y x"] = response > above
    rows, columns = response.shape
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy == 0 and dx == 0:
                continue
            here = (slice(max(0, -dy), rows - max(0, dy)), slice(max(0, -dx), columns - max(0, dx)))
            there = (slice(max(0, dy), rows + min(0, dy)), slice(max(0, dx), columns + min(0, dx)))
            if (dy, dx) > (0, 0):
                peak[here] &= response[here] >= response[there]
            else:
                peak[here] &= response[here] > response[there]
    return np.argwhere(peak)


def subpixel_peaks(response: Float[np.ndarray, "y x"], peaks: Int[np.ndarray, "peak 2"]) -> Float[np.ndarray, "peak 2"]:
    """Return the summit of the parabola through each peak and its neighbours, along y and x separately."""
    position = peaks.astype(np.float64)
    for axis in (0, 1):
        last = response.shape[axis] - 1
        inside = (peaks[:, axis] > 0) & (peaks[:, axis] < last)
        step = np.eye(2, dtype=np.int64)[axis]
        centre = response[tuple(peaks[inside].T)]
        before, after = response[tuple((peaks[inside] - step).T)], response[tuple((peaks[inside] + step).T)]
        curvature = before - 2 * centre + after
        shift = np.divide(0.5 * (before - after), curvature, out=np.zeros_like(centre), where=curvature < 0)
        position[inside, axis] += np.clip(shift, -0.5, 0.5)
    return position
