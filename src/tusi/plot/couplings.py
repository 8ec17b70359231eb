"""Couplings of all models with their intervals, on one axis."""

import numpy as np
from matplotlib.axes import Axes

from tusi.generative.results import HamiltonianComparison
from tusi.plot.canvas import tidy
from tusi.plot.palette import INK, RULE, SOFT, model_colour


def draw_couplings(axes: Axes, comparison: HamiltonianComparison) -> Axes:
    """Draw a dot with a 95 % interval per coupling, thick for one standard error; zero is the random alloy.

    Parameters
    ----------
    axes
        Where to draw.
    comparison
        The compared models.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    rows: list[tuple[str, str]] = []
    for fit in comparison.fits:
        colour = model_colour(fit.model)
        for name, value, error, (low, high) in zip(
            fit.parameters, fit.value, fit.standard_error, fit.interval, strict=True
        ):
            y = len(rows)
            rows.append((fit.model, name))
            axes.plot([low, high], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
            axes.plot([value - error, value + error], [y, y], color=colour, linewidth=4.5, solid_capstyle="butt")
            axes.plot(value, y, "o", color=colour, markersize=6.5, markeredgecolor="#fffffe", markeredgewidth=1.0)
    axes.axvline(0, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_yticks(range(len(rows)), [f"{model} · {name}" for model, name in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    limit = 1.1 * max([abs(value) for value in axes.get_xlim()] + [0.1])
    axes.set_xlim(-limit, limit)
    axes.set_xlabel("coupling, units of kT")
    for i in range(1, len(rows)):
        if rows[i][0] != rows[i - 1][0]:
            axes.axhline(i - 0.5, color=RULE, linewidth=0.6)
    for x, side, text in ((0.01, "left", "likes unlike"), (0.99, "right", "likes like")):
        axes.annotate(text, (x, 1.0), xycoords="axes fraction", va="bottom", ha=side, color=SOFT, fontsize=7.5)
    tidy(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    return axes


def n_couplings(comparison: HamiltonianComparison) -> int:
    """Return how many couplings all models have together."""
    return int(np.sum([len(fit.parameters) for fit in comparison.fits]))
