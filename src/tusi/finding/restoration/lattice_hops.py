"""Whether a frame may lie a lattice vector away from where it was put: what differs from cell to cell decides."""

import dataclasses
from typing import Any

import numpy as np
import scipy.fft
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from tusi.finding.restoration.frames import FrameSource
from tusi.finding.restoration.reference import Reference
from tusi.finding.restoration.scan import FrameScan
from tusi.finding.restoration.solving import Solution, solve
from tusi.numerics.shift_search import lattice_frequency, surface_peaks
from tusi.numerics.warping import sample_moved, spline_coefficients, whole_move

LEAST_COMMON = 0.3
"""Rivals leave at least this fraction of the image in common."""

ALIKE = 0.8
"""Rivals correlate at least by this fraction of the best correlation."""

LEAST_CONTRAST = 0.01
"""Where less of the product of both images' squares is in common, what is left is not compared."""

APART = 0.6
"""Rivals are at least so many periods away from each other."""

NEIGHBOURS = 8
"""So many of the nearest lattice vectors make the mean cell around each pixel."""

FILTER = 0.15
"""Standard deviation of the filter that suppresses noise in what differs from cell to cell, in periods."""

CELL = 0.25
"""Standard deviation of the filter that adds up a column, in periods."""

MOST = 6.0
"""No pixel differs from the mean cell by more than so many standard deviations: one odd cell must not decide alone."""

MOST_ALIKE = 0.99
"""Largest correlation that is believed."""

MEDIAN_SQUARE = 0.4549
"""Median square of a standard normal variable."""

DOUBTFUL = 0.01
"""A frame is reported when it is more probable than this that it lies a lattice vector away."""

MOST_ROUNDS = 3
"""So often frames are moved and everything is solved again."""

