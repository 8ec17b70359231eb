"""What one window says of its own abundances: the posterior under an even prior on the simplex, and intervals."""

import dataclasses
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.special import log_ndtr, ndtri, ndtri_exp

from tusi.structure.unmixing.abundances import constrained_abundances
from tusi.structure.unmixing.expectation import SimplexFit, log_between
from tusi.structure.unmixing.noise import FeatureNoise

_N_BURN_IN, _N_SWEEPS, _EVERY = 60, 600, 3
_MOST_ROWS = 1024
_N_VARIANCE = 3


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AbundancePosterior:
    """Mean, covariance and interval of each window's abundances, and how badly the best mixture fits.

    Attributes
    ----------
    mean
        Posterior mean.
    covariance
        Posterior covariance.
    interval
        Lower and upper end for each abundance.
    best
        Most likely abundances.
    misfit
        Squared residuals of the best mixture over their variance, summed over the features.
    """

    mean: Float[np.ndarray, "window end_member"]
    covariance: Float[np.ndarray, "window end_member end_member"]
    interval: Float[np.ndarray, "window end_member 2"]
    best: Float[np.ndarray, "window end_member"]
    misfit: Float[np.ndarray, " window"]


def abundance_posterior(
    data: Float[np.ndarray, "window feature"],
    fit: SimplexFit,
    *,
    noise: FeatureNoise,
    shared: float,
    level: float,
    rng: np.random.Generator,
) -> AbundancePosterior:
    """Return the posterior of each window's abundances by Gibbs sampling on the simplex.

    Unless an end member fills a window, the end members' own errors and the error of mixing add to the noise;
    the noise of a filled window is that about the mean of such windows. Mean and covariance hold all abundances
    on the simplex. An interval is the shortest under an even prior of its abundance between 0 and 1, with the other
    abundances bound only by their sum: with three and more end members intervals that keep the others positive too
    are shorter, but cover too often where truth is pure.

    Parameters
    ----------
    data
        One row for each window.
    fit
        End members and noise.
    noise
        Variance of the features up to the fit's factors.
    shared
        Windows per independent window.
    level
        Probability of an interval.
    rng
        Source of randomness.

    Examples
    --------
    >>> from tusi.structure.unmixing.expectation import fit_simplex
    >>> rng = np.random.default_rng(1)
    >>> corners = np.array([[0.0, 0.0], [5.0, 1.0]])
    >>> data = corners[rng.integers(2, size=200)] + 0.1 * rng.standard_normal((200, 2))
    >>> noise = FeatureNoise.uniform(data.shape)
    >>> fit = fit_simplex(data, corners, noise=noise)
    >>> found = abundance_posterior(data, fit, noise=noise, shared=1.0, level=0.9, rng=rng)
    >>> bool(np.abs(found.mean[:, 0] - (data[:, 0] < 2.5)).max() < 0.1)
    True
    """
    member, n = fit.end_member, len(data)
    if len(member) == 1:
        variance = noise.variance(member[0]) * fit.factor[0] + shared / fit.precision[0]
        one = np.ones((n, 1))
        misfit = ((data - member[0]) ** 2 / variance).sum(axis=1)
        return AbundancePosterior(
            mean=one, covariance=np.zeros((n, 1, 1)), interval=np.ones((n, 1, 2)), best=one, misfit=misfit
        )
    best, variance = _best(data, fit, noise, shared)
    misfit = ((data - best @ member) ** 2 / variance).sum(axis=1)
    gram = np.einsum("kf,lf,nf->nkl", member, member, 1.0 / variance, optimize=True)
    linear = (data / variance) @ member.T
    parts = [
        _sample(gram[i : i + _MOST_ROWS], linear[i : i + _MOST_ROWS], best[i : i + _MOST_ROWS], rng)
        for i in range(0, n, _MOST_ROWS)
    ]
    mean, covariance = (np.concatenate(part) for part in zip(*parts, strict=True))
    interval = _intervals(gram, linear, level)
    return AbundancePosterior(mean=mean, covariance=covariance, interval=interval, best=best, misfit=misfit)


def _best(
    data: np.ndarray, fit: SimplexFit, noise: FeatureNoise, shared: float
) -> tuple[Float[np.ndarray, "window end_member"], Float[np.ndarray, "window feature"]]:
    """Return the most likely abundances and the variance of each window's features there."""
    member = fit.end_member
    abundance = np.full((len(data), len(member)), 1.0 / len(member))
    at_vertex = np.stack([noise.variance(one) * factor for one, factor in zip(member, fit.factor, strict=True)])
    inside = fit.filled.sum(axis=1, keepdims=True) >= 0.5
    pure = inside * np.eye(len(member))[fit.filled.argmax(axis=1)]
    mixed = 1.0 - inside
    for _ in range(_N_VARIANCE):
        place = pure + mixed * abundance
        variance = np.einsum("nk,knf->nf", place, at_vertex)
        variance += mixed * (place**2 @ (shared / fit.precision) + noise.mixing_variance(abundance, member))
        abundance = constrained_abundances(data, member, variance=variance)
    return abundance, variance


