"""Defects over an image or a lattice: what each is, how sure, and in which way it shifts or turns the crystal."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.patches import Ellipse
from matplotlib.patheffects import withStroke

from tusi.plot.palette import INK, PAPER
from tusi.structure.defects import DefectKind, DefectPatch, Defects

STYLE: dict[DefectKind, tuple[str, str]] = {
    DefectKind.VACANCY: ("#e0633a", "o"),
    DefectKind.SUBSTITUTION: ("#d8b12c", "s"),
    DefectKind.INTERSTITIAL: ("#4a9a5b", "^"),
    DefectKind.DISLOCATION: ("#b0559f", "$\u22a5$"),
    DefectKind.GRAIN_BOUNDARY: ("#2f7cc4", "-"),
    DefectKind.ANTIPHASE_BOUNDARY: ("#3a9a8f", "--"),
}
"""Colour, and marker or kind of line."""

FAINTEST = 0.25
"""Opacity of a defect of probability zero."""


def draw_defects(axes: Axes, defects: Defects, *, radius: float, key: bool = True) -> Axes:
    """Draw a mark on each point defect, a turned T and its Burgers vector on each dislocation, a line on each boundary.

    The less probable a defect, the fainter its mark. The T stands on the glide plane, its stem in the extra half-plane.
    Ellipses show the 95 % region of a dislocation's core.

    Parameters
    ----------
    axes
        Where to draw, usually over `draw_image`; positions are in the unit of the axes, y downward.
    defects
        Defects of one image.
    radius
        Size of a mark, in the same unit.
    key
        Whether to name kinds and numbers beside the axes' upper edge.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    for row in range(len(defects)):
        kind = DefectKind(int(defects.kind[row]))
        colour = to_rgba(STYLE[kind][0], FAINTEST + (1 - FAINTEST) * float(defects.probability[row]))
        if kind.is_boundary:
            _draw_boundary(axes, defects, row, colour)
        elif kind == DefectKind.DISLOCATION:
            _draw_dislocation(axes, defects, row, radius)
    for kind in (one for one in DefectKind if one.is_point):
        here = defects.of_kind(kind)
        if len(here):
            opacity = FAINTEST + (1 - FAINTEST) * here.probability
            y, x = here.position.T
            points = axes.scatter(x, y, s=_points(axes, radius), marker=STYLE[kind][1], linewidth=1.5, zorder=5)
            points.set(facecolor="none", edgecolor=[to_rgba(STYLE[kind][0], value) for value in opacity])
            points.set_gid(kind.name.lower())
    if key and len(defects):
        _draw_key(axes, defects)
    return axes