TELLING = 0.5
"""A frame is moved to a shift that is more probable than this."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """How probable it is that a frame's true place is another than where it is, and where it then fits best.

    Attributes
    ----------
    move
        (y, x) by which the frame fits better, in pixels; zero where it is best where it is, or nothing tells.
    hop_probability
        That another of the shifts at which the frame looks alike is the true one.
    """

    move: Float[np.ndarray, "frame 2"]
    hop_probability: Float[np.ndarray, " frame"]


def solve_without_hops(source: FrameSource, scans: list[FrameScan], **terms: Any) -> tuple[Solution, Placement]:
    """Return the solution with each frame at the most probable of the shifts at which it looks like the others.

    Parameters
    ----------
    source, scans
        The frames, and first guesses of where they were recorded.
    **terms
        Noise, first prior and frames in use, for `solve`.
    """
    solution = solve(source, scans, **terms)
    placement = check_placement(source, solution)
    for _ in range(MOST_ROUNDS):
        moved = _most_telling(placement, int(solution.used.sum()) // 2)
        if not len(moved):
            break
        scans = list(solution.scans)
        for number in moved:
            shifted = scans[number].coefficient + placement.move[number][:, None]
            scans[number] = dataclasses.replace(scans[number], coefficient=shifted)
        solution = solve(source, scans, **{**terms, "prior": solution.prior, "used": solution.used})
        placement = check_placement(source, solution)
    return solution, placement


def _most_telling(placement: Placement, most: int) -> Int[np.ndarray, " frame"]:
    """Return the frames that should be moved; of two frames that disagree only one."""
    order = np.argsort(-placement.hop_probability, kind="stable")
    return order[placement.move[order].any(axis=1)][:most]


def check_placement(source: FrameSource, solution: Solution) -> Placement:
    """Compare each frame with the mean of the others at all shifts at which it looks like them.

    On a lattice every lattice vector is such a shift. What differs from cell to cell (columns of other brightness,
    vacancies, slow variations) is what is left of an image when the mean of its copies moved by the nearest lattice
    vectors is taken away; at the true shift what is left of the frame and of the others is correlated. With n
    independent values in common, a correlation r has the likelihood ratio (1 - r^2)^(-n/2); how many are independent
    follows from the correlations at all shifts. All shifts are equally probable before.
    """
    n_frames = len(solution.fits)
    move, probability = np.zeros((n_frames, 2)), np.zeros(n_frames)
    for number, (image, scan, use) in enumerate(zip(source, solution.scans, solution.used, strict=True)):
        if use:
            move[number], probability[number] = _decide(image, scan, solution.reference)
    return Placement(move=move, hop_probability=probability)


def _decide(image: np.ndarray, scan: FrameScan, reference: Reference) -> tuple[Float[np.ndarray, " 2"], float]:
    """Return by how much one frame should be moved, and the probability that it is not where it belongs."""
    frame, rest = _frame_and_rest(image, scan, reference)
    period = 1 / lattice_frequency(reference.image)
    shift = _lattice_shifts(frame, rest, period)
    if len(shift) == 1:
        return np.zeros(2), 0.0
    nearest = shift[np.argsort(np.hypot(*shift.T))[1 : 1 + NEIGHBOURS]]
    correlation, common = _correlations(*(_differences(one, nearest, period) for one in (frame, rest)))
    squares = correlation**2 * common
    here = tuple(np.rint(shift.T).astype(np.int64))
    area = max(np.median(squares[common > LEAST_COMMON * common.max()]), np.median(squares[here])) / MEDIAN_SQUARE
    independent = common[here] / max(area, 1.0)
    ratio = -0.5 * independent * np.log1p(-(np.clip(correlation[here], 0.0, MOST_ALIKE) ** 2))
    best = int(np.argmax(ratio))
    odds = np.exp(ratio - ratio[best])
    move = shift[best] if 1 / odds.sum() > TELLING else np.zeros(2)
    return move, float(1 - odds[0] / odds.sum())


def _frame_and_rest(
    image: np.ndarray, scan: FrameScan, reference: Reference
) -> tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"]]:
    """Return the frame as the reference shows it and the mean of the others; NaN where they did not see it."""
    frame, _ = scan.resample(image)
    seen = np.isfinite(frame)
    others = reference.weight - np.where(seen, scan.dose, 0.0)
    total = reference.weight * reference.image - np.where(seen, scan.dose * frame, 0.0)
    known = others > 1e-6 * scan.dose
    return frame, np.where(known, total / np.where(known, others, 1.0), np.nan)


def _lattice_shifts(frame: np.ndarray, rest: np.ndarray, period: float) -> Float[np.ndarray, "shift 2"]:
    """Return zero and all other shifts at which the frame looks like the others."""
    correlation, common = _correlations(frame, rest)
    correlation[common < LEAST_COMMON * common.max()] = 0.0
    shift, height = surface_peaks(correlation, apart=APART * period)
    shift = shift[height > ALIKE * height.max()]
    return np.concatenate([np.zeros((1, 2)), shift[np.hypot(*shift.T) > APART * period]])


def _differences(
    image: Float[np.ndarray, "y x"], nearest: Float[np.ndarray, "shift 2"], period: float
) -> Float[np.ndarray, "y x"]:
    """Return what distinguishes each place from the places one lattice vector away; NaN where none is known."""
    known = np.isfinite(image)
    filled = ndimage.gaussian_filter(np.where(known, image - image[known].mean(), 0.0), FILTER * period)
    spline = spline_coefficients(filled)
    total, count = np.zeros_like(filled), np.zeros_like(filled)
    for vector in nearest:
        moved = sample_moved(spline, vector)
        inside = np.isfinite(moved) & whole_move(known, vector)
        total[inside] += moved[inside]
        count += inside
    known = ndimage.binary_erosion(known, iterations=max(1, round(2 * FILTER * period))) & (count > 0)
    cell = total / np.maximum(count, 1)
    brightness = np.where(known, (filled - cell) * (cell - cell[known].mean()), 0.0)
    share = ndimage.gaussian_filter(known.astype(np.float64), CELL * period)
    rest = np.where(known, ndimage.gaussian_filter(brightness, CELL * period) / np.maximum(share, 1e-6), np.nan)
    spread = 1.4826 * np.nanmedian(np.abs(rest - np.nanmedian(rest)))
    return np.clip(rest, -MOST * spread, MOST * spread)


def _correlations(
    moving: Float[np.ndarray, "y x"], fixed: Float[np.ndarray, "y x"]
) -> tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"]]:
    """Return the correlation of what both images show at every shift of the one, and the pixels in common."""
    padded = [int(scipy.fft.next_fast_len(2 * n, real=True)) for n in moving.shape]
    known: list[Bool[np.ndarray, "y x"]] = [np.isfinite(one) for one in (moving, fixed)]
    image = [np.where(k, one - one[k].mean(), 0.0) for k, one in zip(known, (moving, fixed), strict=True)]
    (f, g), (ff, gg), (s, k) = (
        [scipy.fft.rfft2(one.astype(np.float32), padded) for one in pair]
        for pair in (image, [one**2 for one in image], known)
    )

    def product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return scipy.fft.irfft2(np.conj(one) * other, padded)

    energy = np.maximum(product(ff, k), 0.0) * np.maximum(product(s, gg), 0.0)
    floor = LEAST_CONTRAST * float((image[0] ** 2).sum() * (image[1] ** 2).sum())
    return product(f, g) / np.sqrt(np.maximum(energy, floor)), product(s, k)
