"""Inversions: couplings of every model, whether a model explains the arrangements, errors by the number of sites."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tusi.generative.estimation.information import ErrorAgainstSites, ExpectedError
from tusi.plot.canvas import tidy
from tusi.plot.palette import INK, MODELS, PAPER, RULE, SOFT
from tusi.study.inversion import LEVEL, Inversion

LINES = ("#1f6fb5", "#c2552d", "#3d8f58", "#8a5fb8", "#a67c12", "#2b8f91", "#b34a7a", "#5f6f86")
"""Colours of couplings one after the other."""

OTHERS = ("#3a9a8f", "#cf6a4f", "#5f7f2f", "#7a6fd0", "#8f5a3a", "#4a8fb0")
"""Colours of models without one of their own."""

REJECTED = "#b3402a"
"""Colour of p-values below the level."""

TARGET = 0.05
"""Relative error that is aimed at."""

GOLDEN = 0.6180339887498949
"""Step that spreads dots of one row without an order."""

LONGEST = 20
"""Letters of a name on an axis."""

MOST_SITES = 1e8
"""Sites beyond which no target is drawn."""


def draw_estimates(axes: Axes, inversion: Inversion) -> Axes:
    """Draw every coupling as a dot, with one standard error thick and 95 % thin; arrows where nothing bounds it.

    Parameters
    ----------
    axes
        Where to draw.
    inversion
        The fitted models.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    colours = model_colours(fit.name for fit in inversion.fits)
    fits = [fit for fit in inversion.fits if fit.estimate is not None]
    rows = [
        (fit.name, name, *numbers)
        for fit in fits
        if (one := fit.estimate) is not None
        for name, *numbers in zip(one.parameters, one.value, one.standard_error, one.interval, strict=True)
    ]
    ends = [
        abs(end) for _, _, value, error, interval in rows for end in (value, value - error, value + error, *interval)
    ]
    limit = 1.1 * max([end for end in ends if np.isfinite(end)] + [0.1])
    for y, (model, _, value, error, interval) in enumerate(rows):
        if np.isfinite(value):
            _draw_estimate(axes, y, (value, error, *interval), limit=limit, colour=colours[model])
        else:
            axes.annotate(
                "not determined", (0.0, y), color=SOFT, fontsize=7.5, ha="left", va="center", xytext=(6, 0),
                textcoords="offset points",
            )  # fmt: skip
    axes.axvline(0, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_yticks(range(len(rows)), [f"{plain(model)} · {plain(name)}" for model, name, *_ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-limit, limit)
    axes.set_xlabel("coupling, units of kT")
    for y in range(1, len(rows)):
        if rows[y][0] != rows[y - 1][0]:
            axes.axhline(y - 0.5, color=RULE, linewidth=0.6)
    if len(inversion.species) == 2 and all(name[0] in "wK" for _, name, *_ in rows):
        for x, side, text in ((0.01, "left", "likes unlike"), (0.99, "right", "likes like")):
            axes.annotate(text, (x, 1.0), xycoords="axes fraction", va="bottom", ha=side, color=SOFT, fontsize=7.5)
    return _without_left(axes)


def _draw_estimate(
    axes: Axes, y: int, numbers: tuple[float, float, float, float], *, limit: float, colour: str
) -> None:
    """Draw one coupling: value, standard error, ends of the interval."""
    value, error, *interval = numbers
    ends = np.clip(np.nan_to_num(interval, nan=value), -limit, limit)
    axes.plot(ends, [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
    for end, arrow in zip(interval, "<>", strict=True):
        if np.isinf(end):
            axes.plot(np.clip(end, -0.985 * limit, 0.985 * limit), y, arrow, color=colour, markersize=6)
    if np.isfinite(error):
        axes.plot([value - error, value + error], [y, y], color=colour, linewidth=4.5, solid_capstyle="butt")
    axes.plot(value, y, "o", color=colour, markersize=6.5, markeredgecolor=PAPER, markeredgewidth=1.0)


def draw_goodness(axes: Axes, inversion: Inversion) -> Axes:
    """Draw the p-values of every model: small dots for arrangements, a large one for all, a ring for the naive value.

    Parameters
    ----------
    axes
        Where to draw.
    inversion
        The examined models.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    colours = model_colours(fit.name for fit in inversion.fits)
    least = 0.5 / (1 + max(fit.examination.n_replicas for fit in inversion.fits))
    axes.axvspan(least / 2, LEVEL, color=REJECTED, alpha=0.1, linewidth=0)
    axes.axvline(LEVEL, color=REJECTED, linewidth=0.8)
    for y, fit in enumerate(inversion.fits):
        found, colour = fit.examination, colours[fit.name]
        each = np.clip(found.distance_p, least, 1.0)
        spread = y + 0.3 * (2 * ((0.5 + np.arange(len(each)) * GOLDEN) % 1) - 1)
        axes.plot(each, spread, "o", color=colour, alpha=0.55, markersize=3.6, markeredgewidth=0)
        if np.isfinite(found.naive_p):
            below = found.naive_p < least
            axes.plot(
                max(found.naive_p, least), y, "<" if below else "o", markerfacecolor="none", markeredgecolor=SOFT,
                markersize=7, markeredgewidth=1.0,
            )  # fmt: skip
        if np.isfinite(found.pooled_p):
            axes.plot(
                max(found.pooled_p, least), y, "o", color=colour, markersize=8.5, markeredgecolor=PAPER,
                markeredgewidth=1.0,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(0.7 * least, 1.3)
    axes.xaxis.set_major_locator(LogLocator(10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", color=SOFT, width=0.4, length=2)
    axes.set_yticks(range(len(inversion.fits)), [plain(fit.name) for fit in inversion.fits])
    axes.set_ylim(len(inversion.fits) - 0.4, -0.6)
    axes.set_xlabel("p-value of the cluster histogram")
    axes.annotate(
        f"rejected at {LEVEL:g}", (LEVEL, 1.0), xycoords=("data", "axes fraction"), va="bottom", ha="right",
        color=REJECTED, fontsize=7.5,
    )  # fmt: skip
    return _without_left(axes)


def draw_expected_error(axes: Axes, expected: ExpectedError, *, arriving: ErrorAgainstSites | None = None) -> Axes:
    """Draw the smallest possible standard error of each coupling over the number of sites, on logarithmic axes.

    Dots are the errors reached as arrangements arrived; diamonds the sites at which the error is 5 % of the coupling.

    Parameters
    ----------
    axes
        Where to draw.
    expected
        Smallest possible errors.
    arriving
        Errors that were reached, of the same model.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    target = expected.sites_for(TARGET)
    drawn = np.isfinite(target) & (target <= MOST_SITES) & (target > 0)
    reached = arriving.n_sites if arriving is not None else np.empty(0)
    numbers = np.concatenate([expected.n_sites, reached, target[drawn]])
    ends = np.array([0.8 * numbers.min(), 1.25 * numbers.max()])
    errors = np.stack([expected.at(n) for n in ends])
    for k, name in enumerate(expected.parameters):
        colour = LINES[k % len(LINES)]
        label = plain(name) if np.isfinite(errors[:, k]).all() else f"{plain(name)}: no information"
        axes.plot(ends, errors[:, k], color=colour, linewidth=1.3, label=label)
        if drawn[k]:
            axes.plot(
                target[k], TARGET * abs(expected.couplings[k]), "D", color=colour, markersize=5.5,
                markerfacecolor=PAPER, markeredgewidth=1.3,
            )  # fmt: skip
        if arriving is not None:
            axes.plot(
                reached, arriving.obtained[:, k], "o", color=colour, markersize=5, markeredgecolor=PAPER,
                markeredgewidth=0.8,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*ends)
    if not np.isfinite(errors).any():
        axes.set_ylim(1e-3, 1.0)
    axes.xaxis.set_major_formatter(FuncFormatter(_number_of_sites))
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", color=SOFT, width=0.4, length=2)
    axes.set_xlabel("sites")
    axes.set_ylabel("standard error, units of kT")
    axes.legend(frameon=False, fontsize=7.5, labelcolor=INK, loc="upper right", ncols=1 + (len(errors.T) > 4))
    return tidy(axes, grid="both")


def model_colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each model: its own everywhere, or the next free one."""
    others = iter(OTHERS * 100)
    return {name: MODELS.get(name) or next(others) for name in dict.fromkeys(names)}


def n_estimates(inversion: Inversion) -> int:
    """Return how many couplings all models have together."""
    return sum(len(fit.estimate.parameters) for fit in inversion.fits if fit.estimate is not None)


def _without_left(axes: Axes) -> Axes:
    """Tidy axes whose rows are named."""
    tidy(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    return axes


def _number_of_sites(number: float, _: int | None) -> str:
    """Return a round number of sites, short."""
    for size, unit in ((1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:g} {unit}"
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def plain(name: str, *, longest: int = LONGEST) -> str:
    """Return a name for an axis: not read as a formula, and cut where it would leave no room."""
    return literal(name if len(name) <= longest else f"{name[: longest - 1]}…")


def literal(text: str) -> str:
    """Return text that is not read as a formula."""
    return text.replace("$", r"\$")
