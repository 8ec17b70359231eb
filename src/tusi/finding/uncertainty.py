"""How well each atom is known: Fisher information, correlated noise, misfit of the model, and scan noise."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.finding.equations import information_blocks
from tusi.finding.model import SpotModel
from tusi.numerics.local_inverse import local_inverse, neighbour_table
from tusi.numerics.row_shifts import add_row_shift_derivative, row_responses, row_shift_variance

N_SPOT_PARAMETERS = 3


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Uncertainty:
    """What is known about how well the model is known, in pixels.

    Attributes
    ----------
    covariance
        Of (y, x, amplitude) of each atom, everything included.
    line_jitter
        Root mean square shift of the image rows along x.
    noise
        Variance of the residual relative to the noise model, without what line jitter explains.
    misfit
        Mean squared residual under each atom, in units of the noise.
    """

    covariance: Float[np.ndarray, "atom 3 3"]
    line_jitter: float
    noise: float
    misfit: Float[np.ndarray, " atom"]


def marginal_covariance(model: SpotModel, weight: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "atom 3 3"]:
    """Return the covariance of (y, x, amplitude), neighbours free, for independent pixels that follow the noise."""
    own, pairs, blocks = information_blocks(model, weight)
    n_atoms = len(model.position)
    nothing = (np.zeros((n_atoms, 3, 0)), np.zeros(n_atoms, dtype=np.int64))
    table = neighbour_table(pairs, n_atoms)
    return local_inverse(own, blocks, table, nothing, np.zeros((0, 1)))[0]


def state_uncertainty(
    model: SpotModel,
    residual: Float[np.ndarray, "y x"],
    weight: Float[np.ndarray, "y x"],
    *,
    correlation_area: float,
) -> Uncertainty:
    """Return the full covariance of every atom, with the line jitter estimated from the residual."""
    own, pairs, blocks = information_blocks(model, weight)
    shift = np.zeros_like(model.image)
    add_row_shift_derivative(shift, *model.spots)
    weighted = weight * shift
    information = np.einsum("yx,yx->y", weighted, shift)
    gradient = np.einsum("yx,yx->y", weighted, residual)
    squared = residual**2
    squared *= weight
    response, first_row, misfit = row_responses(weighted, squared, model.spots)
    absorbed = np.zeros((len(model.image), 4 * response.shape[2] + 1))
    table = neighbour_table(pairs, len(model.position))
    covariance, shifted = local_inverse(own, blocks, table, (response, first_row), absorbed)
    n_free = np.count_nonzero(weight) - N_SPOT_PARAMETERS * len(model.position) - model.nodes.size - 1
    variance, noise = row_shift_variance(
        -gradient,
        information,
        absorbed,
        chi_square=(float(squared.sum()), float(n_free)),
        correlation_area=correlation_area,
    )
    covariance *= max(noise, 1.0) * correlation_area
    covariance[:, :2, :2] += variance * shifted
    return Uncertainty(covariance=covariance, line_jitter=float(np.sqrt(variance)), noise=noise, misfit=misfit)
