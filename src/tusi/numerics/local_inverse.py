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


@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(cache=True, nogil=True, error_model="numpy")
def gather(
    own: np.ndarray,
    blocks: np.ndarray,
    table: tuple[np.ndarray, np.ndarray, np.ndarray],
    members: np.ndarray,
    matrix: np.ndarray,
) -> None:
    """Write the lower triangle of the information of a few atoms."""
    start, neighbour, number = table
    matrix[:] = 0.0
    for k in range(members.size):
        for p in range(3):
            for q in range(3):
                matrix[3 * k + p, 3 * k + q] = own[members[k], p, q]
        for entry in range(start[members[k]], start[members[k] + 1]):
            for other in range(k):
                if neighbour[entry] == members[other]:
                    pair = abs(number[entry]) - 1
                    for p in range(3):
                        for q in range(3):
                            value = blocks[pair, p, q] if number[entry] > 0 else blocks[pair, q, p]
                            matrix[3 * k + p, 3 * other + q] = value


@njit(cache=True, nogil=True, error_model="numpy")
def add_movement(inverse: np.ndarray, response: np.ndarray, shift: int, moved: np.ndarray) -> None:
    """Add how row shifts move one atom by way of one neighbour, whose window starts `shift` rows into `moved`."""
    n_rows = response.shape[1]
    for p in range(3):
        for q in range(3):
            for row in range(max(0, -shift), min(n_rows, moved.shape[1] - shift)):
                moved[p, row + shift] += inverse[q, p] * response[q, row]


@njit(cache=True, nogil=True, error_model="numpy")
def add_absorbed(response: np.ndarray, moved: np.ndarray, first_row: int, absorbed: np.ndarray) -> None:
    """Add the information on row shifts that one atom takes away."""
    n_rows = response.shape[1]
    for row in range(min(n_rows, absorbed.shape[0] - first_row)):
        for p in range(3):
            for other in range(3 * n_rows):
                absorbed[first_row + row, n_rows + other - row] += response[p, row] * moved[p, other]


@njit(cache=True, nogil=True, error_model="numpy")
def local_inverse(
    own: Float[np.ndarray, "atom 3 3"],
    blocks: Float[np.ndarray, "pair 3 3"],
    table: tuple[np.ndarray, np.ndarray, np.ndarray],
    rows: tuple[np.ndarray, np.ndarray],
    absorbed: Float[np.ndarray, "image_row band"],
) -> tuple[Float[np.ndarray, "atom 3 3"], Float[np.ndarray, "atom 2 2"]]:
    """Return each atom's marginal covariance, and how far independent shifts of the image rows move it.

    Each atom is solved together with all atoms that it overlaps, the rest held fixed.

    Parameters
    ----------
    own, blocks
        Information of every atom with itself, and of every pair.
    table
        The pairs by atom, from `neighbour_table`.
    rows
        For each atom: information shared with the shift of each image row of its window (atom, 3, row); and the first
        of those rows.
    absorbed
        Changed in place: the information on row shifts that fitting the atoms takes away, as a band around the
        diagonal, twice as wide to either side as a window has rows.

    Returns
    -------
    covariance, shift_covariance
        Inverse information of (y, x, amplitude), NaN where it is singular; and covariance of (y, x) for row shifts of
        unit variance.
    """
    start, neighbour, _ = table
    response, first_row = rows
    n_atoms, n_rows = own.shape[0], response.shape[2]
    largest = 1
    for atom in range(n_atoms):
        largest = max(largest, 1 + start[atom + 1] - start[atom])
    matrix, right = np.empty((3 * largest, 3 * largest)), np.empty((3 * largest, 3))
    members, moved = np.empty(largest, dtype=np.int64), np.zeros((3, 3 * n_rows))
    covariance, shift_covariance = np.full((n_atoms, 3, 3), np.nan), np.zeros((n_atoms, 2, 2))
    for atom in range(n_atoms):
        n = 1 + start[atom + 1] - start[atom]
        members[0] = atom
        members[1:n] = neighbour[start[atom] : start[atom + 1]]
        gather(own, blocks, table, members[:n], matrix[: 3 * n, : 3 * n])
        right[: 3 * n] = 0.0
        for p in range(3):
            right[p, p] = 1.0
        if not cholesky_solve(matrix[: 3 * n, : 3 * n], right[: 3 * n]):
            continue
        covariance[atom] = right[:3]
        moved[:] = 0.0
        for k in range(n):
            shift = first_row[members[k]] - first_row[atom] + n_rows
            add_movement(right[3 * k : 3 * k + 3], response[members[k]], shift, moved)
        for axis in range(2):
            for other in range(2):
                for row in range(3 * n_rows):
                    shift_covariance[atom, axis, other] += moved[axis, row] * moved[other, row]
        add_absorbed(response[atom], moved, first_row[atom], absorbed)
    return covariance, shift_covariance
