"""The physical limit: how well any unbiased method can locate overlapping spots."""

import numpy as np
from jaxtyping import Float

from tusi.data import NoiseModel
from tusi.errors import InputError

NEIGHBOURHOOD = 7.0
"""Neighbours within this many widths are free, together with the atom."""

WINDOW = 6.0
"""Pixels within this many widths of an atom or of its free neighbours are counted."""


def localisation_bound(
    position: Float[np.ndarray, "atom 2"],
    amplitude: Float[np.ndarray, " atom"],
    *,
    width: float | Float[np.ndarray, " atom"],
    background: float,
    shape: tuple[int, int],
    noise: NoiseModel | None = None,
) -> Float[np.ndarray, "atom 2 2"]:
    """Return the Cramer-Rao bound on the covariance of each position.

    The inverse Fisher information of independent pixels whose variance follows the noise model, with the position and
    amplitude of the atom and of all neighbours that it overlaps free, together with their width and the background
    around them. One common width is what `find_atoms` fits; widths of their own cost overlapping spots a few percent
    more. For counts it is the Poisson bound.

    Parameters
    ----------
    position
        (y, x) of the atoms, pixel.
    amplitude
        Peak heights, signal units.
    width
        Standard deviation of the spots, pixel: one number where all share it, an array where each has its own.
    background
        Level between the spots, signal units.
    shape
        Rows and columns of the image.
    noise
        The noise of the pixels; that of counts when `None`.

    Returns
    -------
    Array of shape (atom, 2, 2)
        Bound on the covariance of (y, x), pixel squared.

    Raises
    ------
    InputError
        The width is not positive.

    References
    ----------
    .. [1] E. Bettens et al., "Model-based two-object resolution from observations having counting statistics",
       Ultramicroscopy 77, 37 (1999).

    Examples
    --------
    An isolated spot of N counts without background is located to width / sqrt(N):

    >>> bound = localisation_bound(
    ...     np.array([[32.0, 32.0]]), np.array([100.0]), width=3.0, background=1e-6, shape=(64, 64)
    ... )
    >>> n_counts = 100 * 2 * np.pi * 3.0**2
    >>> round(float(np.sqrt(bound[0, 0, 0] * n_counts) / 3.0), 2)
    1.0
    """
    widths = np.broadcast_to(np.asarray(width, dtype=np.float64), len(position))
    if not (widths > 0).all():
        raise InputError("width", expected="a positive number of pixels", got=str(width))
    spots = np.column_stack([position, amplitude, widths])
    noise = noise or NoiseModel()
    bounds = np.full((len(position), 2, 2), np.nan)
    for atom in range(len(position)):
        distance = np.hypot(*(position - position[atom]).T) / widths.max()
        near = np.flatnonzero(distance <= NEIGHBOURHOOD)
        near = np.concatenate([[atom], near[near != atom]])
        lit = np.flatnonzero(distance <= NEIGHBOURHOOD + 2 * WINDOW)
        jacobian, mean = _jacobian(spots[near], spots[lit], shape)
        if np.ndim(width) == 0:
            jacobian = np.vstack([jacobian[: -len(near) - 1], jacobian[-len(near) - 1 : -1].sum(axis=0), jacobian[-1:]])
        weight = 1 / np.maximum(noise.variance(mean + background), np.finfo(np.float64).tiny)
        information = (jacobian * weight) @ jacobian.T
        scale = np.sqrt(np.diagonal(information))
        bounds[atom] = (np.linalg.inv(information / np.outer(scale, scale)) / np.outer(scale, scale))[:2, :2]
    return bounds


def _jacobian(
    near: Float[np.ndarray, "near 4"], lit: Float[np.ndarray, "lit 4"], shape: tuple[int, int]
) -> tuple[Float[np.ndarray, "parameter pixel"], Float[np.ndarray, " pixel"]]:
    """Return derivatives by (y, x, amplitude) of each near spot, their widths and the background; and all spots."""
    reach = WINDOW * near[:, 3].max()
    low = np.maximum(np.floor(near[:, :2].min(axis=0) - reach), 0).astype(np.int64)
    high = np.minimum(np.ceil(near[:, :2].max(axis=0) + reach) + 1, shape).astype(np.int64)
    y, x = (axis.ravel() for axis in np.mgrid[low[0] : high[0], low[1] : high[1]])
    spots, widths = [], []
    for centre_y, centre_x, height, width in near:
        u, v = (y - centre_y) / width, (x - centre_x) / width
        spot = np.exp(-0.5 * (u**2 + v**2))
        spots += [height * spot * u / width, height * spot * v / width, spot]
        widths.append(height * spot * (u**2 + v**2) / width)
    mean = np.zeros(len(y))
    for centre_y, centre_x, height, width in lit:
        mean += height * np.exp(-((y - centre_y) ** 2 + (x - centre_x) ** 2) / (2 * width**2))
    return np.stack([*spots, *widths, np.ones(len(y))]), mean
