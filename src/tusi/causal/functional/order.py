"""In which order variables can be causes: the first is the one that is most independent of what it leaves of others."""

import numpy as np
from jaxtyping import Bool, Float

from tusi.causal.functional.direction import likelihood_ratios
from tusi.causal.knowledge import reachable


def causal_order(
    value: Float[np.ndarray, "variable row"],
    error: Float[np.ndarray, "variable variable"],
    *,
    allowed: Bool[np.ndarray, "cause effect"],
) -> tuple[int, ...]:
    """Return the variables, causes first.

    Again and again the variable is taken that speaks least against being a cause of all that are left, and these are
    replaced by what it leaves of them. What speaks against it is the sum of squares of its negative log-likelihood
    ratios.

    Parameters
    ----------
    value
        One row per variable, mean zero, variance one.
    error
        Covariance of the errors.
    allowed
        Entry (i, j): whether i may act on j.
    """
    ancestor = reachable(allowed)
    before = ancestor & ~ancestor.T
    value, error = value.copy(), error.copy()
    left, order = list(range(len(value))), []
    while len(left) > 1:
        against = (np.minimum(likelihood_ratios(value, error), 0.0) ** 2).sum(axis=1)
        against[before[np.ix_(left, left)].any(axis=0)] = np.inf
        first = int(np.argmin(against))
        value, error = _without(value, error, first)
        order.append(left.pop(first))
    return (*order, *left)


def _without(value: np.ndarray, error: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what one variable leaves of the others, in units of its standard deviation, and its errors."""
    covariance = value @ value[first] / value.shape[1]
    slope = (covariance - error[first]) / (covariance[first] - error[first, first])
    change = np.eye(len(value))
    change[:, first] -= slope
    change = np.delete(change, first, axis=0)
    out = change @ value
    scale = out.std(axis=1, keepdims=True)
    return out / scale, change @ error @ change.T / (scale * scale.T)
