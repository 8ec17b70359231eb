"""The page on causes: says what the verdict says, draws the graph and maps, escapes names, stays the same."""

import dataclasses
import re

import numpy as np
import pytest

from tusi.causal import CausalTable, Knowledge
from tusi.data import CausalGraph
from tusi.inference.spatial import Layout
from tusi.plot import new_figure
from tusi.plot.causes import draw_effect_map
from tusi.report.causes import render_causes_report, write_causes_report
from tusi.study.causes import discover_causes


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(1)
    layout = Layout.grid((16, 16), n_images=4)
    composition = np.array([0.1, 0.4, 0.6, 0.9])[layout.image]
    x = composition * 6 + rng.standard_normal(len(layout))
    y = -0.5 * x + 6 * composition + rng.standard_normal(len(layout))
    count = np.rint(x)
    count[3] = np.nan
    table = CausalTable.of(
        {"composition": composition, "local_count": count, "cell_area": y}, layout=layout,
        units={"cell_area": "angstrom^2"}, image_names=[f"image {k}" for k in range(4)],
    )  # fmt: skip
    known = Knowledge(
        tiers=(("composition",), ("local_count",), ("cell_area",)), required=(("composition", "local_count"),)
    )
    return discover_causes(
        table,
        knowledge=known,
        meaning={"local_count": "number of <neighbours>"},
        rng=np.random.default_rng(2),
    )


@pytest.fixture(scope="module")
def page(found):
    return render_causes_report(found)


def text_of(page):
    return " ".join(re.sub(r"<svg.*?</svg>", " ", page, flags=re.DOTALL).replace("\N{NO-BREAK SPACE}", " ").split())


def test_the_page_says_what_was_found(found, page):
    page = text_of(page)
    assert "local count → cell area" in page
    assert "Within and between images" in page
    assert "turn round" in page or "differ" in page
    assert "4 images" in page
    assert "given" in page
    assert "Å²" in page
    assert "1 rows with missing values were left out." in page
    assert "% of the values of local_count occur more than once" in page
    for sentence in found.verdict:
        assert sentence.split(" (")[0].split(",")[0].split("<")[0] in page


def test_names_are_escaped_and_the_page_loads_nothing(page):
    assert "number of &lt;neighbours&gt;" in page
    assert "<neighbours>" not in page
    assert "http://" not in re.sub(r"xmlns(:\w+)?=\"[^\"]*\"|<!DOCTYPE[^>]*>", "", page)
    assert "<script" not in page


def test_the_same_result_gives_the_same_page(found, page, tmp_path):
    path = write_causes_report(found, tmp_path / "causes.html")
    assert path.read_text("utf-8") == page


def test_graph_and_maps_are_there_and_a_page_without_edges_too(found, page):
    assert 'id="causes-graph' in page
    assert page.count("effect-map-0") > 1
    alone = dataclasses.replace(
        found, maps=(), levels=(), between=(),
        graph=CausalGraph.of(names=found.graph.names, method="none"),
    )  # fmt: skip
    bare = text_of(render_causes_report(alone))
    assert "No pair is connected" in bare
    assert "Where effects are strong" not in bare


def test_marks_of_fci_are_turned_with_the_pair(found):
    small = dataclasses.replace(found, maps=(), marks=("cell_area <-o local_count",))
    assert "<td>o-&gt;</td>" in render_causes_report(small)
    assert "<td>no edge</td>" in render_causes_report(dataclasses.replace(small, marks=()))


def test_an_effect_map_colours_every_place_once(found):
    one = found.maps[0]
    axes = draw_effect_map(new_figure(3, 3).subplots(), one, table=found.table, image=2, limit=1.0)
    assert sum(len(np.asarray(part.get_offsets())) for part in axes.collections) == (found.table.image == 2).sum()
    assert set(np.round(np.asarray(axes.collections[-1].get_array()), 9)) <= set(np.round(one.drawn[one.image == 2], 9))
    low, high = axes.get_ylim()
    assert low > high
