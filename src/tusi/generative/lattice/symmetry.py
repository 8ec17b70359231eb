"""Space-group operations of a crystal and the orbits of clusters under them, computed and never listed by hand."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.lattice.crystal import TOLERANCE, Crystal

Site = tuple[int, ...]
"""A site of the crystal: its cell, and last which site of the cell it is."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Operation:
    """A space-group operation, up to translations.

    Attributes
    ----------
    rotation
        Cartesian orthogonal matrix.
    cell
        Acts on cells from the right: cell n goes to `n @ cell`.
    site, offset
        Site b of the cell goes to site `site[b]` of the cell at `n @ cell + offset[b]`.
    """

    rotation: Float[np.ndarray, "dimension dimension"]
    cell: Int[np.ndarray, "translation translation"]
    site: Int[np.ndarray, " basis"]
    offset: Int[np.ndarray, "basis translation"]

    @property
    def is_proper(self) -> bool:
        """Whether the operation keeps handedness."""
        return bool(np.linalg.det(self.rotation) > 0)

    def apply(self, cluster: tuple[Site, ...]) -> tuple[Site, ...]:
        """Return the image of an ordered cluster."""
        images = []
        for *cell, basis in cluster:
            moved = np.asarray(cell) @ self.cell + self.offset[basis]
            images.append((*(int(n) for n in moved), int(self.site[basis])))
        return tuple(images)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Orbit:
    """All clusters that symmetry makes out of one, one per translation class, each with its corners in order.

    Attributes
    ----------
    clusters
        Corners as (cell, site of the cell); the first cluster is the one that the orbit was made from.
    permutations
        Orders of the corners that symmetry maps onto each other; a table of the cluster must not tell them apart.
    diameter
        Largest distance between two corners, in the crystal's unit.
    """

    clusters: tuple[tuple[Site, ...], ...]
    permutations: tuple[tuple[int, ...], ...]
    diameter: float

    @property
    def n_corners(self) -> int:
        """Sites in a cluster."""
        return len(self.clusters[0])


@functools.lru_cache(maxsize=64)
def operations(crystal: Crystal) -> tuple[Operation, ...]:
    """Return the operations of a crystal's space group, one per rotation and shift within the cell.

    Integer matrices that keep all scalar products of the lattice vectors are found among short lattice vectors, joined
    with reflections of the directions without translation, and kept if some shift maps every site onto one with the
    same label.

    Examples
    --------
    >>> from tusi.generative.lattice.crystal import CUBIC, HONEYCOMB, SQUARE, TRIANGULAR
    >>> [len(operations(crystal)) for crystal in (SQUARE, TRIANGULAR, HONEYCOMB, CUBIC)]
    [8, 12, 12, 48]
    """
    lattice = crystal.lattice
    n = crystal.n_translations
    complement = np.linalg.svd(lattice)[2][n:]
    found = []
    for matrix in _metric_automorphisms(lattice):
        for signs in itertools.product((1.0, -1.0), repeat=len(complement)):
            source = np.vstack([lattice, complement])
            target = np.vstack([matrix @ lattice, np.array(signs)[:, None] * complement])
            rotation = np.linalg.solve(source, target).T
            found.extend(_with_shifts(crystal, matrix, rotation))
    return tuple(found)


def orbit_of(crystal: Crystal, cluster: tuple[Site, ...], *, oriented: bool = False) -> Orbit:
    """Return the orbit of a cluster under the crystal's symmetry.

    Parameters
    ----------
    crystal
        Its symmetry decides.
    cluster
        Corners in order, each (cell ..., site of the cell).
    oriented
        Translations alone: images that differ by a rotation or reflection are another orbit.

    Examples
    --------
    >>> from tusi.generative.lattice.crystal import TRIANGULAR
    >>> triangle = ((0, 0, 0), (0, 1, 0), (1, 0, 0))
    >>> len(orbit_of(TRIANGULAR, triangle).clusters), len(orbit_of(TRIANGULAR, triangle, oriented=True).clusters)
    (2, 1)
    """
    _check(crystal, cluster)
    clusters: dict[tuple[Site, ...], tuple[Site, ...]] = {_normal(cluster): _shifted(cluster)}
    permutations = {tuple(range(len(cluster)))}
    for operation in () if oriented else operations(crystal):
        image = _shifted(operation.apply(cluster))
        first = clusters.setdefault(_normal(image), image)
        if first == clusters[_normal(cluster)]:
            permutations.add(tuple(first.index(site) for site in image))
    points = np.array([_position(crystal, site) for site in cluster])
    return Orbit(
        clusters=tuple(clusters.values()),
        permutations=tuple(sorted(permutations)),
        diameter=float(np.linalg.norm(points[:, None] - points[None], axis=-1).max()),
    )


