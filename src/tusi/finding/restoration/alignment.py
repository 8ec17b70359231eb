"""First guesses: whole-frame shifts that agree with all other frames."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from tusi.finding.restoration.frames import FrameSource
from tusi.numerics.shift_search import ShiftSearch

N_SWEEPS = 3
"""After the first pass each frame is compared with all others so often."""


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
