"""Which whole-pixel shift brings one image onto another, when both show nearly the same lattice again and again."""

import dataclasses
import functools

import numpy as np
import scipy.fft
from jaxtyping import Float

LEAST_OVERLAP = 0.3
"""Shifts that leave less than this fraction of an image in common are not considered."""

MOST_ALIKE = 0.9999
"""Largest squared correlation that is believed; noise-free images would otherwise have an infinite likelihood."""


def normalised_transform(image: Float[np.ndarray, "y x"]) -> np.ndarray:
    """Return the transform, padded to twice the size, of an image of mean zero and variance one."""
    size = [scipy.fft.next_fast_len(2 * n, real=True) for n in image.shape]
    spread = image.std()
    return scipy.fft.rfft2(((image - image.mean()) / (spread if spread > 0 else 1.0)).astype(np.float32), size)


@dataclasses.dataclass(frozen=True, eq=False)
class ShiftSearch:
    """All whole-pixel shifts between images of one shape.

    Attributes
    ----------
    shape
        Rows and columns of the images.
    """

    shape: tuple[int, int]

    @property
    def padded(self) -> tuple[int, int]:
        """Size of the transforms."""
        n_y, n_x = (scipy.fft.next_fast_len(2 * n, real=True) for n in self.shape)
        return n_y, n_x

    def shifted(self, transform: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
        """Return the transform of the image moved by (y, x) pixels."""
        n_y, n_x = self.padded
        phase_y = np.exp(-2j * np.pi * np.fft.fftfreq(n_y) * shift[0])
        phase_x = np.exp(-2j * np.pi * np.fft.rfftfreq(n_x) * shift[1])
        return transform * (phase_y[:, None] * phase_x).astype(np.complex64)

    def evidence(self, moving: np.ndarray, fixed: np.ndarray, fixed_overlap: np.ndarray) -> Float[np.ndarray, "y x"]:
        """Return, for each shift of `moving`, the log likelihood ratio that it shows what `fixed` shows.

        With n pixels in common and correlation r it is -n/2 log(1 - r^2) for a positive r; shifts of too little overlap
        get minus infinity. Shift (i, j) stands at those indices, negative ones counted from the end.

        Parameters
        ----------
        moving
            Transform of an image of mean zero and variance one.
        fixed, fixed_overlap
            Transforms of the sum of such images, each moved to its place, and of the number of images there.
        """
        product = scipy.fft.irfft2(np.conj(moving) * fixed, self.padded)
        common = scipy.fft.irfft2(np.conj(self.window) * fixed_overlap, self.padded)
        allowed = common > LEAST_OVERLAP * self.shape[0] * self.shape[1]
        correlation = np.where(allowed, product / np.maximum(common, 1.0), 0.0)
        squared = np.minimum(np.maximum(correlation, 0.0) ** 2, MOST_ALIKE)
        return np.where(allowed, -0.5 * common * np.log1p(-squared), -np.inf)

    @functools.cached_property
    def window(self) -> np.ndarray:
        """Transform of an image of ones."""
        return scipy.fft.rfft2(np.ones(self.shape, dtype=np.float32), self.padded)

    def best(self, evidence: Float[np.ndarray, "y x"]) -> tuple[Float[np.ndarray, " 2"], float]:
        """Return the shift of the largest evidence, to a fraction of a pixel, and that evidence."""
        peak = np.unravel_index(int(np.argmax(evidence)), evidence.shape)
        shift = np.empty(2)
        for axis, size in enumerate(evidence.shape):
            line = evidence[:, peak[1]] if axis == 0 else evidence[peak[0]]
            before, here, after = (float(line[(peak[axis] + step) % size]) for step in (-1, 0, 1))
            curvature = before - 2 * here + after
            between = 0.5 * (before - after) / curvature if np.isfinite(curvature) and curvature < 0 else 0.0
            whole = peak[axis] - size if peak[axis] > size // 2 else peak[axis]
            shift[axis] = whole + np.clip(between, -0.5, 0.5)
        return shift, float(evidence[peak])
