"""Samples drawn at many couplings as one sample of their mixture, with partition functions solved to convergence."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from tusi.generative.reweighting import Pool

NEWTON_STEPS, TOLERANCE = 60, 1e-9
"""Newton steps for the log partition functions, and the largest change at which they end."""


def pool_of_nodes(
    segments: Sequence[tuple[Float[np.ndarray, "node parameter"], Float[np.ndarray, "node sample parameter"]]],
    *,
    observed: Float[np.ndarray, "segment parameter"],
    weight: Float[np.ndarray, " segment"],
) -> Pool:
    """Combine chains run at many couplings, however little neighbouring ones overlap, into one pool.

    The log partition functions are the maximum of a concave function (the multistate Bennett acceptance ratio), found
    by Newton steps from a chain of two-state estimates.

    Parameters
    ----------
    segments
        For each system the couplings of its chains (nodes), in kT, and the statistics of their samples.
    observed
        Observed statistics of each system.
    weight
        Weight of each system's log-likelihood.

    References
    ----------
    M. R. Shirts, J. D. Chodera, *J. Chem. Phys.* 129, 124105 (2008).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> nodes = np.array([[0.0], [3.0], [6.0]])
    >>> pool = pool_of_nodes(
    ...     [(nodes, rng.normal(-nodes[:, None], 1.0, size=(3, 4000, 1)))], observed=np.zeros((1, 1)), weight=np.ones(1)
    ... )
    >>> levels = [pool.log_likelihood(np.array([w]))[0] for w in (0.0, 6.0)]
    >>> bool(abs(levels[0] - levels[1] - 18.0) < 0.5)
    True
    """
    rows, weights, counts = [], [], []
    for nodes, statistics in segments:
        unique, count = np.unique(statistics.reshape(-1, statistics.shape[-1]), axis=0, return_counts=True)
        n_each = statistics.shape[1]
        exponent = -unique @ nodes.T
        log_partition = _log_partitions(exponent, count.astype(np.float64), n_each)
        rows.append(unique)
        counts.append(count)
        weights.append(np.log(count) - logsumexp(exponent - log_partition, axis=1) - np.log(n_each))
    lengths = [len(one) for one in rows]
    return Pool(
        statistics=np.concatenate(rows),
        log_weight=np.concatenate(weights),
        multiplicity=np.concatenate(counts).astype(np.float64),
        start=np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
        observed=observed,
        weight=weight,
    )


def _log_partitions(exponent: np.ndarray, count: np.ndarray, n_each: int) -> np.ndarray:
    """Return the log partition function of each node relative to the first, equally many samples drawn at each."""
    log_count = np.log(count)
    found = np.zeros(exponent.shape[1])
    for _ in range(20):
        found = _iterated(exponent, log_count, found)
    level, change, hessian = _likelihood(exponent, count, found, n_each)
    for _ in range(NEWTON_STEPS):
        step = np.zeros_like(found)
        ridge = 1e-10 * np.trace(hessian) * np.eye(len(found) - 1) if len(found) > 1 else 0.0
        step[1:] = np.linalg.solve(hessian[1:, 1:] + ridge, change[1:]) if len(found) > 1 else 0.0
        step /= max(1.0, float(np.abs(step).max()) / 3.0)
        scale = 1.0
        for _ in range(12):
            new = _likelihood(exponent, count, found + scale * step, n_each)
            if new[0] >= level - 1e-12 * abs(level):
                break
            scale *= 0.5
        found = found + scale * step
        level, change, hessian = new
        if np.abs(step).max() < TOLERANCE:
            break
    return found


def _iterated(exponent: np.ndarray, log_count: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return one self-consistent iteration."""
    mixture = logsumexp(exponent - found, axis=1)
    update = logsumexp(exponent + (log_count - mixture)[:, None], axis=0)
    return update - update[0]


def _likelihood(
    exponent: np.ndarray, count: np.ndarray, found: np.ndarray, n_each: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the concave function of the log partition functions, its gradient and minus its Hessian."""
    terms = exponent - found
    highest = terms.max(axis=1, keepdims=True)
    terms = np.exp(terms - highest)
    total = terms.sum(axis=1, keepdims=True)
    share = terms / total
    weighted = share * count[:, None]
    held = weighted.sum(axis=0)
    level = -n_each * found.sum() - count @ (highest + np.log(total))[:, 0]
    return float(level), held - n_each, np.diag(held) - weighted.T @ share
