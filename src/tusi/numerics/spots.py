"""Images of many overlapping round spots: rendering them, and fitting each with its neighbours held fixed.

A spot is a sum of concentric Gaussians (`profile`: one row of weight and width per Gaussian, weights summing to one),
times an amplitude. Every Gaussian is separable, so a window costs one exponential per row and column. All loops are
compiled, allocate nothing per pixel, and work in float64.
"""

import math

import numpy as np
from jaxtyping import Float
from numba import njit

N_SPOT_PARAMETERS = 3
"""Position y, position x, amplitude."""


@njit(cache=True, nogil=True)
def window_of(centre: float, radius: float, size: int) -> tuple[int, int]:
    """Return the half-open range of pixels within `radius` of `centre`, inside an axis of `size` pixels."""
    return max(0, math.ceil(centre - radius)), min(size, math.floor(centre + radius) + 1)


@njit(cache=True, nogil=True)
def fill_exponentials(
    centre: float, window: tuple[int, int], profile: Float[np.ndarray, "gaussian 2"], values: np.ndarray
) -> None:
    """Write exp(-d^2 / 2 width^2) of every Gaussian along one axis of a window."""
    for g in range(profile.shape[0]):
        scale = -0.5 / profile[g, 1] ** 2
        for k in range(window[1] - window[0]):
            distance = window[0] + k - centre
            values[g, k] = math.exp(scale * distance * distance)


