"""A lattice model on given sites, as arrays: energies, energy changes and statistics are all read from one table.

A cluster is a small group of sites in an order. Its code is the number whose digits, in base `n_species`, are the
species of its corners, first corner first; the table says what a cluster of each kind and code adds to each statistic.
Everything that samples, fits or predicts sees this form alone, whatever lattice and interactions it came from.
"""

import dataclasses
import functools

import numba
import numpy as np
from jaxtyping import Bool, Float, Int

from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Incidence:
    """The clusters of each site: entries `start[i]:start[i + 1]` belong to site i.

    Attributes
    ----------
    start
        First entry of each site, and the number of entries at the end.
    cluster, corner
        Which cluster, and which of its corners the site is.
    others, stride
        The cluster's other corners, `n_sites` where it has fewer; what a unit of species adds to the code there.
    own_stride
        What a unit of species on the site itself adds to the code.
    """

    start: Int[np.ndarray, " site_end"]
    cluster: Int[np.ndarray, " entry"]
    corner: Int[np.ndarray, " entry"]
    others: Int[np.ndarray, "entry other"]
    stride: Int[np.ndarray, "entry other"]
    own_stride: Int[np.ndarray, " entry"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LatticeSystem:
    """Energy of an arrangement s: `E(s)/kT = sum_k w_k T_k(s) - sum_i log_weight[i, s_i]`.

    Attributes
    ----------
    parameters
        Names of the couplings w.
    n_species
        Species that exist.
    members
        Sites of each cluster in order; `n_sites`, a site that always holds species 0, fills up smaller clusters.
    kind
        Row of the table that belongs to each cluster.
    weight
        What each cluster's contribution is multiplied with: 1, or quenched disorder.
    table
        Contribution to each statistic by kind and code.
    log_weight
        Fixed logarithm of the weight of each species on each site: 0 where the site may hold it, -inf where it may
        not, and the log-likelihood of what an image shows where the species is uncertain.
    free
        Sites whose species is random; all others are clamped.
    """

    parameters: tuple[str, ...]
    n_species: int
    members: Int[np.ndarray, "cluster corner"]
    kind: Int[np.ndarray, " cluster"]
    weight: Float[np.ndarray, " cluster"]
    table: Float[np.ndarray, "kind code parameter"]
    log_weight: Float[np.ndarray, "site species"]
    free: Bool[np.ndarray, " site"]

    def __post_init__(self) -> None:
        n_codes = self.n_species ** self.members.shape[1]
        if self.table.shape[1:] != (n_codes, len(self.parameters)):
            raise InputError(
                "table", expected=f"{n_codes} codes and {len(self.parameters)} parameters", got=str(self.table.shape)
            )
        if self.members.size and (self.members.min() < 0 or self.members.max() > self.n_sites):
            raise InputError("members", expected=f"sites from 0 to {self.n_sites}", got="others")
        if not np.isfinite(self.log_weight).any(axis=1).all():
            raise InputError("log_weight", expected="a finite value for some species of every site", got="-inf in all")

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return len(self.log_weight)

    @property
    def allowed(self) -> Bool[np.ndarray, "site species"]:
        """Which species each site may hold."""
        return np.isfinite(self.log_weight)

    @functools.cached_property
    def incidence(self) -> Incidence:
        """The clusters of each site."""
        n_corners = self.members.shape[1]
        strides = self.n_species ** np.arange(n_corners)
        cluster, corner = (index.ravel() for index in np.indices(self.members.shape))
        site = self.members.ravel()
        real = site < self.n_sites
        cluster, corner, site = cluster[real], corner[real], site[real]
        order = np.argsort(site, kind="stable")
        cluster, corner, site = cluster[order], corner[order], site[order]
        rest = np.array([[j for j in range(n_corners) if j != i] for i in range(n_corners)], dtype=np.int64)
        counts = np.bincount(site, minlength=self.n_sites)
        return Incidence(
            start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            cluster=cluster,
            corner=corner,
            others=self.members[cluster[:, None], rest[corner]].astype(np.int64),
            stride=strides[rest[corner]].astype(np.int64),
            own_stride=strides[corner].astype(np.int64),
        )

    @functools.cached_property
    def colours(self) -> tuple[Int[np.ndarray, " site"], ...]:
        """The free sites in groups of which no two share a cluster: within a group they are independent."""
        return colour_sites(self, self.free)

    def statistics(self, species: Int[np.ndarray, "*replica site"]) -> Float[np.ndarray, "*replica parameter"]:
        """Return the sufficient statistics T of each arrangement."""
        flat = np.ascontiguousarray(species, dtype=np.int8).reshape(-1, self.n_sites)
        out = np.zeros((len(flat), len(self.parameters)))
        strides = self.n_species ** np.arange(self.members.shape[1])
        count_statistics(flat, (self.members, self.kind, self.weight), strides, self.table, out)
        return out.reshape(*species.shape[:-1], len(self.parameters))

    def energy(
        self, species: Int[np.ndarray, "*replica site"], couplings: Float[np.ndarray, " parameter"]
    ) -> Float[np.ndarray, " *replica"]:
        """Return E/kT of each arrangement, fixed weights included; infinite where a species is not allowed."""
        fixed = self.log_weight[np.arange(self.n_sites), np.asarray(species, dtype=np.int64)].sum(axis=-1)
        return self.statistics(species) @ np.asarray(couplings, dtype=np.float64) - fixed

    def site_statistics(
        self, species: Int[np.ndarray, "*replica site"], sites: Int[np.ndarray, " chosen"]
    ) -> Float[np.ndarray, "*replica chosen species parameter"]:
        """Return what the clusters of a site add to T if it holds each species, all other sites as they are."""
        flat = np.ascontiguousarray(species, dtype=np.int8).reshape(-1, self.n_sites)
        out = np.zeros((len(flat), len(sites), self.n_species, len(self.parameters)))
        near = self.incidence
        count_site_statistics(
            flat,
            np.asarray(sites, dtype=np.int64),
            (near.start, near.cluster, near.others, near.stride, near.own_stride),
            (self.kind, self.weight, self.table),
            out,
        )
        return out.reshape(*species.shape[:-1], len(sites), self.n_species, len(self.parameters))

    def with_free(self, free: Bool[np.ndarray, " site"]) -> "LatticeSystem":
        """Return the system with other sites random."""
        return dataclasses.replace(self, free=np.asarray(free, dtype=bool))

    def with_evidence(self, log_likelihood: Float[np.ndarray, "site species"]) -> "LatticeSystem":
        """Return the system weighted by what was seen of each site: the posterior of the species."""
        return dataclasses.replace(self, log_weight=self.log_weight + log_likelihood)

    def random_arrangement(self, n_replicas: int, *, rng: np.random.Generator) -> Int[np.ndarray, "replica site"]:
        """Return arrangements whose sites are independent, each drawn from its fixed weights."""
        noise = rng.gumbel(size=(n_replicas, self.n_sites, self.n_species))
        return np.argmax(self.log_weight + noise, axis=-1).astype(np.int8)


def colour_sites(system: LatticeSystem, chosen: Bool[np.ndarray, " site"]) -> tuple[Int[np.ndarray, " site"], ...]:
    """Return the chosen sites in as few groups as a greedy search finds, so that no group holds two of one cluster."""
    near = system.incidence
    colour = _greedy(near.start, near.others, np.asarray(chosen, dtype=np.bool_))
    return tuple(np.flatnonzero(colour == k) for k in range(colour.max(initial=-1) + 1))


@numba.njit(cache=True, nogil=True)
def _greedy(start, others, chosen):
    """Give each chosen site the smallest colour that none of its neighbours has; -1 to the others."""
    n_sites = len(chosen)
    colour = np.full(n_sites + 1, -1, dtype=np.int64)
    taken = np.full(n_sites + 1, -1, dtype=np.int64)
    for site in range(n_sites):
        if not chosen[site]:
            continue
        for entry in range(start[site], start[site + 1]):
            for other in others[entry]:
                if colour[other] >= 0:
                    taken[colour[other]] = site
        k = 0
        while taken[k] == site:
            k += 1
        colour[site] = k
    return colour[:n_sites]


@numba.njit(cache=True, nogil=True)
def count_statistics(species, clusters, strides, table, out):
    """Add every cluster's contribution to each replica's statistics."""
    members, kind, weight = clusters
    n_sites = species.shape[1]
    for replica in range(len(species)):
        for cluster in range(len(kind)):
            code = 0
            for corner in range(members.shape[1]):
                site = members[cluster, corner]
                if site < n_sites:
                    code += strides[corner] * species[replica, site]
            for k in range(out.shape[1]):
                out[replica, k] += weight[cluster] * table[kind[cluster], code, k]


@numba.njit(cache=True, nogil=True)
def count_site_statistics(species, sites, near, tables, out):
    """Add, for each species that a site could hold, the contributions of its clusters."""
    start, cluster, others, stride, own_stride = near
    kind, weight, table = tables
    n_sites = species.shape[1]
    for replica in range(len(species)):
        for place in range(len(sites)):
            site = sites[place]
            for entry in range(start[site], start[site + 1]):
                code = 0
                for j in range(others.shape[1]):
                    if others[entry, j] < n_sites:
                        code += stride[entry, j] * species[replica, others[entry, j]]
                c = cluster[entry]
                for s in range(out.shape[2]):
                    for k in range(out.shape[3]):
                        out[replica, place, s, k] += weight[c] * table[kind[c], code + s * own_stride[entry], k]
