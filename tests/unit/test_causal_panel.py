"""Slopes within and between images, neighbours as variables, and tables of the past: exact on what can be counted."""

import dataclasses

import numpy as np
import pytest

from tusi.causal import CausalTable, Knowledge
from tusi.causal.independence import PartialCorrelation
from tusi.causal.lagged import LaggedPlan, lagged_posterior, lagged_search
from tusi.causal.panel import (
    LatticeSteps,
    SpaceTime,
    WithinRadius,
    between_slope,
    interference,
    lagged_table,
    pooled_slope,
    simpson_check,
    simpson_checks,
    with_neighbour_means,
    within_slope,
)
from tusi.causal.panel.space_time import side_by_side
from tusi.datasets.causal_fields import FieldRecipe
from tusi.datasets.causal_images import ImageSeries, autoregressive_movie, image_series, interfering_fields
from tusi.errors import InputError
from tusi.inference.spatial import Layout, PairLags

SMALL = FieldRecipe(shape=(12, 12))
PAIR = {"cause": "x", "effect": "y"}


def rng_of(seed):
    return np.random.default_rng(seed)


def images(seed=0, **changes):
    return image_series(dataclasses.replace(ImageSeries(), **changes), SMALL, rng=rng_of(seed))


def scaled(table, **factors):
    value = table.value * [factors.get(name, 1.0) for name in table.names]
    spread = np.array([factors.get(name, 1.0) for name in table.names])
    return dataclasses.replace(table, value=value, error_covariance=table.error_covariance * np.outer(spread, spread))


def test_simpson_reversal_is_flagged_and_said():
    check = simpson_check(images(), **PAIR)
    assert check.verdict == "reversal"
    assert check.flagged
    assert check.within.estimate == pytest.approx(-0.25, abs=0.05)
    assert check.between.freedom == 2.0
    assert check.between.n_samples == 4.0
    assert check.pooled.estimate > 0.3
    assert "turns round between images" in str(check)
    assert "y falls with x" in str(check)


def test_equal_slopes_and_few_images_are_not_flagged():
    check = simpson_check(images(overall=-0.25), **PAIR)
    assert check.verdict == "no difference seen"
    assert "No difference" in str(check)
    two = images(composition=(0.1, 0.9))
    check = simpson_check(two, **PAIR)
    assert check.verdict == "undecided"
    assert not check.flagged
    assert np.isnan(check.p_value)
    assert "cannot tell" in str(check)
    same_sign = simpson_check(images(local=0.5), **PAIR)
    assert same_sign.verdict == "different"
    assert "neither of the two" in str(same_sign)


def test_least_squares_with_a_level_for_each_image():
    table = images(3)
    levels = np.eye(4)[table.image]
    x, y = table.column("x"), table.column("y")
    exact = np.linalg.lstsq(np.column_stack([x, levels]), y, rcond=None)[0][0]
    assert within_slope(table, **PAIR).estimate == pytest.approx(exact, abs=1e-10)
    assert pooled_slope(table, **PAIR).estimate == pytest.approx(np.polyfit(x, y, 1)[0], abs=1e-10)
    means = [[column[table.image == k].mean() for k in range(4)] for column in (x, y)]
    slope, covariance = np.polyfit(means[0], means[1], 1, cov="unscaled")
    left = np.array(means[1]) - np.polyval(slope, means[0])
    between = between_slope(table, **PAIR)
    assert between.estimate == pytest.approx(slope[0], abs=1e-10)
    assert between.standard_error == pytest.approx(np.sqrt(covariance[0, 0] * (left @ left) / 2), rel=1e-9)


def test_white_fields_have_the_textbook_error():
    table = images(4)
    slope = within_slope(table, **PAIR)
    x, y = (np.concatenate([c[table.image == k] - c[table.image == k].mean() for k in range(4)])
            for c in (table.column("x"), table.column("y")))  # fmt: skip
    residual = y - slope.estimate * x
    assert slope.standard_error == pytest.approx(np.sqrt((residual @ residual) / (len(x) - 5) / (x @ x)), rel=0.15)
    assert slope.freedom <= len(table) - 4 - 1


def test_known_noise_on_the_cause_does_not_flatten_the_slope():
    rng = rng_of(5)
    table = image_series(ImageSeries(), FieldRecipe(shape=(32, 32)), rng=rng)
    noisy = table.value + 0.6 * rng.standard_normal(len(table))[:, None] * [0, 1, 0]
    covariance = np.zeros((len(table), 3, 3))
    blind = table.replace_values(noisy)
    covariance[:, 1, 1] = 0.36
    known = dataclasses.replace(blind, error_covariance=covariance)
    assert within_slope(blind, **PAIR).estimate == pytest.approx(-0.167, abs=0.02)
    assert within_slope(known, **PAIR).estimate == pytest.approx(-0.25, abs=0.03)


