"""How often correlated rows tell the same: neighbourhoods share atoms, and slow fields move many of them together."""

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

REACH = 6
"""Distance, in units of that between the nearest centres, up to which rows are looked at for correlation."""


def redundancy(position: Float[np.ndarray, "row 2"], residual: Float[np.ndarray, "row dimension"]) -> float:
    """Return by how much correlation in space inflates a log-likelihood ratio of the rows: 1 if they are independent.

    It is one plus the sum over lags of the squared correlation of the residuals, the mean square that chance gives
    taken off. To second moments this is the exact inflation for a stationary Gaussian field.

    Parameters
    ----------
    position
        (y, x) of the rows.
    residual
        What a model leaves of each row, in any unit.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> place = rng.random((500, 2))
    >>> bool(redundancy(place, rng.normal(size=(500, 1))) < 1.5), bool(redundancy(place, place) > 5)
    (True, True)
    """
    n_rows, n_dimensions = residual.shape
    deviation = residual.std(axis=0)
    if n_rows < 3 or not n_dimensions or not (deviation > 0).all():
        return 1.0
    residual = (residual - residual.mean(axis=0)) / deviation
    tree = cKDTree(position)
    spacing = float(np.median(tree.query(position, k=2)[0][:, 1]))
    if not spacing > 0:
        return 1.0
    pair = tree.query_pairs(REACH * spacing, output_type="ndarray")
    if not len(pair):
        return 1.0
    lag = position[pair[:, 1]] - position[pair[:, 0]]
    backward = (lag[:, 0] < -1e-6 * spacing) | ((np.abs(lag[:, 0]) <= 1e-6 * spacing) & (lag[:, 1] < 0))
    first, second = np.where(backward, pair[:, 1], pair[:, 0]), np.where(backward, pair[:, 0], pair[:, 1])
    cell = np.round(np.where(backward[:, None], -lag, lag) / spacing).astype(np.int64) @ [4 * REACH, 1]
    bin_of, count = np.unique(cell, return_inverse=True, return_counts=True)[1:]
    excess = 0.0
    for a in range(n_dimensions):
        for b in range(n_dimensions):
            correlation = np.bincount(bin_of, residual[first, a] * residual[second, b]) / count
            excess += float((2 * count / n_rows * (correlation**2 - 1 / count)).sum())
    return max(1.0, 1.0 + excess / n_dimensions)
