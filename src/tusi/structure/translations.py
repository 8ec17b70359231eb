"""Which translations carry a cloud of atoms into itself: the lattice vectors of the parent lattice.

A dimerised or otherwise modulated structure has a larger true cell; what is sought here is the parent lattice, whose
translations hold within a tolerance that is a fraction of the nearest-neighbour distance.
"""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial import cKDTree

COHERENCE = 0.45
"""Waves of a lattice count as strong from this local coherence on; a perfect crystal of one site in the cell has 1."""

LOCAL_ATOMS, N_PLACES = 80, 60
"""The coherence of a wave is measured over so many nearest atoms at about so many places."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TranslationSearch:
    """How lattice vectors are looked for.

    Attributes
    ----------
    reach
        Longest lattice vector considered, in nearest-neighbour distances.
    tolerance
        How far from the translated place an atom may lie and still count, in nearest-neighbour distances.
    coverage
        Share of the (intensity-weighted) atoms that a lattice translation must carry onto atoms.
    shortfall
        How much smaller this share may be than that of the best translation. A smaller number tells a basis site that
        is left behind from missing atoms; any that the coverage allows suit parent lattices.
    """

    reach: float = 3.6
    tolerance: float = 0.36
    coverage: float = 0.8
    shortfall: float = 1.0


def neighbour_distance(position: Float[np.ndarray, "atom 2"]) -> float:
    """Return the typical distance between neighbours, in the unit of the positions.

    It is the median distance to the third-nearest atom: every common lattice has three equal nearest neighbours, and
    dimers or spurious detections, which shorten the first distance, hardly touch the third.
    """
    distances, _ = cKDTree(position).query(position, k=4)
    return float(np.median(distances[:, 3]))


def find_translations(
    position: Float[np.ndarray, "atom 2"],
    weight: Float[np.ndarray, " atom"],
    *,
    search: TranslationSearch | None = None,
) -> Float[np.ndarray, "2 2"] | None:
    """Find the two shortest independent translations that carry the atoms into themselves.

    Candidates are the maxima of the weighted histogram of pair differences, smoothed by three quarters of the
    tolerance; each is judged by the share of the atoms, by weight, that it and its reverse carry onto another atom
    inside the window, and moved to the mean of those differences. The pair is reduced (Gauss), so that the vectors are
    as short as possible.

    Parameters
    ----------
    position
        (y, x) of the atoms, in any unit of length.
    weight
        Importance of each atom, for instance its intensity: bright sublattices decide.
    search
        Reach, tolerance and required coverage.

    Returns
    -------
    vectors
        Two reduced lattice vectors as rows (y, x), in the unit of the positions; `None` if there are not two.

    Examples
    --------
    >>> y, x = np.mgrid[:8, :8] * 3.0
    >>> vectors = find_translations(np.stack([y.ravel(), x.ravel()], axis=1), np.ones(64))
    >>> np.round(np.hypot(*vectors.T), 6).tolist()
    [3.0, 3.0]
    """
    search = search or TranslationSearch()
    if len(position) < 4:
        return None
    spacing = neighbour_distance(position)
    tolerance = search.tolerance * spacing
    tree = cKDTree(position)
    starts = _difference_maxima(tree, weight, reach=search.reach * spacing, blur=0.75 * tolerance)
    judged = [_coverage(tree, weight, start, tolerance=tolerance) for start in starts]
    required = max(search.coverage, max((coverage for _, coverage in judged), default=0.0) - search.shortfall)
    accepted = [translation for translation, coverage in judged if coverage >= required]
    for candidate in accepted[1:]:
        sine = abs(np.linalg.det([accepted[0], candidate])) / np.linalg.norm(accepted[0]) / np.linalg.norm(candidate)
        if sine > 0.3:
            return reduce_vectors(np.array([accepted[0], candidate]))
    return None


def reduce_vectors(vectors: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "2 2"]:
    """Return the shortest basis of the same lattice, at an obtuse or right angle, right-handed in (y, x).

    Examples
    --------
    >>> reduce_vectors(np.array([[0.0, 1.0], [1.0, 5.0]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    first, second = sorted(np.asarray(vectors, float), key=lambda vector: float(np.dot(vector, vector)))
    while True:
        second = second - np.round(np.dot(first, second) / np.dot(first, first)) * first
        if np.dot(second, second) >= np.dot(first, first) * (1 - 1e-12):
            break
        first, second = second, first
    if tuple(np.round(first, 9)) < (0.0, 0.0):
        first = -first
    if np.dot(first, second) > 1e-9 * np.dot(first, first):
        second = -second
    reduced = np.array([first, second]) if np.linalg.det([first, second]) > 0 else np.array([second, first])
    return reduced + 0.0


def local_coherence(
    position: Float[np.ndarray, "atom 2"], weight: Float[np.ndarray, " atom"], vectors: Float[np.ndarray, "2 2"]
) -> float:
    """Return how strong the fundamental waves of a lattice are: the coherence of the weaker one.

    The coherence of a wave is the modulus of its mean over the nearest atoms, typical of the whole image. In a cell
    with many atoms the fundamental waves can vanish although the lattice is perfect.

    Parameters
    ----------
    position
        (y, x) of the atoms, in any unit of length.
    weight
        Importance of each atom.
    vectors
        Lattice vectors as rows, in the unit of the positions.

    Examples
    --------
    >>> y, x = np.mgrid[:8, :8] * 3.0
    >>> round(local_coherence(np.stack([y.ravel(), x.ravel()], axis=1), np.ones(64), 3.0 * np.eye(2)), 6)
    1.0
    """
    places = position[:: max(1, len(position) // N_PLACES)]
    near = cKDTree(position).query(places, k=min(LOCAL_ATOMS, len(position)))[1]
    wave = weight[near][..., None] * np.exp(2j * np.pi * position[near] @ np.linalg.inv(vectors))
    coherence = np.abs(wave.sum(axis=1)) / weight[near].sum(axis=1)[:, None]
    return float(np.median(coherence, axis=0).min())


def is_triangular(vectors: Float[np.ndarray, "2 2"]) -> bool:
    """Return whether a reduced lattice has six nearest neighbours rather than four.

    The third shortest vector is compared with the longer of the two; on a square lattice it is 1.41 times as long.
    """
    longest = np.linalg.norm(vectors, axis=1).max()
    return bool(np.linalg.norm(vectors.sum(axis=0)) < 1.2 * longest)


def _difference_maxima(
    tree: cKDTree, weight: Float[np.ndarray, " atom"], *, reach: float, blur: float
) -> Float[np.ndarray, "candidate 2"]:
    """Return the maxima of the weighted histogram of pair differences in one half plane, the shortest first."""
    pairs = tree.query_pairs(reach, output_type="ndarray")
    if not len(pairs):
        return np.empty((0, 2))
    position = np.asarray(tree.data)
    difference = position[pairs[:, 1]] - position[pairs[:, 0]]
    share = weight[pairs[:, 0]] * weight[pairs[:, 1]]
    n_bins = 2 * int(np.ceil(reach / blur * 2)) + 1
    histogram, edges, _ = np.histogram2d(
        *np.concatenate([difference, -difference]).T,
        bins=n_bins,
        range=[[-reach, reach]] * 2,
        weights=np.concatenate([share, share]),
    )
    smooth = ndimage.gaussian_filter(histogram, blur / (edges[1] - edges[0]))
    peaks = (smooth == ndimage.maximum_filter(smooth, 5)) & (smooth > 0.1 * smooth.max())
    centres = (edges[1:] + edges[:-1]) / 2
    candidates = centres[np.argwhere(peaks)]
    half = (candidates[:, 0] > blur / 4) | ((np.abs(candidates[:, 0]) <= blur / 4) & (candidates[:, 1] > blur))
    candidates = candidates[half]
    return candidates[np.argsort(np.hypot(*candidates.T), kind="stable")]


def _coverage(
    tree: cKDTree, weight: Float[np.ndarray, " atom"], translation: Float[np.ndarray, "2"], *, tolerance: float
) -> tuple[Float[np.ndarray, "2"], float]:
    """Return the translation moved to the mean of the differences it explains, and the share of weight it explains."""
    position = np.asarray(tree.data)
    low, high = position.min(axis=0), position.max(axis=0)
    explained, possible, differences = 0.0, 0.0, [np.empty((0, 2))]
    for sign in (1, -1):
        target = position + sign * translation
        inside = ((target >= low) & (target <= high)).all(axis=1)
        distance, other = tree.query(target[inside], distance_upper_bound=tolerance)
        hit = np.isfinite(distance)
        possible += weight[inside].sum()
        explained += weight[inside][hit].sum()
        differences.append(sign * (position[other[hit]] - position[inside][hit]))
    moved = np.concatenate(differences)
    if not len(moved):
        return translation, 0.0
    return moved.mean(axis=0), float(explained / possible)
