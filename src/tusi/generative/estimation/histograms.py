"""Histograms that tell arrangements apart: how often each symmetry class of a local environment occurs.

The classes are the orbits of the states of an environment under the symmetry of its centre, computed from the crystal
and never read from a list.
"""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tusi.data.graph import OUTSIDE
from tusi.errors import InputError
from tusi.generative.estimation.counting import Counter, Statistic
from tusi.generative.lattice.crystal import TOLERANCE, Crystal
from tusi.generative.lattice.sites import LatticeSites
from tusi.generative.lattice.symmetry import Site, operations

MOST_STATES = 2**21
"""Largest number of states of an environment that is sorted into classes."""

_SHELLS = ("", "NN ", "NNN ", "3rd ")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterHistogram(Statistic):
    """Counts of the symmetry classes of every site's environment: the centre and its shells of neighbours.

    Attributes
    ----------
    n_shells
        Shells of neighbours: 1 gives seven sites on the triangular lattice and five on the square one.

    References
    ----------
    L. Vlcek, A. Maksov, M. Pan, R. K. Vasudevan, S. V. Kalinin, ACS Nano 11, 10313 (2017).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, periodic_sites
    >>> counter = ClusterHistogram().counter(periodic_sites(SQUARE, (4, 4)), ("A", "B"))
    >>> counter.count(np.zeros(16, dtype=np.int8)).tolist()
    [16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    """

    n_shells: int = 1

    def counter(self, sites: LatticeSites, species: Sequence[str]) -> Counter:
        """Return what counts complete environments."""
        every = environment_classes(sites.crystal, n_shells=self.n_shells, n_species=len(species))
        width = max(len(one.shell) for one in every)
        members, kinds, labels = [np.empty((0, width), np.int64)], [np.empty(0, np.int64)], []
        bin_of = np.zeros((len(every), len(species) ** width), dtype=np.int64)
        for number, classes in enumerate(every):
            found = _environments(sites, classes)
            padded = np.full((len(found), width), -1, dtype=np.int64)
            padded[:, : found.shape[1]] = found
            members.append(padded)
            kinds.append(np.full(len(found), number, dtype=np.int64))
            bin_of[number, : len(classes.class_of)] = classes.class_of + len(labels)
            before = f"{classes.site}: " if len(every) > 1 else ""
            labels.extend(before + label for label in classes.labels(species))
        return Counter(
            members=np.concatenate(members),
            kind=np.concatenate(kinds),
            bin_of=bin_of,
            labels=tuple(labels),
            block=np.zeros(len(labels), dtype=np.int64),
            n_species=len(species),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EnvironmentClasses:
    """Orbits of the states of a site and its shells of neighbours under the symmetry of the site.

    Attributes
    ----------
    site
        Label of the centre.
    environments
        For each site of the cell that symmetry makes of one: its environment, the centre first, in one common order.
    shell
        Shell of each place of the environment; 0 for the centre.
    position
        Cartesian positions of the first environment relative to its centre, in the crystal's unit.
    permutations
        The symmetry of the site: place j goes to place `permutation[j]`.
    class_of
        Class of each state; the state's code has the centre's species as its lowest digit.
    representative
        Smallest code of each class.
    n_states
        States in each class.
    n_species
        Species a site can hold.
    """

    site: str
    environments: tuple[tuple[Site, ...], ...]
    shell: Int[np.ndarray, " place"]
    position: Float[np.ndarray, "place dimension"]
    permutations: Int[np.ndarray, "operation place"]
    class_of: Int[np.ndarray, " state"]
    representative: Int[np.ndarray, " class"]
    n_states: Int[np.ndarray, " class"]
    n_species: int

    def __len__(self) -> int:
        return len(self.representative)

    @property
    def states(self) -> Int[np.ndarray, "class place"]:
        """Species on each place of the environment in one state of each class."""
        return _digits(self.representative, len(self.shell), self.n_species)

    def labels(self, species: Sequence[str]) -> tuple[str, ...]:
        """Return a readable name of each class: "Mo + 2 Re (1.73)" has its two Re 1.73 apart on the ring.

        Distances between the atoms of the last species, in the crystal's unit, and last of all a number, are added
        where the counts do not tell classes apart.

        Parameters
        ----------
        species
            Names of the species in the order of their codes.
        """
        if len(species) != self.n_species:
            raise InputError("species", expected=f"{self.n_species} names", got=str(tuple(species)))
        states = self.states
        names = [self._counts(state, species) for state in states]
        apart = [self._distances(state) for state in states]
        names = _told_apart(names, [f" ({', '.join(f'{d:.3g}' for d in each)})" if each else "" for each in apart])
        return tuple(_told_apart(names, [f" #{names[: k + 1].count(name)}" for k, name in enumerate(names)]))

    def _counts(self, state: np.ndarray, species: Sequence[str]) -> str:
        """Return the centre and how many of each species but the first every shell holds."""
        n_shells = int(self.shell.max())
        parts = []
        for k in range(1, n_shells + 1):
            counts = np.bincount(state[self.shell == k], minlength=self.n_species)[1:]
            inside = " ".join(f"{n} {name}" for n, name in zip(counts, species[1:], strict=True))
            ordinal = "" if n_shells == 1 else _SHELLS[k] if k < len(_SHELLS) else f"{k}th "
            parts.append(ordinal + inside)
        return f"{species[state[0]]} + " + " + ".join(parts)

    def _distances(self, state: np.ndarray) -> tuple[float, ...]:
        """Return the distances between atoms of the last species around the centre, ascending."""
        places = np.flatnonzero((state == self.n_species - 1) & (self.shell > 0))
        pairs = itertools.combinations(places, 2)
        return tuple(sorted(float(np.linalg.norm(self.position[i] - self.position[j])) for i, j in pairs))


@functools.lru_cache(maxsize=32)
def environment_classes(crystal: Crystal, *, n_shells: int = 1, n_species: int = 2) -> tuple[EnvironmentClasses, ...]:
    """Return the symmetry classes of the environments of a crystal's sites, one set per inequivalent site.

    The operations of the space group that leave a site in place permute its shells of neighbours; a class is an orbit
    of the `n_species ** n_places` states under these permutations. Sites that symmetry makes of one another share
    classes, their environments being listed in the order that the symmetry carries over.

    Parameters
    ----------
    crystal
        The crystal.
    n_shells
        Shells of neighbours around the centre.
    n_species
        Species a site can hold.

    Returns
    -------
    tuple of EnvironmentClasses
        One per inequivalent site of the cell.

    Raises
    ------
    InputError
        Fewer than one shell or two species, or more than two million states.

    Examples
    --------
    >>> from tusi.generative.lattice import HONEYCOMB, SQUARE, TRIANGULAR
    >>> [len(environment_classes(crystal)[0]) for crystal in (TRIANGULAR, SQUARE, HONEYCOMB)]
    [26, 12, 8]
    >>> environment_classes(TRIANGULAR)[0].labels(("Mo", "Re"))[3]
    'Mo + 2 Re (1.73)'
    """
    if n_shells < 1 or n_species < 2:
        raise InputError(
            "n_shells", expected="at least one shell and two species", got=f"{n_shells} shells, {n_species} species"
        )
    found: list[EnvironmentClasses] = []
    placed: set[int] = set()
    for first in range(crystal.n_basis):
        if first not in placed:
            found.append(_classes_of(crystal, first, n_shells, n_species))
            placed |= {environment[0][-1] for environment in found[-1].environments}
    return tuple(found)


def n_environment_classes(classes: EnvironmentClasses) -> int:
    """Return the number of classes by Burnside's lemma: the mean number of states that an operation leaves alone.

    Parameters
    ----------
    classes
        Only its permutations and number of species are used.

    Examples
    --------
    >>> from tusi.generative.lattice import TRIANGULAR
    >>> n_environment_classes(environment_classes(TRIANGULAR, n_species=3)[0])
    276
    """
    total = sum(classes.n_species ** _n_cycles(permutation) for permutation in classes.permutations.tolist())
    return total // len(classes.permutations)


def _classes_of(crystal: Crystal, first: int, n_shells: int, n_species: int) -> EnvironmentClasses:
    """Return the classes of one site of the cell and of those that symmetry makes of it."""
    environment, shell = _shells_around(crystal, first, n_shells)
    n_places = len(environment)
    if n_species**n_places > MOST_STATES:
        raise InputError(
            "n_shells",
            expected=f"environments of at most {MOST_STATES} states",
            got=f"{n_species} species on {n_places} sites",
            then="Take fewer shells or species, or compare by `PairDistribution`.",
        )
    permutations, images = set(), {first: environment}
    for operation in operations(crystal):
        moved = operation.apply(environment)
        centred = tuple((*(a - o for a, o in zip(s[:-1], moved[0][:-1], strict=True)), s[-1]) for s in moved)
        images.setdefault(centred[0][-1], centred)
        if centred[0][-1] == first:
            permutations.add(tuple(environment.index(site) for site in centred))
    group = np.array(sorted(permutations))
    class_of, representative, n_states = _orbits(group, shell, n_species)
    cells = np.array([site[:-1] for site in environment]) @ crystal.lattice
    position = cells + crystal.positions[[site[-1] for site in environment]] - crystal.positions[first]
    return EnvironmentClasses(
        site=crystal.labels[first], environments=tuple(images.values()), shell=shell, position=position,
        permutations=group, class_of=class_of, representative=representative, n_states=n_states, n_species=n_species,
    )  # fmt: skip


def _shells_around(crystal: Crystal, centre: int, n_shells: int) -> tuple[tuple[Site, ...], np.ndarray]:
    """Return the sites in the first shells around a site of the cell at the origin, the centre first."""
    radius = 1.2 * float(np.linalg.norm(crystal.lattice[0]))
    while True:
        cells = np.repeat(crystal.cells_within(radius), crystal.n_basis, axis=0)
        basis = np.resize(np.arange(crystal.n_basis), len(cells))
        away = cells @ crystal.lattice + crystal.positions[basis] - crystal.positions[centre]
        distance = np.linalg.norm(away, axis=1)
        order = np.lexsort((*np.column_stack([cells, basis]).T[::-1], np.round(distance / (TOLERANCE * radius))))
        steps = np.diff(distance[order], prepend=0.0) > 10 * TOLERANCE * radius
        shell = np.cumsum(steps)
        inside = distance[order] <= radius
        if shell[inside].max() > n_shells:
            break
        radius *= 1.4
    kept = order[shell <= n_shells]
    sites = tuple((*(int(n) for n in cells[i]), int(basis[i])) for i in kept)
    return sites, shell[shell <= n_shells]


def _orbits(group: np.ndarray, shell: np.ndarray, n_species: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the class of every state, and the smallest state and the number of states of every class."""
    n_places = len(shell)
    codes = np.arange(n_species**n_places)
    digits = _digits(codes, n_places, n_species)
    smallest = codes.copy()
    for permutation in group:
        np.minimum(smallest, digits @ n_species**permutation, out=smallest)
    representative, inverse, n_states = np.unique(smallest, return_inverse=True, return_counts=True)
    states = digits[representative]
    keys = [states[:, shell == k].sum(axis=1) for k in range(int(shell.max()), 0, -1)]
    order = np.lexsort((representative, *keys, states[:, 0]))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[inverse.ravel()], representative[order], n_states[order]


def _environments(sites: LatticeSites, classes: EnvironmentClasses) -> Int[np.ndarray, "cluster place"]:
    """Return the complete environments as site numbers, the centre first."""
    found = []
    for environment in classes.environments:
        corners = np.array(environment)
        anchors = sites.index[sites.index[:, -1] == corners[0, -1]]
        cells = anchors[:, None, :-1] + corners[None, :, :-1]
        basis = np.broadcast_to(corners[:, -1], cells.shape[:2])
        found.append(sites.find(np.concatenate([cells, basis[..., None]], axis=-1)))
    members = np.concatenate(found)
    members = members[(members != OUTSIDE).all(axis=1)]
    if (np.diff(np.sort(members, axis=1), axis=1) == 0).any():
        raise InputError(
            "sites", expected="a periodic cell that is larger than every environment", got=str(sites.period)
        )
    return members[sites.occupied[members].all(axis=1)]


def _digits(codes: np.ndarray, n_places: int, n_species: int) -> Int[np.ndarray, "state place"]:
    return codes[:, None] // n_species ** np.arange(n_places) % n_species


def _told_apart(names: list[str], additions: list[str]) -> list[str]:
    """Return the names, with the addition where several are alike."""
    often = collections.Counter(names)
    return [name + addition * (often[name] > 1) for name, addition in zip(names, additions, strict=True)]


def _n_cycles(permutation: list[int]) -> int:
    """Return the number of cycles of a permutation."""
    seen: set[int] = set()
    n_cycles = 0
    for place in range(len(permutation)):
        n_cycles += place not in seen
        here = place
        while here not in seen:
            seen.add(here)
            here = permutation[here]
    return n_cycles
