"""Two independent sources seen through normal errors of known size: their densities without the errors."""

import dataclasses

import numpy as np
from jaxtyping import Float

N_STEPS = 60
"""Steps of expectation and maximisation; more change preferences between two directions by little."""

START = ((0.25, 0.5, 0.25), (-0.8, 0.0, 0.8), (0.8, 0.15, 0.8))
"""Shares, means and variances of the three parts of a source at the start, in its standard deviations."""

LEAST_VARIANCE = 0.01
"""Of a part, in that of its source: a narrower one would follow single rows."""

CELL = 0.15
"""Side of the cells in which rows are nearly alike, in standard deviations."""

LEAST_SHARE = 1e-4
"""Of a part."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sources:
    """Two independent variables, the density of each a mixture of normal ones.

    Attributes
    ----------
    share, mean, variance
        Of each part of each source.
    """

    share: Float[np.ndarray, "2 part"]
    mean: Float[np.ndarray, "2 part"]
    variance: Float[np.ndarray, "2 part"]

    def log_density(
        self, value: Float[np.ndarray, "2 row"], error: Float[np.ndarray, "2 2"]
    ) -> Float[np.ndarray, " row"]:
        """Return the log density of rows with errors.

        Parameters
        ----------
        value
            Both sources, errors included.
        error
            Covariance of the errors.
        """
        return np.logaddexp.reduce(self._parts(value, error)[0].reshape(-1, value.shape[1]), axis=0)

    def improved(
        self, value: Float[np.ndarray, "2 row"], error: Float[np.ndarray, "2 2"], *, count: Float[np.ndarray, " row"]
    ) -> "Sources":
        """Return sources under which the rows are at least as likely.

        Parameters
        ----------
        value
            Both sources, errors included.
        error
            Covariance of the errors.
        count
            How often each row counts.
        """
        log, pull, inverse = self._parts(value, error)
        weight = np.exp(log - log.max(axis=(0, 1)))
        weight *= count / weight.sum(axis=(0, 1))
        share, mean, variance = (np.empty_like(self.mean) for _ in range(3))
        for source, other in ((0, 1), (1, 0)):
            own = np.expand_dims(self.variance[source], other)
            guess = np.expand_dims(self.mean[source], (other, 2)) + own[:, :, None] * pull[source]
            left = own - own**2 * inverse[source]
            total = weight.sum(axis=(other, 2))
            new = (weight * guess).sum(axis=(other, 2)) / total
            square = weight * ((guess - np.expand_dims(new, (other, 2))) ** 2 + left[:, :, None])
            share[source] = np.maximum(total / count.sum(), LEAST_SHARE)
            mean[source], variance[source] = new, square.sum(axis=(other, 2)) / total
        least = LEAST_VARIANCE * ((share * (variance + mean**2)).sum(axis=1) - (share * mean).sum(axis=1) ** 2)
        return Sources(
            share=share / share.sum(axis=1, keepdims=True), mean=mean, variance=np.maximum(variance, least[:, None])
        )

    def _parts(self, value: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return, for each pair of parts, log densities, inverse covariance times deviation, and its diagonal."""
        first, second = self.variance[0][:, None] + error[0, 0], self.variance[1][None, :] + error[1, 1]
        determinant = first * second - error[0, 1] ** 2
        inverse = np.stack(np.broadcast_arrays(second, first)) / determinant
        across = -error[0, 1] / determinant[:, :, None]
        x, y = value[0] - self.mean[0][:, None, None], value[1] - self.mean[1][None, :, None]
        pull = np.stack([inverse[0][:, :, None] * x + across * y, across * x + inverse[1][:, :, None] * y])
        height = np.log(self.share[0][:, None] * self.share[1]) - 0.5 * np.log(determinant) - np.log(2 * np.pi)
        return height[:, :, None] - 0.5 * (pull[0] * x + pull[1] * y), pull, inverse


def deconvolved(value: Float[np.ndarray, "2 row"], error: Float[np.ndarray, "2 2"]) -> Sources:
    """Return the sources under which rows with errors are most likely.

    Expectation and maximisation; every pair of parts is a normal density that the errors widen, so that nothing has to
    be divided out. Rows that are nearly alike are taken together.

    Parameters
    ----------
    value
        Both sources, errors included.
    error
        Covariance of the errors; smaller than that of the values.

    References
    ----------
    H. Attias, Neural Comput. 11, 803 (1999).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> exact = rng.choice([-1.0, 1.0], (2, 2000))
    >>> found = deconvolved(exact + 0.5 * rng.standard_normal((2, 2000)), 0.25 * np.eye(2))
    >>> bool(((found.variance < 0.05) | (found.share < 0.05)).all())
    True
    """
    share, mean, variance = (np.tile(part, (2, 1)) for part in START)
    real = (value.var(axis=1) - np.diagonal(error))[:, None]
    sources = Sources(
        share=share, mean=value.mean(axis=1, keepdims=True) + np.sqrt(real) * mean, variance=real * variance
    )
    points, count = _gathered(value)
    for _ in range(N_STEPS):
        sources = sources.improved(points, error, count=count)
    return sources


def _gathered(value: np.ndarray) -> tuple[Float[np.ndarray, "2 cell"], Float[np.ndarray, " cell"]]:
    """Return the mean of the rows in each cell of a fine grid, and how many these are."""
    y, x = np.round(value / (CELL * value.std(axis=1, keepdims=True))).astype(np.int64)
    _, cell = np.unique(y * (np.ptp(x) + 1) + x, return_inverse=True)
    count = np.bincount(cell).astype(float)
    return np.stack([np.bincount(cell, weights=own) / count for own in value]), count
