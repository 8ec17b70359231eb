"""One step of expectation-maximisation for a mixture of normals in a few dimensions, each row with an error of its own.

Arrays in, arrays out; the meaning of the numbers is in `tusi.structure.neighbourhoods.mixture`. What depends on the
error alone is computed once for rows in a row that have the same.

References
----------
J. Bovy, D. W. Hogg, S. T. Roweis, Ann. Appl. Stat. 5, 1657 (2011), for the steps.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def factorise(spread, error, lower):
    """Fill `lower` with the Cholesky factor of the total covariance and return the height of the log-density."""
    n = len(spread)
    height = -0.5 * n * np.log(2 * np.pi)
    for a in range(n):
        for b in range(a + 1):
            total = spread[a, b] + error[a, b]
            for c in range(b):
                total -= lower[a, c] * lower[b, c]
            if a == b:
                lower[a, a] = np.sqrt(max(total, 1e-300))
                height -= np.log(lower[a, a])
            else:
                lower[a, b] = total / lower[b, b]
    return height


@njit(cache=True, nogil=True)
def forward(lower, vector):
    """Overwrite `vector` with the solution of `lower x = vector`."""
    for a in range(len(vector)):
        for b in range(a):
            vector[a] -= lower[a, b] * vector[b]
        vector[a] /= lower[a, a]


@njit(cache=True, nogil=True)
def condition(spread, lower, half, remaining):
    """Fill `half` with the spread in units of the root `lower`, `remaining` with what a row leaves of the spread."""
    n = len(spread)
    for a in range(n):
        for b in range(n):
            half[a, b] = spread[a, b]
        forward(lower, half[a])
    for a in range(n):
        for b in range(a + 1):
            total = spread[a, b]
            for c in range(n):
                total -= half[a, c] * half[b, c]
            remaining[a, b] = total
            remaining[b, a] = total


@njit(cache=True, nogil=True)
def add_moments(share, expected, remaining, sums):
    """Add to `sums` the posterior mean and second moment of the error-free score, weighted by `share`."""
    first, second = sums
    n = len(expected)
    for a in range(n):
        first[a] += share * expected[a]
        for b in range(n):
            second[a, b] += share * (expected[a] * expected[b] + remaining[a, b])


@njit(cache=True, nogil=True)
def differ(one, other):
    """Return whether two matrices differ in any element."""
    for a in range(one.shape[0]):
        for b in range(one.shape[1]):
            if one[a, b] != other[a, b]:
                return True
    return False


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
    lower = np.zeros((n_classes, n_dimensions, n_dimensions))
    half = np.zeros((n_classes, n_dimensions, n_dimensions))
    remaining = np.zeros((n_classes, n_dimensions, n_dimensions))
    whitened = np.zeros((n_classes, n_dimensions))
    expected = np.zeros(n_dimensions)
    height = np.zeros(n_classes)
    conditioned = np.zeros(n_classes, np.bool_)
    first[:] = 0.0
    second[:] = 0.0
    log_likelihood = 0.0
    for i in range(n_rows):
        if i == 0 or differ(error[i], error[i - 1]):
            for k in range(n_classes):
                height[k] = factorise(spread[k], error[i], lower[k])
                conditioned[k] = False
        highest = -np.inf
        for k in range(n_classes):
            value = log_weight[i, k] + height[k]
            for a in range(n_dimensions):
                whitened[k, a] = score[i, a] - mean[k, a]
            forward(lower[k], whitened[k])
            for a in range(n_dimensions):
                value -= 0.5 * whitened[k, a] ** 2
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
                if not conditioned[k]:
                    condition(spread[k], lower[k], half[k], remaining[k])
                    conditioned[k] = True
                for a in range(n_dimensions):
                    expected[a] = mean[k, a]
                    for c in range(n_dimensions):
                        expected[a] += half[k, a, c] * whitened[k, c]
                add_moments(responsibility[i, k], expected, remaining[k], (first[k], second[k]))
    return log_likelihood
