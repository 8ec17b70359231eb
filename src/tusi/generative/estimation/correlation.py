"""Pair distribution functions on a lattice: which species sit at which distance from which, and short-range order."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tusi.data.graph import OUTSIDE
from tusi.errors import InputError
from tusi.generative.estimation.counting import Counter, Statistic
from tusi.generative.lattice.sites import LatticeSites
from tusi.generative.lattice.symmetry import pair_shells


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairDistribution(Statistic):
    """Counts of the pairs of species at each distance: one histogram per shell of neighbours.

    Attributes
    ----------
    n_shells
        Shells of neighbours.

    References
    ----------
    J. M. Cowley, Phys. Rev. 77, 669 (1950).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, periodic_sites
    >>> counter = PairDistribution(n_shells=2).counter(periodic_sites(SQUARE, (4, 4)), ("A", "B"))
    >>> checkerboard = np.indices((4, 4)).sum(axis=0).ravel() % 2
    >>> dict(zip(counter.labels, counter.count(checkerboard).tolist()))
    {'A-A at 1': 0, 'A-B at 1': 32, 'B-B at 1': 0, 'A-A at 1.41': 16, 'A-B at 1.41': 0, 'B-B at 1.41': 16}
    """

    n_shells: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.n_shells <= 30:
            raise InputError("n_shells", expected="1 to 30", got=str(self.n_shells))

    def counter(self, sites: LatticeSites, species: Sequence[str]) -> Counter:
        """Return what counts pairs of occupied sites."""
        n_species = len(species)
        pairs, distances = _pairs(sites, self.n_shells)
        names = [(a, b) for a in range(n_species) for b in range(a, n_species)]
        number = {pair: k for k, pair in enumerate(names)}
        ends = [(code % n_species, code // n_species) for code in range(n_species**2)]
        bin_of_code = np.array([number[min(pair), max(pair)] for pair in ends])
        return Counter(
            members=np.concatenate(pairs),
            kind=np.repeat(np.arange(self.n_shells), [len(shell) for shell in pairs]),
            bin_of=bin_of_code + len(names) * np.arange(self.n_shells)[:, None],
            labels=tuple(f"{species[a]}-{species[b]} at {d:.3g}" for d in distances for a, b in names),
            block=np.repeat(np.arange(self.n_shells), len(names)),
            n_species=n_species,
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PairCorrelation:
    """Pairs of species by distance, for one arrangement or for replicas of it.

    Attributes
    ----------
    distance
        Distance of each shell, in the crystal's unit.
    n_pairs
        Pairs of occupied sites in each shell.
    probability
        Probability that the two sites of a pair hold two species, both orders alike, by replica.
    composition
        Fraction of each species among all occupied sites, by replica.
    """

    distance: Float[np.ndarray, " shell"]
    n_pairs: Int[np.ndarray, " shell"]
    probability: Float[np.ndarray, "replica shell species species"]
    composition: Float[np.ndarray, "replica species"]

    @functools.cached_property
    def expected(self) -> Float[np.ndarray, "replica 1 species species"]:
        """Probability of each pair in a random alloy of the same composition."""
        return (self.composition[:, :, None] * self.composition[:, None, :])[:, None]

    @functools.cached_property
    def distribution(self) -> Float[np.ndarray, "replica shell species species"]:
        """Pair distribution function: probability over that in the random alloy; NaN for species that are absent."""
        absent = np.full(self.probability.shape, np.nan)
        return np.divide(self.probability, self.expected, out=absent, where=self.expected > 0)

    @property
    def short_range_order(self) -> Float[np.ndarray, "replica shell species species"]:
        """Warren-Cowley parameters `1 - P_ab / (x_a x_b)`.

        0 in a random alloy, negative where a and b are found at this distance more often, positive where more rarely.
        """
        return 1.0 - self.distribution

    @property
    def mean(self) -> Float[np.ndarray, "shell species species"]:
        """Mean short-range order of the replicas."""
        return self.short_range_order.mean(axis=0)

    @property
    def spread(self) -> Float[np.ndarray, "shell species species"]:
        """Standard deviation over replicas: the standard error of the short-range order of one such image.

        Raises
        ------
        InputError
            There are fewer than two replicas.
        """
        if len(self.probability) < 2:
            raise InputError(
                "replicas",
                expected="at least two arrangements",
                got="one, whose pairs overlap and tell nothing of their error",
                then="Simulate replicas at the fitted couplings, or give several images.",
            )
        return self.short_range_order.std(axis=0, ddof=1)

    @property
    def standard_error(self) -> Float[np.ndarray, "shell species species"]:
        """Standard error of the mean of independent replicas."""
        return self.spread / np.sqrt(len(self.probability))


def pair_correlation(
    sites: LatticeSites, species: Int[np.ndarray, "*replica site"], *, n_species: int = 2, n_shells: int = 4
) -> PairCorrelation:
    """Return pair probabilities and Warren-Cowley short-range order by shell.

    All pairs of occupied sites that lie within the window are counted; nothing is assumed of what lies outside. The
    error is that between replicas (simulated at fitted couplings, or independent images): pairs share sites, so that
    counting statistics would understate it.

    Parameters
    ----------
    sites
        The sites; distances are in the unit of their crystal.
    species
        Species on each site, of one arrangement or of several.
    n_species
        Species that exist.
    n_shells
        Shells of neighbours.

    Returns
    -------
    PairCorrelation
        By replica, shell and pair of species.

    Raises
    ------
    InputError
        Species that do not fit the sites, or a shell without pairs.

    References
    ----------
    J. M. Cowley, Phys. Rev. 77, 669 (1950).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, periodic_sites
    >>> checkerboard = np.indices((6, 6)).sum(axis=0).ravel() % 2
    >>> order = pair_correlation(periodic_sites(SQUARE, (6, 6)), checkerboard, n_shells=2)
    >>> order.mean[:, 0, 1].tolist()
    [-1.0, 1.0]
    """
    held = np.asarray(species)
    if held.ndim == 1:
        held = held[None]
    inside = held[..., sites.occupied] if held.shape[-1:] == (len(sites),) else held[:0]
    if (
        held.ndim != 2
        or not inside.size
        or held.dtype.kind not in "iub"
        or not 0 <= inside.min() <= inside.max() < (n_species)
    ):
        raise InputError(
            "species", expected=f"numbers from 0 to {n_species - 1} for {len(sites)} sites", got=str(held.shape)
        )
    pairs, distances = _pairs(sites, n_shells)
    n_pairs = np.array([len(shell) for shell in pairs])
    if not n_pairs.all():
        raise InputError(
            "n_shells", expected=f"at most {int(np.argmin(n_pairs))} shells, which this window holds", got=str(n_shells)
        )
    counter = PairDistribution(n_shells=n_shells).counter(sites, tuple(map(str, range(n_species))))
    safe = np.where(sites.occupied, held, 0)
    counts = counter.count(safe).reshape(len(held), n_shells, -1) / n_pairs[:, None]
    upper = np.triu_indices(n_species)
    probability = np.zeros((len(held), n_shells, n_species, n_species))
    probability[..., upper[0], upper[1]] = counts / 2
    probability += probability.swapaxes(-1, -2)
    composition = np.stack([(inside == k).mean(axis=1) for k in range(n_species)], axis=1)
    return PairCorrelation(distance=distances, n_pairs=n_pairs, probability=probability, composition=composition)


def _pairs(sites: LatticeSites, n_shells: int) -> tuple[list[Int[np.ndarray, "pair 2"]], Float[np.ndarray, " shell"]]:
    """Return the pairs of occupied sites by shell, and the distances of the shells."""
    shells = pair_shells(sites.crystal, n_shells=n_shells)
    pairs = []
    for orbits in shells:
        inside = np.concatenate([sites.clusters(orbit)[0] for orbit in orbits])
        pairs.append(inside[(inside != OUTSIDE).all(axis=1) & sites.occupied[inside].all(axis=1)])
    return pairs, np.array([orbits[0].diameter for orbits in shells])
