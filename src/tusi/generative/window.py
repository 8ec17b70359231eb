"""A window cut out of a larger crystal: which sites the likelihood treats as random, and what surrounds them.

The probability of the free sites *given* the border is exact whatever lies beyond the border, so a window needs no
assumption about edges. A site is free if every neighbour that the largest model asks for was seen; all other sites
are clamped to their species. All models compared share the same free sites and therefore the same data.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from tusi.data.graph import OUTSIDE, SiteGraph
from tusi.errors import InputError
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.models import LARGEST_CLUSTER, ClusterKind, kind_table, kinds_of


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """One image's sites as the sampler and the likelihood see them; `n_sites` stands for "no site" in its tables.

    Attributes
    ----------
    n_sites
        Sites of the graph.
    occupied, free
        Sites that hold an atom, and sites whose species is random.
    clusters, kind
        Bonds and triangles that hold at least one free site, each once, and their `ClusterKind`.
    start, others, entry_kind
        The clusters that a site belongs to: rows `start[i]:start[i + 1]` of the other two members and of the kind.
    centre, ring
        Complete clusters of an occupied site and its ring of occupied neighbours in cyclic order.
    probability
        Probability that a site holds the counted species; 0 on vacancies.
    first_pairs, third_pairs
        Bonds between occupied sites that were seen: nearest neighbours, and sites two steps apart along a row.
    """

    n_sites: int
    occupied: Bool[np.ndarray, " site"]
    free: Bool[np.ndarray, " site"]
    clusters: Int[np.ndarray, "cluster 3"]
    kind: Int[np.ndarray, " cluster"]
    start: Int[np.ndarray, " site_end"]
    others: Int[np.ndarray, "entry 2"]
    entry_kind: Int[np.ndarray, " entry"]
    centre: Int[np.ndarray, " centre"]
    ring: Int[np.ndarray, "centre ring"]
    probability: Float[np.ndarray, " site"]
    first_pairs: Int[np.ndarray, "first_pair 2"]
    third_pairs: Int[np.ndarray, "third_pair 2"]

    @property
    def n_ring(self) -> int:
        """Sites on a ring."""
        return self.ring.shape[1]

    def only(self, model: LatticeModel) -> "Window":
        """Return the window without the clusters that the model does not count; the free sites stay."""
        return _narrowed(self, model)

    def statistics(
        self, model: LatticeModel, species: Int[np.ndarray, "*replica site"]
    ) -> Float[np.ndarray, "*replica parameter"]:
        """Return the sufficient statistics T of the model for each arrangement of species (0 or 1)."""
        padded = np.concatenate([species, np.zeros((*species.shape[:-1], 1), species.dtype)], axis=-1)
        count = padded[..., self.clusters].sum(axis=-1)
        total = np.zeros((*species.shape[:-1], len(model.terms)))
        for kind in kinds_of(model):
            counts = count[..., self.kind == kind]
            for n_counted in range(LARGEST_CLUSTER + 1):
                total += (counts == n_counted).sum(axis=-1)[..., None] * kind_table(model)[kind, n_counted]
        return total

    def flips(
        self,
        model: LatticeModel,
        species: Int[np.ndarray, "*replica site"],
        sites: Int[np.ndarray, " chosen"] | None = None,
    ) -> Float[np.ndarray, "*replica chosen parameter"]:
        """Return by how much T changes when a site goes from species 0 to 1, the others as they are.

        For all free sites, or for the sites given.
        """
        padded = np.concatenate([species, np.zeros((*species.shape[:-1], 1), species.dtype)], axis=-1)
        count = padded[..., self.others].sum(axis=-1)
        gain = np.diff(kind_table(model), axis=1)[self.entry_kind, count]
        sites = np.flatnonzero(self.free) if sites is None else sites
        if not gain.size or not len(sites):
            return np.zeros((*species.shape[:-1], len(sites), len(model.terms)))
        first, last = self.start[sites], self.start[sites + 1]
        gain = np.concatenate([gain, np.zeros_like(gain[..., :1, :])], axis=-2)
        sums = np.add.reduceat(gain, np.stack([first, last], axis=1).ravel(), axis=-2)[..., ::2, :]
        return np.where((last > first)[:, None], sums, 0.0)


@functools.lru_cache(maxsize=64)
def _narrowed(window: Window, model: LatticeModel) -> Window:
    """Return the window with the clusters of one model alone; remembered, since samplers ask again and again."""
    keep = np.isin(window.kind, kinds_of(model))
    if keep.all():
        return window
    clusters, kind = window.clusters[keep], window.kind[keep]
    start, others, entry_kind = _memberships(clusters, kind, window.n_sites)
    return dataclasses.replace(window, clusters=clusters, kind=kind, start=start, others=others, entry_kind=entry_kind)


def condition(graph: SiteGraph, models: Sequence[LatticeModel], *, counted: int = -1) -> Window:
    """Return the window that all these models share.

    Parameters
    ----------
    graph
        Sites and species of one image.
    models
        The models to be compared; the one that reaches farthest decides which sites are free.
    counted
        Which species is counted; the last by default.

    Returns
    -------
    Window
        Free and clamped sites, clusters and complete rings.

    Raises
    ------
    InputError
        The graph does not have two species, or has no triangles where a model counts them.
    """
    if len(graph.species) != 2:
        raise InputError(
            "graphs",
            expected="two species on the sublattice",
            got=f"{len(graph.species)} ({', '.join(graph.species)})",
            then="Name two species, e.g. `--species Mo,Re`.",
        )
    kinds = {kind for model in models for kind in kinds_of(model)}
    seen = (graph.first_neighbours != OUTSIDE).all(axis=1)
    reach = seen & (graph.second_neighbours != OUTSIDE).all(axis=1) if ClusterKind.SECOND_PAIR in kinds else seen
    free = reach & graph.occupied
    clusters, kind = _clusters(graph, free, kinds)
    start, others, entry_kind = _memberships(clusters, kind, len(graph.boundary))
    rings = graph.first_neighbours
    straight = np.take_along_axis(rings, np.maximum(rings, 0), axis=0)
    complete = seen & graph.occupied & graph.occupied[rings].all(axis=1)
    probability = np.where(graph.occupied, graph.species_probability[:, counted], 0.0)
    return Window(
        n_sites=len(graph.boundary),
        occupied=graph.occupied,
        free=free,
        clusters=clusters,
        kind=kind,
        start=start,
        others=others,
        entry_kind=entry_kind,
        centre=np.flatnonzero(complete),
        ring=rings[complete],
        probability=probability,
        first_pairs=_occupied_pairs(graph, rings),
        third_pairs=_occupied_pairs(graph, np.where(rings != OUTSIDE, straight, OUTSIDE)),
    )


def _occupied_pairs(graph: SiteGraph, neighbours: np.ndarray) -> np.ndarray:
    """Return the bonds between occupied sites, each once."""
    site = np.repeat(np.arange(len(neighbours)), neighbours.shape[1])
    pairs = np.stack([site, neighbours.ravel()], axis=1)
    pairs = pairs[pairs[:, 1] > pairs[:, 0]]
    return pairs[graph.occupied[pairs].all(axis=1)]


def _clusters(graph: SiteGraph, free: np.ndarray, kinds: set[ClusterKind]) -> tuple[np.ndarray, np.ndarray]:
    """Return the clusters of these kinds that hold a free site; vacancies drop out of them."""
    n_sites = len(free)
    first, second = graph.pairs
    parts = []
    for name, pairs in ((ClusterKind.FIRST_PAIR, first), (ClusterKind.SECOND_PAIR, second)):
        if name in kinds:
            whole = pairs[graph.occupied[pairs].all(axis=1)]
            parts.append((np.column_stack([whole, np.full(len(whole), n_sites)]), name))
    if ClusterKind.TRIANGLE in kinds:
        if graph.first_neighbours.shape[1] != 6:
            raise InputError("models", expected="no triangles on a lattice without them", got="a triangle model")
        n_occupied = graph.occupied[graph.triangles].sum(axis=1)
        parts.append((graph.triangles[n_occupied == 3], ClusterKind.TRIANGLE))
        broken = np.where(graph.occupied[graph.triangles], graph.triangles, n_sites)[n_occupied == 2]
        parts.append((broken, ClusterKind.TRIANGLE_WITH_VACANCY))
    if not parts:
        return np.empty((0, 3), np.int64), np.empty(0, np.int64)
    clusters = np.concatenate([rows.reshape(-1, LARGEST_CLUSTER) for rows, _ in parts])
    kind = np.concatenate([np.full(len(rows), name, dtype=np.int64) for rows, name in parts])
    keep = np.append(free, False)[clusters].any(axis=1)
    return clusters[keep], kind[keep]


def _memberships(clusters: np.ndarray, kind: np.ndarray, n_sites: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List for each site the clusters it belongs to, as the other two members and the kind."""
    member = clusters.ravel(order="F")
    others = np.concatenate([clusters[:, [1, 2]], clusters[:, [0, 2]], clusters[:, [0, 1]]])
    kinds = np.tile(kind, LARGEST_CLUSTER)
    real = member < n_sites
    member, others, kinds = member[real], others[real], kinds[real]
    order = np.argsort(member, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(member, minlength=n_sites))])
    return start.astype(np.int64), others[order], kinds[order]
