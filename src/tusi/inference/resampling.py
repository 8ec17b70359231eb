"""p-values from replicas of the null hypothesis: permutations and parametric bootstrap."""

import numpy as np
from jaxtyping import Float, Real


def resampling_p_value(observed: float, replicas: Real[np.ndarray, " replica"], *, tolerance: float = 1e-9) -> float:
    """Return `(1 + b) / (1 + n)` with b the replicas that are as extreme as the observed value, ties included.

    Exact for exchangeable replicas (a permutation test): the chance of p <= alpha under the null is at most alpha.

    Parameters
    ----------
    observed
        The statistic of the data; large means far from the null hypothesis.
    replicas
        The statistic of each replica under the null hypothesis.
    tolerance
        Relative difference below which two values are a tie (the same arrangement summed in another order).

    Returns
    -------
    float
        p-value in (0, 1]; NaN without replicas or when the observed value is NaN.

    References
    ----------
    B. Phipson and G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9, 39 (2010).

    Examples
    --------
    >>> resampling_p_value(3.0, np.array([1.0, 2.0, 3.0, 4.0]))
    0.6
    """
    replicas = np.asarray(replicas, dtype=float)
    if not len(replicas) or np.isnan(observed):
        return float("nan")
    threshold = observed - tolerance * max(1.0, abs(observed))
    return float((1 + np.count_nonzero(replicas >= threshold)) / (1 + len(replicas)))


def quantile_band(
    replicas: Real[np.ndarray, "replica *rest"], *, confidence: float = 0.95
) -> tuple[Float[np.ndarray, "*rest"], Float[np.ndarray, "*rest"]]:
    """Return the central band that holds this fraction of the replicas.

    Parameters
    ----------
    replicas
        First axis runs over replicas.
    confidence
        Fraction inside.

    Examples
    --------
    >>> low, high = quantile_band(np.arange(1001.0))
    >>> round(low.item(), 6), round(high.item(), 6)
    (25.0, 975.0)
    """
    low, high = np.quantile(replicas, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return np.asarray(low), np.asarray(high)
