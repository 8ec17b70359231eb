"""Many independent replicas of a two-species model, one bit each: 512 of them share every instruction.

What a site sees is the number of neighbours of species 1 in each shell, counted for all replicas at once. The
probability of species 1 is then compared with a uniform number that is drawn bit by bit until the comparison is settled
in every replica: no replica shares a random bit with another, and nothing is rounded beyond double precision.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numba
import numpy as np
from jaxtyping import Float, Int, UInt

from tusi.errors import InputError
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo.pairs import PairForm, pair_form
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan
from tusi.generative.montecarlo.samples import Samples
from tusi.generative.montecarlo.words import N_WORDS, any_bit, load, shift_left, shift_right, spread, store

BLOCK = 64 * N_WORDS
"""Replicas that are moved together."""

MOST_COUNTS = 1024
"""Different neighbourhoods of one site that are still counted one by one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackedIsing(Sampler):
    """Heat bath on many replicas of a two-species model with fields and pair interactions.

    Independent replicas are updated site by site in the order of the colours, 512 together. Each replica draws its
    own random bits (xoshiro256++, one generator for 64 replicas, one bit a replica), as many as it takes to compare
    with the probability; the probability is kept to 64 binary places.

    Attributes
    ----------
    n_replicas
        Chains to run, whatever the plan's `n_chains` says; a multiple of 512 wastes nothing.

    Raises
    ------
    InputError
        The system has more than two species, terms of three or more sites, or sites with too many different
        neighbours.

    References
    ----------
    L. Jacobs and C. Rebbi, J. Comput. Phys. 41, 203 (1981): many spins in a word. D. Blackman and S. Vigna, ACM
    Trans. Math. Softw. 47, 36 (2021): the generator.
    """

    n_replicas: int = 512

    def __post_init__(self) -> None:
        if self.n_replicas < 1:
            raise InputError("n_replicas", expected="at least 1", got=str(self.n_replicas))

    def run(
        self,
        system: LatticeSystem,
        couplings: Float[np.ndarray, " parameter"],
        *,
        plan: SamplingPlan,
        rng: np.random.Generator,
    ) -> Samples:
        """Run all replicas; a step is a sweep over all free sites."""
        if system.n_species != 2:
            raise InputError(
                "system", expected="two species", got=str(system.n_species), then="Use `HeatBath` for more species."
            )
        form = pair_form(system, sampler="PackedIsing")
        environments = environments_of(system, form, np.asarray(couplings, dtype=np.float64))
        counts = counts_of(form)
        plan = dataclasses.replace(plan, n_chains=self.n_replicas)
        start = plan.first_arrangements(system, rng=rng)
        statistics = np.empty((self.n_replicas, plan.n_samples, len(system.parameters)))
        species = np.empty((self.n_replicas, plan.n_samples if plan.keep_species else 0, system.n_sites), np.int8)
        for first in range(0, self.n_replicas, BLOCK):
            block = slice(first, first + BLOCK)
            words = _pack(start[block])
            _run_block(
                words,
                environments.arrays,
                (counts.constant, counts.pairs, counts.starts, counts.adds),
                (plan.burn_in, plan.spacing, rng.integers(0, 2**64, size=(4, N_WORDS), dtype=np.uint64)),
                (statistics[block], species[block]),
            )
            start[block] = _unpack(words)[: len(start[block])]
        return Samples(statistics=statistics, species=species, final=start, acceptance=1.0)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Environments:
    """What each random site sees: its neighbours by strength, and the probability of species 1 for their counts.

    Attributes
    ----------
    order
        The random sites, colour by colour.
    near
        First neighbour of each site, and the number of neighbours at the end.
    neighbour
        Sites, those that are tied equally strongly one after another.
    kind
        Which environment a site has.
    shells
        First shell of each environment, and the number of shells at the end.
    size
        Neighbours in a shell.
    thresholds
        First threshold of each environment, and the number of thresholds at the end.
    threshold
        Probability of species 1 times 2^64; counts of the first shell run fastest.
    """

    order: Int[np.ndarray, " update"]
    near: Int[np.ndarray, " site_end"]
    neighbour: Int[np.ndarray, " entry"]
    kind: Int[np.ndarray, " site"]
    shells: Int[np.ndarray, " kind_end"]
    size: Int[np.ndarray, " shell"]
    thresholds: Int[np.ndarray, " kind_end"]
    threshold: UInt[np.ndarray, " count"]

    @functools.cached_property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All of it in the order in which the kernel takes it."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))


