"""Which of two variables is the cause: how much better one linear model with independent disturbance fits."""

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from tusi.causal.functional.deconvolution import deconvolved

LOG_COSH_OF_NORMAL = 0.37457
"""Mean of log cosh of a standard normal variable."""

WEIGHTS = (79.047, 7.4129)
"""Of the two terms by which the entropy of a variable falls short of the normal one's (Hyvarinen)."""

STEP = 1e-4
"""Change of a slope by which the likelihood's derivative is taken."""


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


def likelihood_ratios(
    value: Float[np.ndarray, "variable row"], error: Float[np.ndarray, "variable variable"]
) -> Float[np.ndarray, "cause effect"]:
    """Return, for all pairs, the log-likelihood per row of i -> j less that of j -> i.

    For pairs without errors from approximate entropies; else from the densities of cause and disturbance that are most
    likely behind the errors.

    Parameters
    ----------
    value
        One row per variable, mean zero, variance one.
    error
        Covariance of the errors.
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
    ratio = description.T - description
    for i, j in np.argwhere(np.triu(_inexact(error), 1)).tolist():
        ways = [_behind_errors(value[[*way]], error[np.ix_(way, way)])[0].mean() for way in ((i, j), (j, i))]
        ratio[i, j], ratio[j, i] = ways[0] - ways[1], ways[1] - ways[0]
    return ratio


def _inexact(error: np.ndarray) -> np.ndarray:
    """Return the pairs of which one variable has errors."""
    own = np.diagonal(error) > 0
    return own[:, None] | own[None, :]


def preference_p_value(
    value: Float[np.ndarray, "2 row"], error: Float[np.ndarray, "2 2"], *, block: Int[np.ndarray, " row"]
) -> float:
    """Return the one-sided p-value that the first variable is not rather the cause of the second than the reverse.

    The two directions are compared by their likelihood ratio, with errors by that of the densities behind them. Each
    row's influence on this number is summed within blocks, whose spread is the number's error.

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
    F. R. Hampel, J. Am. Stat. Assoc. 69, 383 (1974); Q. H. Vuong, Econometrica 57, 307 (1989).
    """
    scale = value.std(axis=1)
    standard = (value - value.mean(axis=1, keepdims=True)) / scale[:, None]
    compare = _compared_behind_errors if error.any() else _compared_by_entropies
    preference, influence = compare(standard, error / np.outer(scale, scale))
    sums = np.bincount(block, weights=influence - influence.mean()) / len(influence)
    n_blocks = len(sums)
    spread = np.sqrt((sums**2).sum() * n_blocks / (n_blocks - 1))
    return float(special.stdtr(n_blocks - 1, -preference / spread)) if spread > 0 else 1.0


def _compared_by_entropies(value: np.ndarray, _: np.ndarray) -> tuple[float, np.ndarray]:
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


def _compared_behind_errors(value: np.ndarray, error: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the log-likelihood ratio per row of two variables with errors, and each row's influence on it."""
    (forward, on_forward), (back, on_back) = (
        _behind_errors(value[way], error[way][:, way]) for way in ([0, 1], [1, 0])
    )
    return float((forward - back).mean()), forward - back + on_forward - on_back


def _behind_errors(value: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log densities of rows if the first variable causes the second, and influences on their mean.

    The influence is that on the slope; densities at their most likely have none.
    """
    real = float(value[0] @ value[0]) / value.shape[1] - error[0, 0]
    slope = (float(value[0] @ value[1]) / value.shape[1] - error[0, 1]) / real
    sources = deconvolved(*_unmixed(value, error, slope))
    steep, shallow = (sources.log_density(*_unmixed(value, error, slope + step)).mean() for step in (STEP, -STEP))
    on_slope = value[0] * (value[1] - slope * value[0]) / real
    influence = (steep - shallow) / (2 * STEP) * (on_slope - on_slope.mean())
    return sources.log_density(*_unmixed(value, error, slope)), influence


def _unmixed(value: np.ndarray, error: np.ndarray, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a cause and what it leaves of its effect, and the covariance of their errors."""
    change = np.array([[1.0, 0.0], [-slope, 1.0]])
    return change @ value, change @ error @ change.T
