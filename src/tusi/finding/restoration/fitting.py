"""One step of least squares for the displacement of one frame against the common image."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from tusi.data import NoiseModel
from tusi.finding.restoration.reference import Reference
from tusi.finding.restoration.scan import FrameScan
from tusi.numerics.warping import sample, sample_moved, whole_move

SMALLEST_VARIANCE = 0.02
"""No pixel is believed to have less than this fraction of the frame's mean variance."""

LEAST_PIXELS = 64
"""Frames that share fewer pixels with the reference are not fitted."""

FREE = 1e-12
"""Precision of what has no prior, 1/pixel squared."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prior:
    """How large displacements are expected to be, in pixels; a row deviation of zero keeps rows in place."""

    deviation: float
    row_deviation: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FrameFit:
    """One frame after a step, and how well it is known.

    Attributes
    ----------
    scan
        The frame with its new displacement, dose and background.
    covariance
        Of the coefficients along y, then x.
    row_variance
        Of each row's shift where the coefficients are known.
    response
        How much each row's estimated shift falls with each coefficient.
    reduced_chi_square
        Mean squared residual over its expected variance; NaN for a frame that could not be fitted.
    smooth_size, row_size
        (Sum of squares, number of well-determined values) from which the prior's deviations follow.
    """

    scan: FrameScan
    covariance: Float[np.ndarray, "parameter parameter_"]
    row_variance: Float[np.ndarray, " row"]
    response: Float[np.ndarray, "row parameter"]
    reduced_chi_square: float
    smooth_size: tuple[float, float]
    row_size: tuple[float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class _Linearised:
    """Residual, weight and slopes of one frame at its present displacement."""

    residual: Float[np.ndarray, "row column"]
    weight: Float[np.ndarray, "row column"]
    slope: Float[np.ndarray, "2 row column"]
    dose: float
    background: float
    chi_square: float


def fit_frame(
    image: Float[np.ndarray, "row column"],
    reference: Reference,
    *,
    scan: FrameScan,
    prior: Prior,
    noise: NoiseModel,
    share: tuple[float, bool],
) -> FrameFit:
    """Return the frame after one Gauss-Newton step towards the largest posterior.

    The reference is the mean of all frames and holds this one's noise: the residual is `share` of what it would be
    against the others. Slopes come from the noise-filtered reference, whose noise the residual does not share.

    Parameters
    ----------
    image
        The frame, in signal units.
    reference
        The mean of all frames.
    scan
        Where the frame is believed to have been recorded.
    prior
        How large displacements are expected to be.
    noise
        The noise of one frame.
    share
        One minus the frame's weight in the reference, and whether a displacement of this frame moves the reference
        along (pairs at different angles) or is measured from the mean displacement (stacks).
    """
    state = _linearise(image, reference, scan, noise)
    if state is None:
        return _unfitted(scan)
    rest, moves = share
    gain, factor = (rest, 1.0) if moves else (1.0 / rest, 1.0 / rest)
    splines, (g_y, g_x) = scan.model.splines, state.slope
    along = scan.fast_axis[0] * g_y + scan.fast_axis[1] * g_x
    weighted = state.weight * state.residual
    w_y, w_x = state.weight * g_y, state.weight * g_x
    cross = splines.products(w_y * g_x)
    information = gain * np.block([[splines.products(w_y * g_y), cross], [cross.T, splines.products(w_x * g_x)]])
    gradient = factor * np.concatenate([splines.projection(weighted * g_y), splines.projection(weighted * g_x)])
    precision = _precision(scan, prior)
    current = scan.coefficient.ravel()
    system, right = information + precision, gradient - precision @ current
    n_rows = len(scan.row_shift)
    response, row_variance = np.zeros((n_rows, len(current))), np.zeros(n_rows)
    if prior.row_deviation > 0:
        row_precision = 1 / prior.row_deviation**2
        row_variance = 1 / (gain * (state.weight * along**2).sum(axis=1) + row_precision)
        shared = gain * np.concatenate([splines.row_products(w_y * along), splines.row_products(w_x * along)])
        row_right = factor * (weighted * along).sum(axis=1) - row_precision * scan.row_shift
        response = (shared * row_variance).T
        system = system - shared @ response
        right = right - response.T @ row_right
    covariance = np.linalg.inv(system)
    step = covariance @ right
    row_step = row_variance * row_right - response @ step if prior.row_deviation > 0 else np.zeros(n_rows)
    step = step.reshape(2, -1)
    if moves:
        step -= (1 - rest) * step.mean(axis=1, keepdims=True)
    new = dataclasses.replace(
        scan,
        coefficient=scan.coefficient + step,
        row_shift=scan.row_shift + row_step,
        dose=state.dose,
        background=state.background,
    )
    return FrameFit(
        scan=new,
        covariance=covariance,
        row_variance=row_variance,
        response=response.astype(np.float32),
        reduced_chi_square=state.chi_square / rest,
        smooth_size=_smooth_size(new, covariance, prior),
        row_size=_row_size(new.row_shift, (covariance, row_variance, response), prior),
    )


def _linearise(
    image: Float[np.ndarray, "row column"], reference: Reference, scan: FrameScan, noise: NoiseModel
) -> _Linearised | None:
    """Return residual, weight and slopes, with the frame's brightness fitted; nothing where it is not covered."""
    seen, inside = _reference_at(reference, scan)
    if inside.sum() < LEAST_PIXELS:
        return None
    value = np.where(inside, seen[0], 0.0)
    expected = scan.background + scan.dose * value
    variance = noise.variance(expected)
    floor = SMALLEST_VARIANCE * float(variance[inside].mean())
    weight = np.where(inside, 1 / np.maximum(variance, floor), 0.0)
    total = weight.sum()
    mean_value, mean_image = (weight * value).sum() / total, (weight * image).sum() / total
    spread = (weight * (value - mean_value) ** 2).sum()
    dose = float((weight * (value - mean_value) * (image - mean_image)).sum() / spread) if spread > 0 else 0.0
    if not dose > 0:
        return None
    background = float(mean_image - dose * mean_value)
    residual = np.where(inside, image - background - dose * value, 0.0)
    slope = np.where(inside, dose * seen[1:], 0.0)
    chi_square = float((weight * residual**2).sum() / inside.sum())
    return _Linearised(residual, weight, slope, dose, background, chi_square)


