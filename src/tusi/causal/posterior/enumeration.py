"""All acyclic graphs of a few variables, for sums that can be checked by looking."""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool

from tusi.errors import InputError

MOST_NODES = 5
"""Nodes up to which all acyclic graphs are listed: 29,281 of them."""


@lru_cache(maxsize=MOST_NODES + 1)
def acyclic_graphs(n_nodes: int) -> Bool[np.ndarray, "graph cause effect"]:
    """Return all acyclic graphs of up to five nodes.

    Built by adding one node at a time: into each graph of the others, with every set of causes and every set of effects
    that leaves it acyclic.

    Parameters
    ----------
    n_nodes
        Number of nodes, 1 to 5.

    Returns
    -------
    numpy.ndarray
        Entry (g, i, j): whether i acts on j in graph g; read-only.

    Raises
    ------
    InputError
        There are more than five nodes, or none.

    Examples
    --------
    >>> [len(acyclic_graphs(n)) for n in (1, 2, 3, 4)]
    [1, 3, 25, 543]
    """
    if not 1 <= n_nodes <= MOST_NODES:
        raise InputError("n_nodes", expected=f"1 to {MOST_NODES}", got=str(n_nodes))
    if n_nodes == 1:
        return _locked(np.zeros((1, 1, 1), dtype=bool))
    smaller, last = acyclic_graphs(n_nodes - 1), n_nodes - 1
    choices = (np.arange(4**last)[:, None] // 4 ** np.arange(last)) % 4
    choices = choices[(choices < 3).all(axis=1)]
    graphs = np.zeros((len(smaller), len(choices), n_nodes, n_nodes), dtype=bool)
    graphs[:, :, :last, :last] = smaller[:, None]
    graphs[:, :, :last, last] = choices[None] == 1
    graphs[:, :, last, :last] = choices[None] == 2
    graphs = graphs.reshape(-1, n_nodes, n_nodes)
    return _locked(graphs[_acyclic(graphs)])


def _acyclic(graphs: np.ndarray) -> Bool[np.ndarray, " graph"]:
    """Return which graphs have no directed cycle."""
    walks = graphs.astype(np.int64)
    power, total = walks, np.trace(walks, axis1=1, axis2=2)
    for _ in range(graphs.shape[1] - 1):
        power = np.minimum(power @ walks, 1)
        total = total + np.trace(power, axis1=1, axis2=2)
    return total == 0


def _locked(graphs: np.ndarray) -> np.ndarray:
    graphs.flags.writeable = False
    return graphs
