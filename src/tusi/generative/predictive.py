"""Statistics that no model here was fitted to: if a model is right, it predicts them all the same."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tusi.generative.window import Window

PREDICTED = ("unlike third neighbours", "connected groups of the rarer species")
"""Names of the statistics: bonds between unlike sites two steps apart along a row, and nearest-neighbour clusters."""


def predicted_statistics(
    window: Window, species: Int[np.ndarray, "replica site"]
) -> Float[np.ndarray, "replica statistic"]:
    """Return the statistics named in `PREDICTED` for each arrangement.

    Parameters
    ----------
    window
        Sites and their neighbours.
    species
        Species (0 or 1) of every site.
    """
    third = window.third_pairs
    unlike = (species[:, third[:, 0]] != species[:, third[:, 1]]).sum(axis=1)
    rarer = int(species[:, window.occupied].mean() < 0.5) if species.size and window.occupied.any() else 1
    return np.stack([unlike, _groups(window, species == rarer)], axis=1).astype(float)


def two_sided_p_value(
    observed: Float[np.ndarray, "draw image statistic"], replicas: Float[np.ndarray, "replica image statistic"]
) -> Float[np.ndarray, " statistic"]:
    """Return for each statistic the two-sided p-value of its mean over images, each in units of its spread."""
    if not len(replicas):
        return np.full(observed.shape[-1], np.nan)
    centre, spread = replicas.mean(axis=0), replicas.std(axis=0)
    scale = np.where(spread > 0, spread, np.inf)
    null = ((replicas - centre) / scale).sum(axis=1)
    seen = ((observed - centre) / scale).sum(axis=1)
    above = (null[None] >= seen[:, None] - 1e-9).sum(axis=1)
    below = (null[None] <= seen[:, None] + 1e-9).sum(axis=1)
    p_value = 2.0 * (1 + np.minimum(above, below)) / (1 + len(null))
    return np.minimum(p_value, 1.0).mean(axis=0)


def _groups(window: Window, chosen: np.ndarray) -> np.ndarray:
    """Count the connected groups of chosen sites in each arrangement, all arrangements in one graph."""
    chosen = chosen & window.occupied
    pairs = window.first_pairs
    replica, pair = np.nonzero(chosen[:, pairs[:, 0]] & chosen[:, pairs[:, 1]])
    first, second = (replica * window.n_sites + pairs[pair, side] for side in (0, 1))
    size = chosen.size
    graph = coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(size, size))
    _, label = connected_components(graph.tocsr(), directed=False)
    owner = np.repeat(np.arange(len(chosen)), window.n_sites)[chosen.ravel()]
    _, place = np.unique(label[chosen.ravel()], return_index=True)
    return np.bincount(owner[place], minlength=len(chosen))
