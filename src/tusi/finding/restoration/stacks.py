"""Stacks of frames of one specimen, scanned in the same direction."""

import warnings

import numpy as np
import xarray as xr

from tusi.data import NoiseModel
from tusi.errors import CalibrationWarning, IdentifiabilityWarning, InputError
from tusi.execution import Progress
from tusi.finding.restoration.alignment import align_frames
from tusi.finding.restoration.displacement import FrameFlag, ScanDisplacement, turn_of
from tusi.finding.restoration.fitting import Prior
from tusi.finding.restoration.frames import FrameSource
from tusi.finding.restoration.lattice_hops import Placement, solve_without_hops
from tusi.finding.restoration.result import HOPS, Restoration, finish
from tusi.finding.restoration.scan import FrameScan, ScanModel
from tusi.finding.restoration.solving import Solution
from tusi.finding.restoration.strategies import NonRigid, Rigid, ScanDrift

FIRST_DEVIATION, FIRST_ROW_DEVIATION = 1.0, 0.1
"""Priors before anything was learned, in pixels."""


def register_stack(
    movie: xr.DataArray,
    *,
    registration: Rigid | NonRigid = NonRigid(),
    noise: NoiseModel | None = None,
    progress: Progress | None = None,
) -> Restoration:
    """Bring the frames of a stack onto each other and average them.

    Whole-frame shifts come first: each frame is put where it agrees best with all the others, so that a neighbour that
    looks alike a lattice vector away does not decide. Displacements are then refined by least squares on the
    intensities under the noise model, each frame against the mean of all: a smooth field of cubic splines, and the
    shift of every row along the fast axis; how large both are is learned from all frames (empirical Bayes). Frames may
    differ in dose and background. A Dask-backed movie is read chunk by chunk, several times.

    Frames are compared with each other only. What they have in common - a scan distortion that repeats in every frame,
    drift within the frames - stays in the mean image, as it does in any single frame, which cannot tell strain from
    drift: use `correct_scan_pair`, or a lattice that is known.

    Parameters
    ----------
    movie
        Frames (frame, y, x) of one specimen; `attrs["fast_axis"]` names the scan direction.
    registration
        How frames may be displaced.
    noise
        The noise of one frame; `None` to estimate it from the frame in the middle.
    progress
        Told of every frame that was dealt with, of the most that may be: frames are read several times.

    Returns
    -------
    Restoration
        The mean image, its noise, and each frame's displacement with covariance. Frames that are constant, or agree
        with no other, are flagged and left out.

    Raises
    ------
    InputError
        The movie has fewer than two frames that agree, or holds NaN.

    Warns
    -----
    CalibrationWarning
        Frames were left out, or the displacements still moved at the end.
    IdentifiabilityWarning
        Frames may lie a lattice vector away: their cells look too much alike (`displacement.hop_probability`).

    References
    ----------
    .. [1] B. Berkels et al., "Optimized imaging using non-rigid registration", Ultramicroscopy 138, 46 (2014).
    .. [2] L. Jones et al., "Smart Align - a new tool for robust non-rigid registration of scanning microscope data",
       Adv. Struct. Chem. Imaging 1, 8 (2015).
    .. [3] B. H. Savitzky et al., "Image registration of low signal-to-noise cryo-STEM data", Ultramicroscopy 191, 56
       (2018).

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> y, x = np.mgrid[:64, :64]
    >>> spots = [100 * np.exp(-((y - 30 - k) ** 2 + (x - 31) ** 2) / 18.0) for k in (0.0, 0.5)]
    >>> from tusi.finding.restoration import stack_frames
    >>> movie = stack_frames([make_grid(spot) for spot in spots])
    >>> restored = register_stack(movie, registration=Rigid(), noise=NoiseModel(gain=0.0, read_variance=1.0))
    >>> restored.displacement.coefficient[:, 0, 0].round(2).tolist()
    [0.25, -0.25]
    """
    source = FrameSource(movie, progress=progress)
    if source.along_y:
        raise InputError("movie", expected="fast_axis 'x'", got="'y'", then="Transpose y and x.")
    constant = source.check_values()
    noise = noise or source.noise(constant)
    alignment = align_frames(source, constant)
    used = alignment.overlaps
    if used.sum() < 2:
        raise InputError(
            "movie",
            expected="at least two frames that show the same area",
            got="none that agree by more than chance",
            then="Crop the movie to frames that overlap by a third or more.",
        )
    model = ScanModel.over(source.shape, registration.n_intervals(source.shape))
    scans = [FrameScan.at_rest(model, turn_of(0.0), shift) for shift in alignment.shift]
    solution, placement = solve_without_hops(source, scans, noise=noise, prior=first_prior(registration), used=used)
    flags = frame_flags(constant, used, solution)
    displacement = displacement_of(solution, placement, flags, scan_angle=np.zeros(len(source)))
    result = finish(solution, movie.isel(frame=0, drop=True), noise=noise, displacement=displacement)
    warn_of(result)
    return result


def first_prior(strategy: Rigid | NonRigid | ScanDrift) -> Prior:
    """Return the prior from which learning starts."""
    return Prior(deviation=FIRST_DEVIATION, row_deviation=FIRST_ROW_DEVIATION if strategy.row_jitter else 0.0)


def frame_flags(constant: list[int], overlaps: np.ndarray, solution: Solution) -> np.ndarray:
    """Return the flags of every frame."""
    flags = np.where(overlaps, 0, int(FrameFlag.NO_OVERLAP))
    flags[constant] = int(FrameFlag.CONSTANT)
    flags[overlaps & ~solution.used] |= int(FrameFlag.POOR_FIT)
    return flags


def displacement_of(
    solution: Solution, placement: Placement, flags: np.ndarray, *, scan_angle: np.ndarray
) -> ScanDisplacement:
    """Return the frames' displacements as one table."""
    fits = solution.fits
    model = fits[0].scan.model
    return ScanDisplacement(
        coefficient=np.array([fit.scan.coefficient for fit in fits]),
        covariance=np.array([fit.covariance for fit in fits]),
        row_shift=np.array([fit.scan.row_shift for fit in fits]),
        row_variance=np.array([fit.row_variance for fit in fits]),
        response=np.array([fit.response for fit in fits], dtype=np.float32),
        scan_angle=scan_angle,
        dose=np.array([fit.scan.dose for fit in fits]),
        background=np.array([fit.scan.background for fit in fits]),
        reduced_chi_square=np.array([fit.reduced_chi_square for fit in fits]),
        hop_probability=placement.hop_probability,
        flags=flags,
        shape=model.shape,
        n_intervals=model.n_intervals,
        deviation=solution.prior.deviation if model.n_functions > 1 else 0.0,
        row_deviation=solution.prior.row_deviation,
    )


def warn_of(result: Restoration) -> None:
    """Warn of everything in the result beyond what is true of every restoration."""
    for note in result.warnings[1:]:
        kind = IdentifiabilityWarning if note.endswith(HOPS) else CalibrationWarning
        warnings.warn(note, kind, stacklevel=3)
