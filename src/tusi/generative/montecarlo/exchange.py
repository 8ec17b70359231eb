"""Canonical Monte Carlo: two free sites exchange their species, so that the composition stays as it was."""

import dataclasses
from typing import Literal

import numba
import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.lattice.system import LatticeSystem, count_statistics
from tusi.generative.montecarlo.environments import (
    Environments,
    count_environments,
    frozen_statistics,
    mix,
)
from tusi.generative.montecarlo.heat_bath import all_clusters, check_method, choose_environments, cluster_arrays
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan, chain_seeds
from tusi.generative.montecarlo.samples import Samples


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exchange(Sampler):
    """Two free sites exchange their species by the Metropolis rule; the composition stays that of the plan's start.

    At any reach, two species are chosen with a probability in proportion to their pairs of atoms, then an atom of each:
    no attempt is lost on like atoms. Between neighbours, one of the pairs of free sites that share a cluster is chosen
    (Kawasaki's dynamics); pairs of like atoms count as attempts that are not accepted. Barred species are never put
    where they are barred.

    Attributes
    ----------
    reach
        "any" distance, or "neighbours" only.
    attempts
        Attempted exchanges of one step; as many as there are free sites where it is None.
    method
        "environments" for tables of local environments, "clusters" for energies cluster by cluster, "automatic" for
        the tables where they are small.

    References
    ----------
    K. Kawasaki, *Phys. Rev.* 145, 224 (1966).

    Examples
    --------
    >>> Exchange(reach="neighbours").attempts is None
    True
    """

    reach: Literal["any", "neighbours"] = "any"
    attempts: int | None = None
    method: Literal["automatic", "environments", "clusters"] = "automatic"

    def __post_init__(self) -> None:
        check_method(self.method)
        if self.reach not in ("any", "neighbours"):
            raise InputError("reach", expected='"any" or "neighbours"', got=repr(self.reach))
        if self.attempts is not None and self.attempts < 1:
            raise InputError("attempts", expected="at least 1, or None", got=str(self.attempts))

    def run(
        self,
        system: LatticeSystem,
        couplings: Float[np.ndarray, " parameter"],
        *,
        plan: SamplingPlan,
        rng: np.random.Generator,
    ) -> Samples:
        """Draw the samples of a plan, whose start gives the composition."""
        if plan.start is None and (system.allowed.sum(axis=1) > 1)[system.free].any():
            raise InputError(
                "start",
                expected="an arrangement, whose composition the exchanges keep",
                got="none",
                then="Give the plan a start, such as the observed species or a shuffled composition.",
            )
        start = plan.first_arrangements(system, rng=rng)
        environments = choose_environments(system, couplings, self.method)
        pairs = neighbour_pairs(system) if self.reach == "neighbours" else np.empty((0, 2), dtype=np.int64)
        attempts = self.attempts or int(system.free.sum())
        chain_plan = (attempts, plan.burn_in, plan.spacing, plan.n_samples, self.reach == "any")
        statistics = np.zeros((plan.n_chains, plan.n_samples, len(system.parameters)))
        kept = np.empty((plan.n_chains, plan.n_samples if plan.keep_species else 0, system.n_sites), dtype=np.int8)
        walk = (
            _walk_clusters(system, couplings, pairs)
            if environments is None
            else _walk_environments(environments, pairs)
        )
        kernel = _exchange_clusters if environments is None else _exchange_environments
        order = np.arange(system.n_sites + 1) if environments is None else environments.order
        free = np.flatnonzero(system.free) if environments is None else np.arange(len(environments.place_class))
        n_accepted = 0
        for chain, seed in enumerate(chain_seeds(plan.n_chains, rng=rng)):
            state = np.append(start[chain], 0).astype(np.uint8)[order]
            atoms, begin, unlike = sort_atoms(state[free], system.n_species)
            lists = (free[atoms].astype(np.uint64), begin, unlike)
            n_accepted += kernel(state[None], lists, walk, (*chain_plan, seed), (statistics[chain], kept[chain]))
            start[chain, order[:-1]] = state[:-1]
        if environments is not None:
            statistics += frozen_statistics(system, start)[:, None]
        n_tried = attempts * plan.n_steps * plan.n_chains
        return Samples(statistics=statistics, species=kept, final=start, acceptance=n_accepted / n_tried)


