"""Causes in worlds where they are known: graph, levels, faults by name, words that fit, the same twice."""

import dataclasses
from functools import lru_cache

import numpy as np
import pytest

from tusi.causal import CausalTable, Knowledge
from tusi.causal.panel import between_slope
from tusi.data import Atoms, CausalGraph, storage
from tusi.datasets.causal_fields import FieldRecipe, linear_fields
from tusi.errors import InputError
from tusi.execution import SerialExecutor
from tusi.inference.spatial import Layout
from tusi.structure import register_lattice
from tusi.study import pipeline
from tusi.study.analysis import InputFile
from tusi.study.causes import CausesOptions
from tusi.study.causes import discover_causes as discover
from tusi.study.causes.between_images import related_probability, with_image_variables
from tusi.study.causes.site_variables import site_variables
from tusi.study.files import CLASSES
from tusi.study.options import AnalysisOptions
from tusi.study.partial import PartialFolder
from tusi.study.provenance import command_of
from tusi.study.steps import ImageTask
from tusi.study.structure import ImageStructure, StructureAnalysis, StructureOptions, ring_neighbourhoods

CHAIN = np.array([[0, 0.6, 0.0], [0, 0, 0.6], [0, 0, 0]])
NAMES = ("cause", "middle", "effect")
TIERS = Knowledge(tiers=(("cause",), ("middle", "effect")))


def discover_causes(table, **choices):
    return discover(table, rng=np.random.default_rng(0), **choices)


def world(seed=0, *, n_images=1, smoothing=1.0, shape=(28, 28)):
    recipe = FieldRecipe(shape=shape, smoothing=smoothing, periodic=False)
    return linear_fields(CHAIN, recipe, rng=np.random.default_rng(seed), names=NAMES, n_images=n_images)


def series(overall, *, n_images=6, seed=3):
    """Images whose composition raises y by `overall`, and x lowers y at every place."""
    rng = np.random.default_rng(seed)
    layout = Layout.grid((14, 14), n_images=n_images)
    composition = np.linspace(0.1, 0.9, n_images)[layout.image]
    x = composition * 6 + rng.standard_normal(len(layout))
    y = -0.5 * x + overall * composition + 0.3 * rng.standard_normal(n_images)[layout.image]
    y = y + rng.standard_normal(len(layout))
    return CausalTable.of({"composition": composition, "x": x, "y": y}, layout=layout)


AGES = Knowledge(
    tiers=(("composition",), ("x",), ("y",)), required=(("composition", "x"),), exogenous=("composition",)
)  # fmt: skip


def test_a_chain_is_found_and_the_pair_that_is_not_connected_is_not():
    found = discover_causes(world(), knowledge=TIERS)
    graph = found.graph
    assert graph.probability("cause", "middle") > 0.9
    assert graph.connected[1, 2] > 0.95
    assert graph.probability("middle", "effect") > 0.75
    assert graph.connected[0, 2] < 0.5
    assert found.hidden.names == NAMES
    assert not found.between
    assert not found.levels
    assert any("One image tells nothing" in sentence for sentence in found.verdict)
    assert "acts on" in found.verdict[0]


def test_independent_smooth_fields_are_said_to_be_unconnected_with_what_would_have_been_seen():
    recipe = FieldRecipe(shape=(40, 40), smoothing=2.0, periodic=False)
    table = linear_fields(np.zeros((3, 3)), recipe, rng=np.random.default_rng(5), names=NAMES)
    found = discover_causes(table)
    assert found.graph.edges(0.8) == ()
    assert found.n_effective < 0.9 * len(table)
    assert "four times in five" in " ".join(found.verdict)


def test_units_decide_nothing():
    table = world()
    scaled = dataclasses.replace(
        table, value=table.value * [1e6, 1e-7, 3.0], error_covariance=np.zeros_like(table.error_covariance)
    )
    first, second = discover_causes(table, knowledge=TIERS), discover_causes(scaled, knowledge=TIERS)
    np.testing.assert_allclose(first.graph.arrow, second.graph.arrow, atol=1e-9)
    assert first.marks == second.marks
    assert first.verdict == second.verdict


