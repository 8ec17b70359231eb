"""Cluster histograms against models and chance, with a small picture of each class under its bar."""

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection

from tusi.errors import InputError
from tusi.generative.results import HamiltonianComparison
from tusi.numerics.symmetry import ring_classes
from tusi.plot.canvas import bare, tidy
from tusi.plot.palette import CLASSES, RULE, SOFT, model_colour


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
    ticks = _ticks(top)
    axes.set_yticks(np.sqrt(ticks), [str(t) for t in ticks])
    axes.set_ylim(0, top * 1.08)
    axes.set_xticks([])
    axes.axvline(len(x) / 2 - 0.5, color=RULE, linewidth=0.8)
    return tidy(axes, grid="y")


def _ticks(top: float) -> list[int]:
    """Return round counts whose square roots keep a distance."""
    ticks = [0]
    for count in (1, 2, 5, 10, 20, 50, 100, 200, 400, 800, 1600, 3200):
        if np.sqrt(ticks[-1]) + 0.12 * top < np.sqrt(count) <= 1.05 * top:
            ticks.append(count)
    return ticks


def draw_cluster_classes(axes: Axes, n_classes: int) -> Axes:
    """Draw the pattern of each class: a site in its ring of neighbours, in the colours of the two species.

    Parameters
    ----------
    axes
        Where to draw, under `draw_clusters`.
    n_classes
        26 for rings of six, 12 for rings of four.
    """
    axes.set_xlim(-0.7, n_classes - 0.3)
    axes.set_ylim(-0.85, 0.85)
    states = class_states(n_classes)
    angle = np.deg2rad(90 + 360 / (states.shape[1] - 1) * np.arange(states.shape[1] - 1))
    cluster = np.concatenate([[[0.0, 0.0]], np.stack([np.cos(angle), np.sin(angle)], axis=1)]) * [0.3, 0.55]
    offsets = (cluster[None] + np.stack([np.arange(n_classes), np.zeros(n_classes)], axis=1)[:, None]).reshape(-1, 2)
    size = np.full(len(offsets), 0.25)
    dots = EllipseCollection(
        size, size, np.zeros(len(size)), units="x", offsets=offsets, offset_transform=axes.transData
    )
    dots.set(facecolor=[CLASSES[value] for value in states.ravel()], edgecolor="none")
    axes.add_collection(dots)
    return bare(axes)


def class_states(n_classes: int) -> Int[np.ndarray, "class site"]:
    """Return one state of each class: centre first, then the ring in cyclic order.

    Raises
    ------
    InputError
        No ring of four or six sites has so many classes.

    Examples
    --------
    >>> class_states(26)[3].tolist()
    [0, 1, 0, 1, 0, 0, 0]
    """
    for n_ring in (6, 4):
        classes = ring_classes(n_ring)
        if len(classes) == n_classes:
            _, first = np.unique(classes.class_of, return_index=True)
            return first[:, None] >> np.arange(n_ring + 1) & 1
    raise InputError("n_classes", expected="26 or 12", got=str(n_classes))
