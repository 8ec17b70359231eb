"""FCI: what independences say about causes where any number of variables may be hidden."""

import dataclasses

import numpy as np

from tusi.causal.constraint.ancestral import PartialAncestralGraph
from tusi.causal.constraint.colliders import Triples, judge_triples
from tusi.causal.constraint.ledger import Ledger
from tusi.causal.constraint.marking import Marks, complete, first_marks
from tusi.causal.constraint.paths import possible_separators
from tusi.causal.constraint.search import ConstraintSearch, directions
from tusi.causal.constraint.skeleton import Start, neighbour_sets, pairs, skeleton, subsets
from tusi.causal.independence import PreparedTest
from tusi.causal.knowledge import Knowledge
from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class FCI(ConstraintSearch):
    """Causes from independences, with any hidden common causes and no feedback.

    The order of the variables does not matter. Knowledge says who is no cause of whom: a tier, an exogenous variable,
    or a set of forbidden pairs that leaves no way from x to y, puts an arrowhead at x. A forbidden pair alone does not
    where x may act on y through other variables.

    Attributes
    ----------
    selection
        Whether which samples there are (atoms that were detected, regions that were imaged) may itself depend on the
        variables; then undirected edges are possible.

    References
    ----------
    P. Spirtes, C. Meek, T. Richardson, Proc. UAI, 499 (1995); J. Zhang, Artif. Intell. 172, 1873 (2008);
    D. Colombo, M. H. Maathuis, M. Kalisch, T. S. Richardson, Ann. Stat. 40, 294 (2012).

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> collider = np.array([[0, 0, 0.6], [0, 0, 0.6], [0, 0, 0]])
    >>> world = linear_fields(collider, FieldRecipe(smoothing=1.0), rng=np.random.default_rng(0), names=("x", "y", "z"))
    >>> FCI(level=0.01).find(world).edges()
    ('x o-> z', 'y o-> z')
    """

    selection: bool = False

    def search(self, test: PreparedTest, *, knowledge: Knowledge | None = None) -> PartialAncestralGraph:
        """Return the marks that hold in every world that implies what a test answers.

        Parameters
        ----------
        test
            Answers questions.
        knowledge
            What is known before.

        Raises
        ------
        InputError
            There is knowledge although samples may be selected: it then says nothing about the marks.
        """
        if self.selection and knowledge is not None:
            raise InputError(
                "knowledge", expected="none where samples may be selected", got=repr(knowledge),
                then="Who acts on whom does not tell who acts on the selection.",
            )  # fmt: skip
        names = test.names
        ledger = Ledger(test)
        _, ancestor = directions(knowledge, names)
        required = (knowledge or Knowledge()).demanded(names)
        usable = ancestor.T[:, None, :] | ancestor.T[None, :, :]
        start = Start(adjacent=~np.eye(len(names), dtype=bool), kept=required | required.T, usable=usable)
        adjacent = skeleton(ledger, start, self.limits)
        adjacent = self._separated_further(ledger, adjacent, start)
        adjacent = self.discovered(ledger, adjacent, start)
        triples = self._judged(ledger, adjacent, start)
        marks = Marks(mark=first_marks(adjacent, triples, ancestor=ancestor), chain=triples.chain)
        mark = complete(
            marks,
            lambda x, z, y: z in (ledger.separating_set(x, y) or ()),
            required=required,
            selection=self.selection,
        )
        return PartialAncestralGraph(
            names=names,
            evidence=ledger.evidence(self.level),
            method=f"FCI at level {self.level:g} of each question",
            mark=mark,
            unclear=tuple((names[x], names[z], names[y]) for x, z, y in np.argwhere(triples.unclear) if x < y),
        )

    def _judged(self, ledger: Ledger, adjacent: np.ndarray, start: Start) -> Triples:
        sizes = self.limits.sizes(len(adjacent))
        return judge_triples(
            ledger, adjacent, lambda x, y: neighbour_sets((x, y), adjacent, start, sizes), self.limits, self.colliders
        )

    def _separated_further(self, ledger: Ledger, adjacent: np.ndarray, start: Start) -> np.ndarray:
        """Return the edges that remain when sets of variables further away are tried."""
        triples = self._judged(ledger, adjacent, start)
        pools = [possible_separators(adjacent, triples, x) for x in range(len(adjacent))]
        remaining = adjacent.copy()
        for x, y in pairs(adjacent & ~start.kept):
            usable = [pool[start.usable[x, y, pool]] for pool in (pools[x], pools[y])]
            sets = subsets(usable, (x, y), self.limits.sizes(len(adjacent) - 2))
            if any(ledger.p_value(x, y, given) > self.level for given in sets):
                remaining[x, y] = remaining[y, x] = False
        return remaining
