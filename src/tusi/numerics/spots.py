"""Images of many overlapping Gaussian spots: rendering them, and fitting each with its neighbours held fixed.

All spots share one width. A Gaussian is separable, so a window costs one exponential per row and column, and every sum
over a window is a sum over rows of dot products along x, which the compiler vectorises. `reassoc`, `nsz` and `contract`
only allow it to add in another order; NaN and infinity keep their meaning.
"""

import math

import numpy as np
from jaxtyping import Float
from numba import njit

SUMS = {"reassoc", "nsz", "contract"}
"""What the compiler may assume about floating-point sums."""


@njit(cache=True, nogil=True, error_model="numpy")
def window_of(centre: float, radius: float, size: int) -> tuple[int, int]:
    """Return the half-open range of pixels within `radius` of `centre`, inside an axis of `size` pixels."""
    return max(0, math.ceil(centre - radius)), max(0, min(size, math.floor(centre + radius) + 1))


@njit(cache=True, nogil=True, error_model="numpy")
def fill_gaussian(
    centre: float, window: tuple[int, int], width: float, value: np.ndarray, distance: np.ndarray
) -> None:
    """Write exp(-d^2 / 2 width^2) and d along one axis of a window."""
    scale = -0.5 / width**2
    for k in range(window[1] - window[0]):
        distance[k] = window[0] + k - centre
        value[k] = math.exp(scale * distance[k] * distance[k])


@njit(cache=True, nogil=True, fastmath=SUMS, error_model="numpy")
def add_spots(
    image: Float[np.ndarray, "y x"],
    position: Float[np.ndarray, "atom 2"],
    amplitude: Float[np.ndarray, " atom"],
    width: float,
    radius: float,
) -> None:
    """Add spots to an image, each cut off at a square of half side `radius`.

    Parameters
    ----------
    image
        Changed in place.
    position
        (y, x) of each spot, pixel.
    amplitude
        Height of each spot, signal units.
    width
        Standard deviation of every spot, pixel.
    radius
        Half side of the window, pixel.
    """
    side = int(2 * radius) + 3
    e_y, e_x, d_y, d_x = np.empty(side), np.empty(side), np.empty(side), np.empty(side)
    for atom in range(position.shape[0]):
        rows = window_of(position[atom, 0], radius, image.shape[0])
        columns = window_of(position[atom, 1], radius, image.shape[1])
        fill_gaussian(position[atom, 0], rows, width, e_y, d_y)
        fill_gaussian(position[atom, 1], columns, width, e_x, d_x)
        for i in range(rows[1] - rows[0]):
            factor = amplitude[atom] * e_y[i]
            row = image[rows[0] + i, columns[0] : columns[1]]
            for j in range(row.size):
                row[j] += factor * e_x[j]


@njit(cache=True, nogil=True, fastmath=SUMS, error_model="numpy")
def add_width_derivative(
    image: Float[np.ndarray, "y x"],
    position: Float[np.ndarray, "atom 2"],
    amplitude: Float[np.ndarray, " atom"],
    width: float,
    radius: float,
) -> None:
    """Add the derivative of the spots' image with respect to the logarithm of their common width."""
    side = int(2 * radius) + 3
    e_y, e_x, d_y, d_x = np.empty(side), np.empty(side), np.empty(side), np.empty(side)
    for atom in range(position.shape[0]):
        rows = window_of(position[atom, 0], radius, image.shape[0])
        columns = window_of(position[atom, 1], radius, image.shape[1])
        fill_gaussian(position[atom, 0], rows, width, e_y, d_y)
        fill_gaussian(position[atom, 1], columns, width, e_x, d_x)
        for i in range(rows[1] - rows[0]):
            factor = amplitude[atom] * e_y[i] / width**2
            y_part = d_y[i] * d_y[i]
            row = image[rows[0] + i, columns[0] : columns[1]]
            for j in range(row.size):
                row[j] += factor * e_x[j] * (y_part + d_x[j] * d_x[j])


@njit(cache=True, nogil=True, error_model="numpy")
def solve_3(matrix: Float[np.ndarray, "3 3"], right: Float[np.ndarray, " 3"], out: Float[np.ndarray, " 3"]) -> bool:
    """Solve a symmetric 3 x 3 system; False where it is singular."""
    a, b, c = matrix[0, 0], matrix[0, 1], matrix[0, 2]
    d, e, f = matrix[1, 1], matrix[1, 2], matrix[2, 2]
    i00, i01, i02 = d * f - e * e, c * e - b * f, b * e - c * d
    determinant = a * i00 + b * i01 + c * i02
    if not determinant > 0:
        return False
    i11, i12, i22 = a * f - c * c, b * c - a * e, a * d - b * b
    out[0] = (i00 * right[0] + i01 * right[1] + i02 * right[2]) / determinant
    out[1] = (i01 * right[0] + i11 * right[1] + i12 * right[2]) / determinant
    out[2] = (i02 * right[0] + i12 * right[1] + i22 * right[2]) / determinant
    return True


