"""Images sampled where a distorted scan put its pixels, and put back from there; cubic splines throughout."""

import functools

import numpy as np
from jaxtyping import Bool, Float
from numba import njit
from scipy import ndimage

ROUNDS = 6
"""Fixed-point steps that invert a displacement; each gains a factor of its gradient, which is small."""


@njit(cache=True, nogil=True, error_model="numpy")
def cubic_weights(fraction: float, weight: np.ndarray) -> None:
    """Write the four cubic B-spline weights around a point this far past its left neighbour."""
    rest = 1.0 - fraction
    weight[0] = rest**3 / 6
    weight[1] = 2.0 / 3 - fraction**2 * (2 - fraction) / 2
    weight[2] = 2.0 / 3 - rest**2 * (2 - rest) / 2
    weight[3] = fraction**3 / 6


@njit(cache=True, nogil=True, error_model="numpy")
def cubic_slopes(fraction: float, weight: np.ndarray) -> None:
    """Write the derivatives of `cubic_weights`."""
    rest = 1.0 - fraction
    weight[0] = -(rest**2) / 2
    weight[1] = fraction * (1.5 * fraction - 2)
    weight[2] = -rest * (1.5 * rest - 2)
    weight[3] = fraction**2 / 2


@njit(cache=True, nogil=True, error_model="numpy")
def mirrored(index: int, size: int) -> int:
    """Return the pixel that stands for one just outside the image."""
    if index < 0:
        return min(-index, size - 1)
    return index if index < size else max(2 * (size - 1) - index, 0)


@njit(cache=True, nogil=True, error_model="numpy")
def sample(
    value: Float[np.ndarray, "y x"],
    slope: Float[np.ndarray, "y x"],
    place: Float[np.ndarray, "2 row column"],
    out: Float[np.ndarray, "3 row column"],
) -> None:
    """Write the value of one spline and the gradient of another at these (y, x); NaN outside the image.

    Parameters
    ----------
    value, slope
        Spline coefficients (`spline_coefficients`) of the image whose value, and of the one whose gradient is wanted.
    place
        (y, x) of each sample, in pixels.
    out
        Value, derivative along y, derivative along x.
    """
    n_y, n_x = value.shape
    w_y, w_x, s_y, s_x = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    for row in range(place.shape[1]):
        for column in range(place.shape[2]):
            y, x = place[0, row, column], place[1, row, column]
            if not (0 <= y <= n_y - 1 and 0 <= x <= n_x - 1):
                out[:, row, column] = np.nan
                continue
            first_y, first_x = int(y), int(x)
            cubic_weights(y - first_y, w_y)
            cubic_weights(x - first_x, w_x)
            cubic_slopes(y - first_y, s_y)
            cubic_slopes(x - first_x, s_x)
            total, along_y, along_x = 0.0, 0.0, 0.0
            for i in range(4):
                from_row = mirrored(first_y + i - 1, n_y)
                a, b, c = 0.0, 0.0, 0.0
                for j in range(4):
                    from_column = mirrored(first_x + j - 1, n_x)
                    a += w_x[j] * value[from_row, from_column]
                    b += w_x[j] * slope[from_row, from_column]
                    c += s_x[j] * slope[from_row, from_column]
                total += w_y[i] * a
                along_y += s_y[i] * b
                along_x += w_y[i] * c
            out[0, row, column], out[1, row, column], out[2, row, column] = total, along_y, along_x


