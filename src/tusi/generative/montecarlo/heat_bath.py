"""Coloured heat bath: each free site in turn draws its species from its conditional distribution."""

import dataclasses
from typing import Literal

import numba
import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.generative.lattice.system import LatticeSystem, count_statistics
from tusi.generative.montecarlo.environments import (
    Environments,
    count_environments,
    frozen_statistics,
    mix,
    tabulate_environments,
)
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan, chain_seeds
from tusi.generative.montecarlo.samples import Samples


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeatBath(Sampler):
    """Each free site in turn draws its species from its conditional distribution; a step is one sweep.

    Sites are visited by colour, no two of one cluster in a colour. Where the local environments are few, conditional
    probabilities are looked up in a table with 32 random bits; elsewhere they are computed cluster by cluster.

    Attributes
    ----------
    method
        "environments" for the table, "clusters" for the computation, "automatic" for the table where it is small.

    References
    ----------
    S. Geman and D. Geman, *IEEE Trans. Pattern Anal. Mach. Intell.* 6, 721 (1984).

    Examples
    --------
    >>> HeatBath()
    HeatBath(method='automatic')
    """

    method: Literal["automatic", "environments", "clusters"] = "automatic"

    def __post_init__(self) -> None:
        check_method(self.method)

    def run(
        self,
        system: LatticeSystem,
        couplings: Float[np.ndarray, " parameter"],
        *,
        plan: SamplingPlan,
        rng: np.random.Generator,
    ) -> Samples:
        """Draw the samples of a plan."""
        start = plan.first_arrangements(system, rng=rng)
        seeds = chain_seeds(plan.n_chains, rng=rng)
        steps = (plan.burn_in, plan.spacing, plan.n_samples)
        statistics = np.zeros((plan.n_chains, plan.n_samples, len(system.parameters)))
        kept = np.empty((plan.n_chains, plan.n_samples if plan.keep_species else 0, system.n_sites), dtype=np.int8)
        environments = choose_environments(system, couplings, self.method)
        thresholds = None if environments is None else environments.thresholds
        for chain in range(plan.n_chains):
            out = (statistics[chain], kept[chain])
            if environments is None:
                state = np.append(start[chain], 0).astype(np.uint8)
                walk = (np.concatenate(system.colours).astype(np.uint64), *cluster_arrays(system, couplings))
                _sweep_clusters(state[None], walk, all_clusters(system), (*steps, seeds[chain]), out)
                start[chain] = state[:-1]
            else:
                state = environments.arrange(start[chain])
                counts = (environments.statistics, environments.segments, environments.order)
                _sweep_environments(state, thresholds, environments.sites, counts, (*steps, seeds[chain]), out)
                start[chain, environments.order[:-1]] = state[:-1]
        if environments is not None:
            statistics += frozen_statistics(system, start)[:, None]
        return Samples(statistics=statistics, species=kept, final=start, acceptance=1.0)


def check_method(method: str) -> None:
    """Refuse a method that does not exist."""
    if method not in ("automatic", "environments", "clusters"):
        raise InputError("method", expected='"automatic", "environments" or "clusters"', got=repr(method))


def choose_environments(
    system: LatticeSystem, couplings: Float[np.ndarray, " parameter"], method: str
) -> Environments | None:
    """Return the tables that a method asks for; None where it goes cluster by cluster."""
    environments = None if method == "clusters" else tabulate_environments(system, couplings)
    if environments is None and method == "environments":
        raise InputError(
            "method",
            expected="a system with few local environments",
            got="too many for a table",
            then='Use "automatic".',
        )
    return environments


def cluster_arrays(system: LatticeSystem, couplings: Float[np.ndarray, " parameter"]) -> tuple:
    """Return what an energy change is computed from, cluster by cluster."""
    near = system.incidence
    energy = np.ascontiguousarray(system.table @ couplings)
    return (
        (
            near.start,
            near.cluster.astype(np.uint32),
            near.others.astype(np.uint32),
            near.stride.astype(np.uint64),
            near.own_stride.astype(np.uint64),
        ),
        (system.kind.astype(np.uint32), system.weight, energy),
        system.log_weight,
    )


def all_clusters(system: LatticeSystem) -> tuple:
    """Return what the statistics of an arrangement are counted from."""
    strides = system.n_species ** np.arange(system.members.shape[1])
    return (system.members, system.kind, system.weight), strides, np.ascontiguousarray(system.table)


@numba.njit(cache=True, nogil=True)
def _sweep_environments(state, thresholds, sites, counts, steps, out):
    """Run one chain in place, each conditional probability looked up."""
    _, segments, order = counts
    neighbours, stride, n_neighbours, offset = sites
    burn_in, spacing, n_samples, random = steps
    statistics, kept = out
    bits = np.uint64(0)
    half = False
    n_thresholds = thresholds.shape[1]
    for step in range(burn_in + n_samples * spacing):
        for segment in range(len(segments)):
            which = segments[segment, 2]
            near, first = n_neighbours[which], offset[which]
            for place in range(segments[segment, 0], segments[segment, 1]):
                row = first
                for slot in range(near):
                    row += stride[which, slot] * state[neighbours[place, slot]]
                if half:
                    bits >>= np.uint64(32)
                else:
                    random += np.uint64(0x9E3779B97F4A7C15)
                    bits = mix(random)
                half = not half
                draw = np.int64(bits & np.uint64(0xFFFFFFFF))
                species = 0
                for k in range(n_thresholds):
                    species += draw >= thresholds[row, k]
                state[place] = species
        if step >= burn_in and (step - burn_in + 1) % spacing == 0:
            sample = (step - burn_in) // spacing
            count_environments(state, sites, counts, statistics[sample])
            if len(kept):
                for place in range(len(order) - 1):
                    kept[sample, order[place]] = state[place]


@numba.njit(cache=True, nogil=True)
def _sweep_clusters(arrangement, walk, counts, steps, out):
    """Run one chain in place, each conditional probability computed from the clusters."""
    state = arrangement[0]
    sites, near, tables, log_weight = walk
    start, cluster, others, stride, own_stride = near
    kind, weight, energy = tables
    burn_in, spacing, n_samples, random = steps
    statistics, kept = out
    n_species = log_weight.shape[1]
    local = np.empty(n_species)
    for step in range(burn_in + n_samples * spacing):
        for place in range(len(sites)):
            site = sites[place]
            for s in range(n_species):
                local[s] = -log_weight[site, s]
            for entry in range(start[site], start[site + 1]):
                code = np.uint64(0)
                for j in range(others.shape[1]):
                    code += stride[entry, j] * state[others[entry, j]]
                c = cluster[entry]
                for s in range(n_species):
                    local[s] += weight[c] * energy[kind[c], code]
                    code += own_stride[entry]
            lowest = local[0]
            for s in range(1, n_species):
                lowest = min(lowest, local[s])
            total = 0.0
            for s in range(n_species):
                total += np.exp(lowest - local[s])
                local[s] = total
            random += np.uint64(0x9E3779B97F4A7C15)
            draw = (mix(random) >> np.uint64(11)) * 1.1102230246251565e-16 * total
            species = 0
            for s in range(n_species - 1):
                species += draw >= local[s]
            state[site] = species
        if step >= burn_in and (step - burn_in + 1) % spacing == 0:
            sample = (step - burn_in) // spacing
            clusters, strides, table = counts
            count_statistics(arrangement, clusters, strides, table, statistics[sample : sample + 1])
            if len(kept):
                for site in range(kept.shape[1]):
                    kept[sample, site] = state[site]
