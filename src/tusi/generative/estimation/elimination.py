"""Information with nuisance parameters eliminated, inverted safely where some directions have little or none."""

import numpy as np
from jaxtyping import Float

from tusi.generative.likelihood import invert

LEAST_SHARE = 0.02
"""Smallest part of the complete data's information that a Newton step of the chemical potentials assumes."""

RIDGE = 1e-9
"""Added to information matrices, relative to their trace, before they are inverted."""


def solve(information: np.ndarray, complete: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return the Newton step, no direction having less than a small part of the complete data's information."""
    inverse, _ = inverse_information(information, complete, least=LEAST_SHARE)
    return inverse @ gradient


def inverse_information(
    information: Float[np.ndarray, "k k"], complete: Float[np.ndarray, "k k"], *, least: float
) -> tuple[Float[np.ndarray, "k k"], Float[np.ndarray, " k"]]:
    """Return the inverse of the information, and which part of the complete data's it is in its own directions.

    Parts smaller than `least` are replaced by it; directions in which even complete data say nothing get a large
    finite variance.
    """
    root = _inverse_root(complete)
    share, direction = np.linalg.eigh(root.T @ information @ root)
    onto = root @ direction
    return (onto / np.maximum(share, least)) @ onto.T, share


def schur(information: np.ndarray, complete: np.ndarray, n_shared: int) -> Float[np.ndarray, "parameter parameter"]:
    """Return the information on the shared couplings with the chemical potentials eliminated."""
    shared = information[:n_shared, :n_shared]
    if len(information) == n_shared:
        return shared
    cross = information[:n_shared, n_shared:]
    fields, most = information[n_shared:, n_shared:], complete[n_shared:, n_shared:]
    return shared - cross @ inverse_information(fields, most, least=LEAST_SHARE)[0] @ cross.T


def _inverse_root(matrix: np.ndarray) -> np.ndarray:
    """Return R with R R^T the inverse of a matrix; directions without information get a large finite variance."""
    size, direction = np.linalg.eigh(invert(matrix + RIDGE * np.trace(matrix) * np.eye(len(matrix))))
    return direction * np.sqrt(np.maximum(size, 0.0))
