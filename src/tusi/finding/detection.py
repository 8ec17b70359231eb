"""Detection: how large the spots are, and where there may be one."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.data import NoiseModel
from tusi.numerics.peaks import SCALE_STEP, blob_energy, laplacian_of_gaussian, local_maxima, subpixel_peaks

SMALLEST_WIDTH = 0.6
"""No spot is narrower than this, pixel."""

SCALES_TRIED = (1.0, 0.7, 0.5)
"""Filter widths in units of the spot width, from the most sensitive to the best resolving."""

SHARP_SIGNIFICANCE = 8.0
"""Median significance above which a narrower filter is used: the peaks can afford it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaplacianOfGaussian:
    """Maxima of the image's Laplacian at the scale of the spots, where they exceed the noise.

    Attributes
    ----------
    width
        Spot width (standard deviation), pixel; `None` to estimate it from the image.
    significance
        Smallest response, in standard deviations of the noise. Low on purpose: presence is decided after the fit.
    """

    width: float | None = None
    significance: float = 3.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidates:
    """Where spots may be, how bright, and the width that was used; in pixels."""

    position: Float[np.ndarray, "candidate 2"]
    amplitude: Float[np.ndarray, " candidate"]
    width: float


def estimate_width(image: Float[np.ndarray, "y x"]) -> float:
    """Return the spots' width in pixels, to about a quarter, from the scale at which the image has most structure.

    Looks for the first scale, from fine to coarse, at which the energy of the scale-normalised Laplacian exceeds that
    of white noise and peaks; the fit refines it.
    """
    n_scales = max(4, int(np.log(max(min(image.shape) / 5, 2.0) / SMALLEST_WIDTH) / np.log(SCALE_STEP)))
    scales = SMALLEST_WIDTH * SCALE_STEP ** np.arange(n_scales)
    signal, floor = blob_energy(image, scales)
    energy = signal - floor
    peaks = [
        n
        for n in range(1, n_scales - 1)
        if energy[n] >= energy[n - 1] and energy[n] > energy[n + 1] and energy[n] > 0.05 * energy.max()
    ]
    best = scales[peaks[0]] if peaks else scales[int(np.argmax(energy))]
    return max(float(best) / 1.25, SMALLEST_WIDTH)


def detect(
    image: Float[np.ndarray, "y x"], noise: NoiseModel, detector: LaplacianOfGaussian, *, width: float
) -> Candidates:
    """Return the candidates at one spot width, with the filter as narrow as their significance allows."""
    best = None
    for factor in SCALES_TRIED:
        scale = max(factor * width, SMALLEST_WIDTH)
        response, smooth, gain = laplacian_of_gaussian(image, scale)
        deviation = np.sqrt(noise.variance(smooth) * noise.correlation_area) * gain
        np.maximum(deviation, 1e-12 * max(float(np.abs(image).max()), 1e-300), out=deviation)
        peaks = local_maxima(response, detector.significance * deviation)
        significance = response[tuple(peaks.T)] / deviation[tuple(peaks.T)]
        if best is not None and (len(peaks) < 1 or np.median(significance) < SHARP_SIGNIFICANCE):
            break
        height = response[tuple(peaks.T)] * (width**2 + scale**2) ** 2 / (2 * width**2 * scale**2)
        best = Candidates(position=subpixel_peaks(response, peaks), amplitude=height, width=width)
        if len(peaks) == 0 or np.median(significance) < SHARP_SIGNIFICANCE:
            break
    assert best is not None
    return best
