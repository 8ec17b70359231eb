"""Statistical normal modes: shapes as arrows, scores by the number of neighbours, and maps on the image."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from tusi.plot.canvas import bare, circles, tidy
from tusi.plot.palette import CLASSES, INK, RULE, SOFT
from tusi.structure.modes import ModeSplit, NormalModes

MOST_VECTOR_ATOMS = 5000
"""Atoms above which they are drawn as pixels instead of shapes."""

ARROW = 0.45
"""Length of the longest arrow, in units of the shortest distance between centre and neighbour."""


def draw_mode(axes: Axes, modes: NormalModes, *, number: int = 0) -> Axes:
    """Draw the shape of a mode: a centre, its neighbours, and how they move against it, or which of them are enriched.

    Displacements are arrows, scaled so that the longest is easy to see; the title gives their size. Compositions are
    discs in the colour of what is more frequent than on average, their area in proportion.

    Parameters
    ----------
    axes
        Where to draw, y downward.
    modes
        The modes.
    number
        Which mode, from 0.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    reference, shape = modes.reference, modes.shape[number]
    reach = np.linalg.norm(reference, axis=1).max()
    ends = np.stack([np.zeros_like(reference), reference], axis=1)[:, :, ::-1]
    axes.add_collection(LineCollection(list(ends), colors=RULE, linewidths=1.0, zorder=1))
    axes.plot(0, 0, "o", color=INK, markersize=5, zorder=3)
    y, x = reference.T
    if modes.components == ("y", "x"):
        longest = np.linalg.norm(shape, axis=1).max()
        unit = ARROW * np.linalg.norm(reference, axis=1).min() / longest if longest > 0 else 0.0
        axes.plot(x, y, "o", color=SOFT, markersize=4, zorder=2)
        axes.quiver(
            x, y, unit * shape[:, 1], unit * shape[:, 0], angles="xy", scale_units="xy", scale=1.0, width=0.012,
            color=CLASSES[1], zorder=4,
        )  # fmt: skip
        size = f"rms {modes.amplitude[number]:.2g} {modes.unit}"
    else:
        strength = shape[:, 0]
        largest = np.abs(strength).max()
        area = 160 * np.abs(strength) / largest if largest > 0 else np.zeros(len(strength))
        colour = np.where(strength > 0, CLASSES[1], CLASSES[0])
        axes.scatter(x, y, s=area, c=colour, zorder=3)
        size = f"rms {100 * modes.amplitude[number]:.2g} %"
    axes.set_title(f"mode {number + 1}: {size}, p = {modes.p_value[number]:.2g}", fontsize=8.5, color=INK)
    axes.set_aspect("equal")
    axes.set_xlim(-1.5 * reach, 1.5 * reach)
    axes.set_ylim(1.5 * reach, -1.5 * reach)
    return bare(axes)


def draw_mode_split(axes: Axes, split: ModeSplit, *, number: int = 0) -> Axes:
    """Draw mean and spread of a mode's scores over the number of neighbours of a species.

    Dots are means with their standard errors, bands one standard deviation of the scores to either side.

    Parameters
    ----------
    axes
        Where to draw.
    split
        Scores by the number of neighbours.
    number
        Which mode, from 0.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    filled = split.count > 0
    n, mean, spread = split.n_neighbours[filled], split.mean[filled, number], split.spread[filled, number]
    axes.bar(n, 2 * spread, bottom=mean - spread, width=0.7, color=CLASSES[0], alpha=0.2, linewidth=0)
    axes.errorbar(
        n, mean, yerr=split.mean_error[filled, number], fmt="o", color=CLASSES[0], markersize=4, linewidth=1.2
    )
    axes.axhline(0, color=SOFT, linewidth=0.6)
    for place, count, top in zip(n, split.count[filled], mean + spread, strict=True):
        axes.annotate(
            str(count), (place, top), (0, 2), textcoords="offset points", ha="center", fontsize=6.5, color=SOFT
        )
    axes.set_xticks(split.n_neighbours)
    axes.set_xlabel(f"{split.species} among the neighbours")
    axes.set_ylabel(f"score of mode {number + 1}")
    axes.set_title(
        f"p = {split.p_mean[number]:.2g} (means), {split.p_spread[number]:.2g} (spreads)", fontsize=7.5, color=INK
    )
    return tidy(axes)


def draw_mode_map(
    axes: Axes, modes: NormalModes, *, number: int = 0, image: int = 0, radius: float | None = None
) -> Axes:
    """Draw the score of each centre as a dot on its place; blue is negative, red positive.

    Parameters
    ----------
    axes
        Where to draw, alone or over `draw_image`.
    modes
        The modes.
    number
        Which mode, from 0.
    image
        Which image, in the order in which they were given.
    radius
        Radius of a dot in the unit of the axes; 0.45 of the shortest neighbour distance when not given.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    here = modes.image == image
    position, score = modes.position[here], modes.score[here, number] if modes.score.shape[1] else np.zeros(here.sum())
    limit = float(np.quantile(np.abs(score), 0.98)) if len(score) else 1.0
    radius = radius or 0.45 * float(np.linalg.norm(modes.reference, axis=1).min())
    discs = circles(position, radius, axes, rasterized=len(position) > MOST_VECTOR_ATOMS)
    discs.set(array=score, cmap="RdBu_r", clim=(-limit, limit), linewidth=0)
    axes.add_collection(discs)
    if not len(axes.images):
        axes.set_aspect("equal")
        axes.autoscale_view()
        axes.invert_yaxis()
    return bare(axes)
