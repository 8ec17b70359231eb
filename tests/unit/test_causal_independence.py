"""Tests of independence: what they answer is exact where it can be, and blind to units and order."""

import dataclasses

import numpy as np
import pytest

from tusi.causal import CausalTable
from tusi.causal.independence import KernelIndependence, PartialCorrelation
from tusi.errors import InputError
from tusi.inference.spatial import AdaptiveHighPass, Centring, Layout, Polynomial

GRID = Layout.grid((24, 24))
TESTS = (PartialCorrelation(), PartialCorrelation(detrending=AdaptiveHighPass(scale=16.0)), KernelIndependence())


def chain(rng, n=576, noise=1.0):
    """Columns of x -> z -> y."""
    x, e, f = rng.standard_normal((3, n))
    z = x + noise * e
    return {"x": x, "y": z + f, "z": z}


def test_estimate_is_the_partial_correlation_of_the_precision_matrix():
    columns = chain(np.random.default_rng(0)) | {"w": np.random.default_rng(1).standard_normal(576)}
    answer = PartialCorrelation().prepare(CausalTable.of(columns, layout=GRID)).ask(0, 1, (3, 2))
    precision = np.linalg.inv(np.cov(list(columns.values())))
    assert answer.estimate == pytest.approx(-precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1]))
    assert 0.8 * 576 < answer.n_effective <= 576


@pytest.mark.parametrize("test", TESTS, ids=lambda test: type(test).__name__)
def test_units_and_order_do_not_decide(test):
    columns, error = chain(np.random.default_rng(2)), {"x": 0.1, "z": 0.2}
    table = CausalTable.of(columns, layout=GRID, error=error)
    scale = {"x": 1e6, "y": 1e-7, "z": 30.0}
    rescaled = CausalTable.of(
        {name: scale[name] * column + 5 * scale[name] for name, column in columns.items()},
        layout=GRID, error={name: scale[name] * one for name, one in error.items()},
    )  # fmt: skip
    prepared, other = (test.prepare(one, rng=np.random.default_rng(3)) for one in (table, rescaled))
    for question in ((0, 1, ()), (0, 1, (2,)), (0, 2, (1,))):
        one, two = prepared.ask(*question), other.ask(*question)
        assert two.n_effective == pytest.approx(one.n_effective, rel=1e-6)
        assert two.p_value == pytest.approx(one.p_value, rel=1e-6, abs=1e-12)
        assert two.estimate == pytest.approx(one.estimate, rel=1e-6, abs=1e-9)
        swapped = prepared.ask(question[1], question[0], question[2])
        assert swapped.p_value == pytest.approx(one.p_value)


def test_known_noise_on_a_common_cause_leaves_no_dependence():
    rng = np.random.default_rng(4)
    layout = Layout.grid((48, 48))
    z, e, f, noise = rng.standard_normal((4, 48**2))
    columns = {"x": z + e, "y": z + f, "z": z + 0.5 * noise}
    given = (2,)
    known, unknown = (
        PartialCorrelation().prepare(CausalTable.of(columns, layout=layout, error=error)).ask(0, 1, given)
        for error in ({"z": 0.5}, None)
    )
    assert unknown.p_value < 1e-6
    assert known.p_value > 0.01


def test_noise_that_residuals_share_is_counted_once():
    """Each lag's product of autocovariances holds the square of what both share: counted, it halves the rejections."""
    rng = np.random.default_rng(14)
    p_values = []
    for _ in range(500):
        z, e, f, noise = rng.standard_normal((4, 256))
        columns = {"x": z + 0.5 * e, "y": z + 0.5 * f, "z": z + 0.7 * noise}
        table = CausalTable.of(columns, layout=Layout.grid((16, 16)), error={"z": 0.7})
        p_values.append(PartialCorrelation().prepare(table).ask(0, 1, (2,)).p_value)
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.08


def test_known_noise_does_not_weaken_the_estimate():
    rng = np.random.default_rng(5)
    x, e = rng.standard_normal((2, 2304))
    columns = {"x": x + 0.7 * rng.standard_normal(2304), "y": 0.6 * x + 0.8 * e}
    for detrending in (Centring(), Polynomial(), AdaptiveHighPass()):
        test = PartialCorrelation(detrending=detrending)
        table = CausalTable.of(columns, layout=Layout.grid((48, 48)), error={"x": 0.7})
        assert test.prepare(table).ask(0, 1).estimate == pytest.approx(0.6, abs=0.06)