@njit(cache=True, nogil=True)
def add_spots(
    image: Float[np.ndarray, "y x"],
    position: Float[np.ndarray, "atom 2"],
    amplitude: Float[np.ndarray, " atom"],
    profile: Float[np.ndarray, "gaussian 2"],
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
    profile
        Weight and width (pixel) of each Gaussian of the spot.
    radius
        Half side of the window, pixel.
    """
    n_gaussians, side = profile.shape[0], int(2 * radius) + 3
    along_y, along_x = np.empty((n_gaussians, side)), np.empty((n_gaussians, side))
    for atom in range(position.shape[0]):
        rows = window_of(position[atom, 0], radius, image.shape[0])
        columns = window_of(position[atom, 1], radius, image.shape[1])
        fill_exponentials(position[atom, 0], rows, profile, along_y)
        fill_exponentials(position[atom, 1], columns, profile, along_x)
        for g in range(n_gaussians):
            height = amplitude[atom] * profile[g, 0]
            for i in range(rows[1] - rows[0]):
                factor = height * along_y[g, i]
                for j in range(columns[1] - columns[0]):
                    image[rows[0] + i, columns[0] + j] += factor * along_x[g, j]


@njit(cache=True, nogil=True)
def add_shape_derivatives(
    derivatives: Float[np.ndarray, "derivative y x"],
    position: Float[np.ndarray, "atom 2"],
    amplitude: Float[np.ndarray, " atom"],
    profile: Float[np.ndarray, "gaussian 2"],
    radius: float,
) -> None:
    """Add what the spots' shared shape does to the image, Gaussian by Gaussian.

    Layer 2 g is the image of Gaussian g alone (without its weight); layer 2 g + 1 its derivative with respect to the
    logarithm of its width.
    """
    n_gaussians, side = profile.shape[0], int(2 * radius) + 3
    along_y, along_x = np.empty((n_gaussians, side)), np.empty((n_gaussians, side))
    for atom in range(position.shape[0]):
        rows = window_of(position[atom, 0], radius, derivatives.shape[1])
        columns = window_of(position[atom, 1], radius, derivatives.shape[2])
        fill_exponentials(position[atom, 0], rows, profile, along_y)
        fill_exponentials(position[atom, 1], columns, profile, along_x)
        for g in range(n_gaussians):
            scale = 1 / profile[g, 1] ** 2
            for i in range(rows[1] - rows[0]):
                factor = amplitude[atom] * along_y[g, i]
                y_part = scale * (rows[0] + i - position[atom, 0]) ** 2
                for j in range(columns[1] - columns[0]):
                    value = factor * along_x[g, j]
                    x_part = scale * (columns[0] + j - position[atom, 1]) ** 2
                    derivatives[2 * g, rows[0] + i, columns[0] + j] += value
                    derivatives[2 * g + 1, rows[0] + i, columns[0] + j] += value * (y_part + x_part)


@njit(cache=True, nogil=True)
def fill_derivatives(
    offset_yx: tuple[float, float],
    exponentials: tuple[np.ndarray, np.ndarray, int, int],
    profile: Float[np.ndarray, "gaussian 2"],
    amplitude: float,
    out: Float[np.ndarray, " 3"],
) -> None:
    """Write the derivative of one pixel by position y, position x and amplitude."""
    along_y, along_x, i, j = exponentials
    value, slope = 0.0, 0.0
    for g in range(profile.shape[0]):
        part = profile[g, 0] * along_y[g, i] * along_x[g, j]
        value += part
        slope += part / profile[g, 1] ** 2
    out[0] = amplitude * slope * offset_yx[0]
    out[1] = amplitude * slope * offset_yx[1]
    out[2] = value


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def sweep_spots(
    image: Float[np.ndarray, "y x"],
    model: Float[np.ndarray, "y x"],
    noise: Float[np.ndarray, " 4"],
    position: Float[np.ndarray, "atom 2"],
    amplitude: Float[np.ndarray, " atom"],
    profile: Float[np.ndarray, "gaussian 2"],
    radius: float,
) -> None:
    """Improve every spot once by Fisher scoring, with all others held at their current values.

    Parameters
    ----------
    image
        The data, signal units.
    model
        The model image; kept up to date in place.
    noise
        Gain, offset, read variance and the smallest variance that a pixel is believed to have.
    position, amplitude
        The spots; changed in place. A step is at most half the narrowest width, and an amplitude at least a tenth of
        what it was.
    profile
        Weight and width (pixel) of each Gaussian of the spot.
    radius
        Half side of the window, pixel.
    """
    n_gaussians, side = profile.shape[0], int(2 * radius) + 3
    along_y, along_x = np.empty((n_gaussians, side)), np.empty((n_gaussians, side))
    gradient, information = np.zeros(3), np.zeros((3, 3))
    slope, step, no_change = np.zeros(3), np.zeros(3), np.zeros((1, 2))
    largest_step = 0.5 * profile[0, 1]
    for atom in range(position.shape[0]):
        rows = window_of(position[atom, 0], radius, image.shape[0])
        columns = window_of(position[atom, 1], radius, image.shape[1])
        fill_exponentials(position[atom, 0], rows, profile, along_y)
        fill_exponentials(position[atom, 1], columns, profile, along_x)
        gradient[:], information[:] = 0.0, 0.0
        for i in range(rows[1] - rows[0]):
            y = rows[0] + i
            for j in range(columns[1] - columns[0]):
                x = columns[0] + j
                variance = max(noise[0] * (model[y, x] - noise[1]) + noise[2], noise[3])
                away = (y - position[atom, 0], x - position[atom, 1])
                fill_derivatives(away, (along_y, along_x, i, j), profile, amplitude[atom], slope)
                misfit = (image[y, x] - model[y, x]) / variance
                for p in range(3):
                    gradient[p] += slope[p] * misfit
                    for q in range(p, 3):
                        information[p, q] += slope[p] * slope[q] / variance
        for p in range(3):
            information[p, p] *= 1.0 + 1e-6
        if not solve_3(information, gradient, step):
            continue
        no_change[0] = position[atom]
        add_spots(model, no_change, -amplitude[atom : atom + 1], profile, radius)
        for p in range(2):
            position[atom, p] += min(max(step[p], -largest_step), largest_step)
        amplitude[atom] = max(amplitude[atom] + step[2], 0.1 * amplitude[atom])
        add_spots(model, position[atom : atom + 1], amplitude[atom : atom + 1], profile, radius)


@njit(cache=True, nogil=True)
def weigh(
    image: Float[np.ndarray, "y x"],
    model: Float[np.ndarray, "y x"],
    noise: Float[np.ndarray, " 4"],
    residual: Float[np.ndarray, "y x"],
    weight: Float[np.ndarray, "y x"],
) -> tuple[float, float]:
    """Write residual and inverse variance of every pixel; return deviance and Pearson's chi-square.

    The deviance is that of a Poisson variable shifted by offset and read variance (exact where either is zero), or
    chi-square where the gain is zero.
    """
    deviance, chi_square = 0.0, 0.0
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            variance = max(noise[0] * (model[y, x] - noise[1]) + noise[2], noise[3])
            misfit = image[y, x] - model[y, x]
            residual[y, x] = misfit
            weight[y, x] = 1 / variance
            chi_square += misfit * misfit / variance
            if noise[0] > 0:
                expected = variance / noise[0] ** 2
                observed = max(expected + misfit / noise[0], 0.0)
                deviance += 2 * (expected - observed)
                if observed > 0:
                    deviance += 2 * observed * math.log(observed / expected)
            else:
                deviance += misfit * misfit / variance
    return deviance, chi_square
