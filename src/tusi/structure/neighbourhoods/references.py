"""Slots found from the data: the most frequent vectors between neighbours, and which link belongs to which."""

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage

from tusi.structure.neighbourhoods.steps import shells_then_angle

N_BINS, BLUR = 128, 0.1
"""Bins of the density of links along each axis, and its blur in units of the median length."""

LEAST_DENSITY = 0.3
"""A vector is frequent if the density of links around it is at least this share of the highest."""

N_REFINEMENTS = 4


def match_slots(
    atom: Int[np.ndarray, " link"], vector: Float[np.ndarray, "link 2"], *, n_slots: int | None
) -> tuple[Float[np.ndarray, "slot 2"], Int[np.ndarray, " link"]]:
    """Return the reference vectors of the slots, and the slot of each link; -1 for those that fit none.

    Parameters
    ----------
    atom
        The atom at the start of each link.
    vector
        From the atom to its neighbour, (y, x).
    n_slots
        How many slots; `None` takes all frequent vectors.

    Examples
    --------
    >>> reference, slot = match_slots(np.array([0, 0, 1]), np.array([[0.0, 1], [0, -1], [0, 1.1]]), n_slots=None)
    >>> slot.tolist(), reference.round(2).tolist()
    ([0, 1, 0], [[0.0, 1.05], [0.0, -1.0]])
    """
    if not len(vector):
        return np.zeros((0, 2)), np.empty(0, np.int64)
    reference = _frequent_vectors(vector, n_slots)
    for _ in range(N_REFINEMENTS):
        slot, near = _nearest_slot(vector, reference)
        count = np.bincount(slot[near], minlength=len(reference))
        total = np.stack(
            [np.bincount(slot[near], vector[near, axis], minlength=len(reference)) for axis in (0, 1)], axis=1
        )
        reference = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], reference)
    reference = reference[shells_then_angle(reference)]
    slot, near = _nearest_slot(vector, reference)
    return reference, _one_in_each(atom, np.where(near, slot, -1), np.linalg.norm(vector - reference[slot], axis=1))


def _frequent_vectors(vector: Float[np.ndarray, "link 2"], n_slots: int | None) -> Float[np.ndarray, "slot 2"]:
    """Return the maxima of the density of links, highest first."""
    length = np.linalg.norm(vector, axis=1)
    median = float(np.median(length))
    reach = 1.05 * min(float(length.max()), 3 * median) + 2 * BLUR * median
    density, edges, _ = np.histogram2d(*vector.T, bins=N_BINS, range=[[-reach, reach]] * 2)
    density = ndimage.gaussian_filter(density, BLUR * median / (edges[1] - edges[0]))
    size = max(3, int(0.5 * median / (edges[1] - edges[0])) | 1)
    peak = np.argwhere((density == ndimage.maximum_filter(density, size)) & (density > 0))
    height = density[tuple(peak.T)]
    order = np.argsort(-height, kind="stable")
    wanted = order[:n_slots] if n_slots is not None else order[height[order] >= LEAST_DENSITY * height.max()]
    return (edges[peak[wanted]] + edges[peak[wanted] + 1]) / 2


def _nearest_slot(
    vector: Float[np.ndarray, "link 2"], reference: Float[np.ndarray, "slot 2"]
) -> tuple[Int[np.ndarray, " link"], np.ndarray]:
    """Return the nearest reference of each link, and whether it lies within half of the shortest one's length."""
    miss = np.stack([((vector - one) ** 2).sum(axis=1) for one in reference], axis=1)
    slot = miss.argmin(axis=1)
    reach = 0.5 * np.linalg.norm(reference, axis=1).min()
    return slot, miss[np.arange(len(vector)), slot] <= reach**2


def _one_in_each(
    atom: Int[np.ndarray, " link"], slot: Int[np.ndarray, " link"], miss: Float[np.ndarray, " link"]
) -> Int[np.ndarray, " link"]:
    """Keep the link nearest to the reference where several of an atom fall into one slot."""
    order = np.lexsort((miss, slot, atom))
    repeated = np.zeros(len(order), bool)
    repeated[1:] = (np.diff(atom[order]) == 0) & (np.diff(slot[order]) == 0)
    kept = slot.copy()
    kept[order[repeated]] = -1
    return kept