def test_units_and_order_of_images_do_not_matter():
    table = images(6)
    check, other = (simpson_check(one, **PAIR) for one in (table, scaled(table, x=1e-3, y=1e4)))
    assert other.p_value == pytest.approx(check.p_value, rel=1e-6)
    assert other.within.estimate == pytest.approx(check.within.estimate * 1e7, rel=1e-9)
    assert other.verdict == check.verdict
    turned = dataclasses.replace(table, image=3 - table.image)
    assert simpson_check(turned, **PAIR).p_value == pytest.approx(check.p_value, rel=1e-9)


def test_a_variable_that_is_the_same_in_an_image_has_no_slope_within():
    table = images(7)
    slope = within_slope(table, cause="composition", effect="y")
    assert not slope.known
    assert slope.p_value == 1.0
    assert np.isnan(slope.interval()).all()
    assert "not known" in str(slope)
    assert simpson_check(table, cause="composition", effect="y").verdict == "undecided"
    checks = simpson_checks(table, knowledge=Knowledge(forbidden=(("y", "x"),)))
    assert [(one.within.cause, one.within.effect) for one in checks] == [("x", "y")]
    assert len(simpson_checks(table)) == 2


def test_slopes_refuse_what_they_cannot_answer():
    table = images(8)
    with pytest.raises(InputError, match="another variable"):
        within_slope(table, cause="x", effect="x")
    with pytest.raises(InputError, match="at least two images"):
        simpson_check(images(composition=(0.5,)), **PAIR)
    with pytest.raises(InputError, match="between 0 and 1"):
        simpson_check(table, **PAIR, level=2.0)
    with pytest.raises(InputError, match="between 0 and 1"):
        within_slope(table, **PAIR).interval(1.5)


def test_neighbour_means_by_hand_with_missing_sites_and_borders():
    value = np.arange(20.0)
    value[7] = np.nan
    table = CausalTable.of({"x": value}, layout=Layout.grid((4, 5)), error={"x": 0.2})
    around = with_neighbour_means(table, ("x",), neighbourhood=LatticeSteps(), least_rows=1)
    assert around.cell.tolist() == [[2, 1], [2, 3]]
    for row, (i, j) in enumerate(around.cell):
        full = np.arange(20.0).reshape(4, 5)
        assert around.value[row, 1] == pytest.approx(
            (full[i - 1, j] + full[i + 1, j] + full[i, j - 1] + full[i, j + 1]) / 4
        )
    assert np.allclose(around.error_covariance, np.diag([0.04, 0.01]))
    assert around.n_dropped == 20 - len(around)
    loose = with_neighbour_means(table, ("x",), neighbourhood=LatticeSteps(least_share=0.5), least_rows=1)
    assert len(loose) == 19
    assert loose.value[0].tolist() == [0.0, 3.0]


def test_errors_of_several_neighbour_means_keep_their_covariance():
    table = CausalTable.of({"a": np.arange(9.0), "b": np.arange(9.0) ** 2}, layout=Layout.grid((3, 3)))
    error = np.array([[0.04, 0.01], [0.01, 0.09]])
    table = dataclasses.replace(table, error_covariance=np.tile(error, (9, 1, 1)))
    around = with_neighbour_means(table, ("b", "a"), neighbourhood=WithinRadius(radius=1.5), least_rows=1)
    (centre,) = np.flatnonzero((around.cell == 1).all(axis=1))
    assert np.allclose(around.error_covariance[centre, 2:, 2:], error[::-1, ::-1] / 8)
    assert np.allclose(around.error_covariance[:, :2, 2:], 0)
    assert around.names[2:] == ("neighbours' b", "neighbours' a")


def test_neighbours_never_come_from_another_image():
    layout = Layout.grid((3, 3), n_images=2)
    table = CausalTable.of({"x": layout.image * 10.0}, layout=layout)
    for neighbourhood in (LatticeSteps(), WithinRadius(radius=1.1)):
        around = with_neighbour_means(table, ("x",), neighbourhood=neighbourhood, least_rows=1)
        assert (around.value[:, 0] == around.value[:, 1]).all()


def test_own_effects_and_neighbours_effects_are_told_apart():
    for own, neighbours in ((0.6, 0.0), (0.0, 0.9)):
        table = interfering_fields(own, neighbours, FieldRecipe(shape=(40, 40), smoothing=1.0), rng=rng_of(1))
        around = with_neighbour_means(table, ("x",), neighbourhood=LatticeSteps())
        test = PartialCorrelation().prepare(around)
        assert (test.ask(0, 1, (2,)).p_value < 0.01) == (own > 0)
        assert (test.ask(1, 2, (0,)).p_value < 0.01) == (neighbours > 0)


