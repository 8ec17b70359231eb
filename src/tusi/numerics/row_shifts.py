"""What shifts of the image rows do to spots, and how large they are: the scan noise of a scanning microscope."""

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from tusi.numerics.spots import SUMS, fill_gaussian, window_of


@njit(cache=True, nogil=True, fastmath=SUMS, error_model="numpy")
def add_row_shift_derivative(
    image: Float[np.ndarray, "y x"],
    position: Float[np.ndarray, "atom 2"],
    amplitude: Float[np.ndarray, " atom"],
    width: float,
    radius: float,
) -> None:
    """Add the derivative of the spots' image with respect to a shift of each row along x."""
    side = int(2 * radius) + 3
    e_y, e_x, d_y, d_x = np.empty(side), np.empty(side), np.empty(side), np.empty(side)
    for atom in range(position.shape[0]):
        rows = window_of(position[atom, 0], radius, image.shape[0])
        columns = window_of(position[atom, 1], radius, image.shape[1])
        fill_gaussian(position[atom, 0], rows, width, e_y, d_y)
        fill_gaussian(position[atom, 1], columns, width, e_x, d_x)
        for i in range(rows[1] - rows[0]):
            factor = amplitude[atom] * e_y[i] / width**2
            row = image[rows[0] + i, columns[0] : columns[1]]
            for j in range(row.size):
                row[j] += factor * e_x[j] * d_x[j]


@njit(cache=True, nogil=True, fastmath=SUMS, error_model="numpy")
def row_responses(
    weighted_shift: Float[np.ndarray, "y x"],
    squared_misfit: Float[np.ndarray, "y x"],
    spots: tuple[np.ndarray, np.ndarray, float, float],
) -> tuple[Float[np.ndarray, "atom 3 row"], Int[np.ndarray, " atom"], Float[np.ndarray, " atom"]]:
    """Return the information that each spot shares with the shift of each row, and each spot's own misfit.

    Parameters
    ----------
    weighted_shift
        Derivative of the image by row shifts, times the inverse variance of each pixel.
    squared_misfit
        Squared residual of every pixel over its variance.
    spots
        Position (pixel), amplitude, width, and half side of the window (pixel).

    Returns
    -------
    response, first_row, misfit
        Information shared with each row of the window, the first row of the window, and the mean squared misfit,
        weighted by the square of the spot.
    """
    position, amplitude, width, radius = spots
    side = int(2 * radius) + 3
    e_y, e_x, d_y, d_x = np.empty(side), np.empty(side), np.empty(side), np.empty(side)
    n_rows = int(2 * radius) + 1
    response, misfit = np.zeros((position.shape[0], 3, n_rows)), np.zeros(position.shape[0])
    first_row = np.zeros(position.shape[0], dtype=np.int64)
    for atom in range(position.shape[0]):
        rows = window_of(position[atom, 0], radius, weighted_shift.shape[0])
        columns = window_of(position[atom, 1], radius, weighted_shift.shape[1])
        fill_gaussian(position[atom, 0], rows, width, e_y, d_y)
        fill_gaussian(position[atom, 1], columns, width, e_x, d_x)
        first_row[atom] = rows[0]
        slope, total = amplitude[atom] / width**2, 0.0
        for i in range(rows[1] - rows[0]):
            shift = weighted_shift[rows[0] + i, columns[0] : columns[1]]
            square = squared_misfit[rows[0] + i, columns[0] : columns[1]]
            a, b, c, d = 0.0, 0.0, 0.0, 0.0
            for j in range(shift.size):
                value = shift[j] * e_x[j]
                a += value
                b += value * d_x[j]
                c += e_x[j] * e_x[j] * square[j]
                d += e_x[j] * e_x[j]
            response[atom, 0, i] = slope * e_y[i] * d_y[i] * a
            response[atom, 1, i] = slope * e_y[i] * b
            response[atom, 2, i] = e_y[i] * a
            misfit[atom] += e_y[i] * e_y[i] * c
            total += e_y[i] * e_y[i] * d
        misfit[atom] /= total
    return response, first_row, misfit


def row_shift_variance(
    gradient: Float[np.ndarray, " row"],
    information: Float[np.ndarray, " row"],
    absorbed: Float[np.ndarray, "row band"],
    *,
    chi_square: tuple[float, float],
    correlation_area: float,
) -> tuple[float, float]:
    """Return the variance of independent row shifts, and the noise variance per pixel that remains.

    The gradient of the likelihood by row shifts, after everything else was fitted, has covariance K under noise and
    K^2 per unit variance of shifts, where K is the information on row shifts that the fit left over. Shifts and noise
    are told apart by two moments: the gradient's sum of squares, and the chi-square of all pixels.

    Parameters
    ----------
    gradient, information
        Of each row's shift, everything else held fixed; in 1/pixel and 1/pixel squared.
    absorbed
        What the fit takes away from `information`, as a band around the diagonal.
    chi_square
        Sum of squared residuals over variance, and the number of degrees of freedom.
    correlation_area
        Pixels per independent sample of noise.

    Returns
    -------
    variance, noise
        Of the shifts, pixel squared; of the noise, relative to what was assumed.
    """
    left = -absorbed
    left[:, absorbed.shape[1] // 2] += information
    trace, square = float(left[:, absorbed.shape[1] // 2].sum()), float((left**2).sum())
    total, n_free = chi_square
    if not (trace > 0 and square > 0 and n_free > 0):
        return 0.0, total / max(n_free, 1.0)
    moments = np.array([[square, trace * correlation_area], [trace, n_free]])
    variance, noise = np.linalg.solve(moments, [float(gradient @ gradient), total])
    if not (variance > 0 and noise > 0):
        return 0.0, total / n_free
    return float(variance), float(noise)
