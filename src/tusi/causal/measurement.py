"""Errors of measurement, as every method that allows for them takes them."""

import numpy as np
from jaxtyping import Float
from scipy import linalg

from tusi.causal.table import CausalTable
from tusi.inference.spatial import Detrended

LEAST_RELIABILITY = 0.05
"""Share of any combination's variance that is taken as real at least, whatever the errors are said to be."""


def mean_error(table: CausalTable, detrended: Detrended) -> Float[np.ndarray, "variable variable_"]:
    """Return the mean covariance of the errors of a table's values after detrending.

    Parameters
    ----------
    table
        Values with their errors, taken as independent from row to row.
    detrended
        What is left of the values, and by how much the map raised white noise.

    Examples
    --------
    >>> from tusi.inference.spatial import Centring, Layout
    >>> table = CausalTable.of({"x": np.arange(9.0)}, layout=Layout.grid((3, 3)), error={"x": 0.5})
    >>> mean_error(table, Centring()(table.value, table.layout))
    array([[0.25]])
    """
    image = detrended.layout.image
    own = [table.error_covariance[detrended.kept[image == k]].mean(axis=0) for k in range(detrended.layout.n_images)]
    return np.tensordot(np.bincount(image) / len(image) * detrended.noise_gain, own, axes=1)


def believable_error(
    error: Float[np.ndarray, "variable variable_"], covariance: Float[np.ndarray, "variable variable_"]
) -> Float[np.ndarray, "variable variable_"]:
    """Return a covariance of errors that leaves something real of every combination of the variables.

    Parameters
    ----------
    error
        As it is stated.
    covariance
        Of the values, errors included.

    Examples
    --------
    >>> believable_error(np.array([[2.0]]), np.array([[1.0]])).round(3)
    array([[0.95]])
    """
    if not error.any():
        return error
    within = covariance + 1e-12 * np.eye(len(covariance))
    share, vectors = linalg.eigh(error, within)
    if share[-1] <= 1 - LEAST_RELIABILITY:
        return error
    basis = within @ vectors
    return (basis * np.minimum(share, 1 - LEAST_RELIABILITY)) @ basis.T
