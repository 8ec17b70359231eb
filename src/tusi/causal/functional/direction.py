"""Which of two variables is the cause: how much better one linear model with independent disturbance fits."""

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

LOG_COSH_OF_NORMAL = 0.37457
"""Mean of log cosh of a standard normal variable."""

WEIGHTS = (79.047, 7.4129)
"""Of the two terms by which the entropy of a variable falls short of the normal one's (Hyvarinen)."""

FREQUENCIES = (0.6, 1.2)
"""Where characteristic functions are compared, in inverse standard deviations; one and twice the first."""


def entropies(value: Float[np.ndarray, "variable row"]) -> Float[np.ndarray, " variable"]:
    """Return approximate entropies of variables of unit variance, from two bounded or slowly growing means.

    Parameters
    ----------
    value
        One row per variable, mean zero, variance one.
    """
    size = np.abs(value)
    log_cosh = (size + np.log(1 + np.exp(-2 * size))).mean(axis=-1) - np.log(2)
    odd = (value * np.exp(-0.5 * value**2)).mean(axis=-1)
    first, second = WEIGHTS
    return 0.5 * (1 + np.log(2 * np.pi)) - first * (log_cosh - LOG_COSH_OF_NORMAL) ** 2 - second * odd**2


def likelihood_ratios(value: Float[np.ndarray, "variable row"]) -> Float[np.ndarray, "cause effect"]:
    """Return, for all pairs, the log-likelihood per row of i -> j less that of j -> i; values without error.

    Parameters
    ----------
    value
        One row per variable, mean zero, variance one.
    """
    n_variables, n_rows = value.shape
    correlation = value @ value.T / n_rows
    own = entropies(value)
    left = np.zeros((n_variables, n_variables))
    for i in range(n_variables):
        others = np.arange(n_variables) != i
        slope = correlation[others, i, None]
        left[i, others] = entropies((value[others] - slope * value[i]) / np.sqrt(1 - slope**2))
    description = own[:, None] + left
    return description.T - description


def dependences(
    value: Float[np.ndarray, "variable row"], error: Float[np.ndarray, "variable variable"]
) -> Float[np.ndarray, "cause effect"]:
    """Return, for all pairs, how far i is from being independent of what it leaves of j; errors are allowed for.

    The joint characteristic function of both is compared with the product of their own. Normal errors of known
    covariance multiply the former by a known number, which is taken out: only the covariance that i and the residual
    share through the error of i matters, so nothing is deconvolved.

    Parameters
    ----------
    value
        One row per variable, mean zero, variance one.
    error
        Covariance of the errors.
    """
    n_variables, n_rows = value.shape
    covariance = value @ value.T / n_rows
    slope = (covariance - error) / (np.diagonal(covariance) - np.diagonal(error))[:, None]
    out = np.zeros((n_variables, n_variables))
    for i in range(n_variables):
        own = _waves(value[i])
        for j in range(n_variables):
            if i == j:
                continue
            residual = value[j] - slope[i, j] * value[i]
            spread = residual.std()
            shared = (error[i, j] - slope[i, j] * error[i, i]) / spread
            out[i, j] = _dependence(own, residual / spread, shared)
    return out


def _dependence(own: list[np.ndarray], residual: np.ndarray, shared: float) -> float:
    total = 0.0
    for t, other in zip(FREQUENCIES, _waves(residual), strict=True):
        for s, wave in zip(FREQUENCIES, own, strict=True):
            for sign, turned in ((1, other), (-1, other.conj())):
                joint = (wave * turned).mean() * np.exp(sign * shared * s * t)
                total += abs(joint - wave.mean() * turned.mean()) ** 2
    return total


def _waves(value: np.ndarray) -> list[np.ndarray]:
    """Return exp(i s value) at each frequency."""
    phase = FREQUENCIES[0] * value
    slow = np.cos(phase) + 1j * np.sin(phase)
    return [slow, slow * slow]


def preference(value: Float[np.ndarray, "2 row"], error: Float[np.ndarray, "2 2"]) -> float:
    """Return by how much the first variable is rather the cause of the second than the reverse; negative if less.

    Parameters
    ----------
    value
        Both variables, in any units.
    error
        Covariance of their errors.
    """
    scale = value.std(axis=1)
    centred = (value - value.mean(axis=1, keepdims=True)) / scale[:, None]
    if not error.any():
        return float(likelihood_ratios(centred)[0, 1])
    both = dependences(centred, error / np.outer(scale, scale))
    return float(both[1, 0] - both[0, 1])


def preference_p_value(
    value: Float[np.ndarray, "2 row"], error: Float[np.ndarray, "2 2"], *, block: Int[np.ndarray, " row"]
) -> float:
    """Return the p-value that the first variable is not rather the cause: one-sided, blocks left out one by one.

    Parameters
    ----------
    value
        Both variables, in any units.
    error
        Covariance of their errors.
    block
        Number of the block of each row.
    """
    n_blocks = int(block.max()) + 1
    whole = preference(value, error)
    without = np.array([preference(value[:, block != k], error) for k in range(n_blocks)])
    spread = np.sqrt((n_blocks - 1) * without.var())
    if not spread > 0:
        return 1.0
    unbiased = n_blocks * whole - (n_blocks - 1) * without.mean()
    return float(stats.t.sf(unbiased / spread, n_blocks - 1))
