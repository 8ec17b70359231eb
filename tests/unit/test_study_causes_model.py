"""What stands beside the graph: equations that are tried, total effects, shapes of distributions, what to do next."""

import dataclasses

import numpy as np
import pytest

from tusi.causal import CausalTable, Knowledge
from tusi.causal.posterior import ExactPosterior
from tusi.data import CausalGraph
from tusi.datasets.causal_fields import FieldRecipe, linear_fields
from tusi.datasets.causal_images import interfering_fields
from tusi.errors import InputError
from tusi.inference.spatial import Centring, Layout
from tusi.report.causes import render_causes_report
from tusi.study.causes import CausesOptions, discover_causes
from tusi.study.causes.model import model_of_causes
from tusi.study.causes.outlook import _opened, doubtful_arrows, outlook

PLAIN = CausesOptions(long_waves=True, maps=0)
CHAIN = np.array([[0, 0.7, 0.3], [0, 0, 0.6], [0, 0, 0]])
NAMES = ("x", "m", "y")
DRAWN = CausalGraph.of_arrows({("x", "m"): 0.9, ("m", "y"): 0.9, ("x", "y"): 0.9}, names=NAMES)


def rng(seed=0):
    return np.random.default_rng(seed)


def fields(effects, *, seed=0, side=24, names=(), **choices):
    return linear_fields(np.array(effects), FieldRecipe(shape=(side, side), **choices), rng=rng(seed), names=names)


def test_total_effects_are_those_of_the_values_without_error_and_add_up():
    table = fields(CHAIN, side=48, names=NAMES)
    spread = table.value.std(axis=0)
    noisy = table.column("y") + 2.0 * spread[2] * rng(5).standard_normal(len(table))
    seen = CausalTable.of(
        {"x": 1e3 * table.column("x"), "m": table.column("m"), "y": noisy}, layout=table.layout,
        error={"y": 2.0 * spread[2]},
    )  # fmt: skip
    found = model_of_causes(seen, DRAWN, detrending=Centring(), rng=rng(1))
    assert found is not None
    total = next(one for one in found.effects if (one.cause, one.effect) == ("x", "y"))
    truth = (0.3 + 0.7 * 0.6) * spread[0] / spread[2]
    assert total.total.interval[0] < truth < total.total.interval[1]
    assert total.total.standard_error < 0.15
    assert total.mediators == ("m",)
    assert total.direct is not None
    assert total.indirect is not None
    assert total.direct.estimate + total.indirect.estimate == pytest.approx(total.total.estimate)
    one = next(one for one in found.effects if (one.cause, one.effect) == ("x", "m"))
    assert one.direct is None
    assert one.total.estimate == pytest.approx(0.7 * spread[0] / spread[1], abs=0.05)


def test_an_arrow_that_is_only_believed_is_refuted_and_named():
    table = fields(np.zeros((3, 3)), names=NAMES)
    found = discover_causes(table, knowledge=Knowledge(required=(("x", "y"),)), options=PLAIN, rng=rng(3))
    assert found.model is not None
    assert [(one.cause, one.effect, one.survived) for one in found.model.refutations] == [("x", "y", False)]
    assert found.model.refutation("y", "x") is None
    assert any("Attempts to refute succeed for x on y (" in sentence for sentence in found.verdict)


def test_what_is_not_linear_is_said():
    x, noise = rng(4).standard_normal((2, 900))
    table = CausalTable.of({"x": x, "y": x + x**2 + 0.5 * noise}, layout=Layout.grid((30, 30)))
    found = discover_causes(table, knowledge=Knowledge(tiers=(("x",), ("y",))), options=PLAIN, rng=rng())
    assert any("still depends on a cause, y on x" in sentence for sentence in found.verdict)
    straight = CausalTable.of({"x": x, "y": x + 0.5 * noise}, layout=Layout.grid((30, 30)))
    found = discover_causes(straight, knowledge=Knowledge(tiers=(("x",), ("y",))), options=PLAIN, rng=rng())
    assert not any("still depends" in sentence for sentence in found.verdict)
    assert any("Every arrow withstands" in sentence for sentence in found.verdict)


def test_likely_arrows_in_a_circle_give_no_equations():
    circle = CausalGraph.of_arrows({("x", "m"): 0.9, ("m", "y"): 0.9, ("y", "x"): 0.9}, names=NAMES)
    with pytest.raises(InputError, match="a circle among x, m, y"):
        model_of_causes(fields(CHAIN, names=NAMES), circle, detrending=Centring(), rng=rng())
    assert model_of_causes(
        fields(CHAIN, names=NAMES), CausalGraph.of(names=NAMES, method="none"), detrending=Centring(), rng=rng()
    ) is None  # fmt: skip


@pytest.mark.parametrize(("tail", "told"), [("laplace", True), ("normal", False)])
def test_shapes_give_the_direction_that_independences_leave_open_only_where_they_can(tail, told):
    table = fields([[0, 0.7], [0, 0]], side=32, names=("x", "y"), tail=tail)
    found = discover_causes(table, options=PLAIN, rng=rng())
    assert found.graph.edges()[0].relation == "undecided"
    said = "From the shape of the distributions alone, x acts on y (DirectLiNGAM)." in found.verdict
    assert said == told