def neighbour_pairs(system: LatticeSystem) -> Int[np.ndarray, "pair 2"]:
    """Return the pairs of free sites that share a cluster, each once."""
    n_corners = system.members.shape[1]
    first, second = np.triu_indices(n_corners, 1)
    pairs = np.sort(np.stack([system.members[:, first], system.members[:, second]], axis=-1).reshape(-1, 2), axis=1)
    free = np.append(system.free, False)
    pairs = pairs[free[pairs].all(axis=1) & (pairs[:, 0] != pairs[:, 1])].astype(np.int64)
    code = np.unique(pairs[:, 0] * system.n_sites + pairs[:, 1])
    return np.column_stack([code // system.n_sites, code % system.n_sites])


def _walk_environments(environments: Environments, pairs: Int[np.ndarray, "pair 2"]) -> tuple:
    """Return what the kernel reads, with sites as places."""
    place = np.empty(len(environments.order), dtype=np.int64)
    place[environments.order] = np.arange(len(environments.order))
    counts = (environments.statistics, environments.segments, environments.order)
    energy = environments.energy
    tables = (environments.place_class, energy, np.exp(energy.min(axis=1, keepdims=True) - energy))
    return place[pairs].astype(np.uint64), environments.sites, tables, counts


def _walk_clusters(
    system: LatticeSystem, couplings: Float[np.ndarray, " parameter"], pairs: Int[np.ndarray, "pair 2"]
) -> tuple:
    """Return what the kernel reads, with sites as they are."""
    return pairs.astype(np.uint64), cluster_arrays(system, couplings), all_clusters(system)


def sort_atoms(species: Int[np.ndarray, " free"], n_species: int) -> tuple:
    """Return the free sites sorted by species, where each species starts, and running totals of the unlike pairs."""
    count = np.bincount(species, minlength=n_species)
    first, second = np.triu_indices(n_species, 1)
    n_pairs = count[first] * count[second]
    some = n_pairs > 0
    unlike = np.column_stack([first[some], second[some], np.cumsum(n_pairs[some])]).astype(np.uint64)
    return np.argsort(species, kind="stable"), np.concatenate([[0], np.cumsum(count)]).astype(np.uint64), unlike


@numba.njit(cache=True, nogil=True)
def choose_pair(random, atoms, begin, unlike, pairs):
    """Return two sites, where they stand in the sorted list, and the counter; unlike sites if there are such lists."""
    random += np.uint64(0x9E3779B97F4A7C15)
    bits = mix(random)
    low, high = bits & np.uint64(0xFFFFFFFF), bits >> np.uint64(32)
    if len(pairs):
        row = (high * np.uint64(len(pairs))) >> np.uint64(32)
        return pairs[row, 0], pairs[row, 1], row, row, random
    chosen = 0
    if len(unlike) > 1:
        random += np.uint64(0x9E3779B97F4A7C15)
        place = unit(random) * unlike[-1, 2]
        while chosen < len(unlike) - 1 and place >= unlike[chosen, 2]:
            chosen += 1
    a, b = unlike[chosen, 0], unlike[chosen, 1]
    first = begin[a] + ((low * (begin[a + np.uint64(1)] - begin[a])) >> np.uint64(32))
    second = begin[b] + ((high * (begin[b + np.uint64(1)] - begin[b])) >> np.uint64(32))
    return atoms[first], atoms[second], first, second, random


@numba.njit(cache=True, nogil=True)
def unit(random):
    """Return a number of [0, 1) from a counter."""
    return (mix(random) >> np.uint64(11)) * 1.1102230246251565e-16


@numba.njit(cache=True, nogil=True)
def _exchange_environments(arrangement, lists, walk, plan, out):
    """Run one chain in place and return the number of accepted exchanges; energies are looked up."""
    state = arrangement[0]
    atoms, begin, unlike = lists
    pairs, sites, tables, counts = walk
    neighbours, stride, n_neighbours, offset = sites
    place_class, energy, boltzmann = tables
    order = counts[2]
    attempts, burn_in, spacing, n_samples, anywhere, random = plan
    statistics, kept = out
    possible = len(unlike) > 0 and (anywhere or len(pairs) > 0)
    n_accepted = 0
    for step in range(burn_in + n_samples * spacing):
        for _ in range(attempts if possible else 0):
            a, b, first, second, random = choose_pair(random, atoms, begin, unlike, pairs)
            old, new = state[a], state[b]
            if old == new:
                continue
            which = place_class[a]
            here = offset[which]
            for slot in range(n_neighbours[which]):
                here += stride[which, slot] * state[neighbours[a, slot]]
            state[a] = new
            which = place_class[b]
            there = offset[which]
            for slot in range(n_neighbours[which]):
                there += stride[which, slot] * state[neighbours[b, slot]]
            before = boltzmann[here, old] * boltzmann[there, new]
            if before == 0.0:
                change = energy[here, new] - energy[here, old] + energy[there, old] - energy[there, new]
                ratio = np.exp(-change)
            else:
                ratio = boltzmann[here, new] * boltzmann[there, old] / before
            random += np.uint64(0x9E3779B97F4A7C15)
            if unit(random) >= ratio:
                state[a] = old
                continue
            state[b] = old
            n_accepted += 1
            if anywhere:
                atoms[first], atoms[second] = b, a
        if step >= burn_in and (step - burn_in + 1) % spacing == 0:
            sample = (step - burn_in) // spacing
            count_environments(state, sites, counts, statistics[sample])
            if len(kept):
                for place in range(len(order) - 1):
                    kept[sample, order[place]] = state[place]
    return n_accepted


@numba.njit(cache=True, nogil=True)
def _change(state, site, new, arrays):
    """Return the energy change if a site takes another species, cluster by cluster."""
    near, tables, log_weight = arrays
    start, cluster, others, stride, own_stride = near
    kind, weight, energy = tables
    old = state[site]
    change = log_weight[site, old] - log_weight[site, new]
    for entry in range(start[site], start[site + 1]):
        code = np.uint64(0)
        for j in range(others.shape[1]):
            code += stride[entry, j] * state[others[entry, j]]
        c = cluster[entry]
        own = own_stride[entry]
        change += weight[c] * (energy[kind[c], code + new * own] - energy[kind[c], code + old * own])
    return change


@numba.njit(cache=True, nogil=True)
def _exchange_clusters(arrangement, lists, walk, plan, out):
    """Run one chain in place and return the number of accepted exchanges; energies come from the clusters."""
    state = arrangement[0]
    atoms, begin, unlike = lists
    pairs, arrays, counts = walk
    attempts, burn_in, spacing, n_samples, anywhere, random = plan
    statistics, kept = out
    possible = len(unlike) > 0 and (anywhere or len(pairs) > 0)
    n_accepted = 0
    for step in range(burn_in + n_samples * spacing):
        for _ in range(attempts if possible else 0):
            a, b, first, second, random = choose_pair(random, atoms, begin, unlike, pairs)
            old, new = state[a], state[b]
            if old == new:
                continue
            change = _change(state, a, new, arrays)
            state[a] = new
            change += _change(state, b, old, arrays)
            if change > 0.0:
                random += np.uint64(0x9E3779B97F4A7C15)
                if unit(random) >= np.exp(-change):
                    state[a] = old
                    continue
            state[b] = old
            n_accepted += 1
            if anywhere:
                atoms[first], atoms[second] = b, a
        if step >= burn_in and (step - burn_in + 1) % spacing == 0:
            sample = (step - burn_in) // spacing
            clusters, strides, table = counts
            count_statistics(arrangement, clusters, strides, table, statistics[sample : sample + 1])
            if len(kept):
                for site in range(kept.shape[1]):
                    kept[sample, site] = state[site]
    return n_accepted
