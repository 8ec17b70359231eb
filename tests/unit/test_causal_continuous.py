"""The continuous search: gradients, the best of all graphs, units, knowledge, and what it leaves undecided."""

import numpy as np
import pytest

from tusi.causal import CausalTable, Knowledge
from tusi.causal.continuous import ContinuousSearch, acyclic_weights, acyclicity
from tusi.causal.continuous.climbing import Families, Limits, climbed, without_cycles
from tusi.causal.continuous.descent import misfit
from tusi.causal.continuous.search import TRUST
from tusi.causal.posterior import acyclic_graphs
from tusi.datasets.causal_fields import FieldRecipe, linear_fields
from tusi.datasets.causal_noise import measured
from tusi.errors import InputError
from tusi.inference.spatial import AdaptiveHighPass, Layout

NAMES = ("strain", "angle", "charge", "size")
COLLIDER = np.array([[0, 0, 0.7, 0], [0, 0, -0.7, 0], [0, 0, 0, 0.8], [0, 0, 0, 0]])
CHAIN = np.array([[0, 0.8, 0], [0, 0, -0.7], [0, 0, 0]])
FREE = Limits(allowed=~np.eye(4, dtype=bool), required=np.zeros((4, 4), dtype=bool))


def world(coefficients=COLLIDER, seed=0, smoothing=0.0):
    recipe = FieldRecipe(shape=(40, 40), smoothing=smoothing, periodic=False)
    return linear_fields(coefficients, recipe, rng=np.random.default_rng(seed), names=NAMES[: len(coefficients)])


def covariance_of(coefficients):
    spread = np.linalg.inv(np.eye(len(coefficients)) - coefficients)
    return spread.T @ spread


def correlation_of(coefficients):
    covariance = covariance_of(coefficients)
    return covariance / np.sqrt(np.outer(np.diagonal(covariance), np.diagonal(covariance)))


def relations(found):
    return [str(edge).split(" (")[0] for edge in found.graph.edges()]


def colliders(arrow):
    """Skeleton and colliders of a graph: equal for graphs with the same independences."""
    adjacent, n = arrow | arrow.T, range(len(arrow))
    meet = [(i, k, j) for k in n for i in n for j in range(i) if arrow[i, k] and arrow[j, k] and not adjacent[i, j]]
    return adjacent.tobytes(), tuple(meet)


@pytest.mark.parametrize("score", ["cycles", "squares", "likelihood"])
def test_gradients_are_those_of_finite_differences(score):
    rng = np.random.default_rng(1)
    weight = 0.3 * rng.standard_normal((4, 4))
    covariance = np.cov(rng.standard_normal((4, 30)))
    function = acyclicity if score == "cycles" else lambda at: misfit(covariance, at, score)
    steps = 1e-6 * np.eye(16).reshape(16, 4, 4)
    slopes = [(function(weight + step)[0] - function(weight - step)[0]) / 2e-6 for step in steps]
    assert np.allclose(np.reshape(slopes, (4, 4)), function(weight)[1], atol=1e-7)


def test_acyclicity_vanishes_for_graphs_without_cycles_alone():
    rng = np.random.default_rng(2)
    order = np.ix_(*[rng.permutation(5)] * 2)
    assert acyclicity(np.triu(rng.standard_normal((5, 5)), 1)[order])[0] == pytest.approx(0.0, abs=1e-12)
    ring = np.roll(np.eye(5), 1, axis=1)
    assert acyclicity(0.5 * ring)[0] == pytest.approx(-np.log(1 - 0.25**5))
    assert acyclicity(1.1 * ring)[0] == np.inf


def test_finds_the_best_of_all_graphs():
    rng, graphs = np.random.default_rng(3), acyclic_graphs(4)
    for _ in range(6):
        mixing = rng.standard_normal((4, 5))
        scale = np.sqrt((mixing**2).sum(axis=1))
        correlation = mixing @ mixing.T / np.outer(scale, scale)
        families = Families(correlation=correlation, n_samples=80.0, price=0.5 * np.log(80) + np.log(4))
        best = max(families.of_graph(one) for one in graphs)
        found = ContinuousSearch().of_correlation(correlation, n_samples=80.0, names=NAMES)
        assert found.score == pytest.approx(best)


def test_only_what_the_whole_class_says_is_decided():
    rng, graphs = np.random.default_rng(4), acyclic_graphs(4)
    for number in rng.choice(len(graphs), 8, replace=False):
        truth = graphs[number]
        size = rng.uniform(0.5, 1.0, (4, 4)) * rng.choice([-1, 1], (4, 4))
        found = ContinuousSearch().of_correlation(correlation_of(truth * size), n_samples=1e8, names=NAMES)
        alike = np.array([one for one in graphs if colliders(one) == colliders(truth)])
        assert np.array_equal(found.fixed, alike.all(axis=0))
        assert np.array_equal(found.arrow > 0.99, alike.all(axis=0))
        assert np.array_equal(found.undecided > 0.99, alike.any(axis=0) & alike.any(axis=0).T)


def test_probabilities_are_odds_of_the_best_graphs():
    found = ContinuousSearch().of_correlation(correlation_of(0.5 * COLLIDER), n_samples=120.0, names=NAMES)
    families = Families(
        correlation=correlation_of(0.5 * COLLIDER), n_samples=120.0, price=0.5 * np.log(120) + np.log(4)
    )
    graphs = acyclic_graphs(4)
    score = np.array([families.of_graph(one) for one in graphs])
    for cause, effect in np.argwhere(found.fixed):
        states = (
            graphs[:, cause, effect],
            graphs[:, effect, cause],
            ~(graphs | graphs.transpose(0, 2, 1))[:, cause, effect],
        )
        loss = np.array([score.max() - score[state].max() for state in states])
        weight = np.exp(-loss * [1.0, TRUST, 1.0])
        assert found.arrow[cause, effect] == pytest.approx(weight[0] / weight.sum())
    assert found.fixed.any()