def test_graphs_of_opened_pairs_have_the_probabilities_of_all_graphs():
    table = fields([[0, 0.2, 0, 0.1], [0, 0, 0.15, 0], [0, 0, 0, 0.1], [0, 0, 0, 0]], side=9)
    search, known = ExactPosterior(), Knowledge(forbidden=(("x3", "x0"),))
    listed = search.find(table, knowledge=known)
    pairs = listed.edge + listed.edge.T
    assert 0.02 < pairs[np.triu_indices(4, 1)].min() < pairs[np.triu_indices(4, 1)].max() < 0.98
    graphs, probability = _opened(table, listed, known, search.evidence)
    assert probability.sum() == pytest.approx(1.0)
    said = {graph.tobytes(): share for graph, share in zip(graphs, probability, strict=True)}
    assert listed.probability is not None
    assert listed.likeliest is not None
    possible = listed.probability > 0
    assert len(said) == possible.sum()
    for graph, share in zip(listed.likeliest[possible].astype(bool), listed.probability[possible], strict=True):
        assert said[graph.tobytes()] == pytest.approx(share, rel=1e-6)


def test_setting_a_variable_tells_what_seeing_more_cannot():
    table = fields([[0, 0.6], [0, 0]], names=("x", "y"))
    found = discover_causes(table, options=PLAIN, rng=rng())
    assert found.outlook is not None
    best, *_, last = found.outlook.ranked
    assert best.experiment.sets
    assert best.gain > 0.9
    assert not last.experiment.sets
    assert last.gain < 0.1
    assert "setting" in found.verdict[-1]
    assert "as many images of the same kind again, 0 %" in found.verdict[-1]
    known = discover_causes(table, options=PLAIN, rng=rng(), knowledge=Knowledge(forbidden=(("y", "x"),)))
    assert known.outlook is not None
    assert known.outlook.hidden == (("x", "y"),)


def test_a_hidden_cause_that_fci_does_not_rule_out_is_told_from_an_action_by_setting_its_cause():
    table = fields([[0, 0.6], [0, 0]], names=("x", "y"))
    known = Knowledge(tiers=(("x",), ("y",)))
    search = ExactPosterior()
    posterior = search.find(table, knowledge=known)
    choices = {"knowledge": known, "evidence": search.evidence, "rng": rng()}
    assert outlook(table, posterior, hidden=(), **choices) is None
    found = outlook(table, posterior, hidden=(("x", "y"),), **choices)
    assert found is not None
    assert found.hidden == (("x", "y"),)
    assert found.ranked[0].experiment.sets == "x"
    assert found.ranked[0].unknown == pytest.approx(1.0, abs=0.01)
    assert found.ranked[0].gain > 0.95
    assert found.ranked[-1].gain < 0.01


def test_arrows_are_doubtful_where_fci_draws_another_edge_but_not_where_it_draws_none():
    graph = CausalGraph.of_arrows({("x", "m"): 0.9, ("m", "y"): 0.9, ("x", "y"): 0.9}, names=NAMES)
    both = np.zeros((3, 3))
    both[0, 1] = both[1, 0] = 1.0
    sure = np.zeros((3, 3))
    sure[1, 2] = 1.0
    hidden = CausalGraph.of(names=NAMES, method="FCI", confounded=both, arrow=sure)
    assert doubtful_arrows(graph, hidden) == (("x", "m"),)
    assert doubtful_arrows(graph, dataclasses.replace(hidden, confounded=np.zeros((3, 3)))) == ()


def test_searches_are_repeated_on_resampled_images_and_the_page_says_how_often_they_agree():
    table = fields([[0, 0.7, 0], [0, 0, 0], [0, 0, 0]], side=32, names=NAMES, tail="laplace")
    choices = dataclasses.replace(PLAIN, resamples=12)
    told = []
    found = discover_causes(table, options=choices, rng=rng(), progress=lambda *what: told.append(what))
    assert ("Looking again in resampled images", 24, 24) in told
    again = found.stability
    assert again is not None
    assert again.hidden.connected[0, 1] == 1.0
    assert again.hidden.connected[0, 2] < 0.5
    assert again.shapes.probability("x", "m") == 1.0
    assert "(100 %)" in render_causes_report(found)
    repeated = discover_causes(table, options=choices, rng=rng()).stability
    assert repeated is not None
    np.testing.assert_array_equal(again.shapes.arrow, repeated.shapes.arrow)
    assert discover_causes(table, options=PLAIN, rng=rng()).stability is None
    with pytest.raises(InputError, match="0, or between 5 and 10000"):
        CausesOptions(resamples=2)


def test_images_of_too_few_blocks_are_not_resampled_and_that_is_said():
    table = fields([[0, 0.7], [0, 0]], side=24, names=("x", "y"), smoothing=3.0)
    found = discover_causes(table, options=dataclasses.replace(PLAIN, resamples=5), rng=rng())
    assert found.stability is None
    assert any(note.startswith("No resampling: ") for note in found.notes)


@pytest.mark.parametrize(("effects", "origin"), [((0.7, 0.0), "own site"), ((0.0, 0.9), "neighbours")])
def test_causes_of_neighbouring_sites_are_told_from_the_sites_own(effects, origin):
    table = interfering_fields(effects[0], effects[1], FieldRecipe(shape=(36, 36), smoothing=0.5), rng=rng(2))
    found = discover_causes(table, knowledge=Knowledge(tiers=(("x",), ("y",))), options=PLAIN, rng=rng())
    assert [one.origin for one in found.neighbours] == [origin]
    said = any(one == "X acts on y from neighbouring sites rather than from its own." for one in found.verdict)
    assert said == (origin == "neighbours")
    assert "At the site or around it" in render_causes_report(found)


def test_rows_without_places_have_no_neighbours():
    x, noise = rng(6).standard_normal((2, 200))
    table = CausalTable.of({"x": x, "y": x + noise}, layout=Layout.grid((200, 1)))
    found = discover_causes(table, knowledge=Knowledge(tiers=(("x",), ("y",))), options=PLAIN, rng=rng())
    assert found.graph.edges()
    assert found.neighbours == ()
