"""Sums over all acyclic graphs of up to about a dozen variables, without listing them."""

import numba
import numpy as np
from jaxtyping import Float


def edge_probabilities(
    log_family: Float[np.ndarray, "variable subset"],
) -> tuple[Float[np.ndarray, "cause effect"], float]:
    """Return the probability of every edge over all acyclic graphs, and the log of their total weight.

    The weight of a graph is the product of its families' weights. Graphs are counted by their sinks: those in which all
    of a set are sinks number the graphs of the rest times the sets' free choices of causes among the rest, and
    inclusion and exclusion over the set make every graph count once. Every term is at most the total, so nothing
    cancels badly. Time grows as 3^n.

    Parameters
    ----------
    log_family
        Row j, column s: log weight of variable j with the causes whose bits are set in s; minus infinity where that
        cannot be.

    Returns
    -------
    probability
        Entry (i, j): share of the weight of graphs in which i acts on j.
    log_weight
        Log of the weight of all graphs.

    References
    ----------
    J. Tian and R. He, Uncertainty in Artificial Intelligence 25, 538 (2009); R. W. Robinson (1977) for the counting.

    Examples
    --------
    >>> alike = np.array([[0.0, -np.inf, 0.0, -np.inf], [0.0, 0.0, -np.inf, -np.inf]])
    >>> probability, log_weight = edge_probabilities(alike)
    >>> round(np.exp(log_weight)), probability.round(3).tolist()
    (3, [[0.0, 0.333], [0.333, 0.0]])
    """
    n_variables = len(log_family)
    sums = _sums_over_causes(log_family)
    total = float(_log_weight(sums))
    probability = np.zeros((n_variables, n_variables))
    subsets = np.arange(log_family.shape[1])
    for effect in range(n_variables):
        for cause in range(n_variables):
            if cause == effect or total == -np.inf:
                continue
            kept = np.where((subsets >> cause) & 1, log_family[effect], -np.inf)
            if np.isfinite(kept).any():
                forced = sums.copy()
                forced[effect] = _sums_over_causes(kept[None])[0]
                probability[cause, effect] = np.exp(_log_weight(forced) - total)
    return np.clip(probability, 0.0, 1.0), total


def _sums_over_causes(log_family: np.ndarray) -> Float[np.ndarray, "variable subset"]:
    """Return, for each variable and each set, the log of the summed weight of all causes inside the set."""
    sums = log_family.copy()
    n_subsets = sums.shape[1]
    for bit in range(n_subsets.bit_length() - 1):
        with_bit = np.flatnonzero((np.arange(n_subsets) >> bit) & 1)
        sums[:, with_bit] = np.logaddexp(sums[:, with_bit], sums[:, with_bit ^ (1 << bit)])
    return sums


@numba.njit(cache=True, nogil=True)
def _log_weight(sums: np.ndarray) -> float:
    """Return the log of the summed weight of all acyclic graphs."""
    n_variables, n_subsets = sums.shape
    log_weight = np.full(n_subsets, -np.inf)
    log_weight[0] = 0.0
    for subset in range(1, n_subsets):
        # Terms are scaled by the largest before they are added with their signs.
        largest = -np.inf
        for scaling in range(2):
            total = 0.0
            sinks = subset
            while sinks:
                rest = subset & ~sinks
                term, sign = log_weight[rest], -1.0
                for j in range(n_variables):
                    if sinks >> j & 1:
                        term += sums[j, rest]
                        sign = -sign
                if scaling == 0:
                    largest = max(largest, term)
                elif term > -np.inf:
                    total += sign * np.exp(term - largest)
                sinks = (sinks - 1) & subset
            if largest == -np.inf:
                break
        if largest > -np.inf and total > 0:
            log_weight[subset] = largest + np.log(total)
    return float(log_weight[n_subsets - 1])
