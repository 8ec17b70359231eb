"""Marginal covariances from a block-sparse information matrix, one neighbourhood at a time."""

import math

import numpy as np
from jaxtyping import Float, Int
from numba import njit


def neighbour_table(
    pairs: Int[np.ndarray, "pair 2"], n_atoms: int
) -> tuple[Int[np.ndarray, " start"], Int[np.ndarray, " entry"], Int[np.ndarray, " entry"]]:
    """Return pairs as a table by atom: where each atom's rows start, the neighbour, and the pair's number.

    The number is n + 1 where the atom is the pair's first, -(n + 1) where it is the second.
    """
    number = np.arange(1, len(pairs) + 1)
    atom = np.concatenate([pairs[:, 0], pairs[:, 1]])
    order = np.argsort(atom, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(atom, minlength=n_atoms))]).astype(np.int64)
    neighbour = np.concatenate([pairs[:, 1], pairs[:, 0]])[order]
    return start, neighbour, np.concatenate([number, -number])[order]


@njit(cache=True, nogil=True)
def cholesky_solve(matrix: Float[np.ndarray, "n n"], right: Float[np.ndarray, "n m"]) -> bool:
    """Solve a symmetric positive definite system in place; False where the matrix is not positive definite."""
    n, m = right.shape
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i == j:
                if not total > 0:
                    return False
                matrix[i, i] = math.sqrt(total)
            else:
                matrix[i, j] = total / matrix[j, j]
    for c in range(m):
        for i in range(n):
            total = right[i, c]
            for k in range(i):
                total -= matrix[i, k] * right[k, c]
            right[i, c] = total / matrix[i, i]
        for i in range(n - 1, -1, -1):
            total = right[i, c]
            for k in range(i + 1, n):
                total -= matrix[k, i] * right[k, c]
            right[i, c] = total / matrix[i, i]
    return True


@njit(cache=True, nogil=True)
def local_inverse(
    own: Float[np.ndarray, "atom 3 3"],
    blocks: Float[np.ndarray, "pair 3 3"],
    table: tuple[np.ndarray, np.ndarray, np.ndarray],
    responses: Float[np.ndarray, "atom 3 row"],
    first_row: Int[np.ndarray, " atom"],
) -> tuple[Float[np.ndarray, "atom 3 3"], Float[np.ndarray, "atom 2 2"]]:
    """Return each atom's marginal covariance, and how far shifts of image rows move it.

    Each atom is solved together with all atoms that it overlaps, the rest held fixed.

    Parameters
    ----------
    own, blocks
        Information of every atom with itself, and of every pair.
    table
        The pairs by atom, from `neighbour_table`.
    responses, first_row
        For each atom, how its gradient changes when one image row shifts by a pixel, for the rows of its window, and
        the first of those rows.

    Returns
    -------
    covariance, shift_covariance
        Inverse information of (y, x, amplitude), NaN where it is singular; and covariance of (y, x) under independent
        row shifts of unit variance.
    """
    start, neighbour, number = table
    n_atoms, n_rows = own.shape[0], responses.shape[2]
    largest = 0
    for atom in range(n_atoms):
        largest = max(largest, start[atom + 1] - start[atom])
    size = 3 * (largest + 1)
    matrix, right = np.empty((size, size)), np.empty((size, 3))
    members = np.empty(largest + 1, dtype=np.int64)
    weights = np.empty((2, 3 * n_rows))
    covariance, shift_covariance = np.full((n_atoms, 3, 3), np.nan), np.zeros((n_atoms, 2, 2))
    for atom in range(n_atoms):
        n_members = 1 + start[atom + 1] - start[atom]
        members[0] = atom
        for k in range(1, n_members):
            members[k] = neighbour[start[atom] + k - 1]
        n = 3 * n_members
        matrix[:n, :n], right[:n] = 0.0, 0.0
        for k in range(n_members):
            matrix[3 * k : 3 * k + 3, 3 * k : 3 * k + 3] = own[members[k]]
            for entry in range(start[members[k]], start[members[k] + 1]):
                for other in range(k):
                    if neighbour[entry] == members[other]:
                        pair = abs(number[entry]) - 1
                        for p in range(3):
                            for q in range(3):
                                value = blocks[pair, p, q] if number[entry] > 0 else blocks[pair, q, p]
                                matrix[3 * k + p, 3 * other + q] = value
        for p in range(3):
            right[p, p] = 1.0
        if not cholesky_solve(matrix[:n, :n], right[:n]):
            continue
        covariance[atom] = right[:3]
        if n_rows == 0:
            continue
        weights[:] = 0.0
        for k in range(n_members):
            shift = first_row[members[k]] - first_row[atom] + n_rows
            for row in range(n_rows):
                if 0 <= row + shift < 3 * n_rows:
                    for axis in range(2):
                        for p in range(3):
                            weights[axis, row + shift] += right[3 * k + p, axis] * responses[members[k], p, row]
        for axis in range(2):
            for other in range(2):
                for row in range(3 * n_rows):
                    shift_covariance[atom, axis, other] += weights[axis, row] * weights[other, row]
    return covariance, shift_covariance