@njit(cache=True, nogil=True, error_model="numpy")
def _blend(
    coefficient: Float[np.ndarray, "y x"], whole: tuple[int, int], weights: tuple[np.ndarray, np.ndarray]
) -> Float[np.ndarray, "y x"]:
    """Return sums of 4 x 4 neighbours with the same weights everywhere; NaN where their middle is outside."""
    n_y, n_x = coefficient.shape
    w_y, w_x = weights
    out, line = np.full((n_y, n_x), np.nan), np.empty(n_x)
    last_y, last_x = n_y - 1 - (w_y[3] != 0), n_x - 1 - (w_x[3] != 0)
    for row in range(max(-whole[0], 0), min(n_y, last_y + 1 - whole[0])):
        a, b, c, d = (
            coefficient[mirrored(row + whole[0] - 1, n_y)],
            coefficient[mirrored(row + whole[0], n_y)],
            coefficient[mirrored(row + whole[0] + 1, n_y)],
            coefficient[mirrored(row + whole[0] + 2, n_y)],
        )
        for column in range(n_x):
            line[column] = w_y[0] * a[column] + w_y[1] * b[column] + w_y[2] * c[column] + w_y[3] * d[column]
        for column in range(max(-whole[1], 0), min(n_x, last_x + 1 - whole[1])):
            here = column + whole[1]
            total = w_x[1] * line[here]
            if 0 < here < n_x - 2:
                total += w_x[0] * line[here - 1] + w_x[2] * line[here + 1] + w_x[3] * line[here + 2]
            else:
                total += w_x[0] * line[mirrored(here - 1, n_x)]
                total += w_x[2] * line[mirrored(here + 1, n_x)] + w_x[3] * line[mirrored(here + 2, n_x)]
            out[row, column] = total
    return out


def sample_moved(
    coefficient: Float[np.ndarray, "y x"], move: Float[np.ndarray, " 2"], *, slope_along: int | None = None
) -> Float[np.ndarray, "y x"]:
    """Return a spline, or its slope along one axis, as far from every pixel as `move` says; NaN outside the image.

    This is what `sample` gives where all pixels are displaced alike, at a tenth of its cost.

    Examples
    --------
    >>> coefficient = spline_coefficients(np.tile(np.arange(32.0), (32, 1)))
    >>> float(sample_moved(coefficient, np.array([1.0, 0.5]))[16, 16].round(3))
    16.5
    """
    whole = np.floor(move)
    weights = np.empty((2, 4))
    for axis in range(2):
        fill = cubic_slopes if axis == slope_along else cubic_weights
        fill(move[axis] - whole[axis], weights[axis])
    return _blend(coefficient, (int(whole[0]), int(whole[1])), (weights[0], weights[1]))


