"""Maps of order parameters: what they are at each place, and where they differ from zero."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap

from tusi.data import Descriptors
from tusi.plot.canvas import bare, tidy
from tusi.plot.palette import CLASSES, INK, RULE, SOFT
from tusi.structure.order import Dimerised, HiddenDisplacements, PairDistribution, ShortRangeOrder

MOST_VECTOR_ROWS = 4000
"""Rows above which they are drawn as pixels instead of shapes."""

SIGNIFICANT = 1.96
"""Values below so many standard errors are drawn small."""

_SIGNED = LinearSegmentedColormap.from_list("signed", [CLASSES[0], "#f4f4f0", CLASSES[1]])


def draw_scalar(axes: Axes, table: Descriptors, *, name: str, limit: float | None = None) -> Axes:
    """Draw one column of a table where it was measured, on a scale that is even around zero, with its colour bar.

    Values within two standard errors of zero are drawn small, so that noise does not look like structure.

    Parameters
    ----------
    axes
        Where to draw; the axes take the table's length unit, y downward.
    table
        Descriptors of one image.
    name
        Which column.
    limit
        Value at the ends of the scale, in the column's unit; `None` takes the 98th percentile of the size.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    value, error = table.column(name), table.standard_error(name)
    known = np.isfinite(value)
    if limit is None:
        limit = float(np.percentile(np.abs(value[known]), 98)) if known.any() else 1.0
    sure = ~(np.abs(value) < SIGNIFICANT * error)
    y, x = table.position[known].T
    points = axes.scatter(
        x,
        y,
        c=value[known],
        s=np.where(sure[known], 22.0, 6.0),
        cmap=_SIGNED,
        vmin=-(limit or 1.0),
        vmax=limit or 1.0,
        edgecolor=INK,
        linewidth=0.15,
        rasterized=len(x) > MOST_VECTOR_ROWS,
    )
    unit = table.unit(name)
    bar = axes.figure.colorbar(points, ax=axes, shrink=0.8, aspect=24)
    bar.set_label(name.replace("_", " ") + ("" if unit == "1" else f" ({unit})"), color=INK)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    return _framed(axes)


def draw_displacements(axes: Axes, table: Descriptors, *, names: tuple[str, str], magnify: float) -> Axes:
    """Draw two columns of a table as arrows; those within their 95 % error ellipse are pale.

    Parameters
    ----------
    axes
        Where to draw, often over `draw_image`.
    table
        Descriptors of one image.
    names
        The columns that are the y and the x component.
    magnify
        Length of an arrow over that of the vector.
    """
    arrow = np.stack([table.column(name) for name in names], axis=1)
    known = np.isfinite(arrow).all(axis=1)
    chosen = table.select(names)
    with np.errstate(invalid="ignore"):
        inverse = np.full_like(chosen.covariance, np.nan)
        solid = known & np.isfinite(chosen.covariance).all(axis=(1, 2))
        inverse[solid] = np.linalg.inv(chosen.covariance[solid])
        square = np.einsum("ri,rij,rj->r", arrow, inverse, arrow)
    pale = known & (square < 5.991)
    for rows, colour, zorder in ((known & ~pale, CLASSES[1], 4), (pale, "#b9bac0", 3)):
        start, step = table.position[rows], magnify * arrow[rows]
        axes.quiver(
            *start.T[::-1],
            *step.T[::-1],
            angles="xy",
            scale_units="xy",
            scale=1,
            color=colour,
            width=0.0035,
            zorder=zorder,
            rasterized=len(start) > MOST_VECTOR_ROWS,
        )
    return _framed(axes)


def draw_dimerisation(axes: Axes, found: Dimerised, *, level: float = 0.01) -> Axes:
    """Draw the local amplitude of dimerisation, and a bar along the chains wherever the p-value is below the level.

    Parameters
    ----------
    axes
        Where to draw, often over `draw_image`.
    found
        What `dimerisation` returned.
    level
        Sites with a larger p-value are drawn as open circles.
    """
    position = found.table.position
    sure = found.p_value < level
    spacing = _spacing(position)
    angle = found.chain_angle[sure]
    half = 0.42 * spacing * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    ends = np.stack([position[sure] - half, position[sure] + half], axis=1)[:, :, ::-1]
    bars = LineCollection(list(ends), cmap="magma_r", linewidths=2.2, rasterized=len(ends) > MOST_VECTOR_ROWS)
    bars.set_array(found.amplitude[sure])
    bars.set_clim(0, float(np.percentile(found.amplitude[sure], 98)) if sure.any() else 1.0)
    axes.add_collection(bars)
    rest = np.isfinite(found.p_value) & ~sure
    axes.scatter(*position[rest].T[::-1], s=5, facecolor="none", edgecolor=SOFT, linewidth=0.6)
    if sure.any():
        bar = axes.figure.colorbar(bars, ax=axes, shrink=0.8, aspect=24)
        bar.set_label(f"amplitude ({found.table.length_unit})", color=INK)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    return _framed(axes)


