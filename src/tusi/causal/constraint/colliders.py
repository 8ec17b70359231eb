"""Where two arrows meet: triples x - z - y whose ends are not connected, judged by the sets that separate the ends."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
from jaxtyping import Bool

from tusi.causal.constraint.ledger import Ledger
from tusi.causal.constraint.skeleton import Limits

ColliderRule = Literal["majority", "conservative", "largest p-value"]
"""How the sets that separate two variables decide whether a common neighbour is a collider: most of them do not hold it
(do), none (all) of them, or the set with the largest p-value does not (does)."""

COMPARABLE = 0.2
"""A set speaks for independence only if its p-value is at least this share of the largest one: a p-value just above the
level is no match for one that is large."""

SetsOf = Callable[[int, int], Iterable[tuple[int, ...]]]
"""Sets that may separate a pair."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Triples:
    """Judgement of every triple (x, z, y) in which z is a neighbour of both and x is none of y.

    Attributes
    ----------
    collider
        Entry (x, z, y): both edges have an arrowhead at z.
    chain
        Entry (x, z, y): they do not.
    unclear
        Entry (x, z, y): the separating sets contradict each other, or there is none.
    """

    collider: Bool[np.ndarray, "variable variable variable"]
    chain: Bool[np.ndarray, "variable variable variable"]
    unclear: Bool[np.ndarray, "variable variable variable"]


def judge_triples(
    ledger: Ledger, adjacent: Bool[np.ndarray, "variable variable"], sets_of: SetsOf, limits: Limits, rule: ColliderRule
) -> Triples:
    """Return which triples are colliders.

    Parameters
    ----------
    ledger
        Answers questions.
    adjacent
        Which variables are connected.
    sets_of
        Sets to try for a pair that is not.
    limits
        Level above which a set separates.
    rule
        How the separating sets decide.

    References
    ----------
    J. Ramsey, J. Zhang, P. Spirtes, Proc. UAI, 401 (2006); D. Colombo, M. H. Maathuis, J. Mach. Learn. Res. 15, 3741
    (2014); J. Ramsey, arXiv:1610.00378 (2016).
    """
    n_variables = len(adjacent)
    collider, chain, unclear = np.zeros((3, n_variables, n_variables, n_variables), dtype=bool)
    for x in range(n_variables):
        for y in range(x + 1, n_variables):
            between = np.flatnonzero(adjacent[x] & adjacent[y])
            if adjacent[x, y] or not len(between):
                continue
            separating = _separating_sets(ledger, (x, y), sets_of(x, y), limits, rule)
            for z in between:
                share = np.mean([z in given for given in separating]) if separating else 0.5
                undecided = share == 0.5 or (rule == "conservative" and 0 < share < 1)
                target = unclear if undecided else chain if share > 0.5 else collider
                target[x, z, y] = target[y, z, x] = True
    return Triples(collider=collider, chain=chain, unclear=unclear)


def _separating_sets(
    ledger: Ledger, pair: tuple[int, int], sets: Iterable[tuple[int, ...]], limits: Limits, rule: ColliderRule
) -> list[tuple[int, ...]]:
    """Return the sets that count; where none separates, the one that comes closest."""
    p_values = {given: ledger.p_value(*pair, given) for given in sets}
    best = ledger.separating_set(*pair)
    if best is None:
        return []
    least = max(limits.level, COMPARABLE * ledger.p_value(*pair, best))
    separating = [given for given, p_value in p_values.items() if p_value > least]
    return separating if separating and rule != "largest p-value" else [best]
