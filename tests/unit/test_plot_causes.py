"""Causal graphs are drawn so that they can be read: causes above effects, kinds of edges that differ."""

import numpy as np

from tusi.data import CausalGraph
from tusi.plot import new_figure
from tusi.plot.causes import draw_causal_graph

NAMES = ("a", "b", "c", "d")


def graph(**matrices):
    blank = {name: np.zeros((4, 4)) for name in ("arrow", "undecided", "confounded", "feedback")}
    for name, entries in matrices.items():
        for (i, j), value in entries.items():
            blank[name][i, j] = value
            if name != "arrow":
                blank[name][j, i] = value
    effect = np.where(blank["arrow"] > 0, 0.5, np.nan)
    effect[1, 2] = -0.5
    return CausalGraph.of(names=NAMES, method="given", effect=effect, **blank)


def drawn(found, **options):
    axes = draw_causal_graph(new_figure(4, 4).subplots(), found, **options)
    place = {text.get_text(): text.get_position() for text in axes.texts}
    return axes, place


def test_causes_stand_above_their_effects():
    _, place = drawn(graph(arrow={(2, 0): 0.9, (0, 1): 0.8}))
    assert place["c"][1] > place["a"][1] > place["b"][1] > place["d"][1]


def test_kinds_of_edges_look_different():
    axes, _ = drawn(graph(arrow={(0, 1): 0.9, (1, 2): 0.6}, undecided={(2, 3): 0.8}, confounded={(0, 3): 0.7}))
    looks = {(str(patch.get_linestyle()), patch.get_edgecolor()) for patch in axes.patches}
    assert len(axes.patches) == len(looks) == 4
    widths = sorted(patch.get_linewidth() for patch in axes.patches)
    assert len(set(widths)) == 4


def test_unlikely_edges_and_empty_graphs_are_drawn_too():
    assert not drawn(graph(arrow={(0, 1): 0.2}))[0].patches
    assert len(drawn(graph(arrow={(0, 1): 0.2}), threshold=0.1)[0].patches) == 1
    empty = CausalGraph.of(names=(), method="given", arrow=np.zeros((0, 0)))
    assert not draw_causal_graph(new_figure(1, 1).subplots(), empty).texts


def test_feedback_does_not_confuse_the_levels():
    loop = graph(arrow={(0, 1): 0.9, (1, 2): 0.9, (2, 0): 0.9}, feedback={(2, 3): 0.9})
    _, place = drawn(loop)
    assert all(np.isfinite(xy).all() for xy in place.values())
