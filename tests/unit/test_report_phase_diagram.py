"""The page of a phase diagram: self-contained, deaf to hostile names, the numbers those of the diagram."""

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tusi.data import storage
from tusi.generative.prediction.diagram import PhaseDiagram
from tusi.generative.prediction.transition import find_transition
from tusi.plot import draw_phase_diagram, new_figure
from tusi.plot.phase_diagram import TRANSITION, draw_map, draw_observable, level_name, size_colours
from tusi.report import render_phase_diagram_report, write_phase_diagram_report
from tusi.report.numbers import digits_for, fixed, span, with_error
from tusi.report.phase_diagram import METHODS, transitions_of
from tusi.study.files import CLASSES

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>'\"&$\\frac$"
OBSERVABLES = ("specific heat", "composition B", "order", "Binder cumulant")
TEMPERATURE = np.linspace(0.8, 1.2, 11)


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def curves(sizes: tuple[int, ...], at: float) -> np.ndarray:
    """Return observables whose Binder cumulants cross at a temperature, by size and temperature."""
    parts = []
    for size in sizes:
        shift = (TEMPERATURE - at) * size / 4
        heat = 1.0 + np.log(size) / (1 + shift**2)
        half, order, binder = np.full_like(shift, 0.5), 0.5 - 0.5 * np.tanh(shift), 0.61 - 0.05 * np.tanh(shift)
        parts.append(np.stack([heat, half, order, binder], axis=-1))
    return np.stack(parts)


def made(critical: tuple[float, ...] = (1.0,), *, sizes: tuple[int, ...] = (16, 24), axis: str = "") -> PhaseDiagram:
    """Return a phase diagram with a known transition at every level; NaN for none."""
    rng = np.random.default_rng(1)
    draw = np.column_stack([rng.normal(0.4, 0.004, 12), np.zeros(12)])
    levels = []
    for at in critical:
        flat = np.isnan(at)
        each = np.stack([curves(sizes, 1.0 if flat else at * u / 0.4) for u in draw[:, 0]], axis=1)
        levels.append(each[:, :, [5]].repeat(len(TEMPERATURE), axis=2) if flat else each)
    every = np.stack(levels, axis=3)
    value = every.mean(axis=1)
    return PhaseDiagram(
        model="P1", equation="E/kT = w1 sum_NN d(unlike)", parameters=("w1", "h"), crystal="square", axis=axis,
        temperature_unit="T/T_ref", sizes=sizes, order="uniform", observables=OBSERVABLES, notes=("a note",),
        command=f"tusi phase-diagram {HOSTILE}", versions=("tusi 1.2", "numpy 2.3"),
        temperature=TEMPERATURE, level=0.25 * np.arange(len(critical)), value=value,
        monte_carlo_error=np.full(value.shape, 1e-4), band=np.stack([value - 0.01, value + 0.01], axis=-1),
        effective_sample_size=np.full(value.shape[:3], 321.4), draw=draw, draw_value=every,
    )  # fmt: skip


def heat_and_binder(diagram: PhaseDiagram) -> PhaseDiagram:
    """Keep the observables that tell transitions, so that fewer figures are drawn."""
    kept = {name: getattr(diagram, name)[..., [0, 3]] for name in ("value", "monte_carlo_error", "draw_value")}
    names = (OBSERVABLES[0], OBSERVABLES[3])
    return dataclasses.replace(diagram, observables=names, band=diagram.band[..., [0, 3], :], **kept)


@pytest.fixture(scope="module")
def diagram() -> PhaseDiagram:
    return made()


@pytest.fixture(scope="module")
def page(diagram) -> str:
    return render_phase_diagram_report(diagram)


def test_page_needs_nothing_else_and_runs_nothing(page):
    reader = Reader(page)
    identifiers = [value for key, value in reader.attributes if key == "id"]
    assert len(set(identifiers)) == len(identifiers)
    assert reader.tags.count("svg") == len(OBSERVABLES)
    assert "script" not in reader.tags
    assert not [key for key, _ in reader.attributes if key.startswith("on")]
    for key, value in reader.attributes:
        if key in ("src", "href", "xlink:href"):
            assert value.startswith(("#", "data:")), value
    assert not re.search(r"@import|url\((?!#)", page)


def test_numbers_are_those_of_the_diagram(page, diagram):
    text = Reader(page).text
    for method in METHODS:
        one = find_transition(diagram, method=method)
        assert one.resolved
        digits = digits_for((one.interval[1] - one.interval[0]) / 4)
        assert fixed(one.value, digits) in text
        assert span(*one.interval, digits) in text
    drawn = diagram.draw[:, 0]
    assert with_error(drawn.mean(), drawn.std(ddof=1)) in text
    assert "exact" in text
    assert "at least 321" in text
    assert "a note" in text
    assert diagram.command in text
    assert "tusi 1.2, numpy 2.3" in text