def environments_of(system: LatticeSystem, form: PairForm, couplings: Float[np.ndarray, " parameter"]) -> Environments:
    """Group each site's neighbours by the strength of the bond and tabulate the heat bath's probabilities."""
    strength, ends = _merge(form, form.pair[:, 1, 1] @ couplings)
    ends, strength = ends[strength != 0], strength[strength != 0]
    source, target = np.concatenate([ends, ends[:, ::-1]]).T
    levels, level = np.unique(np.tile(strength, 2), return_inverse=True)
    order = np.lexsort((target, level, source))
    source, target, level = source[order], target[order], level[order]
    near = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=system.n_sites))]).astype(np.int64)
    moves = system.free & system.allowed.all(axis=1)
    colours = [group[moves[group]] for group in system.colours]
    log_odds = np.zeros(system.n_sites)
    log_odds[moves] = np.diff(system.log_weight[moves], axis=1)[:, 0] - form.field[moves, 1] @ couplings
    kind, found, sizes, tables = np.zeros(system.n_sites, dtype=np.int64), {}, [], []
    for site in np.flatnonzero(moves):
        shell = level[near[site] : near[site + 1]]
        key = (log_odds[site], shell.tobytes())
        if key not in found:
            found[key] = len(found)
            which, size = np.unique(shell, return_counts=True)
            sizes.append(size)
            tables.append(_thresholds(log_odds[site], levels[which], size))
        kind[site] = found[key]
    return Environments(
        order=np.concatenate([*colours, []]).astype(np.int64),
        near=near,
        neighbour=target.astype(np.int64),
        kind=kind,
        shells=_starts(sizes),
        size=np.concatenate([*sizes, []]).astype(np.int64),
        thresholds=_starts(tables),
        threshold=np.concatenate([*tables, np.empty(0, dtype=np.uint64)]),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """What must be counted for the statistics: bonds of 1 with 1, and sites of species 1, by what they add.

    Attributes
    ----------
    constant
        Statistics of the arrangement with species 0 everywhere.
    pairs
        Two sites; the same one twice counts the site.
    starts
        First pair of each class, and the number of pairs at the end.
    adds
        What each pair of a class adds to the statistics.
    """

    constant: Float[np.ndarray, " parameter"]
    pairs: Int[np.ndarray, "pair 2"]
    starts: Int[np.ndarray, " class_end"]
    adds: Float[np.ndarray, "class parameter"]


def counts_of(form: PairForm) -> Counts:
    """Sort bonds and sites by what they add to the statistics."""
    n_parameters = len(form.constant)
    adds, ends = _merge(form, form.pair[:, 1, 1])
    sites = np.repeat(np.arange(len(form.field))[:, None], 2, axis=1)
    pairs, adds = np.concatenate([ends, sites]), np.concatenate([adds, form.field[:, 1]])
    kept = adds.any(axis=1)
    pairs, adds = pairs[kept], adds[kept]
    classes, of = np.unique(adds, axis=0, return_inverse=True) if len(adds) else (np.zeros((0, n_parameters)), [])
    of = np.asarray(of, dtype=np.int64).ravel()
    order = np.argsort(of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(of, minlength=len(classes)))]).astype(np.int64)
    return Counts(constant=form.constant, pairs=pairs[order], starts=starts, adds=np.ascontiguousarray(classes))


def _merge(form: PairForm, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of each pair of sites' values over its bonds, and the pairs."""
    ends = np.sort(form.ends, axis=1)
    pairs, of = np.unique(ends, axis=0, return_inverse=True)
    total = np.zeros((len(pairs), *values.shape[1:]))
    np.add.at(total, of.ravel(), (values[form.row].T * form.scale).T)
    return total, pairs


def _thresholds(
    log_odds: float, strength: Float[np.ndarray, " shell"], size: Int[np.ndarray, " shell"]
) -> UInt[np.ndarray, " count"]:
    """Return the probabilities of species 1 for all counts of neighbours, times 2^64."""
    if np.prod(size + 1.0) > MOST_COUNTS:
        raise InputError(
            "system",
            expected=f"at most {MOST_COUNTS} different neighbourhoods of a site",
            got=f"{np.prod(size + 1.0):.0f}",
            then="Use `HeatBath`: with this many kinds of neighbours bit-packing gains nothing.",
        )
    energy = np.zeros(1) - log_odds
    for one, n in zip(strength, size, strict=True):
        energy = (np.arange(n + 1)[:, None] * one + energy).ravel()
    probability = np.exp(-np.logaddexp(0.0, energy))
    return np.minimum(np.ldexp(probability, 64), np.nextafter(2.0**64, 0)).astype(np.uint64)


def _starts(parts: Sequence[np.ndarray]) -> Int[np.ndarray, " end"]:
    return np.cumsum([0, *map(len, parts)]).astype(np.int64)


def _pack(species: Int[np.ndarray, "replica site"]) -> UInt[np.ndarray, "site word"]:
    """Return a bit for each replica; those that are missing repeat the first ones."""
    full = np.resize(species, (BLOCK, species.shape[1]))
    return np.packbits(np.ascontiguousarray(full.T), axis=1, bitorder="little").view("<u8").astype(np.uint64)


def _unpack(words: UInt[np.ndarray, "site word"]) -> Int[np.ndarray, "replica site"]:
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), axis=1, bitorder="little")
    return np.ascontiguousarray(bits.T).astype(np.int8)


