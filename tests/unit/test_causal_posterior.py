"""The exact posterior over graphs: sums against lists, evidence against its definition, probabilities that hold."""

import itertools

import numpy as np
import pytest
from scipy import stats

from tusi.causal import CausalTable, Knowledge
from tusi.causal.posterior import (
    ExactPosterior,
    GaussianEvidence,
    acyclic_graphs,
    edge_probabilities,
    log_evidence_of_subsets,
)
from tusi.causal.posterior.evidence import FamilyEvidence
from tusi.causal.posterior.exact import _listed
from tusi.datasets.causal_fields import FieldRecipe, linear_fields
from tusi.errors import InputError
from tusi.inference import reliability


def families_of(subsets, n_variables):
    """Return log evidence of each family from that of each set of variables."""
    out = np.full((n_variables, len(subsets)), -np.inf)
    for j, s in itertools.product(range(n_variables), range(len(subsets))):
        if not s >> j & 1:
            out[j, s] = subsets[s | 1 << j] - subsets[s]
    return out


@pytest.mark.parametrize("n_nodes", [1, 2, 3, 4, 5])
def test_all_acyclic_graphs_are_there_once(n_nodes):
    graphs = acyclic_graphs(n_nodes)
    assert len(graphs) == [1, 3, 25, 543, 29281][n_nodes - 1]
    assert len(np.unique(graphs.reshape(len(graphs), -1), axis=0)) == len(graphs)
    assert np.allclose(np.linalg.det(np.eye(n_nodes) - graphs[:200]), 1.0)


@pytest.mark.parametrize(("n_variables", "spread"), [(2, 1.0), (3, 30.0), (4, 3.0), (5, 2000.0)])
def test_sums_over_all_graphs_equal_the_list(n_variables, spread):
    rng = np.random.default_rng(n_variables)
    weight = np.full((n_variables, 1 << n_variables), -np.inf)
    subsets = np.arange(1 << n_variables)
    for j in range(n_variables):
        free = subsets[(subsets >> j) & 1 == 0]
        weight[j, free] = spread * rng.standard_normal(len(free))
    weight[0, subsets[-2]] = -np.inf
    edge, total = edge_probabilities(weight)
    graphs = acyclic_graphs(n_variables)
    causes = (graphs * (1 << np.arange(n_variables))[None, :, None]).sum(axis=1)
    listed = weight[np.arange(n_variables), causes].sum(axis=1)
    probability = np.exp(listed - listed.max())
    assert total == pytest.approx(listed.max() + np.log(probability.sum()), abs=1e-8 * spread)
    np.testing.assert_allclose(edge, np.tensordot(probability / probability.sum(), graphs, axes=1), atol=1e-9)


def test_all_graphs_of_twelve_variables_are_counted():
    alike = np.zeros((12, 1 << 12))
    subsets = np.arange(1 << 12)
    for j in range(12):
        alike[j, (subsets >> j) & 1 == 1] = -np.inf
    from tusi.causal.posterior.summation import _log_weight, _sums_over_causes

    assert np.exp(_log_weight(_sums_over_causes(alike))) == pytest.approx(521939651343829405020504063, rel=1e-10)


@pytest.mark.parametrize("strength", [1.0, 10.0])
def test_evidence_is_the_mean_likelihood_over_the_prior(strength):
    correlation, n_samples = np.array([[1.0, 0.6], [0.6, 1.0]]), 6
    law = stats.wishart(strength + 3.0, np.eye(2) / strength)
    precision = law.rvs(200_000, random_state=np.random.default_rng(0))
    log_likelihood = (
        0.5
        * n_samples
        * (np.linalg.slogdet(precision)[1] - np.tensordot(precision, correlation, axes=2) - 2 * np.log(2 * np.pi))
    )
    expected = np.log(np.exp(log_likelihood).mean())
    assert log_evidence_of_subsets(correlation, n_samples, strength=strength)[3] == pytest.approx(expected, abs=0.03)


def test_equivalent_graphs_have_equal_probability_and_units_do_not_matter():
    truth = np.array([[0, 0.5, 0, 0], [0, 0, 0.5, 0], [0, 0, 0, 0.5], [0, 0, 0, 0]])
    table = linear_fields(truth, FieldRecipe(shape=(24, 24), smoothing=1.0), rng=np.random.default_rng(2))
    found = ExactPosterior().find(table)
    chain = found.likeliest[:4]
    assert np.ptp(found.probability[:4]) < 1e-9 * found.probability[0]
    assert all(np.array_equal(graph | graph.T, (truth + truth.T) > 0) for graph in chain)
    scaled = table.replace_values(table.value * np.array([1e-3, 1.0, 7.0, 1e4]) + 5.0)
    np.testing.assert_allclose(ExactPosterior().find(scaled).edge, found.edge, atol=1e-9)
    turned = ExactPosterior().find(table.select([table.names[k] for k in (2, 0, 3, 1)]))
    np.testing.assert_allclose(turned.edge, found.edge[np.ix_((2, 0, 3, 1), (2, 0, 3, 1))], atol=1e-9)