def _sample(
    gram: np.ndarray, linear: np.ndarray, start: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of rows of abundances with likelihood `exp(-a.G.a / 2 + b.a)`."""
    size = linear.shape[1]
    value = 0.98 * start + 0.02 / size
    pairs = list(combinations(range(size), 2))
    kept = []
    for sweep in range(_N_BURN_IN + _N_SWEEPS):
        for j, k in pairs:
            _move(value, (gram, linear), (j, k), rng)
        if sweep >= _N_BURN_IN and sweep % _EVERY == 0:
            kept.append(value.copy())
    draws = np.stack(kept, axis=1)
    mean = draws.mean(axis=1)
    centred = draws - mean[:, None]
    covariance = np.einsum("nsk,nsl->nkl", centred, centred) / draws.shape[1]
    return mean, covariance


def _move(
    value: np.ndarray, likelihood: tuple[np.ndarray, np.ndarray], pair: tuple[int, int], rng: np.random.Generator
) -> None:
    """Draw how two abundances share their sum, given the others."""
    gram, linear = likelihood
    j, k = pair
    total = value[:, j] + value[:, k]
    gradient = linear - np.einsum("nkl,nl->nk", gram, value)
    curvature = np.maximum(gram[:, j, j] + gram[:, k, k] - 2.0 * gram[:, j, k], 1e-300)
    centre = value[:, j] + (gradient[:, j] - gradient[:, k]) / curvature
    spread = 1.0 / np.sqrt(curvature)
    drawn = centre + spread * _quantile(-centre / spread, (total - centre) / spread, rng.random(len(centre)))
    value[:, j] = np.clip(drawn, 0.0, total)
    value[:, k] = total - value[:, j]


def _intervals(gram: np.ndarray, linear: np.ndarray, level: float) -> Float[np.ndarray, "window end_member 2"]:
    """Return the shortest interval of each abundance on [0, 1], the others bound by nothing but the sum of one."""
    size = linear.shape[1]
    ridge = 1e-12 * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(size)
    inverse = np.linalg.inv(gram + ridge)
    column = inverse.sum(axis=2)
    total = column.sum(axis=1)
    free = np.einsum("nkl,nl->nk", inverse, linear)
    centre = free + column * ((1.0 - free.sum(axis=1)) / total)[:, None]
    variance = np.diagonal(inverse, axis1=1, axis2=2) - column**2 / total[:, None]
    return shortest_interval(centre, np.sqrt(np.maximum(variance, 1e-30)), level=level)


def shortest_interval(
    centre: Float[np.ndarray, "*row"], spread: Float[np.ndarray, "*row"], *, level: float
) -> Float[np.ndarray, "*row 2"]:
    """Return the shortest interval that holds a probability under a normal cut off at 0 and 1.

    Parameters
    ----------
    centre, spread
        Mean and standard deviation before the cut.
    level
        The probability.

    Examples
    --------
    >>> shortest_interval(np.array([0.5, 1.0, 2.0]), np.array([0.01, 0.01, 0.5]), level=0.9).round(3).tolist()
    [[0.484, 0.516], [0.984, 1.0], [0.583, 1.0]]
    """
    flip = centre > 0.5
    middle = np.where(flip, 1.0 - centre, centre)
    low, high = -middle / spread, (1.0 - middle) / spread
    half = ndtri(0.5 * (1.0 + level * np.exp(log_between(np.stack([low, high]))[0])))
    one_sided = (middle <= 0) | (half > -low)
    first = np.where(one_sided, 0.0, middle - half * spread)
    last = np.where(
        one_sided, middle + spread * _quantile(low, high, np.full(low.shape, level)), middle + half * spread
    )
    first, last = np.clip(first, 0.0, 1.0), np.clip(last, 0.0, 1.0)
    return np.stack([np.where(flip, 1.0 - last, first), np.where(flip, 1.0 - first, last)], axis=-1)


def _quantile(low: np.ndarray, high: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return quantiles of a standard normal cut off at bounds, by the inverse of the distribution's logarithm."""
    flip = low + high > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    probability = np.where(flip, 1.0 - probability, probability)
    upper = log_ndtr(high)
    ratio = np.exp(np.minimum(log_ndtr(low) - upper, 0.0))
    found = ndtri_exp(np.minimum(upper + np.log(ratio + probability * (1.0 - ratio) + 1e-300), -1e-300))
    return np.where(flip, -1.0, 1.0) * np.clip(found, low, high)
