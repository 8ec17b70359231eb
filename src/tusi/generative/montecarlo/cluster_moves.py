"""Moves of whole clusters of sites: no critical slowing down to speak of, for every model with fields and pairs.

A step picks two species. The sites that hold one of them form an Ising model whose bonds and fields come from the pair
energies and from the sites that hold other species; its clusters grow over bonds that are satisfied, whatever their
sign. This covers Ising and Potts models, ferromagnetic or not, with disorder, and any other pair energy.
"""

import dataclasses
import functools

import numba
import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.generative.lattice.system import LatticeSystem, count_statistics
from tusi.generative.montecarlo.pairs import pair_form
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan, chain_seeds
from tusi.generative.montecarlo.samples import Samples

PILOT = 50
"""Clusters that tell how many make a sweep."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwendsenWang(Sampler):
    """Divide all sites into clusters and draw anew which of two species each holds.

    A step takes the species two by two in random order, each at least once. Every satisfied bond ties with probability
    `1 - exp(-|D|)`, D its excess energy when broken; a cluster is exchanged (one species for the other on all its
    sites) with the heat bath's probability for its total field, so fields, fixed weights and barred species are exact.
    A cluster that holds a clamped site stays as it is.

    Raises
    ------
    InputError
        A term ties three or more sites.

    References
    ----------
    R. H. Swendsen and J.-S. Wang, *Phys. Rev. Lett.* 58, 86 (1987). R. C. Edwards and A. D. Sokal, *Phys. Rev. D* 38,
    2009 (1988). J.-S. Wang, R. H. Swendsen and R. Kotecký, *Phys. Rev. Lett.* 63, 109 (1989): two species at a time.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    >>> from tusi.generative.montecarlo import SamplingPlan, draw_samples
    >>> system = lattice_system(ising(field=False), periodic_sites(SQUARE, (16, 16)))
    >>> plan = SamplingPlan(n_samples=500, burn_in=50)
    >>> rng = np.random.default_rng(1)
    >>> samples = draw_samples(system, np.array([0.4406868]), rng=rng, sampler=SwendsenWang(), plan=plan)
    >>> bool(samples.effective_sample_size[0] > 200)
    True
    """

    def run(
        self,
        system: LatticeSystem,
        couplings: Float[np.ndarray, " parameter"],
        *,
        plan: SamplingPlan,
        rng: np.random.Generator,
    ) -> Samples:
        """Run the chains; a step divides all free sites into clusters."""
        return _run(system, couplings, plan, rng, None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wolff(Sampler):
    """Grow one cluster after another from random sites and exchange two species on it.

    The cluster grows as in `SwendsenWang`; fields and fixed weights accept or reject it by the Metropolis rule. A
    cluster that reaches a clamped site or a barred species is rejected, so with many clamped sites or strong fields
    `SwendsenWang` moves more.

    Attributes
    ----------
    n_clusters
        Clusters in a step; by default as many as visit each site about once, from the mean size in the burn-in and in
        50 clusters before it.

    Raises
    ------
    InputError
        A term ties three or more sites.

    References
    ----------
    U. Wolff, *Phys. Rev. Lett.* 62, 361 (1989).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    >>> from tusi.generative.montecarlo import SamplingPlan, draw_samples
    >>> system = lattice_system(ising(field=False), periodic_sites(SQUARE, (16, 16)))
    >>> plan = SamplingPlan(n_samples=500, burn_in=50)
    >>> rng = np.random.default_rng(1)
    >>> samples = draw_samples(system, np.array([0.4406868]), rng=rng, sampler=Wolff(), plan=plan)
    >>> bool(samples.effective_sample_size[0] > 200)
    True
    """

    n_clusters: int | None = None

    def __post_init__(self) -> None:
        if self.n_clusters is not None and self.n_clusters < 1:
            raise InputError("n_clusters", expected="at least 1, or None", got=str(self.n_clusters))

    def run(
        self,
        system: LatticeSystem,
        couplings: Float[np.ndarray, " parameter"],
        *,
        plan: SamplingPlan,
        rng: np.random.Generator,
    ) -> Samples:
        """Run the chains; a step is about a sweep."""
        return _run(system, couplings, plan, rng, self.n_clusters or 0)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Bonds:
    """Pair energies as arrays for the kernels.

    Attributes
    ----------
    field
        Energy of each species on each site by itself; infinite where it is barred.
    ends, row, scale, pair
        The bonds, as in `PairForm`, with energies in kT.
    start, bond
        Bonds of each site: entries `start[i]:start[i + 1]`.
    fixed
        Sites that stay as they are.
    """

    field: np.ndarray
    ends: np.ndarray
    row: np.ndarray
    scale: np.ndarray
    pair: np.ndarray
    start: np.ndarray
    bond: np.ndarray
    fixed: np.ndarray

    @functools.cached_property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All of it in the order in which the kernels take it."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))


def bonds_of(system: LatticeSystem, couplings: Float[np.ndarray, " parameter"], *, sampler: str) -> Bonds:
    """Return the energies of sites and pairs at these couplings."""
    form = pair_form(system, sampler=sampler)
    pair = form.pair @ couplings
    acts = np.asarray(pair.any(axis=(1, 2)))[form.row]
    ends, row, scale = form.ends[acts], form.row[acts], form.scale[acts]
    site = ends.ravel()
    return Bonds(
        field=np.ascontiguousarray(form.field @ couplings - system.log_weight),
        ends=ends,
        row=row,
        scale=scale,
        pair=np.ascontiguousarray(pair),
        start=np.concatenate([[0], np.cumsum(np.bincount(site, minlength=system.n_sites))]).astype(np.int64),
        bond=np.argsort(site, kind="stable") // 2,
        fixed=~system.free,
    )


def _run(
    system: LatticeSystem,
    couplings: Float[np.ndarray, " parameter"],
    plan: SamplingPlan,
    rng: np.random.Generator,
    n_clusters: int | None,
) -> Samples:
    """Run all chains: single clusters, by default as many as make a sweep, or all clusters at once where None."""
    name = "SwendsenWang" if n_clusters is None else "Wolff"
    bonds = bonds_of(system, np.asarray(couplings, dtype=np.float64), sampler=name)
    state = plan.first_arrangements(system, rng=rng)
    statistics = np.zeros((plan.n_chains, plan.n_samples, len(system.parameters)))
    species = np.empty((plan.n_chains, plan.n_samples if plan.keep_species else 0, system.n_sites), dtype=np.int8)
    strides = system.n_species ** np.arange(system.members.shape[1])
    count = ((system.members, system.kind, system.weight), strides, system.table)
    moves, seeds = np.zeros(2), chain_seeds(plan.n_chains, rng=rng)
    steps = (plan.burn_in, plan.spacing, -1 if n_clusters is None else n_clusters)
    random_sites = np.flatnonzero(system.free)
    for chain in range(plan.n_chains):
        moves += _run_chain(
            state[chain : chain + 1],
            (bonds.arrays, random_sites),
            count,
            (*steps, seeds[chain]),
            (statistics[chain], species[chain]),
        )
    return Samples(statistics=statistics, species=species, final=state, acceptance=float(moves[0] / max(moves[1], 1)))


@numba.njit(cache=True, nogil=True)
def _run_chain(state, system, count, plan, out):
    """Run one chain; return the clusters exchanged and tried after the burn-in."""
    bonds, random_sites = system
    burn_in, spacing, n_clusters, seed = plan
    clusters, strides, table = count
    statistics, species = out
    n_species = bonds[0].shape[1]
    walk = np.array([seed], dtype=np.uint64)
    scratch = (np.full(state.shape[1], -1, dtype=np.int64), np.zeros(state.shape[1]), np.arange(n_species))
    here = state[0]
    moves, tried = np.zeros(2), np.zeros(3)
    adapts = n_clusters == 0
    if adapts:
        for _ in range(PILOT):
            tried += _grow(here, bonds, random_sites, walk, scratch)
    for step in range(burn_in + spacing * len(statistics)):
        if step == burn_in:
            moves[:] = 0.0
        if adapts and step <= burn_in:
            n_clusters = max(1, round(len(random_sites) * tried[1] / max(tried[2], 1.0)))
        if n_clusters < 0:
            moves += _divide(here, bonds, walk, scratch)
        for _ in range(n_clusters):
            one = _grow(here, bonds, random_sites, walk, scratch)
            tried += one
            moves += one[:2]
        row, left = divmod(step + 1 - burn_in, spacing)
        if row > 0 and left == 0:
            count_statistics(state, clusters, strides, table, statistics[row - 1 : row])
            if len(species):
                species[row - 1] = here
    return moves


@numba.njit(cache=True, nogil=True)
def _divide(state, bonds, walk, scratch):
    """Exchange the species of all clusters, two species after two; return the clusters exchanged and their number."""
    parent, cost, order = scratch
    moves = np.zeros(2)
    for k in range(len(order) - 1, 0, -1):
        other = int(_uniform(walk) * (k + 1))
        order[k], order[other] = order[other], order[k]
    for k in range(0, len(order), 2):
        a, b = order[k], order[(k + 1) % len(order)]
        _tie(state, bonds, walk, (parent, cost), (a, b))
        for site in range(len(state)):
            root = _root(parent, site)
            if root != site:
                cost[root] += cost[site]
        for site in range(len(state)):
            if state[site] in (a, b) and parent[site] == site:
                chance = 1.0 / (1.0 + np.exp(min(cost[site], 700.0)))
                flips = cost[site] < np.inf and _uniform(walk) < chance
                cost[site] = 1.0 if flips else 0.0
                moves[0] += cost[site]
                moves[1] += 1.0
        for site in range(len(state)):
            if state[site] in (a, b) and cost[_root(parent, site)] == 1.0:
                state[site] = a + b - state[site]
    return moves


@numba.njit(cache=True, nogil=True)
def _tie(state, bonds, walk, clusters, two):
    """Tie the sites that hold one of two species into clusters; write what exchanging each site by itself costs."""
    field, ends, row, scale, pair, _, _, fixed = bonds
    parent, cost = clusters
    a, b = two
    for site in range(len(state)):
        parent[site] = site
        cost[site] = np.inf if fixed[site] else _own_cost(field, state, site, a, b)
    for bond in range(len(ends)):
        i, j = ends[bond]
        energy, factor = pair[row[bond]], scale[bond]
        if state[i] in two:
            cost[i] += factor * _bond_cost(energy, state[i], state[j], a, b)
        if state[j] in two:
            cost[j] += factor * _bond_cost(energy.T, state[j], state[i], a, b)
        if state[i] in two and state[j] in two:
            excess = factor * _excess(energy, a, b)
            if (excess > 0) == (state[i] == state[j]) and _uniform(walk) < -np.expm1(-abs(excess)):
                first, second = _root(parent, i), _root(parent, j)
                parent[max(first, second)] = min(first, second)


@numba.njit(cache=True, nogil=True)
def _grow(state, bonds, random_sites, walk, scratch):
    """Grow one cluster and exchange its species; return whether it was, 1, and the sites of the cluster."""
    field, ends, row, scale, pair, start, near, fixed = bonds
    stack, marked, order = scratch
    seed = random_sites[int(_uniform(walk) * len(random_sites))]
    a = np.int64(state[seed])
    b = (a + 1 + int(_uniform(walk) * (len(order) - 1))) % len(order)
    n_sites, done, total = 1, 0, 0.0
    stack[0], marked[seed] = seed, 1.0
    while done < n_sites and total < np.inf:
        site = stack[done]
        done += 1
        total += np.inf if fixed[site] else _own_cost(field, state, site, a, b)
        for entry in range(start[site], start[site + 1]):
            bond = near[entry]
            first = ends[bond, 0] == site
            other = ends[bond, 1] if first else ends[bond, 0]
            energy = pair[row[bond]] if first else pair[row[bond]].T
            total += scale[bond] * _bond_cost(energy, state[site], state[other], a, b)
            if state[other] in (a, b) and marked[other] == 0.0:
                excess = scale[bond] * _excess(energy, a, b)
                satisfied = (excess > 0) == (state[site] == state[other])
                if satisfied and _uniform(walk) < -np.expm1(-abs(excess)):
                    stack[n_sites], marked[other] = other, 1.0
                    n_sites += 1
    accepted = total <= 0.0 or (total < np.inf and _uniform(walk) < np.exp(-total))
    for k in range(n_sites):
        marked[stack[k]] = 0.0
        if accepted:
            state[stack[k]] = a + b - state[stack[k]]
    return np.array([1.0 if accepted else 0.0, 1.0, float(n_sites)])


@numba.njit(cache=True, nogil=True)
def _own_cost(field, state, site, a, b):
    """Energy of exchanging the site's species by itself."""
    if state[site] == a:
        return field[site, b] - field[site, a]
    if state[site] == b:
        return field[site, a] - field[site, b]
    return 0.0


@numba.njit(cache=True, nogil=True)
def _excess(energy, a, b):
    """Half of what it costs to break a bond of like species twice: the Ising coupling of a and b, times two."""
    return 0.5 * (energy[a, b] + energy[b, a] - energy[a, a] - energy[b, b])


@numba.njit(cache=True, nogil=True)
def _bond_cost(energy, mine, other, a, b):
    """Energy of exchanging one end's species that is not the bond's own: the field that the bond exerts."""
    if other in (a, b):
        change = energy[b, a] - energy[a, a] - _excess(energy, a, b)
    else:
        change = energy[b, other] - energy[a, other]
    return change if mine == a else -change


@numba.njit(cache=True, nogil=True)
def _root(parent, site):
    """Return the smallest site of a cluster, shortening the way to it."""
    while parent[site] != site:
        parent[site] = parent[parent[site]]
        site = parent[site]
    return site


@numba.njit(cache=True, nogil=True)
def _uniform(walk):
    """Return the next number between 0 and 1 (SplitMix64)."""
    walk[0] += np.uint64(0x9E3779B97F4A7C15)
    bits = walk[0]
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((bits ^ (bits >> np.uint64(31))) >> np.uint64(11)) * 1.1102230246251565e-16