def test_lists_and_sums_agree_on_fields():
    table = linear_fields(np.triu(np.full((5, 5), 0.3), 1), FieldRecipe(shape=(20, 20)), rng=np.random.default_rng(3))
    evidence = GaussianEvidence(strengths=(10.0,))
    edge, _ = edge_probabilities(evidence.families(table).log_evidence[0])
    np.testing.assert_allclose(ExactPosterior(evidence=evidence).find(table).edge, edge, atol=1e-9)


def prior_world(rng, n_samples, n_variables=3):
    """Draw a graph, coefficients from the prior of the evidence, and the covariance of samples."""
    graphs = acyclic_graphs(n_variables)
    graph = graphs[rng.integers(len(graphs))]
    order = sorted(range(n_variables), key=lambda k: np.linalg.matrix_power(np.eye(n_variables) + graph, 9)[:, k].sum())
    strength = 10.0
    value = np.zeros((n_samples, n_variables))
    for j in order:
        precision = stats.wishart(n_variables + 1 + strength, np.eye(n_variables) / strength).rvs(random_state=rng)
        covariance = np.linalg.inv(precision)
        own = np.flatnonzero(graph[:, j])
        slope = np.linalg.solve(covariance[np.ix_(own, own)], covariance[own, j]) if len(own) else np.zeros(0)
        left = covariance[j, j] - slope @ covariance[own, j]
        value[:, j] = value[:, own] @ slope + np.sqrt(left) * rng.standard_normal(n_samples)
    return graph, value


def test_probabilities_of_edges_hold_in_worlds_drawn_from_the_prior():
    rng = np.random.default_rng(4)
    stated, true = [], []
    for _ in range(500):
        graph, value = prior_world(rng, 40)
        families = families_of(log_evidence_of_subsets(value.T @ value / 40, 40.0, strength=10.0), 3)
        posterior = _listed(
            families[None], FamilyEvidence(log_evidence=families[None], names=("a", "b", "c"), n_effective=40.0,
                                     correlation=np.corrcoef(value.T)),
        )  # fmt: skip
        stated.append(posterior.edge[~np.eye(3, dtype=bool)])
        true.append(graph[~np.eye(3, dtype=bool)])
    found = reliability(np.concatenate(stated), np.concatenate(true), n_bins=5)
    assert found.worst(least_cases=150) < 0.07


def test_smooth_independent_fields_are_not_believed_to_be_connected():
    rng = np.random.default_rng(5)
    recipe = FieldRecipe(shape=(32, 32), smoothing=2.0)
    connected = []
    for _ in range(40):
        table = linear_fields(np.zeros((3, 3)), recipe, rng=rng)
        connected.append(ExactPosterior().find(table).graph.connected[np.triu_indices(3, 1)])
    assert np.mean(np.concatenate(connected) > 0.95) <= 0.02
    graphs = acyclic_graphs(3)
    assert np.mean(connected) < (graphs | graphs.transpose(0, 2, 1))[:, 0, 1].mean() + 0.02


def test_noise_on_a_common_cause_leaves_no_edge_behind():
    """Known errors of a mediator are allowed for: x and y stay unconnected given it."""
    rng = np.random.default_rng(6)
    truth = np.array([[0, 0.9, 0], [0, 0, 0.9], [0, 0, 0]])
    told, ignored = [], []
    for _ in range(10):
        table = linear_fields(truth, FieldRecipe(shape=(40, 40)), rng=rng, names=("x", "m", "y"))
        noise = 0.7
        columns = {name: table.column(name) for name in table.names}
        columns["m"] = columns["m"] + noise * rng.standard_normal(len(table))
        for error, store in (({"m": noise}, told), (None, ignored)):
            noisy = CausalTable.of(columns, layout=table.layout, error=error)
            store.append(ExactPosterior().find(noisy).graph.connected[0, 2])
    assert np.mean(told) < 0.3
    assert np.mean(ignored) > 0.9


def test_knowledge_is_kept_and_contradictions_are_named():
    table = linear_fields(
        np.array([[0, 0.5, 0], [0, 0, 0.5], [0, 0, 0]]), FieldRecipe(shape=(20, 20)), rng=np.random.default_rng(7)
    )
    found = ExactPosterior().find(table, knowledge=Knowledge(tiers=(("x2",), ("x0", "x1"))))
    assert found.edge[1, 2] == found.edge[0, 2] == 0.0
    assert found.edge[2, 1] > 0.9
    forced = ExactPosterior().find(table, knowledge=Knowledge(required=(("x0", "x2"),)))
    assert forced.edge[0, 2] == pytest.approx(1.0)
    circle = Knowledge(required=(("x0", "x1"), ("x1", "x2"), ("x2", "x0")))
    with pytest.raises(InputError, match="some acyclic graph"):
        ExactPosterior().find(table, knowledge=circle)


def test_bad_tables_are_refused():
    one = linear_fields(np.zeros((1, 1)), FieldRecipe(shape=(8, 8)), rng=np.random.default_rng(8))
    with pytest.raises(InputError, match="between 2 and 14"):
        ExactPosterior().find(one)
    still = one.with_columns({"still": np.ones(64)})
    with pytest.raises(InputError, match="constant still"):
        ExactPosterior().find(still)
