"""The searches of causal-learn, with tests that know the sample is an image; needs that package (an extra)."""

import dataclasses
import importlib
from typing import Any

import numpy as np

from tusi.causal.constraint.ancestral import Mark, PartialAncestralGraph
from tusi.causal.constraint.equivalence import MarkovEquivalenceClass
from tusi.causal.constraint.ledger import Ledger
from tusi.causal.constraint.search import ConstraintSearch, directions
from tusi.causal.independence import PreparedTest
from tusi.causal.knowledge import Knowledge
from tusi.errors import InputError

TEST = "tusi"
"""Name under which causal-learn knows our tests."""

_MARKS = {0: Mark.NONE, -1: Mark.TAIL, 1: Mark.ARROW, 2: Mark.CIRCLE}
_COLLIDERS = {"largest p-value": 1, "majority": 0, "conservative": 2}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CausalLearnPC(ConstraintSearch):
    """PC as causal-learn does it, asking our test.

    Its collider rules differ from ours: the separating sets that it came upon ("majority"), or the one with the largest
    p-value ("largest p-value", or with its definite rule "conservative").

    References
    ----------
    Y. Zheng et al., J. Mach. Learn. Res. 25, 60 (2024).

    Examples
    --------
    >>> CausalLearnPC(level=0.02).level
    0.02
    """

    def search(self, test: PreparedTest, *, knowledge: Knowledge | None = None) -> MarkovEquivalenceClass:
        """Return the graphs that imply what a test answers.

        Parameters
        ----------
        test
            Answers questions.
        knowledge
            What is known before.

        Raises
        ------
        InputError
            causal-learn is not installed, or the false discovery rate is to be controlled.
        """
        ledger = Ledger(test)
        found = _module("search.ConstraintBased.PC").pc(
            _placeholder(self, ledger),
            alpha=self.level,
            indep_test=TEST,
            uc_rule=_COLLIDERS[self.colliders],
            max_k=self.most_given,
            background_knowledge=_translated(knowledge, test.names),
            node_names=list(test.names),
            show_progress=False,
            ledger=ledger,
        )
        mark = _marks(found.G.graph)
        directed = (mark == Mark.ARROW) & (mark.T == Mark.TAIL)
        undirected = (mark != Mark.NONE) & ~directed & ~directed.T
        return MarkovEquivalenceClass(
            names=test.names,
            evidence=ledger.evidence(self.level),
            method=f"PC of causal-learn at level {self.level:g} of each question",
            directed=directed,
            undirected=undirected,
            contested=undirected & (mark == Mark.ARROW),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CausalLearnFCI(ConstraintSearch):
    """FCI as causal-learn does it, asking our test; `colliders` has no effect.

    It takes no knowledge: causal-learn draws a forbidden pair as an arrow the other way, and so excludes a hidden
    common cause that may be there.

    References
    ----------
    Y. Zheng et al., J. Mach. Learn. Res. 25, 60 (2024).

    Examples
    --------
    >>> CausalLearnFCI(level=0.02).level
    0.02
    """

    def search(self, test: PreparedTest, *, knowledge: Knowledge | None = None) -> PartialAncestralGraph:
        """Return the marks that causal-learn draws.

        Parameters
        ----------
        test
            Answers questions.
        knowledge
            Must be `None`.

        Raises
        ------
        InputError
            causal-learn is not installed, there is knowledge, or the false discovery rate is to be controlled.
        """
        if knowledge is not None:
            raise InputError(
                "knowledge", expected="none for causal-learn's FCI", got=repr(knowledge), then="Use `FCI`."
            )
        ledger = Ledger(test)
        found, _ = _module("search.ConstraintBased.FCI").fci(
            _placeholder(self, ledger),
            TEST,
            self.level,
            depth=-1 if self.most_given is None else self.most_given,
            node_names=list(test.names),
            show_progress=False,
            ledger=ledger,
        )
        return PartialAncestralGraph(
            names=test.names,
            evidence=ledger.evidence(self.level),
            method=f"FCI of causal-learn at level {self.level:g} of each question",
            mark=_marks(found.graph),
        )


def _module(name: str) -> Any:
    try:
        return importlib.import_module(f"causallearn.{name}")
    except ImportError as error:
        raise InputError(
            "search", expected="the package causal-learn", got="an environment without it",
            then="Install it with: pip install causal-learn",
        ) from error  # fmt: skip


def _placeholder(search: ConstraintSearch, ledger: Ledger) -> np.ndarray:
    """Make our test known to causal-learn; return what stands for the data, which it never looks at."""
    if search.false_discovery_rate is not None:
        raise InputError(
            "false_discovery_rate", expected="None for a search of causal-learn", got=str(search.false_discovery_rate)
        )
    tests = _module("utils.cit")

    class Asked(tests.CIT_Base):
        """Passes questions on."""

        def __init__(self, data: np.ndarray, ledger: Ledger, **options: Any) -> None:
            super().__init__(data, **options)
            self.method, self._ledger = TEST, ledger

        def __call__(self, x: int, y: int, given: Any = None) -> float:
            return self._ledger.p_value(int(x), int(y), tuple(sorted({int(k) for k in given or ()})))

    tests.register_ci_test(TEST, Asked)
    return np.zeros((len(ledger.names) + 1, len(ledger.names)))


def _translated(knowledge: Knowledge | None, names: tuple[str, ...]) -> Any:
    if knowledge is None:
        return None
    nodes = [_module("graph.GraphNode").GraphNode(name) for name in names]
    known = _module("utils.PCUtils.BackgroundKnowledge").BackgroundKnowledge()
    allowed, _ = directions(knowledge, names)
    required = knowledge.demanded(names)
    for i, cause in enumerate(nodes):
        for j, effect in enumerate(nodes):
            if required[i, j]:
                known.add_required_by_node(cause, effect)
            elif i != j and not allowed[i, j]:
                known.add_forbidden_by_node(cause, effect)
    return known


def _marks(graph: np.ndarray) -> np.ndarray:
    """Return our marks: causal-learn keeps that at i of the edge between i and j in entry (i, j)."""
    return np.array([[_MARKS[int(mark)] for mark in row] for row in graph.T], dtype=np.int64)
