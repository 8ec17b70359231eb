"""Causal graphs, and maps of effects: causes above effects, width is probability, colour the sign of the effect."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import FancyArrowPatch, Patch

from tusi.causal import CausalTable
from tusi.data import CausalEdge, CausalGraph
from tusi.plot.canvas import bare
from tusi.plot.palette import CLASSES, INK, PAPER, RULE, SOFT
from tusi.study.causes.effect_maps import EffectMap

LEAST, MOST = 0.6, 4.2
"""Width of an edge of probability zero and one, in points."""

LABEL = 0.36
"""Where on an edge its strength stands, as a share of the way from cause to effect."""

BEND = 0.16
"""How far an edge that passes a level bends, in units of its length."""

MOST_VECTOR_SITES = 4000
"""Sites above which they are drawn as pixels instead of shapes."""

SIGNED = LinearSegmentedColormap.from_list("signed", [CLASSES[0], "#f4f4f0", CLASSES[1]])
"""Blue below zero, red above."""

_DOT = 9.0
"""Area of a site in a map, in square points."""


def draw_causal_graph(axes: Axes, graph: CausalGraph, *, threshold: float = 0.3, labels: bool = True) -> Axes:
    """Draw what probably acts on what.

    Causes stand above their effects. An arrow is a direct action, red where it raises the effect and blue where it
    lowers it, grey where the sign is unknown; arrows at both ends are feedback; a dotted double arrow is a hidden
    common cause; a dashed line without arrows is a connection whose direction cannot be told. Width is probability.

    Parameters
    ----------
    axes
        Where to draw.
    graph
        The graph.
    threshold
        Least probability of a connection that is drawn.
    labels
        Whether the strength of each action stands beside it, in standard deviations.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.

    Examples
    --------
    >>> from tusi.plot import new_figure
    >>> graph = CausalGraph.of_arrows({("strain", "polarisation"): 0.97}, names=("strain", "polarisation"))
    >>> len(draw_causal_graph(new_figure(3, 3).subplots(), graph).patches)
    1
    """
    edges = graph.edges(threshold)
    place = _places(graph, edges)
    level = {name: round(-xy[1]) for name, xy in place.items()}
    boxes = {name: _node(axes, name, xy) for name, xy in place.items()}
    for edge in edges:
        start, end = place[edge.cause], place[edge.effect]
        across = level[edge.cause] == level[edge.effect] or abs(level[edge.cause] - level[edge.effect]) > 1
        bend = _outward(start, end) if across else 0.0
        patch = _edge(edge, start, end, bend)
        patch.set_patchA(boxes[edge.cause])
        patch.set_patchB(boxes[edge.effect])
        axes.add_patch(patch)
        if labels and np.isfinite(edge.strength):
            _label(axes, edge, start, end, bend)
    xy = np.array(list(place.values())).reshape(-1, 2)
    low, high = xy.min(axis=0, initial=0.0), xy.max(axis=0, initial=0.0)
    axes.set_xlim(low[0] - 0.6, high[0] + 0.6)
    axes.set_ylim(low[1] - 0.35, high[1] + 0.35)
    return bare(axes)


def _outward(start: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"]) -> float:
    """Return the bend by which a line swerves away from the middle of the drawing."""
    side = 1.0 if start[0] + end[0] >= 0 else -1.0
    return BEND * side * (1.0 if end[1] >= start[1] else -1.0)


def _node(axes: Axes, name: str, xy: Float[np.ndarray, " 2"]) -> Patch:
    """Write the name of a variable in a box, and return the box."""
    box = {"boxstyle": "round,pad=0.4", "facecolor": PAPER, "edgecolor": SOFT, "linewidth": 0.8}
    text = axes.text(
        float(xy[0]),
        float(xy[1]),
        name.replace("_", " "),
        ha="center",
        va="center",
        fontsize=8.5,
        color=INK,
        bbox=box,
        zorder=3,
    )
    patch = text.get_bbox_patch()
    assert patch is not None
    return patch


def _edge(
    edge: CausalEdge, start: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"], bend: float
) -> FancyArrowPatch:
    """Return the line between two variables."""
    colour = SOFT if not np.isfinite(edge.strength) else CLASSES[1] if edge.strength > 0 else CLASSES[0]
    ends = {"acts on": "-|>", "undecided": "-"}.get(edge.relation, "<|-|>")
    line = {"undecided": (0, (4, 2.5)), "hidden common cause": (0, (1, 1.6))}.get(edge.relation, "solid")
    return FancyArrowPatch(
        tuple(start), tuple(end), connectionstyle=f"arc3,rad={bend}", arrowstyle=ends, linestyle=line, color=colour,
        mutation_scale=11, linewidth=LEAST + (MOST - LEAST) * edge.probability, zorder=2, joinstyle="miter",
    )  # fmt: skip


def _label(
    axes: Axes, edge: CausalEdge, start: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"], bend: float
) -> None:
    """Write the strength of an action on its line, off the middle, where lines cross."""
    along = end - start
    place = start + LABEL * along + 2 * LABEL * (1 - LABEL) * bend * np.array([along[1], -along[0]])
    text = f"{edge.strength:+.2f}".replace("-", "\N{MINUS SIGN}")
    box = {"boxstyle": "square,pad=0.15", "facecolor": PAPER, "edgecolor": RULE, "linewidth": 0.4}
    axes.text(
        float(place[0]), float(place[1]), text, ha="center", va="center", fontsize=7, color=INK, bbox=box, zorder=4
    )


def _places(graph: CausalGraph, edges: tuple[CausalEdge, ...]) -> dict[str, Float[np.ndarray, " 2"]]:
    """Return (x, y) of every variable: one level below its lowest cause, near the middle of what it is connected to."""
    depth = dict.fromkeys(graph.names, 0)
    arrows = [(edge.cause, edge.effect) for edge in edges if edge.relation == "acts on"]
    for _ in graph.names:
        for cause, effect in arrows:
            depth[effect] = min(max(depth[effect], depth[cause] + 1), len(graph.names) - 1)
    linked = {name: [] for name in graph.names}
    for edge in edges:
        linked[edge.cause].append(edge.effect)
        linked[edge.effect].append(edge.cause)
    lonely = [name for name in graph.names if not linked[name]]
    levels = sorted({depth[name] for name in graph.names if name not in lonely})
    rows = [[name for name in graph.names if depth[name] == d and name not in lonely] for d in levels] + [lonely]
    place: dict[str, np.ndarray] = {}
    for number, row in enumerate(row for row in rows if row):
        above = {name: [place[other][0] for other in linked[name] if other in place] for name in row}
        ordered = sorted(row, key=lambda name: np.mean(above[name]) if above[name] else 0.0)
        for k, name in enumerate(ordered):
            place[name] = np.array([1.4 * (k - (len(row) - 1) / 2), -float(number)])
    return place


def draw_effect_map(axes: Axes, found: EffectMap, *, table: CausalTable, image: int, limit: float) -> Axes:
    """Draw how strong an effect is where: every site in the colour of the slope that its square is expected to have.

    Red raises the effect, blue lowers it, pale does nothing; sites in squares with too few rows are small and grey.

    Parameters
    ----------
    axes
        Where to draw; y points down, as in the image.
    found
        The map.
    table
        The table that it was made from.
    image
        Number of the image.
    limit
        Size of a slope at the ends of the scale.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`; its last collection carries the scale.
    """
    rows = table.layout.rows(image)
    slope = {
        (int(row), int(column)): value
        for (row, column), own, value in zip(found.cell // found.side, found.image, found.drawn, strict=True)
        if own == image
    }
    squares = table.cell[rows] // found.side
    value = np.array([slope.get((int(row), int(column)), np.nan) for row, column in squares])
    y, x = table.position[rows].T
    known = np.isfinite(value)
    axes.scatter(x[~known], y[~known], s=2.0, color=RULE, linewidth=0)
    axes.scatter(
        x[known], y[known], c=value[known], s=_DOT, cmap=SIGNED, vmin=-limit, vmax=limit, edgecolor=INK,
        linewidth=0.1, rasterized=len(rows) > MOST_VECTOR_SITES,
    )  # fmt: skip
    axes.set_aspect("equal")
    axes.invert_yaxis()
    return bare(axes)