def draw_hidden_displacements(axes: Axes, found: HiddenDisplacements) -> Axes:
    """Draw every local displacement as a point, the spread that errors explain, and the likeliest off-centre sites.

    Parameters
    ----------
    axes
        Where to draw; the axes take the length unit, y downward.
    found
        What `hidden_displacements` returned.
    """
    y, x = found.displacement.T
    axes.scatter(x, y, s=5, color=CLASSES[0], alpha=0.5, linewidth=0, rasterized=len(x) > MOST_VECTOR_ROWS)
    turn = np.linspace(0, 2 * np.pi, 120)
    root = np.linalg.cholesky(found.covariance.mean(axis=0))
    ellipse = 2.4477 * np.stack([np.sin(turn), np.cos(turn)], axis=1) @ root.T
    axes.plot(*ellipse.T[::-1], color=INK, linewidth=1, label="95 % of errors alone")
    best = found.sites.n_sites.index(found.sites.likeliest)
    if found.sites.likeliest > 1 and found.p_value < 0.05:
        angle = found.sites.angle[best] + 2 * np.pi * np.arange(found.sites.likeliest) / found.sites.likeliest
        radius = found.sites.radius[best]
        axes.scatter(
            radius * np.cos(angle), radius * np.sin(angle), marker="x", s=40, color=CLASSES[1], label="likeliest sites"
        )
    axes.set_aspect("equal")
    if not axes.yaxis_inverted():
        axes.invert_yaxis()
    axes.set_xlabel(f"displacement x ({found.length_unit})")
    axes.set_ylabel(f"displacement y ({found.length_unit})")
    axes.legend(frameon=False, fontsize=7, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return tidy(axes)


def draw_short_range_order(axes: Axes, order: ShortRangeOrder, *, species: tuple[str, str]) -> Axes:
    """Draw the Warren-Cowley parameter of a pair of species by shell, with its 95 % interval.

    Parameters
    ----------
    axes
        Where to draw.
    order
        What `short_range_order` returned.
    species
        The pair.
    """
    first, second = (order.species.index(name) for name in species)
    shell = np.arange(1, len(order.parameter) + 1)
    value, half = order.parameter[:, first, second], SIGNIFICANT * order.standard_error[:, first, second]
    axes.axhline(0, color=SOFT, linewidth=0.8)
    axes.errorbar(shell, value, half, fmt="o", color=CLASSES[0], capsize=3, linewidth=1)
    axes.set_xticks(shell)
    axes.set_xlabel("shell")
    axes.set_ylabel(f"Warren-Cowley parameter {species[0]}-{species[1]}")
    return tidy(axes, grid="y")


def draw_pair_distribution(axes: Axes, found: PairDistribution) -> Axes:
    """Draw g(r), total and between species, with bands of one standard error.

    Parameters
    ----------
    axes
        Where to draw.
    found
        What `pair_distribution` returned.
    """
    axes.axhline(1, color=RULE, linewidth=0.8)
    for k, name in enumerate(found.names):
        value, error = found.value[k], found.standard_error[k]
        colour = INK if k == 0 else CLASSES[(k - 1) % len(CLASSES)]
        axes.fill_between(found.radius, value - error, value + error, color=colour, alpha=0.2, linewidth=0)
        axes.plot(found.radius, value, color=colour, linewidth=1, label=name)
    axes.set_xlabel(f"distance ({found.length_unit})")
    axes.set_ylabel("g")
    axes.legend(frameon=False, fontsize=7)
    return tidy(axes)


def _framed(axes: Axes) -> Axes:
    """Make lengths equal along both axes, y downward."""
    axes.set_aspect("equal")
    if not axes.yaxis_inverted():
        axes.invert_yaxis()
    return bare(axes)


def _spacing(position: Float[np.ndarray, "row 2"]) -> float:
    """Return the typical distance between rows."""
    extent = np.ptp(position, axis=0) if len(position) else np.ones(2)
    return float(np.sqrt(np.prod(extent) / max(len(position), 1)))