@functools.lru_cache(maxsize=64)
def pair_shells(
    crystal: Crystal, *, labels: tuple[str, str] | None = None, n_shells: int = 4
) -> tuple[tuple[Orbit, ...], ...]:
    """Return the pair orbits of a crystal by shell: all pairs at the k-th distance, symmetry-distinct ones apart.

    Parameters
    ----------
    crystal
        The crystal.
    labels
        Only pairs of sites with these labels, in either order.
    n_shells
        Shells wanted.

    Examples
    --------
    >>> from tusi.generative.lattice.crystal import HONEYCOMB, SQUARE
    >>> [len(orbit.clusters) for shell in pair_shells(SQUARE) for orbit in shell]
    [2, 2, 2, 4]
    >>> [len(orbit.clusters) for shell in pair_shells(HONEYCOMB, n_shells=3) for orbit in shell]
    [3, 6, 3]
    """
    wanted = None if labels is None else set(labels)
    chosen = [b for b, label in enumerate(crystal.labels) if wanted is None or label in wanted]
    if wanted is not None and {crystal.labels[b] for b in chosen} != wanted:
        raise InputError("labels", expected=f"labels among {sorted(set(crystal.labels))}", got=str(labels))
    radius = 1.2 * max(float(np.linalg.norm(vector)) for vector in crystal.lattice)
    while True:
        pairs = _pairs_within(crystal, chosen, radius, labels)
        distances = _distinct([distance for distance, _ in pairs])
        if len(distances) > n_shells:
            break
        radius *= 1.4
    shells = []
    for distance in distances[:n_shells]:
        orbits: list[Orbit] = []
        seen: set[tuple[Site, ...]] = set()
        for length, pair in pairs:
            if abs(length - distance) < TOLERANCE * radius and _normal(pair) not in seen:
                orbit = orbit_of(crystal, pair)
                orbits.append(orbit)
                seen |= {_normal(image) for image in orbit.clusters}
        shells.append(tuple(orbits))
    return tuple(shells)


@functools.lru_cache(maxsize=64)
def find_orbits(crystal: Crystal, *, n_corners: int, diameter: float) -> tuple[Orbit, ...]:
    """Return every orbit of clusters with this many corners, no two farther apart than the diameter.

    Parameters
    ----------
    crystal
        The crystal.
    n_corners
        Sites of a cluster, 1 to 4.
    diameter
        Largest distance between two corners, in the crystal's unit.

    Examples
    --------
    >>> from tusi.generative.lattice.crystal import TRIANGULAR
    >>> [len(find_orbits(TRIANGULAR, n_corners=n, diameter=1.0)) for n in (1, 2, 3, 4)]
    [1, 1, 1, 0]
    """
    if not 1 <= n_corners <= 4:
        raise InputError("n_corners", expected="1 to 4", got=str(n_corners))
    origin = (0,) * crystal.n_translations
    reach = diameter * (1 + TOLERANCE)
    cells = crystal.cells_within(diameter)
    every = [(*(int(n) for n in cell), b) for cell in cells for b in range(crystal.n_basis)]
    orbits: dict[tuple[Site, ...], Orbit] = {}
    for b in range(crystal.n_basis):
        first = (*origin, b)
        near = [site for site in every if site != first and _distance(crystal, first, site) <= reach]
        for rest in itertools.combinations(near, n_corners - 1):
            if all(_distance(crystal, i, j) <= reach for i, j in itertools.combinations(rest, 2)):
                cluster = tuple(sorted((first, *rest)))
                if _normal(cluster) not in orbits:
                    orbit = orbit_of(crystal, cluster)
                    orbits.update(dict.fromkeys((_normal(image) for image in orbit.clusters), orbit))
    distinct = list({id(orbit): orbit for orbit in orbits.values()}.values())
    return tuple(sorted(distinct, key=lambda orbit: (round(orbit.diameter, 6), orbit.clusters)))


