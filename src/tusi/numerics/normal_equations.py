"""Fisher information of overlapping spots on a smooth background, assembled as small blocks.

Unknowns are three numbers per spot, the nodes of a bilinear background, and the shape that all spots share. Only spots
that overlap have an off-diagonal block, so memory and time grow with the number of spots, not with its square.
"""

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, Int
from numba import njit

from tusi.numerics.spots import fill_derivatives, fill_exponentials, window_of

N_HATS = 3
"""Background nodes along one axis that one spot's window can touch."""


@njit(cache=True, nogil=True)
def spot_blocks(
    images: tuple[np.ndarray, np.ndarray],
    spots: tuple[np.ndarray, np.ndarray, np.ndarray, float],
    shape_derivatives: Float[np.ndarray, "shape y x"],
    node_spacing: tuple[float, float],
    n_nodes: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return gradient and information blocks of every spot with itself, the background and the shared shape.

    Parameters
    ----------
    images
        Residual (signal units) and inverse variance of every pixel.
    spots
        Position (pixel), amplitude, profile, and half side of the window (pixel).
    shape_derivatives
        Derivative of the model image with respect to each shared shape parameter.
    node_spacing, n_nodes
        Distance (pixel) and number of background nodes along y and x.

    Returns
    -------
    gradient, own, to_nodes, first_node, to_shape
        Arrays of shape (atom, 3), (atom, 3, 3), (atom, 3, 3 x 3 nodes), (atom, 2) and (atom, 3, shape).
    """
    residual, weight = images
    position, amplitude, profile, radius = spots
    n_atoms, n_shape = position.shape[0], shape_derivatives.shape[0]
    n_gaussians, side = profile.shape[0], int(2 * radius) + 3
    along_y, along_x = np.empty((n_gaussians, side)), np.empty((n_gaussians, side))
    gradient, own = np.zeros((n_atoms, 3)), np.zeros((n_atoms, 3, 3))
    to_nodes = np.zeros((n_atoms, 3, N_HATS * N_HATS))
    first_node = np.zeros((n_atoms, 2), dtype=np.int64)
    to_shape, slope = np.zeros((n_atoms, 3, n_shape)), np.zeros(3)
    row_sums = np.zeros((3, N_HATS))
    for atom in range(n_atoms):
        rows = window_of(position[atom, 0], radius, weight.shape[0])
        columns = window_of(position[atom, 1], radius, weight.shape[1])
        fill_exponentials(position[atom, 0], rows, profile, along_y)
        fill_exponentials(position[atom, 1], columns, profile, along_x)
        first_node[atom, 0] = max(0, min(int(rows[0] / node_spacing[0]), n_nodes[0] - 2))
        first_node[atom, 1] = max(0, min(int(columns[0] / node_spacing[1]), n_nodes[1] - 2))
        for i in range(rows[1] - rows[0]):
            y = rows[0] + i
            row_sums[:] = 0.0
            for j in range(columns[1] - columns[0]):
                x = columns[0] + j
                away = (y - position[atom, 0], x - position[atom, 1])
                fill_derivatives(away, (along_y, along_x, i, j), profile, amplitude[atom], slope)
                node = min(int(x / node_spacing[1]), n_nodes[1] - 2)
                part = x / node_spacing[1] - node
                hat = min(node - first_node[atom, 1], N_HATS - 2)
                for p in range(3):
                    weighted = slope[p] * weight[y, x]
                    gradient[atom, p] += weighted * residual[y, x]
                    row_sums[p, hat] += weighted * (1 - part)
                    row_sums[p, hat + 1] += weighted * part
                    for q in range(p, 3):
                        own[atom, p, q] += weighted * slope[q]
                    for q in range(n_shape):
                        to_shape[atom, p, q] += weighted * shape_derivatives[q, y, x]
            node = min(int(y / node_spacing[0]), n_nodes[0] - 2)
            part = y / node_spacing[0] - node
            hat = min(node - first_node[atom, 0], N_HATS - 2)
            for p in range(3):
                for q in range(N_HATS):
                    to_nodes[atom, p, hat * N_HATS + q] += row_sums[p, q] * (1 - part)
                    to_nodes[atom, p, (hat + 1) * N_HATS + q] += row_sums[p, q] * part
        for p in range(3):
            for q in range(p):
                own[atom, p, q] = own[atom, q, p]
    return gradient, own, to_nodes, first_node, to_shape


@njit(cache=True, nogil=True)
def pair_blocks(
    weight: Float[np.ndarray, "y x"],
    spots: tuple[np.ndarray, np.ndarray, np.ndarray, float],
    pairs: Int[np.ndarray, "pair 2"],
) -> Float[np.ndarray, "pair 3 3"]:
    """Return the information block between the spots of each pair, summed where their windows overlap."""
    position, amplitude, profile, radius = spots
    n_gaussians, side = profile.shape[0], int(2 * radius) + 3
    first_y, first_x = np.empty((n_gaussians, side)), np.empty((n_gaussians, side))
    second_y, second_x = np.empty((n_gaussians, side)), np.empty((n_gaussians, side))
    blocks, first, second = np.zeros((pairs.shape[0], 3, 3)), np.zeros(3), np.zeros(3)
    for pair in range(pairs.shape[0]):
        a, b = pairs[pair]
        rows_a = window_of(position[a, 0], radius, weight.shape[0])
        rows_b = window_of(position[b, 0], radius, weight.shape[0])
        columns_a = window_of(position[a, 1], radius, weight.shape[1])
        columns_b = window_of(position[b, 1], radius, weight.shape[1])
        rows = (max(rows_a[0], rows_b[0]), min(rows_a[1], rows_b[1]))
        columns = (max(columns_a[0], columns_b[0]), min(columns_a[1], columns_b[1]))
        fill_exponentials(position[a, 0], rows, profile, first_y)
        fill_exponentials(position[a, 1], columns, profile, first_x)
        fill_exponentials(position[b, 0], rows, profile, second_y)
        fill_exponentials(position[b, 1], columns, profile, second_x)
        for i in range(rows[1] - rows[0]):
            y = rows[0] + i
            for j in range(columns[1] - columns[0]):
                x = columns[0] + j
                away = (y - position[a, 0], x - position[a, 1])
                fill_derivatives(away, (first_y, first_x, i, j), profile, amplitude[a], first)
                away = (y - position[b, 0], x - position[b, 1])
                fill_derivatives(away, (second_y, second_x, i, j), profile, amplitude[b], second)
                for p in range(3):
                    weighted = first[p] * weight[y, x]
                    for q in range(3):
                        blocks[pair, p, q] += weighted * second[q]
    return blocks


def hat_matrix(size: int, n_nodes: int) -> Float[np.ndarray, "pixel node"]:
    """Return the linear interpolation from equally spaced nodes to pixels; one node is a constant."""
    if n_nodes == 1:
        return np.ones((size, 1))
    place = np.arange(size) * (n_nodes - 1) / max(size - 1, 1)
    return np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(n_nodes)))


def node_information(
    weight: Float[np.ndarray, "y x"], along_y: Float[np.ndarray, "y node"], along_x: Float[np.ndarray, "x node_"]
) -> sparse.csr_array:
    """Return the information matrix of the background nodes (node number = row x n_columns + column)."""
    n_y, n_x = along_y.shape[1], along_x.shape[1]
    numbers = np.arange(n_y * n_x).reshape(n_y, n_x)
    values, rows, columns = [], [], []
    for step_y in range(min(2, n_y)):
        product_y = along_y[:, : n_y - step_y] * along_y[:, step_y:]
        partial = product_y.T @ weight
        for step_x in range(1 - min(2, n_x), min(2, n_x)):
            left = along_x[:, max(0, -step_x) : n_x - max(0, step_x)]
            right = along_x[:, max(0, step_x) : n_x + min(0, step_x)]
            block = partial @ (left * right)
            one = numbers[: n_y - step_y, max(0, -step_x) : n_x - max(0, step_x)]
            other = numbers[step_y:, max(0, step_x) : n_x + min(0, step_x)]
            values.append(block.ravel()), rows.append(one.ravel()), columns.append(other.ravel())
            if step_y:
                values.append(block.ravel()), rows.append(other.ravel()), columns.append(one.ravel())
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(entries, shape=(n_y * n_x, n_y * n_x))


def block_diagonal_inverse(blocks: Float[np.ndarray, "atom 3 3"]) -> sparse.csr_array:
    """Return the sparse matrix whose diagonal blocks are the inverses of these."""
    n = len(blocks)
    inverse = np.linalg.inv(blocks)
    return sparse.csr_array(sparse.bsr_array((inverse, np.arange(n), np.arange(n + 1)), shape=(3 * n, 3 * n)))
