"""The evidence for a model: the probability of the images with its couplings averaged over their priors."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.stats import multivariate_t

from tusi.errors import InputError
from tusi.generative.estimation.coupling_posterior import CouplingPosterior, CouplingSurface
from tusi.generative.estimation.metropolis import TAIL, cholesky, student_draws, student_log_density
from tusi.generative.estimation.surface_sampling import log_likelihoods

N_ON_PATH, MOST_ROUNDS = 12, 6
"""Couplings at which the way to no coupling is checked, and times that it is sampled where it is thin."""

BRIDGE_STEPS, BRIDGE_TOLERANCE = 200, 1e-10
"""Limits of the iterations for the bridge estimate."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelEvidence:
    """How well a model with its priors predicts the images, against no couplings at all.

    Attributes
    ----------
    log_evidence
        Logarithm of the images' probability under the model over that without couplings, in nats.
    chain_error
        Its standard error from the finite number of draws.
    surface_error
        Its standard error from the finite number of samples behind the likelihood.
    connected
        Whether the likelihood was known all the way to no coupling.
    """

    log_evidence: float
    chain_error: float
    surface_error: float
    connected: bool

    @property
    def standard_error(self) -> float:
        """Standard error of the log evidence."""
        return float(np.hypot(self.chain_error, self.surface_error))

    def __str__(self) -> str:
        doubt = "" if self.connected else ", the way to no coupling not sampled well"
        return f"ln evidence {self.log_evidence:+.2f} +- {self.standard_error:.2f} against no couplings{doubt}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BayesFactor:
    """Odds of one model against another from the images alone.

    Attributes
    ----------
    log_factor
        Natural logarithm of the odds.
    standard_error
        Its Monte Carlo error.
    """

    log_factor: float
    standard_error: float

    @property
    def probability(self) -> float:
        """Probability of the first model where both were equally likely before."""
        return float(1 / (1 + np.exp(-np.clip(self.log_factor, -700, 700))))

    def __str__(self) -> str:
        return f"ln Bayes factor {self.log_factor:+.2f} +- {self.standard_error:.2f}"


