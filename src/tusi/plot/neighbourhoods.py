"""Classes of neighbourhoods: which atom has which, what each looks like, and how many the evidence wants."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_rgba

from tusi.plot.canvas import bare, circles, tidy
from tusi.plot.palette import CLASSES, INK, RULE, SOFT
from tusi.structure.neighbourhoods import LocalCrystallography

_MORE = "#3a9a8f #c05a7e #6b6f2f #8a5a3c #2b4a6f #d99ac5 #7fb8d6 #a8c66c #6a3d7c #e8b04a #4d4d4d"
_COLOURS = (*CLASSES, *_MORE.split())
_ELLIPSE = 2.4477
"""Half-axes of the ellipse that holds 95 of 100 neighbours, in standard deviations along them."""

_MOST_VECTOR_ATOMS = 5000


def draw_neighbourhood_classes(axes: Axes, classes: LocalCrystallography, *, radius: float) -> Axes:
    """Draw a disc on each centre in the colour of its class, paler the less sure; open where it belongs to none.

    Parameters
    ----------
    axes
        Where to draw, usually over `draw_image`.
    classes
        The classes; positions in the unit of the axes.
    radius
        Radius of a disc, in the same unit.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    label = classes.label
    discs = circles(classes.position, radius, axes, rasterized=len(label) > _MOST_VECTOR_ATOMS)
    discs.set_gid("neighbourhood-classes")
    discs.set_facecolor(list(_faces(classes)))
    discs.set_edgecolor(["#00000055" if known else "#ffffffcc" for known in label >= 0])
    discs.set_linewidth([0.3 if known else 1.0 for known in label >= 0])
    axes.add_collection(discs)
    return axes


def draw_mean_neighbourhood(axes: Axes, classes: LocalCrystallography, number: int, *, magnify: float = 1.0) -> Axes:
    """Draw the mean neighbourhood of one class against that of all: dots, ellipses that hold 95 %, arrows.

    Grey rings are the mean of all neighbourhoods. A dot is the mean of the class, the paler the more often the slot is
    empty; an arrow leads to it from the ring.

    Parameters
    ----------
    axes
        Where to draw; y points down, as in the image.
    classes
        The classes.
    number
        Which class.
    magnify
        By how much displacements from the mean of all, and the ellipses, are drawn larger than they are.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    ring = classes.components.mean
    shift = np.nan_to_num(magnify * (classes.mean[number] - ring))
    colour = _COLOURS[number % len(_COLOURS)]
    reach = float(np.linalg.norm(ring, axis=1).max(initial=0.0)) or 1.0
    axes.scatter(0, 0, s=60, color=INK, zorder=3)
    axes.scatter(ring[:, 1], ring[:, 0], s=60, facecolor="none", edgecolor=SOFT, linewidth=0.8)
    dots = axes.scatter(*(ring + shift).T[::-1], s=42, zorder=3)
    dots.set_facecolor([(*to_rgba(colour)[:3], 1 - 0.85 * chance) for chance in classes.empty[number]])
    dots.set_edgecolor(colour)
    axes.add_collection(_ellipses(axes, ring + shift, magnify**2 * classes.spread[number], colour))
    for start, move in zip(ring, shift, strict=True):
        if np.linalg.norm(move) > 0.04 * reach:
            arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", (start + move)[::-1], start[::-1], arrowprops=arrow, zorder=4)
    axes.set_xlim(-1.45 * reach, 1.45 * reach)
    axes.set_ylim(1.45 * reach, -1.45 * reach)
    axes.set_aspect("equal")
    note = f", {magnify:g} x" if magnify != 1 else ""
    axes.set_title(f"class {number + 1}: {classes.fraction[number]:.0%}{note}", fontsize=9, color=colour)
    return bare(axes)


def draw_class_evidence(axes: Axes, classes: LocalCrystallography) -> Axes:
    """Draw the log-evidence of each number of classes that was tried, relative to one class.

    Parameters
    ----------
    axes
        Where to draw.
    classes
        The classes.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    number = np.arange(1, len(classes.log_evidence) + 1)
    best = int(np.argmax(classes.log_evidence))
    axes.axhline(0, color=RULE, linewidth=0.8)
    axes.plot(number, classes.log_evidence, "o-", color=SOFT, markersize=4, linewidth=1)
    axes.plot(number[best], classes.log_evidence[best], "o", color=CLASSES[0], markersize=7)
    axes.set_xticks(number)
    axes.set_xlabel("number of classes")
    axes.set_ylabel("log-evidence against one")
    return tidy(axes)


def _faces(classes: LocalCrystallography) -> Float[np.ndarray, "centre 4"]:
    """Return the colour of each centre: that of its class, mixed with white by what speaks against it."""
    palette = np.array([to_rgba(_COLOURS[k % len(_COLOURS)]) for k in range(classes.n_classes)])
    label = classes.label
    colour = palette[np.maximum(label, 0)].copy()
    sure = np.nan_to_num(classes.probability).max(axis=1)[:, None]
    colour[:, :3] = sure * colour[:, :3] + (1 - sure)
    colour[label < 0] = 0.0
    return colour


def _ellipses(
    axes: Axes, place: Float[np.ndarray, "slot 2"], covariance: Float[np.ndarray, "slot 2 2"], colour: str
) -> EllipseCollection:
    """Return the ellipses that hold 95 % of normal vectors with these means and covariances."""
    values, vectors = np.linalg.eigh(np.nan_to_num(covariance))
    width = 2 * _ELLIPSE * np.sqrt(np.maximum(values, 0.0))
    angle = np.degrees(np.arctan2(vectors[:, 0, 1], vectors[:, 1, 1]))
    return EllipseCollection(
        width[:, 1],
        width[:, 0],
        angle,
        units="xy",
        offsets=place[:, ::-1],
        offset_transform=axes.transData,
        facecolor=(*to_rgba(colour)[:3], 0.12),
        edgecolor=colour,
        linewidth=0.8,
        gid="spread",
    )
