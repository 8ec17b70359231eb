"""What PC finds: the class of acyclic graphs that imply the same independences."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from tusi.causal.constraint.search import ONE_SEARCH, Discovery
from tusi.data import CausalGraph


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MarkovEquivalenceClass(Discovery):
    """Acyclic graphs that the independences cannot tell apart, as one partly directed graph.

    Attributes
    ----------
    directed
        Entry (i, j): i acts on j in all of them.
    undirected
        Symmetric: connected in all of them, in either direction.
    contested
        Symmetric: undirected edges for which the independences contradict each other or what is known.
    unclear
        Triples (x, z, y) whose separating sets contradict each other about the arrows at z.

    Examples
    --------
    >>> from tusi.causal.constraint import PC
    >>> from tusi.causal.independence import Oracle
    >>> collider = Oracle(arrow=np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=bool))
    >>> found = PC().search(collider.of_names(("x", "y", "z")))
    >>> [str(edge) for edge in found.graph.edges()]
    ['x -> z (P = 1.00)', 'y -> z (P = 1.00)']
    """

    assumption: ClassVar[str] = (
        "PC takes it that there is no hidden common cause and no feedback; undecided edges have either direction."
    )

    directed: Bool[np.ndarray, "cause effect"]
    undirected: Bool[np.ndarray, "cause effect"]
    contested: Bool[np.ndarray, "cause effect"]
    unclear: tuple[tuple[str, str, str], ...] = ()

    @property
    def adjacent(self) -> Bool[np.ndarray, "variable variable"]:
        """Which variables are connected."""
        return self.directed | self.directed.T | self.undirected

    @property
    def graph(self) -> CausalGraph:
        """Probability one for what this one search draws: an arrow, or an edge without direction."""
        notes = [ONE_SEARCH, self.assumption]
        if self.contested.any():
            names = [f"{self.names[i]} - {self.names[j]}" for i, j in np.argwhere(np.triu(self.contested))]
            notes.append(f"The independences contradict each other about the direction of {', '.join(names)}.")
        notes += [f"Whether {x} and {y} both act on {z} cannot be told." for x, z, y in self.unclear]
        return CausalGraph.of(
            names=self.names,
            method=self.method,
            notes=tuple(notes),
            arrow=self.directed.astype(float),
            undecided=self.undirected.astype(float),
        )
