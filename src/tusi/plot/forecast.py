"""Arrangements that were predicted from others: the counts of every model beside those that were observed."""

import re
from collections import Counter
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.scale import FuncScale

from tusi.generative.prediction.forecast import Forecast
from tusi.plot.canvas import tidy
from tusi.plot.inversion import model_colours, plain
from tusi.plot.palette import INK, PAPER

WIDTH = 0.7
"""Part of a bin that the models share."""

MOST_BINS = 32
"""Bins that are drawn: the most frequent ones."""

LONGEST = 34
"""Letters of the name of a bin."""


def draw_forecast(axes: Axes, forecasts: Mapping[str, Forecast]) -> Axes:
    """Draw predicted counts of one arrangement with the bands that hold 95 %, and the observed counts as black lines.

    The scale is the square root of the count, on which chance has about the same size everywhere. Of many bins, the
    most frequent ones are drawn, in their order.

    Parameters
    ----------
    axes
        Where to draw.
    forecasts
        The prediction of each model, by its name; all of the same arrangement.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    if not forecasts:
        return tidy(axes)
    colours = model_colours(forecasts)
    first = next(iter(forecasts.values()))
    shown = most_frequent(forecasts)
    bins = np.arange(len(shown))
    step = WIDTH / len(forecasts)
    for k, (name, one) in enumerate(forecasts.items()):
        x = bins + (k - (len(forecasts) - 1) / 2) * step
        low, high = np.maximum(one.band[shown], 0.0).T
        axes.vlines(x, low, high, color=colours[name], linewidth=3.5, alpha=0.45)
        axes.plot(
            x, one.expected[shown], "o", color=colours[name], markersize=4, markeredgecolor=PAPER, markeredgewidth=0.6
        )
    axes.hlines(first.observed[shown], bins - 0.45, bins + 0.45, color=INK, linewidth=1.1)
    axes.set_yscale(FuncScale(axes.yaxis, (lambda y: np.sqrt(np.maximum(y, 0.0)), np.square)))
    highest = max(float(np.nanmax([*one.band[:, 1], *one.observed, 1.0])) for one in forecasts.values())
    axes.set_ylim(0.0, 1.08 * highest)
    axes.set_yticks(_round_counts(highest))
    names = [plain(_short(first.labels[k]), longest=LONGEST) for k in shown]
    axes.set_xticks(bins, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=7.5)
    axes.set_xlim(-0.6, len(bins) - 0.4)
    axes.set_ylabel("clusters")
    tidy(axes, grid="y")
    axes.tick_params(axis="x", length=0)
    return axes


def most_frequent(forecasts: Mapping[str, Forecast]) -> Int[np.ndarray, " bin"]:
    """Return the numbers of the bins that are drawn: those with most clusters, observed or predicted, in order."""
    counts = np.max([count for one in forecasts.values() for count in (one.observed, one.expected)], axis=0)
    return np.sort(np.argsort(-counts, kind="stable")[:MOST_BINS])


def _short(label: str) -> str:
    """Return a name with each distance once, and how often: (1, 1, 1.73) as (1×2, 1.73)."""
    return re.sub(r" \(([\d., ]+)\)(?=$| #)", _counted, label)


def _counted(distances: re.Match) -> str:
    """Return distances in brackets, each once."""
    counts = Counter(distances[1].split(", "))
    return f" ({', '.join(one if n == 1 else f'{one}×{n}' for one, n in counts.items())})"


def _round_counts(highest: float) -> list[float]:
    """Return ticks that are about even on a square root: 0, 1, 4, ... times a power of ten."""
    size = 10.0 ** max(np.floor(np.log10(highest)) - 1, 0)
    ticks = [n * size for n in (0, 1, 5, 10, 20, 40, 60, 80, 100)]
    return [tick for tick in ticks if tick <= 1.08 * highest]
