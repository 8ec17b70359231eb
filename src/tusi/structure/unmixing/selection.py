"""How many end members there are: evidence, and whether each is more than a mixture of the others."""

import dataclasses
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.cluster.vq import kmeans2

from tusi.structure.unmixing.abundances import constrained_abundances
from tusi.structure.unmixing.expectation import BROAD, EVEN_SHARES, SimplexFit, fit_simplex
from tusi.structure.unmixing.noise import FeatureNoise
from tusi.structure.unmixing.vertices import find_vertices

_N_CLUSTERINGS = 2
_LEAST_WINDOWS = 2.0
_MOST_ALIKE = 4.0
_LEAST_DISTANCE = 5.0
"""Standard deviations of one window's noise between end members: nearer ones cannot be told apart in a window."""

_IN_VAIN = 2


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """Fits with one end member, two, and so on.

    Attributes
    ----------
    fits
        The best fit with each number.
    log_evidence
        Of each; minus infinity where an end member fills no two independent windows, is a mixture of others, or lies
        too near to another for windows to tell.
    """

    fits: tuple[SimplexFit, ...]
    log_evidence: Float[np.ndarray, " candidate"]

    @property
    def best(self) -> SimplexFit:
        """The fit with the largest evidence."""
        return self.fits[int(self.log_evidence.argmax())]


def select_number(
    data: Float[np.ndarray, "window feature"],
    *,
    noise: FeatureNoise,
    numbers: tuple[int, ...],
    shared: float,
    edge_shares: Float[np.ndarray, " quantile"] = EVEN_SHARES,
    rng: np.random.Generator,
) -> Selection:
    """Fit each number of end members from several starts, and judge them by evidence.

    The evidence is Laplace's approximation around the maximum of the likelihood, taken to the power of one over
    `shared` where windows share pixels. A number is out that has an end member without windows of its own, two that
    one window cannot tell apart by five standard deviations, or one that the others make up within the error of
    linear mixing. Larger numbers are not tried once two have been no better.

    Parameters
    ----------
    data
        One row for each window.
    noise
        Variance of the features up to a factor for each.
    numbers
        Numbers of end members to try.
    shared
        Windows per independent window.
    edge_shares
        Quantiles of an abundance along an edge, evenly spaced in probability from 0 to 1.
    rng
        Source of randomness of the starts.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> data = np.eye(3)[rng.integers(3, size=300)] + 0.05 * rng.standard_normal((300, 3))
    >>> noise = FeatureNoise.uniform(data.shape)
    >>> select_number(data, noise=noise, numbers=(1, 2, 3, 4), shared=1.0, rng=rng).best.n_vertices
    3
    """
    fits, evidence, in_vain = [], [], 0
    for number in numbers:
        starts = _starts(data, number, noise=noise, known=fits[-1] if fits else None, rng=rng)
        tried = [fit_simplex(data, start, noise=noise, edge_shares=edge_shares) for start in starts]
        fit = max(tried, key=lambda one: float(one.log_likelihood.sum()))
        value = _log_evidence(data, fit, shared)
        if len(numbers) > 1 and not _admissible(fit, noise, shared):
            value = -np.inf
        in_vain = in_vain + 1 if evidence and value <= max(evidence) else 0
        fits.append(fit)
        evidence.append(value)
        if in_vain == _IN_VAIN:
            break
    return Selection(fits=tuple(fits), log_evidence=np.array(evidence))


def _starts(
    data: np.ndarray, number: int, *, noise: FeatureNoise, known: SimplexFit | None, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return end members to start from: extreme windows, clusters, and the last fit with the strangest window."""
    if number == 1:
        return [np.median(data, axis=0)[None]]
    deviation = np.sqrt(noise.variance(data.mean(axis=0)).mean(axis=0))
    scaled = data / deviation
    starts = [data[find_vertices(scaled, number)]] if number <= min(data.shape[0], data.shape[1] + 1) else []
    for _ in range(_N_CLUSTERINGS):
        starts.append(kmeans2(scaled, number, minit="++", rng=rng, missing="warn")[0] * deviation)
    if known is not None and known.n_vertices == number - 1:
        strangest = data[int(known.log_likelihood.argmin())]
        starts.append(np.vstack([known.end_member, strangest]))
    return [start for start in starts if np.isfinite(start).all()]


def _log_evidence(data: np.ndarray, fit: SimplexFit, shared: float) -> float:
    """Return Laplace's approximation, with a broad normal prior for the end members."""
    broad = BROAD * np.maximum(data.var(axis=0), 1e-300)
    n_windows = len(data) / shared
    occam = 0.5 * np.log1p(fit.precision / shared * broad).sum()
    occam += 0.5 * ((fit.end_member - data.mean(axis=0)) ** 2 / broad).sum()
    n_others = len(fit.weight) - 1 + fit.factor.size
    return float(fit.log_likelihood.sum() / shared - occam - 0.5 * n_others * np.log(n_windows))


def _admissible(fit: SimplexFit, noise: FeatureNoise, shared: float) -> bool:
    """Say whether each end member fills windows and differs from every mixture of the others."""
    if fit.n_vertices == 1:
        return True
    if (fit.pure_share * len(fit.place) / shared < _LEAST_WINDOWS).any():
        return False
    if _distance(fit, noise) < _LEAST_DISTANCE:
        return False
    return all(_misfit_to_others(fit, k, noise) > _MOST_ALIKE for k in range(fit.n_vertices))


def _distance(fit: SimplexFit, noise: FeatureNoise) -> float:
    """Return the least distance between two end members, in standard deviations of a typical window's noise."""
    least = np.inf
    variance = np.stack([noise.variance(one).mean(axis=0) for one in fit.end_member]) * fit.factor
    for j, k in combinations(range(fit.n_vertices), 2):
        squared = (fit.end_member[j] - fit.end_member[k]) ** 2 / (0.5 * (variance[j] + variance[k]))
        least = min(least, float(np.sqrt(squared.sum())))
    return least


def _misfit_to_others(fit: SimplexFit, number: int, noise: FeatureNoise) -> float:
    """Return the mean squared misfit of one end member as a mixture of the others, over what mixing explains."""
    others = np.delete(fit.end_member, number, axis=0)
    one = fit.end_member[number][None]
    own = (1.0 / fit.precision[number])[None]
    variance = own
    for _ in range(3):
        abundance = constrained_abundances(one, others, variance=variance)
        variance = own + noise.mixing_variance(abundance, others)
    return float(((one - abundance @ others) ** 2 / variance).mean())
