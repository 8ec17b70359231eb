"""Symmetry classes of a site and its ring of neighbours, from the orbits of the group and never from a list."""

import dataclasses
import functools
import itertools
import math

import numpy as np
from jaxtyping import Int

from tusi.errors import InputError

PAIR_NAMES = ("ortho", "meta", "para")
"""Names of pairs on a ring at distance one, two and three."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RingClasses:
    """Orbits of the states of a site and its ring under the rotations and reflections of the ring.

    Attributes
    ----------
    n_ring, n_species
        Sites on the ring, and species a site can hold.
    class_of
        Class of each state; the state's code is `centre + sum_j ring_j n_species^(1 + j)`.
    centre
        Species at the centre, per class.
    ring_count
        Ring sites of each species, per class.
    pair_count
        Pairs of the last species on the ring at distance 1, 2, ... (ortho, meta, para), per class.
    n_states
        States in each class.
    """

    n_ring: int
    n_species: int
    class_of: Int[np.ndarray, " state"]
    centre: Int[np.ndarray, " class"]
    ring_count: Int[np.ndarray, "class species"]
    pair_count: Int[np.ndarray, "class distance"]
    n_states: Int[np.ndarray, " class"]

    def __len__(self) -> int:
        return len(self.n_states)

    def labels(self, species: tuple[str, ...]) -> tuple[str, ...]:
        """Return a readable name of each class of two species, e.g. "Mo + 2 Re (ortho)".

        Parameters
        ----------
        species
            Names of the two species; the last one is counted on the ring.
        """
        if self.n_species != 2 or len(species) != 2:
            raise InputError("species", expected="two names, for classes of two species", got=str(species))
        counts = self.ring_count[:, -1]
        alone = np.bincount(counts)[counts] == self.n_species
        names = []
        for centre, count, pairs, only in zip(self.centre, counts, self.pair_count, alone, strict=True):
            parts = [f"{n} {name}" for n, name in zip(pairs, PAIR_NAMES, strict=False) if n]
            arrangement = "" if only else f" ({', '.join(parts)})"
            names.append(f"{species[centre]} + {count} {species[1]}{arrangement}")
        return tuple(names)


@functools.lru_cache(maxsize=8)
def ring_classes(n_ring: int = 6, n_species: int = 2) -> RingClasses:
    """Return the symmetry classes of a site and its ring of neighbours.

    Every state is reduced to the smallest of its images under the dihedral group of the ring (rotations and
    reflections, which leave the centre in place). Classes are ordered by centre, then by the counts on the ring.

    Parameters
    ----------
    n_ring
        Sites on the ring, in cyclic order: 6 on a triangular lattice, 4 on a square one.
    n_species
        Species a site can hold.

    Returns
    -------
    RingClasses
        26 classes for a ring of six and two species.

    Raises
    ------
    InputError
        Fewer than two ring sites or species, or more than a million states.

    Examples
    --------
    >>> len(ring_classes(6)), len(ring_classes(4))
    (26, 12)
    >>> ring_classes(6).labels(("Mo", "Re"))[3]
    'Mo + 2 Re (1 meta)'
    """
    if n_ring < 2 or n_species < 2 or n_species ** (n_ring + 1) > 10**6:
        raise InputError("n_ring", expected="a small ring of at least two sites and species", got=f"{n_ring} sites")
    representative = {ring: _smallest_image(ring) for ring in itertools.product(range(n_species), repeat=n_ring)}
    rings = sorted(set(representative.values()), key=lambda ring: (sum(ring), _pairs(ring, n_species - 1)[::-1], ring))
    number = {ring: k for k, ring in enumerate(rings)}
    class_of = np.empty(n_species ** (n_ring + 1), dtype=np.int64)
    weights = n_species ** np.arange(1, n_ring + 1)
    for ring, smallest in representative.items():
        for centre in range(n_species):
            class_of[centre + int(np.dot(ring, weights))] = centre * len(rings) + number[smallest]
    every = [(centre, ring) for centre in range(n_species) for ring in rings]
    classes = RingClasses(
        n_ring=n_ring,
        n_species=n_species,
        class_of=class_of,
        centre=np.array([centre for centre, _ in every]),
        ring_count=np.array([_counts(ring, n_species) for _, ring in every]),
        pair_count=np.array([_pairs(ring, n_species - 1) for _, ring in every]),
        n_states=np.bincount(class_of, minlength=len(every)),
    )
    for column in (classes.class_of, classes.centre, classes.ring_count, classes.pair_count, classes.n_states):
        column.flags.writeable = False
    return classes


def n_ring_classes(n_ring: int, n_species: int) -> int:
    """Return the number of classes by Burnside's lemma, without listing any state.

    Examples
    --------
    >>> n_ring_classes(6, 2)
    26
    """
    rotations = sum(n_species ** math.gcd(shift, n_ring) for shift in range(n_ring))
    half = n_ring // 2
    if n_ring % 2:
        reflections = n_ring * n_species ** (half + 1)
    else:
        reflections = half * (n_species**half + n_species ** (half + 1))
    return n_species * (rotations + reflections) // (2 * n_ring)


def _smallest_image(ring: tuple[int, ...]) -> tuple[int, ...]:
    """Return the smallest of the ring's images under rotation and reflection."""
    images = (way[shift:] + way[:shift] for way in (ring, ring[::-1]) for shift in range(len(ring)))
    return min(images)


def _counts(ring: tuple[int, ...], n_species: int) -> tuple[int, ...]:
    """Count each species on the ring."""
    return tuple(ring.count(species) for species in range(n_species))


def _pairs(ring: tuple[int, ...], species: int) -> tuple[int, ...]:
    """Count the pairs of one species on the ring at each distance."""
    n_ring = len(ring)
    counts = [0] * (n_ring // 2)
    for first, second in itertools.combinations(range(n_ring), 2):
        if ring[first] == ring[second] == species:
            counts[min(second - first, n_ring - second + first) - 1] += 1
    return tuple(counts)
