"""Images of one area scanned at different angles: what moved while they were scanned, and the image without it."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from tusi.data import NoiseModel
from tusi.errors import InputError
from tusi.execution import Progress
from tusi.finding.restoration.displacement import turn_of
from tusi.finding.restoration.frames import FrameSource, stack_frames
from tusi.finding.restoration.lattice_hops import solve_without_hops
from tusi.finding.restoration.result import Restoration, finish
from tusi.finding.restoration.scan import FrameScan, ScanModel
from tusi.finding.restoration.stacks import displacement_of, first_prior, frame_flags, warn_of
from tusi.finding.restoration.steady_drift import SteadyDrift, find_steady_drift
from tusi.finding.restoration.strategies import ScanDrift

LEAST_ANGLE = 20.0
"""Two of the slow axes must differ by this many degrees."""

SAME_ANGLE = 1.0
"""Recorded and given angles agree to so many degrees."""


def correct_scan_pair(
    images: Sequence[xr.DataArray] | xr.DataArray,
    *,
    scan_angles: Sequence[float],
    drift: ScanDrift = ScanDrift(),
    noise: NoiseModel | None = None,
    progress: Progress | None = None,
) -> Restoration:
    """Remove the drift from images of one area that were scanned at different angles.

    One frame cannot tell strain from drift: both stretch and shear it. Drift is a function of time, and time runs along
    the slow axis, so that at each point the difference between two images is a function of one coordinate minus a
    function of the other; both follow from it, up to a shift of the whole. The steady drift with which the images agree
    best is searched for; cubic splines in time along both axes and a shift of every row along the fast axis are then
    found by least squares on the intensities under the noise model, together with the mean image; how large both are is
    learned from the images. On a lattice the images look alike at many shifts: what differs from cell to cell says
    which one is right, and how surely. Assumes that nothing but the place of the probe changed between the images, and
    that the scan itself is not distorted: an error of the scan that turns with the scan direction and repeats in every
    image looks like drift.

    Parameters
    ----------
    images
        Two or more images of one shape, each with rows along its slow axis, as the scan wrote them; or one grid (frame,
        y, x).
    scan_angles
        Angle of each image's fast axis in degrees, from x towards y of the result; two must differ by 20 or more.
    drift
        How the specimen may move.
    noise
        The noise of one image; `None` to estimate it from one.
    progress
        Told of every image that was dealt with, of the most that may be: images are read several times.

    Returns
    -------
    Restoration
        The image without drift in the axes of angle 0, its noise, and the drift of each image with covariance;
        `Restoration.with_registration` adds that to the covariance of atoms.

    Raises
    ------
    InputError
        The images hold NaN, are constant, have different shapes, do not overlap, have been scanned along one axis, or
        say in `attrs["fast_axis"]` or `attrs["scan_angle"]` that they were scanned in other directions.

    Warns
    -----
    CalibrationWarning
        Images were left out, or the drift still changed at the end.
    IdentifiabilityWarning
        An image may lie a lattice vector away: its cells look too much alike (`displacement.hop_probability`).

    References
    ----------
    .. [1] C. Ophus, J. Ciston, C. T. Nelson, "Correcting nonlinear drift distortion of scanning probe and scanning
       transmission electron microscopies from image pairs with orthogonal scan directions", Ultramicroscopy 162, 1
       (2016).
    .. [2] X. Sang, J. M. LeBeau, "Revolving scanning transmission electron microscopy: correcting sample drift
       distortion without prior knowledge", Ultramicroscopy 138, 28 (2014).

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> y, x = np.mgrid[:64, :64]
    >>> places = ((12, 15), (20, 45), (34, 28), (50, 13), (47, 50))
    >>> spots = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 18.0) for a, b in places)
    >>> pair = [make_grid(100 * spots), make_grid(100 * np.rot90(spots))]
    >>> read_noise = NoiseModel(gain=0.0, read_variance=1.0)
    >>> restored = correct_scan_pair(pair, scan_angles=(0.0, 90.0), noise=read_noise)
    >>> restored.resolved, bool(restored.displacement.row_deviation < 0.1)
    (True, True)
    """
    movie = stack_frames(images)
    source = FrameSource(movie, progress=progress)
    angles = _checked_angles(scan_angles, len(source))
    _check_recorded(images if not isinstance(images, xr.DataArray) else [images] * len(source), angles)
    flat = source.check_values()
    if flat:
        raise InputError("images", expected="images that are not constant", got=f"image {flat[0]}: constant")
    noise = noise or source.noise(flat)
    turns = [turn_of(angle) for angle in angles]
    steady = find_steady_drift(list(source), turns, most_drift=drift.most_drift)
    if steady.evidence < steady.chance:
        raise InputError(
            "images",
            expected="images of one area",
            got="one that agrees with the first by no more than chance",
            then="Check the scan angles and their sign, or allow for more drift: `ScanDrift(most_drift=...)`.",
        )
    model = ScanModel.over(source.shape, drift.n_intervals(source.shape))
    used = np.ones(len(source), dtype=np.bool_)

    scans = [_steady_scan(model, turn, steady, number) for number, turn in enumerate(turns)]
    solution, placement = solve_without_hops(source, scans, noise=noise, prior=first_prior(drift), used=used)
    displacement = displacement_of(solution, placement, frame_flags([], used, solution), scan_angle=angles)
    grid = movie.isel(frame=0, drop=True)
    grid.attrs.pop("scan_angle", None)
    result = finish(solution, grid, noise=noise, displacement=displacement)
    warn_of(result)
    return result


def _checked_angles(scan_angles: Sequence[float], n_images: int) -> Float[np.ndarray, " image"]:
    """Return the angles; they must be known for every image and not all be one direction."""
    angles = np.asarray(scan_angles, dtype=np.float64)
    if angles.shape != (n_images,) or not np.isfinite(angles).all():
        raise InputError("scan_angles", expected=f"{n_images} finite angles, one for each image", got=str(scan_angles))
    apart = np.abs((angles - angles[0] + 90.0) % 180.0 - 90.0)
    if apart.max() < LEAST_ANGLE:
        raise InputError(
            "scan_angles",
            expected=f"two scan directions that differ by {LEAST_ANGLE:g} degrees or more",
            got=str(tuple(angles.tolist())),
            then="Images scanned along one axis cannot tell strain from drift; `register_stack` averages them.",
        )
    return angles


def _check_recorded(images: Sequence[xr.DataArray], angles: Float[np.ndarray, " image"]) -> None:
    """Check that the images' own record does not contradict the angles; only differences of recorded angles count."""
    for number, image in enumerate(images):
        if image.attrs.get("fast_axis", "x") != "x":
            raise InputError(
                "images",
                expected="rows along the fast axis, as the scan wrote them (fast_axis 'x')",
                got=f"fast_axis {image.attrs['fast_axis']!r} in image {number}",
                then="Transpose y and x where the columns are the scan's lines.",
            )
        if "scan_angle" not in image.attrs or "scan_angle" not in images[0].attrs:
            continue
        turned = float(image.attrs["scan_angle"]) - float(images[0].attrs["scan_angle"])
        if abs((turned - (angles[number] - angles[0]) + 180.0) % 360.0 - 180.0) > SAME_ANGLE:
            raise InputError(
                "scan_angles",
                expected=f"image {number} turned by {turned:g} degrees against the first, as their `scan_angle` says",
                got=f"{angles[number] - angles[0]:g}",
                then="Give the recorded angles, or correct or remove `attrs['scan_angle']`.",
            )


def _steady_scan(model: ScanModel, turn: Float[np.ndarray, "2 2"], steady: SteadyDrift, number: int) -> FrameScan:
    """Return the scan of an image whose displacement is the steady drift and its shift."""
    scan = FrameScan.at_rest(model, turn, steady.shift[number])
    n_nodes = model.splines.along_y.shape[1]
    n_intervals = n_nodes - 3
    node = (np.arange(n_nodes) - 1) * (model.shape[0] - 1) / max(n_intervals, 1) - 0.5 * (model.shape[0] - 1)
    return dataclasses.replace(scan, coefficient=scan.coefficient + steady.velocity[:, None] * node)
