"""Markov chains over a few couplings: random walks and independent proposals that learn their shape in the warm-up."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

TAIL = 6.0
"""Degrees of freedom of the independent proposals: heavier tails than a Gaussian posterior's."""

INDEPENDENT = 0.75
"""Share of the steps that propose independently of where the chain is."""

N_STAGES = 4
"""Stages of the warm-up, each with the shape that the one before found."""

SHRINKAGE = 10.0
"""Weight, in draws, of the given shape against that of a stage's draws."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Walk:
    """Draws of several chains.

    Attributes
    ----------
    draws
        Where the chains were.
    log_density
        Log density there, up to a constant.
    acceptance
        Fraction of the proposals that were accepted.
    """

    draws: Float[np.ndarray, "chain sample parameter"]
    log_density: Float[np.ndarray, "chain sample"]
    acceptance: float


def walk(
    log_density: Callable[[np.ndarray], np.ndarray],
    start: Float[np.ndarray, "chain parameter"],
    *,
    covariance: Float[np.ndarray, "parameter parameter"],
    lengths: tuple[int, int],
    rng: np.random.Generator,
) -> Walk:
    """Draw from a density over a few parameters.

    Each step is a Metropolis step with either a Gaussian random walk or a proposal from Student's t that does not
    depend on where the chain is. Mean and covariance of both are those of all chains in the last stage of the
    warm-up and stay fixed afterwards, so that the kept draws are a Markov chain of the density itself.

    Parameters
    ----------
    log_density
        Log density of a batch of places, -inf where there is none.
    start
        Where each chain starts; the density is positive there.
    covariance
        A first guess of the density's covariance.
    lengths
        Steps of the warm-up, and samples to keep of each chain.
    rng
        Source of randomness.

    References
    ----------
    G. O. Roberts, A. Gelman, W. R. Gilks, *Annals of Applied Probability* 7, 110 (1997).
    L. Tierney, *Annals of Statistics* 22, 1701 (1994).
    """
    place, level = np.array(start, dtype=np.float64), log_density(start)
    mean, shape = place.mean(axis=0), np.array(covariance, dtype=np.float64)
    n_warm_up, n_samples = lengths
    for _ in range(N_STAGES):
        stage = _stage(log_density, (place, level), (mean, shape), max(n_warm_up // N_STAGES, 1), rng)
        place, level = stage.draws[:, -1], stage.log_density[:, -1]
        late = stage.draws[:, stage.draws.shape[1] // 2 :].reshape(-1, place.shape[1])
        mean = late.mean(axis=0)
        centred = late - mean
        shape = (centred.T @ centred + SHRINKAGE * shape) / (len(late) + SHRINKAGE)
    return _stage(log_density, (place, level), (mean, shape), n_samples, rng)


def student_log_density(
    place: Float[np.ndarray, "*batch parameter"],
    mean: Float[np.ndarray, " parameter"],
    root: Float[np.ndarray, "parameter parameter"],
) -> Float[np.ndarray, "*batch"]:
    """Return the log density, up to a constant, of Student's t with `TAIL` degrees and scale `root @ root.T`."""
    scaled = np.linalg.solve(root, np.moveaxis(place - mean, -1, 0).reshape(len(mean), -1))
    squared = (scaled**2).sum(axis=0).reshape(np.shape(place)[:-1])
    return -0.5 * (TAIL + len(mean)) * np.log1p(squared / TAIL)


def student_draws(
    shape: tuple[int, ...],
    mean: Float[np.ndarray, " parameter"],
    root: Float[np.ndarray, "parameter parameter"],
    *,
    rng: np.random.Generator,
) -> Float[np.ndarray, "*batch parameter"]:
    """Return draws of Student's t with `TAIL` degrees of freedom and scale `root @ root.T`."""
    noise = rng.normal(size=(*shape, len(mean))) / np.sqrt(rng.chisquare(TAIL, size=shape) / TAIL)[..., None]
    return mean + noise @ root.T


def cholesky(covariance: Float[np.ndarray, "parameter parameter"]) -> Float[np.ndarray, "parameter parameter"]:
    """Return a root of a covariance; directions in which nothing varies get a tiny width."""
    size, direction = np.linalg.eigh(covariance)
    return direction * np.sqrt(np.maximum(size, 1e-12 * max(float(size.max()), 1e-12)))


def _stage(
    log_density: Callable[[np.ndarray], np.ndarray],
    state: tuple[np.ndarray, np.ndarray],
    proposal: tuple[np.ndarray, np.ndarray],
    n_samples: int,
    rng: np.random.Generator,
) -> Walk:
    """Run all chains with fixed proposals."""
    place, level = state[0].copy(), state[1].copy()
    mean, root = proposal[0], cholesky(proposal[1])
    n_chains, n_parameters = place.shape
    free = rng.random(n_samples) < INDEPENDENT
    drawn = np.where(
        free[:, None, None],
        student_draws((n_samples, n_chains), mean, root, rng=rng),
        2.38 / np.sqrt(n_parameters) * rng.normal(size=(n_samples, n_chains, n_parameters)) @ root.T,
    )
    threshold = np.log(rng.random((n_samples, n_chains)))
    weight = student_log_density(drawn, mean, root)
    known = np.full((n_samples, n_chains), np.nan)
    known[free] = log_density(drawn[free].reshape(-1, n_parameters)).reshape(-1, n_chains)
    draws, levels = np.empty((n_samples, n_chains, n_parameters)), np.empty((n_samples, n_chains))
    n_accepted = 0
    for step in range(n_samples):
        if free[step]:
            trial, new = drawn[step], known[step]
            ratio = new - level + student_log_density(place, mean, root) - weight[step]
        else:
            trial = place + drawn[step]
            new = log_density(trial)
            ratio = new - level
        accepted = threshold[step] < ratio
        place[accepted], level[accepted] = trial[accepted], new[accepted]
        n_accepted += int(accepted.sum())
        draws[step], levels[step] = place, level
    return Walk(
        draws=draws.transpose(1, 0, 2).copy(), log_density=levels.T.copy(), acceptance=n_accepted / draws[..., 0].size
    )
