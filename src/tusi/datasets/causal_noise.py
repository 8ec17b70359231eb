"""Tables measured with known error."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from tusi.causal import CausalTable


def measured(table: CausalTable, errors: Mapping[str, float], *, rng: np.random.Generator) -> CausalTable:
    """Return a table with normal errors on some variables, which it knows the size of.

    Parameters
    ----------
    table
        Exact values.
    errors
        Standard error of each variable that is not exact, in its own standard deviations.
    rng
        Source of randomness.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> exact = linear_fields(np.zeros((2, 2)), FieldRecipe(), rng=np.random.default_rng(0))
    >>> noisy = measured(exact, {"x0": 0.7}, rng=np.random.default_rng(1))
    >>> [round(float(column.std()), 1) for column in noisy.value.T]
    [1.2, 1.0]
    """
    value, covariance = table.value.copy(), table.error_covariance.copy()
    for name, size in errors.items():
        place = table.number(name)
        sigma = size * float(table.value[:, place].std())
        value[:, place] += sigma * rng.standard_normal(len(table))
        covariance[:, place, place] += sigma**2
    return dataclasses.replace(table, value=value, error_covariance=covariance)
