"""An image with its atoms, coloured by what they are and how sure that is."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from tusi.data import Atoms, length_unit_of, pixel_size_of
from tusi.plot.canvas import bare, circles
from tusi.plot.palette import CLASSES, SURE, species_map
from tusi.units import ANGSTROM

MOST_VECTOR_ATOMS = 5000
"""Atoms above which they are drawn as pixels instead of shapes."""

_DISPLAY_PIXELS = 900
_CONTRAST = (0.5, 99.7)


def draw_image(axes: Axes, grid: xr.DataArray) -> Axes:
    """Show an image in grey with a scale bar, axes in its length unit.

    The contrast runs from the 0.5th to the 99.7th percentile. Larger images are averaged to at most 900 pixels a side.

    Parameters
    ----------
    axes
        Where to draw.
    grid
        One image.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    values = grid.values.astype(np.float64)
    step = pixel_size_of(grid)
    y, x = (grid.coords[name].values for name in ("y", "x"))
    extent = (x[0] - step / 2, x[-1] + step / 2, y[-1] + step / 2, y[0] - step / 2)
    low, high = np.nanpercentile(values, _CONTRAST) if np.isfinite(values).any() else (0.0, 1.0)
    shown = np.clip((_averaged(values) - low) / (high - low if high > low else 1.0), 0, 1)
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="none")
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])
    _scale_bar(axes, abs(extent[1] - extent[0]), length_unit_of(grid))
    return bare(axes)


def draw_atoms(axes: Axes, atoms: Atoms, *, radius: float) -> Axes:
    """Draw a disc on each atom: its colour is the probability of the second species, its rim says undecided.

    With two species the colour runs from the one to the other, pale in between; with more, each has a colour of its own
    that fades with its probability. Atoms whose species was not inferred are drawn as small open circles.

    Parameters
    ----------
    axes
        Where to draw, usually over `draw_image`.
    atoms
        The atoms; positions in the unit of the axes.
    radius
        Radius of a disc, in the same unit.
    """
    known = np.isfinite(atoms.species_probability).all(axis=1) if atoms.species else np.zeros(len(atoms), bool)
    rasterized = len(atoms) > MOST_VECTOR_ATOMS
    if known.any():
        probability = atoms.species_probability[known]
        unsure = probability.max(axis=1) < SURE
        discs = circles(atoms.position[known], radius, axes, rasterized=rasterized)
        discs.set_facecolor(list(colours_of(probability)))
        discs.set_edgecolor(["#ffffff" if flag else "#00000055" for flag in unsure])
        discs.set_linewidth([1.4 if flag else 0.3 for flag in unsure])
        discs.set_gid("atoms")
        axes.add_collection(discs)
    if not known.all():
        rest = circles(atoms.position[~known], 0.55 * radius, axes, rasterized=rasterized)
        rest.set(facecolor="none", edgecolor="#ffffffaa", linewidth=0.5, gid="unclassified")
        axes.add_collection(rest)
    return axes


def draw_vacancies(axes: Axes, position: Float[np.ndarray, "site 2"], *, radius: float) -> Axes:
    """Draw a dashed ring on each empty site.

    Parameters
    ----------
    axes
        Where to draw.
    position
        (y, x) of the sites, in the unit of the axes.
    radius
        Radius of a ring, in the same unit.
    """
    if len(position):
        rings = circles(position, radius, axes, rasterized=False)
        rings.set(facecolor="none", edgecolor="#ffffff", linewidth=1.1, linestyle=(0, (2, 1.2)), gid="vacancies")
        axes.add_collection(rings)
    return axes


def colours_of(probability: Float[np.ndarray, "atom species"]) -> Float[np.ndarray, "atom 4"]:
    """Return the colour of each row of species probabilities.

    Examples
    --------
    >>> colours_of(np.array([[0.5, 0.5]])).shape
    (1, 4)
    """
    if probability.shape[1] == 2:
        return np.asarray(species_map()(probability[:, 1]))
    palette = np.array([to_rgba(CLASSES[k % len(CLASSES)]) for k in range(probability.shape[1])])
    best = probability.argmax(axis=1)
    colours = palette[best].copy()
    sure = probability.max(axis=1)[:, None]
    colours[:, :3] = sure * colours[:, :3] + (1 - sure)
    return colours


def _averaged(values: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "y x"]:
    """Return block means so that no side is longer than the display needs."""
    factor = int(np.ceil(max(values.shape) / _DISPLAY_PIXELS))
    if factor == 1:
        return values
    n_y, n_x = (size // factor for size in values.shape)
    return values[: n_y * factor, : n_x * factor].reshape(n_y, factor, n_x, factor).mean(axis=(1, 3))


def _scale_bar(axes: Axes, width: float, unit: str) -> None:
    """Draw a bar of a round length, about a fifth of the image."""
    exponent = np.floor(np.log10(width / 5))
    length = max((m * 10**exponent for m in (1, 2, 5) if m * 10**exponent <= width / 4), default=10**exponent)
    text = f"{length / 10:g} nm" if unit == ANGSTROM else f"{length:g} px"
    inset = axes.inset_axes((0.04, 0.035, length / width, 0.03))
    inset.set_axis_off()
    inset.add_patch(Rectangle((0, 0), 1, 0.55, facecolor="white", edgecolor="#00000088", linewidth=0.5))
    axes.annotate(
        text,
        (0.04 + length / width / 2, 0.062),
        xycoords="axes fraction",
        ha="center",
        va="bottom",
        color="white",
        fontsize=8.5,
        fontweight="bold",
        path_effects=[withStroke(linewidth=1.5, foreground="#000000aa")],
    )
