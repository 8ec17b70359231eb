"""How well each atom is known: Fisher information, correlated noise, misfit of the model, and scan noise."""

import dataclasses

import numpy as np
import scipy.ndimage as ndimage
from jaxtyping import Float
from scipy.special import ndtri

from tusi.finding.equations import information_blocks
from tusi.finding.model import SpotModel
from tusi.numerics.local_inverse import local_inverse, neighbour_table
from tusi.numerics.row_shifts import add_row_shift_derivative, row_responses, row_shift_variance

N_SPOT_PARAMETERS = 3

LARGE_MISFIT, LARGE_CORRELATION = 1.3, 1.5
"""Beyond this reduced chi-square or correlation area, the residual itself says how much wider errors are."""

N_TRIALS = 200
"""Trial spots from which the part of the noise that a fit leaves is computed."""

SMALLEST_LEFT = 0.05
"""A fit is never taken to absorb more than all but this fraction of the noise."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Uncertainty:
    """What is known about how well the model is known, in pixels.

    Attributes
    ----------
    covariance
        Of (y, x, amplitude) of each atom, everything included.
    fisher_covariance
        The same for independent pixels that follow the noise model, and nothing else.
    line_jitter
        Root mean square shift of the image rows along x.
    noise
        Variance of the residual relative to the noise model, without what line jitter explains.
    misfit
        Mean squared residual under each atom, in units of the noise.
    """

    covariance: Float[np.ndarray, "atom 3 3"]
    fisher_covariance: Float[np.ndarray, "atom 3 3"]
    line_jitter: float
    noise: float
    misfit: Float[np.ndarray, " atom"]


def amplitude_variance(model: SpotModel, weight: Float[np.ndarray, "y x"]) -> Float[np.ndarray, " atom"]:
    """Return the variance of the amplitudes for independent pixels that follow the noise.

    Neighbours and positions are free, except for spots centred outside the image: what is seen of those does not tell
    distance from brightness, but that something is there is as certain as with the position held.
    """
    own, pairs, blocks = information_blocks(model, weight)
    n_atoms = len(model.position)
    nothing = (np.zeros((n_atoms, 3, 0)), np.zeros(n_atoms, dtype=np.int64))
    table = neighbour_table(pairs, n_atoms)
    covariance, _ = local_inverse(own, blocks, table, nothing, np.zeros((0, 1)))
    outside = ((model.position < 0) | (model.position > np.array(model.image.shape) - 1)).any(axis=1)
    held = 1 / np.maximum(own[:, 2, 2], np.finfo(np.float64).tiny)
    return np.where(outside, held, covariance[:, 2, 2])


def state_uncertainty(
    model: SpotModel,
    residual: Float[np.ndarray, "y x"],
    weight: Float[np.ndarray, "y x"],
    *,
    misfit: float | None = None,
) -> Uncertainty:
    """Return the full covariance of every atom, with the line jitter estimated from the residual.

    `misfit` is the reduced chi-square against the noise alone, where `weight` counts the misfit as noise.
    """
    own, pairs, blocks = information_blocks(model, weight)
    shift = model.buffer("derivative")
    shift[:] = 0.0
    add_row_shift_derivative(shift, *model.spots)
    weighted = np.multiply(weight, shift, out=model.buffer("weighted"))
    information = np.einsum("yx,yx->y", weighted, shift)
    gradient = np.einsum("yx,yx->y", weighted, residual)
    squared = np.multiply(residual, residual, out=model.buffer("misfit"))
    squared *= weight
    response, first_row, own_misfit = row_responses(weighted, squared, model.spots)
    absorbed = np.zeros((len(model.image), 4 * response.shape[2] + 1))
    table = neighbour_table(pairs, len(model.position))
    covariance, shifted = local_inverse(own, blocks, table, (response, first_row), absorbed)
    n_free = np.count_nonzero(weight) - N_SPOT_PARAMETERS * len(model.position) - model.nodes.size - 1
    variance, noise = row_shift_variance(
        -gradient,
        information,
        absorbed,
        chi_square=(float(squared.sum()), float(n_free)),
        correlation_area=model.correlation_area,
    )
    noise = noise if misfit is None else misfit
    if noise > LARGE_MISFIT or model.correlation_area > LARGE_CORRELATION:
        deviation = np.sqrt(np.maximum(measured_inflation(model, residual, weight), 1.0))
    else:
        deviation = np.full(3, np.sqrt(max(noise, 1.0) * model.correlation_area))
    total = covariance * np.outer(deviation, deviation)
    total[:, :2, :2] += variance * shifted
    return Uncertainty(
        covariance=total,
        fisher_covariance=covariance,
        line_jitter=float(np.sqrt(variance)),
        noise=noise,
        misfit=own_misfit,
    )


def measured_inflation(
    model: SpotModel, residual: Float[np.ndarray, "y x"], weight: Float[np.ndarray, "y x"]
) -> Float[np.ndarray, " 3"]:
    """Return the variance of (y, x, amplitude) of one more spot in the residual, relative to independent pixels.

    Correlated noise and the misfit of the spot's shape act through the residual's projection on a spot and its
    derivatives. Its variance over the image, by the median, is divided by the part that the fit of white noise would
    have left.
    """
    measured = np.empty(3)
    for n, order in enumerate(((1, 0), (0, 1), (0, 0))):
        size = 2 * int(4 * model.width + 1) + 1
        impulse = np.zeros((size, size))
        impulse[size // 2, size // 2] = 1.0
        kernel = ndimage.gaussian_filter(impulse, model.width, order=order, mode="constant")
        z = ndimage.gaussian_filter(weight * residual, model.width, order=order, mode="constant")
        z /= np.sqrt((kernel**2).sum() * ndimage.gaussian_filter(weight, model.width / np.sqrt(2), mode="nearest"))
        measured[n] = (np.median(np.abs(z)) / ndtri(0.75)) ** 2
    return measured / left_by_fit(model, weight)


def left_by_fit(model: SpotModel, weight: Float[np.ndarray, "y x"]) -> Float[np.ndarray, " 3"]:
    """Return the fraction of white noise on (y, x, amplitude) of one more spot that the fit leaves in the residual.

    The mean over trial spots, spread evenly over the image, of the information that the fitted spots leave on them.
    """
    steps = np.arange(1, N_TRIALS + 1)[:, None] * np.array([0.7548776662466927, 0.5698402909980532])
    trial = (steps % 1.0) * (np.array(model.image.shape) - 1)
    n_atoms = len(model.position)
    joint = dataclasses.replace(
        model,
        position=np.concatenate([model.position, trial]),
        amplitude=np.concatenate([model.amplitude, np.full(N_TRIALS, model.typical_amplitude)]),
    )
    own, pairs, blocks = information_blocks(joint, weight)
    keep = (pairs < n_atoms).any(axis=1)
    nothing = (np.zeros((len(own), 3, 0)), np.zeros(len(own), dtype=np.int64))
    table = neighbour_table(pairs[keep], len(own))
    covariance, _ = local_inverse(own, blocks[keep], table, nothing, np.zeros((0, 1)))
    diagonal = np.diagonal(covariance[n_atoms:], axis1=1, axis2=2) * np.diagonal(own[n_atoms:], axis1=1, axis2=2)
    return np.clip(np.nanmean(1 / diagonal, axis=0), SMALLEST_LEFT, 1.0)