def test_units_and_order_of_columns_decide_nothing():
    table = world()
    found = ContinuousSearch().find(table)
    assert set(relations(found)) == {"charge -> size", "angle -> charge", "strain -> charge"}
    scaled = ContinuousSearch().find(table.replace_values((table.value + 5.0) * np.array([1e-6, 40.0, 1e3, 1.0])))
    turned = ContinuousSearch().find(table.select(NAMES[::-1]))
    assert np.allclose(scaled.arrow, found.arrow)
    assert np.allclose(turned.arrow[::-1, ::-1], found.arrow)
    assert np.allclose(scaled.effect, found.effect, equal_nan=True)


def test_descent_on_raw_values_reads_variances_but_the_search_does_not():
    covariance = covariance_of(np.array([[0, 0.8], [0, 0]]))
    turned = covariance * np.outer([3.0, 1.0], [3.0, 1.0])
    free = ~np.eye(2, dtype=bool)
    weights = [acyclic_weights(one, allowed=free, score="squares", shrinkage=0.05) for one in (covariance, turned)]
    assert [one.argmax() for one in np.abs(weights)] == [1, 2]
    found = ContinuousSearch().find(world(np.array([[0, 0.8], [0, 0]])))
    assert relations(found) == ["strain -- angle"]
    assert found.arrow.max() == 0


def test_result_says_that_it_depends_on_scale():
    graph = ContinuousSearch().find(world(CHAIN)).graph
    assert "scale dependent" in graph.method
    assert "standardised" in graph.method
    assert "Scale dependent" in graph.notes[0]
    assert "independences alone" in graph.notes[1]
    assert graph.undecided[0, 1] > 0.99
    assert not graph.arrow.max() > 0.01


def test_knowledge_decides_where_data_cannot():
    tiers = Knowledge(tiers=(("strain",), ("angle", "charge")))
    assert relations(ContinuousSearch().find(world(CHAIN), knowledge=tiers)) == ["strain -> angle", "angle -> charge"]
    no_entry = ContinuousSearch().find(world(CHAIN), knowledge=Knowledge(exogenous=("charge",)))
    assert "charge -> angle" in relations(no_entry)
    forced = ContinuousSearch().find(world(CHAIN), knowledge=Knowledge(required=(("charge", "strain"),)))
    assert forced.arrow[2, 0] == 1
    assert not forced.chosen[0, 2]
    never = Knowledge(forbidden=(("strain", "angle"), ("angle", "strain")))
    assert not ContinuousSearch().find(world(CHAIN), knowledge=never).graph.connected[0, 1]


def test_penalty_counts_effective_samples():
    recipe, rng = FieldRecipe(shape=(48, 48), smoothing=3.0), np.random.default_rng(5)
    n_found, n_naive = 0, 0
    for _ in range(5):
        table = linear_fields(np.zeros((4, 4)), recipe, rng=rng, names=NAMES)
        found = ContinuousSearch().find(table)
        assert found.n_effective < 100
        n_found += len(found.graph.edges())
        naive = ContinuousSearch().of_correlation(np.corrcoef(table.value.T), n_samples=48.0**2, names=NAMES)
        n_naive += len(naive.graph.edges())
    assert n_found <= 2
    assert n_naive >= 15


def test_known_errors_leave_effects_as_they_are():
    table = world(np.array([[0, 0.8], [0, 0]]))
    noisy = measured(table, {"strain": 0.7}, rng=np.random.default_rng(6))
    known = Knowledge(tiers=(("strain",), ("angle",)))
    exact, corrected = (ContinuousSearch().find(one, knowledge=known) for one in (table, noisy))
    assert corrected.effect[0, 1] == pytest.approx(exact.effect[0, 1], abs=0.06)
    assert corrected.effect_error[0, 1] > exact.effect_error[0, 1]
    assert corrected.n_effective < 0.75 * exact.n_effective


def test_detrending_and_bootstrap_form():
    graph = ContinuousSearch(detrending=AdaptiveHighPass()).graph_of(world(smoothing=1.0), np.random.default_rng(7))
    assert graph.arrow[0, 2] > 0.8


def test_walk_keeps_to_limits():
    limits = FREE.turned(3, 0).without(1, 2)
    families = Families(correlation=correlation_of(COLLIDER), n_samples=500.0, price=4.0)
    arrow = climbed(families, without_cycles(COLLIDER, limits), limits, patience=20)
    assert arrow[3, 0]
    assert not (arrow | arrow.T)[1, 2]


def test_bad_tables_are_named():
    layout = Layout.grid((4, 4))
    x = np.arange(16.0) ** 2
    with pytest.raises(InputError, match="at least two variables"):
        ContinuousSearch().find(CausalTable.of({"x": x}, layout=layout))
    with pytest.raises(InputError, match="constant flat"):
        ContinuousSearch().find(CausalTable.of({"x": x, "flat": np.ones(16)}, layout=layout))
    with pytest.raises(InputError, match="none follows from the others"):
        ContinuousSearch().find(CausalTable.of({"x": x, "twice": 2 * x}, layout=layout))
    for correlation, n_samples, message in (
        (np.eye(3), 9.0, "correlations of 4 variables"), (np.full((4, 4), 1.0), 9.0, "one that does"),
        (np.eye(4), 1.0, "at least 2"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            ContinuousSearch().of_correlation(correlation, n_samples=n_samples, names=NAMES)
    with pytest.raises(InputError, match="positive variances"):
        acyclic_weights(np.zeros((2, 2)), allowed=~np.eye(2, dtype=bool), score="squares", shrinkage=0.1)
