"""Which variables are connected: an edge goes when some set of neighbours makes its ends independent."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from tusi.causal.constraint.ledger import Ledger


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """What a search may assume before it asks.

    Attributes
    ----------
    adjacent
        Pairs that may be connected.
    kept
        Pairs that are connected for certain: no question is asked of them.
    usable
        Entry (x, y, k): whether k may be held fixed in a question about x on behalf of the pair x, y.
    """

    adjacent: Bool[np.ndarray, "variable variable"]
    kept: Bool[np.ndarray, "variable variable"]
    usable: Bool[np.ndarray, "variable variable variable"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """When a search calls two variables independent, and how many others it holds fixed at most."""

    level: float
    most_given: int | None

    def sizes(self, largest: int) -> range:
        """Return the sizes of the sets to try where at most `largest` variables can be held fixed."""
        return range((largest if self.most_given is None else min(largest, self.most_given)) + 1)


def skeleton(ledger: Ledger, start: Start, limits: Limits) -> Bool[np.ndarray, "variable variable"]:
    """Return which pairs stay connected, whatever the order of the variables.

    The neighbours from which sets are drawn change only between sizes of the sets, and all sets of a size are tried.

    Parameters
    ----------
    ledger
        Answers questions.
    start
        What is known before.
    limits
        Level and largest set.

    References
    ----------
    D. Colombo, M. H. Maathuis, J. Mach. Learn. Res. 15, 3741 (2014).
    """
    adjacent = start.adjacent.copy()
    for size in limits.sizes(len(adjacent) - 2):
        neighbours = adjacent.copy()
        for x, y in pairs(neighbours & ~start.kept):
            sets = neighbour_sets((x, y), neighbours, start, range(size, size + 1))
            if ledger.largest(x, y, sets) > limits.level:
                adjacent[x, y] = adjacent[y, x] = False
        if adjacent.sum(axis=1).max(initial=0) <= size:
            break
    return adjacent


def neighbour_sets(
    pair: tuple[int, int], neighbours: np.ndarray, start: Start, sizes: range
) -> Iterator[tuple[int, ...]]:
    """Yield the sets, each once, of usable neighbours of the one and of the other variable of a pair."""
    x, y = pair
    yield from subsets([np.flatnonzero(neighbours[a] & start.usable[a, b]) for a, b in ((x, y), (y, x))], pair, sizes)


def subsets(pools: list[np.ndarray], pair: tuple[int, int], sizes: range) -> Iterator[tuple[int, ...]]:
    """Yield the subsets of several pools without the pair itself, in ascending order, each once."""
    own = [[int(k) for k in pool if k not in pair] for pool in pools]
    for size in sizes:
        yield from dict.fromkeys(given for pool in own for given in itertools.combinations(pool, size))


def pairs(matrix: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs x < y that a symmetric matrix holds."""
    return [(int(x), int(y)) for x, y in np.argwhere(np.triu(matrix, 1))]


def edges_discovered(
    adjacent: Bool[np.ndarray, "variable variable"],
    p_value: Float[np.ndarray, "variable variable"],
    kept: Bool[np.ndarray, "variable variable"],
    *,
    rate: float,
) -> Bool[np.ndarray, "variable variable"]:
    """Return the edges whose largest p-values pass the Benjamini-Yekutieli rule, in which all pairs asked about count.

    A pair that some set separates is a false edge only if every question about it errs, so that the largest p-value is
    one of the edge.

    Parameters
    ----------
    adjacent
        Edges so far.
    p_value
        Largest p-value of each pair; NaN where nothing was asked.
    kept
        Edges that stay in any case.
    rate
        Largest expected share of false ones among the edges.

    References
    ----------
    E. V. Strobl, P. L. Spirtes, S. Visweswaran, ACM Trans. Intell. Syst. Technol. 10, 50 (2019).
    """
    asked = np.sort(p_value[np.triu(np.isfinite(p_value), 1)])
    if not len(asked):
        return adjacent
    ranks = np.arange(1, len(asked) + 1)
    passed = asked <= rate * ranks / (len(asked) * (1.0 / ranks).sum())
    bound = asked[passed].max(initial=-1.0)
    return adjacent & ((np.nan_to_num(p_value, nan=np.inf) <= bound) | kept)
