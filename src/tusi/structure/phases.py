"""How far a lattice has been carried: the local phase of its two fundamental waves at every atom, unwrapped.

With reciprocal vectors g (g . a = 1 for its own lattice vector, 0 for the other), an atom at r lies g . r lattice steps
from the origin. Drift and slow distortion add a smooth offset to this, which the local mean of exp(2 pi i g . r) over a
neighbourhood of a few cells measures; a dimerised row averages out. What remains is close to an integer plus the
position of the basis site, so that atoms can be counted without following a chain of steps in which one error spreads.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.spatial import cKDTree

from tusi.structure.translations import reduce_vectors


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LatticePhase:
    """Lattice coordinates of atoms in one crystal domain.

    Attributes
    ----------
    coordinate
        Distance of each atom from the domain's origin in units of its two lattice vectors, distortion removed; the
        fractional part is the place in the cell. NaN outside the domain.
    offset
        What the distortion adds to each atom's coordinates; smooth in space. NaN outside the domain.
    vectors
        Mean lattice vectors of the domain as rows (y, x), in the unit of the positions.
    member
        Atoms that belong to the domain.
    """

    coordinate: Float[np.ndarray, "atom 2"]
    offset: Float[np.ndarray, "atom 2"]
    vectors: Float[np.ndarray, "2 2"]
    member: Bool[np.ndarray, " atom"]

    def in_cell(self, cell: Real[np.ndarray, "2 2"]) -> "LatticePhase":
        """Return the same domain counted in another cell, whose vectors are these multiples of the present ones."""
        vectors = reduce_vectors(cell @ self.vectors)
        steps = np.rint(vectors @ np.linalg.inv(cell @ self.vectors)) @ cell
        backward = np.linalg.inv(steps)
        return dataclasses.replace(
            self, coordinate=self.coordinate @ backward, offset=self.offset @ backward, vectors=vectors
        )


def follow_phase(
    position: Float[np.ndarray, "atom 2"],
    weight: Float[np.ndarray, " atom"],
    *,
    vectors: Float[np.ndarray, "2 2"],
    radius: float,
    coherence: float = 0.45,
) -> LatticePhase:
    """Measure the local lattice phase at every atom and count lattice steps from it.

    The phase at an atom is the argument of the Gaussian-weighted sum of exp(2 pi i g . r) over its neighbourhood,
    unwrapped along neighbours that differ least. The mean lattice is then corrected by the linear part of the phase and
    the measurement repeated. Atoms where the waves are incoherent belong to another domain or to none; of those that
    are coherent, the largest connected set is the domain.

    Parameters
    ----------
    position
        (y, x) of the atoms, in any unit of length.
    weight
        Importance of each atom, for instance its intensity.
    vectors
        First estimate of the lattice vectors as rows, in the unit of the positions; a few per cent is near enough.
    radius
        Standard deviation of the Gaussian neighbourhood, in the unit of the positions.
    coherence
        Least modulus of the local mean of both waves for an atom to belong to the lattice; 1 is a perfect crystal.

    Returns
    -------
    LatticePhase
        Coordinates, corrected vectors and membership; the domain may be empty.
    """
    neighbourhood = gaussian_neighbourhood(position, radius)
    member = np.zeros(len(position), bool)
    wave_number = np.linalg.inv(vectors)
    offset = np.zeros((len(position), 2))
    for _ in range(3):
        wave = np.exp(2j * np.pi * position @ wave_number)
        mean = (neighbourhood @ (weight[:, None] * wave)) / (neighbourhood @ weight)[:, None]
        coherent = (np.abs(mean) > coherence).all(axis=1)
        member = connected(position, coherent, reach=1.5 * np.linalg.norm(vectors, axis=1).max())
        if member.sum() < 4:
            return nowhere(vectors, len(position))
        offset = np.full((len(position), 2), np.nan)
        offset[member] = _unwrap(position[member], np.angle(mean[member]) / (2 * np.pi))
        slope = linear_part(position[member], offset[member])
        if np.abs(np.linalg.inv(wave_number - slope) - vectors).max() > 0.2 * np.abs(vectors).max():
            break
        wave_number = wave_number - slope
        offset -= position @ slope
        vectors = np.linalg.inv(wave_number)
    return LatticePhase(coordinate=position @ wave_number - offset, offset=offset, vectors=vectors, member=member)


def place(
    coordinate: Float[np.ndarray, "site 2"], phase: LatticePhase, position: Float[np.ndarray, "atom 2"]
) -> Float[np.ndarray, "site 2"]:
    """Return where sites with these lattice coordinates are expected, following the distortion.

    The offset at a place is the mean over the eight nearest atoms of the domain, weighted by inverse distance; the
    place that has the wanted coordinate is found by fixed-point iteration, which converges because the offset is slow.

    Parameters
    ----------
    coordinate
        Lattice coordinates, in lattice vectors.
    phase
        What `follow_phase` returned for `position`; its domain must not be empty.
    position
        (y, x) of the atoms, in any unit of length.

    Returns
    -------
    position
        Expected (y, x) of the sites, in the unit of the atoms' positions.
    """
    member = phase.member
    tree = cKDTree(position[member])
    expected = coordinate @ phase.vectors
    for _ in range(4):
        distance, near = tree.query(expected, k=min(8, int(member.sum())))
        weight = 1.0 / (distance + 1e-3 * np.abs(phase.vectors).max())
        offset = (weight[..., None] * phase.offset[member][near]).sum(axis=1) / weight.sum(axis=1, keepdims=True)
        expected = (coordinate + offset) @ phase.vectors
    return expected


def nowhere(vectors: Float[np.ndarray, "2 2"], n_atoms: int) -> LatticePhase:
    """Return the domain of a lattice to which none of the atoms belong."""
    unknown = np.full((n_atoms, 2), np.nan)
    return LatticePhase(coordinate=unknown, offset=unknown, vectors=vectors, member=np.zeros(n_atoms, bool))


def linear_part(position: Float[np.ndarray, "atom 2"], offset: Float[np.ndarray, "atom 2"]) -> Float[np.ndarray, "2 2"]:
    """Return the part of the offsets that is linear in the position: what corrects the mean lattice."""
    design = np.column_stack([position - position.mean(axis=0), np.ones(len(position))])
    return np.linalg.lstsq(design, offset, rcond=None)[0][:2]


def gaussian_neighbourhood(position: Float[np.ndarray, "atom 2"], radius: float) -> csr_matrix:
    """Return Gaussian weights between atoms up to two and a half standard deviations apart."""
    pairs = cKDTree(position).query_pairs(2.5 * radius, output_type="ndarray")
    distance = np.linalg.norm(position[pairs[:, 0]] - position[pairs[:, 1]], axis=1)
    value = np.exp(-0.5 * (distance / radius) ** 2)
    itself = np.arange(len(position))
    rows = np.concatenate([pairs[:, 0], pairs[:, 1], itself])
    columns = np.concatenate([pairs[:, 1], pairs[:, 0], itself])
    values = np.concatenate([value, value, np.ones(len(position))])
    return coo_matrix((values, (rows, columns)), shape=(len(position), len(position))).tocsr()


def _adjacency(position: Float[np.ndarray, "atom 2"], reach: float) -> csr_matrix:
    pairs = cKDTree(position).query_pairs(reach, output_type="ndarray")
    shape = (len(position), len(position))
    return coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=shape).tocsr()


def connected(
    position: Float[np.ndarray, "atom 2"], allowed: Bool[np.ndarray, " atom"], *, reach: float
) -> Bool[np.ndarray, " atom"]:
    """Return the largest set of allowed atoms that are connected by steps of at most this reach."""
    largest = np.zeros(len(position), bool)
    if allowed.any():
        _, label = connected_components(_adjacency(position[allowed], reach), directed=False)
        largest[np.flatnonzero(allowed)[label == np.bincount(label).argmax()]] = True
    return largest


def _unwrap(
    position: Float[np.ndarray, "atom 2"], wrapped: Float[np.ndarray, "atom wave"]
) -> Float[np.ndarray, "atom wave"]:
    """Add whole turns so that neighbours differ by less than half a turn, walking outward from the middle."""
    _, neighbours = cKDTree(position).query(position, k=min(8, len(position)))
    rows = np.repeat(np.arange(len(position)), neighbours.shape[1])
    links = coo_matrix((np.ones(neighbours.size), (rows, neighbours.ravel())), shape=(len(position),) * 2).tocsr()
    start = int(np.argmin(((position - position.mean(axis=0)) ** 2).sum(axis=1)))
    order, parent = breadth_first_order(links + links.T, start, directed=False)
    return _walk(wrapped, order, parent)


def _walk(
    wrapped: Float[np.ndarray, "atom wave"], order: Int[np.ndarray, " reached"], parent: Int[np.ndarray, " atom"]
) -> Float[np.ndarray, "atom wave"]:
    """Unwrap along a tree, every atom against its parent; atoms that the tree does not reach keep their value."""
    unwrapped = wrapped.copy()
    for atom in order[1:]:
        unwrapped[atom] -= np.round(unwrapped[atom] - unwrapped[parent[atom]])
    return unwrapped
