"""What a sampler returns, and how many independent samples it is worth."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError

_FEWEST = 4
"""Samples in a chain below which no autocorrelation is estimated."""

_ROUNDING = 1e-24
"""Variance, relative to the largest square, that sums of floating-point numbers have though they never change."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Arrangements drawn by Markov chains, as statistics, with the quality of the chains.

    Attributes
    ----------
    statistics
        Sufficient statistics of each sample.
    species
        The arrangements; no samples where they were not kept.
    final
        Last arrangement of each chain: where a longer run may go on.
    acceptance
        Fraction of the attempted moves that were accepted; 1 for a heat bath.

    References
    ----------
    A. Vehtari, A. Gelman, D. Simpson, B. Carpenter, P.-C. Bürkner, *Bayesian Analysis* 16, 667 (2021).
    C. J. Geyer, *Statistical Science* 7, 473 (1992).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> samples = Samples(
    ...     statistics=rng.normal(size=(4, 1000, 1)),
    ...     species=np.zeros((4, 0, 9), dtype=np.int8),
    ...     final=np.zeros((4, 9), dtype=np.int8),
    ...     acceptance=1.0,
    ... )
    >>> bool(3000 < samples.effective_sample_size[0] < 5000), bool(samples.r_hat[0] < 1.01)
    (True, True)
    """

    statistics: Float[np.ndarray, "chain sample parameter"]
    species: Int[np.ndarray, "chain kept site"]
    final: Int[np.ndarray, "chain site"]
    acceptance: float

    def __post_init__(self) -> None:
        if self.statistics.ndim != 3:
            raise InputError(
                "statistics", expected="an array [chain, sample, parameter]", got=f"shape {self.statistics.shape}"
            )

    @functools.cached_property
    def effective_sample_size(self) -> Float[np.ndarray, " parameter"]:
        """Independent samples that would give the mean the same error; all chains count, and their disagreement.

        The autocorrelation is that of the pooled variance, between chains too, summed over Geyer's initial monotone
        sequence. Chains of fewer than four samples count one each.
        """
        return np.array([_effective_size(self.statistics[:, :, k]) for k in range(self.statistics.shape[2])])

    @functools.cached_property
    def r_hat(self) -> Float[np.ndarray, " parameter"]:
        """Pooled over within-chain standard deviation, each chain cut into halves: 1 where all agree.

        NaN where a chain has fewer than four samples; 1 for a statistic that never changes.
        """
        _, n_samples, n_parameters = self.statistics.shape
        half = n_samples // 2
        if half < 2:
            return np.full(n_parameters, np.nan)
        halves = np.concatenate([self.statistics[:, :half], self.statistics[:, n_samples - half :]])
        within = halves.var(axis=1, ddof=1).mean(axis=0)
        between = halves.mean(axis=1).var(axis=0, ddof=1)
        pooled = (half - 1) / half * within + between
        ratio = np.divide(pooled, within, out=np.full(n_parameters, np.inf), where=within > 0)
        return np.sqrt(np.where(pooled > _ROUNDING * np.abs(halves).max(axis=(0, 1)) ** 2, ratio, 1.0))

    @functools.cached_property
    def mean(self) -> Float[np.ndarray, " parameter"]:
        """Mean of the statistics over all samples."""
        return self.statistics.mean(axis=(0, 1))

    @functools.cached_property
    def covariance(self) -> Float[np.ndarray, "parameter parameter"]:
        """Covariance of the statistics over all samples."""
        centred = (self.statistics - self.mean).reshape(-1, len(self.mean))
        return centred.T @ centred / max(len(centred) - 1, 1)

    @functools.cached_property
    def standard_error(self) -> Float[np.ndarray, " parameter"]:
        """Standard error of the mean, from the effective sample size."""
        return np.sqrt(np.diag(self.covariance) / self.effective_sample_size)


def _effective_size(series: Float[np.ndarray, "chain sample"]) -> float:
    """Return the effective number of samples of one statistic."""
    n_chains, n_samples = series.shape
    if n_samples < _FEWEST:
        return float(n_chains)
    centred = series - series.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, 2 * n_samples, axis=1)
    covariance = np.fft.irfft(spectrum * spectrum.conj(), 2 * n_samples, axis=1)[:, :n_samples].mean(axis=0) / n_samples
    between = series.mean(axis=1).var(ddof=1) if n_chains > 1 else 0.0
    within = covariance[0] * n_samples / (n_samples - 1)
    pooled = covariance[0] + between
    if pooled <= _ROUNDING * np.abs(series).max() ** 2:
        return float(n_chains * n_samples)
    correlation = 1.0 - (within - covariance) / pooled
    correlation[0] = 1.0
    pairs = correlation[: n_samples // 2 * 2].reshape(-1, 2).sum(axis=1)
    end = np.argmax(pairs <= 0) if (pairs <= 0).any() else len(pairs)
    time = 2.0 * np.minimum.accumulate(pairs[:end]).sum() - 1.0
    most = n_chains * n_samples
    return float(min(most / max(time, 1e-12), most * np.log10(most)))