@numba.njit(cache=True, nogil=True)
def _run_block(words, environments, counts, plan, out):
    """Move 512 replicas and count their statistics."""
    burn_in, spacing, generator = plan
    statistics, species = out
    work = np.empty((MOST_COUNTS, N_WORDS), dtype=np.uint64)
    for _ in range(burn_in):
        _sweep(words, environments, generator, work)
    for row in range(statistics.shape[1]):
        for _ in range(spacing):
            _sweep(words, environments, generator, work)
        _count(words, counts, statistics[:, row])
        if species.shape[1]:
            for replica in range(len(species)):
                w, shift = replica >> 6, np.uint64(replica & 63)
                for site in range(len(words)):
                    species[replica, row, site] = (words[site, w] >> shift) & np.uint64(1)


@numba.njit(cache=True, nogil=True)
def _sweep(words, environments, generator, work):
    """Draw every random site's species in all replicas, given its neighbours.

    The probability of each replica's neighbourhood and a uniform number (xoshiro256++) are compared place by place,
    the highest first, until no replica is undecided.
    """
    order, near, neighbour, kind, shells, size, thresholds, threshold = environments
    none, every = spread(np.uint64(0)), spread(~np.uint64(0))
    a, b, c, d = load(generator, 0), load(generator, 1), load(generator, 2), load(generator, 3)
    for site in order:
        _sort_counts(words, neighbour[near[site] : near[site + 1]], size[shells[kind[site]] :], work)
        first, end = thresholds[kind[site]], thresholds[kind[site] + 1]
        undecided, ones = every, none
        for place in range(63, -1, -1):
            target = none
            for count in range(first, end):
                digit = (threshold[count] >> np.uint64(place)) & np.uint64(1)
                target = target | (load(work, count - first) & spread(np.uint64(0) - digit))
            total = a + d
            drawn = (shift_left(total, np.uint64(23)) | shift_right(total, np.uint64(41))) + a
            c, d, shifted = c ^ a, d ^ b, shift_left(b, np.uint64(17))
            b, a, c = b ^ c, a ^ d, c ^ shifted
            d = shift_left(d, np.uint64(45)) | shift_right(d, np.uint64(19))
            differ = undecided & (drawn ^ target)
            ones = ones | (differ & target)
            undecided = undecided ^ differ
            if not any_bit(undecided):
                break
        store(words, site, ones)
    store(generator, 0, a)
    store(generator, 1, b)
    store(generator, 2, c)
    store(generator, 3, d)


@numba.njit(cache=True, nogil=True)
def _sort_counts(words, neighbour, size, work):
    """Write, for each combination of counts in the shells, which replicas have it."""
    store(work, 0, spread(~np.uint64(0)))
    n_counts, entry, shell = 1, 0, 0
    while entry < len(neighbour):
        for k in range(size[shell]):
            here = load(words, neighbour[entry])
            entry += 1
            for count in range(n_counts):
                above = load(work, count + k * n_counts)
                store(work, count + (k + 1) * n_counts, above & here)
                for row in range(count + k * n_counts, count, -n_counts):
                    below = load(work, row - n_counts)
                    store(work, row, above ^ ((above ^ below) & here))
                    above = below
                store(work, count, above ^ (above & here))
        n_counts *= size[shell] + 1
        shell += 1


@numba.njit(cache=True, nogil=True)
def _count(words, counts, statistics):
    """Add up, replica by replica, what the classes of pairs contribute.

    Carry-save counting: two words and the running sum of a binary place give the place's new sum and one word for the
    next place.
    """
    constant, pairs, starts, adds = counts
    planes = np.empty((64, N_WORDS), dtype=np.uint64)
    statistics[:] = constant
    for one in range(len(adds)):
        planes[:] = 0
        n_pairs = starts[one + 1] - starts[one]
        for number in range(n_pairs):
            first, second = pairs[starts[one] + number]
            carry = load(words, first) & load(words, second)
            place = 0
            while (number >> place) & 1:
                total, waiting = load(planes, 2 * place), load(planes, 2 * place + 1)
                store(planes, 2 * place, total ^ waiting ^ carry)
                carry = (total & waiting) | ((total ^ waiting) & carry)
                place += 1
            store(planes, 2 * place + 1, carry)
        for replica in range(len(statistics)):
            w, shift = replica >> 6, np.uint64(replica & 63)
            n_ones = np.int64(0)
            place = 0
            while n_pairs >> place:
                n_ones += np.int64((planes[2 * place, w] >> shift) & np.uint64(1)) << place
                if (n_pairs >> place) & 1:
                    n_ones += np.int64((planes[2 * place + 1, w] >> shift) & np.uint64(1)) << place
                place += 1
            for k in range(statistics.shape[1]):
                statistics[replica, k] += n_ones * adds[one, k]
