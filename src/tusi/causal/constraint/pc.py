"""PC: the acyclic graphs without hidden causes that imply the independences found."""

import dataclasses

import numpy as np

from tusi.causal.constraint.colliders import judge_triples
from tusi.causal.constraint.equivalence import MarkovEquivalenceClass
from tusi.causal.constraint.ledger import Ledger
from tusi.causal.constraint.orientation import orient
from tusi.causal.constraint.search import ConstraintSearch, directions
from tusi.causal.constraint.skeleton import Start, neighbour_sets, skeleton
from tusi.causal.independence import PreparedTest
from tusi.causal.knowledge import Knowledge


@dataclasses.dataclass(frozen=True, kw_only=True)
class PC(ConstraintSearch):
    """Causes from independences, where no two variables have a hidden common cause and there is no feedback.

    The order of the variables does not matter. A pair that cannot act on each other in either direction is not
    connected; only possible causes of a variable are held fixed on its behalf.

    References
    ----------
    P. Spirtes, C. Glymour, R. Scheines, Causation, Prediction, and Search, 2nd ed. (MIT Press, 2000);
    D. Colombo, M. H. Maathuis, J. Mach. Learn. Res. 15, 3741 (2014).

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> collider = np.array([[0, 0, 0.6], [0, 0, 0.6], [0, 0, 0]])
    >>> world = linear_fields(collider, FieldRecipe(smoothing=1.0), rng=np.random.default_rng(0), names=("x", "y", "z"))
    >>> found = PC(level=0.01).find(world)
    >>> [str(edge) for edge in found.graph.edges()], found.evidence.separating_set("x", "y")
    (['x -> z (P = 1.00)', 'y -> z (P = 1.00)'], ())
    """

    def search(self, test: PreparedTest, *, knowledge: Knowledge | None = None) -> MarkovEquivalenceClass:
        """Return the graphs that imply what a test answers.

        Parameters
        ----------
        test
            Answers questions.
        knowledge
            What is known before.
        """
        names = test.names
        ledger, limits = Ledger(test), self.limits
        allowed, _ = directions(knowledge, names)
        required = (knowledge or Knowledge()).demanded(names)
        usable = np.repeat(allowed.T[:, None, :], len(names), axis=1)
        start = Start(adjacent=allowed | allowed.T, kept=required | required.T, usable=usable)
        adjacent = self.discovered(ledger, skeleton(ledger, start, limits), start)
        sizes = limits.sizes(len(names))
        triples = judge_triples(
            ledger, adjacent, lambda x, y: neighbour_sets((x, y), adjacent, start, sizes), limits, self.colliders
        )
        found = orient(adjacent, triples, allowed=allowed)
        return MarkovEquivalenceClass(
            names=names,
            evidence=ledger.evidence(self.level),
            method=f"PC at level {self.level:g} of each question",
            directed=found.directed,
            undirected=found.undirected,
            contested=found.contested,
            unclear=tuple((names[x], names[z], names[y]) for x, z, y in np.argwhere(triples.unclear) if x < y),
        )
