"""The Delaunay triangulation of atoms and its dual, the Voronoi cells: edges, borders and areas."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import spatial

FLAT = 1e-9
"""Atoms this much narrower than long, together, lie on a line."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Tessellation:
    """Edges of the Delaunay triangulation, each once, and the Voronoi cells of the atoms.

    Attributes
    ----------
    pair
        The two atoms of each edge.
    length
        Length of the edge.
    border
        Length of the border that the Voronoi cells of the two atoms share; infinite on the hull.
    middle
        (y, x) of the middle of that border; NaN on the hull.
    area
        Area of the Voronoi cell of each atom.
    bounded
        Whether the cell of the atom is closed, and inside the triangulation.
    """

    pair: Int[np.ndarray, "edge 2"]
    length: Float[np.ndarray, " edge"]
    border: Float[np.ndarray, " edge"]
    middle: Float[np.ndarray, "edge 2"]
    area: Float[np.ndarray, " atom"]
    bounded: Bool[np.ndarray, " atom"]


def tessellate(position: Float[np.ndarray, "atom 2"]) -> Tessellation:
    """Triangulate finite positions; atoms on a line are joined to the next on either side.

    Parameters
    ----------
    position
        (y, x), finite.

    Examples
    --------
    >>> y, x = np.mgrid[:4, :4] * 2.0
    >>> cells = tessellate(np.stack([y.ravel(), x.ravel()], axis=1))
    >>> int(cells.bounded.sum()), cells.area[cells.bounded].tolist()
    (4, [4.0, 4.0, 4.0, 4.0])
    """
    n_atoms = len(position)
    order = _along_line(position)
    if order is not None:
        pair = np.stack([order[:-1], order[1:]], axis=1)
        return Tessellation(
            pair=pair,
            length=np.linalg.norm(position[pair[:, 0]] - position[pair[:, 1]], axis=1),
            border=np.full(len(pair), np.inf),
            middle=np.full((len(pair), 2), np.nan),
            area=np.full(n_atoms, np.nan),
            bounded=np.zeros(n_atoms, bool),
        )
    origin = position.mean(axis=0)
    triangulation = spatial.Delaunay(position - origin)
    corner = triangulation.simplices.astype(np.int64)
    triangle = np.arange(len(corner))
    opposite = triangulation.neighbors
    pairs, borders, middles = [], [], []
    centre = _circumcentres(position[corner] - origin)
    for k in range(3):
        across = opposite[:, k]
        once = (across < 0) | (across > triangle)
        pairs.append(corner[once][:, [(k + 1) % 3, (k + 2) % 3]])
        here, there = centre[once], centre[across[once]]
        outside = across[once] < 0
        borders.append(np.where(outside, np.inf, np.linalg.norm(here - there, axis=1)))
        middles.append(np.where(outside[:, None], np.nan, origin + (here + there) / 2))
    pair = np.concatenate(pairs)
    border = np.concatenate(borders)
    area = _cell_areas(position[corner] - origin, corner, n_atoms)
    bounded = np.bincount(corner.ravel(), minlength=n_atoms) > 0
    bounded[pair[np.isinf(border)].ravel()] = False
    return Tessellation(
        pair=pair,
        length=np.linalg.norm(position[pair[:, 0]] - position[pair[:, 1]], axis=1),
        border=border,
        middle=np.concatenate(middles),
        area=np.where(bounded, area, np.nan),
        bounded=bounded,
    )


def inside_hull(
    place: Float[np.ndarray, "place 2"], position: Float[np.ndarray, "atom 2"]
) -> Bool[np.ndarray, " place"]:
    """Return which places lie inside the convex hull of atoms; none where the atoms lie on a line.

    Parameters
    ----------
    place, position
        (y, x), finite.

    Examples
    --------
    >>> inside_hull(np.array([[0.4, 0.4], [2.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).tolist()
    [True, False]
    """
    if _along_line(position) is not None:
        return np.zeros(len(place), bool)
    planes = spatial.ConvexHull(position).equations
    inside = np.ones(len(place), bool)
    for plane in planes:
        inside &= place @ plane[:2] + plane[2] <= 0
    return inside


def _along_line(position: Float[np.ndarray, "atom 2"]) -> Int[np.ndarray, " atom"] | None:
    """Return the order of the atoms along a line, or `None` where they do not lie on one."""
    if len(position) < 2:
        return np.arange(len(position))
    centred = position - position.mean(axis=0)
    width, directions = np.linalg.eigh(centred.T @ centred)
    if width[0] > FLAT**2 * width[1]:
        return None if len(position) > 2 else np.arange(2)
    return np.argsort(centred @ directions[:, 1], kind="stable")


def _circumcentres(corner: Float[np.ndarray, "triangle 3 2"]) -> Float[np.ndarray, "triangle 2"]:
    one, other = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    twice_area = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    square_one, square_other = (one**2).sum(axis=1), (other**2).sum(axis=1)
    offset = np.stack(
        [
            other[:, 1] * square_one - one[:, 1] * square_other,
            one[:, 0] * square_other - other[:, 0] * square_one,
        ],
        axis=1,
    )
    return corner[:, 0] + offset / (2 * _away_from_zero(twice_area))[:, None]


def _cell_areas(
    place: Float[np.ndarray, "triangle 3 2"], corner: Int[np.ndarray, "triangle 3"], n_atoms: int
) -> Float[np.ndarray, " atom"]:
    """Sum what each triangle adds to the Voronoi cells of its corners: an eighth of squared side times cotangent."""
    area = np.zeros(n_atoms)
    for k in range(3):
        one, other = place[:, (k + 1) % 3] - place[:, k], place[:, (k + 2) % 3] - place[:, k]
        cross = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
        share = ((one - other) ** 2).sum(axis=1) * (one * other).sum(axis=1) / (8 * _away_from_zero(cross))
        area += np.bincount(corner[:, (k + 1) % 3], share, minlength=n_atoms)
        area += np.bincount(corner[:, (k + 2) % 3], share, minlength=n_atoms)
    return area


def _away_from_zero(value: Float[np.ndarray, " triangle"]) -> Float[np.ndarray, " triangle"]:
    least = 1e-12 * np.abs(value).max(initial=1e-300)
    return np.where(np.abs(value) < least, np.where(value < 0, -least, least), value)
