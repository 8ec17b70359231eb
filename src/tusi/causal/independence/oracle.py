"""Independence read off a known graph: what a perfect test would answer, hidden variables included."""

import dataclasses

import numpy as np
from jaxtyping import Bool

from tusi.causal.independence.question import Independence, IndependenceTest, PreparedTest
from tusi.causal.table import CausalTable
from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Oracle(IndependenceTest):
    """The independences that a known acyclic graph implies (d-separation), for checking searches.

    Attributes
    ----------
    arrow
        Entry (i, j): whether i acts on j. Columns of the table come first, in order; further nodes are hidden.

    References
    ----------
    J. Pearl, Causality, 2nd ed. (Cambridge University Press, 2009), section 1.2.3.

    Examples
    --------
    >>> collider = Oracle(arrow=np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)).of_names(("x", "y", "z"))
    >>> collider.ask(0, 1).p_value, collider.ask(0, 1, (2,)).p_value
    (1.0, 0.0)
    """

    arrow: Bool[np.ndarray, "cause effect"]

    def of_names(self, names: tuple[str, ...]) -> PreparedTest:
        """Return the test for variables of these names, without a table.

        Parameters
        ----------
        names
            Of the variables that are seen.
        """
        if len(names) > len(self.arrow):
            raise InputError("names", expected=f"at most {len(self.arrow)} variables", got=str(len(names)))
        return _PreparedOracle(names, self.arrow)

    def prepare(self, table: CausalTable, *, rng: np.random.Generator | None = None) -> PreparedTest:  # noqa: ARG002
        """Return the test for the variables of a table."""
        return self.of_names(table.names)


class _PreparedOracle(PreparedTest):
    def __init__(self, names: tuple[str, ...], arrow: np.ndarray) -> None:
        self.names = names
        self._arrow = np.asarray(arrow, dtype=bool)

    def ask(self, x: int, y: int, given: tuple[int, ...] = ()) -> Independence:
        separated = d_separated(self._arrow, x, y, given)
        return Independence(p_value=float(separated), estimate=float(not separated), n_effective=np.inf)


def d_separated(arrow: Bool[np.ndarray, "cause effect"], x: int, y: int, given: tuple[int, ...]) -> bool:
    """Return whether a set of nodes blocks every path between two nodes of an acyclic graph.

    By separation in the moral graph of the ancestors.

    Parameters
    ----------
    arrow
        Entry (i, j): whether i acts on j.
    x, y
        The two nodes.
    given
        The set that is held fixed.
    """
    ancestors = np.zeros(len(arrow), dtype=bool)
    ancestors[[x, y, *given]] = True
    while True:
        grown = ancestors | arrow[:, ancestors].any(axis=1)
        if (grown == ancestors).all():
            break
        ancestors = grown
    inside = arrow & ancestors[:, None] & ancestors[None, :]
    moral = inside | inside.T | ((inside.astype(int) @ inside.T.astype(int)) > 0)
    moral[list(given), :] = moral[:, list(given)] = False
    reached = np.zeros(len(arrow), dtype=bool)
    reached[x] = True
    while True:
        grown = reached | moral[reached].any(axis=0)
        if (grown == reached).all():
            return not reached[y]
        reached = grown
