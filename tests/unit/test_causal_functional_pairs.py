"""Scores of the direction of a pair: their signs, their symmetries, and what is not said."""

import numpy as np
import pytest

from tusi.causal import CausalTable
from tusi.causal.functional import PairDirection, decision_curve
from tusi.causal.functional.pairs import SCORES
from tusi.datasets.causal_pairs import random_pair
from tusi.errors import InputError
from tusi.inference.spatial import Layout


def known_pairs(n_rows=800):
    """Cause and effect of a law that suits each method."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, n_rows)
    bent = x + 2 * x**3
    return {
        "ANM": (x, bent + 0.3 * rng.uniform(-1, 1, n_rows)),
        "IGCI": (x, np.sign(x) * np.abs(x) ** 3),
        "LOCI": (x, x**2 + (0.1 + 0.4 * (x > 0)) * rng.standard_normal(n_rows)),
        "RECI": (x, x**2 + 0.1 * rng.standard_normal(n_rows)),
        "larger variance": (x, rng.standard_normal(n_rows)),
    }


@pytest.mark.parametrize("method", list(SCORES))
def test_the_cause_is_found_where_the_assumptions_hold(method):
    x, y = known_pairs()[method]
    assert SCORES[method](x, y) > 0


@pytest.mark.parametrize("method", list(SCORES))
def test_swapping_turns_the_score_round_and_units_do_not_matter(method):
    x, y = random_pair(300, rng=np.random.default_rng(1))
    score = SCORES[method](x, y)
    assert SCORES[method](y, x) == pytest.approx(-score)
    assert SCORES[method](1e-6 * x + 3e-6, 1e4 * y - 7) == pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize("method", list(SCORES))
def test_ties_are_borne(method):
    x, y = random_pair(300, rng=np.random.default_rng(2))
    assert np.isfinite(SCORES[method](np.round(x), np.round(2 * y)))


def test_every_method_is_right_more_often_than_chance():
    rng = np.random.default_rng(3)
    pairs = [random_pair(400, rng=rng) for _ in range(60)]
    for method, score in SCORES.items():
        assert np.mean([score(x, y) > 0 for x, y in pairs]) > 0.5, method


def test_an_unsure_direction_is_undecided():
    rng = np.random.default_rng(4)
    x, e = rng.standard_normal((2, 900))
    table = CausalTable.of({"x": x, "y": x + e}, layout=Layout.grid((30, 30)))
    found = PairDirection().find(table, pair=("x", "y"))
    assert not found.decided
    assert found.graph.undecided[0, 1] == 1
    assert "50 to 80 %" in found.graph.notes[0]


def test_a_sure_direction_is_named_with_its_probability():
    x, y = known_pairs(900)["RECI"]
    table = CausalTable.of({"x": x, "y": y}, layout=Layout.grid((30, 30)))
    found = PairDirection(method="RECI").find(table, pair=("y", "x"))
    assert found.decided
    assert found.probability < 0.1
    assert found.graph.arrow[1, 0] == pytest.approx(1 - found.probability)


def test_decision_curve_counts_weights():
    curve = decision_curve(np.array([1.0, 3.0, 2.0]), np.array([True, False, True]), weight=np.array([2.0, 1.0, 1.0]))
    assert np.allclose(curve.rate, [0.25, 0.5, 1.0])
    assert np.allclose(curve.accuracy, [0.0, 0.5, 0.75])


def test_what_cannot_be_scored_is_refused():
    table = CausalTable.of({"x": np.ones(64), "y": np.arange(64.0)}, layout=Layout.grid((8, 8)))
    with pytest.raises(InputError, match="two variables that vary"):
        PairDirection().find(table, pair=("x", "y"))
    with pytest.raises(InputError, match="one of ANM"):
        PairDirection(method="oracle")
    with pytest.raises(InputError, match="more than one half"):
        PairDirection(confidence=0.5)