def test_composition_is_judged_by_images_after_what_acts_at_places():
    found = discover_causes(series(6.0), knowledge=AGES)
    one = found.between[0]
    assert (one.slope.cause, one.slope.effect) == ("composition", "y")
    assert one.slope.freedom == 4
    assert one.slope.interval()[0] < 6.0 < one.slope.interval()[1]
    assert found.graph.probability("composition", "y") == pytest.approx(one.probability)
    assert found.graph.probability("composition", "x") == 1.0
    assert found.graph.effect[1, 2] < 0 < found.graph.effect[0, 2]
    nothing = discover_causes(series(0.0), knowledge=AGES)
    assert nothing.between[0].slope.interval()[0] < 0 < nothing.between[0].slope.interval()[1]
    assert nothing.between[0].probability < 0.8 < one.probability
    assert any("cannot decide" in sentence for sentence in nothing.verdict)


def test_simpson_is_named_and_few_images_do_not_decide():
    found = discover_causes(series(6.0, n_images=4), knowledge=AGES)
    check = next(one for one in found.levels if one.within.cause == "x")
    assert check.within.estimate == pytest.approx(-0.5, abs=0.1)
    assert check.pooled.estimate > 0
    words = " ".join(found.verdict)
    assert ("Simpson: the slope turns round" in words) == (check.verdict == "reversal")
    assert "Four images can tell" in words
    assert "correlations above 0.95" in words
    two = discover_causes(series(6.0, n_images=2), knowledge=AGES)
    assert not two.between
    assert two.graph.probability("composition", "y") == 0.0


def two_differences(n_images, *, seed=5):
    """Images that differ in composition and temperature, which go together; only temperature raises y."""
    rng = np.random.default_rng(seed)
    layout = Layout.grid((10, 10), n_images=n_images)
    composition = np.linspace(0.0, 1.0, n_images)
    temperature = composition + 0.3 * rng.standard_normal(n_images)
    x, y = rng.standard_normal((2, len(layout)))
    y = y + (5 * temperature + 0.2 * rng.standard_normal(n_images))[layout.image]
    columns = {"composition": composition[layout.image], "temperature": temperature[layout.image], "x": x, "y": y}
    return CausalTable.of(columns, layout=layout)


def test_what_differs_between_images_is_told_from_what_else_differs_where_images_suffice():
    known = Knowledge(tiers=(("composition", "temperature"), ("x", "y")))
    found = {
        (one.slope.cause, one.slope.effect): one
        for one in discover_causes(two_differences(12), knowledge=known).between
    }
    one = found["composition", "y"]
    assert one.given == ("temperature",)
    assert one.slope.freedom == 9
    assert one.slope.interval()[0] < 0 < one.slope.interval()[1]
    assert found["temperature", "y"].slope.interval()[0] > 3
    assert found["temperature", "y"].probability > 0.99
    assert one.probability < 0.6
    few = discover_causes(two_differences(3), knowledge=known)
    assert {one.entangled for one in few.between} == {("composition",), ("temperature",)}
    assert any("Three images do not tell it from temperature." in sentence for sentence in few.verdict)


def test_one_difference_between_images_is_judged_by_the_line_through_their_means():
    pair = ("composition", "y")
    line = between_slope(series(6.0), cause=pair[0], effect=pair[1])
    nothing_within = CausalGraph.of(names=("x", "y"), method="none")
    judged, _ = with_image_variables(series(6.0), nothing_within, AGES)
    [found] = [one.slope for one in judged if (one.slope.cause, one.slope.effect) == pair]
    assert found.interval() == pytest.approx(line.interval())
    assert found.freedom == line.freedom == 4


def test_probability_of_a_relation_between_images_stays_modest_with_few_of_them():
    values = [related_probability(0.97, n) for n in (3.0, 4.0, 10.0, 30.0)]
    assert values == sorted(values)
    assert values[1] < 0.85
    assert values[-1] > 0.999
    assert related_probability(-0.4, 40.0) == pytest.approx(related_probability(0.4, 40.0))


