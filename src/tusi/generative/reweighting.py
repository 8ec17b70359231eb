"""Log-likelihoods of couplings from Monte Carlo samples drawn at other couplings.

All samples of one window, whatever couplings they were drawn at, are one sample of a mixture. Weighting each by its
probability at the wanted couplings over that in the mixture gives moments and the partition function anywhere between
the couplings that were sampled (the multistate Bennett acceptance ratio, for an exponential family).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

MIXTURE_ITERATIONS, MIXTURE_TOLERANCE = 50, 1e-4
"""Limits of the fixed-point iterations for the log partition functions; overlapping nodes need about ten."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Weighted samples of the sufficient statistics of several independent windows ("segments").

    Attributes
    ----------
    statistics, log_weight, multiplicity
        Distinct rows of all segments, their log-probability over that in the mixture, and how often each was drawn.
    start
        First row of each segment.
    observed
        Observed statistics of each segment.
    weight
        Weight of each segment's log-likelihood.
    """

    statistics: Float[np.ndarray, "row parameter"]
    log_weight: Float[np.ndarray, " row"]
    multiplicity: Float[np.ndarray, " row"]
    start: Int[np.ndarray, " segment"]
    observed: Float[np.ndarray, "segment parameter"]
    weight: Float[np.ndarray, " segment"]

    def moments(
        self, couplings: Float[np.ndarray, " parameter"]
    ) -> tuple[
        Float[np.ndarray, " segment"],
        Float[np.ndarray, "segment parameter"],
        Float[np.ndarray, "segment parameter parameter"],
    ]:
        """Return each segment's log partition function (up to a constant), mean and covariance of T."""
        probability, log_partition = self._probability(couplings)
        mean = np.add.reduceat(probability[:, None] * self.statistics, self.start)
        product = self.statistics[:, :, None] * self.statistics[:, None, :] * probability[:, None, None]
        covariance = np.add.reduceat(product, self.start) - mean[:, :, None] * mean[:, None, :]
        return log_partition, mean, covariance

    def log_likelihood(
        self, couplings: Float[np.ndarray, " parameter"]
    ) -> tuple[float, Float[np.ndarray, " parameter"], Float[np.ndarray, "parameter parameter"]]:
        """Return the weighted log-likelihood (up to a constant), its gradient and minus its Hessian."""
        log_partition, mean, covariance = self.moments(couplings)
        value = -self.weight @ (self.observed @ couplings + log_partition)
        return float(value), self.weight @ (mean - self.observed), np.tensordot(self.weight, covariance, axes=1)

    def effective_sample_size(self, couplings: Float[np.ndarray, " parameter"]) -> Float[np.ndarray, " segment"]:
        """Return how many equally weighted samples the weighted ones of each segment are worth."""
        probability, _ = self._probability(couplings)
        return 1.0 / np.add.reduceat(probability**2 / self.multiplicity, self.start)

    def _probability(self, couplings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the normalised weight of each row and each segment's log partition function."""
        lengths = np.diff(np.append(self.start, len(self.log_weight)))
        exponent = self.log_weight - self.statistics @ couplings
        highest = np.maximum.reduceat(exponent, self.start)
        weight = np.exp(exponent - np.repeat(highest, lengths))
        total = np.add.reduceat(weight, self.start)
        return weight / np.repeat(total, lengths), highest + np.log(total)


def pool_of(
    segments: Sequence[tuple[Float[np.ndarray, "node parameter"], Float[np.ndarray, "node sample parameter"]]],
    *,
    observed: Float[np.ndarray, "segment parameter"],
    weight: Float[np.ndarray, " segment"],
) -> Pool:
    """Combine chains run at several couplings into one pool.

    Parameters
    ----------
    segments
        For each window the couplings of its chains (nodes), in kT, and the statistics of their samples.
    observed
        Observed statistics of each window.
    weight
        Weight of each window's log-likelihood.
    """
    rows, weights, multiplicities, lengths = [], [], [], []
    for nodes, statistics in segments:
        unique, count = np.unique(statistics.reshape(-1, statistics.shape[-1]), axis=0, return_counts=True)
        rows.append(unique)
        multiplicities.append(count)
        weights.append(np.log(count) - _log_mixture(nodes, unique, count / len(nodes)))
        lengths.append(len(unique))
    return Pool(
        statistics=np.concatenate(rows),
        log_weight=np.concatenate(weights),
        multiplicity=np.concatenate(multiplicities).astype(float),
        start=np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
        observed=observed,
        weight=weight,
    )


def _log_mixture(nodes: np.ndarray, rows: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the log-density of each row in the mixture of the nodes, relative to the base measure."""
    exponent = -rows @ nodes.T
    log_count = np.log(count)
    log_partition = _log_sum(exponent + (log_count - exponent.mean(axis=1))[:, None], axis=0)
    for _ in range(MIXTURE_ITERATIONS):
        mixture = _log_sum(exponent - log_partition, axis=1)
        update = _log_sum(exponent + (log_count - mixture)[:, None], axis=0)
        update -= update[0]
        change = np.abs(update - log_partition + log_partition[0]).max()
        log_partition = update
        if change < MIXTURE_TOLERANCE:
            break
    return _log_sum(exponent - log_partition, axis=1)


def _log_sum(exponent: np.ndarray, axis: int) -> np.ndarray:
    """Return log sum exp along an axis of finite numbers."""
    highest = exponent.max(axis=axis, keepdims=True)
    return np.log(np.exp(exponent - highest).sum(axis=axis)) + highest.squeeze(axis)