def test_errors_larger_than_the_values_do_not_break_the_test():
    columns = chain(np.random.default_rng(6))
    table = CausalTable.of(columns, layout=GRID, error={"z": 3.0, "x": 2.0})
    answer = PartialCorrelation().prepare(table).ask(0, 1, (2,))
    assert 0 <= answer.p_value <= 1
    assert -1 <= answer.estimate <= 1


def test_variables_of_whole_images_have_as_many_samples_as_there_are_images():
    rng = np.random.default_rng(7)
    layout = Layout.grid((8, 8), n_images=5)
    composition = np.array([0.1, 0.3, 0.5, 0.7, 0.9])[layout.image]
    table = CausalTable.of({"c": composition, "y": 6 * composition + rng.standard_normal(320)}, layout=layout)
    answer = PartialCorrelation().prepare(table).ask(0, 1)
    assert answer.n_effective == 5
    assert answer.p_value > 1e-6
    assert answer.estimate > 0.9


def test_differences_between_images_are_no_dependence_within():
    rng = np.random.default_rng(8)
    layout = Layout.grid((16, 16), n_images=4)
    x, y = rng.standard_normal((2, 1024)) + 5 * layout.image
    table = CausalTable.of({"x": x, "y": y}, layout=layout)
    assert PartialCorrelation().prepare(table).ask(0, 1).p_value > 0.01
    assert PartialCorrelation(detrending=Centring(within=False)).prepare(table).ask(0, 1).estimate > 0.9


@pytest.mark.parametrize("test", TESTS, ids=lambda test: type(test).__name__)
def test_a_constant_depends_on_nothing(test):
    table = CausalTable.of({"x": np.full(576, 2.0), "y": np.random.default_rng(9).standard_normal(576)}, layout=GRID)
    assert test.prepare(table, rng=np.random.default_rng(0)).ask(0, 1).p_value == 1.0


@pytest.mark.parametrize("surrogates", ["torus", "phase"])
def test_the_kernel_test_sees_a_parabola_that_correlation_does_not(surrogates):
    rng = np.random.default_rng(10)
    half, e = rng.standard_normal(288), rng.standard_normal(576)
    x = rng.permutation(np.concatenate([half, -half]))
    table = CausalTable.of({"x": x, "y": x**2 + e}, layout=GRID)
    test = KernelIndependence(n_surrogates=39, surrogates=surrogates)
    prepared = test.prepare(table, rng=np.random.default_rng(11))
    assert prepared.ask(0, 1).p_value <= 0.05
    assert PartialCorrelation().prepare(table).ask(0, 1).p_value > 0.05
    again = dataclasses.replace(test).prepare(table, rng=np.random.default_rng(11))
    assert again.ask(0, 1) == prepared.ask(0, 1)


def test_the_kernel_test_gives_way_to_a_common_cause():
    rng = np.random.default_rng(12)
    z, e, f = rng.standard_normal((3, 576))
    table = CausalTable.of({"x": z**2 + e, "y": np.sin(2 * z) + z**2 + f, "z": z}, layout=GRID)
    prepared = KernelIndependence().prepare(table, rng=np.random.default_rng(13))
    assert prepared.ask(0, 1).p_value < 0.01
    assert prepared.ask(0, 1, (2,)).p_value > 0.05
    with pytest.raises(InputError, match="a random generator"):
        KernelIndependence().prepare(table)
    with pytest.raises(InputError, match="at least 19"):
        KernelIndependence(n_surrogates=5)


def test_regression_on_many_functions_takes_from_chance_too():
    """Twenty functions of four given variables take a third of 64 rows: against chance that kept them, .11."""
    rng = np.random.default_rng(15)
    layout, test = Layout.grid((8, 8)), KernelIndependence(n_surrogates=19, n_features=2, n_given_features=4)
    p_values = []
    for _ in range(400):
        columns = dict(zip("xyabcd", rng.standard_normal((6, 64)), strict=True))
        prepared = test.prepare(CausalTable.of(columns, layout=layout), rng=rng)
        p_values.append(prepared.ask(0, 1, (2, 3, 4, 5)).p_value)
    assert np.mean(np.array(p_values) <= 0.05) < 0.085
