"""Histograms of a site and its ring by symmetry class, observed and in the random alloy."""

import numba
import numpy as np
from jaxtyping import Float, Int, Real
from scipy.special import gammaln

from tusi.generative.window import Window
from tusi.numerics.symmetry import RingClasses


def cluster_histogram(
    window: Window, species: Int[np.ndarray, "replica site"], classes: RingClasses
) -> Int[np.ndarray, "replica class"]:
    """Count the complete clusters of each symmetry class in each arrangement.

    Parameters
    ----------
    window
        Says which sites have complete rings.
    species
        Species (0 or 1) of every site.
    classes
        Symmetry classes for this ring.
    """
    out = np.zeros((len(species), len(classes)), dtype=np.int64)
    _count(np.ascontiguousarray(species, dtype=np.int8), window.centre, window.ring, classes.class_of, out)
    return out


def random_probability(
    composition: Float[np.ndarray, "*batch"] | float, classes: RingClasses
) -> Float[np.ndarray, "*batch class"]:
    """Return the probability of each class in an infinite random alloy of this composition.

    Examples
    --------
    >>> from tusi.numerics.symmetry import ring_classes
    >>> probability = random_probability(np.array(0.5), ring_classes(6))
    >>> round(float(probability.sum()), 12), round(float(probability[0] * 128), 12)
    (1.0, 1.0)
    """
    composition = np.asarray(composition, dtype=float)[..., None]
    n_counted = classes.centre + classes.ring_count[:, -1]
    return classes.n_states * composition**n_counted * (1 - composition) ** (1 + classes.n_ring - n_counted)


def finite_random_probability(n_sites: int, n_counted: int, classes: RingClasses) -> Float[np.ndarray, " class"]:
    """Return the probability of each class in a random arrangement of exactly `n_counted` atoms on `n_sites` sites."""
    size = 1 + classes.n_ring
    inside = classes.centre + classes.ring_count[:, -1]
    possible = (inside <= n_counted) & (size - inside <= n_sites - n_counted)
    rest = np.where(possible, n_counted - inside, 0)
    log = _log_choose(n_sites - size, rest) - _log_choose(n_sites, n_counted)
    return np.where(possible, classes.n_states * np.exp(log), 0.0)


def centre_composition(
    histogram: Real[np.ndarray, "*batch class"], classes: RingClasses
) -> Float[np.ndarray, "*batch"]:
    """Return the fraction of clusters whose centre holds the counted species; NaN without clusters."""
    with np.errstate(invalid="ignore"):
        return np.asarray((histogram @ (classes.centre == 1)) / histogram.sum(axis=-1))


def _log_choose(n: int, k: np.ndarray | int) -> np.ndarray:
    """Return the logarithm of the binomial coefficient."""
    return gammaln(n + 1) - gammaln(np.asarray(k) + 1) - gammaln(n - np.asarray(k) + 1)


@numba.njit(cache=True, nogil=True)
def _count(species, centre, ring, class_of, out):
    """Add one to the class of every cluster of every replica."""
    for replica in range(species.shape[0]):
        for cluster in range(len(centre)):
            code = np.int64(species[replica, centre[cluster]])
            for place in range(ring.shape[1]):
                code += np.int64(species[replica, ring[cluster, place]]) << (place + 1)
            out[replica, class_of[code]] += 1
