"""Cluster histograms against models and chance, with a small picture of each class under its bar."""

import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection

from tusi.generative import HamiltonianComparison
from tusi.plot.canvas import bare, tidy
from tusi.plot.palette import CLASSES, INK, RULE, SOFT, model_colour

_RING = {0: (0, 0, 0, 0, 0, 0), 1: (1, 0, 0, 0, 0, 0), 5: (1, 1, 1, 1, 1, 0), 6: (1, 1, 1, 1, 1, 1)}
_RING_OF = {
    (2, "o"): (1, 1, 0, 0, 0, 0),
    (2, "m"): (1, 0, 1, 0, 0, 0),
    (2, "p"): (1, 0, 0, 1, 0, 0),
    (3, "o"): (1, 1, 1, 0, 0, 0),
    (3, "m"): (1, 0, 1, 0, 1, 0),
    (3, "p"): (1, 1, 0, 1, 0, 0),
    (4, "o"): (0, 0, 1, 1, 1, 1),
    (4, "m"): (0, 1, 0, 1, 1, 1),
    (4, "p"): (0, 1, 1, 0, 1, 1),
}


def draw_clusters(axes: Axes, comparison: HamiltonianComparison, *, image: int, models: tuple[str, ...]) -> Axes:
    """Draw one image's cluster histogram: bars observed, a band for 95 % of random alloys, a mark per model.

    The vertical scale is the square root of the count, on which chance fluctuations have one size everywhere.

    Parameters
    ----------
    axes
        Where to draw.
    comparison
        The compared models.
    image
        Number of the image among `comparison.image_names`.
    models
        Models to mark.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    observed = comparison.observed[image]
    x = np.arange(len(observed))
    low, high = np.sqrt(comparison.null_low[image]), np.sqrt(comparison.null_high[image])
    axes.bar(x, np.sqrt(observed), width=0.62, color="#9aa0ab66", edgecolor="none", label="observed")
    axes.bar(
        x, high - low, bottom=low, width=0.86, facecolor="none", edgecolor=SOFT, linewidth=0.7, label="95 % of random"
    )
    shifts = np.linspace(-0.22, 0.22, len(models)) if len(models) > 1 else np.zeros(1)
    for shift, name in zip(shifts, models, strict=True):
        expected = comparison.expected[comparison.models.index(name), image]
        axes.plot(
            x + shift,
            np.sqrt(expected),
            linestyle="none",
            marker="o",
            markersize=3.0,
            markeredgewidth=0,
            color=model_colour(name),
            label=name,
        )
    axes.set_xlim(-0.7, len(x) - 0.3)
    top = max(float(high.max()), float(np.sqrt(observed.max())), 1.0)
    ticks = [t for t in (0, 1, 5, 20, 50, 100, 200, 400, 800, 1600) if np.sqrt(t) <= top * 1.05]
    axes.set_yticks(np.sqrt(ticks), [str(t) for t in ticks])
    axes.set_ylim(0, top * 1.08)
    axes.set_xticks([])
    axes.axvline(len(x) / 2 - 0.5, color=RULE, linewidth=0.8)
    return tidy(axes, grid="y")


def draw_cluster_classes(axes: Axes, labels: tuple[str, ...], *, species: tuple[str, ...]) -> Axes:
    """Draw the pattern of each class: a site in its ring of neighbours, in the colours of the species.

    Parameters
    ----------
    axes
        Where to draw, under `draw_clusters`.
    labels
        Labels of the classes.
    species
        (species that is not counted, species that is counted).
    """
    axes.set_xlim(-0.7, len(labels) - 0.3)
    axes.set_ylim(-0.95, 0.95)
    rings = [ring_of(label, species) for label in labels]
    angle = np.deg2rad(90 + 60 * np.arange(6))
    hexagon = np.concatenate([[[0.0, 0.0]], np.stack([np.cos(angle), np.sin(angle)], axis=1)])
    points, colours = [], []
    for x, ring in enumerate(rings):
        if ring is None:
            axes.annotate(labels[x], (x, 0), ha="center", va="center", rotation=90, fontsize=6, color=INK)
            continue
        points.append(hexagon * [0.31, 0.52] + [x, 0])
        colours += [CLASSES[value] for value in ring]
    if points:
        size = np.full(7 * len(points), 0.26)
        dots = EllipseCollection(
            size, size, np.zeros(len(size)), units="x", offsets=np.concatenate(points), offset_transform=axes.transData
        )
        dots.set(facecolor=colours, edgecolor="none")
        axes.add_collection(dots)
    return bare(axes)


def ring_of(label: str, species: tuple[str, ...]) -> tuple[int, ...] | None:
    """Return centre and ring of a class as zeros and ones; `None` when the label says nothing about them.

    Examples
    --------
    >>> ring_of("Re+2Re o", ("Mo", "Re"))
    (1, 1, 1, 0, 0, 0, 0)
    """
    match = re.fullmatch(r"(.+?)\+(\d)(.+?)(?: ([omp]))?", label)
    if match is None or match[1] not in species:
        return None
    centre, n_counted = species.index(match[1]), int(match[2])
    ring = _RING.get(n_counted) or _RING_OF.get((n_counted, match[4] or ""))
    return None if ring is None else (centre, *ring)
