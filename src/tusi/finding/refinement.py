"""Maximum-likelihood refinement: every spot in turn, then everything together."""

import dataclasses

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float
from scipy.sparse.linalg import splu

from tusi.finding.equations import normal_equations, roughness, solve
from tusi.finding.model import SpotModel
from tusi.numerics.normal_equations import node_information
from tusi.numerics.spots import likelihood_gain, sweep_spots

LARGEST_STEP = 0.5
"""A spot moves at most this many widths in one step."""

LARGEST_WIDENING = 0.2
"""The width changes at most by this factor's logarithm in one step."""

MOST_RETRIES = 6
"""A step that lowers the likelihood is damped and tried again so many times."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointRefinement:
    """Fisher scoring on all positions, amplitudes, the common spot shape and the background.

    Starts with sweeps over the spots, each fitted with its neighbours held fixed; then solves the sparse
    normal equations of all unknowns together until they move by less than `tolerance`.

    Attributes
    ----------
    n_sweeps
        Sweeps over all spots before the joint steps.
    max_iterations
        Largest number of joint steps.
    tolerance
        The solve ends when its last step moved the parameters by less than this many standard errors, root mean square.
    """

    n_sweeps: int = 2
    max_iterations: int = 25
    tolerance: float = 0.05


def _apply(model: SpotModel, step: Float[np.ndarray, " unknown"]) -> None:
    """Take a step, within limits."""
    n_spot = 3 * len(model.position)
    spots = step[:n_spot].reshape(-1, 3)
    limit = LARGEST_STEP * model.width
    model.position = model.position + np.clip(spots[:, :2], -limit, limit)
    model.amplitude = np.maximum(model.amplitude + spots[:, 2], 0.1 * model.amplitude)
    model.nodes = model.nodes + step[n_spot:-1].reshape(model.nodes.shape)
    model.width *= float(np.exp(np.clip(step[-1], -LARGEST_WIDENING, LARGEST_WIDENING)))


def fit_background(model: SpotModel) -> None:
    """Fit the background nodes alone, by weighted least squares."""
    prior = roughness(model)
    residual, weight, _ = model.weigh()
    nodes = node_information(weight, model.along_y, model.along_x) + prior
    misfit = np.multiply(weight, residual, out=model.buffer("misfit"))
    right = (model.along_y.T @ misfit @ model.along_x).ravel() - prior @ model.nodes.ravel()
    diagonal = sparse.diags_array(1e-9 * nodes.diagonal() + 1e-300)
    model.nodes = model.nodes + splu(sparse.csc_array(nodes + diagonal)).solve(right).reshape(model.nodes.shape)


def sweep(model: SpotModel, n_sweeps: int) -> None:
    """Fit the spots one after the other, several times, and the background between the sweeps."""
    for _ in range(n_sweeps):
        sweep_spots(model.image, model.render(), model.noise, model.spots, model.ridge)
        fit_background(model)


def refine(model: SpotModel, refinement: JointRefinement) -> Float[np.ndarray, " atom"]:
    """Refine the model in place by joint steps; return how far each spot still moved in the last, in pixels."""
    movement = np.zeros(len(model.position))
    if not len(model.position):
        return movement
    residual, weight, chi_square = model.weigh("0")
    damping = 0.0
    for iteration in range(1, refinement.max_iterations + 1):
        equations = normal_equations(model, residual, weight)
        for _ in range(MOST_RETRIES):
            before = (model.position, model.amplitude, model.nodes, model.width)
            step = solve(equations, damping)
            _apply(model, step)
            new_residual, new_weight, new_chi_square = model.weigh(str(iteration % 2))
            if likelihood_gain(residual, weight, new_residual, new_weight) >= 0:
                break
            model.position, model.amplitude, model.nodes, model.width = before
            damping = max(10 * damping, 1e-2)
        damping = 0.0 if damping < 1e-2 else 0.1 * damping
        residual, weight, chi_square = new_residual, new_weight, new_chi_square
        movement = np.hypot(*step[: 3 * len(model.position)].reshape(-1, 3)[:, :2].T)
        noise = max(chi_square / model.image.size, 1.0) * model.correlation_area
        if float(step @ equations.gradient) < refinement.tolerance**2 * len(step) * noise:
            break
    return movement
