"""What PC and FCI share: their choices, and how knowledge limits where they look."""

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Bool

from tusi.causal.constraint.colliders import ColliderRule
from tusi.causal.constraint.ledger import Evidence, Ledger
from tusi.causal.constraint.skeleton import Limits, Start, edges_discovered
from tusi.causal.independence import IndependenceTest, PreparedTest
from tusi.causal.independence.linear import PartialCorrelation
from tusi.causal.knowledge import Knowledge, reachable
from tusi.causal.table import CausalTable
from tusi.data import CausalGraph
from tusi.errors import InputError

ONE_SEARCH = "One search: 1 says that the search draws it, not that it is certain. Resample for probabilities."


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Discovery(ABC):
    """What a search found.

    Attributes
    ----------
    names
        The variables.
    evidence
        Everything that was asked, with the answers.
    method
        How it was found, in words.
    """

    assumption: ClassVar[str]
    """What the search takes for granted, in words."""

    names: tuple[str, ...]
    evidence: Evidence
    method: str

    @property
    @abstractmethod
    def graph(self) -> CausalGraph:
        """The result as every method gives it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConstraintSearch(ABC):
    """Search for the causal graphs that imply the independences in a table.

    Attributes
    ----------
    test
        How independence is tested. The level holds for each question, not for the graph.
    level
        Two variables are called independent where the p-value exceeds it.
    most_given
        Largest number of variables that are held fixed at once; all that there are when not given.
    colliders
        How separating sets decide where two arrows meet.
    false_discovery_rate
        Largest expected share of false ones among the edges (Benjamini and Yekutieli); not controlled when not given.
        It can only remove edges from those found at `level`, so choose the level at least as large.
    """

    test: IndependenceTest = dataclasses.field(default_factory=PartialCorrelation)
    level: float = 0.01
    most_given: int | None = None
    colliders: ColliderRule = "majority"
    false_discovery_rate: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise InputError("level", expected="a p-value between 0 and 1", got=str(self.level))
        if self.most_given is not None and self.most_given < 0:
            raise InputError("most_given", expected="a number of variables, or None", got=str(self.most_given))
        if self.false_discovery_rate is not None and not 0 < self.false_discovery_rate < 1:
            raise InputError("false_discovery_rate", expected="between 0 and 1", got=str(self.false_discovery_rate))

    def find(
        self, table: CausalTable, *, rng: np.random.Generator | None = None, knowledge: Knowledge | None = None
    ) -> Discovery:
        """Return what the independences in a table say about causes.

        Parameters
        ----------
        table
            The variables, and where each row lies.
        rng
            Source of randomness, for tests that need one.
        knowledge
            What is known before.
        """
        return self.search(self.test.prepare(table, rng=rng), knowledge=knowledge)

    def graph_of(
        self, table: CausalTable, rng: np.random.Generator, *, knowledge: Knowledge | None = None
    ) -> CausalGraph:
        """Return the graph alone, without notes on this one search: what a bootstrap repeats.

        Parameters
        ----------
        table
            The variables, and where each row lies.
        rng
            Source of randomness, for tests that need one.
        knowledge
            What is known before.
        """
        found = self.find(table, rng=rng, knowledge=knowledge)
        return dataclasses.replace(found.graph, notes=(found.assumption,))

    @abstractmethod
    def search(self, test: PreparedTest, *, knowledge: Knowledge | None = None) -> Discovery:
        """Return what the answers of a test say about causes.

        Parameters
        ----------
        test
            Answers questions.
        knowledge
            What is known before.
        """

    @property
    def limits(self) -> Limits:
        """Level and largest set of the questions."""
        return Limits(level=self.level, most_given=self.most_given)

    def discovered(self, ledger: Ledger, adjacent: np.ndarray, start: Start) -> Bool[np.ndarray, "variable variable"]:
        """Return the edges that remain when the false discovery rate is controlled."""
        if self.false_discovery_rate is None:
            return adjacent
        p_value = ledger.evidence(self.level).largest_p_value
        return edges_discovered(adjacent, p_value, start.kept, rate=self.false_discovery_rate)


def directions(knowledge: Knowledge | None, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return who may act directly on whom, and who may be a cause of whom at all; hidden variables do not act back.

    Parameters
    ----------
    knowledge
        What is known; everything may be when not given.
    names
        The variables.
    """
    known = knowledge or Knowledge()
    allowed = known.possible(names)
    return allowed, reachable(allowed) & ~reachable(known.demanded(names)).T & ~np.eye(len(names), dtype=bool)
