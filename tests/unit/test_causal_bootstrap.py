"""Resampled images keep what neighbours have in common, and say how sure a search is."""

from functools import partial

import numpy as np
import pytest

from tusi.causal import CausalTable
from tusi.causal.bootstrap import BlockBootstrap, block_side, bootstrap_graph
from tusi.data import CausalGraph
from tusi.datasets.causal_fields import FieldRecipe, linear_fields
from tusi.errors import InputError
from tusi.inference.spatial import Layout, effective_sample_size


def sign_of_slope(table, rng):
    slope = np.polyfit(*table.value.T, 1)[0]
    arrow = np.array([[0.0, 1.0], [0.0, 0.0]]) if slope > 0 else np.zeros((2, 2))
    return CausalGraph.of(names=table.names, method="sign", arrow=arrow, effect=np.where(arrow > 0, slope, np.nan))


@pytest.mark.parametrize("smoothing", [1.0, 2.0, 3.0])
def test_blocks_are_eight_correlation_lengths(smoothing):
    recipe = FieldRecipe(shape=(96, 96), smoothing=smoothing)
    sides = [block_side(linear_fields(np.zeros((2, 2)), recipe, rng=np.random.default_rng(k))) for k in range(5)]
    assert np.mean(sides) == pytest.approx(8 * smoothing, rel=0.2)


def test_resampled_images_are_as_correlated_as_the_image():
    rng = np.random.default_rng(0)
    table = linear_fields(np.zeros((2, 2)), FieldRecipe(shape=(64, 64), smoothing=1.5), rng=rng, n_images=2)
    sizes = [
        effective_sample_size(*again.value.T, layout=again.layout)
        for again in (BlockBootstrap().resample(table, rng=rng) for _ in range(5))
    ]
    assert np.mean(sizes) == pytest.approx(effective_sample_size(*table.value.T, layout=table.layout), rel=0.3)
    again = BlockBootstrap().resample(table, rng=rng)
    assert set(map(tuple, again.value.tolist())) <= set(map(tuple, table.value.tolist()))
    assert np.bincount(again.image).tolist() == [64 * 64, 64 * 64]


def test_counts_say_how_often_each_row_is_in_a_table_of_blocks():
    table = linear_fields(np.zeros((2, 2)), FieldRecipe(shape=(16, 20)), rng=np.random.default_rng(0), n_images=2)
    plan = BlockBootstrap(side=4)
    counts, again = plan.counts(table, rng=np.random.default_rng(1)), plan.resample(table, rng=np.random.default_rng(1))
    drawn = [int(np.sum(again.value[:, 0] == value)) for value in table.value[:, 0]]
    assert counts.tolist() == drawn
    assert plan.n_blocks(table) == 40


def test_spread_of_a_slope_is_that_of_new_images():
    """The bootstrap's spread agrees with that over independent images, where plain resampling is far too small."""
    rng = np.random.default_rng(1)
    recipe = FieldRecipe(shape=(64, 64), smoothing=2.0)
    slopes, claimed = [], []
    for _ in range(40):
        table = linear_fields(np.zeros((2, 2)), recipe, rng=rng)
        slopes.append(np.polyfit(*table.value.T, 1)[0])
        again = [BlockBootstrap(side=16).resample(table, rng=rng) for _ in range(10)]
        claimed.append(np.std([np.polyfit(*one.value.T, 1)[0] for one in again], ddof=1))
    assert np.sqrt(np.mean(np.square(claimed))) / np.std(slopes) == pytest.approx(1.0, abs=0.3)
    assert 1 / 64 / np.std(slopes) < 0.4


def test_shares_are_probabilities_whatever_the_workers():
    table = linear_fields(np.zeros((2, 2)), FieldRecipe(shape=(48, 48)), rng=np.random.default_rng(3))
    plan = BlockBootstrap(n_resamples=20)
    found = bootstrap_graph(table, sign_of_slope, rng=np.random.default_rng(4), bootstrap=plan)
    same = bootstrap_graph(table, partial(sign_of_slope), rng=np.random.default_rng(4), bootstrap=plan)
    assert 0 < found.arrow[0, 1] < 1
    assert np.array_equal(found.arrow, same.arrow)
    assert found.effect[0, 1] > 0
    assert np.isnan(found.effect[1, 0])


def test_too_few_blocks_are_an_error():
    table = CausalTable.of({"x": np.random.default_rng(5).standard_normal(64)}, layout=Layout.grid((8, 8)))
    with pytest.raises(InputError, match="at least 16"):
        BlockBootstrap(side=4).resample(table, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="at least 2"):
        BlockBootstrap(n_resamples=1)
