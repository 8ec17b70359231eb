"""Displacements of all frames and their common image, found in turns until neither changes."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from tusi.data import NoiseModel
from tusi.errors import InputError
from tusi.finding.restoration.fitting import FrameFit, Prior, fit_frame
from tusi.finding.restoration.frames import FrameSource
from tusi.finding.restoration.reference import Averaging, Reference
from tusi.finding.restoration.scan import FrameScan

MOST_PASSES = 30
"""It ends after so many passes at the latest."""

FULL_STEPS = 6
"""After so many passes only half steps are made."""

TOLERANCE = 0.15
"""It ends when no frame moves by more than this share of its standard errors, root mean square."""

NEGLIGIBLE = 0.02
"""Standard errors are never taken as smaller than this, in pixels."""

SMALLEST_DEVIATION = 1e-3
"""Priors do not become tighter than this, in pixels; below it a displacement is as good as none."""

POOR = 2.0
"""A frame counts as poorly fitted when its misfit exceeds this many times the median of all frames."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """All frames after the last pass."""

    fits: tuple[FrameFit, ...]
    reference: Reference
    prior: Prior
    converged: bool
    used: np.ndarray

    @property
    def scans(self) -> list[FrameScan]:
        """Where each frame was recorded."""
        return [fit.scan for fit in self.fits]

    @property
    def misfit(self) -> float:
        """Mean reduced chi-square of the frames in use."""
        return float(np.mean([fit.reduced_chi_square for fit, use in zip(self.fits, self.used, strict=True) if use]))


def solve(
    source: FrameSource,
    scans: list[FrameScan],
    *,
    noise: NoiseModel,
    prior: Prior,
    used: np.ndarray,
) -> Solution:
    """Return displacements and common image from these first guesses; frames not `used` keep theirs."""
    moves = len({tuple(scan.turn.ravel().round(9)) for scan in scans}) > 1
    reference = _average(source, scans, used, noise)
    fits: list[FrameFit] = []
    converged = False
    for number in range(MOST_PASSES):
        shares = _shares(scans, used)
        fits.clear()
        fits = [
            fit_frame(image, reference, scan=scan, prior=prior, noise=noise, share=(rest, moves))
            for image, scan, rest in zip(source, scans, shares, strict=True)
        ]
        used = used & _well_fitted(fits, used)
        if used.sum() < 2:
            raise InputError(
                "movie", expected="two frames that show the same area", got="displacements that tear them apart"
            )
        before, scans = scans, _centred([fit.scan for fit in fits], used, resolved=moves)
        moving = max(_change(*one) for one, use in zip(zip(before, scans, fits, strict=True), used, strict=True) if use)
        if number >= FULL_STEPS:
            scans = [_between(*pair) for pair in zip(before, scans, strict=True)]
        prior = _learned(prior, [fit for fit, use in zip(fits, used, strict=True) if use])
        reference = _average(source, scans, used, noise)
        if moving < TOLERANCE:
            converged = True
            break
    fits = [dataclasses.replace(fit, scan=scan) for fit, scan in zip(fits, scans, strict=True)]
    return Solution(fits=tuple(fits), reference=reference, prior=prior, converged=converged, used=used)


def _change(before: FrameScan, after: FrameScan, fit: FrameFit) -> float:
    """Return by how many standard errors a frame's displacement changed, root mean square."""
    smooth, rows = after.coefficient - before.coefficient, after.row_shift - before.row_shift
    variance = np.diag(fit.covariance).reshape(smooth.shape)
    squared = np.mean(smooth**2 / (variance + NEGLIGIBLE**2)) + np.mean(rows**2 / (fit.row_variance + NEGLIGIBLE**2))
    return float(np.sqrt(squared))


def _between(before: FrameScan, after: FrameScan) -> FrameScan:
    """Return the scan halfway: what few pixels determine may otherwise go to and fro as they enter and leave."""
    return dataclasses.replace(
        after,
        coefficient=0.5 * (before.coefficient + after.coefficient),
        row_shift=0.5 * (before.row_shift + after.row_shift),
    )


def _average(source: FrameSource, scans: list[FrameScan], used: np.ndarray, noise: NoiseModel) -> Reference:
    """Return the mean of the frames in use."""
    mean = Averaging(source.shape)
    for image, scan, use in zip(source, scans, used, strict=True):
        if use:
            mean.add(scan, image)
    return mean.finish(noise)


def _shares(scans: list[FrameScan], used: np.ndarray) -> np.ndarray:
    """Return one minus each frame's weight in the mean."""
    doses = np.array([scan.dose for scan in scans]) * used
    return 1.0 - doses / doses.sum()


def _well_fitted(fits: list[FrameFit], used: np.ndarray) -> np.ndarray:
    """Return for each frame whether it was fitted, and not much worse than the others."""
    misfit = np.array([fit.reduced_chi_square for fit in fits])
    typical = np.nanmedian(misfit[used])
    return np.isfinite(misfit) & ((misfit < POOR * typical) | (used.sum() <= 2))


def _centred(scans: list[FrameScan], used: np.ndarray, *, resolved: bool) -> list[FrameScan]:
    """Return the scans with a mean displacement of zero, a mean dose of one and a mean background of zero.

    Of scans at different angles only the displacement as a whole is free; of a stack it is the mean at every point.
    """
    kept = [scan for scan, use in zip(scans, used, strict=True) if use]
    if resolved:
        common = np.mean([scan.coefficient.mean(axis=1) for scan in kept], axis=0)[:, None]
    else:
        common = _mean_displacement(kept)
    dose, background = np.mean([scan.dose for scan in kept]), np.mean([scan.background for scan in kept])
    return [
        dataclasses.replace(
            scan,
            coefficient=scan.coefficient - common,
            dose=scan.dose / dose,
            background=scan.background - scan.dose / dose * background,
        )
        for scan in scans
    ]


def _mean_displacement(scans: list[FrameScan]) -> Float[np.ndarray, "2 function"]:
    """Return the coefficients of the mean of the frames' displacements at the same points of the reference."""
    model = scans[0].model
    point = model.collocation_points()
    total = np.zeros((len(point), 2))
    for scan in scans:
        moved = np.zeros_like(point)
        for _ in range(3):
            moved = model.basis_at(point - moved) @ scan.coefficient.T
        total += moved
    return np.linalg.solve(model.basis_at(point), total / len(scans)).T


def _learned(prior: Prior, fits: list[FrameFit]) -> Prior:
    """Return the priors' deviations that the displacements found call for (MacKay's fixed point)."""

    def deviation(now: float, size: Callable[[FrameFit], tuple[float, float]]) -> float:
        squares, determined = np.sum([size(fit) for fit in fits], axis=0)
        if now == 0 or not determined > 1e-9:
            return now
        return float(np.clip(np.sqrt(squares / determined), SMALLEST_DEVIATION, 10 * max(now, 0.1)))

    return Prior(
        deviation=deviation(prior.deviation, lambda fit: fit.smooth_size),
        row_deviation=deviation(prior.row_deviation, lambda fit: fit.row_size),
    )
