"""Maximum likelihood of the couplings given the borders and the compositions, from Monte Carlo moments."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq
from scipy.special import chdtri

from tusi.generative.labels import draw_labels_given
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.pseudolikelihood import maximise_pseudolikelihood
from tusi.generative.reweighting import Pool, pool_of
from tusi.generative.sampling import SamplerSettings, autocorrelation_time, sample
from tusi.generative.window import Window

COUPLING_LIMIT = 6.0
"""Couplings (kT) beyond this are indistinguishable from a hard constraint and reported as infinite."""

NODE_DISTANCE = 1.8
"""Distance of the outer nodes from the centre, in standard errors."""

N_QUADRATURE = 6
"""Gauss-Legendre nodes for the log-likelihood gain along the line from no coupling to the fit."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How carefully a likelihood is maximised.

    Attributes
    ----------
    n_samples
        Monte Carlo samples per image in each round, spread over all nodes and draws of the labels.
    n_crystal_samples
        Arrangements of a periodic crystal per image behind a model's cluster histogram: millions of clusters, so that
        it is free of noise beside the data.
    max_rounds
        Rounds of sampling and Newton steps before the fit is reported as not converged.
    sampler
        Length of the chains.
    confidence
        Confidence of the intervals.
    """

    n_samples: int = 3000
    n_crystal_samples: int = 3600
    max_rounds: int = 8
    sampler: SamplerSettings = SamplerSettings()
    confidence: float = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What the likelihood sees: windows with the species that sit on them, repeated for each draw of the labels.

    Attributes
    ----------
    windows
        One per image.
    species
        Species (0 or 1) per image, draw of the labels and site.
    """

    windows: tuple[Window, ...]
    species: tuple[Int[np.ndarray, "draw site"], ...]

    @property
    def n_draws(self) -> int:
        """Draws of the labels; 1 where all labels are certain."""
        return len(self.species[0])


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LikelihoodFit:
    """Maximum-likelihood couplings of complete data.

    Attributes
    ----------
    value
        Couplings, in kT.
    information
        Fisher information of the complete data: Cov(T) summed over images, averaged over draws of the labels.
    pool
        The samples that the last Newton steps used; segments are image-major, draws within an image.
    converged, n_rounds
        Whether the last round moved the couplings by less than a standard error, and rounds used.
    effective_sample_size
        Independent samples behind the moments of each image.
    monte_carlo_covariance
        Covariance of `value` that is left from the finite number of samples.
    """

    value: Float[np.ndarray, " parameter"]
    information: Float[np.ndarray, "parameter parameter"]
    pool: Pool
    converged: bool
    n_rounds: int
    effective_sample_size: Float[np.ndarray, " image"]
    monte_carlo_covariance: Float[np.ndarray, "parameter parameter"]


def maximise_likelihood(
    evidence: Evidence,
    model: LatticeModel,
    *,
    rng: np.random.Generator,
    start: Float[np.ndarray, " parameter"] | None = None,
    settings: FitSettings | None = None,
) -> LikelihoodFit:
    """Return the couplings that make the observed statistics equal to their mean, with one set for all images.

    The start is the pseudolikelihood's. Each round samples at the current couplings and on either side of them, and
    maximises the reweighted log-likelihood by Newton steps; it ends when a round moves less than a standard error, so
    that the maximum lies well inside what was sampled.

    Parameters
    ----------
    evidence
        Windows and species.
    model
        A model with at least one coupling.
    rng
        Source of randomness.
    start
        Couplings to start from, in kT; the pseudolikelihood's by default.
    settings
        How carefully.

    References
    ----------
    C. J. Geyer and E. A. Thompson, J. R. Stat. Soc. B 54, 657 (1992).
    """
    settings = settings or FitSettings()
    narrow = [window.only(model) for window in evidence.windows]
    first = [species[0] for species in evidence.species]
    initial = maximise_pseudolikelihood(narrow, model, first)
    value = np.array(initial.value if start is None else start, dtype=np.float64)
    information = _schur(initial.information, len(value))
    converged, rounds = False, 0
    while True:
        rounds += 1
        nodes = star(value, information)
        pool, times = _sample_pool(evidence, narrow, model, nodes=nodes, rng=rng, settings=settings)
        moved, information = maximise(pool, value)
        shift = moved - value
        value = moved
        converged = bool(shift @ information @ shift < 1.0) and bool((np.abs(value) < COUPLING_LIMIT).all())
        if converged or rounds == settings.max_rounds:
            break
    shares = pool.effective_sample_size(value) / times
    _, _, covariance = pool.moments(value)
    noise = np.tensordot(pool.weight**2 / shares, covariance, axes=1)
    inverse = invert(information)
    return LikelihoodFit(
        value=value,
        information=information,
        pool=pool,
        converged=converged,
        n_rounds=rounds,
        effective_sample_size=shares.reshape(len(narrow), -1).sum(axis=1),
        monte_carlo_covariance=inverse @ noise @ inverse,
    )