def test_verdict_is_the_transition_with_its_interval(page, diagram):
    one = find_transition(diagram)
    digits = digits_for((one.interval[1] - one.interval[0]) / 4)
    value, low, high = (f"{number:.{digits}f}" for number in (one.value, *one.interval))
    heading = re.search("<h1>(.*?)</h1>", page)
    assert heading is not None
    said = heading[1].replace("\N{NO-BREAK SPACE}", " ")
    assert said == f"Transition at {value} of the reference temperature (95 %: {low} to {high})."


def test_kelvin_are_called_kelvin(diagram):
    kelvin = dataclasses.replace(heat_and_binder(diagram), temperature=300 * TEMPERATURE, temperature_unit="K")
    text = Reader(render_phase_diagram_report(kelvin)).text
    assert f"{find_transition(kelvin).value:.1f}\N{NO-BREAK SPACE}K (95" in text
    assert "reference:" not in text


def test_several_levels_are_maps_with_their_transitions():
    levels = heat_and_binder(made((1.0, 0.95, float("nan")), axis="field"))
    reader = Reader(render_phase_diagram_report(levels))
    assert "Transitions at 2 of 3 values of the field." in reader.text
    assert "By specific heat: at 2 of 3." in reader.text
    assert reader.text.count("not resolved: ") == 2
    axes = draw_map(
        new_figure(4, 3).subplots(), levels, observable="Binder cumulant", transitions=transitions_of(levels)
    )
    middle = axes.lines[0]
    assert middle.get_color() == TRANSITION
    assert np.allclose(np.column_stack(middle.get_data()), [(0.0, 1.0), (0.25, 0.95)], atol=0.01)
    assert axes.get_xlabel() == "field, units of kT"
    assert level_name(made((1.0, 0.95), axis="composition")) == "fraction of B"


def test_what_is_not_resolved_says_why():
    text = Reader(render_phase_diagram_report(heat_and_binder(made((float("nan"),))))).text
    assert "No transition resolved: the Binder cumulants of the two largest sizes do not cross" in text
    assert "nan" not in text
    assert "T/T_ref" not in text


def test_too_little_for_a_transition_has_a_page(diagram):
    assert "takes at least two sizes." in Reader(render_phase_diagram_report(heat_and_binder(made(sizes=(16,))))).text
    small = heat_and_binder(diagram)
    cut = {
        name: getattr(small, name)[:, :2] for name in ("value", "monte_carlo_error", "band", "effective_sample_size")
    }
    two = dataclasses.replace(small, temperature=TEMPERATURE[:2], draw_value=small.draw_value[:, :, :2], **cut)
    assert "takes at least three temperatures." in Reader(render_phase_diagram_report(two)).text


def test_page_is_the_same_from_the_file(diagram, page, tmp_path):
    storage.save(diagram, tmp_path / "d.h5", classes=CLASSES)
    again = storage.load(tmp_path / "d.h5", classes=CLASSES)
    assert write_phase_diagram_report(again, tmp_path / "d.html").read_text("utf-8") == page


@pytest.mark.parametrize("critical", [(1.0,), (1.0, 0.95)])
def test_hostile_names_are_shown_and_never_obeyed(critical):
    hostile = dataclasses.replace(
        made(critical, axis="composition" if len(critical) > 1 else ""),
        model=HOSTILE, equation=HOSTILE, parameters=(HOSTILE, "h"), crystal=HOSTILE, order=HOSTILE, notes=(HOSTILE,),
        observables=("specific heat", f"composition {HOSTILE}", HOSTILE, "Binder cumulant"),
    )  # fmt: skip
    reader = Reader(render_phase_diagram_report(hostile))
    assert "script" not in reader.tags
    assert "img" not in reader.tags
    assert not [key for key, _ in reader.attributes if key.startswith("on")]
    assert reader.text.count("alert(1)") >= 6


def test_lines_have_the_colours_of_the_legend(diagram, page):
    axes = draw_observable(new_figure(4, 3).subplots(), diagram, observable="order")
    colours = [line.get_color() for line in axes.lines]
    assert colours == size_colours(diagram)
    assert [f"background: {colour}" in page for colour in (*colours, TRANSITION)] == [True] * 3


def test_a_picture_of_a_hostile_model_is_drawn(diagram):
    figure = new_figure(10, 5)
    draw_phase_diagram(figure, dataclasses.replace(diagram, equation=HOSTILE), transitions=transitions_of(diagram))
    figure.canvas.draw()
    assert HOSTILE.replace("$", r"\$") in figure.get_suptitle()