def whole_move(mask: Bool[np.ndarray, "y x"], move: Float[np.ndarray, " 2"]) -> Bool[np.ndarray, "y x"]:
    """Return the mask at the pixel nearest to where `move` leads from every pixel; False outside.

    Examples
    --------
    >>> whole_move(np.array([[True, False, True]]), np.array([0.0, 0.8])).tolist()
    [[False, True, False]]
    """
    out = np.zeros_like(mask)
    to, source = [], []
    for size, step in zip(mask.shape, np.floor(np.asarray(move) + 0.5).astype(int).tolist(), strict=True):
        to.append(slice(max(-step, 0), max(min(size, size - step), 0)))
        source.append(slice(max(step, 0), max(min(size, size + step), 0)))
    out[tuple(to)] = mask[tuple(source)]
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def scan_places(
    displacement: Float[np.ndarray, "2 y x"], turn: Float[np.ndarray, "2 2"], shape: tuple[int, int]
) -> Float[np.ndarray, "2 row column"]:
    """Return the scan's (row, column) at which each pixel of the reference was seen; NaN where it was not.

    The scan's pixel p shows the reference's point `turn (p - centre) + centre + displacement[p]`; this is solved for p
    by fixed-point steps with the displacement between pixels taken linearly.

    Parameters
    ----------
    displacement
        (y, x) in the reference's axes, for each pixel of the scan.
    turn
        Rotation from the scan's axes into the reference's.
    shape
        Rows and columns of the reference.
    """
    n_y, n_x = displacement.shape[1], displacement.shape[2]
    out = np.full((2, shape[0], shape[1]), np.nan)
    centre_y, centre_x = 0.5 * (n_y - 1), 0.5 * (n_x - 1)
    for row in range(shape[0]):
        for column in range(shape[1]):
            from_y, from_x = row - 0.5 * (shape[0] - 1), column - 0.5 * (shape[1] - 1)
            d_y, d_x = 0.0, 0.0
            y, x = 0.0, 0.0
            for k in range(ROUNDS):
                u, v = from_y - d_y, from_x - d_x
                y = turn[0, 0] * u + turn[1, 0] * v + centre_y
                x = turn[0, 1] * u + turn[1, 1] * v + centre_x
                if k == ROUNDS - 1:
                    break
                i = min(max(int(np.floor(y)), 0), n_y - 2)
                j = min(max(int(np.floor(x)), 0), n_x - 2)
                a, b = min(max(y - i, 0.0), 1.0), min(max(x - j, 0.0), 1.0)
                for axis in range(2):
                    d = displacement[axis]
                    top = (1 - b) * d[i, j] + b * d[i, j + 1]
                    bottom = (1 - b) * d[i + 1, j] + b * d[i + 1, j + 1]
                    if axis == 0:
                        d_y = (1 - a) * top + a * bottom
                    else:
                        d_x = (1 - a) * top + a * bottom
            if 0 <= y <= n_y - 1 and 0 <= x <= n_x - 1:
                out[0, row, column], out[1, row, column] = y, x
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def evaluate_rows(coefficient: Float[np.ndarray, "y x"], shift: Float[np.ndarray, " y"]) -> Float[np.ndarray, "y x"]:
    """Return each row moved by its own shift, from the coefficients of splines along the rows."""
    n_y, n_x = coefficient.shape
    out, weight = np.empty((n_y, n_x)), np.empty(4)
    for row in range(n_y):
        for column in range(n_x):
            x = min(max(column - shift[row], 0.0), n_x - 1.0)
            first = int(x)
            cubic_weights(x - first, weight)
            total = 0.0
            for j in range(4):
                total += weight[j] * coefficient[row, mirrored(first + j - 1, n_x)]
            out[row, column] = total
    return out


def spline_coefficients(image: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "y x"]:
    """Return the coefficients of the cubic spline through all pixels, mirrored at the border."""
    return ndimage.spline_filter(image, order=3, output=np.float64, mode="mirror")


def shift_rows(image: Float[np.ndarray, "y x"], shift: Float[np.ndarray, " y"]) -> Float[np.ndarray, "y x"]:
    """Return the image with each row moved by its own shift along x, in pixels.

    Examples
    --------
    >>> shift_rows(np.array([[0.0, 1.0, 0.0, 0.0]] * 2), np.array([0.0, 1.0])).argmax(axis=1).tolist()
    [1, 2]
    """
    return evaluate_rows(ndimage.spline_filter1d(image, order=3, axis=1, output=np.float64, mode="mirror"), shift)


def remaining_noise(fraction: Float[np.ndarray, "*point"]) -> Float[np.ndarray, "*point"]:
    """Return the variance of white noise of variance one after cubic-spline interpolation along one axis.

    Parameters
    ----------
    fraction
        Where between two pixels the spline is read, from 0 to 1.

    Examples
    --------
    >>> remaining_noise(np.array([0.0, 0.5])).round(3).tolist()
    [1.0, 0.756]
    """
    grid, left = _noise_by_fraction()
    return np.interp(fraction, grid, left)


@functools.cache
def _noise_by_fraction() -> tuple[Float[np.ndarray, " step"], Float[np.ndarray, " step"]]:
    """Return fractions of a pixel, and the sum of squares of the interpolation's kernel at each."""
    grid, impulse = np.linspace(0, 1, 33), np.zeros(64)
    impulse[32] = 1.0
    kernel = [ndimage.shift(impulse, step, order=3, mode="mirror") for step in grid]
    return grid, (np.array(kernel) ** 2).sum(axis=1)
