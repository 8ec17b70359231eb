"""One step of expectation-maximisation for a mixture of normals in a few dimensions, each row with an error of its own.

Arrays in, arrays out; the meaning of the numbers is in `tusi.structure.neighbourhoods.mixture`.

References
----------
J. Bovy, D. W. Hogg, S. T. Roweis, Ann. Appl. Stat. 5, 1657 (2011), for the steps.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def factorise(matrix, lower):
    """Fill `lower` with the Cholesky factor of `matrix` and return the logarithm of its determinant."""
    n = matrix.shape[0]
    log_determinant = 0.0
    for a in range(n):
        for b in range(a + 1):
            total = matrix[a, b]
            for c in range(b):
                total -= lower[a, c] * lower[b, c]
            if a == b:
                lower[a, a] = np.sqrt(max(total, 1e-300))
                log_determinant += 2 * np.log(lower[a, a])
            else:
                lower[a, b] = total / lower[b, b]
    return log_determinant


@njit(cache=True, nogil=True)
def forward(lower, vector):
    """Overwrite `vector` with the solution of `lower x = vector`."""
    for a in range(len(vector)):
        for b in range(a):
            vector[a] -= lower[a, b] * vector[b]
        vector[a] /= lower[a, a]


@njit(cache=True, nogil=True)
def log_density(scratch, mean, spread, whitened, half):
    """Return the log-density of a row under one class.

    `scratch` holds the row, its error and room for two matrices. `whitened` receives the row's deviation and `half` the
    class's spread, both in units of the root of their total covariance.
    """
    score, error, total, lower = scratch
    n_dimensions = len(score)
    for a in range(n_dimensions):
        whitened[a] = score[a] - mean[a]
        for b in range(n_dimensions):
            total[a, b] = spread[a, b] + error[a, b]
            half[a, b] = spread[a, b]
    value = -0.5 * (factorise(total, lower) + n_dimensions * np.log(2 * np.pi))
    forward(lower, whitened)
    for a in range(n_dimensions):
        value -= 0.5 * whitened[a] ** 2
        forward(lower, half[a])
    return value


@njit(cache=True, nogil=True)
def add_moments(share, mean, spread, step, sums):
    """Add to `sums` the posterior mean and second moment of the error-free score, weighted by `share`."""
    whitened, half = step
    first, second = sums
    n_dimensions = len(mean)
    expected = mean.copy()
    for a in range(n_dimensions):
        for c in range(n_dimensions):
            expected[a] += half[a, c] * whitened[c]
    for a in range(n_dimensions):
        first[a] += share * expected[a]
        for b in range(n_dimensions):
            remaining = spread[a, b]
            for c in range(n_dimensions):
                remaining -= half[a, c] * half[b, c]
            second[a, b] += share * (expected[a] * expected[b] + remaining)


@njit(cache=True, nogil=True)
def expectation_step(rows, classes, result):
    """Fill in class probabilities and the moments of the error-free scores; return the log-likelihood.

    Parameters
    ----------
    rows
        Scores, their covariances, and the log-probability of each class and of what else is known of the row.
    classes
        Means and spreads.
    result
        Receives the class probabilities, and for each class the sums over rows of the posterior mean and of the second
        moment about zero, weighted by them.
    """
    score, error, log_weight = rows
    mean, spread = classes
    responsibility, first, second = result
    n_rows, n_dimensions = score.shape
    n_classes = len(mean)
    total = np.zeros((n_dimensions, n_dimensions))
    lower = np.zeros((n_dimensions, n_dimensions))
    whitened = np.zeros((n_classes, n_dimensions))
    half = np.zeros((n_classes, n_dimensions, n_dimensions))
    first[:] = 0.0
    second[:] = 0.0
    log_likelihood = 0.0
    for i in range(n_rows):
        scratch = (score[i], error[i], total, lower)
        highest = -np.inf
        for k in range(n_classes):
            value = log_weight[i, k] + log_density(scratch, mean[k], spread[k], whitened[k], half[k])
            responsibility[i, k] = value
            highest = max(highest, value)
        density = 0.0
        for k in range(n_classes):
            responsibility[i, k] = np.exp(responsibility[i, k] - highest)
            density += responsibility[i, k]
        log_likelihood += highest + np.log(density)
        for k in range(n_classes):
            responsibility[i, k] /= density
            if responsibility[i, k] > 1e-12:
                step = (whitened[k], half[k])
                add_moments(responsibility[i, k], mean[k], spread[k], step, (first[k], second[k]))
    return log_likelihood