@njit(cache=True, nogil=True, fastmath=SUMS, error_model="numpy")
def sweep_spots(
    image: Float[np.ndarray, "y x"],
    model: Float[np.ndarray, "y x"],
    noise: Float[np.ndarray, " 5"],
    spots: tuple[np.ndarray, np.ndarray, float, float],
    ridge: Float[np.ndarray, " 3"],
) -> None:
    """Improve every spot once by Fisher scoring, with all others held at their current values.

    Parameters
    ----------
    image
        The data, signal units.
    model
        The model image; kept up to date in place.
    noise
        Gain, offset, read variance, the smallest variance that a pixel is believed to have, and the saturation level.
    spots
        Position and amplitude, changed in place; width, and half side of the window (pixel). A step is at most half a
        width, and an amplitude stays at least a tenth of what it was.
    ridge
        Information added to each parameter to keep faint spots in place.
    """
    position, amplitude, width, radius = spots
    side = int(2 * radius) + 3
    e_y, e_x, d_y, d_x = np.empty(side), np.empty(side), np.empty(side), np.empty(side)
    gradient, information, step = np.zeros(3), np.zeros((3, 3)), np.zeros(3)
    for atom in range(position.shape[0]):
        rows = window_of(position[atom, 0], radius, image.shape[0])
        columns = window_of(position[atom, 1], radius, image.shape[1])
        fill_gaussian(position[atom, 0], rows, width, e_y, d_y)
        fill_gaussian(position[atom, 1], columns, width, e_x, d_x)
        gradient[:], information[:] = 0.0, 0.0
        slope = amplitude[atom] / width**2
        for i in range(rows[1] - rows[0]):
            data, fit = image[rows[0] + i, columns[0] : columns[1]], model[rows[0] + i, columns[0] : columns[1]]
            g0, g1, o0, o1, o2 = 0.0, 0.0, 0.0, 0.0, 0.0
            for j in range(data.size):
                variance = noise[0] * (fit[j] - noise[1]) + noise[2]
                weight = e_x[j] / (variance if variance > noise[3] else noise[3])
                lower = data[j] if data[j] < fit[j] else fit[j]
                weight = 0.0 if lower >= noise[4] else weight
                misfit = weight * (data[j] - fit[j])
                weight *= e_x[j]
                g0 += misfit
                g1 += misfit * d_x[j]
                o0 += weight
                o1 += weight * d_x[j]
                o2 += weight * d_x[j] * d_x[j]
            squared = e_y[i] * e_y[i]
            gradient[0] += slope * e_y[i] * d_y[i] * g0
            gradient[1] += slope * e_y[i] * g1
            gradient[2] += e_y[i] * g0
            information[0, 0] += slope * slope * squared * d_y[i] * d_y[i] * o0
            information[0, 1] += slope * slope * squared * d_y[i] * o1
            information[0, 2] += slope * squared * d_y[i] * o0
            information[1, 1] += slope * slope * squared * o2
            information[1, 2] += slope * squared * o1
            information[2, 2] += squared * o0
        for p in range(3):
            information[p, p] += ridge[p]
        if not solve_3(information, gradient, step):
            continue
        largest_step = 0.25 * width
        add_spots(model, position[atom : atom + 1], -amplitude[atom : atom + 1], width, radius)
        for p in range(2):
            position[atom, p] += min(max(step[p], -largest_step), largest_step)
        amplitude[atom] = max(amplitude[atom] + step[2], 0.1 * amplitude[atom])
        add_spots(model, position[atom : atom + 1], amplitude[atom : atom + 1], width, radius)


@njit(cache=True, nogil=True, fastmath=SUMS, error_model="numpy")
def weigh(
    image: Float[np.ndarray, "y x"],
    model: Float[np.ndarray, "y x"],
    noise: Float[np.ndarray, " 5"],
    residual: Float[np.ndarray, "y x"],
    weight: Float[np.ndarray, "y x"],
) -> float:
    """Write residual and inverse variance of every pixel; return Pearson's chi-square.

    A saturated pixel says only that the signal is at least this high: it has no weight where the model agrees.
    """
    chi_square = 0.0
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            variance = noise[0] * (model[y, x] - noise[1]) + noise[2]
            inverse = 1 / (variance if variance > noise[3] else noise[3])
            lower = image[y, x] if image[y, x] < model[y, x] else model[y, x]
            inverse = 0.0 if lower >= noise[4] else inverse
            misfit = image[y, x] - model[y, x]
            residual[y, x], weight[y, x] = misfit, inverse
            chi_square += misfit * misfit * inverse
    return chi_square


@njit(cache=True, nogil=True, fastmath=SUMS, error_model="numpy")
def likelihood_gain(
    residual: Float[np.ndarray, "y x"],
    weight: Float[np.ndarray, "y x"],
    new_residual: Float[np.ndarray, "y x"],
    new_weight: Float[np.ndarray, "y x"],
) -> float:
    """Return the gain in quasi-log-likelihood between two models, by the trapezoidal rule along the way."""
    gain = 0.0
    for y in range(residual.shape[0]):
        for x in range(residual.shape[1]):
            mean = residual[y, x] * weight[y, x] + new_residual[y, x] * new_weight[y, x]
            gain += 0.5 * mean * (residual[y, x] - new_residual[y, x])
    return gain