def _metric_automorphisms(lattice: np.ndarray) -> list[np.ndarray]:
    """Return the integer matrices that keep the scalar products of the lattice vectors."""
    gram = lattice @ lattice.T
    scale = TOLERANCE * np.trace(gram)
    short = np.array(list(itertools.product(range(-2, 3), repeat=len(lattice))))
    products = short @ gram @ short.T
    lengths = np.diag(products)
    matrices = []
    for rows in itertools.product(*(np.flatnonzero(abs(lengths - gram[i, i]) < scale) for i in range(len(lattice)))):
        if np.abs(products[np.ix_(rows, rows)] - gram).max() < scale:
            matrices.append(short[list(rows)])
    return matrices


def _with_shifts(crystal: Crystal, matrix: np.ndarray, rotation: np.ndarray) -> Iterator[Operation]:
    """Yield the operations with this rotation: one per shift that maps the sites onto themselves."""
    turned = crystal.positions @ rotation.T
    for target in range(crystal.n_basis):
        if crystal.labels[target] != crystal.labels[0]:
            continue
        shift = crystal.positions[target] - turned[0]
        matched = [_site_at(crystal, point + shift) for point in turned]
        if all(m is not None and crystal.labels[m[-1]] == crystal.labels[b] for b, m in enumerate(matched)):
            sites = np.array([m for m in matched if m is not None])
            yield Operation(rotation=rotation, cell=matrix, site=sites[:, -1], offset=sites[:, :-1])


def _site_at(crystal: Crystal, point: np.ndarray) -> Site | None:
    """Return the site at a point of space."""
    scale = TOLERANCE * np.linalg.norm(crystal.lattice[0])
    for b, position in enumerate(crystal.positions):
        cell = np.rint((point - position) @ np.linalg.pinv(crystal.lattice))
        if np.abs(cell @ crystal.lattice + position - point).max() < scale:
            return (*(int(n) for n in cell), b)
    return None


def _pairs_within(
    crystal: Crystal, chosen: list[int], radius: float, labels: tuple[str, str] | None
) -> list[tuple[float, tuple[Site, Site]]]:
    """Return pairs up to a distance, both directions, that begin in the cell at the origin."""
    origin = (0,) * crystal.n_translations
    pairs = []
    for a, b in itertools.product(chosen, repeat=2):
        if labels is not None and {crystal.labels[a], crystal.labels[b]} != set(labels):
            continue
        for cell in crystal.cells_within(radius):
            pair = ((*origin, a), (*(int(n) for n in cell), b))
            distance = _distance(crystal, *pair)
            if 0 < distance <= radius:
                pairs.append((distance, pair))
    return sorted(pairs)


def _distinct(distances: list[float]) -> list[float]:
    """Return the distances that differ, ascending."""
    distinct: list[float] = []
    for distance in sorted(distances):
        if not distinct or distance - distinct[-1] > TOLERANCE * distances[-1]:
            distinct.append(distance)
    return distinct


def _position(crystal: Crystal, site: Site) -> np.ndarray:
    return np.asarray(site[:-1]) @ crystal.lattice + crystal.positions[site[-1]]


def _distance(crystal: Crystal, first: Site, second: Site) -> float:
    return float(np.linalg.norm(_position(crystal, first) - _position(crystal, second)))


def _shifted(cluster: tuple[Site, ...]) -> tuple[Site, ...]:
    """Return the cluster moved so that its smallest site lies in the cell at the origin; the order stays."""
    origin = min(cluster)[:-1]
    return tuple((*(n - m for n, m in zip(site[:-1], origin, strict=True)), site[-1]) for site in cluster)


def _normal(cluster: tuple[Site, ...]) -> tuple[Site, ...]:
    """Return the same name for all translations and orders of a cluster."""
    return tuple(sorted(_shifted(cluster)))


def _check(crystal: Crystal, cluster: tuple[Site, ...]) -> None:
    n = crystal.n_translations + 1
    if not cluster or any(len(site) != n or not 0 <= site[-1] < crystal.n_basis for site in cluster):
        raise InputError(
            "cluster",
            expected=f"sites as {n - 1} cell numbers and a site of the cell below {crystal.n_basis}",
            got=str(cluster),
        )
    if len(set(cluster)) < len(cluster):
        raise InputError("cluster", expected="different sites", got=str(cluster))