def _reference_at(
    reference: Reference, scan: FrameScan
) -> tuple[Float[np.ndarray, "3 row column"], Bool[np.ndarray, "row column"]]:
    """Return the reference and its slopes where each pixel was recorded, and where they are known."""
    if scan.moved_as_a_whole:
        move = scan.coefficient[:, 0]
        slopes = [sample_moved(reference.slope, move, slope_along=axis) for axis in range(2)]
        seen = np.stack([sample_moved(reference.value, move), *slopes])
        return seen, np.isfinite(seen[0]) & whole_move(reference.usable, move)
    place = scan.places()
    seen = np.empty((3, *scan.model.shape))
    sample(reference.value, reference.slope, place, seen)
    inside = np.isfinite(seen[0])
    nearest = tuple(np.rint(np.where(inside, axis, 0)).astype(np.int64) for axis in place)
    return seen, inside & reference.usable[nearest]


def _precision(scan: FrameScan, prior: Prior) -> Float[np.ndarray, "parameter parameter_"]:
    """Return the prior precision of the coefficients along y, then x."""
    n = scan.model.n_functions
    smooth = scan.model.smoothness / prior.deviation**2 if n > 1 else np.zeros((1, 1))
    return np.kron(np.eye(2), smooth) + FREE * np.eye(2 * n)


def _smooth_size(scan: FrameScan, covariance: np.ndarray, prior: Prior) -> tuple[float, float]:
    """Return the coefficients' sum of squares under their prior, and how many the data determine."""
    n = scan.model.n_functions
    if n == 1:
        return 0.0, 0.0
    smoothness = scan.model.smoothness
    square = float(np.einsum("ki,ij,kj->", scan.coefficient, smoothness, scan.coefficient))
    blocks = covariance[:n, :n] + covariance[n:, n:]
    return square, 2 * (n - 1) - float((blocks * smoothness).sum()) / prior.deviation**2


def _row_size(row_shift: np.ndarray, known: tuple[np.ndarray, np.ndarray, np.ndarray], prior: Prior) -> tuple:
    """Return the row shifts' sum of squares, and how many the data determine."""
    if prior.row_deviation == 0:
        return 0.0, 0.0
    covariance, row_variance, response = known
    variance = row_variance + np.einsum("ri,ij,rj->r", response, covariance, response)
    return float((row_shift**2).sum()), float((1 - variance / prior.row_deviation**2).sum())


def _unfitted(scan: FrameScan) -> FrameFit:
    """Return a frame that has too little in common with the others, unchanged."""
    n = 2 * scan.model.n_functions
    n_rows = len(scan.row_shift)
    return FrameFit(
        scan=scan,
        covariance=np.full((n, n), np.nan),
        row_variance=np.full(n_rows, np.nan),
        response=np.zeros((n_rows, n), dtype=np.float32),
        reduced_chi_square=np.nan,
        smooth_size=(0.0, 0.0),
        row_size=(0.0, 0.0),
    )
