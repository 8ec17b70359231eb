"""Fisher information of overlapping spots on a smooth background, assembled as small blocks.

Unknowns are three numbers per spot, the nodes of a bilinear background, and the width that all spots share. Only spots
that overlap have an off-diagonal block, so memory and time grow with the number of spots, not with its square.
"""

import math

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, Int
from numba import njit

from tusi.numerics.spots import SUMS, fill_gaussian, window_of

N_HATS = 3
"""Background nodes along one axis that one spot's window can touch."""


@njit(cache=True, nogil=True, fastmath=SUMS, error_model="numpy")
def row_sums(
    weight: np.ndarray, misfit: np.ndarray, shape: np.ndarray, e_x: np.ndarray, d_x: np.ndarray, out: np.ndarray
) -> None:
    """Write the sums of one row of a window that every block is made of."""
    out[:] = 0.0
    a, b, c, d, e = 0.0, 0.0, 0.0, 0.0, 0.0
    f, g, h, k, m = 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(weight.size):
        once = weight[j] * e_x[j]
        twice = once * e_x[j]
        a += once
        b += once * d_x[j]
        c += once * d_x[j] * d_x[j]
        d += twice
        e += twice * d_x[j]
        f += twice * d_x[j] * d_x[j]
        g += misfit[j] * e_x[j]
        h += misfit[j] * e_x[j] * d_x[j]
        k += shape[j] * e_x[j]
        m += shape[j] * e_x[j] * d_x[j]
    out[0], out[1], out[2], out[3], out[4] = a, b, c, d, e
    out[5], out[6], out[7], out[8], out[9] = f, g, h, k, m


@njit(cache=True, nogil=True, error_model="numpy")
def add_to_nodes(
    out: np.ndarray, sums: np.ndarray, slope: float, y_part: tuple[float, float, int, float], x_part: tuple
) -> None:
    """Add what one row segment shares with the four background nodes around it."""
    e_y, d_y, y_node, y_fraction = y_part
    x_node, x_fraction, per_pixel = x_part
    right_0 = x_fraction * sums[0] + per_pixel * sums[1]
    right_1 = x_fraction * sums[1] + per_pixel * sums[2]
    for x_side in range(2):
        sum_0 = right_0 if x_side else sums[0] - right_0
        sum_1 = right_1 if x_side else sums[1] - right_1
        for y_side in range(2):
            hat = e_y * (y_fraction if y_side else 1 - y_fraction)
            node = (y_node + y_side) * N_HATS + x_node + x_side
            out[0, node] += slope * hat * d_y * sum_0
            out[1, node] += slope * hat * sum_1
            out[2, node] += hat * sum_0


