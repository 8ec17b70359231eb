"""Pairs of which the first causes the second: bent curves, noise of many shapes that may grow along the curve."""

import numpy as np
from jaxtyping import Float

N_WAVES = 8
"""Random waves that make a curve."""


def random_pair(n_rows: int, *, rng: np.random.Generator) -> Float[np.ndarray, "2 row"]:
    """Return cause and effect of a random law, both of mean zero and variance one.

    The cause has one to three normal modes, or is uniform, or skewed. The effect follows it along a random smooth
    curve or a sigmoid; its noise is normal, Laplace or uniform, a tenth to as large as the curve is high, and in half
    of the pairs its size follows another such curve.

    Parameters
    ----------
    n_rows
        Number of rows, all independent.
    rng
        Source of randomness.

    Examples
    --------
    >>> random_pair(100, rng=np.random.default_rng(0)).shape
    (2, 100)
    """
    cause = _standard(_cause(n_rows, rng))
    height = _standard(_curve(cause, rng))
    noise = (rng.standard_normal, rng.laplace, lambda size: rng.uniform(-1, 1, size))[rng.integers(3)](size=n_rows)
    width = np.exp(0.7 * _standard(_curve(cause, rng))) if rng.random() < 0.5 else 1.0
    return np.stack([cause, _standard(height + rng.uniform(0.1, 1.0) * _standard(width * noise))])


def _cause(n_rows: int, rng: np.random.Generator) -> np.ndarray:
    kind = rng.integers(3)
    if kind == 0:
        return rng.uniform(-1, 1, n_rows)
    if kind == 1:
        return rng.gamma(rng.uniform(1, 5), size=n_rows)
    centre, width = 2 * rng.standard_normal(3), rng.uniform(0.3, 1.0, 3)
    mode = rng.integers(rng.integers(1, 4), size=n_rows)
    return centre[mode] + width[mode] * rng.standard_normal(n_rows)


def _curve(cause: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.3:
        return np.tanh(rng.uniform(0.3, 2.0) * (cause - rng.standard_normal()))
    waves = rng.standard_normal((3, N_WAVES))
    return rng.normal() * cause + np.cos(np.outer(cause, 0.8 * waves[0]) + 7 * waves[1]) @ waves[2]


def _standard(value: np.ndarray) -> np.ndarray:
    return (value - value.mean()) / value.std()
