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

_N_STEPS, _TOLERANCE = 200, 1e-4
_LEAST_FACTOR, _PRIOR_WINDOWS = 1e-8, 4.0
_LEAST_WEIGHT = 1e-4
_FILLED = 0.98
"""Least share of a window that an end member fills "but for a trace": no abundance resolves what is less."""

_CLIP, _MEAN_OF_CLIPPED = 2.25, 0.7784
"""Where squared residuals are clipped, in variances, and the mean of a squared standard normal number clipped there."""

EVEN_SHARES = np.array([0.0, 1.0])
"""Quantiles of an abundance along an edge, evenly spaced in probability from 0 to 1, where all are equally likely."""

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
        Variance of each feature at each vertex, relative to what the noise model says.
    weight
        Share of windows at each vertex, along each edge, and elsewhere.
    log_likelihood
        Of each window.
    place
        Probability of each window to lie at each vertex, along each edge, elsewhere.
    precision
        Inverse variance of the end members' features, were all windows independent.
    filled
        Probability of each window to lie at each vertex, or along an edge so near to it that the rest is a trace.
    """

    end_member: Float[np.ndarray, "end_member feature"]
    factor: Float[np.ndarray, "end_member feature"]
    weight: Float[np.ndarray, " place"]
    log_likelihood: Float[np.ndarray, " window"]
    place: Float[np.ndarray, "window place"]
    precision: Float[np.ndarray, "end_member feature"]
    filled: Float[np.ndarray, "window end_member"]

    def sorted(self) -> "SimplexFit":
        """Return the same fit, the end member that fills most windows first."""
        order = np.argsort(-self.pure_share, kind="stable")
        edges = list(combinations(range(self.n_vertices), 2))
        pairs = [(int(min(order[j], order[k])), int(max(order[j], order[k]))) for j, k in edges]
        moved = np.array([self.n_vertices + edges.index(pair) for pair in pairs], dtype=np.int64)
        place = np.concatenate([order, moved, [len(self.weight) - 1]])
        return dataclasses.replace(
            self, end_member=self.end_member[order], factor=self.factor[order], precision=self.precision[order],
            weight=self.weight[place], place=self.place[:, place], filled=self.filled[:, order],
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
    data: Float[np.ndarray, "window feature"],
    start: Float[np.ndarray, "end_member feature"],
    *,
    noise: FeatureNoise,
    edge_shares: Float[np.ndarray, " quantile"] = EVEN_SHARES,
) -> SimplexFit:
    """Climb to the nearest maximum of the likelihood by expectation and maximisation.

    Parameters
    ----------
    data
        One row for each window.
    start
        End members to start from.
    noise
        Variance of the features up to a factor for each, at each vertex.
    edge_shares
        Quantiles of an abundance along an edge, evenly spaced in probability from 0 to 1.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> corners = np.array([[0.0, 0.0], [5.0, 1.0]])
    >>> data = corners[rng.integers(2, size=200)] + 0.1 * rng.standard_normal((200, 2))
    >>> fit = fit_simplex(data, corners + 0.5, noise=FeatureNoise.uniform(data.shape))
    >>> np.abs(fit.end_member - corners).max() < 0.05, np.sqrt(fit.factor).round(1).tolist()
    (np.True_, [[0.1, 0.1], [0.1, 0.1]])
    """
    places = _Places(data, noise, n_vertices=len(start), edge_shares=edge_shares)
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
        if abs(total - before) < _TOLERANCE * len(data):
            break
        before = total
    return SimplexFit(
        end_member=member, factor=factor, weight=weight, log_likelihood=log_likelihood, place=place,
        precision=precision, filled=places.filled(place),
    )  # fmt: skip


class _Places:
    """Densities and moments of the windows at all vertices and edges."""

    def __init__(self, data: np.ndarray, noise: FeatureNoise, *, n_vertices: int, edge_shares: np.ndarray) -> None:
        self.data, self.noise, self.n_vertices, self.edge_shares = data, noise, n_vertices, edge_shares
        self.edges = list(combinations(range(n_vertices), 2))
        self.n = n_vertices + len(self.edges) + 1
        self.centre = data.mean(axis=0)
        self.spread = np.maximum(data.var(axis=0), 1e-300)
        self.half_log_2pi = 0.5 * data.shape[1] * np.log(2.0 * np.pi)

    def log_density(self, member: np.ndarray, factor: np.ndarray) -> Float[np.ndarray, "window place"]:
        """Return the log density of each window at each place; keep what the next step needs."""
        result = np.empty((len(self.data), self.n))
        self.variances, self.near = [], []
        for k in range(self.n_vertices):
            variance = self.noise.variance(member[k]) * factor[k]
            self.variances.append(variance)
            result[:, k] = self._normal(self.data - member[k], variance)
        for e, edge in enumerate(self.edges):
            result[:, self.n_vertices + e] = self._edge(edge, member)
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
        return np.full(member.shape, max(2.0 * float(middle), _LEAST_FACTOR))

    def _normal(self, residual: np.ndarray, variance: np.ndarray) -> np.ndarray:
        return -0.5 * (residual**2 / variance + np.log(variance)).sum(axis=1) - self.half_log_2pi

    def _edge(self, edge: tuple[int, int], member: np.ndarray) -> np.ndarray:
        """Return the log of the density averaged along one edge."""
        j, k = edge
        ends = member[[j, k]]
        step, residual = ends[1] - ends[0], self.data - ends[0]
        share = best = np.full(len(self.data), 0.5)
        for _ in range(2):
            abundance = np.column_stack([1.0 - share, share])
            variance = abundance[:, :1] * self.variances[j] + abundance[:, 1:] * self.variances[k]
            variance += self.noise.mixing_variance(abundance, ends)
            curvature = np.maximum((step**2 / variance).sum(axis=1), 1e-300)
            best = (residual * step / variance).sum(axis=1) / curvature
            share = np.clip(best, 0.0, 1.0)
        at_best = self._normal(residual - best[:, None] * step, variance)
        reach = np.sqrt(curvature) * (self.edge_shares[:, None] - best)
        inside = log_between(reach) - np.log(np.diff(self.edge_shares))[:, None]
        most = inside.max(axis=0)
        piece = np.exp(inside - most)
        mean = piece.mean(axis=0)
        trace = self.edge_shares[1:] <= 1.0 - _FILLED
        self.near.append([piece[one].sum(axis=0) / (len(piece) * mean) for one in (trace, trace[::-1])])
        return at_best + 0.5 * np.log(2.0 * np.pi / curvature) + most + np.log(mean)

    def filled(self, place: np.ndarray) -> Float[np.ndarray, "window end_member"]:
        """Return the probability of each window to be filled by each end member, but for a trace."""
        result = place[:, : self.n_vertices].copy()
        for e, edge in enumerate(self.edges):
            for end, near in zip(edge, self.near[e], strict=True):
                result[:, end] += place[:, self.n_vertices + e] * near
        return result

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
        """Return the variance of each feature over what the model says, at each vertex.

        Squares are clipped at 1.5 standard deviations, because an interface touches some windows near a vertex. The
        result is shrunk to the mean of the features with as much of their variance from the constant.
        """
        squared = [(self.data - one) ** 2 / variance for one, variance in zip(member, self.variances, strict=False)]
        clipped = np.stack([place[:, k] @ np.minimum(one, _CLIP) for k, one in enumerate(squared)])
        total = factor * clipped / _MEAN_OF_CLIPPED
        windows = place[:, : self.n_vertices].sum(axis=0)[:, None]
        from_mean = self.noise.slope * np.maximum(member, 0.0)
        constant = self.noise.constant / (self.noise.constant + from_mean)
        level = np.log(np.maximum((total + factor) / (windows + 1.0), _LEAST_FACTOR))
        middle = np.zeros(factor.shape)
        for share in (constant, 1.0 - constant):
            weight = share * windows
            middle += share * float((weight * level).sum() / max(float(weight.sum()), 1e-300))
        return np.maximum((total + _PRIOR_WINDOWS * np.exp(middle)) / (windows + _PRIOR_WINDOWS), _LEAST_FACTOR)


def log_between(bound: Float[np.ndarray, "bound *row"]) -> Float[np.ndarray, "piece *row"]:
    """Return the log of a standard normal's probability between each two neighbouring bounds, which rise."""
    tail = log_ndtr(-np.abs(bound))
    lower, upper = np.minimum(tail[:-1], tail[1:]), np.maximum(tail[:-1], tail[1:])
    one_side = upper + np.log1p(-np.exp(np.minimum(lower - upper, -1e-15)))
    return np.where((bound[:-1] < 0) & (bound[1:] > 0), np.log1p(-np.exp(lower) - np.exp(upper)), one_side)