@njit(cache=True, nogil=True, error_model="numpy")
def spot_blocks(
    images: tuple[np.ndarray, np.ndarray, np.ndarray],
    spots: tuple[np.ndarray, np.ndarray, float, float],
    node_spacing: tuple[float, float],
    n_nodes: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return gradient and information blocks of every spot with itself, the background and the common width.

    Parameters
    ----------
    images
        Inverse variance of every pixel; residual times that; derivative of the model by the logarithm of the common
        width, times that.
    spots
        Position (pixel), amplitude, width, and half side of the window (pixel).
    node_spacing, n_nodes
        Distance (pixel; at least a window) and number (at least two) of background nodes along y and x.

    Returns
    -------
    gradient, own, to_nodes, first_node, to_width
        Arrays of shape (atom, 3), (atom, 3, 3), (atom, 3, 3 x 3 nodes), (atom, 2) and (atom, 3).
    """
    weight, misfit, shape = images
    position, amplitude, width, radius = spots
    n_atoms, side = position.shape[0], int(2 * radius) + 3
    e_y, e_x, d_y, d_x = np.empty(side), np.empty(side), np.empty(side), np.empty(side)
    gradient, own = np.zeros((n_atoms, 3)), np.zeros((n_atoms, 3, 3))
    to_nodes, to_width = np.zeros((n_atoms, 3, N_HATS * N_HATS)), np.zeros((n_atoms, 3))
    first_node, sums, total = np.zeros((n_atoms, 2), dtype=np.int64), np.zeros(10), np.zeros(10)
    for atom in range(n_atoms):
        rows = window_of(position[atom, 0], radius, weight.shape[0])
        columns = window_of(position[atom, 1], radius, weight.shape[1])
        fill_gaussian(position[atom, 0], rows, width, e_y, d_y)
        fill_gaussian(position[atom, 1], columns, width, e_x, d_x)
        slope = amplitude[atom] / width**2
        first_y = max(0, min(int(rows[0] / node_spacing[0]), n_nodes[0] - 2))
        first_x = max(0, min(int(columns[0] / node_spacing[1]), n_nodes[1] - 2))
        first_node[atom, 0], first_node[atom, 1] = first_y, first_x
        split = columns[1]
        if first_x < n_nodes[1] - 2:
            split = min(split, max(columns[0], math.ceil((first_x + 1) * node_spacing[1])))
        for i in range(rows[1] - rows[0]):
            y = rows[0] + i
            y_node = max(0, min(int(y / node_spacing[0]), n_nodes[0] - 2))
            y_part = (e_y[i], d_y[i], min(y_node - first_y, 1), y / node_spacing[0] - y_node)
            total[:] = 0.0
            for segment in range(2):
                start, stop = (columns[0], split) if segment == 0 else (split, columns[1])
                if stop <= start:
                    continue
                near = slice(start - columns[0], stop - columns[0])
                row_sums(weight[y, start:stop], misfit[y, start:stop], shape[y, start:stop], e_x[near], d_x[near], sums)
                fraction = position[atom, 1] / node_spacing[1] - first_x - segment
                add_to_nodes(to_nodes[atom], sums, slope, y_part, (segment, fraction, 1 / node_spacing[1]))
                total += sums
            once, squared = e_y[i], e_y[i] * e_y[i]
            gradient[atom, 0] += slope * once * d_y[i] * total[6]
            gradient[atom, 1] += slope * once * total[7]
            gradient[atom, 2] += once * total[6]
            to_width[atom, 0] += slope * once * d_y[i] * total[8]
            to_width[atom, 1] += slope * once * total[9]
            to_width[atom, 2] += once * total[8]
            own[atom, 0, 0] += slope * slope * squared * d_y[i] * d_y[i] * total[3]
            own[atom, 0, 1] += slope * slope * squared * d_y[i] * total[4]
            own[atom, 0, 2] += slope * squared * d_y[i] * total[3]
            own[atom, 1, 1] += slope * slope * squared * total[5]
            own[atom, 1, 2] += slope * squared * total[4]
            own[atom, 2, 2] += squared * total[3]
        for p in range(3):
            for q in range(p):
                own[atom, p, q] = own[atom, q, p]
    return gradient, own, to_nodes, first_node, to_width


@njit(cache=True, nogil=True, fastmath=SUMS, error_model="numpy")
def pair_blocks(
    weight: Float[np.ndarray, "y x"],
    spots: tuple[np.ndarray, np.ndarray, float, float],
    pairs: Int[np.ndarray, "pair 2"],
) -> Float[np.ndarray, "pair 3 3"]:
    """Return the information block between the spots of each pair, summed where their windows overlap."""
    position, amplitude, width, radius = spots
    side = int(2 * radius) + 3
    e_y, e_x, other_y, other_x = np.empty(side), np.empty(side), np.empty(side), np.empty(side)
    d_y, d_x, away_y, away_x = np.empty(side), np.empty(side), np.empty(side), np.empty(side)
    blocks = np.zeros((pairs.shape[0], 3, 3))
    for pair in range(pairs.shape[0]):
        a, b = pairs[pair]
        rows_a = window_of(position[a, 0], radius, weight.shape[0])
        rows_b = window_of(position[b, 0], radius, weight.shape[0])
        columns_a = window_of(position[a, 1], radius, weight.shape[1])
        columns_b = window_of(position[b, 1], radius, weight.shape[1])
        rows = (max(rows_a[0], rows_b[0]), min(rows_a[1], rows_b[1]))
        columns = (max(columns_a[0], columns_b[0]), min(columns_a[1], columns_b[1]))
        fill_gaussian(position[a, 0], rows, width, e_y, d_y)
        fill_gaussian(position[a, 1], columns, width, e_x, d_x)
        fill_gaussian(position[b, 0], rows, width, other_y, away_y)
        fill_gaussian(position[b, 1], columns, width, other_x, away_x)
        for j in range(columns[1] - columns[0]):
            e_x[j] *= other_x[j]
        slope_a, slope_b = amplitude[a] / width**2, amplitude[b] / width**2
        block = blocks[pair]
        for i in range(rows[1] - rows[0]):
            row = weight[rows[0] + i, columns[0] : columns[1]]
            s0, sa, sb, sab = 0.0, 0.0, 0.0, 0.0
            for j in range(row.size):
                value = row[j] * e_x[j]
                s0 += value
                sa += value * d_x[j]
                sb += value * away_x[j]
                sab += value * d_x[j] * away_x[j]
            factor = e_y[i] * other_y[i]
            one, two = slope_a * factor, slope_b * factor
            block[0, 0] += one * slope_b * d_y[i] * away_y[i] * s0
            block[0, 1] += one * slope_b * d_y[i] * sb
            block[0, 2] += one * d_y[i] * s0
            block[1, 0] += one * slope_b * away_y[i] * sa
            block[1, 1] += one * slope_b * sab
            block[1, 2] += one * sa
            block[2, 0] += two * away_y[i] * s0
            block[2, 1] += two * sb
            block[2, 2] += factor * s0
    return blocks


def hat_matrix(size: int, n_nodes: int) -> Float[np.ndarray, "pixel node"]:
    """Return the linear interpolation from equally spaced nodes, at least two, to pixels."""
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
            links = [(one, other), (other, one)] if step_y else [(one, other)]
            for row, column in links:
                values.append(block.ravel())
                rows.append(row.ravel())
                columns.append(column.ravel())
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(entries, shape=(n_y * n_x, n_y * n_x))


def block_diagonal_inverse(blocks: Float[np.ndarray, "atom 3 3"]) -> sparse.csr_array:
    """Return the sparse matrix whose diagonal blocks are the inverses of these."""
    n = len(blocks)
    inverse = np.linalg.inv(blocks)
    return sparse.csr_array(sparse.bsr_array((inverse, np.arange(n), np.arange(n + 1)), shape=(3 * n, 3 * n)))
