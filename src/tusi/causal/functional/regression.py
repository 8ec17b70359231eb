"""Direct effects for a given order of the variables, and which of them are more than chance."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from tusi.causal.functional.sample import Sample


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DirectEffects:
    """Coefficients of a linear model without cycles, in standard deviations.

    Attributes
    ----------
    coefficient, error
        Entry (i, j): direct effect of i on j, zero where there is none, and its standard error.
    disturbance
        What the causes leave of each variable; measurement errors are still in it.
    """

    coefficient: Float[np.ndarray, "cause effect"]
    error: Float[np.ndarray, "cause effect"]
    disturbance: Float[np.ndarray, "variable row"]


def direct_effects(
    sample: Sample,
    order: tuple[int, ...],
    *,
    allowed: Bool[np.ndarray, "cause effect"],
    required: Bool[np.ndarray, "cause effect"],
    level: float,
) -> DirectEffects:
    """Return each variable's regression on those before it, less the causes that chance explains.

    The least significant cause goes, and the others are fitted anew, until all are significant. Errors of the causes
    are allowed for, and each test has as many samples as cause and disturbance are worth together.

    Parameters
    ----------
    sample
        The variables.
    order
        Causes first.
    allowed, required
        Who may, and who must, act on whom.
    level
        Of each test.
    """
    n_variables = len(order)
    coefficient = np.zeros((n_variables, n_variables))
    error = np.full((n_variables, n_variables), np.nan)
    disturbance = sample.value.copy()
    for place, effect in enumerate(order):
        causes = [cause for cause in order[:place] if allowed[cause, effect]]
        while causes:
            slope, spread, p_value, left = _regressed(sample, causes, effect)
            p_value[required[causes, effect]] = 0.0
            weakest = int(np.argmax(p_value))
            if p_value[weakest] <= level:
                coefficient[causes, effect], error[causes, effect], disturbance[effect] = slope, spread, left
                break
            causes.pop(weakest)
    return DirectEffects(coefficient=coefficient, error=error, disturbance=disturbance)


def _regressed(sample: Sample, causes: list[int], effect: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return coefficients, standard errors, p-values and residual."""
    n_rows = sample.value.shape[1]
    real = sample.covariance - sample.error
    inverse = np.linalg.inv(real[np.ix_(causes, causes)])
    slope = inverse @ real[causes, effect]
    combination = np.zeros(len(real))
    combination[effect], combination[causes] = 1.0, -slope
    left = combination @ sample.value
    sums = sample.lags.sums(left)
    spread, p_value = np.empty(len(causes)), np.empty(len(causes))
    for k in range(len(causes)):
        weight = np.zeros(len(real))
        weight[causes] = inverse[k]
        own = weight @ sample.value
        shared = float(weight @ sample.error @ combination)
        variance = max(sample.lags.variance_of_products(sample.lags.sums(own), sums) + n_rows * shared**2, 1e-300)
        size = min(1.0 + (own @ own) * (left @ left) / variance, n_rows)
        spread[k] = np.sqrt(variance) / n_rows
        p_value[k] = 2 * stats.t.sf(abs(slope[k]) / spread[k], max(size - 1 - len(causes), 1.0))
    return slope, spread, p_value, left
