"""The statistical distance between two histograms, which the literature on lattice models fits by."""

import numpy as np
from jaxtyping import Float, Real


def statistical_distance(
    first: Real[np.ndarray, "*#batch bin"], second: Real[np.ndarray, "*#batch bin"]
) -> Float[np.ndarray, "..."]:
    """Return the angle between two histograms, `arccos sum_k sqrt(p_k q_k)`.

    The square roots of probabilities lie on the unit sphere, where equal angles are equally hard to tell apart by
    sampling (Fisher-Rao metric, twice the angle being the distance). Histograms are normalised first.

    Parameters
    ----------
    first, second
        Counts or probabilities, not negative; the last axis runs over bins and the others are broadcast.

    Returns
    -------
    ndarray
        Angles between 0 and pi/2, in radians; NaN where a histogram is empty.

    References
    ----------
    W. K. Wootters, Phys. Rev. D 23, 357 (1981).

    Examples
    --------
    >>> float(statistical_distance(np.array([1.0, 1.0]), np.array([5.0, 5.0])))
    0.0
    >>> round(float(statistical_distance(np.array([1.0, 0.0]), np.array([0.0, 1.0]))), 6)
    1.570796
    """
    with np.errstate(invalid="ignore"):
        p = np.sqrt(first / first.sum(axis=-1, keepdims=True))
        q = np.sqrt(second / second.sum(axis=-1, keepdims=True))
    chord = np.sqrt(((p - q) ** 2).sum(axis=-1))
    return np.asarray(2.0 * np.arcsin(np.clip(chord / 2.0, 0.0, 1.0)))


def pooled_squared_distance(
    squared: Float[np.ndarray, "*batch image"], n_clusters: Real[np.ndarray, " image"]
) -> Float[np.ndarray, "*batch"]:
    """Return `S^2 = sum_k (N_k / N) s_k^2` over images; images without clusters do not count.

    Parameters
    ----------
    squared
        Squared statistical distance of each image, the last axis running over images.
    n_clusters
        Clusters in each image.

    Examples
    --------
    >>> pooled_squared_distance(np.array([0.01, 0.03]), np.array([100, 300])).item()
    0.025
    """
    total = np.sum(n_clusters)
    if not total:
        return np.full(squared.shape[:-1], np.nan)
    return np.asarray(np.where(n_clusters > 0, np.nan_to_num(squared), 0.0) @ n_clusters / total)