def draw_patch(axes: Axes, patch: DefectPatch) -> Axes:
    """Draw the neighbourhood of a defect with the host's lattice vectors.

    Parameters
    ----------
    axes
        Where to draw; they get the patch's length unit, y downward.
    patch
        What `cut_patch` returned.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    axes.set_aspect("equal")
    axes.set_xlim(-1.1 * patch.radius, 1.1 * patch.radius)
    axes.set_ylim(1.1 * patch.radius, -1.1 * patch.radius)
    best = patch.species_probability.argmax(axis=1) if patch.species else np.zeros(len(patch), int)
    palette = [STYLE[DefectKind.GRAIN_BOUNDARY][0], STYLE[DefectKind.VACANCY][0], STYLE[DefectKind.INTERSTITIAL][0]]
    y, x = patch.offset.T
    axes.scatter(
        x, y, s=46, c=[palette[code % len(palette)] for code in best], edgecolor=PAPER, linewidth=0.6, zorder=3
    )
    axes.plot(0, 0, marker="+", color=INK, markersize=8)
    for vector in patch.vectors:
        _arrow(axes, np.zeros(2), vector, INK)
    axes.set_title(patch.label or patch.title, fontsize=9, color=INK)
    axes.set_axis_off()
    return axes


def _draw_boundary(axes: Axes, defects: Defects, row: int, colour: tuple) -> None:
    kind = DefectKind(int(defects.kind[row]))
    lines = LineCollection(
        list(defects.segments(row)[:, :, ::-1]), colors=[colour], linewidths=2.2, linestyles=STYLE[kind][1], zorder=4
    )
    lines.set_gid(kind.name.lower())
    axes.add_collection(lines)
    if np.isfinite(defects.misorientation[row]):
        text = f"{defects.misorientation[row]:+.2f} ± {defects.misorientation_error[row]:.2f}°"
        y, x = defects.position[row]
        axes.annotate(
            text, (x, y), xytext=(6, 0), textcoords="offset points", color=STYLE[kind][0], fontsize=8.5,
            fontweight="bold", path_effects=[withStroke(linewidth=2.2, foreground=PAPER)], zorder=6,
        )  # fmt: skip
    elif np.isfinite(defects.vector[row]).all():
        _arrow(axes, defects.position[row], defects.vector[row], STYLE[kind][0])


def _draw_dislocation(axes: Axes, defects: Defects, row: int, radius: float) -> None:
    """Draw the turned T along the Burgers vector, the vector, and the region of the core."""
    colour = STYLE[DefectKind.DISLOCATION][0]
    opacity = FAINTEST + (1 - FAINTEST) * float(defects.probability[row])
    vector, place = defects.vector[row], defects.position[row]
    along = vector / max(float(np.linalg.norm(vector)), 1e-300)
    across = np.array([along[1], -along[0]])
    foot = np.stack([place - radius * along, place + radius * along])
    stem = np.stack([place, place + 1.4 * radius * across])
    for line in (foot, stem):
        axes.plot(line[:, 1], line[:, 0], color=colour, linewidth=2.4, alpha=opacity, solid_capstyle="round", zorder=6)
    _arrow(axes, place, vector, colour)
    value, axis = np.linalg.eigh(defects.covariance[row])
    width, height = 2 * np.sqrt(5.99 * np.maximum(value, 0))
    angle = np.rad2deg(np.arctan2(axis[0, 0], axis[1, 0]))
    ellipse = Ellipse((place[1], place[0]), width, height, angle=angle, facecolor="none", edgecolor=colour)
    ellipse.set(linewidth=0.8, linestyle=(0, (3, 2)), alpha=opacity, zorder=5)
    axes.add_patch(ellipse)


def _arrow(axes: Axes, start: Float[np.ndarray, "2"], step: Float[np.ndarray, "2"], colour: str) -> None:
    end = start + step
    axes.annotate(
        "", (end[1], end[0]), (start[1], start[0]), zorder=7,
        arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip


def _points(axes: Axes, radius: float) -> float:
    """Return the area of a marker of this radius, in points squared."""
    figure = axes.figure
    low, high = axes.get_xlim()
    inches = axes.get_window_extent().width / figure.dpi
    return float(np.clip(72 * inches * 2 * radius / max(abs(high - low), 1e-12), 3.0, 60.0) ** 2)


def _draw_key(axes: Axes, defects: Defects) -> None:
    """Name the kinds that occur and how many of each are more probable than not."""
    counts = defects.count()
    handles = []
    for kind in (one for one in DefectKind if (defects.kind == one).any()):
        colour, mark = STYLE[kind]
        text = f"{kind.title}: {counts.get(kind.title, 0)}"
        line = Line2D([], [], color=colour, linewidth=2, label=text)
        if kind.is_boundary:
            line.set_linestyle("-" if mark == "-" else "--")
        else:
            line.set(linestyle="", marker=MarkerStyle(mark), markersize=7)
            line.set_markerfacecolor(colour if kind == DefectKind.DISLOCATION else "none")
        handles.append(line)
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, frameon=False, fontsize=8,
        borderaxespad=0.2, columnspacing=1.0, handletextpad=0.4,
    )  # fmt: skip
