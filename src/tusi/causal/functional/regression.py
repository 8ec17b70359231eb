"""Direct effects for a given order of the variables, and which of them are more than chance."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

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

    The least significant cause goes, and the others are fitted anew, until all are significant; first of those that
    would be insignificant even if all rows were independent. Errors of the causes are allowed for, and each test has
    as many samples as cause and disturbance are worth together.

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
        for in_space in (False, True):
            while causes:
                slope, spread, p_value = _regressed(sample, causes, effect, in_space=in_space)
                p_value[required[causes, effect]] = 0.0
                weakest = int(np.argmax(p_value))
                if p_value[weakest] <= level:
                    coefficient[causes, effect], error[causes, effect] = slope, spread
                    break
                causes.pop(weakest)
        disturbance[effect] -= coefficient[causes, effect] @ sample.value[causes]
        gone = np.setdiff1d(np.arange(n_variables), causes)
        coefficient[gone, effect], error[gone, effect] = 0.0, np.nan
    return DirectEffects(coefficient=coefficient, error=error, disturbance=disturbance)


def _regressed(
    sample: Sample, causes: list[int], effect: int, *, in_space: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return coefficients, standard errors and p-values, with effective samples or, never less sure, with all rows."""
    n_rows = sample.value.shape[1]
    real = sample.covariance - sample.error
    inverse = np.linalg.inv(real[np.ix_(causes, causes)])
    slope = inverse @ real[causes, effect]
    weights = np.zeros((len(causes), len(real)))
    weights[:, causes] = inverse
    combination = np.zeros(len(real))
    combination[effect], combination[causes] = 1.0, -slope
    squares = np.einsum("ij,jk,ik->i", weights, sample.covariance, weights) * (
        combination @ sample.covariance @ combination
    )
    variance = n_rows * squares
    if in_space:
        left = sample.lag_sums(combination)
        for k, own in enumerate(weights):
            variance[k] = max(sample.lags.variance_of_products(sample.lag_sums(own), left), variance[k])
    variance += n_rows * (weights @ sample.error @ combination) ** 2
    freedom = np.maximum(n_rows**2 * squares / variance - 1 - len(causes), 1.0)
    spread = np.sqrt(variance) / n_rows
    return slope, spread, 2 * special.stdtr(freedom, -np.abs(slope) / spread)
