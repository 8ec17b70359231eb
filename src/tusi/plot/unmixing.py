"""Phases of an image: where they are, how sure that is, and what each looks like."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tusi.plot.canvas import bare, tidy
from tusi.plot.images import draw_image
from tusi.plot.palette import CLASSES, INK, PAPER, SOFT
from tusi.structure.unmixing import ImageUnmixing

_DECADES, _SHOWN_DECADES = 4.0, 3.0
_MOST_SHOWN = 6
_SIDE, _TITLE, _WIDE = 3.4, 0.15, 2.0


def draw_phase_map(axes: Axes, found: ImageUnmixing) -> Axes:
    """Draw each window in the colours of its phases, mixed by their abundances; hatched where no mixture explains it.

    Windows over an interface are bordered by a thin line.

    Parameters
    ----------
    axes
        Where to draw.
    found
        The phases of an image.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    mixture = found.mixture
    colour = np.array([to_rgb(CLASSES[k % len(CLASSES)]) for k in range(mixture.n_end_members)])
    shown = (mixture.abundance @ colour).reshape(*found.shape, 3)
    left, right, bottom, top = extent = _extent(found)
    axes.imshow(np.clip(shown, 0, 1), extent=extent, interpolation="nearest")
    y, x = (one.ravel() for one in np.meshgrid(found.y, found.x, indexing="ij"))
    side = 18.0 / max(found.shape) ** 0.5
    for rows, marker, name in ((mixture.mixed, ".", "mixed"), (mixture.unexplained, "x", "unexplained")):
        axes.scatter(x[rows], y[rows], s=side, marker=marker, c=PAPER, linewidths=0.8, label=name)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    return bare(axes)


def draw_end_member(axes: Axes, found: ImageUnmixing, number: int) -> Axes:
    """Draw the power spectrum of one phase, over four decades, frequency zero in the middle, as far as there are spots.

    Parameters
    ----------
    axes
        Where to draw.
    found
        The phases of an image.
    number
        Number of the phase.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    power = found.spectrum[number]
    highest = max(float(found.spectrum.max()), np.finfo(float).tiny)
    shown = np.log10(np.maximum(power / highest, 10.0**-_DECADES))
    y, x = (np.fft.fftshift(np.fft.fftfreq(n, found.pixel_size)) for n in power.shape)
    half_y, half_x = (0.5 / (n * found.pixel_size) for n in power.shape)
    extent = (x[0] - half_x, x[-1] + half_x, y[-1] + half_y, y[0] - half_y)
    axes.imshow(shown, cmap="magma", vmin=-_DECADES, vmax=0.0, extent=extent, interpolation="nearest", aspect="equal")
    row, column = np.nonzero(found.spectrum.max(axis=0) >= highest * 10.0**-_SHOWN_DECADES)
    reach = min(1.3 * float(max(np.abs(y[row]).max(), np.abs(x[column]).max())), 0.5 / found.pixel_size)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(reach, -reach)
    axes.set_ylabel("frequency")
    axes.set_xlabel(f"frequency (1/{'Å' if found.length_unit == 'angstrom' else 'pixel'})")
    tidy(axes).set_title(_title(found, number), color=CLASSES[number % len(CLASSES)])
    return axes


def draw_evidence(axes: Axes, found: ImageUnmixing) -> Axes:
    """Draw the log evidence of each number of phases relative to the best; open circles are ruled out.

    Parameters
    ----------
    axes
        Where to draw.
    found
        The phases of an image.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    mixture = found.mixture
    loss = -mixture.log_evidence
    possible = np.isfinite(loss)
    lowest = 10.0 * max(float(loss[possible].max()), 10.0)
    axes.plot(mixture.number[possible], loss[possible], "o-", color=INK, markersize=4, linewidth=0.9)
    if not possible.all():
        out = mixture.number[~possible]
        axes.plot(out, np.full(len(out), lowest), "o", color=SOFT, fillstyle="none", label="ruled out")
        axes.legend(loc="center right", frameon=False)
    axes.set_yscale("symlog", linthresh=1.0)
    axes.invert_yaxis()
    axes.set_xticks(mixture.number)
    axes.set_xlabel("number of phases")
    axes.set_ylabel("log evidence below the best")
    return tidy(axes, grid="y")


def draw_unmixing(figure: Figure, found: ImageUnmixing, *, grid: xr.DataArray) -> Figure:
    """Draw an image, its phases, the evidence for their number, and each phase as spectrum and as filtered image.

    Parameters
    ----------
    figure
        An empty figure.
    found
        The phases of the image.
    grid
        The image.

    Returns
    -------
    matplotlib.figure.Figure
        `figure`.
    """
    rows, heights = _arranged(found, grid)
    axes = figure.subplot_mosaic(rows, height_ratios=heights)
    draw_image(axes["image"], grid).set_title("image", color=INK)
    draw_phase_map(axes["map"], found).set_title("abundances\n· mixed   × unexplained", color=INK)
    draw_evidence(axes["evidence"], found)
    for k in range(_n_shown(found)):
        draw_end_member(axes[f"spectrum {k}"], found, k)
        explained = axes[f"explained {k}"]
        draw_image(explained, found.filtered(grid, k)).set_title(f"what phase {k + 1} explains", color=INK)
    return figure


def size_of_unmixing(found: ImageUnmixing, *, grid: xr.DataArray) -> tuple[float, float]:
    """Return width and height, in inches, of a figure that `draw_unmixing` fills well.

    Parameters
    ----------
    found
        The phases of the image.
    grid
        The image.
    """
    rows, heights = _arranged(found, grid)
    return _SIDE * len(rows[0]), _SIDE * sum(heights)


def _n_shown(found: ImageUnmixing) -> int:
    return min(found.mixture.n_end_members, _MOST_SHOWN)


def _arranged(found: ImageUnmixing, grid: xr.DataArray) -> tuple[list[Any], list[float]]:
    """Return which picture stands where, and the heights of the rows over a column's width."""
    n, height, width = _n_shown(found), grid.sizes["y"], grid.sizes["x"]
    spectra, explained = ([f"{name} {k}" for k in range(n)] for name in ("spectrum", "explained"))
    if width > _WIDE * height:
        pictures = ["image", "map", *explained]
        row = (n + 1) * height / width + _TITLE
        return [*([name] * (n + 1) for name in pictures), [*spectra, "evidence"]], [row] * len(pictures) + [1.0]
    tall = min(height / width, _WIDE) + _TITLE
    if n == 1:
        return [["image", "map", "explained 0"], ["spectrum 0", "evidence", "."]], [tall, 1.0]
    blank = ["."] * max(3 - n, 0)
    first = ["image", "map", "evidence", *["."] * max(n - 3, 0)]
    return [first, [*spectra, *blank], [*explained, *blank]], [tall, 1.0, tall]


def _title(found: ImageUnmixing, number: int) -> str:
    inside = int((found.mixture.inside == number).sum())
    return f"phase {number + 1}: {inside} of {len(found.mixture)} windows"


def _extent(found: ImageUnmixing) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of the map."""
    half_y, half_x = (0.5 * step * found.pixel_size for step in found.windows.strides)
    y, x = found.y, found.x
    return float(x[0] - half_x), float(x[-1] + half_x), float(y[-1] + half_y), float(y[0] - half_y)
