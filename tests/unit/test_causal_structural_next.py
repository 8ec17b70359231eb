"""Which experiment separates graphs best, and graphs for other programs."""

import sys
import types

import numpy as np
import pytest

from tusi.causal.posterior import ExactPosterior
from tusi.causal.structural import (
    Experiment,
    Hypothesis,
    StructuralModel,
    Structure,
    rank_experiments,
    remaining_hypotheses,
    to_dot,
    to_gml,
    to_networkx,
)
from tusi.data import CausalGraph
from tusi.datasets.causal_fields import FieldRecipe, linear_fields
from tusi.errors import InputError

CORRELATION = np.array([[1.0, 0.6], [0.6, 1.0]])


def pair(probability=0.5):
    """Return x -> y and y -> x."""
    forth = np.array([[False, True], [False, False]])
    return [
        Hypothesis.of(arrow, names=("x", "y"), correlation=CORRELATION, probability=share)
        for arrow, share in ((forth, probability), (forth.T, 1 - probability))
    ]


def test_expected_gain_is_that_of_drawn_samples():
    """The same number from raw samples and their likelihoods, written out."""
    rng = np.random.default_rng(0)
    n, r = 6, 0.6
    entropy = []
    for truth in (0, 1):
        x = rng.standard_normal((20_000, n))
        y = (r * x if truth == 0 else 0.0) + np.sqrt(1 - r**2 if truth == 0 else 1.0) * rng.standard_normal((20_000, n))
        forth = -0.5 * (((y - r * x) ** 2) / (1 - r**2) + np.log(1 - r**2)).sum(axis=1)
        back = -0.5 * (y**2).sum(axis=1)
        share = 1 / (1 + np.exp(back - forth))
        share = np.clip(share, 1e-12, 1 - 1e-12)
        entropy.append(-(share * np.log2(share) + (1 - share) * np.log2(1 - share)).mean())
    found = rank_experiments(pair(), [Experiment(n_samples=n, sets="x")], rng=rng)[0]
    assert found.gain == pytest.approx(1 - np.mean(entropy), abs=4 * found.gain_error + 0.01)


def test_seeing_more_does_not_tell_equivalent_graphs_apart_but_setting_does():
    options = [Experiment(n_samples=10_000), Experiment(n_samples=200, sets="y"), Experiment(n_samples=20, sets="y")]
    ranked = rank_experiments(pair(0.8), options, rng=np.random.default_rng(0))
    assert [one.experiment for one in ranked] == [options[1], options[2], options[0]]
    assert ranked[0].gain == pytest.approx(ranked[0].unknown, abs=0.01)
    assert ranked[-1].gain == pytest.approx(0.0, abs=1e-9)
    assert "teaches nothing" in str(ranked[-1])
    assert ranked[0].unknown == pytest.approx(0.7219, abs=1e-4)


def test_a_wider_setting_teaches_more():
    options = [Experiment(n_samples=10, sets="x", spread=width) for width in (0.5, 1.0, 3.0)]
    gains = {one.experiment.spread: one.gain for one in rank_experiments(pair(), options, rng=np.random.default_rng(0))}
    assert gains[0.5] < gains[1.0] < gains[3.0]


def test_measuring_a_hidden_cause_separates_it_from_an_arrow():
    arrow = pair()[0]
    hidden = arrow.confounded("x", "y", hidden="tilt", probability=0.5)
    assert hidden.covariance() == pytest.approx(CORRELATION)
    assert hidden.relation("x", "y") == "<->"
    options = [Experiment(n_samples=100), Experiment(n_samples=100, measures=("tilt",))]
    best, worst = rank_experiments([arrow, hidden], options, rng=np.random.default_rng(0))
    assert best.experiment.measures == ("tilt",)
    assert best.gain > 0.99
    assert worst.gain == pytest.approx(0.0, abs=1e-9)
    assert "tilt measured too" in str(best)


def test_the_intervention_that_decides_a_chain():
    """Of x -> y -> z only the directions are open: setting the middle one decides more than an end does."""
    chain = np.diag([0.7, 0.7], 1)
    table = linear_fields(chain, FieldRecipe(shape=(48, 48)), rng=np.random.default_rng(0), names=("x", "y", "z"))
    search = ExactPosterior()
    correlation, _ = search.evidence.samples(table)
    left = remaining_hypotheses(search.find(table), correlation=correlation)
    assert sum(one.probability for one in left) == pytest.approx(1.0)
    assert {"x -> y, y -> z", "y -> x, z -> y", "y -> x, y -> z"} <= {str(one) for one in left}
    options = [Experiment(n_samples=300, sets=name) for name in ("x", "y", "z")]
    ranked = rank_experiments(left, options, rng=np.random.default_rng(0))
    assert ranked[0].experiment.sets == "y"
    assert ranked[0].gain > 0.8 * ranked[0].unknown


def test_rank_mistakes_are_named():
    with pytest.raises(InputError, match="at least two"):
        rank_experiments(pair()[:1], [Experiment(n_samples=9)], rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="one for each of 2"):
        rank_experiments(pair(), [Experiment(n_samples=1)], rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="start of an arrow"):
        pair()[0].confounded("y", "x", hidden="tilt", probability=0.5)
    with pytest.raises(InputError, match="positive number"):
        Experiment(n_samples=0)
    with pytest.raises(InputError, match="positive variances"):
        Hypothesis(names=("x",), coefficient=np.zeros((1, 1)), noise=np.zeros(1), probability=1.0)


def graph_with_a_hidden_cause():
    confounded = np.zeros((3, 3))
    confounded[1, 2] = confounded[2, 1] = 0.8
    arrow = np.zeros((3, 3))
    arrow[0, 1] = 0.9
    return CausalGraph.of(names=("x", 'a "b"', "unit cell"), method="test", arrow=arrow, confounded=confounded)


def test_text_formats():
    dot, gml = to_dot(graph_with_a_hidden_cause()), to_gml(graph_with_a_hidden_cause())
    assert 'x -> "a \\"b\\"" [probability=0.9];' in dot
    assert '"hidden cause of a \\"b\\" and unit cell" [observed=no];' in dot
    assert dot.count("->") == gml.count("edge") == 3
    assert 'label "a &#34;b&#34;"' in gml
    assert 'observed "no"' in gml


def test_networkx_gets_every_edge_or_a_command(monkeypatch):
    structure = Structure.of([("x", "y")], names=("x", "y"))
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(InputError, match="pip install networkx"):
        to_networkx(structure)

    class DiGraph:
        def __init__(self):
            self.nodes, self.edges = {}, {}

        def add_node(self, name, **data):
            self.nodes[name] = data

        def add_edge(self, cause, effect, **data):
            self.edges[cause, effect] = data

    monkeypatch.setitem(sys.modules, "networkx", types.SimpleNamespace(DiGraph=DiGraph))
    table = linear_fields(np.array([[0, 0.5], [0, 0]]), FieldRecipe(shape=(8, 8)), rng=np.random.default_rng(0))
    model = StructuralModel.fit(table, Structure.of([("x0", "x1")], names=table.names))
    assert to_networkx(model).edges == {("x0", "x1"): {"probability": 1.0}}
    hidden = to_networkx(graph_with_a_hidden_cause())
    assert [name for name, data in hidden.nodes.items() if not data["observed"]] == [
        'hidden cause of a "b" and unit cell'
    ]
