"""Maximum-likelihood refinement: every spot in turn, then everything together."""

import dataclasses

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, Int
from scipy.sparse.linalg import LinearOperator, cg, splu
from scipy.spatial import cKDTree

from tusi.finding.model import CUTOFF, SpotModel
from tusi.numerics.normal_equations import block_diagonal_inverse, node_information, pair_blocks, spot_blocks
from tusi.numerics.spots import sweep_spots

BACKGROUND_STIFFNESS = 0.5
"""Prior spread of the difference between neighbouring background nodes, in units of the median amplitude."""

LARGEST_STEP = 0.5
"""A spot moves at most this many widths in one step."""

OVERLAP = 6.0
"""Pairs of spots further apart than this many widths are taken as independent."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointRefinement:
    """Fisher scoring on all positions, amplitudes, the common spot shape and the background.

    Starts with sweeps over the spots, each fitted with its neighbours held fixed; then, if `joint`, solves the sparse
    normal equations of all unknowns together until no spot moves by more than `tolerance`.

    Attributes
    ----------
    n_sweeps
        Sweeps over all spots before the joint steps.
    joint
        Whether to solve for everything together; without, errors of overlapping spots are up to a tenth larger.
    max_iterations
        Largest number of joint steps.
    tolerance
        Largest movement at which the solve counts as converged, in spot widths.
    """

    n_sweeps: int = 2
    joint: bool = True
    max_iterations: int = 12
    tolerance: float = 0.05


@dataclasses.dataclass(kw_only=True)
class NormalEquations:
    """Gradient and information of everything, at one point."""

    gradient: Float[np.ndarray, " unknown"]
    information: sparse.csr_array
    own: Float[np.ndarray, "atom 3 3"]
    ridge: Float[np.ndarray, " 3"]
    border: sparse.csc_array
    pairs: Int[np.ndarray, "pair 2"]
    blocks: Float[np.ndarray, "pair 3 3"]


def overlapping_pairs(position: Float[np.ndarray, "atom 2"], distance: float) -> Int[np.ndarray, "pair 2"]:
    """Return the pairs of spots closer than a distance."""
    if len(position) < 2:
        return np.empty((0, 2), dtype=np.int64)
    return cKDTree(position).query_pairs(distance, output_type="ndarray").astype(np.int64)


def normal_equations(
    model: SpotModel, residual: Float[np.ndarray, "y x"], weight: Float[np.ndarray, "y x"]
) -> NormalEquations:
    """Assemble gradient and Fisher information of spots, background nodes and shared shape, in that order."""
    shape = model.shape_derivatives()
    n_atoms, n_nodes, n_shape = len(model.position), model.nodes.size, len(shape)
    gradient, own, to_nodes, first_node, to_shape = spot_blocks(
        (residual, weight), model.spots, shape, model.node_spacing, model.nodes.shape
    )
    pairs = overlapping_pairs(model.position, OVERLAP / CUTOFF * model.radius)
    blocks = pair_blocks(weight, model.spots, pairs)
    border = _border(model, weight, shape)
    border_gradient = np.concatenate(
        [
            (model.along_y.T @ (weight * residual) @ model.along_x).ravel() - _roughness(model) @ model.nodes.ravel(),
            np.array([np.vdot(weight * residual, layer) for layer in shape]),
        ]
    )
    rows, columns, values = [], [], []
    three = np.arange(3)

    def add(row: np.ndarray, column: np.ndarray, value: np.ndarray) -> None:
        row, column = np.broadcast_arrays(row, column)
        rows.append(row.ravel()), columns.append(column.ravel()), values.append(value.ravel())

    atom_rows = 3 * np.arange(n_atoms)[:, None, None] + three[None, :, None]
    add(atom_rows, 3 * np.arange(n_atoms)[:, None, None] + three[None, None, :], own)
    first, second = 3 * pairs[:, 0, None, None], 3 * pairs[:, 1, None, None]
    add(first + three[:, None], second + three[None, :], blocks)
    add(second + three[:, None], first + three[None, :], blocks.transpose(0, 2, 1))
    steps = np.arange(3)
    node_y = np.minimum(first_node[:, 0, None] + steps, model.nodes.shape[0] - 1)
    node_x = np.minimum(first_node[:, 1, None] + steps, model.nodes.shape[1] - 1)
    nodes = 3 * n_atoms + (node_y[:, :, None] * model.nodes.shape[1] + node_x[:, None, :]).reshape(n_atoms, 1, -1)
    add(atom_rows, nodes, to_nodes), add(nodes, atom_rows, to_nodes)
    shape_columns = 3 * n_atoms + n_nodes + np.arange(n_shape)[None, None, :]
    add(atom_rows, shape_columns, to_shape), add(shape_columns, atom_rows, to_shape)
    corner = border.tocoo()
    add(3 * n_atoms + corner.coords[0], 3 * n_atoms + corner.coords[1], corner.data)
    size = 3 * n_atoms + n_nodes + n_shape
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return NormalEquations(
        gradient=np.concatenate([gradient.ravel(), border_gradient]),
        information=sparse.csr_array(sparse.coo_array(entries, shape=(size, size))),
        own=own,
        ridge=np.array([0.1 / model.width**2, 0.1 / model.width**2, 0.01 / _typical_amplitude(model) ** 2]),
        border=border,
        pairs=pairs,
        blocks=blocks,
    )


def _typical_amplitude(model: SpotModel) -> float:
    """Return the median amplitude, or the image's spread where there is no spot."""
    if len(model.amplitude):
        return max(float(np.median(model.amplitude)), 1e-100)
    return max(float(model.image.std()), 1e-100)