def test_neighbourhoods_refuse_what_they_cannot_be():
    table = CausalTable.of({"x": np.arange(4.0)}, layout=Layout.grid((2, 2)))
    with pytest.raises(InputError, match="none of them to the site itself"):
        LatticeSteps(steps=((0, 0),))
    with pytest.raises(InputError, match="positive length"):
        WithinRadius(radius=-1.0)
    with pytest.raises(InputError, match="between 0 and 1"):
        LatticeSteps(least_share=0.0)
    with pytest.raises(InputError, match="enough neighbours"):
        with_neighbour_means(table, ("x",), neighbourhood=LatticeSteps())
    with pytest.raises(InputError, match="one row in each cell"):
        with_neighbour_means(
            dataclasses.replace(table, cell=table.cell * 0), ("x",), neighbourhood=LatticeSteps(), least_rows=1
        )


def test_every_lag_of_the_block_is_one_lag_in_space_and_one_in_time():
    cell, frame = np.indices((3, 4, 5)).reshape(3, -1)[[1, 2]].T, np.indices((3, 4, 5)).reshape(3, -1)[0]
    block = side_by_side(cell, frame)
    true = np.concatenate([cell, frame[:, None]], axis=1)
    lags, place = (np.concatenate(one[:, None] - one[None]) for one in (true, block))
    assert len(np.unique(np.concatenate([lags, place], axis=1), axis=0)) == len(np.unique(lags, axis=0))
    assert len(np.unique(place, axis=0)) == len(np.unique(lags, axis=0))


def test_lag_sums_of_the_block_are_those_of_space_and_time():
    movie = Layout.grid((3, 4), n_images=3)
    value = rng_of(0).standard_normal(36)
    block = SpaceTime()(value[:, None], movie)
    sums = PairLags(block.layout).sums(block.value[:, 0])[0]
    cube = block.value[:, 0].reshape(3, 3, 4)
    assert sums[0, 2 * 3 + 1] == pytest.approx((cube[:-1] * cube[1:]).sum())
    assert sums[1, 7 - 2] == pytest.approx((cube[:-1, :-1, 2:] * cube[1:, 1:, :-2]).sum())


def test_tracks_may_begin_pause_and_end():
    frame = np.array([0, 0, 1, 1, 2, 2, 3])
    track = np.array([7, 9, 9, 7, 7, 8, 7])
    x = np.arange(7.0)
    layout = Layout(cell=np.array([[k, k] for k in (0, 3, 4, 1, 2, 9, 3)]), image=frame)
    movie = CausalTable.of({"x": x}, layout=layout, error={"x": 0.1})
    lagged = lagged_table(movie, track=track)
    assert sorted(map(tuple, lagged.table.value)) == [(2.0, 1.0), (3.0, 0.0), (4.0, 3.0), (6.0, 4.0)]
    assert lagged.table.image.tolist() == [0, 0, 1, 2]
    assert np.allclose(lagged.table.error_covariance, 0.01 * np.eye(2))
    twice = lagged_table(movie, track=track, n_lags=2)
    assert twice.table.names == ("x(t)", "x(t-1)", "x(t-2)")
    assert twice.table.value.tolist() == [[4.0, 3.0, 0.0], [6.0, 4.0, 3.0]]
    assert twice.name("x", 2) == "x(t-2)"
    with pytest.raises(InputError, match="lag up to 2"):
        twice.name("x", 3)
    with pytest.raises(InputError, match="several"):
        lagged_table(movie, track=np.zeros(7, dtype=int))
    with pytest.raises(InputError, match="5 frames in a row"):
        lagged_table(movie, track=track, n_lags=4)


def test_site_effects_take_off_what_lasts_for_ever():
    movie = autoregressive_movie(np.zeros((1, 2, 2)), SMALL, n_frames=6, rng=rng_of(0))
    site = np.tile(rng_of(1).standard_normal(144), 6)
    fixed = movie.replace_values(movie.value + 3 * site[:, None])
    one, other = (lagged_table(table, site_effects=True).table.value for table in (movie, fixed))
    assert np.allclose(one, other)
    p_value = lagged_search(fixed, plan=LaggedPlan(site_effects=True)).link("x0", "x1", lag=0).answer.p_value
    assert p_value > 0.01