def test_these_probabilities_come_true():
    rng = np.random.default_rng(11)
    for n_images in (4, 8):
        related = rng.random(3000) < 0.5
        rho = np.where(related, rng.uniform(-1, 1, 3000), 0.0)
        x, noise = rng.standard_normal((2, 3000, n_images))
        y = rho[:, None] * x + np.sqrt(1 - rho**2)[:, None] * noise
        x, y = (one - one.mean(axis=1, keepdims=True) for one in (x, y))
        r = (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
        grid = np.tanh(np.linspace(0, 4, 60))
        said = np.interp(np.abs(r), grid, [related_probability(value, n_images) for value in grid])
        for low, high in ((0.0, 0.45), (0.45, 0.6), (0.6, 0.8), (0.8, 1.0)):
            inside = (said >= low) & (said < high)
            if inside.sum() > 100:
                error = np.sqrt(0.25 / inside.sum())
                assert related[inside].mean() == pytest.approx(said[inside].mean(), abs=3.5 * error)


def test_variables_without_causes_are_joined_by_a_hidden_one():
    table = world()
    known = Knowledge(tiers=(("cause", "middle"), ("effect",)), forbidden=(("cause", "middle"), ("middle", "cause")))
    found = discover_causes(table, knowledge=known)
    assert found.graph.confounded[0, 1] > 0.95
    assert found.graph.probability("middle", "effect") > 0.9
    assert any("not in the table" in sentence for sentence in found.verdict)


def test_faults_are_named_and_what_follows_exactly_is_left_out():
    table = world()
    more = table.with_columns({"twice": 2 * table.column("effect"), "same": np.full(len(table), 3.0)})
    found = discover_causes(more)
    assert found.graph.names == NAMES
    assert {one.fault for one in found.findings} >= {"functional dependence", "constant"}
    assert any("twice follows exactly from effect" in note for note in found.notes)
    assert any("same is constant" in note for note in found.notes)


def test_sizes_are_estimated_where_graphs_are_too_many_to_list():
    coefficients = np.zeros((6, 6))
    coefficients[0, 1] = coefficients[1, 2] = 0.6
    table = linear_fields(coefficients, FieldRecipe(shape=(24, 24)), rng=np.random.default_rng(1))
    found = discover_causes(table, knowledge=Knowledge(tiers=(("x0",), ("x1",), ("x2",))))
    assert found.graph.probability("x0", "x1") > 0.95
    assert found.graph.effect[0, 1] == pytest.approx(0.51, abs=0.1)
    assert 0 < found.graph.effect_error[0, 1] < 0.1


def test_maps_show_where_an_effect_is_strong():
    rng = np.random.default_rng(2)
    layout = Layout.grid((32, 32))
    x, noise = rng.standard_normal((2, len(layout)))
    y = np.where(layout.cell[:, 1] < 16, 0.9, -0.1) * x + 0.5 * noise
    table = CausalTable.of({"x": x, "y": y}, layout=layout)
    one = discover_causes(table, knowledge=Knowledge(tiers=(("x",), ("y",)))).maps[0]
    left = one.cell[:, 1] + one.side / 2 < 16
    assert one.p_value < 1e-6
    assert one.drawn[left].min() > one.drawn[~left].max()


def test_results_are_stored_and_the_same_twice(tmp_path):
    found = discover_causes(series(6.0), knowledge=AGES, meaning={"x": "what sits there"})
    again = discover_causes(series(6.0), knowledge=AGES, meaning={"x": "what sits there"})
    files = [storage.save(one, tmp_path / name, classes=CLASSES) for name, one in (("a.h5", found), ("b.h5", again))]
    assert files[0].read_bytes() == files[1].read_bytes()
    loaded = storage.load(files[0], classes=CLASSES)
    assert loaded.verdict == found.verdict
    assert loaded.knowledge == AGES
    assert loaded.meaning == {"x": "what sits there"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": 1.0 * np.arange(5)}, "at least 12 complete rows"),
        ({"x": np.random.default_rng(0).random(40), "y": np.ones(40)}, "at least two variables that vary"),
        (dict(zip("abcdefghijklmno", np.random.default_rng(0).random((15, 40)), strict=True)), "at most 12 variables"),
    ],
)
def test_tables_that_nothing_can_be_asked_of(columns, message):
    n_rows = len(next(iter(columns.values())))
    with pytest.raises(InputError, match=message):
        discover_causes(CausalTable.of(columns, layout=Layout.grid((1, n_rows))))


def test_options_and_knowledge_are_checked():
    with pytest.raises(InputError, match="p-value between 0 and 1"):
        CausesOptions(level=2.0)
    with pytest.raises(InputError, match="variables among"):
        discover_causes(world(), knowledge=Knowledge(exogenous=("temperature",)))


def alloy(*, effect, seed=0, shape=(18, 18), noise=0.03):
    """A square alloy in which Re pushes its neighbours away by `effect` angstrom."""
    rng = np.random.default_rng(seed)
    site = np.indices(shape).reshape(2, -1).T
    rhenium = rng.random(len(site)) < 0.4
    position = 3.0 * site.astype(float)
    for step in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        near = site + step
        inside = ((near >= 0) & (near < shape)).all(axis=1)
        number = near[:, 0] * shape[1] + near[:, 1]
        position[number[inside & rhenium]] += effect * np.array(step)
    position += noise * rng.standard_normal(position.shape)
    atoms = Atoms.at(position, length_unit="angstrom", intensity=1.0 + rhenium)
    return dataclasses.replace(
        atoms, species=("Mo", "Re"), species_probability=np.eye(2)[rhenium.astype(int)],
        covariance=np.tile(noise**2 * np.eye(2), (len(site), 1, 1)),
    )  # fmt: skip


