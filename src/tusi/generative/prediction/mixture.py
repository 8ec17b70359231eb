"""Averages at couplings between those that were sampled: all samples of one system as one weighted mixture."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

SELF_CONSISTENT, NEWTON, TOLERANCE = 30, 50, 1e-8
"""Fixed-point and Newton iterations for the free energies of the nodes, and the change at which they stop."""

CHUNK = 4_000_000
"""Weights that are computed at a time."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """Samples drawn at several couplings (nodes), weighted to any couplings in between.

    The multistate Bennett acceptance ratio: a sample's weight at couplings u is `exp(-u.T)` over its density in the
    mixture of all nodes. Rows are kept in blocks, one piece of every chain each, so that resampling whole blocks gives
    the error of any average, autocorrelation included.

    Attributes
    ----------
    statistics
        Sufficient statistics, rows in the order of their blocks.
    columns
        What is averaged.
    log_mixture
        Logarithm of each row's density in the mixture, up to a constant.
    start
        First row of each block.

    References
    ----------
    M. R. Shirts and J. D. Chodera, J. Chem. Phys. 129, 124105 (2008).
    """

    statistics: Float[np.ndarray, "row parameter"]
    columns: Float[np.ndarray, "row column"]
    log_mixture: Float[np.ndarray, " row"]
    start: Int[np.ndarray, " block"]

    def weights(self, couplings: Float[np.ndarray, "target parameter"]) -> Float[np.ndarray, "target row"]:
        """Return the weight of each row at each couplings; they add up to 1."""
        exponent = -couplings @ self.statistics.T - self.log_mixture
        exponent -= exponent.max(axis=1, keepdims=True)
        weight = np.exp(exponent)
        return weight / weight.sum(axis=1, keepdims=True)

    def moments(
        self, couplings: Float[np.ndarray, "target parameter"]
    ) -> tuple[
        Float[np.ndarray, "target block column"], Float[np.ndarray, "target block"], Float[np.ndarray, " target"]
    ]:
        """Return each block's weighted sums of the columns, its weight, and the effective sample size."""
        n_targets, n_blocks = len(couplings), len(self.start)
        sums = np.empty((n_targets, n_blocks, self.columns.shape[1]))
        share = np.empty((n_targets, n_blocks))
        size = np.empty(n_targets)
        step = max(1, CHUNK // len(self.statistics))
        stop = np.append(self.start[1:], len(self.statistics))
        for first in range(0, n_targets, step):
            chosen = slice(first, first + step)
            weight = self.weights(couplings[chosen])
            size[chosen] = 1.0 / (weight**2).sum(axis=1)
            for block, (low, high) in enumerate(zip(self.start, stop, strict=True)):
                share[chosen, block] = weight[:, low:high].sum(axis=1)
                sums[chosen, block] = weight[:, low:high] @ self.columns[low:high]
        return sums, share, size


def mixture_of(
    nodes: Float[np.ndarray, "node parameter"],
    statistics: Sequence[Float[np.ndarray, "chain sample parameter"]],
    columns: Sequence[Float[np.ndarray, "chain sample column"]],
    *,
    pieces: int = 4,
) -> Mixture:
    """Combine the samples of several nodes.

    Parameters
    ----------
    nodes
        Couplings of each node.
    statistics, columns
        Of each node: sufficient statistics, and what is averaged.
    pieces
        Blocks that each chain is cut into.
    """
    rows, values, block, counts = [], [], [], []
    for drawn, measured in zip(statistics, columns, strict=True):
        n_chains, n_samples = drawn.shape[:2]
        piece = np.minimum(np.arange(n_samples) * pieces // n_samples, pieces - 1)
        block.append((np.arange(n_chains)[:, None] * pieces + piece).ravel())
        rows.append(drawn.reshape(-1, drawn.shape[2]))
        values.append(measured.reshape(-1, measured.shape[2]))
        counts.append(len(rows[-1]))
    number = np.concatenate(block)
    order = np.argsort(number, kind="stable")
    every = np.concatenate(rows)[order]
    return Mixture(
        statistics=every,
        columns=np.concatenate(values)[order],
        log_mixture=_log_mixture(nodes, every, np.array(counts, dtype=np.float64)),
        start=np.flatnonzero(np.diff(number[order], prepend=-1)),
    )


def _log_mixture(nodes: np.ndarray, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the log-density of each row in the mixture, with the free energies that make it self-consistent."""
    exponent = np.log(counts) - rows @ nodes.T
    free = np.zeros(len(nodes))
    for _ in range(SELF_CONSISTENT):
        log_density = _log_sum(exponent + free, axis=1)
        free = np.log(counts) - _log_sum(exponent - log_density[:, None], axis=0)
        free -= free[0]
    level = _objective(exponent, free, counts)
    for _ in range(NEWTON):
        log_density = _log_sum(exponent + free, axis=1)
        probability = np.exp(exponent + free - log_density[:, None])
        gradient = probability.sum(axis=0) - counts
        curvature = np.diag(probability.sum(axis=0)) - probability.T @ probability
        step = np.zeros(len(nodes))
        step[1:] = -np.linalg.lstsq(curvature[1:, 1:], gradient[1:], rcond=1e-12)[0]
        scale = 1.0
        while scale > 1e-6 and _objective(exponent, free + scale * step, counts) > level + 1e-9 * abs(level):
            scale /= 2
        free = free + scale * step
        level = _objective(exponent, free, counts)
        if np.abs(scale * step).max() < TOLERANCE:
            break
    return _log_sum(exponent + free, axis=1)


def _objective(exponent: np.ndarray, free: np.ndarray, counts: np.ndarray) -> float:
    """Return the convex function whose minimum the free energies are."""
    return float(_log_sum(exponent + free, axis=1).sum() - counts @ free)


def _log_sum(exponent: np.ndarray, axis: int) -> np.ndarray:
    """Return log sum exp along an axis of finite numbers."""
    highest = exponent.max(axis=axis, keepdims=True)
    return np.log(np.exp(exponent - highest).sum(axis=axis)) + highest.squeeze(axis)
