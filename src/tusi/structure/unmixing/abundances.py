"""Fully constrained abundances: the exact least-squares point of a simplex, window by window, by an active set."""

import numba
import numpy as np
from jaxtyping import Float

from tusi.errors import InputError

_TOLERANCE = 1e-10


def constrained_abundances(
    data: Float[np.ndarray, "window feature"],
    end_members: Float[np.ndarray, "end_member feature"],
    *,
    variance: Float[np.ndarray, "..."] | None = None,
) -> Float[np.ndarray, "window end_member"]:
    """Return the abundances, none negative and of sum one, that fit each window best.

    The exact solution of the constrained least-squares problem: the active set starts from the best single end member
    and grows or shrinks until the gradient allows no step, at most a few times the number of end members.

    Parameters
    ----------
    data
        One row for each window.
    end_members
        One row for each end member.
    variance
        Variance of the features, for all windows or for each; equal by default.

    Returns
    -------
    numpy.ndarray
        Abundances of each window.

    Raises
    ------
    InputError
        Shapes do not fit together, or values are not finite.

    References
    ----------
    D. C. Heinz, C.-I. Chang, IEEE Trans. Geosci. Remote Sens. 39, 529 (2001).

    Examples
    --------
    >>> corners = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    >>> constrained_abundances(np.array([[1.0, 0.5], [-3.0, -2.0], [9.0, 9.0]]), corners).tolist()
    [[0.25, 0.5, 0.25], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]
    """
    values, corners = np.asarray(data, dtype=np.float64), np.asarray(end_members, dtype=np.float64)
    if values.ndim != 2 or corners.ndim != 2 or not len(corners) or values.shape[1] != corners.shape[1]:
        raise InputError("end_members", expected=f"rows like those of the data, {values.shape}", got=str(corners.shape))
    if not (np.isfinite(values).all() and np.isfinite(corners).all()):
        raise InputError("data", expected="finite values", got="NaN or infinite ones")
    spread = np.ones(values.shape[1]) if variance is None else np.asarray(variance, dtype=np.float64)
    if spread.shape not in (values.shape, values.shape[1:]) or not (spread > 0).all():
        raise InputError("variance", expected="a number above zero for each feature", got=f"shape {spread.shape}")
    weighted = values / spread
    linear = weighted @ corners.T
    if spread.ndim == 1:
        gram = ((corners / spread) @ corners.T)[None]
    else:
        gram = np.einsum("kf,lf,nf->nkl", corners, corners, 1.0 / spread, optimize=True)
    return _solve(np.ascontiguousarray(gram), np.ascontiguousarray(linear))


@numba.njit(cache=True, nogil=True)
def _solve(gram: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Minimise `a.G.a / 2 - b.a` on the simplex for each row b of `linear`."""
    n, size = linear.shape
    result = np.zeros((n, size))
    for i in range(n):
        g = gram[i % len(gram)]
        b = linear[i]
        value = np.zeros(size)
        inside = np.zeros(size, dtype=np.bool_)
        best = 0
        for k in range(1, size):
            if g[k, k] / 2 - b[k] < g[best, best] / 2 - b[best]:
                best = k
        value[best], inside[best] = 1.0, True
        scale = 1.0
        for k in range(size):
            scale = max(scale, abs(g[k, k]), abs(b[k]))
        for _ in range(10 * size + 10):
            entering = _steepest(g, b, value, inside, _TOLERANCE * scale)
            if entering < 0:
                break
            inside[entering] = True
            for _ in range(size + 1):
                target = _on_face(g, b, inside)
                step, leaving = 1.0, -1
                for k in range(size):
                    if inside[k] and target[k] < 0.0:
                        reach = value[k] / (value[k] - target[k])
                        if reach < step:
                            step, leaving = reach, k
                for k in range(size):
                    value[k] += step * (target[k] - value[k])
                if leaving < 0:
                    break
                value[leaving], inside[leaving] = 0.0, False
        result[i] = value
    return result


@numba.njit(cache=True, nogil=True)
def _steepest(g: np.ndarray, b: np.ndarray, value: np.ndarray, inside: np.ndarray, least: float) -> int:
    """Return the end member outside the face whose entering lowers the misfit most steeply; -1 where none does."""
    gain = b - g @ value
    level, n_inside = 0.0, 0
    for k in range(len(b)):
        if inside[k]:
            level += gain[k]
            n_inside += 1
    level /= n_inside
    best, found = least, -1
    for k in range(len(b)):
        if not inside[k] and gain[k] - level > best:
            best, found = gain[k] - level, k
    return found


@numba.njit(cache=True, nogil=True)
def _on_face(g: np.ndarray, b: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the minimum on the plane through a face: the bordered normal equations, by elimination with pivots."""
    member = np.flatnonzero(inside)
    m = len(member)
    table = np.zeros((m + 1, m + 2))
    for r in range(m):
        for c in range(m):
            table[r, c] = g[member[r], member[c]]
        table[r, m], table[r, m + 1] = 1.0, b[member[r]]
        table[m, r] = 1.0
    table[m, m + 1] = 1.0
    _eliminate(table)
    result = np.zeros(len(b))
    for r in range(m):
        result[member[r]] = table[r, m + 1] / table[r, r]
    return result


@numba.njit(cache=True, nogil=True)
def _eliminate(table: np.ndarray) -> None:
    """Bring a square system with its right side to diagonal form, in place."""
    n = len(table)
    for c in range(n):
        pivot = c
        for r in range(c + 1, n):
            if abs(table[r, c]) > abs(table[pivot, c]):
                pivot = r
        for k in range(n + 1):
            table[c, k], table[pivot, k] = table[pivot, k], table[c, k]
        if table[c, c] == 0.0:
            table[c, c] = 1e-300
        for r in range(n):
            if r != c:
                factor = table[r, c] / table[c, c]
                for k in range(c, n + 1):
                    table[r, k] -= factor * table[c, k]
