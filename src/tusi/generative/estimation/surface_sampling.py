"""Draw couplings from priors times a likelihood that only Monte Carlo knows, drawn by Markov chains.

The partition function makes the likelihood of a lattice model intractable. A surface, pooled from samples at several
couplings, gives it as a smooth function around them. The chains run on the surface; then it is asked whether it knew
enough where they went, and where it did not it is sampled there and the chains run again.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.generative.estimation.coupling_posterior import CouplingPosterior, CouplingSurface, PosteriorSettings
from tusi.generative.estimation.metropolis import Walk, walk
from tusi.generative.estimation.prior import JointPrior, Priors
from tusi.generative.reweighting import Pool

MOST_EXPONENTS = 2**21
"""Exponentials that are held at once while a surface is evaluated at many couplings."""

EXPLORING = (240, 200)
"""Steps of the warm-up and samples of each chain while the surface is still extended."""

NEWTON_STEPS = 50
"""Damped Newton steps toward the top of the posterior, from which the chains start."""


def sample_surface(
    surface: CouplingSurface,
    priors: Priors | JointPrior,
    *,
    rng: np.random.Generator,
    parameters: Sequence[str] = (),
    extend: Callable[[Float[np.ndarray, "node parameter"]], CouplingSurface] | None = None,
    settings: PosteriorSettings | None = None,
) -> CouplingPosterior:
    """Draw couplings from priors times a likelihood surface.

    Metropolis chains, half random walk and half independent proposals from Student's t, adapted in the warm-up.
    Where the surface rests on too few samples at more than a few of the draws, it is extended by nodes at those draws
    and the chains run again.

    Parameters
    ----------
    surface
        The log-likelihood.
    priors
        Priors, in kT.
    rng
        Source of randomness.
    parameters
        Names of the couplings; not needed with a joint prior.
    extend
        Samples the surface at more couplings and returns the larger one; without it the first surface is kept.
    settings
        How long and how well.

    Returns
    -------
    CouplingPosterior
        Draws, and what they are worth.

    Raises
    ------
    InputError
        The prior allows nothing, or the surface gives no finite value.

    References
    ----------
    C. J. Geyer and E. A. Thompson, *J. R. Stat. Soc. B* 54, 657 (1992).

    Examples
    --------
    >>> from tusi.generative.estimation.enumerated import enumerated_surface
    >>> from tusi.generative.lattice import SQUARE, enumerate_states, ising, lattice_system, periodic_sites
    >>> states = enumerate_states(lattice_system(ising(field=False), periodic_sites(SQUARE, (3, 3))))
    >>> surface = enumerated_surface(states, np.array([[-10.0]]))
    >>> posterior = sample_surface(surface, Priors(), rng=np.random.default_rng(1), parameters=["K"])
    >>> posterior.converged, bool(0.2 < posterior.mean[0] < 0.6)
    (True, True)
    """
    settings = settings or PosteriorSettings()
    prior = priors if isinstance(priors, JointPrior) else priors.of(parameters)
    short = dataclasses.replace(settings, n_samples=EXPLORING[1], n_warm_up=EXPLORING[0])
    now = settings if extend is None else short
    best = None
    for n_rounds in range(1, settings.max_rounds + 1):
        best, covariance = _top(surface, prior, best)
        drawn = _draw(surface, prior, (best, covariance), now, rng)
        places = _spread(drawn.draws, settings.n_checked, rng)
        sizes = np.array([np.min(surface.effective_sample_size(place)) for place in places])
        known = sizes >= settings.least_effective_size
        enough = bool(known.mean() >= settings.inside)
        last = extend is None or n_rounds >= settings.max_rounds - 1
        if now is settings and (enough or last):
            break
        if extend is not None and not enough:
            surface = extend(_far_apart(places[~known], drawn.draws, 2 + len(best)))
        now = settings if enough or last else short
    error, ratio = _surface_error(surface, drawn.draws)
    result = CouplingPosterior(
        prior=prior,
        surface=surface,
        draws=drawn.draws,
        log_posterior=drawn.log_density,
        acceptance=drawn.acceptance,
        surface_effective_size=sizes,
        surface_error=error,
        surface_width_ratio=ratio,
        converged=True,
        n_rounds=n_rounds,
    )
    return _judged(result, float(known.mean()), settings)


def log_likelihoods(
    surface: CouplingSurface, couplings: Float[np.ndarray, "batch parameter"]
) -> Float[np.ndarray, " batch"]:
    """Return a surface's log-likelihood at many couplings."""
    batch = getattr(surface, "log_likelihoods", None)
    if batch is not None:
        return batch(couplings)
    pool = surface if isinstance(surface, Pool) else getattr(surface, "pool", None)
    if not isinstance(pool, Pool):
        return np.array([surface.log_likelihood(one)[0] for one in couplings])
    chunk = max(1, MOST_EXPONENTS // len(pool.log_weight))
    lengths = np.diff(np.append(pool.start, len(pool.log_weight)))
    out = np.empty(len(couplings))
    for first in range(0, len(couplings), chunk):
        some = couplings[first : first + chunk].T
        exponent = pool.log_weight[:, None] - pool.statistics @ some
        highest = np.maximum.reduceat(exponent, pool.start, axis=0)
        exponent -= np.repeat(highest, lengths, axis=0)
        total = np.add.reduceat(np.exp(exponent, out=exponent), pool.start, axis=0)
        out[first : first + chunk] = -pool.weight @ (pool.observed @ some + highest + np.log(total))
    return out


def _draw(
    surface: CouplingSurface,
    prior: JointPrior,
    top: tuple[np.ndarray, np.ndarray],
    settings: PosteriorSettings,
    rng: np.random.Generator,
) -> Walk:
    """Run all chains on a surface, from places around its top."""

    def log_density(places: np.ndarray) -> np.ndarray:
        density = prior.log_density(places)
        inside = np.isfinite(density)
        if inside.any():
            density[inside] += log_likelihoods(surface, places[inside])
        return np.where(np.isnan(density), -np.inf, density)

    best, covariance = top
    root = np.linalg.cholesky(covariance)
    start = best + 1.5 * rng.normal(size=(settings.n_chains, len(best))) @ root.T
    outside = ~np.isfinite(log_density(start))
    start[outside] = best
    if not np.isfinite(log_density(start)).all():
        raise InputError("priors", expected="some couplings with a finite posterior", got=f"none near {best}")
    return walk(log_density, start, covariance=covariance, lengths=(settings.n_warm_up, settings.n_samples), rng=rng)


def _top(surface: CouplingSurface, prior: JointPrior, start: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return about the highest place of the posterior and a covariance there, by damped Newton steps.

    The prior stands in with its variance, so that the steps are bounded where the data say nothing.
    """
    low, high = prior.bounds
    margin = np.where(np.isfinite(high - low), 1e-6 * (high - low), 0.0)
    precision = np.linalg.inv(prior.covariance)

    def value(place: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        level, gradient, information = surface.log_likelihood(place)
        return level + float(prior.log_density(place)), gradient + prior.gradient(place), information + precision

    best = prior.mean if start is None else start
    centre = getattr(surface, "centre", None)
    if start is None and centre is not None:
        best = np.clip(np.asarray(centre, dtype=np.float64), low + margin, high - margin)
    level, gradient, information = value(best)
    for _ in range(NEWTON_STEPS):
        step = _positive_inverse(information, precision) @ gradient
        scale = 1.0
        for _ in range(20):
            trial = np.clip(best + scale * step, low + margin, high - margin)
            new = value(trial)
            if new[0] > level:
                break
            scale *= 0.5
        else:
            break
        gain = new[0] - level
        best, (level, gradient, information) = trial, new
        if gain < 1e-6:
            break
    return best, _positive_inverse(information, precision)


def _positive_inverse(information: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Return the inverse of an information that noise may have made indefinite."""
    size, direction = np.linalg.eigh(information)
    return (direction / np.maximum(size, 0.5 * np.linalg.eigvalsh(precision)[0])) @ direction.T


def _spread(draws: np.ndarray, n_places: int, rng: np.random.Generator) -> np.ndarray:
    """Return draws spread over all chains."""
    flat = draws.reshape(-1, draws.shape[2])
    return flat[rng.choice(len(flat), size=min(n_places, len(flat)), replace=False)]


def _far_apart(places: np.ndarray, draws: np.ndarray, n_nodes: int) -> np.ndarray:
    """Return a few of the places, each as far from the others as can be in units of the posterior's width."""
    flat = draws.reshape(-1, draws.shape[2])
    scaled = places / np.maximum(flat.std(axis=0), 1e-12)
    chosen = [int(np.argmin(((scaled - np.median(scaled, axis=0)) ** 2).sum(axis=1)))]
    while len(chosen) < min(n_nodes, len(places)):
        distance = ((scaled[:, None] - scaled[chosen]) ** 2).sum(axis=2).min(axis=1)
        chosen.append(int(np.argmax(distance)))
    return places[chosen]


def _surface_error(surface: CouplingSurface, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the finite sampling of the surface does to the posterior's mean and width.

    Where the surface can be split into parts with fewer samples, the draws are reweighted to each part. Otherwise the
    error of the gradient follows from the effective sample sizes at the mean.
    """
    flat = draws.reshape(-1, draws.shape[2])
    split = getattr(surface, "parts", None)
    parts = split() if split else ()
    if len(parts) < 2:
        size = np.min(surface.effective_sample_size(flat.mean(axis=0)))
        return np.sqrt(flat.var(axis=0) / size), np.empty((0, flat.shape[1]))
    flat = flat[:: max(1, len(flat) // 2000)]
    level = log_likelihoods(surface, flat)
    means, widths = [], []
    for part in parts:
        exponent = log_likelihoods(part, flat) - level
        weight = np.exp(exponent - exponent.max())
        weight /= weight.sum()
        means.append(weight @ flat)
        widths.append(np.sqrt(weight @ (flat - means[-1]) ** 2))
    error = np.std(means, axis=0, ddof=1) / np.sqrt(len(parts))
    return error, np.array(widths) / flat.std(axis=0)


def _judged(result: CouplingPosterior, known: float, settings: PosteriorSettings) -> CouplingPosterior:
    """Return the posterior with what must be said of it."""
    notes = []
    if known < settings.inside:
        notes.append(
            f"the surface rests on fewer than {settings.least_effective_size:.0f} samples at "
            f"{100 * (1 - known):.0f} % of the draws"
        )
    if not (result.r_hat < 1.05).all():
        notes.append(f"the chains disagree: R-hat up to {np.max(result.r_hat):.3f}")
    spread = np.sqrt(np.diag(result.covariance) / np.diag(result.prior.covariance))
    vague = [name for name, ratio in zip(result.parameters, spread, strict=True) if ratio > 0.7]
    informed = dataclasses.replace(result, converged=not notes)
    if vague:
        notes.append(f"the data say little beyond the prior about {', '.join(vague)}")
    return dataclasses.replace(informed, notes=tuple(notes))
