"""Directions of edges: arrows that meet, arrows that are known, and what follows from them (Meek's rules)."""

import dataclasses

import numpy as np
from jaxtyping import Bool
from scipy.sparse.csgraph import connected_components

from tusi.causal.constraint.colliders import Triples


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Orientation:
    """Edges with and without direction.

    Attributes
    ----------
    directed
        Entry (i, j): i acts on j.
    undirected
        Symmetric: one acts on the other.
    contested
        Symmetric: undirected edges for which the data, or data and knowledge, imply both directions.
    """

    directed: Bool[np.ndarray, "cause effect"]
    undirected: Bool[np.ndarray, "cause effect"]
    contested: Bool[np.ndarray, "cause effect"]


def orient(
    adjacent: Bool[np.ndarray, "cause effect"], triples: Triples, *, allowed: Bool[np.ndarray, "cause effect"]
) -> Orientation:
    """Return all directions that colliders and knowledge imply.

    An edge that is drawn both ways has no direction, and no arrow is drawn against what is known; edges on a directed
    cycle lose their directions. All rules look at the same graph before any edge is changed, so that the order of the
    variables does not matter.

    Parameters
    ----------
    adjacent
        Which variables are connected.
    triples
        Which triples are colliders.
    allowed
        Entry (i, j): whether i may act on j. At least one direction of each edge is.

    References
    ----------
    C. Meek, Proc. UAI, 403 (1995).
    """
    known = adjacent & allowed & ~allowed.T
    drawn = triples.collider.any(axis=2) & allowed
    contested = (drawn & drawn.T) | (triples.collider.any(axis=2) & ~allowed & adjacent)
    contested |= contested.T
    directed = known | (drawn & ~contested)
    contested &= ~(known | known.T)
    while True:
        free = adjacent & ~directed & ~directed.T & ~contested
        implied = _implied(directed, free | contested, adjacent, triples.chain) & free
        clash = implied & (implied.T | ~allowed)
        contested |= clash | clash.T
        new = implied & ~contested
        if not new.any():
            break
        directed |= new
    cyclic = _on_a_cycle(directed) & ~known
    contested |= cyclic | cyclic.T
    directed &= ~cyclic
    return Orientation(directed=directed, undirected=adjacent & ~directed & ~directed.T, contested=contested)


def _implied(directed: np.ndarray, undirected: np.ndarray, adjacent: np.ndarray, chain: np.ndarray) -> np.ndarray:
    """Return entry (i, j) where one of Meek's rules asks for i -> j."""
    arrow, line = directed.astype(float), undirected.astype(float)
    no_collider = chain.astype(float)
    away = np.einsum("ki,kij->ij", arrow, no_collider)
    acyclic = arrow @ arrow
    two_ways = np.einsum("ik,il,kj,lj,kil->ij", line, line, arrow, arrow, no_collider, optimize="greedy")
    around = np.einsum("ik,kl,lj,il,kij->ij", line, arrow, arrow, adjacent, no_collider, optimize="greedy")
    return (away + acyclic + two_ways + around) > 0


def _on_a_cycle(directed: np.ndarray) -> np.ndarray:
    """Return the arrows from which one can come back to where they start."""
    _, component = connected_components(directed, directed=True, connection="strong")
    return directed & (component[:, None] == component[None, :])
