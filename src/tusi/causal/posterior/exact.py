"""The posterior over all causal graphs: probabilities of edges that add up over every graph there is."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.causal.knowledge import Knowledge
from tusi.causal.posterior.enumeration import MOST_NODES, acyclic_graphs
from tusi.causal.posterior.evidence import FamilyEvidence, GaussianEvidence, slopes_given
from tusi.causal.posterior.summation import edge_probabilities
from tusi.causal.table import CausalTable
from tusi.data import CausalGraph
from tusi.errors import InputError

MOST_LISTED = 1000
"""Graphs that are kept, likeliest first, where all can be listed."""

_NOTE = (
    "Linear-Gaussian: graphs with the same independences are equally probable, so arrows that none of these fixes stay "
    "near one half each way."
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GraphPosterior:
    """Probabilities over all acyclic graphs of a table's variables.

    Attributes
    ----------
    names
        The variables.
    edge
        Entry (i, j): probability that i acts directly on j.
    n_effective
        Independent samples that the evidence was worth.
    correlation
        Of the variables, corrected for errors.
    likeliest
        Up to a thousand graphs, likeliest first; `None` where there are too many to list.
    probability
        Of each of these.
    effect, effect_error
        Entry (i, j): mean over graphs with that edge of the direct effect, in standard deviations, and its standard
        error; NaN where graphs are too many to list.
    notes
        What else is to be known about these numbers.
    """

    names: tuple[str, ...]
    edge: Float[np.ndarray, "cause effect"]
    n_effective: float
    correlation: Float[np.ndarray, "variable variable_"]
    likeliest: np.ndarray | None
    probability: Float[np.ndarray, " graph"] | None
    effect: Float[np.ndarray, "cause effect"]
    effect_error: Float[np.ndarray, "cause effect"]
    notes: tuple[str, ...] = ()

    @property
    def graph(self) -> CausalGraph:
        """The result as every method gives it."""
        return CausalGraph.of(
            names=self.names,
            method=f"exact posterior over graphs, {self.n_effective:.0f} effective samples",
            notes=(_NOTE, *self.notes),
            arrow=self.edge,
            effect=self.effect,
            effect_error=self.effect_error,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExactPosterior:
    """Sum over every acyclic graph: listed up to five variables, by dynamic programming up to fourteen.

    Prior: every graph that knowledge allows is equally probable, or each edge costs `edge_odds`.

    Attributes
    ----------
    evidence
        How likely the data are under a graph.
    edge_odds
        Prior odds of a graph with one more edge; 1 makes all graphs equally probable.

    References
    ----------
    M. Koivisto and K. Sood, J. Mach. Learn. Res. 5, 549 (2004); J. Tian and R. He, UAI 25, 538 (2009).

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> collider = np.array([[0, 0, 0.6], [0, 0, 0.6], [0, 0, 0]])
    >>> table = linear_fields(collider, FieldRecipe(shape=(24, 24)), rng=np.random.default_rng(1))
    >>> found = ExactPosterior().find(table)
    >>> (found.graph.connected > 0.9).astype(int).tolist()
    [[0, 0, 1], [0, 0, 1], [1, 1, 0]]
    """

    evidence: GaussianEvidence = dataclasses.field(default_factory=GaussianEvidence)
    edge_odds: float = 1.0

    def __post_init__(self) -> None:
        if not self.edge_odds > 0:
            raise InputError("edge_odds", expected="positive odds", got=str(self.edge_odds))

    def find(self, table: CausalTable, *, knowledge: Knowledge | None = None) -> GraphPosterior:
        """Return the posterior over the graphs of a table's variables.

        Parameters
        ----------
        table
            Two to fourteen variables that vary within the images.
        knowledge
            What is known beforehand.

        Raises
        ------
        InputError
            There are too many variables, one does not vary, or knowledge leaves no graph.
        """
        families = self.evidence.families(table)
        weight = families.log_evidence + self._prior(table.names, knowledge or Knowledge())
        if table.n_variables <= MOST_NODES:
            return _listed(weight, families)
        edges, totals = zip(*(edge_probabilities(one) for one in weight), strict=True)
        share = _shares(np.array(totals))
        edge = np.clip(np.tensordot(share, np.array(edges), axes=1), 0.0, 1.0)
        unknown = np.full((table.n_variables, table.n_variables), np.nan)
        return GraphPosterior(
            names=table.names, edge=edge, n_effective=families.n_effective,
            correlation=families.correlation, likeliest=None, probability=None, effect=unknown, effect_error=unknown,
        )  # fmt: skip

    def _prior(self, names: tuple[str, ...], knowledge: Knowledge) -> Float[np.ndarray, "variable subset"]:
        """Return the log prior of each family: what is not allowed has none."""
        n_variables = len(names)
        subsets = np.arange(1 << n_variables)
        inside = (subsets[:, None] >> np.arange(n_variables)) & 1 == 1
        allowed, demanded = knowledge.allowed(names), knowledge.demanded(names)
        out = np.tile(np.log(self.edge_odds) * inside.sum(axis=1), (n_variables, 1))
        for j in range(n_variables):
            wrong = (inside & ~allowed[:, j]).any(axis=1) | (~inside & demanded[:, j]).any(axis=1)
            out[j, wrong] = -np.inf
        return out


def _listed(weight: np.ndarray, families: FamilyEvidence) -> GraphPosterior:
    """Return the posterior from the list of all graphs."""
    n_variables = weight.shape[1]
    graphs = acyclic_graphs(n_variables)
    causes = (graphs * (1 << np.arange(n_variables))[None, :, None]).sum(axis=1)
    log_weight = weight[:, np.arange(n_variables), causes].sum(axis=2)
    probability = _shares(np.logaddexp.reduce(log_weight, axis=0))
    edge = np.tensordot(probability, graphs, axes=1)
    effect, error = _mean_effects(graphs, probability, causes, families)
    order = np.argsort(-probability, kind="stable")[:MOST_LISTED]
    return GraphPosterior(
        names=families.names, edge=np.clip(edge, 0.0, 1.0), n_effective=families.n_effective,
        correlation=families.correlation, likeliest=graphs[order], probability=probability[order], effect=effect,
        effect_error=error,
    )  # fmt: skip


def _mean_effects(
    graphs: np.ndarray, probability: np.ndarray, causes: np.ndarray, families: FamilyEvidence
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard error of each direct effect over the graphs that have it."""
    n_variables = graphs.shape[1]
    mean, square, share = (np.zeros((n_variables, n_variables)) for _ in range(3))
    for j in range(n_variables):
        of_causes = np.bincount(causes[:, j], weights=probability, minlength=1 << n_variables)
        for subset in np.flatnonzero(of_causes):
            own = np.flatnonzero(subset >> np.arange(n_variables) & 1)
            slope, variance = slopes_given(families.correlation, families.n_effective, causes=own, effect=j)
            mean[own, j] += of_causes[subset] * slope
            square[own, j] += of_causes[subset] * (slope**2 + variance)
            share[own, j] += of_causes[subset]
    known = share > 0
    mean = np.divide(mean, share, out=np.full_like(mean, np.nan), where=known)
    square = np.divide(square, share, out=np.full_like(square, np.nan), where=known)
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def _shares(log_weight: Float[np.ndarray, " case"]) -> Float[np.ndarray, " case"]:
    """Return weights that add up to one."""
    if not np.isfinite(log_weight.max()):
        raise InputError(
            "knowledge", expected="constraints that some acyclic graph fulfils", got="none",
            then="Look for required edges that make a circle.",
        )  # fmt: skip
    weight = np.exp(log_weight - log_weight.max())
    return weight / weight.sum()
