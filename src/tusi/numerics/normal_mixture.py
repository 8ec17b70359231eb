"""Inner loops of a normal mixture with known measurement variances under a smooth factor.

Arrays in, arrays out; the meaning of the numbers is in `tusi.structure.mixture`. Only plain loops are compiled: they
are what costs, and they compile fast.
"""

import numpy as np
from jaxtyping import Float
from numba import njit


@njit(cache=True)
def expectation(corrected, variance, fraction, mean, deviation, responsibility):
    """Fill in the class probabilities of every row and return the log-likelihood."""
    n_classes = len(mean)
    log_likelihood = 0.0
    log_fraction = np.log(fraction)
    for i in range(len(corrected)):
        highest = -np.inf
        for k in range(n_classes):
            total = deviation[k] ** 2 + variance[i]
            value = log_fraction[k] - 0.5 * (np.log(2 * np.pi * total) + (corrected[i] - mean[k]) ** 2 / total)
            responsibility[i, k] = value
            highest = max(highest, value)
        density = 0.0
        for k in range(n_classes):
            responsibility[i, k] = np.exp(responsibility[i, k] - highest)
            density += responsibility[i, k]
        for k in range(n_classes):
            responsibility[i, k] /= density
        log_likelihood += highest + np.log(density)
    return log_likelihood


@njit(cache=True)
def class_means(corrected, variance, responsibility, deviation):
    """Return each class's count, summed precision and precision-weighted mean."""
    n_classes = responsibility.shape[1]
    count, precision, mean = np.zeros(n_classes), np.zeros(n_classes), np.zeros(n_classes)
    for i in range(len(corrected)):
        for k in range(n_classes):
            share = responsibility[i, k] / (deviation[k] ** 2 + variance[i])
            count[k] += responsibility[i, k]
            precision[k] += share
            mean[k] += share * corrected[i]
    for k in range(n_classes):
        precision[k] = max(precision[k], 1e-300)
        mean[k] /= precision[k]
    return count, precision, mean


@njit(cache=True)
def class_excess(corrected, variance, responsibility, mean):
    """Return each class's summed squared deviation beyond the measurement variance."""
    excess = np.zeros(len(mean))
    for i in range(len(corrected)):
        for k in range(len(mean)):
            excess[k] += responsibility[i, k] * ((corrected[i] - mean[k]) ** 2 - variance[i])
    return excess


@njit(cache=True)
def factor_equations(columns, terms, responsibility, mean, deviation):
    """Return the normal equations of the factor's coefficients; `columns` holds intensity and variance as rows."""
    n_terms = terms.shape[1]
    normal, right = np.zeros((n_terms, n_terms)), np.zeros(n_terms)
    for i in range(terms.shape[0]):
        curvature = pull = 0.0
        for k in range(len(mean)):
            share = responsibility[i, k] / (deviation[k] ** 2 + columns[1, i])
            curvature += share * mean[k] ** 2
            pull += share * mean[k] * (columns[0, i] - mean[k])
        for a in range(n_terms):
            right[a] += pull * terms[i, a]
            for b in range(n_terms):
                normal[a, b] += curvature * terms[i, a] * terms[i, b]
    return normal, right


@njit(cache=True)
def draw_labels(responsibility, uniform, label, hard):
    """Draw the class of every row from its probabilities; fill the labels and their one-hot form."""
    last = responsibility.shape[1] - 1
    for i in range(len(uniform)):
        level, k = uniform[i] - responsibility[i, 0], 0
        while level > 0 and k < last:
            k += 1
            level -= responsibility[i, k]
        label[i] = k
        for other in range(last + 1):
            hard[i, other] = 1.0 if other == k else 0.0


@njit(cache=True)
def normal_log_density(corrected, variance, member, mean, deviation):
    """Return the log-density of the rows of one class, up to a constant."""
    value = 0.0
    for i in range(len(corrected)):
        if member[i]:
            total = deviation**2 + variance[i]
            value -= 0.5 * (np.log(total) + (corrected[i] - mean) ** 2 / total)
    return value


def legendre_terms(position: Float[np.ndarray, "atom 2"], degree: int) -> Float[np.ndarray, "atom term"]:
    """Return products of Legendre polynomials up to a total degree, constant excluded, each with mean zero.

    Examples
    --------
    >>> legendre_terms(np.random.default_rng(0).random((9, 2)), 2).shape
    (9, 5)
    """
    low, high = position.min(axis=0), position.max(axis=0)
    scaled = 2 * (position - low) / np.maximum(high - low, 1e-12) - 1
    rows, columns = (np.polynomial.legendre.legvander(scaled[:, axis], degree) for axis in (0, 1))
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i) if i + j]
    if not powers:
        return np.empty((len(position), 0))
    terms = np.stack([rows[:, i] * columns[:, j] for i, j in powers], axis=1)
    return terms - terms.mean(axis=0)
