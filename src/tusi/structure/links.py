"""A lattice followed from atom to atom, where the waves of its vectors are too weak to follow.

With many atoms in the cell the fundamental waves of a lattice can vanish: those of the twelve adatoms of Si(111)-7x7 do
nearly. Its translations still carry every atom onto another one. Each such pair measures how far the lattice has been
carried between its two atoms; the smooth offset that fits all pairs at once, by least squares, is not led astray by a
wrong pair as counting along a chain of steps would be.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix, csr_matrix, identity
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from tusi.structure.phases import LatticePhase, connected, gaussian_neighbourhood, linear_part, nowhere

STEPS = ((1, 0), (0, 1), (1, 1))
"""The shortest translations of a lattice whose vectors are at an obtuse angle; their reverses are counted with them."""

ROUNDS = 3
"""How often the local translations are measured, each time looking where the last time pointed."""

STIFFNESS, ANCHOR = 0.1, 1e-6
"""Weight of the differences between neighbours' offsets, and of the offsets themselves, beside that of one link."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Links:
    """Pairs of atoms that a translation of the lattice carries into each other.

    Attributes
    ----------
    start, end
        The two atoms of each link.
    step
        Lattice steps from the first to the second.
    share
        Around each atom, share of the weight that the translations and their reverses carry onto an atom, among what
        they carry to a place inside the window.
    """

    start: Int[np.ndarray, " link"]
    end: Int[np.ndarray, " link"]
    step: Int[np.ndarray, "link 2"]
    share: Float[np.ndarray, " atom"]


def follow_links(
    position: Float[np.ndarray, "atom 2"],
    weight: Float[np.ndarray, " atom"],
    *,
    vectors: Float[np.ndarray, "2 2"],
    radius: float,
    match: tuple[float, float],
) -> LatticePhase:
    """Measure the local lattice offset at every atom from the pairs that translations carry into each other.

    Two atoms are linked if each is the nearest to where a translation carries the other. The local translations are the
    weighted means over the links around, so that they follow slow distortion. Atoms around which too few of the
    translations end on an atom belong to another domain or to none.

    Parameters
    ----------
    position
        (y, x) of the atoms, in any unit of length.
    weight
        Importance of each atom, for instance its intensity.
    vectors
        First estimate of the reduced lattice vectors as rows, in the unit of the positions.
    radius
        Standard deviation of the Gaussian neighbourhood, in the unit of the positions.
    match
        How far from the translated place an atom may lie, in the unit of the positions, and the share of the atoms
        around an atom, by weight, that the translations must carry onto others.

    Returns
    -------
    LatticePhase
        Coordinates, corrected vectors and membership; the domain may be empty.
    """
    neighbourhood = gaussian_neighbourhood(position, radius)
    links = _find_links(position, weight, vectors, neighbourhood=neighbourhood, tolerance=match[0])
    reach = 1.5 * float(np.linalg.norm(vectors, axis=1).max())
    member = connected(position, links.share > match[1], reach=reach)
    inner = member[links.start] & member[links.end]
    start, end, step = links.start[inner], links.end[inner], links.step[inner].astype(float)
    if member.sum() < 4 or np.linalg.matrix_rank(step) < 2:
        return nowhere(vectors, len(position))
    difference = position[end] - position[start]
    wave_number = np.linalg.inv(np.linalg.lstsq(step, difference, rcond=None)[0])
    offset = np.zeros_like(position)
    offset[member] = _smooth_offset(position, member, (start, end), difference @ wave_number - step)
    kept = weight * member
    smooth = (neighbourhood @ (kept[:, None] * offset))[member] / (neighbourhood @ kept)[member, None]
    offset = np.full(position.shape, np.nan)
    offset[member] = smooth
    slope = linear_part(position[member], offset[member])
    wave_number, offset = wave_number - slope, offset - position @ slope
    coordinate = position @ wave_number - offset
    return LatticePhase(coordinate=coordinate, offset=offset, vectors=np.linalg.inv(wave_number), member=member)


