"""What FCI finds: a graph whose marks at both ends of each edge hold whatever is hidden."""

import dataclasses
import enum
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from tusi.causal.constraint.search import ONE_SEARCH, Discovery
from tusi.data import CausalGraph


class Mark(enum.IntEnum):
    """What stands at the end of an edge x - y at y."""

    NONE = 0
    """There is no edge."""
    CIRCLE = 1
    """Not known: in some of the possible worlds an arrowhead, in others a tail."""
    ARROW = 2
    """y is no cause of x."""
    TAIL = 3
    """y is a cause of x, directly or through others (or, where samples were selected, of the selection)."""


_LEFT = {Mark.CIRCLE: "o", Mark.ARROW: "<", Mark.TAIL: "-"}
_RIGHT = {Mark.CIRCLE: "o", Mark.ARROW: ">", Mark.TAIL: "-"}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PartialAncestralGraph(Discovery):
    """Worlds with any hidden variables that the independences cannot tell apart, as one graph with marks.

    Two variables are connected where no set of others makes them independent. An edge x --> y says that x is a cause
    of y, not that it acts directly or that they have no hidden common cause besides; x <-> y that neither causes the
    other, so that a hidden variable acts on both.

    Attributes
    ----------
    mark
        Entry (i, j): `Mark` at j of the edge between i and j.
    unclear
        Triples (x, z, y) whose separating sets contradict each other about the arrowheads at z.

    Examples
    --------
    >>> from tusi.causal.constraint import FCI
    >>> from tusi.causal.independence import Oracle
    >>> arrow = np.zeros((5, 5), dtype=bool)
    >>> arrow[0, 2] = arrow[1, 3] = arrow[4, 2] = arrow[4, 3] = True  # the last variable is hidden
    >>> FCI().search(Oracle(arrow=arrow).of_names(("z1", "z2", "x", "y"))).edges()
    ('z1 o-> x', 'z2 o-> y', 'x <-> y')
    """

    assumption: ClassVar[str] = (
        "FCI takes it that there is no feedback. Its arrow is a cause, direct or through others; a hidden common cause "
        "besides it is possible."
    )

    mark: Int[np.ndarray, "variable variable"]
    unclear: tuple[tuple[str, str, str], ...] = ()

    def edges(self) -> tuple[str, ...]:
        """Return each edge in words, cause first where there is one."""
        return tuple(self._drawn(int(i), int(j)) for i, j in np.argwhere(np.triu(self.mark)))

    def _drawn(self, i: int, j: int) -> str:
        near, far = Mark(self.mark[j, i]), Mark(self.mark[i, j])
        if near == Mark.ARROW and far != Mark.ARROW:
            i, j, near, far = j, i, far, near
        return f"{self.names[i]} {_LEFT[near]}-{_RIGHT[far]} {self.names[j]}"

    @property
    def graph(self) -> CausalGraph:
        """Probability one for what this one search draws; an edge with a circle on it is undecided."""
        at_effect, at_cause = self.mark, self.mark.T
        arrow = (at_cause == Mark.TAIL) & (at_effect == Mark.ARROW)
        confounded = (at_cause == Mark.ARROW) & (at_effect == Mark.ARROW)
        undecided = (self.mark != Mark.NONE) & ~arrow & ~arrow.T & ~confounded
        notes = [ONE_SEARCH, self.assumption]
        circled = [self._drawn(int(i), int(j)) for i, j in np.argwhere(np.triu(undecided))]
        if circled:
            notes.append(f"What is known of undecided edges, o for either mark: {', '.join(circled)}.")
        notes += [f"Whether {z} causes {x} or {y} cannot be told." for x, z, y in self.unclear]
        return CausalGraph.of(
            names=self.names,
            method=self.method,
            notes=tuple(notes),
            arrow=arrow.astype(float),
            confounded=confounded.astype(float),
            undecided=undecided.astype(float),
        )
