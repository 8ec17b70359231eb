"""Operations that nearly carry the atoms of a cell into themselves, and the groups that they form.

An operation is kept as what it does to the labelled atoms of the crystal: an integer matrix W on cells, and for each
atom of the cell the atom that it becomes and in which cell. Composition is then exact integer arithmetic, whatever the
noise of the positions; where an operation puts its centre is left to the positions.
"""

import dataclasses
import itertools

import numba
import numpy as np
from jaxtyping import Bool, Float, Int

MOST_OPERATIONS, MOST_FACTORS = 160, 40
"""Near-symmetries that are kept, the closest ones; those whose products are tried too.

Where atoms are hardly farther apart than their errors the best match of a single operation can be a wrong one; as the
product of two others it is found all the same.
"""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Operations:
    """Operations on the labelled atoms of a crystal, one per coset of the cell's translations.

    Atom j of cell n becomes atom `image[j]` of cell `W n + offset[j]`, up to a translation common to all atoms.
    """

    rotation: Int[np.ndarray, "operation 2 2"]
    image: Int[np.ndarray, "operation site"]
    offset: Int[np.ndarray, "operation site 2"]

    def __len__(self) -> int:
        return len(self.rotation)

    def __getitem__(self, rows: np.ndarray) -> "Operations":
        return Operations(rotation=self.rotation[rows], image=self.image[rows], offset=self.offset[rows])

    def labels(self) -> list[bytes]:
        """Return a name for each operation, the same for equal ones."""
        n = len(self)
        columns = (self.rotation.reshape(n, -1), self.image, self.offset.reshape(n, -1))
        return [row.tobytes() for row in np.ascontiguousarray(np.concatenate(columns, axis=1), dtype=np.int16)]

    def miss(self, fraction: Float[np.ndarray, "site 2"]) -> Float[np.ndarray, "operation site 2"]:
        """Return where the images of the atoms lie relative to the operation applied to them, for each atom.

        The mean over atoms is the operation's translation; what differs from it is the operation's failure.
        """
        return fraction[self.image] - np.einsum("kab,jb->kja", self.rotation, fraction) - self.offset


def _integer_rotations() -> Int[np.ndarray, "matrix 2 2"]:
    """Return the integer matrices with entries -1, 0 and 1 that keep some lattice; reduced cells need no others."""
    entries = np.array(list(itertools.product((-1, 0, 1), repeat=4))).reshape(-1, 2, 2)
    identity = np.eye(2, dtype=int)
    finite = [any(np.array_equal(np.linalg.matrix_power(w, n), identity) for n in (4, 6)) for w in entries]
    return entries[np.array(finite)]


def _powers(matrix: Int[np.ndarray, "2 2"]) -> Int[np.ndarray, "power 2 2"]:
    """Return the first twelve powers, among which each element of the cyclic group is equally often."""
    return np.array([np.linalg.matrix_power(matrix, n) for n in range(12)])


ROTATIONS = _integer_rotations()
POWERS = np.array([_powers(matrix) for matrix in ROTATIONS])


def strain_of(
    rotations: Int[np.ndarray, "*group operation 2 2"], vectors: Float[np.ndarray, "2 2"]
) -> Float[np.ndarray, "*group 2"]:
    """Return the pure strain that would make the cell invariant: e_yy - e_xx and 2 e_xy relative to the mean metric."""
    gram = vectors @ vectors.T
    mean = (np.swapaxes(rotations, -1, -2) @ gram @ rotations).mean(axis=-3)
    inverse = np.linalg.inv(vectors)
    relative = inverse @ mean @ inverse.T
    relative = relative / np.sqrt(np.linalg.det(relative))[..., None, None]
    return np.stack([relative[..., 0, 0] - relative[..., 1, 1], 2 * relative[..., 0, 1]], axis=-1) / 2


