"""The statistical distance over couplings: its valley, its minimum, and what the minimum is worth."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from tusi.generative.estimation.landscape import DistanceLandscape
from tusi.plot.canvas import tidy
from tusi.plot.palette import INK, MODELS, PAPER, SOFT

_VALLEY = LinearSegmentedColormap.from_list("valley", ["#1f5fae", "#7fb0e6", "#dbe8f6", PAPER])
_NAIVE = {"color": MODELS["P2"], "linestyle": (0, (4, 2.5)), "linewidth": 1.3}
_CONFIDENCES = (0.68, 0.95)


def draw_landscape(axes: Axes, landscape: DistanceLandscape) -> Axes:
    """Draw the squared statistical distance with its minimum and confidence regions.

    Solid lines bound 68 and 95 % by the sampling covariance of the estimate; the dashed one is where 95 % would lie if
    `exp(-2 N S^2)` were a likelihood. With one coupling the regions are bars over a curve.

    Parameters
    ----------
    axes
        Where to draw.
    landscape
        The distance on a grid.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.

    Examples
    --------
    >>> from tusi.plot import new_figure
    >>> landscape = DistanceLandscape(
    ...     model="P1",
    ...     parameters=("w1",),
    ...     grid=(np.linspace(-1, 1, 5),),
    ...     squared=np.linspace(-1, 1, 5) ** 2 + 0.01,
    ...     minimum=np.zeros(1),
    ...     least=0.01,
    ...     value=np.zeros(1),
    ...     covariance=np.eye(1) / 9,
    ...     n_clusters=100.0,
    ... )
    >>> draw_landscape(new_figure(3, 2).subplots(), landscape).get_xlabel()
    'w1, units of kT'
    """
    if len(landscape.parameters) == 1:
        _draw_line(axes, landscape)
    else:
        _draw_plane(axes, landscape)
    axes.set_xlabel(f"{landscape.parameters[0]}, units of kT")
    return tidy(axes)


def _draw_line(axes: Axes, landscape: DistanceLandscape) -> None:
    """Draw the distance along one coupling."""
    (x,), y = landscape.grid, landscape.squared
    axes.plot(x, y, color=INK, linewidth=1.4)
    bottom, top = np.nanmin([landscape.least, np.nanmin(y)]), np.nanmax(y)
    height = top - bottom
    for confidence, width in zip(_CONFIDENCES, (4.5, 1.6), strict=True):
        (low,), (high,) = landscape.region(confidence)
        axes.plot([low, high], [bottom - 0.08 * height] * 2, color=MODELS["P1"], linewidth=width, solid_capstyle="butt")
    ends = _crossings(x, y, landscape)
    axes.plot(ends, [bottom - 0.16 * height] * 2, **_NAIVE)
    axes.plot(landscape.minimum[0], landscape.least, "o", color=INK, markersize=5)
    axes.set_ylim(bottom - 0.24 * height, top)
    axes.set_ylabel("S²")
    _explain(axes, 0.02, 0.98)


def _crossings(x: np.ndarray, y: np.ndarray, landscape: DistanceLandscape) -> list[float]:
    """Return where the curve crosses the naive level on either side of its minimum."""
    level, centre = landscape.naive_level(), landscape.minimum[0]
    ends = []
    for side in (x < centre, x > centre):
        away, height = np.abs(x[side] - centre), y[side]
        order = np.argsort(away)
        rise = np.maximum.accumulate(np.append(landscape.least, height[order]))
        ends.append(float(np.interp(level, rise, np.append(0.0, away[order]))))
    return [centre - ends[0], centre + ends[1]]


def _draw_plane(axes: Axes, landscape: DistanceLandscape) -> None:
    """Draw the distance over two couplings."""
    x, y = landscape.grid
    depth = np.sqrt(np.maximum(landscape.squared - landscape.least, 0.0)).T
    axes.pcolormesh(x, y, depth, cmap=_VALLEY, shading="gouraud", rasterized=True, vmin=0.0)
    levels = landscape.least + (np.nanmax(landscape.squared) - landscape.least) * np.linspace(0.0, 1.0, 9)[1:] ** 2
    axes.contour(x, y, landscape.squared.T, levels=np.unique(levels), colors=SOFT, linewidths=0.4)
    axes.contour(
        x, y, landscape.squared.T, levels=[landscape.naive_level()], colors=[_NAIVE["color"]],
        linestyles=[_NAIVE["linestyle"]], linewidths=[_NAIVE["linewidth"]],
    )  # fmt: skip
    for confidence, width in zip(_CONFIDENCES, (1.0, 1.8), strict=True):
        axes.plot(*landscape.region(confidence).T, color=INK, linewidth=width)
    axes.plot(*landscape.minimum, "o", color=INK, markersize=4.5, markeredgecolor=PAPER)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    axes.set_ylabel(f"{landscape.parameters[1]}, units of kT")
    _explain(axes, 0.02, 1.02)


def _explain(axes: Axes, x: float, y: float) -> None:
    """Say what the lines are."""
    top = "top" if y <= 1 else "bottom"
    text = "solid: 68 and 95 % by the true sampling covariance"
    axes.annotate(text, (x, y), xycoords="axes fraction", color=INK, fontsize=7, va=top)
    axes.annotate(
        "dashed: 95 % if exp(-2NS²) were a likelihood", (x, y - 0.065 if top == "top" else y + 0.065),
        xycoords="axes fraction", color=_NAIVE["color"], fontsize=7, va=top,
    )  # fmt: skip
