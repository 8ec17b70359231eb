"""Feedback: all stable models, no more, and none of Gaussian data."""

import itertools

import numpy as np
import pytest

from tusi.causal.bootstrap import BlockBootstrap, bootstrap_graph
from tusi.causal.functional import CyclicLing
from tusi.causal.functional.components import independent_components
from tusi.causal.functional.cyclic import _assignments
from tusi.datasets.causal_fields import FieldRecipe, Tail, linear_fields
from tusi.datasets.causal_noise import measured
from tusi.errors import InputError

PAIR = np.array([[0, -0.5], [0.6, 0]])


def world(coefficients, seed=0, tail: Tail = "laplace", shape=(80, 80)):
    return linear_fields(coefficients, FieldRecipe(shape=shape, tail=tail), rng=np.random.default_rng(seed))


def test_pair_with_feedback_has_one_stable_model():
    found = CyclicLing().find(world(PAIR))
    assert found.identifiable
    (model,) = found.solutions
    assert np.abs(model.coefficient - PAIR).max() < 4 * model.coefficient_error.max() < 0.1
    assert model.radius == pytest.approx(np.sqrt(0.3), abs=0.03)
    assert found.graph.feedback[0, 1] == 1


def test_units_decide_nothing():
    table = world(PAIR)
    scale = np.array([1e4, 1e-3])
    one, other = (CyclicLing().find(each).solutions[0] for each in (table, table.replace_values(table.value * scale)))
    assert np.allclose(other.coefficient, one.coefficient * scale[None, :] / scale[:, None], rtol=1e-4)
    assert np.array_equal(other.acts, one.acts)


def test_loops_apart_are_damped_one_by_one():
    loops = np.zeros((4, 4))
    loops[0, 1], loops[1, 0], loops[2, 3], loops[3, 2] = 0.6, -0.5, 0.7, 0.6
    (model,) = CyclicLing().find(world(loops, seed=1, shape=(100, 100))).solutions
    assert np.array_equal(model.acts, loops != 0)


def test_all_stable_models_and_no_other():
    """Every order of the rows of I - B that is stable is found, each once."""
    loops = np.array([[0, 0.9, -1.2], [0.8, 0, -1.2], [-0.6, 1.0, 0]])
    rows = np.eye(3) - loops.T
    stable = []
    for order in itertools.permutations(range(3)):
        diagonal = np.diagonal(rows[list(order)])
        if (diagonal != 0).all():
            feedback = np.eye(3) - rows[list(order)] / diagonal[:, None]
            if np.abs(np.linalg.eigvals(feedback)).max() < 1:
                stable.append(feedback.T)
    found = CyclicLing().find(world(loops, seed=2, shape=(100, 100)))
    assert len(found.solutions) == len(stable) == 2
    for truth in stable:
        assert min(np.abs(one.coefficient - truth).max() for one in found.solutions) < 0.15
    assert "2 stable models" in found.notes[1]
    assert np.isnan(found.graph.effect).all()


def test_chain_without_feedback_is_drawn_with_arrows():
    chain = np.array([[0, 0.8, 0], [0, 0, -0.7], [0, 0, 0]])
    graph = CyclicLing().find(world(chain, seed=3)).graph
    assert np.array_equal(graph.arrow, chain != 0)
    assert not graph.feedback.any()


def test_gaussian_data_have_no_model():
    found = CyclicLing().find(world(PAIR, seed=4, tail="normal"))
    assert not found.identifiable
    assert found.solutions == ()
    assert "any rotation" in found.notes[1]
    assert not found.graph.arrow.any()
    assert not found.graph.feedback.any()


def test_measured_values_are_not_told_apart():
    found = CyclicLing().find(measured(world(PAIR), {"x0": 0.5}, rng=np.random.default_rng(5)))
    assert found.identifiable
    assert found.solutions == ()
    assert "measurement errors" in found.notes[1]


def test_bootstrap_gives_probabilities():
    plan = BlockBootstrap(n_resamples=4)
    graph = bootstrap_graph(world(PAIR), CyclicLing().graph_of, rng=np.random.default_rng(6), bootstrap=plan)
    assert graph.feedback[0, 1] > 0.7


def test_components_of_a_rotation_are_found():
    rng = np.random.default_rng(7)
    source = rng.laplace(size=(3, 20_000))
    mixing = rng.standard_normal((3, 3))
    gain = np.abs(independent_components(mixing @ source) @ mixing) * np.sqrt(2)
    assert np.sort(gain.max(axis=0)) == pytest.approx(np.ones(3), abs=0.03)
    assert np.sort(gain.ravel())[:6].max() < 0.05


def test_assignments_leave_no_zero_on_the_diagonal():
    possible = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1]], dtype=bool)
    assert sorted(_assignments(possible)) == [(0, 1, 2), (1, 0, 2)]


def test_too_many_variables_are_refused():
    with pytest.raises(InputError, match="at most 8 variables"):
        CyclicLing().find(world(np.zeros((9, 9)), shape=(8, 8)))
    with pytest.raises(InputError, match="probability"):
        CyclicLing(level=0.0)
