"""First guesses: whole-frame shifts that agree with all other frames, and the steady drift of a set of scan angles."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from tusi.finding.restoration.frames import FrameSource
from tusi.numerics.shift_search import ShiftSearch

N_SWEEPS = 3
"""After the first pass each frame is compared with all others so often."""

PATCH = 256
"""Side of the middle of the frames in which steady drift is first looked for, in pixels."""

N_CANDIDATES = 6
"""So many of the best drifts are looked at more closely."""

MOST_GUESSES, RIVAL = 3, 0.8
"""So many of them are handed on, if they are at least this good in comparison with the best."""

APART = 4.0
"""Shifts that differ by more are different answers, in pixels."""

STEP = 5.0
"""Drifts are tried in steps that move the frame's ends apart by this much, in pixels."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """Where each frame lies on the reference.

    Attributes
    ----------
    shift
        (y, x) by which the frame must be moved, in pixels; the mean of the frames that overlap is zero.
    overlaps
        Whether the frame agrees with the others by more than chance.
    """

    shift: Float[np.ndarray, "frame 2"]
    overlaps: Bool[np.ndarray, " frame"]


def align_frames(source: FrameSource, skipped: list[int]) -> Alignment:
    """Return shifts for which the sum of all pairwise agreements is largest.

    Correlation is linear, so that a frame agrees with the sum of all other frames as much as with each of them
    together: every sweep moves each frame to where it agrees best with all others. On a periodic lattice many shifts
    agree nearly as well; a frame that one neighbour puts a lattice vector away is put back by all the others.
    """
    search = ShiftSearch.between(next(image for frame, image in enumerate(source) if frame not in skipped))
    shift = np.zeros((len(source), 2))
    evidence = np.zeros(len(source))
    overlap = np.zeros_like(search.window)
    total = np.stack([overlap] * 4)
    placed: set[int] = set()
    for sweep in range(1 + N_SWEEPS):
        before = shift.copy()
        for frame, image in enumerate(source):
            if frame in skipped:
                continue
            transform = search.transform(image)
            if frame in placed:
                total -= search.shifted(transform, shift[frame])
                overlap -= search.shifted(search.window, shift[frame])
                placed.remove(frame)
            if placed:
                found = search.find(transform, total, overlap)
                shift[frame], evidence[frame] = found.shift, found.evidence
            if sweep or not placed or evidence[frame] > search.chance:
                total += search.shifted(transform, shift[frame])
                overlap += search.shifted(search.window, shift[frame])
                placed.add(frame)
        if sweep and np.abs(shift - before).max() < 0.5:
            break
    overlaps = evidence > search.chance
    overlaps[skipped] = False
    return Alignment(shift=shift - shift[overlaps].mean(axis=0) if overlaps.any() else shift, overlaps=overlaps)


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
    likeness, common
        Sum of the frames' log likelihood ratios, and of their pixels in common.
    chance
        What `evidence` may reach by chance alone.
    """

    velocity: Float[np.ndarray, " 2"]
    shift: Float[np.ndarray, "frame 2"]
    evidence: float
    likeness: float
    common: float
    chance: float


def find_steady_drift(
    frames: list[Float[np.ndarray, "row column"]], turns: list[Float[np.ndarray, "2 2"]], *, most_drift: float
) -> list[SteadyDrift]:
    """Return the drifts, common to all frames, at which they agree best: the best first, all with other shifts.

    All drifts up to `most_drift` (pixels per row) are tried on the middle of the frames. The best ones are looked at
    again in smaller steps, on a middle that doubles in size until it is the whole frame.
    """
    frames = [ndimage.uniform_filter(frame, 2, mode="nearest") for frame in frames]
    largest = max(frames[0].shape)
    size = min(PATCH, largest)
    step = STEP / size
    n = int(np.ceil(most_drift / step))
    agreement = _Agreement.on_middle(frames, turns, size)
    candidates = [agreement.at(step * np.array(one)) for one in _around(n) if np.hypot(*one) <= n + 0.5]
    usual = float(np.median([one.likeness / one.common for one in candidates]))

    def unusual(one: SteadyDrift) -> float:
        """Return by how much the agreement exceeds that of lattices that merely look alike."""
        return one.likeness - usual * one.common

    while True:
        candidates = _distinct(sorted(candidates, key=unusual, reverse=True))
        step /= 2
        candidates = [
            max((agreement.at(one.velocity + step * np.array(move)) for move in _around(1)), key=unusual)
            for one in candidates[:N_CANDIDATES]
        ]
        if size >= largest:
            guesses = _distinct(sorted(candidates, key=unusual, reverse=True))[:MOST_GUESSES]
            return [one for one in guesses if unusual(one) >= RIVAL * unusual(guesses[0]) or one is guesses[0]]
        size = min(2 * size, largest)
        agreement = _Agreement.on_middle(frames, turns, size)


def _distinct(candidates: list[SteadyDrift]) -> list[SteadyDrift]:
    """Return the candidates without those that shift the frames as a better one does."""
    kept: list[SteadyDrift] = []
    for one in candidates:
        if all(np.abs(one.shift - other.shift).max() > APART for other in kept):
            kept.append(one)
    return kept


def _around(n: int) -> list[tuple[int, int]]:
    """Return the whole steps from -n to n along both axes."""
    return [(i, j) for i in range(-n, n + 1) for j in range(-n, n + 1)]


@dataclasses.dataclass(frozen=True, eq=False)
class _Agreement:
    """How well the middles of frames agree once a drift is undone, on a grid of half the size."""

    frames: list[np.ndarray]
    turns: list[np.ndarray]
    search: ShiftSearch

    @classmethod
    def on_middle(cls, frames: list[np.ndarray], turns: list[np.ndarray], size: int) -> "_Agreement":
        shape = tuple(min(size, n) // 2 for n in frames[0].shape)
        search = ShiftSearch.between(_undrifted(frames[0], turns[0], np.zeros(2), shape))
        return cls(frames, turns, search)

    def at(self, velocity: Float[np.ndarray, " 2"]) -> SteadyDrift:
        """Return the shifts at which all frames agree best with the first."""
        search = self.search
        transforms = [
            search.transform(_undrifted(frame, turn, velocity, search.shape))
            for frame, turn in zip(self.frames, self.turns, strict=True)
        ]
        found = [search.find(one, transforms[0], search.window) for one in transforms[1:]]
        shift = np.stack([np.zeros(2), *(one.shift for one in found)])
        return SteadyDrift(
            velocity=velocity,
            shift=2 * (shift - shift.mean(axis=0)),
            evidence=min(one.evidence for one in found),
            likeness=sum(one.likeness for one in found),
            common=sum(one.common for one in found),
            chance=search.chance,
        )


def _undrifted(
    frame: Float[np.ndarray, "row column"],
    turn: Float[np.ndarray, "2 2"],
    velocity: Float[np.ndarray, " 2"],
    shape: tuple[int, ...],
) -> Float[np.ndarray, "y x"]:
    """Return the middle of a smoothed frame in the reference's axes, at every other pixel."""
    forward = turn + np.stack([velocity, np.zeros(2)], axis=1)
    backward = 2 * np.linalg.inv(forward)
    centre = 0.5 * (np.array(frame.shape) - 1)
    offset = centre - backward @ (0.5 * (np.array(shape) - 1))
    return ndimage.affine_transform(frame, backward, offset=offset, output_shape=shape, order=1, cval=frame.mean())
