"""The steady drift of images scanned at different angles: what makes the distances between their columns agree."""

import dataclasses

import numpy as np
import scipy.fft
from jaxtyping import Float
from scipy import ndimage

from tusi.numerics.shift_search import ShiftSearch

FIRST_REACH = 64
"""Autocorrelations are first compared up to this distance, in pixels."""

COARSE, FINE = 2.0, 0.4
"""Drifts are tried in steps that move the ends of that distance by the one, then by the other, in pixels."""

SPARSE = 2
"""Every so manieth pixel of the autocorrelations is compared."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SteadyDrift:
    """The steady drift that makes frames of different scan angles agree best.

    Attributes
    ----------
    velocity
        (y, x), in pixels per row.
    shift
        (y, x) by which each frame must be moved once drift is undone, in pixels; the mean is zero.
    evidence
        Log likelihood ratio of the least agreement of a frame with the first.
    chance
        What `evidence` may reach by chance alone.
    """

    velocity: Float[np.ndarray, " 2"]
    shift: Float[np.ndarray, "frame 2"]
    evidence: float
    chance: float


def find_steady_drift(
    frames: list[Float[np.ndarray, "row column"]], turns: list[Float[np.ndarray, "2 2"]], *, most_drift: float
) -> SteadyDrift:
    """Return the drift, common to all frames, at which they agree best, and the shifts between them.

    Autocorrelations do not know where the frames lie: the drift is the one up to `most_drift` (pixels per row) that
    makes them alike, and no lattice vector can be mistaken for it. The shifts follow from the frames without it.
    """
    velocity = _Distances.of(frames, turns).best_velocity(most_drift)
    smooth = [ndimage.uniform_filter(frame, 2, mode="nearest") for frame in frames]
    middles = [_undrifted(frame, turn, velocity) for frame, turn in zip(smooth, turns, strict=True)]
    search = ShiftSearch.between(middles[0])
    transforms = [search.transform(middle) for middle in middles]
    found = [search.find(one, transforms[0], search.window) for one in transforms[1:]]
    shift = np.stack([np.zeros(2), *(one.shift for one in found)])
    return SteadyDrift(
        velocity=velocity,
        shift=2 * (shift - shift.mean(axis=0)),
        evidence=min(one.evidence for one in found),
        chance=search.chance,
    )


def _undrifted(
    frame: Float[np.ndarray, "row column"], turn: Float[np.ndarray, "2 2"], velocity: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, "y x"]:
    """Return a smoothed frame in the reference's axes, at every other pixel."""
    shape = tuple(n // 2 for n in frame.shape)
    backward = 2 * np.linalg.inv(_forward(turn, velocity))
    offset = 0.5 * (np.array(frame.shape) - 1) - backward @ (0.5 * (np.array(shape) - 1))
    return ndimage.affine_transform(frame, backward, offset=offset, output_shape=shape, order=1, cval=frame.mean())


def _forward(turn: Float[np.ndarray, "2 2"], velocity: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "2 2"]:
    """Return the matrix from (row, column) of a scan to (y, x) of a specimen that moves steadily."""
    return turn + np.stack([velocity, np.zeros(2)], axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class _Distances:
    """Autocorrelation of each frame around the middle, in its own (row, column)."""

    autocorrelation: list[Float[np.ndarray, "row column"]]
    turns: list[Float[np.ndarray, "2 2"]]
    side: int

    @classmethod
    def of(cls, frames: list[np.ndarray], turns: list[np.ndarray]) -> "_Distances":
        return cls([_autocorrelation(frame) for frame in frames], turns, max(frames[0].shape))

    def likeness(self, velocity: Float[np.ndarray, " 2"], reach: int) -> float:
        """Return the mean correlation of the first with the other autocorrelations once the drift is undone."""
        axis = np.arange(-reach, reach + 1, SPARSE)
        apart = np.stack(np.meshgrid(axis[axis >= 0], axis, indexing="ij"))
        apart = apart[:, (apart**2).sum(axis=0) <= reach**2]
        seen = []
        for image, turn in zip(self.autocorrelation, self.turns, strict=True):
            centre = np.array(image.shape)[:, None] // 2
            place = np.linalg.solve(_forward(turn, velocity), apart) + centre
            seen.append(ndimage.map_coordinates(image, place, order=1))
        table = np.corrcoef(seen) if np.ptp(seen, axis=1).all() else np.zeros((len(seen), len(seen)))
        return float(table[0, 1:].mean())

    def best_velocity(self, most_drift: float) -> Float[np.ndarray, " 2"]:
        """Return the drift of most alike autocorrelations: over a grid, then in smaller steps over larger distances."""
        reach = min(FIRST_REACH, self.side // 4)
        step = COARSE / reach
        n = int(np.ceil(most_drift / step))
        best = np.zeros(2)
        best = self._best_around(best, step, n, (reach, most_drift))
        while n:
            while step * reach > FINE:
                step /= 2
                best = self._best_around(best, step, 1, (reach, most_drift))
            if reach >= self.side // 2:
                break
            reach = min(2 * reach, self.side // 2)
        return best

    def _best_around(
        self, middle: Float[np.ndarray, " 2"], step: float, n: int, limits: tuple[int, float]
    ) -> Float[np.ndarray, " 2"]:
        """Return the best of the drifts up to n steps away."""
        reach, most_drift = limits
        moves = np.arange(-n, n + 1)
        tried = middle + step * np.stack(np.meshgrid(moves, moves, indexing="ij"), axis=-1).reshape(-1, 2)
        tried = tried[np.hypot(*tried.T) <= most_drift + 0.5 * step]
        return max(tried, key=lambda velocity: self.likeness(velocity, reach))


def _autocorrelation(frame: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row column"]:
    """Return the mean product of pixels at each distance, without slow variations and without the noise at zero."""
    rest = frame - ndimage.uniform_filter(frame, FIRST_REACH, mode="reflect")
    padded = [int(scipy.fft.next_fast_len(2 * n, real=True)) for n in frame.shape]
    power, common = (
        scipy.fft.irfft2(np.abs(scipy.fft.rfft2(one.astype(np.float32), padded)) ** 2, padded)
        for one in (rest, np.ones(frame.shape))
    )
    mean = power / np.maximum(common, 1.0)
    mean[0, 0] = 0.5 * (mean[0, 1] + mean[1, 0])
    return np.fft.fftshift(mean)
