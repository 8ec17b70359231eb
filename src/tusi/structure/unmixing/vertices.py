"""N-FINDR: the windows that span the largest simplex."""

import numba
import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError

_MOST_SWEEPS = 100


def find_vertices(
    data: Float[np.ndarray, "window feature"],
    n_end_members: int,
    *,
    rng: np.random.Generator | None = None,
    start: Int[np.ndarray, " end_member"] | None = None,
) -> Int[np.ndarray, " end_member"]:
    """Return the numbers of the windows that span the largest simplex, by N-FINDR.

    The data are reduced to one principal component fewer than there are end members. Each vertex in turn is replaced by
    the window that makes the simplex largest, until no replacement does. The volume is linear in the coordinates of one
    vertex, so that one product with the cofactors of the others gives it for all windows at once. Assumes that each end
    member fills some window wholly, and little noise: extreme noise makes extreme windows.

    Parameters
    ----------
    data
        One row for each window.
    n_end_members
        Number of vertices.
    rng
        Chooses the windows to start from; not needed with `start`.
    start
        Numbers of the windows to start from; by default the ones farthest from the span of those before, the first
        at random among all where `rng` is given, else the farthest from the mean.

    Returns
    -------
    numpy.ndarray
        Numbers of the windows.

    Raises
    ------
    InputError
        Fewer windows or features than end members, or values that are not finite.

    References
    ----------
    M. E. Winter, Proc. SPIE 3753, 266 (1999).

    Examples
    --------
    >>> corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> inner = np.random.default_rng(1).dirichlet(np.ones(3), 50) @ corners
    >>> sorted(find_vertices(np.vstack([inner, corners]), 3).tolist())
    [50, 51, 52]
    """
    values = checked_data(data, n_end_members)
    if n_end_members == 1:
        return np.array([int(((values - values.mean(axis=0)) ** 2).sum(axis=1).argmin())])
    reduced = principal_coordinates(values, n_end_members - 1)
    chosen = _start(reduced, rng) if start is None else np.array(start, dtype=np.int64)
    if chosen.shape != (n_end_members,) or chosen.min() < 0 or chosen.max() >= len(values):
        raise InputError("start", expected=f"{n_end_members} numbers of windows", got=str(chosen))
    return grow_simplex(reduced, chosen)


def grow_simplex(
    reduced: Float[np.ndarray, "window component"], start: Int[np.ndarray, " end_member"]
) -> Int[np.ndarray, " end_member"]:
    """Return the windows that N-FINDR ends at, from principal coordinates, one fewer than there are vertices.

    Parameters
    ----------
    reduced
        Coordinates of the windows.
    start
        Windows to start from.

    Examples
    --------
    >>> grow_simplex(np.array([[0.0], [3.0], [1.0], [-2.0]]), np.array([0, 2])).tolist()
    [3, 1]
    """
    return _grow(np.ascontiguousarray(reduced, dtype=np.float64), np.array(start, dtype=np.int64))


def principal_coordinates(
    data: Float[np.ndarray, "window feature"], n_components: int
) -> Float[np.ndarray, "window component"]:
    """Return the coordinates of the windows along the strongest principal components.

    Parameters
    ----------
    data
        One row for each window.
    n_components
        Number of components.

    Examples
    --------
    >>> np.abs(principal_coordinates(np.array([[0.0, 0.0], [3.0, 4.0]]), 1)).tolist()
    [[2.5], [2.5]]
    """
    centred = data - data.mean(axis=0)
    if centred.shape[0] < centred.shape[1]:
        value, vector = np.linalg.eigh(centred @ centred.T)
        return vector[:, ::-1][:, :n_components] * np.sqrt(np.maximum(value[::-1][:n_components], 0.0))
    _, vector = np.linalg.eigh(centred.T @ centred)
    return centred @ vector[:, ::-1][:, :n_components]


def checked_data(data: np.ndarray, n_components: int) -> Float[np.ndarray, "window feature"]:
    """Return the data as 64-bit numbers; raises `InputError` where that many components cannot be had from them."""
    values = np.asarray(data, dtype=np.float64)
    if values.ndim != 2:
        raise InputError("data", expected="a row for each window", got=f"shape {values.shape}")
    if not np.isfinite(values).all():
        raise InputError("data", expected="finite values", got="NaN or infinite ones")
    if not 1 <= n_components <= min(len(values), values.shape[1] + 1):
        raise InputError(
            "n_components", expected=f"1 to {min(len(values), values.shape[1] + 1)} for data of shape {values.shape}",
            got=str(n_components),
        )  # fmt: skip
    return values


@numba.njit(cache=True, nogil=True)
def _grow(reduced: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Replace each vertex by the window of the largest volume until no replacement is larger."""
    size = len(chosen)
    simplex = np.ones((size, size))
    for k in range(size):
        simplex[1:, k] = reduced[chosen[k]]
    largest = 0.0
    for _ in range(_MOST_SWEEPS):
        before = largest
        for k in range(size):
            cofactor = _cofactors(simplex, k)
            farthest, volume = -1, largest * (1.0 + 1e-12)
            for i in range(len(reduced)):
                value = cofactor[0]
                for c in range(size - 1):
                    value += cofactor[c + 1] * reduced[i, c]
                if abs(value) > volume:
                    farthest, volume = i, abs(value)
            if farthest >= 0:
                largest, chosen[k] = volume, farthest
                simplex[1:, k] = reduced[farthest]
        if largest <= before:
            break
    return chosen


@numba.njit(cache=True, nogil=True)
def _cofactors(simplex: np.ndarray, column: int) -> np.ndarray:
    """Return the cofactors of one column: the determinant is their product with it."""
    size = len(simplex)
    result = np.empty(size)
    minor = np.empty((size - 1, size - 1))
    for left in range(size):
        for r in range(size - 1):
            for c in range(size - 1):
                minor[r, c] = simplex[r + (r >= left), c + (c >= column)]
        result[left] = (-1.0) ** (left + column) * _determinant(minor)
    return result


@numba.njit(cache=True, nogil=True)
def _determinant(matrix: np.ndarray) -> float:
    """Return the determinant by elimination with pivots; the matrix is used up."""
    n, result = len(matrix), 1.0
    for c in range(n):
        pivot = c
        for r in range(c + 1, n):
            if abs(matrix[r, c]) > abs(matrix[pivot, c]):
                pivot = r
        if matrix[pivot, c] == 0.0:
            return 0.0
        if pivot != c:
            result = -result
            for k in range(n):
                matrix[c, k], matrix[pivot, k] = matrix[pivot, k], matrix[c, k]
        result *= matrix[c, c]
        for r in range(c + 1, n):
            factor = matrix[r, c] / matrix[c, c]
            for k in range(c, n):
                matrix[r, k] -= factor * matrix[c, k]
    return result


def _start(reduced: Float[np.ndarray, "window component"], rng: np.random.Generator | None) -> np.ndarray:
    """Return windows, each the farthest from the plane through those before."""
    first = int((reduced**2).sum(axis=1).argmax()) if rng is None else int(rng.integers(len(reduced)))
    chosen, rest = [first], reduced - reduced[first]
    for _ in range(reduced.shape[1]):
        length = (rest**2).sum(axis=1)
        farthest = int(length.argmax())
        chosen.append(farthest)
        if length[farthest] > 0:
            unit = rest[farthest] / np.sqrt(length[farthest])
            rest = rest - np.outer(rest @ unit, unit)
    return np.array(chosen)
