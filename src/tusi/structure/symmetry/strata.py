"""Structures of one symmetry: the affine subspace of cells that a group of operations leaves alone, and its measure."""

import dataclasses
import functools
import math

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import block_diag
from scipy.special import gammaln

from tusi.structure.symmetry.mean_cells import N_STRAINS, strain_components, strain_tensor
from tusi.structure.symmetry.operations import Operations, strain_of
from tusi.structure.symmetry.plane_groups import (
    TOLERANCE,
    identify_group,
    in_primitive_cell,
    invariant_direction,
    plane_group,
)

LONGEST_ASPECT = 3.0
"""Largest ratio of height to width of a reduced cell that the prior allows."""

SHAPE_MEASURE = {
    "oblique": math.pi / 3 - 1 / LONGEST_ASPECT,
    "rectangular": math.log(LONGEST_ASPECT),
    "centred": math.log(2 * LONGEST_ASPECT),
    "square": 1.0,
    "hexagonal": 1.0,
}
"""Area or length of the set of lattice shapes of each kind, in units of strain (the hyperbolic measure)."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CellFamily:
    """Cells that obey linear equations, near the observed one, and how they are spread before the data.

    A cell is a vector of strains and fractional positions, as in `MeanCell.covariance`.

    Attributes
    ----------
    point
        The cell of the family nearest to the observed one, relative to it.
    directions
        Orthonormal directions in which cells of the family differ.
    density
        Square matrix that turns coordinates along `directions` into coordinates that are uniform under the prior, of
        unit density.
    """

    point: Float[np.ndarray, " component"]
    directions: Float[np.ndarray, "component free"]
    density: Float[np.ndarray, "free free"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Stratum(CellFamily):
    """All cells that are invariant under one group of operations, near the observed one.

    Attributes
    ----------
    name
        Plane group, referred to the primitive cell.
    lattice
        Kind of lattice.
    n_translations
        Lattice translations per cell: 1 where the cell is primitive.
    rotation
        Distinct rotations and reflections.
    orbit
        Orbit of each site.
    log_labels
        Log of the share of the ways to number the atoms that give these orbits.
    """

    name: str
    lattice: str
    n_translations: int
    rotation: Int[np.ndarray, "rotation 2 2"]
    orbit: Int[np.ndarray, " site"]
    log_labels: float

    def example(self, fraction: Float[np.ndarray, "site 2"]) -> Float[np.ndarray, "site 2"]:
        """Return the positions of one of the structures, near these observed ones and with nothing special about it."""
        free = self.directions[N_STRAINS:] @ np.random.default_rng(7).normal(0.0, 0.05, self.directions.shape[1])
        return fraction + (self.point[N_STRAINS:] + free).reshape(-1, 2)

    def keeps_apart(self, fraction: Float[np.ndarray, "site 2"]) -> bool:
        """Return whether the structures have their atoms on different points."""
        example = self.example(fraction)
        difference = example[:, None] - example
        distance = np.abs(difference - np.round(difference)).max(axis=2) + np.eye(len(example))
        return bool(distance.min() > TOLERANCE)


def stratum_of(group: Operations, fraction: Float[np.ndarray, "site 2"], vectors: Float[np.ndarray, "2 2"]) -> Stratum:
    """Return the structures that a closed group of operations leaves invariant.

    Parameters
    ----------
    group
        Operations, closed up to the cell's translations.
    fraction
        Observed positions, in units of `vectors`.
    vectors
        Observed lattice vectors as rows.
    """
    centred = fraction - fraction.mean(axis=0)
    point_f = _averaged(group, centred, offsets=True) + fraction.mean(axis=0)
    translation = group.miss(point_f).mean(axis=1)
    name = identify_group(group.rotation, translation)
    rotation = np.unique(group.rotation, axis=0)
    system = plane_group(name).lattice
    shape, strains = _strains(rotation, vectors)
    free_f = _free_positions(group)
    n_free = strains.shape[1] + free_f.shape[1]
    orbit = np.unique(group.image.min(axis=0), return_inverse=True)[1]
    rows, log_labels = _orbit_coordinates(group, orbit)
    origin, n_equal = _origin_coordinates(group, translation)
    if (np.bincount(orbit) == len(group)).all():
        origin = origin * n_equal ** (1.0 / max(len(origin), 1))
    else:
        log_labels += math.log(n_equal)
    density = np.zeros((n_free, n_free))
    n_shapes = strains.shape[1] - 1
    density[: n_shapes + 1, : n_shapes + 1] = np.eye(n_shapes + 1)
    if n_shapes:
        density[1 : n_shapes + 1] /= SHAPE_MEASURE[system] ** (1.0 / n_shapes)
    density[n_shapes + 1 :, n_shapes + 1 :] = np.concatenate([rows, origin]) @ free_f
    return Stratum(
        name=name,
        lattice=system,
        n_translations=len(group) // len(rotation),
        rotation=rotation,
        point=np.concatenate([[0.0], shape, (point_f - fraction).ravel()]),
        directions=block_diag(strains, free_f),
        density=density,
        orbit=orbit,
        log_labels=log_labels,
    )


def invariant_directions(group: Operations, vectors: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "component free"]:
    """Return the orthonormal directions in which a cell can change and keep the symmetry of a closed group."""
    _, strains = _strains(np.unique(group.rotation, axis=0), vectors)
    return block_diag(strains, _free_positions(group))


def _averaged(group: Operations, centred: Float[np.ndarray, "site 2"], *, offsets: bool) -> Float[np.ndarray, "site 2"]:
    """Return the mean of the images of the positions (relative to their centroid) under all operations."""
    moved = np.einsum("kab,jb->kja", group.rotation, centred)
    if offsets:
        moved = moved + group.offset - group.offset.mean(axis=1, keepdims=True)
    total = np.zeros_like(centred)
    for k in range(len(group)):
        total[group.image[k]] += moved[k]
    return total / len(group)


def _free_positions(group: Operations) -> Float[np.ndarray, "coordinate free"]:
    """Return orthonormal directions of the positions that keep the symmetry, the two of a common shift among them."""
    n_sites = group.image.shape[1]
    projector = np.zeros((n_sites, 2, n_sites, 2))
    sites = np.arange(n_sites)
    for rotation, image in zip(group.rotation, group.image, strict=True):
        projector[image, :, sites, :] += rotation / len(group)
    centring = np.eye(n_sites) - 1.0 / n_sites
    projector = np.einsum("iajb,jk->iakb", projector, centring).reshape(2 * n_sites, 2 * n_sites)
    projector += np.kron(np.full((n_sites, n_sites), 1.0 / n_sites), np.eye(2))
    left, singular, _ = np.linalg.svd(projector)
    return left[:, : round(float(np.trace(projector)))] if singular[0] > 0 else left[:, :0]


@functools.lru_cache(maxsize=4096)
def _strain_projector(rotations: bytes, vectors: bytes) -> tuple[np.ndarray, np.ndarray]:
    rotation = np.frombuffer(rotations, np.int64).reshape(-1, 2, 2)
    cell = np.frombuffer(vectors).reshape(2, 2)
    inverse = np.linalg.inv(cell)
    columns = []
    for axis in range(1, N_STRAINS):
        change = cell @ strain_tensor(np.eye(N_STRAINS)[axis]) @ cell.T
        mean = np.einsum("kba,bc,kcd->ad", rotation, change, rotation) / len(rotation)
        columns.append(strain_components(inverse @ mean @ inverse.T)[1:])
    left, singular, _ = np.linalg.svd(np.array(columns).T)
    shapes = left[:, singular > 0.5]
    directions = np.zeros((N_STRAINS, 1 + shapes.shape[1]))
    directions[0, 0] = 1.0
    directions[1:, 1:] = shapes
    return strain_of(rotation, cell), directions


def _strains(
    rotation: Int[np.ndarray, "rotation 2 2"], vectors: Float[np.ndarray, "2 2"]
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "strain free"]]:
    """Return the strain to the nearest invariant lattice, and the strains that keep it invariant, area first."""
    return _strain_projector(rotation.astype(np.int64).tobytes(), np.ascontiguousarray(vectors, float).tobytes())


def _orbit_coordinates(
    group: Operations, orbit: Int[np.ndarray, " site"]
) -> tuple[Float[np.ndarray, "row coordinate"], float]:
    """Return the functionals that place one atom of each orbit, and the log share of the numberings.

    Orbits of one kind can be exchanged, and each atom of an orbit on one and the same line can be its representative.
    """
    n_sites = len(orbit)
    rows: list[np.ndarray] = []
    log_labels = -float(gammaln(n_sites + 1))
    kinds: dict[object, int] = {}
    for number in range(orbit.max() + 1):
        members = np.flatnonzero(orbit == number)
        first = members[0]
        fixing = np.flatnonzero(group.image[:, first] == first)
        turns = group.rotation[fixing]
        if len(fixing) == 1:
            kind: object = "general"
            n_equal, functionals = len(members), np.eye(2)
        elif len(fixing) > 2 or np.linalg.det(turns[1] @ turns[0]) > 0:
            continue
        else:
            lines = [_line(group, int(atom)) for atom in members]
            kind = frozenset(lines)
            n_equal, functionals = lines.count(lines[0]), _along(turns)[None]
        kinds[kind] = kinds.get(kind, 0) + 1
        log_labels += math.log(n_equal)
        for functional in functionals:
            row = np.zeros((n_sites, 2))
            row[first] = functional
            rows.append(row.ravel())
    log_labels += sum(float(gammaln(n + 1)) for n in kinds.values())
    return np.array(rows).reshape(-1, 2 * n_sites), log_labels


def _line(group: Operations, atom: int) -> tuple[int, int]:
    """Name the mirror line that an atom lies on."""
    fixing = np.flatnonzero(group.image[:, atom] == atom)
    k = next(int(k) for k in fixing if np.linalg.det(group.rotation[k]) < 0)
    across = np.eye(2, dtype=int) - group.rotation[k]
    column = across[:, np.abs(across).sum(axis=0).argmax()]
    axis = int(np.abs(column).argmax())
    step = math.gcd(*(int(n) for n in across[axis]))
    return k, int(group.offset[k, atom, axis]) % step


def _along(turns: Int[np.ndarray, "2 2 2"]) -> Float[np.ndarray, "2"]:
    """Return the functional that is 1 on the primitive vector along a mirror and has integer coefficients."""
    mirror = next(turn for turn in turns if np.linalg.det(turn) < 0)
    u, v = (int(n) for n in invariant_direction(mirror))
    for first in range(-3, 4):
        for second in range(-3, 4):
            if first * u + second * v == 1:
                return np.array([first, second], float)
    return np.array([u, v]) / (u * u + v * v)


def _origin_coordinates(
    group: Operations, translation: Float[np.ndarray, "operation 2"]
) -> tuple[Float[np.ndarray, "row coordinate"], float]:
    """Return the functionals that place the origin, and how many shifts of it in a cell map the group to itself.

    With atoms in general positions such shifts give the same structures, and the prior density of the origin on the
    distinct ones is their number; otherwise they give ways to occupy special positions that are the same structure.
    """
    n_sites = group.image.shape[1]
    stacked = (np.eye(2, dtype=int) - group.rotation).reshape(-1, 2)
    rank = int(np.linalg.matrix_rank(stacked)) if stacked.any() else 0
    if rank == 0:
        return np.empty((0, 2 * n_sites)), 1.0
    shift = np.zeros((len(group), 2, n_sites, 2))
    sites = np.arange(n_sites)
    for k, (rotation, image) in enumerate(zip(group.rotation, group.image, strict=True)):
        shift[k, :, image, :] += np.eye(2)
        shift[k, :, sites, :] -= rotation
    shift = shift.reshape(2 * len(group), 2 * n_sites) / n_sites
    primitive, _ = in_primitive_cell(group.rotation, translation)
    across = (np.eye(2, dtype=int) - primitive).reshape(-1, 2)
    if rank == 2:
        minors = across[:, None, 0] * across[None, :, 1] - across[:, None, 1] * across[None, :, 0]
        n_equal = float(np.gcd.reduce(minors.ravel())) * len(group) / len(primitive)
        return np.linalg.pinv(stacked) @ shift, n_equal
    row = stacked[np.abs(stacked).sum(axis=1) > 0][0]
    functional = row / math.gcd(*(int(n) for n in row))
    factors = stacked @ functional / (functional @ functional)
    pure = translation[(group.rotation == np.eye(2, dtype=int)).all(axis=(1, 2))] @ functional
    n_equal = math.gcd(*(int(n) for n in across.ravel())) * len(np.unique(np.round(pure % 1.0, 6) % 1.0))
    return (factors @ shift / (factors @ factors))[None], float(n_equal)
