"""From weights to the graph that fits best at equal prices, arrow by arrow: added, taken off, turned round."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from tusi.causal.knowledge import reachable

Arrows = Bool[np.ndarray, "cause effect"]

SAME = 1e-9
"""Difference of two scores below which they are equal."""

LEAST_LEFT = 1e-12
"""Share of a variance that causes leave at least: rounding."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Families:
    """Log-likelihood of every variable given its causes at their best, less a price for each.

    Attributes
    ----------
    correlation
        Of the variables.
    n_samples
        Independent samples that it rests on.
    price
        Of an arrow.
    """

    correlation: Float[np.ndarray, "variable variable_"]
    n_samples: float
    price: float
    _known: dict[tuple[int, int], float] = dataclasses.field(default_factory=dict)

    def of(self, effect: int, causes: int) -> float:
        """Return the score of one variable given the causes whose bits are set."""
        key = (effect, causes)
        if key not in self._known:
            own = [k for k in range(len(self.correlation)) if causes >> k & 1]
            across = self.correlation[own, effect]
            left = 1.0 - float(across @ np.linalg.solve(self.correlation[np.ix_(own, own)], across)) if own else 1.0
            self._known[key] = -0.5 * self.n_samples * np.log(max(left, LEAST_LEFT)) - self.price * len(own)
        return self._known[key]

    def of_graph(self, arrow: Arrows) -> float:
        """Return the score of a graph."""
        return sum(self.of(effect, causes) for effect, causes in enumerate(_bits(arrow)))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """Who may act on whom, and who must.

    Attributes
    ----------
    allowed, required
        Entry (i, j): whether i may, and must, act on j.
    """

    allowed: Arrows
    required: Arrows

    def without(self, i: int, j: int) -> "Limits":
        """Return the limits under which a pair is not connected."""
        pair = np.zeros_like(self.allowed)
        pair[i, j] = pair[j, i] = True
        return Limits(allowed=self.allowed & ~pair, required=self.required & ~pair)

    def turned(self, cause: int, effect: int) -> "Limits":
        """Return the limits under which the one acts on the other."""
        forced = np.zeros_like(self.allowed)
        forced[cause, effect] = True
        return Limits(allowed=self.allowed & ~forced.T, required=self.required | forced)


def without_cycles(strength: Float[np.ndarray, "cause effect"], limits: Limits) -> Arrows:
    """Return the arrows that stay if the weaker ones go that would close a cycle.

    Parameters
    ----------
    strength
        Entry (i, j): of the arrow; zero where there is none.
    limits
        What is required comes first, what is not allowed goes.

    Examples
    --------
    >>> free = Limits(allowed=~np.eye(2, dtype=bool), required=np.zeros((2, 2), dtype=bool))
    >>> without_cycles(np.array([[0, 0.3], [-0.4, 0]]), free).astype(int).tolist()
    [[0, 0], [1, 0]]
    """
    arrow, reached = limits.required.copy(), reachable(limits.required)
    np.fill_diagonal(reached, val=True)
    size = np.where(limits.allowed, np.abs(strength), 0.0)
    for place in np.argsort(-size, axis=None, kind="stable"):
        cause, effect = divmod(int(place), len(size))
        if size[cause, effect] == 0:
            break
        if not reached[effect, cause]:
            arrow[cause, effect] = True
            reached |= np.outer(reached[:, cause], reached[effect])
    return arrow


def climbed(families: Families, start: Arrows, limits: Limits, *, patience: int) -> Arrows:
    """Return the best graph on a walk that always takes the best change to a graph where it has not been.

    Parameters
    ----------
    families
        Scores.
    start
        A graph without cycles.
    limits
        What may and must be.
    patience
        Changes without a new best after which the walk ends.

    References
    ----------
    F. Glover, ORSA J. Comput. 1, 190 (1989).
    """
    now, score = start, families.of_graph(start)
    best, most, seen, waited = now, score, {now.tobytes()}, 0
    while waited < patience and (change := _best_new(families, now, limits, seen)) is not None:
        gain, now = change
        score, waited = score + gain, waited + 1
        seen.add(now.tobytes())
        if score > most + SAME:
            best, most, waited = now, score, 0
    return best


def best_addition(families: Families, arrow: Arrows, limits: Limits) -> Float[np.ndarray, "cause effect"]:
    """Return what the score gains by each arrow that could be added; minus infinity where none can."""
    gains = np.full(arrow.shape, -np.inf)
    for gain, cells in _changes(families, arrow, limits):
        if len(cells) == 1 and not arrow[cells[0]]:
            gains[cells[0]] = gain
    return gains


def _best_new(families: Families, arrow: Arrows, limits: Limits, seen: set[bytes]) -> tuple[float, Arrows] | None:
    """Return what the best change gains that leads to a graph not seen before, and this graph."""
    for gain, cells in sorted(_changes(families, arrow, limits), reverse=True):
        new = arrow.copy()
        new[tuple(zip(*cells, strict=True))] ^= True
        if new.tobytes() not in seen:
            return gain, new
    return None


def _changes(families: Families, arrow: Arrows, limits: Limits) -> Iterator[tuple[float, tuple[tuple[int, int], ...]]]:
    """Yield what each change that closes no cycle gains, and the entries that it turns over."""
    causes, reached = _bits(arrow), reachable(arrow)
    score = [families.of(effect, own) for effect, own in enumerate(causes)]
    present, reaches, detour = arrow.tolist(), reached.tolist(), (arrow.astype(int) @ reached > 0).tolist()
    allowed, required = limits.allowed.tolist(), limits.required.tolist()
    for i, j in np.argwhere(limits.allowed | limits.allowed.T).tolist():
        if present[i][j] and not required[i][j]:
            dropped = families.of(j, causes[j] ^ 1 << i) - score[j]
            yield dropped, ((i, j),)
            if allowed[j][i] and not detour[i][j]:
                yield dropped + families.of(i, causes[i] | 1 << j) - score[i], ((i, j), (j, i))
        elif allowed[i][j] and not present[i][j] and not reaches[j][i]:
            yield families.of(j, causes[j] | 1 << i) - score[j], ((i, j),)


def _bits(arrow: Arrows) -> list[int]:
    """Return the causes of each variable as the bits of a number."""
    return [sum(1 << k for k, own in enumerate(column) if own) for column in arrow.T.tolist()]
