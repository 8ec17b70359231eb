"""Independent components: the rotation of white variables that makes them least Gaussian."""

import numpy as np
from jaxtyping import Float
from scipy import linalg

from tusi.errors import InputError

MOST_STEPS = 500
"""Steps after which a rotation that does not settle is given up."""

SETTLED = 1e-8
"""Change of a direction's cosine at which the rotation has settled."""


def independent_components(
    value: Float[np.ndarray, "variable row"], *, start: Float[np.ndarray, "component variable"] | None = None
) -> Float[np.ndarray, "component variable"]:
    """Return the matrix that makes independent components of unit variance out of variables.

    Symmetric fixed-point iteration with the contrast log cosh, all components at once.

    Parameters
    ----------
    value
        One row per variable; means do not matter.
    start
        A matrix near to the answer.

    Raises
    ------
    InputError
        The rotation does not settle.

    References
    ----------
    A. Hyvarinen, IEEE Trans. Neural Netw. 10, 626 (1999).
    """
    centred = value - value.mean(axis=1, keepdims=True)
    covariance = centred @ centred.T / value.shape[1]
    variance, axes = linalg.eigh(covariance)
    whiten = axes / np.sqrt(variance) @ axes.T
    white = whiten @ centred
    rotation = np.eye(len(value)) if start is None else _orthogonal(start @ np.linalg.inv(whiten))
    for _ in range(MOST_STEPS):
        bent = np.tanh(rotation @ white)
        slope = 1.0 - (bent**2).mean(axis=1)
        new = _orthogonal(bent @ white.T / value.shape[1] - slope[:, None] * rotation)
        change = np.abs(np.abs((new * rotation).sum(axis=1)) - 1).max()
        rotation = new * np.sign((new * rotation).sum(axis=1, keepdims=True))
        if change < SETTLED:
            return rotation @ whiten
    raise InputError(
        "value", expected="variables with independent components", got=f"no rotation after {MOST_STEPS} steps",
        then="Gaussian variables have none.",
    )  # fmt: skip


def _orthogonal(matrix: np.ndarray) -> np.ndarray:
    """Return the orthogonal matrix nearest to another."""
    left, _, right = np.linalg.svd(matrix)
    return left @ right
