"""Which shift brings one image onto another, when both show nearly the same lattice again and again."""

import dataclasses
import functools

import numpy as np
import scipy.fft
from jaxtyping import Bool, Float
from scipy import ndimage

LEAST_OVERLAP = 0.4
"""Shifts that leave less in common than this fraction of the most that any shift has are not considered."""

MOST_ALIKE = 0.9999
"""Largest squared correlation that is believed; noise-free images would otherwise have an infinite likelihood."""

BELOW_LATTICE = 3.0
"""The smooth copy of an image keeps frequencies below the lattice's divided by this."""

LIKELY = 0.5
"""Shifts count as likely when the smooth images support them by this fraction of the best support."""

PEAK_SHARE, LEAST_PEAKS = 0.5, 5
"""Peaks of the correlation above this fraction of the highest count as a lattice's when there are so many."""

NEAR = 0.25
"""Standard deviation of the shifts that are expected, in sides of the image."""

CHANCE = 6.0
"""Support counts when its log likelihood ratio exceeds what the best of all shifts reaches by chance by this much."""


def lattice_frequency(image: Float[np.ndarray, "y x"]) -> float:
    """Return the frequency of the strongest ring of the power spectrum, in cycles per pixel.

    The power is multiplied by the squared frequency, so that slow variations of brightness do not count.

    Examples
    --------
    >>> x = np.arange(128)
    >>> round(lattice_frequency(np.cos(2 * np.pi * (x[:, None] + x) / 8)), 2)
    0.18
    """
    taper = np.outer(*(np.hanning(n + 2)[1:-1] for n in image.shape))
    power = np.abs(scipy.fft.rfft2((image - image.mean()) * taper)) ** 2
    frequency = np.hypot(scipy.fft.fftfreq(image.shape[0])[:, None], scipy.fft.rfftfreq(image.shape[1]))
    n_rings = max(min(image.shape) // 2, 4)
    ring = np.minimum((2 * frequency * n_rings).astype(np.int64), n_rings - 1)
    count = np.bincount(ring.ravel(), minlength=n_rings)
    mean = np.bincount(ring.ravel(), weights=power.ravel(), minlength=n_rings) / np.maximum(count, 1)
    centre = (np.arange(n_rings) + 0.5) / (2 * n_rings)
    mean[: max(2, n_rings // 32)] = 0
    return float(centre[np.argmax(mean * centre**2)])


def noise_share(image: Float[np.ndarray, "y x"]) -> float:
    """Return the share of white noise in the variance of an image, from its highest frequencies.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(64, 64))
    >>> round(noise_share(noise), 1)
    1.0
    """
    transform = scipy.fft.dctn(image - image.mean(), norm="ortho")
    highest = transform[-(image.shape[0] // 3) :, -(image.shape[1] // 3) :]
    return float(np.clip((highest**2).mean() / max(image.var(), np.finfo(np.float64).tiny), 0.0, 1.0))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FoundShift:
    """A shift (y, x) in pixels, its log likelihood ratio if pixels were independent, and the pixels in common.

    `likeness` is the log likelihood ratio of images and smooth copies with a mismatch that extends over cells.
    """

    shift: Float[np.ndarray, " 2"]
    evidence: float
    likeness: float
    common: float


@dataclasses.dataclass(frozen=True, eq=False)
class ShiftSearch:
    """All whole-pixel shifts between images of one shape.

    Images are compared as they are, and as smooth copies in which the lattice is not seen: shifts by a lattice vector
    look nearly alike in the one, and warps by some pixels do no harm in the other.

    Attributes
    ----------
    shape
        Rows and columns of the images.
    smoothing
        Standard deviation of the Gaussian filter of the smooth copies, in pixels.
    noise_share
        Share of white noise in the variance of an image.
    """

    shape: tuple[int, int]
    smoothing: float
    noise_share: float

    @classmethod
    def between(cls, image: Float[np.ndarray, "y x"]) -> "ShiftSearch":
        """Return the search for images like this one."""
        frequency = lattice_frequency(image) / BELOW_LATTICE
        smoothing = min(1 / (2 * np.pi * frequency), min(image.shape) / 8)
        return cls((image.shape[0], image.shape[1]), smoothing, noise_share(image))

    @functools.cached_property
    def padded(self) -> tuple[int, int]:
        """Size of the transforms: twice the images'."""
        n_y, n_x = (int(scipy.fft.next_fast_len(2 * n, real=True)) for n in self.shape)
        return n_y, n_x

    @property
    def smooth_area(self) -> float:
        """Pixels per independent value of a smooth copy."""
        return 4 * np.pi * self.smoothing**2

    @property
    def chance(self) -> float:
        """What evidence must exceed to mean anything."""
        return CHANCE + float(np.log(self.padded[0] * self.padded[1]))

    @functools.cached_property
    def window(self) -> np.ndarray:
        """Transform of an image of ones."""
        return scipy.fft.rfft2(np.ones(self.shape, dtype=np.float32), self.padded)

    def transform(self, image: Float[np.ndarray, "y x"]) -> np.ndarray:
        """Return the transforms of the image, of its smooth copy (both of mean zero), and of the squares of both."""
        smooth = ndimage.gaussian_filter(image, self.smoothing, mode="reflect", truncate=3.0)
        both = np.stack([_normalised(image), _normalised(smooth)])
        return scipy.fft.rfft2(np.concatenate([both, both**2]), self.padded)

    def shifted(self, transform: np.ndarray, shift: Float[np.ndarray, " 2"]) -> np.ndarray:
        """Return the transforms of the image moved by (y, x) pixels."""
        n_y, n_x = self.padded
        phase_y = np.exp(-2j * np.pi * np.fft.fftfreq(n_y) * shift[0])
        phase_x = np.exp(-2j * np.pi * np.fft.rfftfreq(n_x) * shift[1])
        return transform * (phase_y[:, None] * phase_x).astype(np.complex64)

    def find(self, moving: np.ndarray, fixed: np.ndarray, overlap: np.ndarray) -> FoundShift:
        """Return by how much an image must be moved to show what others show, and the evidence that it then does.

        With n values in common and a positive correlation r the log likelihood ratio is -n/2 log(1 - r^2). Shifts are
        ranked by what exceeds the ratio at the r of a typical peak: on a lattice every lattice vector gives such a
        peak, and a larger overlap alone must not decide between them.

        Parameters
        ----------
        moving
            Transforms of an image.
        fixed, overlap
            Sum of the transforms of other images, each moved to its place, and of as many windows.
        """
        (full, smooth), common, allowed = self._correlations(moving, fixed, overlap)
        typical = self._typical_peak(full)
        evidence = -0.5 * common * np.log1p(-np.minimum(full**2, MOST_ALIKE))
        beyond = evidence + 0.5 * common * np.log1p(-min(typical**2, MOST_ALIKE))
        area = self._mismatch_area(typical)
        beyond /= area
        support = -0.5 * common / self.smooth_area * np.log1p(-np.minimum(smooth**2, MOST_ALIKE))
        score = np.where(allowed & self._likely(support), beyond + support + self._nearness, -np.inf)
        peak = np.unravel_index(int(np.argmax(score)), score.shape)
        return FoundShift(
            shift=between_pixels(full, peak),
            evidence=float(evidence[peak]),
            likeness=float(evidence[peak] / area + support[peak] + self._nearness[peak]),
            common=float(common[peak]),
        )

    def _correlations(
        self, moving: np.ndarray, fixed: np.ndarray, overlap: np.ndarray
    ) -> tuple[Float[np.ndarray, "2 y x"], Float[np.ndarray, "y x"], Bool[np.ndarray, "y x"]]:
        """Return the positive correlations of images and smooth copies, pixels in common, and what overlaps enough."""
        window, shape = np.conj(self.window), self.padded
        common = scipy.fft.irfft2(window * overlap, shape)
        allowed = common > LEAST_OVERLAP * common.max()
        common = np.where(allowed, common, 1.0)
        product = scipy.fft.irfft2(np.conj(moving[:2]) * fixed[:2], shape) / common
        ours, our_squares = (scipy.fft.irfft2(np.conj(moving) * overlap, shape) / common).reshape(2, 2, *shape)
        theirs, their_squares = (scipy.fft.irfft2(window * fixed, shape) / common).reshape(2, 2, *shape)
        spread = np.maximum((our_squares - ours**2) * (their_squares - theirs**2), np.finfo(np.float32).tiny)
        correlation = np.where(allowed, np.maximum(product - ours * theirs, 0.0) / np.sqrt(spread), 0.0)
        return correlation, common, allowed

    def _typical_peak(self, correlation: Float[np.ndarray, "y x"]) -> float:
        """Return the median height of the peaks of a lattice; zero where there are too few to be one."""
        size = 2 * max(1, round(self.smoothing)) + 1
        top = (correlation == ndimage.maximum_filter(correlation, size, mode="wrap")) & (
            correlation > PEAK_SHARE * correlation.max()
        )
        return float(np.median(correlation[top])) if top.sum() >= LEAST_PEAKS else 0.0

    def _mismatch_area(self, typical: float) -> float:
        """Return the pixels per independent value of the mismatch of two lattices that correlate like this.

        White noise differs from pixel to pixel; columns that differ do so over a whole cell of the lattice.
        """
        mismatch = max(1 - typical, 1e-3)
        structural = max(mismatch - self.noise_share, 0.0)
        cell = self.smooth_area / BELOW_LATTICE**2
        return (min(self.noise_share, mismatch) + structural * cell) / mismatch

    @functools.cached_property
    def _nearness(self) -> Float[np.ndarray, "y x"]:
        """Log of a wide normal prior of the shift, which decides where nothing else does."""
        distance = [np.fft.fftfreq(n) * n / (NEAR * size) for n, size in zip(self.padded, self.shape, strict=True)]
        return -0.5 * (distance[0][:, None] ** 2 + distance[1] ** 2)

    def _likely(self, smooth: Float[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
        """Return the shifts that the smooth copies support; all where they support none."""
        best = float(smooth.max())
        if best < CHANCE + np.log(smooth.size / self.smooth_area):
            return np.ones(smooth.shape, dtype=np.bool_)
        return smooth > LIKELY * best


def surface_peaks(
    surface: Float[np.ndarray, "y x"], *, apart: float
) -> tuple[Float[np.ndarray, "peak 2"], Float[np.ndarray, " peak"]]:
    """Return the shifts (y, x), to a fraction of a pixel, at which a periodic surface of shifts has positive peaks.

    Parameters
    ----------
    surface
        One value for each shift; the second half of each axis holds negative shifts.
    apart
        Distance between peaks, in pixels.

    Returns
    -------
    shift, height
        Of each peak.

    Examples
    --------
    >>> y, x = np.mgrid[:32, :32]
    >>> shift, height = surface_peaks(np.exp(-((y - 5) ** 2 + (x - 29.4) ** 2) / 8.0), apart=3.0)
    >>> shift.round(1).tolist()
    [[5.0, -2.6]]
    """
    size = 2 * max(1, round(apart)) - 1
    top = (surface == ndimage.maximum_filter(surface, max(size, 3), mode="wrap")) & (surface > 1e-3 * surface.max())
    peaks = np.argwhere(top)
    shift = [between_pixels(surface, tuple(peak)) for peak in peaks]
    return np.array(shift).reshape(-1, 2), surface[top]


def between_pixels(surface: Float[np.ndarray, "y x"], peak: tuple[np.intp, ...]) -> Float[np.ndarray, " 2"]:
    """Return the shift (y, x) that stands at a peak of a periodic surface of shifts, to a fraction of a pixel."""
    shift = np.empty(2)
    for axis, size in enumerate(surface.shape):
        line = surface[:, peak[1]] if axis == 0 else surface[peak[0]]
        before, here, after = (float(line[(peak[axis] + step) % size]) for step in (-1, 0, 1))
        curvature = before - 2 * here + after
        between = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
        whole = peak[axis] - size if peak[axis] > size // 2 else peak[axis]
        shift[axis] = whole + np.clip(between, -0.5, 0.5)
    return shift


def _normalised(image: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "y x"]:
    """Return the image with mean zero and variance one."""
    spread = image.std()
    return ((image - image.mean()) / (spread if spread > 0 else 1.0)).astype(np.float32)
