"""Exact occupation of several types of site by a fixed number of adatoms, at most one on a site.

Given their sum, the adatoms on the types follow Fisher's multivariate noncentral hypergeometric law. Tilting it by a
common fugacity makes every type binomial, and one convolution restores the sum: no large numbers, no approximation.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import binom

from tusi.errors import InputError


def occupation_moments(
    n_sites: Int[np.ndarray, "image type"],
    log_weight: Float[np.ndarray, "image type"],
    *,
    total: Int[np.ndarray, " image"],
) -> tuple[Float[np.ndarray, " image"], Float[np.ndarray, "image type"], Float[np.ndarray, "image type type"]]:
    """Return the log partition function, the mean and the covariance of the adatoms on each type of site.

    Parameters
    ----------
    n_sites
        Sites of each type.
    log_weight
        Logarithm of the weight of an adatom on a site of each type, -e/kT.
    total
        Adatoms in each image.

    Examples
    --------
    Two adatoms on three sites, of which one is of another type; all weights equal:

    >>> log_partition, mean, covariance = occupation_moments(np.array([[2, 1]]), np.zeros((1, 2)), total=np.array([2]))
    >>> round(float(np.exp(log_partition[0])), 6), mean.round(6).tolist()
    (3.0, [[1.333333, 0.666667]])
    """
    parts = [_moments(n, w, int(k)) for n, w, k in zip(n_sites, log_weight, total, strict=True)]
    return np.array([p[0] for p in parts]), np.array([p[1] for p in parts]), np.array([p[2] for p in parts])


def draw_occupation(
    n_sites: Int[np.ndarray, "image type"],
    log_weight: Float[np.ndarray, "image type"],
    *,
    total: Int[np.ndarray, " image"],
    rng: np.random.Generator,
) -> Int[np.ndarray, "image type"]:
    """Return draws of the adatoms on each type of site.

    Parameters
    ----------
    n_sites
        Sites of each type.
    log_weight
        Logarithm of the weight of an adatom on a site of each type, -e/kT.
    total
        Adatoms in each image.
    rng
        Source of randomness.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> draw_occupation(np.array([[5, 1]]), np.zeros((1, 2)), total=np.array([6]), rng=rng).tolist()
    [[5, 1]]
    """
    out = np.zeros(n_sites.shape, dtype=np.int64)
    for image, (sites, weight, left) in enumerate(zip(n_sites, log_weight, total, strict=True)):
        rest = int(left)
        chance, _ = _tilt(sites, weight, rest)
        pmf = [binom.pmf(np.arange(rest + 1), n, p) for n, p in zip(sites, chance, strict=True)]
        tails = [pmf[-1]]
        for one in pmf[-2:0:-1]:
            tails.append(np.convolve(one, tails[-1])[: len(one)])
        for kind, (one, tail) in enumerate(zip(pmf[:-1], tails[::-1], strict=True)):
            weights = one[: rest + 1] * tail[rest::-1]
            out[image, kind] = rng.choice(rest + 1, p=weights / weights.sum())
            rest -= out[image, kind]
        out[image, -1] = rest
    return out


def _tilt(sites: np.ndarray, log_weight: np.ndarray, total: int) -> tuple[np.ndarray, float]:
    """Return the chance that a site of each type is occupied at the fugacity that gives the total, and its log."""
    if not 0 <= total <= sites.sum() or not np.isfinite(log_weight).all():
        raise InputError("total", expected=f"adatoms between 0 and {sites.sum()}, at finite energies", got=str(total))
    if total in (0, sites.sum()):
        return np.full(len(sites), float(total > 0)), 0.0
    guess = np.log(total / (sites.sum() - total))
    low, high = guess - log_weight.max() - 1.0, guess - log_weight.min() + 1.0
    fugacity = brentq(lambda mu: float(sites @ expit(log_weight + mu)) - total, low, high, xtol=1e-10)
    return expit(log_weight + fugacity), float(fugacity)


def _moments(sites: np.ndarray, log_weight: np.ndarray, total: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the log partition function, mean and covariance of one image."""
    n = len(sites)
    chance, fugacity = _tilt(sites, log_weight, total)
    if total in (0, sites.sum()):
        return float(sites @ log_weight) * (total > 0), sites * chance, np.zeros((n, n))
    number = np.arange(total + 1)
    pmf = binom.pmf(number, sites[:, None], chance[:, None])
    whole = _product(pmf)[total]
    log_partition = float(sites @ np.logaddexp(0.0, log_weight + fugacity) + np.log(whole) - total * fugacity)
    mean, variance = np.zeros(n), np.zeros((n, n))
    for i in range(n):
        mean[i], variance[i, i] = _spread(pmf[i], _product(np.delete(pmf, i, axis=0)), number)
    for i in range(n):
        for j in range(i):
            rest = _product(np.delete(pmf, (i, j), axis=0))
            both = _spread(_product(pmf[[i, j]]), rest, number)[1]
            variance[i, j] = variance[j, i] = (both - variance[i, i] - variance[j, j]) / 2
    return log_partition, mean, variance


def _product(pmf: np.ndarray) -> np.ndarray:
    """Return the law of a sum of independent numbers, up to the total."""
    out = np.zeros(pmf.shape[1])
    out[0] = 1.0
    for one in pmf:
        out = np.convolve(out, one)[: len(out)]
    return out


def _spread(own: np.ndarray, rest: np.ndarray, number: np.ndarray) -> tuple[float, float]:
    """Return the mean and the variance of a number given that it and the rest add up to the total."""
    weight = own * rest[::-1]
    weight /= weight.sum()
    mean = weight @ number
    return float(mean), float(weight @ (number - mean) ** 2)
