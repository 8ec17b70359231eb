"""Faults of a table are named where they are, and only there."""

import numpy as np
import pytest

from tusi.causal import CausalTable
from tusi.causal.lint import lint_table, slow_share
from tusi.datasets.causal_fields import FieldRecipe, linear_fields, random_field
from tusi.inference.spatial import Layout

GRID = Layout.grid((40, 40))


def faults(columns, layout=GRID, **options):
    return {(one.fault, one.names): one for one in lint_table(CausalTable.of(columns, layout=layout, **options))}


def fields(n, seed=0, **recipe):
    rng = np.random.default_rng(seed)
    return [random_field(FieldRecipe(shape=(40, 40), **recipe), rng=rng).ravel() for _ in range(n)]


@pytest.mark.parametrize("tail", ["normal", "student"])
def test_sound_tables_have_no_fault(tail):
    for seed in range(6):
        x, y, z = fields(3, seed, tail=tail, periodic=False)
        assert not faults({"x": x, "y": x + y, "z": 3.0 + np.exp(0.3 * z)})


def test_exact_dependences_are_named_once_with_their_variables():
    x, y, z = fields(3)
    assert list(faults({"x": x, "y": y, "z": z, "sum": 2 * x - 3 * z + 1})) == [
        ("functional dependence", ("x", "z", "sum"))
    ]
    a, b = np.exp(0.2 * x), np.exp(0.2 * y)
    assert list(faults({"a": a, "b": b, "z": z, "ratio": a / b})) == [("functional dependence", ("a", "b", "ratio"))]
    radius = np.sqrt(x**2 + y**2)
    assert ("functional dependence", ("x", "y", "r")) in faults({"x": x, "y": y, "r": radius})
    assert ("functional dependence", ("x", "copy")) in faults({"x": x, "copy": 5 * x - 1})


def test_a_dependence_with_a_little_noise_is_none():
    x, y, noise = fields(3)
    assert not faults({"x": x, "y": y, "sum": x + y + 0.01 * noise})


def test_ratios_with_a_common_denominator_are_suspected_and_others_are_not():
    x, y, z = fields(3, 1)
    a, b, c = (np.exp(0.3 * one) for one in (x, y, z))
    found = faults({"p": a / c, "q": b / c, "c": c})
    assert list(found) == [("shared denominator", ("p", "q", "c"))]
    assert "times c they have nothing in common" in str(next(iter(found.values())))
    assert not faults({"p": a, "q": a + b, "c": c})
    assert not faults({"p": a - c, "q": b - c, "c": c})


def test_ties_slow_fields_noise_and_constants():
    x, y = fields(2)
    found = faults({"count": np.round(x), "y": y})
    assert list(found) == [("ties", ("count",))]
    assert found["ties", ("count",)].measure > 0.9
    plane = GRID.cell[:, 0] / 10 + 0.3 * x
    assert ("slow field", ("tilted",)) in faults({"tilted": plane, "y": y})
    noisy = faults({"x": x, "y": y}, error={"x": 0.8})
    assert list(noisy) == [("noise", ("x",))]
    assert list(faults({"x": x, "flat": np.full(1600, 2.0)})) == [("constant", ("flat",))]


def test_few_effective_samples_and_between_variables():
    table = linear_fields(np.zeros((2, 2)), FieldRecipe(shape=(40, 40), smoothing=5.0), rng=np.random.default_rng(2))
    (found,) = (one for one in lint_table(table) if one.fault == "few effective samples")
    assert found.measure < 40
    assert "1600 rows" in found.text
    images = Layout.grid((20, 20), n_images=4)
    rng = np.random.default_rng(3)
    columns = {"composition": images.image * 0.2, "x": rng.standard_normal(1600), "y": rng.standard_normal(1600)}
    (found,) = lint_table(CausalTable.of(columns, layout=images))
    assert (found.fault, found.names, found.measure) == ("between images", ("composition",), 4.0)


def test_units_do_not_matter():
    x, y, z = fields(3)
    columns = {"x": x, "y": y, "sum": x + y, "z": np.round(z)}
    scaled = {name: column * 10.0**k for k, (name, column) in enumerate(columns.items(), start=-2)}
    assert list(faults(columns)) == list(faults(scaled))


def test_slow_share_is_the_share():
    wave = np.cos(2 * np.pi * GRID.cell[:, 0] / 60)
    (rough,) = fields(1, 4)
    for weight in (0.5, 1.0, 2.0):
        true = weight**2 * wave.var() / (weight**2 * wave.var() + rough.var())
        assert slow_share(weight * wave + rough, layout=GRID) == pytest.approx(true, abs=0.1)
