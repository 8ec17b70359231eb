"""The common image of all frames, and a copy of it whose slopes are not ruled by noise."""

import dataclasses

import numpy as np
import scipy.fft
from jaxtyping import Bool, Float
from scipy import ndimage

from tusi.data import NoiseModel
from tusi.finding.restoration.scan import FrameScan
from tusi.numerics.warping import spline_coefficients

N_RINGS = 64
"""Rings of equal width in frequency in which the power of signal and noise are compared."""


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """The mean of the frames where they were seen.

    Attributes
    ----------
    image
        The mean; pixels that no frame saw hold the mean of the others.
    coverage, weight
        Number of frames that saw each pixel, and the sum of their doses.
    value, slope
        Spline coefficients of the image, and of the image without the frequencies in which noise prevails.
    usable
        Pixels that two frames and at least half of all saw, as did their neighbours.
    noise_left
        Variance of white noise that interpolation left in the mean, relative to frames that are not interpolated.
    """

    image: Float[np.ndarray, "y x"]
    coverage: Float[np.ndarray, "y x"]
    weight: Float[np.ndarray, "y x"]
    value: Float[np.ndarray, "y x"]
    slope: Float[np.ndarray, "y x"]
    usable: Bool[np.ndarray, "y x"]
    noise_left: float


class Averaging:
    """Adds frames one by one, so that no more than one need be in memory."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._sum, self._weight, self._coverage = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._left, self._doses = [], []

    def add(self, scan: FrameScan, image: Float[np.ndarray, "row column"]) -> None:
        """Add one frame; its weight is its dose."""
        seen_image, left = scan.resample(image)
        seen = np.isfinite(seen_image)
        self._sum[seen] += scan.dose * seen_image[seen]
        self._weight[seen] += scan.dose
        self._coverage += seen
        self._left.append(left)
        self._doses.append(scan.dose)

    def finish(self, noise: NoiseModel) -> Reference:
        """Return the mean; `noise` is that of one frame."""
        seen = self._weight > 0
        image = np.divide(self._sum, self._weight, out=np.zeros_like(self._sum), where=seen)
        image[~seen] = image[seen].mean() if seen.any() else 0.0
        level = float(noise.variance(image).mean()) / max(sum(self._doses), 1e-300)
        usable = ndimage.binary_erosion(self._coverage >= max(2, len(self._doses) / 2), iterations=2)
        return Reference(
            image=image,
            coverage=self._coverage,
            weight=self._weight,
            value=spline_coefficients(image),
            slope=spline_coefficients(without_noise(image, level)),
            usable=usable,
            noise_left=float(np.average(self._left, weights=self._doses)),
        )


def without_noise(image: Float[np.ndarray, "y x"], variance: float) -> Float[np.ndarray, "y x"]:
    """Return the image filtered by the share of signal in its power at each frequency (Wiener's filter).

    The power is averaged over rings of equal frequency of the cosine transform; noise is white with this variance.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(64, 64))
    >>> bool(without_noise(noise, 1.0).std() < 0.4)
    True
    """
    transform = scipy.fft.dctn(image, norm="ortho")
    frequency = np.hypot(*np.meshgrid(*(np.arange(n) / n for n in image.shape), indexing="ij"))
    ring = np.minimum((frequency * N_RINGS).astype(np.int64), N_RINGS - 1)
    power = np.bincount(ring.ravel(), weights=(transform**2).ravel(), minlength=N_RINGS)
    power /= np.maximum(np.bincount(ring.ravel(), minlength=N_RINGS), 1)
    share = np.clip(1 - variance / np.maximum(power, 1e-300), 0.0, 1.0)
    return scipy.fft.idctn(transform * share[ring], norm="ortho")