def find_operations(
    fraction: Float[np.ndarray, "site 2"],
    vectors: Float[np.ndarray, "2 2"],
    *,
    compatible: Bool[np.ndarray, "site site"],
    tolerance: float,
    strain_tolerance: float,
) -> Operations:
    """Return the operations under which every atom falls within reach of a compatible one.

    Parameters
    ----------
    fraction
        Positions in the cell, in units of the lattice vectors.
    vectors
        The lattice vectors as rows, reduced.
    compatible
        Which atoms may be of one species.
    tolerance
        Root mean square distance between images and atoms that is still accepted, in the unit of `vectors`.
    strain_tolerance
        Strain of the cell that is still accepted.
    """
    near = np.hypot(*strain_of(POWERS, vectors).T) <= strain_tolerance
    rotations = np.ascontiguousarray(ROTATIONS[near])
    start = int(compatible.sum(axis=1).argmin())
    cell = (np.ascontiguousarray(fraction), np.ascontiguousarray(vectors), np.ascontiguousarray(compatible))
    which, image, offset, distance = _search(cell, rotations, start, tolerance)
    found = Operations(rotation=rotations[which], image=image, offset=offset)
    factors = found[np.argsort(distance, kind="stable")[:MOST_FACTORS]]
    return _nearest(_joined(found, _products(factors)), fraction, vectors, tolerance)


def _nearest(
    operations: Operations,
    fraction: Float[np.ndarray, "site 2"],
    vectors: Float[np.ndarray, "2 2"],
    tolerance: float,
) -> Operations:
    """Return the distinct operations that miss the atoms by no more than the tolerance, the closest first.

    What leaves the lattice and some atom in place but exchanges others would put two atoms on one point: it is none.
    """
    still = operations.image == np.arange(len(fraction))
    identity = (operations.rotation == np.eye(2, dtype=int)).all(axis=(1, 2))
    operations = operations[~(identity & still.any(axis=1) & ~still.all(axis=1))]
    miss = operations.miss(fraction)
    miss = (miss - miss.mean(axis=1, keepdims=True)) @ vectors
    distance = np.sqrt((miss**2).sum(axis=2).mean(axis=1))
    order = np.argsort(distance, kind="stable")
    labels = operations.labels()
    distinct = dict.fromkeys(labels[k] for k in order if distance[k] <= tolerance)
    number = {key: k for k, key in enumerate(labels)}
    return operations[np.array([number[key] for key in list(distinct)[:MOST_OPERATIONS]])]


def _products(operations: Operations) -> Operations:
    """Return the products of each two operations, the right one first."""
    n, n_sites = operations.image.shape
    offset = np.einsum("gab,hjb->ghja", operations.rotation, operations.offset)
    offset = offset + operations.offset[:, operations.image]
    offset = offset - offset[:, :, :1]
    return Operations(
        rotation=np.einsum("gab,hbc->ghac", operations.rotation, operations.rotation).reshape(n * n, 2, 2),
        image=operations.image[:, operations.image].reshape(n * n, n_sites),
        offset=offset.reshape(n * n, n_sites, 2),
    )


def _joined(first: Operations, other: Operations) -> Operations:
    return Operations(
        rotation=np.concatenate([first.rotation, other.rotation]),
        image=np.concatenate([first.image, other.image]),
        offset=np.concatenate([first.offset, other.offset]),
    )


@numba.njit(cache=True, nogil=True)
def _search(cell, rotations, start, tolerance):
    """Try every rotation with every atom that the starting atom may become."""
    compatible = cell[2]
    n_sites, n_tries = len(compatible), len(rotations) * len(compatible)
    which = np.empty(n_tries, np.int64)
    image = np.empty((n_tries, n_sites), np.int64)
    offset = np.empty((n_tries, n_sites, 2), np.int64)
    distance = np.empty(n_tries)
    n_found = 0
    for r in range(len(rotations)):
        for target in range(n_sites):
            if not compatible[start, target]:
                continue
            reached = _match(cell, rotations[r], (start, target), (image[n_found], offset[n_found]), tolerance)
            if reached <= tolerance:
                which[n_found] = r
                distance[n_found] = reached
                n_found += 1
    return which[:n_found], image[:n_found], offset[:n_found], distance[:n_found]