def structure_of(atoms, name):
    lattice = register_lattice(atoms)
    return ImageStructure(
        name=name, atoms=atoms, lattice=lattice, neighbourhoods=ring_neighbourhoods(atoms, lattice), tables=(),
        dimerised=None, short_range=None, classes=None, defects=None, notes=(),
    )  # fmt: skip


@lru_cache
def structures(*, effect):
    return tuple(structure_of(alloy(effect=effect, seed=seed), f"image {seed}") for seed in range(2))


def test_site_variables_are_what_they_are_called():
    made = site_variables(structures(effect=0.0))
    table = made.table
    assert table.names == ("composition", "Re_on_site", "local_Re_count", "cell_area", "shear", "distortion")
    assert table.between == ("composition",)
    assert table.column("cell_area").mean() == pytest.approx(9.0, abs=0.02)
    assert set(np.unique(table.column("Re_on_site"))) == {0.0, 1.0}
    assert set(np.unique(table.column("local_Re_count"))) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    spread = table.value.std(axis=0)
    stated = np.sqrt(table.error_covariance[:, range(6), range(6)].mean(axis=0))
    for name in ("cell_area", "shear", "distortion"):
        k = table.number(name)
        assert stated[k] == pytest.approx(spread[k], rel=0.2)  # nothing but noise: errors explain the scatter
    for name in ("shear", "distortion"):
        k = table.number(name)
        assert abs(table.value[:, k].mean()) < 4 * spread[k] / np.sqrt(len(table) / 10)


def test_what_rhenium_does_to_its_surroundings_is_found_and_nothing_where_it_does_nothing():
    made = site_variables(structures(effect=0.12))
    found = discover_causes(made.table, knowledge=made.knowledge)
    assert found.graph.probability("Re_on_site", "cell_area") > 0.9
    assert found.graph.effect[1, 3] > 0
    quiet = site_variables(structures(effect=0.0))
    nothing = discover_causes(quiet.table, knowledge=quiet.knowledge)
    chemistry = [nothing.graph.names.index(name) for name in ("Re_on_site", "local_Re_count")]
    assert nothing.graph.arrow[chemistry][:, 3:].max() < 0.9


def test_single_species_and_missing_neighbourhoods():
    atoms = dataclasses.replace(alloy(effect=0.0), species=(), species_probability=np.empty((324, 0)))
    made = site_variables([structure_of(atoms, "one")])
    assert made.table.names == ("brightness", "cell_area", "shear", "distortion")
    few = alloy(effect=0.0, shape=(5, 5))
    with pytest.raises(InputError, match="small: left out with 9 complete neighbourhoods"):
        site_variables([structure_of(few, "small")])
    with pytest.raises(InputError, match="one of Mo, Re"):
        site_variables(structures(effect=0.0), species="W")


def step_of(folder, **options):
    """The step of an analysis that looks for causes, on the images of `structures`."""
    images = structures(effect=0.12)
    task = ImageTask(
        number=0, file=InputFile(path="a", name="a", sha256="0", n_bytes=1), options=AnalysisOptions(**options)
    )
    run = pipeline._Run(
        tasks=(task,),
        keys=[{"structure": "key"}],
        folder=PartialFolder(folder),
        executor=SerialExecutor(),
        progress=None,
    )
    shared = StructureAnalysis(
        images=images, modes=None, composition=None, split=None, options=StructureOptions(), notes=()
    )
    return run.causes([{"structure": pipeline.StepResult(value=images[0])}], shared)


def test_an_analysis_looks_for_causes_keeps_them_and_leaves_them_out(tmp_path, monkeypatch):
    first = step_of(tmp_path)
    assert first.value.graph.probability("composition", "local_Re_count") == 1.0
    monkeypatch.setattr(pipeline, "discover_causes", None)  # whoever calls it now fails
    assert step_of(tmp_path).value.verdict == first.value.verdict
    assert step_of(None, causes=False).value is None
    assert step_of(None, models=()).value is None
    assert "--no-causes" in command_of(("a",), AnalysisOptions(causes=False))
    assert "causes" not in command_of(("a",), AnalysisOptions())
