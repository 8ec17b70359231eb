"""Marks that follow from others: the rules of FCI, each as a matrix of the marks that it asks for."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int

from tusi.causal.constraint.ancestral import Mark
from tusi.causal.constraint.colliders import Triples
from tusi.causal.constraint.paths import discriminating, has_uncovered_path, uncovered_circle_paths, uncovered_starts

Separates = Callable[[int, int, int], bool]
"""Whether the second variable is in the set that separates the first from the third."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Marks:
    """An edge's marks as they stand while rules are applied.

    Attributes
    ----------
    mark
        Entry (i, j): `Mark` at j of the edge between i and j.
    chain
        Entry (i, j, k): neighbours i and k of j are not connected, and j is no collider between them.
    """

    mark: Int[np.ndarray, "variable variable"]
    chain: Bool[np.ndarray, "variable variable variable"]

    @property
    def circle(self) -> Bool[np.ndarray, "variable variable"]:
        """Entry (i, j): circle at j."""
        return self.mark == Mark.CIRCLE

    @property
    def arrow(self) -> Bool[np.ndarray, "variable variable"]:
        """Entry (i, j): arrowhead at j."""
        return self.mark == Mark.ARROW

    @property
    def tail(self) -> Bool[np.ndarray, "variable variable"]:
        """Entry (i, j): tail at j."""
        return self.mark == Mark.TAIL

    @property
    def directed(self) -> Bool[np.ndarray, "variable variable"]:
        """Entry (i, j): i --> j."""
        return self.arrow & self.tail.T


def first_marks(
    adjacent: Bool[np.ndarray, "variable variable"], triples: Triples, *, ancestor: Bool[np.ndarray, "cause effect"]
) -> Int[np.ndarray, "variable variable"]:
    """Return circles everywhere but where colliders and knowledge put arrowheads.

    Parameters
    ----------
    adjacent
        Which variables are connected.
    triples
        Which triples are colliders.
    ancestor
        Entry (i, j): whether i may be a cause of j.
    """
    mark = np.where(adjacent, Mark.CIRCLE, Mark.NONE)
    mark[adjacent & (triples.collider.any(axis=2) | ~ancestor.T)] = Mark.ARROW
    return mark


def complete(
    marks: Marks, separates: Separates, *, required: Bool[np.ndarray, "cause effect"], selection: bool
) -> Int[np.ndarray, "variable variable"]:
    """Return all marks that follow from the first ones.

    All rules look at the same graph before any mark is changed, and a circle for which they ask an arrowhead and a tail
    stays, so that the order of the variables does not matter.

    Parameters
    ----------
    marks
        What is known so far.
    separates
        Tells who is in which separating set.
    required
        Entry (i, j): i is known to act on j.
    selection
        Whether which samples there are may depend on the variables (rules 5 to 7).

    References
    ----------
    J. Zhang, Artif. Intell. 172, 1873 (2008).
    """
    mark = marks.mark.copy()
    known = required & (mark != Mark.NONE)
    mark[known], mark[known.T] = Mark.ARROW, Mark.TAIL
    contested = np.zeros_like(known)
    while True:
        now = Marks(mark=mark, chain=marks.chain)
        arrow, tail = arrowheads(now), away_from_arrows(now)
        collides, passes = _discriminated(now, separates)
        arrow |= collides | passes.T
        tail |= passes
        if selection:
            tail |= undirected_lines(now)
        tail |= tails(now)
        free = now.circle & ~contested
        contested |= arrow & tail & free
        arrow, tail = arrow & free & ~contested, tail & free & ~contested
        if not (arrow.any() or tail.any()):
            return mark
        mark = np.select([arrow, tail], [Mark.ARROW, Mark.TAIL], mark)


def away_from_arrows(marks: Marks) -> Bool[np.ndarray, "variable variable"]:
    """Return where rule 1 puts a tail: a *-> b o-* c without an edge a, c is b --> c."""
    return _any("ab,abc->cb", marks.arrow, marks.chain) & marks.circle


def arrowheads(marks: Marks) -> Bool[np.ndarray, "variable variable"]:
    """Return where rules 1 to 3 put an arrowhead."""
    first = away_from_arrows(marks).T
    arrow, directed = marks.arrow, marks.directed
    second = _any("ab,bc->ac", directed, arrow) | _any("ab,bc->ac", arrow, directed)
    third = _any("at,ct,ab,cb,atc->tb", marks.circle, marks.circle, arrow, arrow, marks.chain)
    return first | ((second | third) & marks.circle)


def _discriminated(marks: Marks, separates: Separates) -> tuple[np.ndarray, np.ndarray]:
    """Return where rule 4 puts arrowheads of colliders, and where tails."""
    collides, passes = np.zeros((2, *marks.mark.shape), dtype=bool)
    for start, before, middle, end in discriminating(marks.mark):
        if separates(start, middle, end):
            passes[end, middle] = True
        else:
            collides[before, middle] = collides[end, middle] = collides[middle, end] = True
    return collides, passes


def undirected_lines(marks: Marks) -> Bool[np.ndarray, "variable variable"]:
    """Return where rules 5 to 7 put a tail: what only a selection of the samples explains."""
    line = marks.tail & marks.tail.T
    sixth = line.any(axis=0, keepdims=True) & marks.circle
    seventh = _any("ab,abc->cb", marks.circle & marks.tail.T, marks.chain) & marks.circle
    fifth = np.zeros_like(line)
    for path in uncovered_circle_paths(marks.mark, marks.chain):
        ring = np.array([*path, path[0]])
        fifth[ring[1:], ring[:-1]] = fifth[ring[:-1], ring[1:]] = True
    return fifth | sixth | seventh


def tails(marks: Marks) -> Bool[np.ndarray, "variable variable"]:
    """Return where rules 8 to 10 put a tail at the cause of an arrow a o-> c."""
    to_orient = marks.circle.T & marks.arrow
    onward = marks.directed | (marks.circle & marks.tail.T)
    found = _any("ab,bc->ac", onward, marks.directed) & to_orient
    for a, c in np.argwhere(to_orient & ~found).tolist():
        found[a, c] = _ninth(marks, a, c) or _tenth(marks, a, c)
    return found.T


def _ninth(marks: Marks, a: int, c: int) -> bool:
    """Return whether an uncovered, potentially directed path leads from a to c by a neighbour that c has not."""
    return any(
        has_uncovered_path(marks.mark, marks.chain, (a, int(b)), c) for b in np.flatnonzero(marks.chain[:, a, c])
    )


def _tenth(marks: Marks, a: int, c: int) -> bool:
    """Return whether a must be a cause of c by one of two ways that part at a."""
    parents = [int(b) for b in np.flatnonzero(marks.directed[:, c]) if b != a]
    starts = {b: uncovered_starts(marks.mark, marks.chain, a, b) for b in parents}
    return any(
        marks.chain[first, a, second]
        for place, b in enumerate(parents)
        for other in parents[place + 1 :]
        for first in starts[b]
        for second in starts[other]
    )


def _any(sum_over: str, *matrices: np.ndarray) -> np.ndarray:
    """Return whether any term of a sum over products of truths is true."""
    return np.einsum(sum_over, *[matrix.astype(float) for matrix in matrices], optimize="greedy") > 0
