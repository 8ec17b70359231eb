"""Paths that the rules of FCI ask for: discriminating, uncovered, potentially directed, and those that may connect."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int

from tusi.causal.constraint.ancestral import Mark
from tusi.causal.constraint.colliders import Triples

Marked = Int[np.ndarray, "variable variable"]
Chains = Bool[np.ndarray, "variable variable variable"]


def possible_separators(
    adjacent: Bool[np.ndarray, "variable variable"], triples: Triples, x: int
) -> Int[np.ndarray, " found"]:
    """Return the variables that x may have to be separated by: Possible-D-SEP.

    Every variable on the way is a collider, or may be one, or its two neighbours on the way are connected.

    Parameters
    ----------
    adjacent
        Which variables are connected.
    triples
        Which triples may be colliders.
    x
        The variable.

    References
    ----------
    P. Spirtes, C. Glymour, R. Scheines, Causation, Prediction, and Search, 2nd ed. (MIT Press, 2000), chapter 6.
    """
    passable = (triples.collider | triples.unclear) | adjacent[:, None, :]
    passable &= adjacent[:, :, None] & adjacent[None, :, :]
    steps = [(x, int(y)) for y in np.flatnonzero(adjacent[x])]
    seen = set(steps)
    while steps:
        a, b = steps.pop()
        new = {(b, int(c)) for c in np.flatnonzero(passable[a, b]) if c not in (a, x)} - seen
        seen |= new
        steps += new
    return np.array(sorted({b for _, b in seen}), dtype=np.int64)


def discriminating(mark: Marked) -> Iterator[tuple[int, int, int, int]]:
    """Yield (start, before, middle, end) of each path start ... before, middle, end that discriminates its `middle`.

    The start is not connected with the end; everything between it and the middle is a collider on the path and a parent
    of the end; the mark at the middle towards the end is still a circle.
    """
    arrow = mark == Mark.ARROW
    directed = arrow & (mark == Mark.TAIL).T
    for end, middle in np.argwhere(mark == Mark.CIRCLE):
        for before in np.flatnonzero(arrow[middle] & directed[:, end]):
            ways, seen = [int(before)], {int(before), int(middle), int(end)}
            while ways:
                last = ways.pop()
                for start in np.flatnonzero(arrow[:, last]):
                    if start in seen:
                        continue
                    seen.add(int(start))
                    if mark[start, end] == Mark.NONE:
                        yield int(start), int(before), int(middle), int(end)
                    elif directed[start, end] and arrow[last, start]:
                        ways.append(int(start))


def uncovered_starts(mark: Marked, chain: Chains, a: int, b: int) -> list[int]:
    """Return the first variables after a of all uncovered, potentially directed paths from a to b."""
    onward = _potentially_directed(mark)
    return [int(k) for k in np.flatnonzero(onward[a]) if k == b or has_uncovered_path(mark, chain, (a, int(k)), b)]


def has_uncovered_path(mark: Marked, chain: Chains, first: tuple[int, int], goal: int) -> bool:
    """Return whether an uncovered, potentially directed path begins with these two and reaches a goal.

    No edge on it points back, and no variable on it is connected with the one after next.
    """
    onward = _potentially_directed(mark)
    return bool(onward[first]) and _reaches(onward, chain, first, goal)


def _reaches(onward: np.ndarray, chain: Chains, path: tuple[int, ...], goal: int) -> bool:
    if path[-1] == goal:
        return True
    further = np.flatnonzero(onward[path[-1]] & chain[path[-2], path[-1]])
    return any(_reaches(onward, chain, (*path, int(k)), goal) for k in further if k not in path)


def _potentially_directed(mark: Marked) -> np.ndarray:
    """Return entry (i, j) where an edge may lead from i to j."""
    return (mark != Mark.NONE) & (mark.T != Mark.ARROW) & (mark != Mark.TAIL)


def uncovered_circle_paths(mark: Marked, chain: Chains) -> Iterator[list[int]]:
    """Yield rings of at least four circle edges, none of whose variables is connected with the one after next."""
    circles = (mark == Mark.CIRCLE) & (mark == Mark.CIRCLE).T
    for a, b in np.argwhere(np.triu(circles)).tolist():
        yield from _rings(circles, chain, [a], b)


def _rings(circles: np.ndarray, chain: Chains, path: list[int], goal: int) -> Iterator[list[int]]:
    for k in np.flatnonzero(circles[path[-1]]).tolist():
        if k in path or (len(path) > 1 and not chain[path[-2], path[-1], k]):
            continue
        if k != goal:
            yield from _rings(circles, chain, [*path, k], goal)
        elif len(path) > 1 and chain[path[-1], k, path[0]] and chain[k, path[0], path[1]]:
            yield [*path, k]