def _find_links(
    position: Float[np.ndarray, "atom 2"],
    weight: Float[np.ndarray, " atom"],
    vectors: Float[np.ndarray, "2 2"],
    *,
    neighbourhood: csr_matrix,
    tolerance: float,
) -> _Links:
    """Link atoms by the translations, which are measured anew around each atom from the links found before."""
    tree = cKDTree(position)
    low, high = position.min(axis=0), position.max(axis=0)
    translation = [np.tile(np.array(step) @ vectors, (len(position), 1)) for step in STEPS]
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    linked, possible = np.zeros(len(position)), np.zeros(len(position))
    for _ in range(ROUNDS):
        linked[:], possible[:] = 0.0, 0.0
        pairs = [_mutual(tree, moved, tolerance) for moved in translation]
        for number, ends in enumerate(pairs):
            moved = translation[number]
            total, share = np.zeros_like(position), np.zeros(len(position))
            difference = position[ends[1]] - position[ends[0]]
            for sign, own in ((1, ends[0]), (-1, ends[1])):
                target = position + sign * moved
                inside = ((target >= low) & (target <= high)).all(axis=1)
                possible += inside
                linked[own] += inside[own]
                total[own] += weight[own, None] * difference
                share[own] += weight[own]
            around = (neighbourhood @ share)[:, None]
            translation[number] = np.where(around > 0, neighbourhood @ total / np.where(around > 0, around, 1.0), moved)
    possible_around = neighbourhood @ (weight * possible)
    return _Links(
        start=np.concatenate([ends[0] for ends in pairs]),
        end=np.concatenate([ends[1] for ends in pairs]),
        step=np.repeat(np.array(STEPS), [len(ends[0]) for ends in pairs], axis=0),
        share=neighbourhood @ (weight * linked) / np.maximum(possible_around, np.finfo(np.float64).tiny),
    )


def _mutual(
    tree: cKDTree, translation: Float[np.ndarray, "atom 2"], tolerance: float
) -> tuple[Int[np.ndarray, " link"], Int[np.ndarray, " link"]]:
    """Return the pairs of atoms each nearest to where the translation, or its reverse, carries the other."""
    position = np.asarray(tree.data)
    distance, end = tree.query(position + translation, distance_upper_bound=tolerance)
    start = np.flatnonzero(np.isfinite(distance))
    end = end[start]
    back = tree.query(position[end] - translation[start], distance_upper_bound=tolerance)[1]
    return start[back == start], end[back == start]


def _smooth_offset(
    position: Float[np.ndarray, "atom 2"],
    member: Bool[np.ndarray, " atom"],
    ends: tuple[Int[np.ndarray, " link"], Int[np.ndarray, " link"]],
    change: Float[np.ndarray, "link 2"],
) -> Float[np.ndarray, "member 2"]:
    """Return the offsets of the members whose differences fit what the links measured, varying little in between."""
    number = np.cumsum(member) - 1
    links = _differences(number[ends[0]], number[ends[1]], int(member.sum()))
    near = cKDTree(position[member]).query(position[member], k=min(8, int(member.sum())))[1]
    own = np.repeat(near[:, 0], near.shape[1] - 1)
    ties = _differences(own, near[:, 1:].ravel(), int(member.sum()))
    normal = links.T @ links + STIFFNESS * (ties.T @ ties) + ANCHOR * identity(int(member.sum()))
    return splu(normal.tocsc(), permc_spec="MMD_AT_PLUS_A").solve(links.T @ change)


def _differences(start: Int[np.ndarray, " pair"], end: Int[np.ndarray, " pair"], n_atoms: int) -> csr_matrix:
    """Return the matrix that takes the difference of every pair."""
    row = np.arange(len(start))
    values = np.concatenate([np.ones(len(end)), -np.ones(len(start))])
    places = np.concatenate([row, row]), np.concatenate([end, start])
    return coo_matrix((values, places), shape=(len(start), n_atoms)).tocsr()