def maximise(
    pool: Pool, start: Float[np.ndarray, " parameter"], *, max_steps: int = 30
) -> tuple[Float[np.ndarray, " parameter"], Float[np.ndarray, "parameter parameter"]]:
    """Return the maximum of a pool's log-likelihood, and minus its Hessian there.

    Damped Newton steps, at most about three standard errors away from the start: beyond that the pool knows nothing.
    """
    value = np.array(start, dtype=np.float64)
    level, gradient, information = pool.log_likelihood(value)
    reach = information
    for _ in range(max_steps):
        step = invert(information) @ gradient
        scale = 1.0
        for _ in range(12):
            trial = np.clip(value + scale * step, -COUPLING_LIMIT, COUPLING_LIMIT)
            away = trial - start
            new_level, new_gradient, new_information = pool.log_likelihood(trial)
            if new_level >= level - 1e-12 and away @ reach @ away <= 10.0:
                break
            scale *= 0.5
        else:
            break
        moved = np.abs(trial - value).max()
        value, level, gradient, information = trial, new_level, new_gradient, new_information
        if moved < 1e-7:
            break
    return value, information


def profile_interval(fit: LikelihoodFit, parameter: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the likelihood-ratio interval of one coupling, the others maximised over.

    All values that a likelihood-ratio test at the matching level does not reject; infinite where even the limit of
    the couplings is not rejected.
    """
    top, _, _ = fit.pool.log_likelihood(fit.value)
    drop = chdtri(1, 1 - confidence) / 2
    error = np.sqrt(invert(fit.information)[parameter, parameter])

    def excess(position: float) -> float:
        return top - _profile(fit.pool, fit.value, parameter, position) - drop

    bounds = []
    for sign in (-1.0, 1.0):
        inner = fit.value[parameter]
        outer, reach = inner, min(2.5 * error, COUPLING_LIMIT)
        while abs(outer) < COUPLING_LIMIT:
            inner, outer = outer, outer + sign * reach
            if excess(outer) > 0:
                bounds.append(float(brentq(excess, inner, outer, xtol=1e-4 * error)))
                break
        else:
            bounds.append(sign * np.inf)
    return bounds[0], bounds[1]


def log_likelihood_gain(
    evidence: Evidence,
    model: LatticeModel,
    couplings: Float[np.ndarray, " parameter"],
    *,
    rng: np.random.Generator,
    settings: FitSettings | None = None,
) -> tuple[float, float]:
    """Return the log-likelihood of these couplings above that of none, in nats, and its Monte Carlo error.

    Integrates the score along the straight line from no coupling, by Gauss-Legendre quadrature. Where labels are
    uncertain they are drawn anew at each node, which makes it the likelihood of the images and not of one labelling.
    """
    settings = settings or FitSettings()
    position, weight = np.polynomial.legendre.leggauss(N_QUADRATURE)
    n_samples = max(20, settings.n_samples // (N_QUADRATURE * evidence.n_draws))
    gain, variance = 0.0, 0.0
    for window, draws in zip(evidence.windows, evidence.species, strict=True):
        narrow = window.only(model)
        for fraction, share in zip((position + 1) / 2, weight / 2, strict=True):
            here = fraction * couplings
            if evidence.n_draws > 1:
                draws = draw_labels_given(window, model, np.tile(here, (evidence.n_draws, 1)), rng=rng)  # noqa: PLW2901
            observed = narrow.statistics(model, draws) @ couplings
            for seen, species in zip(observed, draws, strict=True):
                chain = sample(
                    narrow, model, couplings=here, species=species, n_samples=n_samples, rng=rng,
                    settings=settings.sampler,
                )  # fmt: skip
                series = chain.statistics @ couplings
                gain += share * (series.mean() - seen) / evidence.n_draws
                variance += (share / evidence.n_draws) ** 2 * series.var() * autocorrelation_time(series) / n_samples
    return float(gain), float(np.sqrt(variance))


def star(
    centre: Float[np.ndarray, " parameter"], information: Float[np.ndarray, "parameter parameter"]
) -> Float[np.ndarray, "node parameter"]:
    """Return the couplings to sample at: the centre and, along each principal direction, one on either side."""
    size, direction = np.linalg.eigh(invert(information))
    offsets = np.minimum(NODE_DISTANCE * np.sqrt(np.maximum(size, 0.0)), COUPLING_LIMIT / 3) * direction
    return np.clip(np.vstack([centre, centre + offsets.T, centre - offsets.T]), -COUPLING_LIMIT, COUPLING_LIMIT)


def invert(information: Float[np.ndarray, "parameter parameter"]) -> Float[np.ndarray, "parameter parameter"]:
    """Return the inverse of an information matrix; directions without information get a large finite variance."""
    size, direction = np.linalg.eigh(information)
    return (direction / np.maximum(size, 1e-4)) @ direction.T


def _profile(pool: Pool, best: np.ndarray, parameter: int, position: float) -> float:
    """Return the log-likelihood with one coupling fixed and the others maximised over."""
    value = best.copy()
    value[parameter] = position
    others = np.arange(len(best)) != parameter
    for _ in range(8):
        level, gradient, information = pool.log_likelihood(value)
        if not others.any():
            return level
        step = invert(information[np.ix_(others, others)]) @ gradient[others]
        value[others] += step
        if gradient[others] @ step < 1e-4:
            break
    return pool.log_likelihood(value)[0]


def _sample_pool(
    evidence: Evidence,
    windows: Sequence[Window],
    model: LatticeModel,
    *,
    nodes: np.ndarray,
    rng: np.random.Generator,
    settings: FitSettings,
) -> tuple[Pool, np.ndarray]:
    """Sample every window, draw and node; return the pool and the autocorrelation time of each segment."""
    n_samples = max(40, settings.n_samples // (len(nodes) * evidence.n_draws))
    segments, times, observed = [], [], []
    for window, draws in zip(windows, evidence.species, strict=True):
        observed.append(window.statistics(model, draws))
        for species in draws:
            chains = [
                sample(
                    window, model, couplings=node, species=species, n_samples=n_samples, rng=rng,
                    settings=settings.sampler,
                ).statistics
                for node in nodes
            ]  # fmt: skip
            segments.append((nodes, np.stack(chains)))
            times.append(max(autocorrelation_time(series) for series in chains[0].T))
    weight = np.full(len(segments), 1.0 / evidence.n_draws)
    return pool_of(segments, observed=np.concatenate(observed), weight=weight), np.array(times)


def _schur(information: np.ndarray, n_terms: int) -> np.ndarray:
    """Return the information on the couplings with the fields eliminated."""
    fields = information[n_terms:, n_terms:]
    cross = information[:n_terms, n_terms:]
    return information[:n_terms, :n_terms] - cross @ np.linalg.solve(fields + 1e-6 * np.eye(len(fields)), cross.T)
