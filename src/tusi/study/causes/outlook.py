"""What to do next: which variable to set from outside, or whether more of the same images tell, and how much."""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Bool

from tusi.causal import CausalTable, Knowledge
from tusi.causal.knowledge import reachable
from tusi.causal.posterior import GaussianEvidence, GraphPosterior
from tusi.causal.structural import Experiment, Hypothesis, RankedExperiment, rank_experiments
from tusi.data import CausalGraph

MOST_GRAPHS = 60
"""Graphs that are told apart, likeliest first."""

MOST_PAIRS = 6
"""Pairs that are left open where graphs are too many to list; the others are taken as they most likely are."""

OPEN = 0.02
"""Probability of what is not likeliest from which on a pair counts as open."""

WHOLE = 0.98
"""Share of the probability that the graphs have which are told apart, where they are not too many."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outlook:
    """What could be done next, and what each is expected to teach.

    Attributes
    ----------
    ranked
        Best first.
    share
        Of the probability that the compared graphs have.
    hidden
        Pairs in which a hidden common cause is compared with the arrow, at even odds: FCI does not rule it out.
    """

    ranked: tuple[RankedExperiment, ...]
    share: float
    hidden: tuple[tuple[str, str], ...]


def outlook(
    table: CausalTable,
    posterior: GraphPosterior,
    *,
    knowledge: Knowledge,
    evidence: GaussianEvidence,
    hidden: tuple[tuple[str, str], ...],
    rng: np.random.Generator,
) -> Outlook | None:
    """Rank what would separate the graphs that remain: as many samples again, seen or with one variable set.

    Setting a variable from outside cuts it off from its causes, hidden ones too. Up to five variables all graphs are
    compared; of more, the pairs that are least sure are opened and all others taken as they most likely are.

    Parameters
    ----------
    table
        Variables that vary within images.
    posterior
        Over their graphs.
    knowledge
        Of them.
    evidence
        As for the posterior.
    hidden
        Pairs (cause, effect) that a hidden common cause would explain as well.
    rng
        Source of randomness.

    Returns
    -------
    Outlook or None
        Nothing where a single graph remains, or samples are too few to say.

    Examples
    --------
    >>> from tusi.causal.posterior import ExactPosterior
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> world = linear_fields(np.array([[0, 0.6], [0, 0]]), FieldRecipe(), rng=np.random.default_rng(0))
    >>> search = ExactPosterior()
    >>> found = outlook(world, search.find(world), knowledge=Knowledge(), evidence=search.evidence, hidden=(),
    ...                 rng=np.random.default_rng(1))
    >>> bool(found.ranked[0].experiment.sets), round(found.ranked[0].gain), round(found.ranked[-1].gain)
    (True, 1, 0)
    """
    graphs, probability = _graphs(table, posterior, knowledge, evidence)
    enough = int(np.searchsorted(np.cumsum(probability), WHOLE)) + 1
    kept = slice(0, min(enough, MOST_GRAPHS))
    share = float(probability[kept].sum())
    models = [
        Hypothesis.of(graph, names=posterior.names, correlation=posterior.correlation, probability=float(weight))
        for graph, weight in zip(graphs[kept], probability[kept] / share, strict=True)
    ]
    models, split = _with_hidden_causes(models, hidden)
    if len(models) < 2 or posterior.n_effective < len(posterior.names):
        return None
    n_samples = float(np.floor(posterior.n_effective))
    experiments = [Experiment(n_samples=n_samples, sets=name) for name in posterior.names]
    ranked = rank_experiments(models, [*experiments, Experiment(n_samples=n_samples)], rng=rng)
    return Outlook(ranked=ranked, share=share, hidden=split)


def doubtful_arrows(graph: CausalGraph, hidden: CausalGraph) -> tuple[tuple[str, str], ...]:
    """Return arrows that FCI takes for a hidden common cause, or does not tell from one.

    Parameters
    ----------
    graph
        Within images.
    hidden
        What FCI finds.
    """
    return tuple(
        (edge.cause, edge.effect)
        for edge in graph.edges()
        if edge.relation == "acts on"
        and {edge.cause, edge.effect} <= set(hidden.names)
        and hidden.probability(edge.cause, edge.effect) < 1
        and hidden.connected[hidden.names.index(edge.cause), hidden.names.index(edge.effect)] > 0
    )


def _graphs(
    table: CausalTable, posterior: GraphPosterior, knowledge: Knowledge, evidence: GaussianEvidence
) -> tuple[Bool[np.ndarray, "graph cause effect"], np.ndarray]:
    """Return graphs, likeliest first, and their probabilities."""
    if posterior.likeliest is not None and posterior.probability is not None:
        return posterior.likeliest.astype(bool), posterior.probability
    return _opened(table, posterior, knowledge, evidence)


def _opened(
    table: CausalTable, posterior: GraphPosterior, knowledge: Knowledge, evidence: GaussianEvidence
) -> tuple[Bool[np.ndarray, "graph cause effect"], np.ndarray]:
    """Return the acyclic graphs that differ in the least sure pairs, with probabilities given the others."""
    names, edge = posterior.names, posterior.edge
    n_variables = len(names)
    pairs = list(itertools.combinations(range(n_variables), 2))
    states = {(i, j): np.array([1 - edge[i, j] - edge[j, i], edge[i, j], edge[j, i]]) for i, j in pairs}
    unsure = sorted((pair for pair in pairs if states[pair].max() < 1 - OPEN), key=lambda pair: states[pair].max())
    unsure = unsure[:MOST_PAIRS]
    base = np.zeros((n_variables, n_variables), dtype=bool)
    for (i, j), state in states.items():
        if (i, j) not in unsure:
            base[i, j], base[j, i] = state.argmax() == 1, state.argmax() == 2
    allowed, demanded = knowledge.allowed(names), knowledge.demanded(names)
    graphs = []
    for chosen in itertools.product(range(3), repeat=len(unsure)):
        graph = base.copy()
        for (i, j), state in zip(unsure, chosen, strict=True):
            graph[i, j], graph[j, i] = state == 1, state == 2
        fits = not (graph & ~allowed).any() and not (demanded & ~graph).any()
        if fits and not np.diagonal(reachable(graph)).any():
            graphs.append(graph)
    found = np.array(graphs).reshape(-1, n_variables, n_variables)
    families = evidence.families(table).log_evidence
    causes = (found * (1 << np.arange(n_variables))[None, :, None]).sum(axis=1)
    weight = np.logaddexp.reduce(families[:, np.arange(n_variables), causes].sum(axis=2), axis=0)
    probability = np.exp(weight - weight.max(initial=-np.inf))
    order = np.argsort(-probability, kind="stable")
    return found[order], probability[order] / probability.sum()


def _with_hidden_causes(
    models: list[Hypothesis], pairs: tuple[tuple[str, str], ...]
) -> tuple[list[Hypothesis], tuple[tuple[str, str], ...]]:
    """Return the models, each as probable as its versions with one doubtful arrow turned into a hidden cause."""
    out, split = [], []
    for model in models:
        versions = [model]
        for number, (cause, effect) in enumerate(pairs):
            i, j = model.names.index(cause), model.names.index(effect)
            if model.coefficient[i, j] and not model.coefficient[:, i].any():
                versions.append(model.confounded(cause, effect, hidden=f"hidden {number}", probability=1.0))
                split.append((cause, effect))
        out += [dataclasses.replace(one, probability=model.probability / len(versions)) for one in versions]
    return out, tuple(dict.fromkeys(split))
