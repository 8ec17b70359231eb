"""Figures without global state: made, styled and written as SVG here, drawn on by the other modules."""

import io
import re

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

from tusi.plot.palette import INK, SOFT

_STYLE = {
    "font.family": "sans-serif",
    "font.size": 8.5,
    "svg.fonttype": "none",
    "axes.unicode_minus": True,
    "path.simplify": True,
}
_HEADER = re.compile(r"^.*?(?=<svg)", re.DOTALL)


def new_figure(width: float, height: float, *, layout: str | None = "constrained") -> Figure:
    """Return an empty transparent figure of this size in inches; without layout, axes stay where they are put.

    Parameters
    ----------
    width, height
        Size, in inches.
    layout
        "constrained", or `None`.

    Examples
    --------
    >>> new_figure(4, 3).get_size_inches().tolist()
    [4.0, 3.0]
    """
    figure = Figure(figsize=(width, height), layout=layout)  # pyright: ignore[reportArgumentType]
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    return figure


def tidy(axes: Axes, *, grid: str = "") -> Axes:
    """Take away what carries no data: top and right lines, the background, heavy ticks."""
    axes.patch.set_alpha(0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(SOFT)
        axes.spines[side].set_linewidth(0.6)
    axes.tick_params(color=SOFT, labelcolor=INK, width=0.6, length=3)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(INK)
    if grid:
        axes.grid(axis="both" if grid == "both" else "x" if grid == "x" else "y", color="#cfd1d7", linewidth=0.5)
        axes.set_axisbelow(True)
    return axes


def bare(axes: Axes) -> Axes:
    """Take away everything but the data."""
    axes.set_axis_off()
    axes.patch.set_alpha(0)
    return axes


def circles(
    position: Float[np.ndarray, "point 2"], radius: float, axes: Axes, *, rasterized: bool
) -> EllipseCollection:
    """Return circles at (y, x) with a radius in the unit of the axes."""
    size = np.full(len(position), 2 * radius)
    return EllipseCollection(
        size,
        size,
        np.zeros(len(position)),
        units="xy",
        offsets=position[:, ::-1],
        offset_transform=axes.transData,
        rasterized=rasterized,
    )


def to_svg(figure: Figure, *, key: str) -> str:
    """Return the figure as an SVG element, always the same for the same figure.

    Parameters
    ----------
    figure
        The figure.
    key
        Unique among the figures of one page: the identifiers inside the SVG derive from it.
    """
    target = io.StringIO()
    settings: dict = {**_STYLE, "svg.hashsalt": key}
    with matplotlib.rc_context(settings):
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = _HEADER.sub("", target.getvalue(), count=1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return _own_identifiers(svg, key)


def style() -> dict[str, object]:
    """Return the settings that figures are made with, for `matplotlib.rc_context`."""
    return dict(_STYLE)


def _own_identifiers(svg: str, key: str) -> str:
    """Put the figure's key before every identifier, so that several figures can share a page."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', svg)
    svg = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{key}-\2"', svg)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", svg)
