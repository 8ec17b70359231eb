"""End members by maximum likelihood: each window lies at a vertex, somewhere along an edge, or nowhere near.

The likelihood of a window is averaged over these places, each with a weight learned from all windows. An end member
is the mean of the windows at its vertex, so that there is none without windows that it fills. (A continuous prior
alone would put the end members of a world of pure windows too far out, because it expects few windows at a vertex.)
"""

import dataclasses
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.special import log_ndtr, logsumexp

from tusi.structure.unmixing.noise import FeatureNoise

_N_STEPS, _TOLERANCE = 200, 1e-6
_LEAST_FACTOR, _PRIOR_WINDOWS = 1e-3, 20.0
_LEAST_WEIGHT = 1e-4
BROAD = 4.0
"""Variance of windows of no known kind, and of end members before they are seen, over that of all windows."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SimplexFit:
    """End members, the noise, and where each window lies.

    Attributes
    ----------
    end_member
        Features of each.
    factor
        Variance of each feature relative to what the noise model says.
    weight
        Share of windows at each vertex, along each edge, and elsewhere.
    log_likelihood
        Of each window.
    place
        Probability of each window to lie at each vertex, along each edge, elsewhere.
    precision
        Inverse variance of the end members' features, were all windows independent.
    """

    end_member: Float[np.ndarray, "end_member feature"]
    factor: Float[np.ndarray, " feature"]
    weight: Float[np.ndarray, " place"]
    log_likelihood: Float[np.ndarray, " window"]
    place: Float[np.ndarray, "window place"]
    precision: Float[np.ndarray, "end_member feature"]

    def sorted(self) -> "SimplexFit":
        """Return the same fit, the end member that fills most windows first."""
        order = np.argsort(-self.pure_share, kind="stable")
        edges = list(combinations(range(self.n_vertices), 2))
        pairs = [(int(min(order[j], order[k])), int(max(order[j], order[k]))) for j, k in edges]
        place = np.concatenate([order, [self.n_vertices + edges.index(pair) for pair in pairs], [len(self.weight) - 1]])
        place = place.astype(np.int64)
        return dataclasses.replace(
            self, end_member=self.end_member[order], precision=self.precision[order],
            weight=self.weight[place], place=self.place[:, place],
        )  # fmt: skip

    @property
    def pure_share(self) -> Float[np.ndarray, " end_member"]:
        """Share of the windows that each end member fills."""
        return self.place[:, : self.n_vertices].mean(axis=0)

    @property
    def n_vertices(self) -> int:
        """Number of end members."""
        return len(self.end_member)


def fit_simplex(
    data: Float[np.ndarray, "window feature"], start: Float[np.ndarray, "end_member feature"], *, noise: FeatureNoise
) -> SimplexFit:
    """Climb to the nearest maximum of the likelihood by expectation and maximisation.

    Parameters
    ----------
    data
        One row for each window.
    start
        End members to start from.
    noise
        Variance of the features up to a factor for each.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> corners = np.array([[0.0, 0.0], [5.0, 1.0]])
    >>> data = corners[rng.integers(2, size=200)] + 0.1 * rng.standard_normal((200, 2))
    >>> fit = fit_simplex(data, corners + 0.5, noise=FeatureNoise.uniform(data.shape))
    >>> np.abs(fit.end_member - corners).max() < 0.05, np.sqrt(fit.factor).round(1).tolist()
    (np.True_, [0.1, 0.1])
    """
    places = _Places(data, noise, n_vertices=len(start))
    member, factor = start, places.first_factors(start)
    weight = np.full(places.n, 1.0 / places.n)
    before = -np.inf
    for _ in range(_N_STEPS):
        log_density = places.log_density(member, factor) + np.log(weight)
        log_likelihood = logsumexp(log_density, axis=1)
        place = np.exp(log_density - log_likelihood[:, None])
        total = float(log_likelihood.sum())
        precision, member = places.end_members(place, member)
        factor = places.factors(place, member, factor)
        weight = np.maximum(place.mean(axis=0), _LEAST_WEIGHT)
        weight /= weight.sum()
        if total - before < _TOLERANCE * abs(total):
            break
        before = total
    return SimplexFit(
        end_member=member, factor=factor, weight=weight, log_likelihood=log_likelihood, place=place, precision=precision
    )


class _Places:
    """Densities and moments of the windows at all vertices and edges."""

    def __init__(self, data: np.ndarray, noise: FeatureNoise, *, n_vertices: int) -> None:
        self.data, self.noise, self.n_vertices = data, noise, n_vertices
        self.edges = list(combinations(range(n_vertices), 2))
        self.n = n_vertices + len(self.edges) + 1
        self.centre = data.mean(axis=0)
        self.spread = np.maximum(data.var(axis=0), 1e-300)
        self.half_log_2pi = 0.5 * data.shape[1] * np.log(2.0 * np.pi)

    def log_density(self, member: np.ndarray, factor: np.ndarray) -> Float[np.ndarray, "window place"]:
        """Return the log density of each window at each place; keep what the next step needs."""
        result = np.empty((len(self.data), self.n))
        self.variances = []
        for k in range(self.n_vertices):
            variance = self.noise.variance(member[k]) * factor
            self.variances.append(variance)
            result[:, k] = self._normal(self.data - member[k], variance)
        for e, (j, k) in enumerate(self.edges):
            result[:, self.n_vertices + e] = self._edge(member[j], member[k], factor)
        broad = BROAD * self.spread
        result[:, -1] = self._normal(self.data - self.centre, broad[None])
        return result

    def first_factors(self, member: np.ndarray) -> np.ndarray:
        """Return the variance of each feature over what the model says, from the nearer half of the windows."""
        ratio = np.stack([(self.data - one) ** 2 / self.noise.variance(one) for one in member])
        nearest = ratio.sum(axis=2).argmin(axis=0)
        own = ratio[nearest, np.arange(len(self.data))]
        misfit = own.sum(axis=1)
        middle = own[misfit <= np.median(misfit)].mean()
        return np.full(self.data.shape[1], max(2.0 * float(middle), _LEAST_FACTOR))

    def _normal(self, residual: np.ndarray, variance: np.ndarray) -> np.ndarray:
        return -0.5 * (residual**2 / variance + np.log(variance)).sum(axis=1) - self.half_log_2pi

    def _edge(self, first: np.ndarray, second: np.ndarray, factor: np.ndarray) -> np.ndarray:
        """Return the log of the density averaged along one edge."""
        step, residual = second - first, self.data - first
        share = np.full(len(self.data), 0.5)
        ends = np.stack([first, second])
        for _ in range(2):
            abundance = np.column_stack([1.0 - share, share])
            variance = self.noise.variance(abundance @ ends) * factor + self.noise.mixing_variance(abundance, ends)
            curvature = (step**2 / variance).sum(axis=1)
            best = (residual * step / variance).sum(axis=1) / np.maximum(curvature, 1e-300)
            share = np.clip(best, 0.0, 1.0)
        at_best = self._normal(residual - best[:, None] * step, variance)
        return at_best + 0.5 * np.log(2.0 * np.pi / np.maximum(curvature, 1e-300)) + _log_inside(best, curvature)

    def end_members(self, place: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the weight of the windows at each vertex, by feature, and their mean."""
        precision, mean = np.empty_like(member), np.empty_like(member)
        for k in range(self.n_vertices):
            share = place[:, k, None] / self.variances[k]
            prior = 1e-6 / self.spread
            precision[k] = share.sum(axis=0) + prior
            mean[k] = ((share * self.data).sum(axis=0) + prior * member[k]) / precision[k]
        return precision, mean

    def factors(self, place: np.ndarray, member: np.ndarray, factor: np.ndarray) -> np.ndarray:
        """Return the variance of each feature over what the model says, at the vertices; shrunk to their mean."""
        total, windows = np.zeros(self.data.shape[1]), 0.0
        for k in range(self.n_vertices):
            share = place[:, k]
            total += share @ ((self.data - member[k]) ** 2 / (self.variances[k] / factor))
            windows += float(share.sum())
        if windows < 1.0:
            return factor
        middle = float(np.exp(np.log(np.maximum(total / windows, _LEAST_FACTOR)).mean()))
        return np.maximum((total + _PRIOR_WINDOWS * middle) / (windows + _PRIOR_WINDOWS), _LEAST_FACTOR)


def _log_inside(mean: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Return the log of a normal's probability between 0 and 1."""
    low, high = -mean * np.sqrt(curvature), (1.0 - mean) * np.sqrt(curvature)
    low, high = np.where(mean < 0.5, -high, low), np.where(mean < 0.5, -low, high)
    upper, lower = log_ndtr(high), log_ndtr(low)
    return upper + np.log1p(-np.exp(np.minimum(lower - upper, -1e-12)))
