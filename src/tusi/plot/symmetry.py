"""Plane groups: their probabilities in a window, where on the image each is probable, how large a window must be."""

import numpy as np
from matplotlib.axes import Axes

from tusi.data.descriptors import Descriptors
from tusi.errors import InputError
from tusi.plot.canvas import bare, tidy
from tusi.plot.palette import INK, RULE, SOFT
from tusi.structure.symmetry.alternatives import AlternativePosterior
from tusi.structure.symmetry.posterior import SymmetryPosterior
from tusi.structure.symmetry.resolution import DECISIVE, WindowSizes

POSTERIOR = "#2f7cc4"
"""Colour of what is believed after the data."""

GROUP_COLOURS = (
    "#2f7cc4",
    "#e0633a",
    "#4a9a5b",
    "#9a6fc0",
    "#b8902a",
    "#3a9a8f",
    "#c05a7e",
    "#6d7f2e",
)
"""Colours of rivals one after the other, the closest first."""

COLOUR_OF_GROUP = {
    "p1": "#8f93a1",
    "p2": "#c79a1e",
    "pm": "#f08a72",
    "pg": "#a65e2e",
    "cm": "#e0633a",
    "pmm": "#c05a7e",
    "pmg": "#8a3f63",
    "pgg": "#d99ac5",
    "cmm": "#9c2f2a",
    "p4": "#a8c66c",
    "p4m": "#4a9a5b",
    "p4g": "#2b6b3f",
    "p3": "#7fb8d6",
    "p3m1": "#2f7cc4",
    "p31m": "#3a9a8f",
    "p6": "#9a6fc0",
    "p6m": "#4b3f9c",
}
"""Colour of each plane group, the same in the maps of all images."""


def draw_groups(axes: Axes, posterior: SymmetryPosterior | AlternativePosterior) -> Axes:
    """Draw the probability of each group or alternative as a bar, and a mark where it stood before the data.

    Parameters
    ----------
    axes
        Where to draw.
    posterior
        Probabilities of the plane groups, or of declared alternatives.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    names = posterior.groups if isinstance(posterior, SymmetryPosterior) else posterior.names
    place = np.arange(len(names))
    axes.bar(place, posterior.probability, width=0.72, color=POSTERIOR, label="posterior")
    axes.hlines(posterior.prior, place - 0.42, place + 0.42, color=INK, linewidth=1.1, label="prior")
    axes.set_xticks(place, labels=list(names), rotation=60 if len(names) > 6 else 0)
    axes.set_xlim(-0.7, len(names) - 0.3)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("probability")
    axes.legend(frameon=False, loc="upper left", labelcolor=INK)
    return tidy(axes, grid="y")


def draw_symmetry_map(axes: Axes, table: Descriptors, *, group: str | None = None, size: float = 60.0) -> Axes:
    """Draw a map of symmetry: the most probable group of each window, or the probability of one group.

    A window is a square; where several groups compete it is pale, as its opacity is the probability that is drawn. A
    window that no structure explains is left out.

    Parameters
    ----------
    axes
        Where to draw, over `draw_image` or on empty axes; positions in the length unit of the map.
    table
        What `tusi.structure.symmetry.map_symmetry` returned.
    group
        A plane group; by default the most probable group of each window.
    size
        Area of a square, in points squared.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    groups = table.names[:-2]
    if group is not None and group not in groups:
        raise InputError("group", expected=f"one of {', '.join(groups)}", got=repr(group))
    explained = np.isfinite(table.select(groups).value).all(axis=1)
    probability, place = table.select(groups).value[explained], table.position[explained]
    best = probability.argmax(axis=1) if group is None else np.full(len(probability), groups.index(group))
    shown = [int(k) for k in np.argsort(-np.bincount(best, minlength=len(groups)), kind="stable")]
    for k in shown:
        here = best == k
        if not here.any():
            continue
        colour = COLOUR_OF_GROUP[groups[k]]
        y, x = place[here].T
        opacity = np.clip(probability[here, k], 0.0, 1.0)
        axes.scatter(x, y, s=size, marker="s", color=colour, alpha=opacity, linewidth=0)
        axes.scatter([], [], s=30, marker="s", color=colour, linewidth=0, label=groups[k])
    axes.set_aspect("equal")
    if axes.get_ylim()[0] < axes.get_ylim()[1]:
        axes.invert_yaxis()
    if len(probability):
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0), labelcolor=INK)
    return bare(axes)


def draw_window_sizes(axes: Axes, sizes: WindowSizes) -> Axes:
    """Draw the expected log odds of the true group against its closest rivals over the number of cells of the window.

    In the band odds are below 20 to 1.

    Parameters
    ----------
    axes
        Where to draw.
    sizes
        Expected odds.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    closest = np.argsort(sizes.log_odds.min(axis=0), kind="stable")[: len(GROUP_COLOURS)]
    for colour, k in zip(GROUP_COLOURS, closest, strict=False):
        label = f"against {sizes.rivals[k]}"
        axes.plot(
            sizes.n_cells, sizes.log_odds[:, k], color=colour, linewidth=1.4, marker="o", markersize=3, label=label
        )
    axes.axhline(0.0, color=SOFT, linewidth=0.7)
    axes.axhspan(-DECISIVE, DECISIVE, color=RULE, alpha=0.5, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=10)
    axes.set_xlabel("cells in the window")
    axes.set_ylabel(f"expected log odds of {sizes.group}")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0), labelcolor=INK)
    return tidy(axes, grid="y")
