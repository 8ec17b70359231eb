"""The registered lattice: its rows and columns, its border, its holes."""

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from tusi.data import Lattice
from tusi.plot.canvas import bare
from tusi.plot.palette import CLASSES, INK, SOFT

MOST_VECTOR_SITES = 4000
"""Sites above which they are drawn as pixels instead of shapes."""

_DOMAINS = ("#2f7cc4", "#4a9a5b", "#9a6fc0", "#b8902a", "#3a9a8f", "#c05a7e")


def draw_lattice(axes: Axes, lattice: Lattice) -> Axes:
    """Draw lines along rows and columns, inner sites filled, border sites open, vacancies as rings.

    Parameters
    ----------
    axes
        Where to draw; the axes take the lattice's length unit, y downward.
    lattice
        Sites of one image.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    rasterized = len(lattice) > MOST_VECTOR_SITES
    for step, width in (((0, 1), 0.75), ((1, 0), 0.4)):
        lines = LineCollection(
            list(lattice.position[_steps(lattice, step)][:, :, ::-1]),
            colors=SOFT,
            linewidths=width,
            alpha=0.8,
            rasterized=rasterized,
        )
        axes.add_collection(lines)
    vacancy = lattice.vacant
    for domain in np.unique(lattice.domain):
        colour = _DOMAINS[int(domain) % len(_DOMAINS)]
        for basis in np.unique(lattice.index[:, 2]):
            here = (lattice.domain == domain) & (lattice.index[:, 2] == basis) & ~vacancy
            size = 7.0 if basis == 0 else 2.5
            for mask, face in ((here & ~lattice.boundary, colour), (here & lattice.boundary, "none")):
                y, x = lattice.position[mask].T
                axes.scatter(
                    x, y, s=size, facecolor=face, edgecolor=colour, linewidth=0.6, rasterized=rasterized, zorder=3
                )
    y, x = lattice.position[vacancy].T
    axes.scatter(x, y, s=26, facecolor="none", edgecolor=CLASSES[1], linewidth=1.1, zorder=4)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    return bare(axes)


def draw_vectors(axes: Axes, lattice: Lattice) -> Axes:
    """Draw the two lattice vectors of the first domain, from the site nearest to its middle.

    Parameters
    ----------
    axes
        Where to draw, over `draw_lattice`.
    lattice
        Sites of one image.
    """
    if not len(lattice.vectors) or not len(lattice):
        return axes
    main = (lattice.domain == 0) & (lattice.index[:, 2] == 0)
    sites = lattice.position[main]
    start = sites[np.argmin(((sites - sites.mean(axis=0)) ** 2).sum(axis=1))]
    for name, vector in zip(("a", "b"), lattice.vectors[0], strict=True):
        end = start + 2 * vector
        axes.annotate(
            "",
            end[::-1],
            start[::-1],
            arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0},
            zorder=5,
        )
        axes.annotate(f"2{name}", (start + 2.45 * vector)[::-1], ha="center", va="center", color=INK, fontsize=9)
    return axes


def _steps(lattice: Lattice, step: tuple[int, int]) -> Int[np.ndarray, "bond 2"]:
    """Return pairs of sites of the first sublattice that are one such step apart in the same domain."""
    rows = np.flatnonzero(lattice.index[:, 2] == 0)
    label = np.column_stack([lattice.domain[rows], lattice.index[rows, :2]])
    place = {tuple(row): site for site, row in zip(rows.tolist(), label.tolist(), strict=True)}
    pairs = [
        (site, other)
        for (domain, row, column), site in place.items()
        if (other := place.get((domain, row + step[0], column + step[1]))) is not None
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