def test_links_in_time_are_found_and_never_point_back():
    acting = np.array([[[0.8, 0.4], [0.0, 0.8]]])
    movie = autoregressive_movie(acting, SMALL, n_frames=10, rng=rng_of(2))
    found = lagged_search(movie)
    assert [str(edge) for edge in found.summary.edges()] == ["x0 -> x1 (P = 1.00)"]
    graph = found.graph
    assert graph.names == ("x0(t)", "x1(t)", "x0(t-1)", "x1(t-1)")
    assert not graph.acts[:2].any()
    assert graph.effect[2, 1] > 0
    assert "x0(t-1)" not in found.link("x0", "x1").given
    assert "x1(t-1)" in found.link("x0", "x1").given
    assert "x0(t-2)" in found.link("x0", "x1").given
    assert str(found.link("x0", "x1")).startswith("x0(t-1) -> x1(t): p = ")
    same = lagged_search(scaled(movie, x0=1e-4, x1=1e3))
    assert same.link("x0", "x1").answer.p_value == pytest.approx(found.link("x0", "x1").answer.p_value, rel=1e-5)
    posterior = lagged_posterior(movie).graph
    assert posterior.probability("x1(t)", "x1(t-1)") == 0.0
    assert not posterior.acts[:2, 2:].any()
    with pytest.raises(InputError, match="asked about"):
        found.link("x0", "x1", lag=3)


def test_feedback_and_longer_lags():
    acting = np.zeros((2, 2, 2))
    acting[0] = [[0.4, 0.4], [0.0, 0.4]]
    acting[1, 1, 0] = -0.4
    movie = autoregressive_movie(acting, SMALL, n_frames=16, rng=rng_of(3))
    found = lagged_search(movie, plan=LaggedPlan(n_lags=2, level=0.001))
    links = {(link.cause, link.effect, link.lag) for link in found.found if link.cause != link.effect}
    assert links == {("x0", "x1", 1), ("x1", "x0", 2)}
    assert [str(edge) for edge in found.summary.edges()] == ["x0 <=> x1 (P = 1.00)"]


def test_plans_and_movies_are_checked():
    with pytest.raises(InputError, match="screening"):
        LaggedPlan(screening=0.0)
    movie = autoregressive_movie(np.zeros((1, 1, 1)), SMALL, n_frames=2, rng=rng_of(0))
    with pytest.raises(InputError, match="3 frames in a row"):
        lagged_search(movie)
    with pytest.raises(InputError, match="1 to 20"):
        lagged_table(movie, n_lags=0)
    with pytest.raises(InputError, match="die out"):
        autoregressive_movie(np.eye(1)[None] * 1.1, SMALL, n_frames=2, rng=rng_of(0))


def around_of(own, neighbours, smoothing, seed, error=0.0):
    recipe = FieldRecipe(shape=(40, 40), smoothing=smoothing)
    table = interfering_fields(own, neighbours, recipe, rng=rng_of(seed), error=error)
    return with_neighbour_means(table, ("x",), neighbourhood=LatticeSteps())


@pytest.mark.parametrize(("effects", "origin"), [((0.5, 0.0), "own site"), ((0.0, 0.5), "neighbours"),
                                                 ((0.5, 0.5), "both"), ((0.0, 0.0), "neither seen")])  # fmt: skip
def test_rough_fields_tell_from_where_a_cause_acts(effects, origin):
    own, neighbours = effects
    found = interference(around_of(own, neighbours, 0.0, 2), **PAIR)
    assert found.origin == origin
    assert found.separable
    assert "cannot be told" not in str(found)


def test_smooth_fields_say_that_they_cannot_tell_from_where_a_cause_acts():
    found = interference(around_of(0.5, 0.0, 2.5, 2), **PAIR)
    assert found.origin == "either"
    assert not found.separable
    assert found.shared > 0.99
    assert "cannot be told" in str(found)
    assert "goes unseen" in str(found)
    table = around_of(0.5, 0.0, 2.5, 2)
    same = interference(scaled(table, x=1e-3, y=1e4, **{"neighbours' x": 1e-3}), **PAIR)
    assert same.smallest_own == pytest.approx(found.smallest_own, rel=1e-6)


def test_the_smallest_visible_effect_is_that_of_the_textbook():
    """White x, its neighbours' mean held fixed: 2.8 standard errors of a slope; noise makes it larger."""
    found = interference(around_of(0.0, 0.0, 0.0, 3), **PAIR)
    assert found.smallest_own == pytest.approx(2.80 / 38, rel=0.06)
    noisy = interference(around_of(0.0, 0.0, 0.0, 3, error=1.0), **PAIR)
    assert noisy.smallest_own == pytest.approx(found.smallest_own * 2**0.5, rel=0.1)


def test_interference_needs_the_neighbours_in_the_table():
    table = interfering_fields(0.5, 0.0, SMALL, rng=rng_of(0))
    with pytest.raises(InputError, match="with_neighbour_means"):
        interference(table, **PAIR)
    with pytest.raises(InputError, match="between 0 and 1"):
        interference(around_of(0.5, 0.0, 0.0, 1), **PAIR, level=0.0)