def _roughness(model: SpotModel) -> sparse.csr_array:
    """Return the prior's information on the background nodes: neighbours are alike."""
    scale = BACKGROUND_STIFFNESS * _typical_amplitude(model)
    n_y, n_x = model.nodes.shape
    difference = [sparse.diags_array([-np.ones(n), np.ones(n - 1)], offsets=[0, 1], shape=(n - 1, n)) for n in (n_y, n_x)]
    along_y = sparse.kron(difference[0].T @ difference[0], sparse.eye_array(n_x))
    along_x = sparse.kron(sparse.eye_array(n_y), difference[1].T @ difference[1])
    return sparse.csr_array(along_y + along_x) / scale**2


def _border(model: SpotModel, weight: np.ndarray, shape: np.ndarray) -> sparse.csc_array:
    """Return the information on background nodes and shared shape."""
    nodes = node_information(weight, model.along_y, model.along_x) + _roughness(model)
    coupling = np.stack([(model.along_y.T @ (weight * layer) @ model.along_x).ravel() for layer in shape], axis=1)
    own = np.array([[np.vdot(weight * one, other) for other in shape] for one in shape])
    return sparse.csc_array(sparse.block_array([[nodes, coupling], [coupling.T, own]]))


def solve_normal_equations(equations: NormalEquations, damping: float) -> Float[np.ndarray, " unknown"]:
    """Solve by conjugate gradients, preconditioned by the spots' own blocks and the exact border."""
    size, n_spot = len(equations.gradient), 3 * len(equations.own)
    diagonal = equations.information.diagonal()
    damped = equations.own * (1 + damping * np.eye(3)) + np.diag(equations.ridge)
    inverse = block_diagonal_inverse(damped) if n_spot else None
    corner = equations.border + sparse.diags_array(equations.border.diagonal() * damping + 1e-300)
    border = splu(sparse.csc_array(corner))

    def precondition(vector: np.ndarray) -> np.ndarray:
        out = np.empty(size)
        if inverse is not None:
            out[:n_spot] = inverse @ vector[:n_spot]
        out[n_spot:] = border.solve(vector[n_spot:])
        return out

    extra = damping * diagonal
    extra[:n_spot] += np.tile(equations.ridge, n_spot // 3)
    system = equations.information + sparse.diags_array(extra)
    operator = LinearOperator((size, size), matvec=precondition, dtype=np.float64)
    step, _ = cg(system, equations.gradient, rtol=1e-3, atol=0.0, maxiter=300, M=operator)
    return step


def _apply(model: SpotModel, step: Float[np.ndarray, " unknown"]) -> float:
    """Take a step, within limits; return the largest movement of a spot, in widths."""
    n_atoms, n_nodes = len(model.position), model.nodes.size
    spots = step[: 3 * n_atoms].reshape(-1, 3)
    limit = LARGEST_STEP * model.width
    movement = np.clip(spots[:, :2], -limit, limit)
    model.position = model.position + movement
    model.amplitude = np.maximum(model.amplitude + spots[:, 2], 0.1 * model.amplitude)
    model.nodes = model.nodes + step[3 * n_atoms : 3 * n_atoms + n_nodes].reshape(model.nodes.shape)
    shape = step[3 * n_atoms + n_nodes :]
    profile = model.profile.copy()
    profile[0, 1] *= np.exp(np.clip(shape[0], -0.2, 0.2))
    if len(profile) == 2:
        profile[1, 0] = np.clip(profile[1, 0] + np.clip(shape[1], -0.1, 0.1), 1e-3, 0.6)
        profile[0, 0] = 1 - profile[1, 0]
        profile[1, 1] = np.clip(profile[1, 1] * np.exp(np.clip(shape[2], -0.2, 0.2)), 1.2 * profile[0, 1], 3 * profile[0, 1])
    model.profile = profile
    return float(np.abs(movement).max(initial=0.0)) / model.width


def fit_background(model: SpotModel) -> None:
    """Fit the background nodes alone, by weighted least squares at the current weights."""
    image = np.zeros_like(model.image)
    for _ in range(2):
        np.copyto(image, model.render())
        residual, weight, _, _ = model.weigh(image)
        nodes = sparse.csc_array(node_information(weight, model.along_y, model.along_x) + _roughness(model))
        right = (model.along_y.T @ (weight * residual) @ model.along_x).ravel() - _roughness(model) @ model.nodes.ravel()
        model.nodes = model.nodes + splu(nodes).solve(right).reshape(model.nodes.shape)


def sweep(model: SpotModel, n_sweeps: int) -> None:
    """Fit the spots one after the other, several times, and the background between the sweeps."""
    for _ in range(n_sweeps):
        image = model.render()
        sweep_spots(model.image, image, model.noise, *model.spots)
        fit_background(model)


def refine(model: SpotModel, refinement: JointRefinement) -> bool:
    """Refine the model in place; return whether it converged."""
    sweep(model, refinement.n_sweeps)
    if not refinement.joint:
        return True
    residual, weight, deviance, _ = model.weigh(model.render())
    damping = 0.0
    for _ in range(refinement.max_iterations):
        equations = normal_equations(model, residual, weight)
        for _ in range(6):
            before = (model.position, model.amplitude, model.nodes, model.profile)
            step = solve_normal_equations(equations, damping)
            gain = float(step @ equations.gradient)
            _apply(model, step)
            residual, weight, new_deviance, _ = model.weigh(model.render())
            if new_deviance <= deviance * (1 + 1e-9):
                break
            model.position, model.amplitude, model.nodes, model.profile = before
            damping = max(10 * damping, 1e-2)
        damping = 0.0 if damping < 1e-3 else 0.1 * damping
        deviance = new_deviance
        if gain < refinement.tolerance**2 * len(step):
            return True
    return False