@numba.njit(cache=True, nogil=True)
def _match(cell, rotation, pair, match, tolerance):
    """Match rotated atoms to atoms one to one, the shift refined twice; return the rms distance, or infinity."""
    fraction, vectors, compatible = cell
    image, offset = match
    start, target = pair
    n_sites = len(fraction)
    reach = 16.0 * n_sites * tolerance * tolerance
    shift = fraction[target] - _turned(rotation, fraction[start])
    square = np.empty((n_sites, n_sites))
    difference = np.empty((n_sites, n_sites, 2))
    total = np.inf
    for step in range(3):
        for j in range(n_sites):
            place = _turned(rotation, fraction[j]) + shift
            for k in range(n_sites):
                square[j, k] = np.inf
                if compatible[j, k]:
                    miss = fraction[k] - place
                    miss = miss - np.rint(miss)
                    y = miss[0] * vectors[0, 0] + miss[1] * vectors[1, 0]
                    x = miss[0] * vectors[0, 1] + miss[1] * vectors[1, 1]
                    square[j, k] = y * y + x * x
                    difference[j, k] = miss
            if square[j].min() > reach:
                return np.inf
        total = _assign(square, image)
        if step < 2 and total < np.inf:
            for j in range(n_sites):
                shift = shift + difference[j, image[j]] / n_sites
    for j in range(n_sites):
        place = _turned(rotation, fraction[j]) + shift
        for axis in range(2):
            offset[j, axis] = int(np.rint(fraction[image[j], axis] - place[axis]))
    first = offset[0].copy()
    for j in range(n_sites):
        offset[j] -= first
    return np.sqrt(total / n_sites)


@numba.njit(cache=True, nogil=True)
def _assign(square, image):
    """Assign one to one, each its nearest free partner, then exchange partners while that helps; return the sum."""
    n_sites = len(square)
    taken = np.zeros(n_sites, np.bool_)
    for j in range(n_sites):
        best, best_square = -1, np.inf
        for k in range(n_sites):
            if not taken[k] and (square[j, k] < best_square or best < 0):
                best, best_square = k, square[j, k]
        image[j] = best
        taken[best] = True
    improved = True
    while improved:
        improved = False
        for j in range(n_sites):
            for k in range(j):
                now = square[j, image[j]] + square[k, image[k]]
                if square[j, image[k]] + square[k, image[j]] < now - 1e-15:
                    image[j], image[k] = image[k], image[j]
                    improved = True
    total = 0.0
    for j in range(n_sites):
        total += square[j, image[j]]
    return total


@numba.njit(cache=True, nogil=True)
def _turned(rotation, point):
    turned = np.empty(2)
    turned[0] = rotation[0, 0] * point[0] + rotation[0, 1] * point[1]
    turned[1] = rotation[1, 0] * point[0] + rotation[1, 1] * point[1]
    return turned


def product_table(operations: Operations) -> Int[np.ndarray, "operation operation"]:
    """Return the number of the product of each two operations, the right one first; -1 where it is not among them."""
    number = {key: k for k, key in enumerate(operations.labels())}
    return np.array([number.get(key, -1) for key in _products(operations).labels()]).reshape((len(operations),) * 2)


def subgroups(
    table: Int[np.ndarray, "operation operation"], *, most: int = 4000
) -> Bool[np.ndarray, "group operation"]:
    """Return the sets of operations that are closed under composition, the smallest first.

    Every such group is joined from cyclic ones; joins that leave the table are not groups of near-symmetries.

    Parameters
    ----------
    table
        Product of each two operations, -1 where unknown.
    most
        Groups after which the search stops.
    """
    n = len(table)
    cyclic: dict[bytes, np.ndarray] = {}
    for k in range(n):
        members = np.zeros(n, np.bool_)
        members[k] = True
        if _close(table, members):
            cyclic.setdefault(members.tobytes(), members)
    found = dict(cyclic)
    new = list(cyclic.values())
    while new and len(found) < most:
        joined: dict[bytes, np.ndarray] = {}
        for group in new:
            for other in cyclic.values():
                members = group | other
                if np.array_equal(members, group) or not _close(table, members):
                    continue
                if (key := members.tobytes()) not in found:
                    joined.setdefault(key, members)
        found.update(joined)
        new = list(joined.values())
    return np.array(sorted(found.values(), key=lambda members: int(members.sum())))


@numba.njit(cache=True, nogil=True)
def _close(table, members):
    """Add products until nothing is new; return False where a product is unknown."""
    n = len(table)
    listed = np.empty(n, np.int64)
    n_listed = 0
    for k in range(n):
        if members[k]:
            listed[n_listed] = k
            n_listed += 1
    done = 0
    while done < n_listed:
        for other in range(n_listed):
            for swap in range(2):
                if swap:
                    product = table[listed[done], listed[other]]
                else:
                    product = table[listed[other], listed[done]]
                if product < 0:
                    return False
                if not members[product]:
                    members[product] = True
                    listed[n_listed] = product
                    n_listed += 1
        done += 1
    return True
