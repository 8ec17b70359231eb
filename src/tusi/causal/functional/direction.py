"""Which of two variables is the cause: how much better one linear model with independent disturbance fits."""

import numpy as np
from jaxtyping import Float, Int
from scipy import special

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


def preference_p_value(
    value: Float[np.ndarray, "2 row"], error: Float[np.ndarray, "2 2"], *, block: Int[np.ndarray, " row"]
) -> float:
    """Return the one-sided p-value that the first variable is not rather the cause of the second than the reverse.

    Without errors the two directions are compared by their likelihood ratio, with errors by the dependence of cause
    and residual. Each row's influence on this number is summed within blocks, whose spread is the number's error.

    Parameters
    ----------
    value
        Both variables, in any units.
    error
        Covariance of their errors.
    block
        Number of the block of each row.

    References
    ----------
    F. R. Hampel, J. Am. Stat. Assoc. 69, 383 (1974).
    """
    scale = value.std(axis=1)
    standard = (value - value.mean(axis=1, keepdims=True)) / scale[:, None]
    compare = _compared_by_dependence if error.any() else _compared_by_likelihood
    preference, influence = compare(standard, error / np.outer(scale, scale))
    sums = np.bincount(block, weights=influence - influence.mean()) / len(influence)
    n_blocks = len(sums)
    spread = np.sqrt((sums**2).sum() * n_blocks / (n_blocks - 1))
    return float(special.stdtr(n_blocks - 1, -preference / spread)) if spread > 0 else 1.0


def _compared_by_likelihood(value: np.ndarray, _: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the log-likelihood ratio per row of two standard variables, and each row's influence on it."""
    ratio, influence = 0.0, np.zeros(value.shape[1])
    slope = float(value[0] @ value[1]) / value.shape[1]
    for sign, cause, effect in ((-1, value[0], value[1]), (1, value[1], value[0])):
        residual = (effect - slope * cause) / np.sqrt(1 - slope**2)
        for part, regressor in ((cause, None), (residual, cause)):
            entropy, own = _entropy_with_influence(part, regressor)
            ratio += sign * entropy
            influence += sign * own
    return ratio, influence


def _entropy_with_influence(value: np.ndarray, regressor: np.ndarray | None) -> tuple[float, np.ndarray]:
    """Return the entropy of a standard variable, and influences; those on its standardisation and regression, too."""
    size = np.abs(value)
    fall, bell = np.exp(-2 * size), np.exp(-0.5 * value**2)
    log_cosh = size + np.log(1 + fall) - np.log(2)
    odd = value * bell
    excess = (log_cosh.mean() - LOG_COSH_OF_NORMAL, odd.mean())
    pulls = -2 * WEIGHTS[0] * excess[0], -2 * WEIGHTS[1] * excess[1]
    term = pulls[0] * log_cosh + pulls[1] * odd
    slope = pulls[0] * np.sign(value) * (1 - fall) / (1 + fall) + pulls[1] * (1 - value**2) * bell
    influence = term - slope.mean() * value - 0.5 * (slope @ value) / len(value) * (value**2 - 1)
    if regressor is not None:
        influence -= (slope @ regressor) / len(value) * regressor * value
    entropy = 0.5 * (1 + np.log(2 * np.pi)) - WEIGHTS[0] * excess[0] ** 2 - WEIGHTS[1] * excess[1] ** 2
    return float(entropy), influence


def _compared_by_dependence(value: np.ndarray, error: np.ndarray) -> tuple[float, np.ndarray]:
    """Return by how much what the second variable leaves depends more on it than in the reverse, and influences."""
    preference, influence = 0.0, np.zeros(value.shape[1])
    for sign, first, second in ((-1, 0, 1), (1, 1, 0)):
        real = 1.0 - error[first, first]
        slope = float(value[first] @ value[second] / value.shape[1] - error[first, second]) / real
        residual = value[second] - slope * value[first]
        on_slope = value[first] * residual / real
        on_slope -= on_slope.mean()
        spread = residual.std()
        pull = -value[first] / spread
        shared = (error[first, second] - slope * error[first, first]) / spread
        more_shared = -error[first, first] / spread
        waves = list(zip(FREQUENCIES, _waves(value[first]), strict=True))
        others = list(zip(FREQUENCIES, _waves(residual / spread), strict=True))
        for s, wave in waves:
            for t, other in ((sign_t * t, turned) for t, up in others for sign_t, turned in ((1, up), (-1, up.conj()))):
                lift = np.exp(shared * s * t)
                both = wave * other
                difference = lift * both.mean() - wave.mean() * other.mean()
                along = (
                    lift * (both.mean() * s * t * more_shared + 1j * t * (pull * both).mean())
                    - wave.mean() * 1j * t * (pull * other).mean()
                )
                row = lift * both - wave.mean() * other - other.mean() * wave + along * on_slope
                preference += sign * abs(difference) ** 2
                influence += sign * 2 * (difference.conjugate() * row).real
    return preference, influence