def log_evidence(
    posterior: CouplingPosterior,
    surface: CouplingSurface | None = None,
    *,
    rng: np.random.Generator,
    least_effective_size: float = 200.0,
) -> ModelEvidence:
    """Return the evidence for a model against no couplings.

    Half of the posterior's draws shape a Student distribution; bridge sampling between it and the other half gives the
    integral of prior times likelihood. The likelihood at no coupling is the reference: its surface is sampled on the
    way there until it rests on enough samples everywhere.

    Parameters
    ----------
    posterior
        Draws of the couplings.
    surface
        The log-likelihood; the posterior's own where it is None.
    rng
        Source of randomness.
    least_effective_size
        Independent samples that the surface must rest on along the way to no coupling.

    Returns
    -------
    ModelEvidence
        In nats, with its errors. Models may be compared where their images have the same random sites (for windows,
        compile them with each other's reach) and the same convention for compositions.

    References
    ----------
    X.-L. Meng, W. H. Wong, *Statistica Sinica* 6, 831 (1996).
    S. Frühwirth-Schnatter, *Econometrics Journal* 7, 143 (2004), for the error.

    Examples
    --------
    >>> from tusi.generative.estimation.enumerated import enumerated_surface
    >>> from tusi.generative.estimation.prior import Priors
    >>> from tusi.generative.estimation.surface_sampling import sample_surface
    >>> from tusi.generative.lattice import SQUARE, enumerate_states, ising, lattice_system, periodic_sites
    >>> states = enumerate_states(lattice_system(ising(field=False), periodic_sites(SQUARE, (3, 3))))
    >>> rng = np.random.default_rng(1)
    >>> exact = enumerated_surface(states, np.array([[-18.0]]))
    >>> found = log_evidence(sample_surface(exact, Priors(), rng=rng, parameters=["K"]), rng=rng)
    >>> bool(2 < found.log_evidence < 5), bool(found.standard_error < 0.05)
    (True, True)
    """
    surface = posterior.surface if surface is None else surface
    surface, connected = _connected(surface, posterior.mean, least_effective_size, rng)
    nothing = np.zeros((1, len(posterior.parameters)))
    level = log_likelihoods(surface, nothing)[0]
    if not np.isfinite(level):
        raise InputError("surface", expected="a finite log-likelihood at no coupling", got=str(level))
    half = posterior.draws.shape[1] // 2
    shape_draws = posterior.draws[:, :half].reshape(-1, nothing.shape[1])
    draws = posterior.draws[:, half:].reshape(-1, nothing.shape[1])
    centre, root = shape_draws.mean(axis=0), cholesky(np.atleast_2d(np.cov(shape_draws.T)))
    proposals = student_draws((len(draws),), centre, root, rng=rng)
    constant = _student_constant(centre, root)

    def ratio(places: np.ndarray, of: CouplingSurface, base: float) -> np.ndarray:
        """Return prior times likelihood over the Student density."""
        density = posterior.prior.log_density(places)
        inside = np.isfinite(density)
        density[inside] += log_likelihoods(of, places[inside]) - base
        return density - student_log_density(places, centre, root) - constant

    at_draws, at_proposals = ratio(draws, surface, level), ratio(proposals, surface, level)
    share = float(posterior.effective_sample_size.min() / posterior.draws[..., 0].size)
    value, error = _bridge(at_draws, at_proposals, min(share, 1.0))
    split = getattr(surface, "parts", None)
    parts = split() if split else ()
    values = []
    for part in parts:
        base = float(log_likelihoods(part, nothing)[0])
        thin = proposals[:: max(1, len(proposals) // 2000)]
        values.append(_log_mean(ratio(thin, part, base)))
    spread = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return ModelEvidence(log_evidence=value, chain_error=error, surface_error=spread, connected=connected)


def bayes_factor(first: ModelEvidence, second: ModelEvidence) -> BayesFactor:
    """Return the odds of one model against another, from evidences of the same images.

    Parameters
    ----------
    first, second
        Evidences against no couplings.

    Examples
    --------
    >>> one, other = (
    ...     ModelEvidence(log_evidence=x, chain_error=0.03, surface_error=0.04, connected=True) for x in (3.0, 1.0)
    ... )
    >>> print(bayes_factor(one, other))
    ln Bayes factor +2.00 +- 0.07
    """
    return BayesFactor(
        log_factor=first.log_evidence - second.log_evidence,
        standard_error=float(np.hypot(first.standard_error, second.standard_error)),
    )


def _connected(
    surface: CouplingSurface, mean: np.ndarray, least: float, rng: np.random.Generator
) -> tuple[CouplingSurface, bool]:
    """Return the surface sampled on the way from the posterior's mean to no coupling, and whether it is known there."""
    path = np.linspace(0.0, 1.0, N_ON_PATH)[:, None] * mean
    grow: Callable | None = getattr(surface, "extended", None)
    for _ in range(MOST_ROUNDS):
        thin = np.array([np.min(surface.effective_sample_size(place)) < least for place in path])
        if not thin.any() or grow is None:
            return surface, not thin.any()
        places = path[thin]
        surface = grow(places[np.unique(np.linspace(0, len(places) - 1, 4).round().astype(int))], rng=rng)
        grow = getattr(surface, "extended", None)
    thin = [bool(np.min(surface.effective_sample_size(place)) < least) for place in path]
    return surface, not any(thin)


def _bridge(
    at_draws: Float[np.ndarray, " draw"], at_proposals: Float[np.ndarray, " proposal"], share: float
) -> tuple[float, float]:
    """Return the log of the integral and its standard error, `share` of the draws being independent."""
    n_draws, n_proposals = len(at_draws), len(at_proposals)
    weight = share * n_draws / (share * n_draws + n_proposals)
    shift = float(np.median(at_draws))
    first, second = np.exp(at_draws - shift), np.exp(at_proposals - shift)
    value = 1.0
    for _ in range(BRIDGE_STEPS):
        upper = (second / (weight * second + (1 - weight) * value)).mean()
        new = upper / (1 / (weight * first + (1 - weight) * value)).mean()
        change = abs(np.log(new / value))
        value = new
        if change < BRIDGE_TOLERANCE:
            break
    upper = second / (weight * second + (1 - weight) * value)
    lower = value / (weight * first + (1 - weight) * value)
    variance = upper.var() / upper.mean() ** 2 / n_proposals + lower.var() / lower.mean() ** 2 / (share * n_draws)
    return float(np.log(value) + shift), float(np.sqrt(variance))


def _student_constant(centre: np.ndarray, root: np.ndarray) -> float:
    """Return the log density of the Student distribution at its centre."""
    return float(multivariate_t(loc=centre, shape=root @ root.T, df=TAIL).logpdf(centre))


def _log_mean(exponent: np.ndarray) -> float:
    """Return the log of the mean of exponentials."""
    highest = exponent.max()
    return float(np.log(np.exp(exponent - highest).mean()) + highest)
