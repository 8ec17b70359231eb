"""The normal equations of everything together: spots, background and common width."""

import dataclasses

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, Int
from scipy.sparse.linalg import LinearOperator, cg, splu
from scipy.spatial import cKDTree

from tusi.finding.model import SpotModel
from tusi.numerics.normal_equations import block_diagonal_inverse, node_information, pair_blocks, spot_blocks

BACKGROUND_STIFFNESS = 0.5
"""Prior spread of the difference between neighbouring background nodes, in units of the median amplitude."""

OVERLAP = 6.0
"""Pairs of spots further apart than this many widths are taken as independent."""

SOLVE_TOLERANCE = 1e-3
"""Relative residual at which the conjugate gradients stop; the outer iteration corrects the rest."""


@dataclasses.dataclass(kw_only=True)
class NormalEquations:
    """Gradient and information of everything, at one point: spots first, then background nodes, then the width."""

    gradient: Float[np.ndarray, " unknown"]
    own: Float[np.ndarray, "atom 3 3"]
    pairs: Int[np.ndarray, "pair 2"]
    blocks: Float[np.ndarray, "pair 3 3"]
    to_border: sparse.csr_array
    border: sparse.csc_array
    ridge: Float[np.ndarray, " 3"]


def overlapping_pairs(position: Float[np.ndarray, "atom 2"], distance: float) -> Int[np.ndarray, "pair 2"]:
    """Return the pairs of spots closer than a distance."""
    if len(position) < 2:
        return np.empty((0, 2), dtype=np.int64)
    return cKDTree(position).query_pairs(distance, output_type="ndarray").astype(np.int64)


def normal_equations(
    model: SpotModel, residual: Float[np.ndarray, "y x"], weight: Float[np.ndarray, "y x"]
) -> NormalEquations:
    """Assemble gradient and Fisher information."""
    misfit = np.multiply(weight, residual, out=model.buffer("misfit"))
    derivative = model.width_derivative()
    weighted = np.multiply(weight, derivative, out=model.buffer("weighted"))
    gradient, own, to_nodes, first_node, to_width = spot_blocks(
        (weight, misfit, weighted), model.spots, model.node_spacing, model.nodes.shape
    )
    pairs = overlapping_pairs(model.position, OVERLAP * model.width)
    border, border_gradient = _border(model, weight, misfit, (derivative, weighted))
    return NormalEquations(
        gradient=np.concatenate([gradient.ravel(), border_gradient]),
        own=own,
        pairs=pairs,
        blocks=pair_blocks(weight, model.spots, pairs),
        to_border=_to_border(model, to_nodes, first_node, to_width),
        border=border,
        ridge=model.ridge,
    )


def information_blocks(
    model: SpotModel, weight: Float[np.ndarray, "y x"]
) -> tuple[Float[np.ndarray, "atom 3 3"], Int[np.ndarray, "pair 2"], Float[np.ndarray, "pair 3 3"]]:
    """Return the information of every spot with itself, the overlapping pairs, and the information of each pair."""
    _, own, _, _, _ = spot_blocks((weight, weight, weight), model.spots, model.node_spacing, model.nodes.shape)
    pairs = overlapping_pairs(model.position, OVERLAP * model.width)
    return own, pairs, pair_blocks(weight, model.spots, pairs)


def _to_border(
    model: SpotModel, to_nodes: np.ndarray, first_node: np.ndarray, to_width: np.ndarray
) -> sparse.csr_array:
    """Return the information between spots (rows) and background nodes and width (columns)."""
    n_atoms, (n_y, n_x) = len(model.position), model.nodes.shape
    steps = np.arange(3)
    node_y = np.minimum(first_node[:, 0, None] + steps, n_y - 1)
    node_x = np.minimum(first_node[:, 1, None] + steps, n_x - 1)
    columns = np.empty((n_atoms, 3, 10), dtype=np.int64)
    columns[:, :, :9] = (node_y[:, :, None] * n_x + node_x[:, None, :]).reshape(n_atoms, 1, 9)
    columns[:, :, 9] = n_y * n_x
    values = np.concatenate([to_nodes, to_width[:, :, None]], axis=2)
    starts = np.arange(0, 30 * n_atoms + 1, 10)
    return sparse.csr_array((values.ravel(), columns.ravel(), starts), shape=(3 * n_atoms, n_y * n_x + 1))


def roughness(model: SpotModel) -> sparse.csr_array:
    """Return the prior's information on the background nodes: neighbours are alike."""
    return model.stiffness * (BACKGROUND_STIFFNESS * model.typical_amplitude) ** -2


def _border(
    model: SpotModel, weight: np.ndarray, misfit: np.ndarray, width: tuple[np.ndarray, np.ndarray]
) -> tuple[sparse.csc_array, np.ndarray]:
    """Return information on and gradient of background nodes and common width."""
    derivative, weighted = width
    prior = roughness(model)
    nodes = node_information(weight, model.along_y, model.along_x) + prior
    coupling = (model.along_y.T @ weighted @ model.along_x).reshape(-1, 1)
    own = np.array([[max(np.vdot(weighted, derivative), 1e-6 * model.image.size)]])
    gradient = (model.along_y.T @ misfit @ model.along_x).ravel() - prior @ model.nodes.ravel()
    matrix = sparse.csc_array(sparse.block_array([[nodes, coupling], [coupling.T, own]]))
    return matrix, np.append(gradient, np.vdot(misfit, derivative))


def solve(equations: NormalEquations, damping: float) -> Float[np.ndarray, " unknown"]:
    """Solve by conjugate gradients, preconditioned by the spots' own blocks and the exact border."""
    size, n_atoms = len(equations.gradient), len(equations.own)
    n_spot = 3 * n_atoms
    damped = equations.own * (1 + damping * np.eye(3)) + np.diag(equations.ridge)
    inverse = block_diagonal_inverse(damped)
    corner = sparse.csc_array(equations.border + sparse.diags_array(equations.border.diagonal() * (damping + 1e-12)))
    border = splu(corner)
    atom = np.concatenate([np.arange(n_atoms), equations.pairs[:, 0], equations.pairs[:, 1]])
    other = np.concatenate([np.arange(n_atoms), equations.pairs[:, 1], equations.pairs[:, 0]])
    order = np.argsort(atom, kind="stable")
    blocks = np.concatenate([damped, equations.blocks, equations.blocks.transpose(0, 2, 1)])[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(atom, minlength=n_atoms))])
    spots = sparse.bsr_array((blocks, other[order], starts), shape=(n_spot, n_spot))
    transposed = equations.to_border.T.tocsr()

    def apply(vector: np.ndarray) -> np.ndarray:
        head, tail = vector[:n_spot], vector[n_spot:]
        return np.concatenate([spots @ head + equations.to_border @ tail, transposed @ head + corner @ tail])

    def precondition(vector: np.ndarray) -> np.ndarray:
        return np.concatenate([inverse @ vector[:n_spot], border.solve(vector[n_spot:])])

    matrix, preconditioner = (LinearOperator((size, size), matvec=f, dtype=np.float64) for f in (apply, precondition))
    step, _ = cg(matrix, equations.gradient, rtol=SOLVE_TOLERANCE, atol=0.0, maxiter=300, M=preconditioner)
    return step
