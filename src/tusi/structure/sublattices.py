"""The basis of a lattice: places in the cell that are filled, and sublattices that differ in brightness alone."""

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage

from tusi.structure.neighbours import first_shell
from tusi.structure.phases import LatticePhase

FEWEST_BINS, BINS_PER_RADIUS, BLUR = 48, 7, 0.3
"""Bins along a side of the folded cell, at least, and in the radius of a site; blur of its density, in radii."""

FEWEST_CONTRASTS = 24
"""Fewer columns with all their neighbours say nothing about alternation."""


def find_basis(
    phase: LatticePhase, weight: Float[np.ndarray, " atom"], *, radius: float, occupancy: float
) -> Float[np.ndarray, "basis 2"]:
    """Fold all atoms into one cell and return the places that are filled in enough cells, brightest first.

    Parameters
    ----------
    phase
        The lattice coordinates of the atoms.
    weight
        Importance of each atom.
    radius
        How far from the place an atom may lie, in the unit of the positions; sites are farther apart than this.
    occupancy
        Share of the cells in which the place must be filled.
    """
    coordinate, weight = phase.coordinate[phase.member], weight[phase.member]
    lengths = np.linalg.norm(phase.vectors, axis=1)
    n_bins = max(FEWEST_BINS, int(np.ceil(BINS_PER_RADIUS * lengths.max() / radius)))
    folded = np.floor((coordinate % 1.0) * n_bins).astype(int) % n_bins
    density = np.zeros((n_bins, n_bins))
    np.add.at(density, tuple(folded.T), weight)
    density = ndimage.gaussian_filter(density, BLUR * radius * n_bins / lengths, mode="wrap")
    n_cells = 0
    basis: list[np.ndarray] = []
    brightness: list[float] = []
    for peak in _peaks(density):
        centre = (peak + 0.5) / n_bins
        for _ in range(5):
            near, difference = _near(coordinate, centre, phase.vectors, radius=radius)
            if not near.any():
                break
            centre = (centre + np.average(difference[near], axis=0, weights=weight[near])) % 1.0
        n_filled = len(np.unique(np.round(coordinate[near] - centre), axis=0))
        n_cells = max(n_cells, n_filled)
        apart = all(_cell_distance(centre, other, phase.vectors) > radius for other in basis)
        if apart and n_filled >= occupancy * n_cells:
            basis.append(centre)
            brightness.append(float(np.median(weight[near])))
    order = np.argsort(brightness, kind="stable")[::-1]
    return np.array(basis)[order] if basis else np.empty((0, 2))


def _peaks(density: Float[np.ndarray, "row column"]) -> Int[np.ndarray, "peak 2"]:
    """Return the maxima of a periodic density, highest first."""
    highest = density == ndimage.maximum_filter(density, 5, mode="wrap")
    peaks = np.argwhere(highest & (density > 0))
    return peaks[np.argsort(-density[tuple(peaks.T)], kind="stable")]


def _near(
    coordinate: Float[np.ndarray, "atom 2"],
    centre: Float[np.ndarray, "2"],
    vectors: Float[np.ndarray, "2 2"],
    *,
    radius: float,
) -> tuple[np.ndarray, Float[np.ndarray, "atom 2"]]:
    """Return which atoms lie within a radius of a place in the cell, and by how much they miss it."""
    difference = coordinate - centre
    difference = difference - np.round(difference)
    return np.linalg.norm(difference @ vectors, axis=1) < radius, difference


def _cell_distance(
    first: Float[np.ndarray, "2"], second: Float[np.ndarray, "2"], vectors: Float[np.ndarray, "2 2"]
) -> float:
    difference = first - second
    return float(np.linalg.norm((difference - np.round(difference)) @ vectors))


def primitive_cell(
    basis: Float[np.ndarray, "basis 2"], vectors: Float[np.ndarray, "2 2"], *, tolerance: float
) -> Float[np.ndarray, "2 2"] | None:
    """Return the smaller cell (in lattice vectors) of which the basis is several copies, if there is one.

    Parameters
    ----------
    basis
        Places in the cell, in lattice vectors.
    vectors
        Lattice vectors as rows.
    tolerance
        How far from the translated place a site may lie, in the unit of the vectors.
    """
    shifts = []
    for shift in basis[1:] - basis[0]:
        away = basis[:, None] + shift - basis
        distance = np.linalg.norm((away - np.round(away)) @ vectors, axis=2)
        if distance.min(axis=1).max() < tolerance:
            shifts.append(shift - np.round(shift))
    n_copies = len(shifts) + 1
    generators = np.concatenate([np.rint(n_copies * np.array(shifts).reshape(-1, 2)) / n_copies, np.eye(2)])
    pairs = [generators[[i, j]] for j in range(len(generators)) for i in range(j)]
    cells = [pair for pair in pairs if abs(abs(np.linalg.det(pair)) * n_copies - 1) < 1e-6]
    return min(cells, key=lambda cell: float(np.linalg.norm(cell @ vectors)), default=None) if shifts else None


def doubled_cell(
    index: Int[np.ndarray, "atom 3"],
    intensity: Float[np.ndarray, " atom"],
    *,
    vectors: Float[np.ndarray, "2 2"],
    shares: tuple[float, float],
) -> Int[np.ndarray, "2 2"] | None:
    """Return the doubled cell (in lattice vectors) whose two sites explain the intensities, if there is one.

    Alternating bright and dim columns are two sublattices, not an alloy on one: the share of the variance of the
    intensities, or of the contrast to the neighbours, that the parity of row, column or their sum explains tells which.

    Parameters
    ----------
    index
        (row, column, basis site) of each atom.
    intensity
        Of each atom, in any unit.
    vectors
        Lattice vectors as rows, in any unit.
    shares
        Shares of the variance of intensities, and of that of contrasts, above which the cell is doubled.
    """
    if index[:, 2].any() or not np.isfinite(intensity).all() or np.var(intensity) == 0:
        return None
    row, column = index[:, 0] % 2, index[:, 1] % 2
    cells = {((2, 0), (0, 1)): row, ((1, 0), (0, 2)): column, ((1, 1), (1, -1)): (row + column) % 2}
    contrast = _contrast(index, intensity, vectors)
    inner = np.isfinite(contrast)
    for values, odd_of, threshold, fewest in (
        (intensity, cells, shares[0], 2),
        (contrast[inner], {cell: odd[inner] for cell, odd in cells.items()}, shares[1], FEWEST_CONTRASTS),
    ):
        explained = {
            cell: np.var(np.where(odd == 1, values[odd == 1].mean(), values[odd == 0].mean())) / np.var(values)
            for cell, odd in odd_of.items()
            if 0 < odd.sum() < len(odd) and np.var(values) > 0 and len(odd) >= fewest
        }
        best = max(explained, key=explained.__getitem__, default=None)
        if best is not None and explained[best] > threshold:
            return np.array(best)
    return None


def _contrast(
    index: Int[np.ndarray, "atom 3"], intensity: Float[np.ndarray, " atom"], vectors: Float[np.ndarray, "2 2"]
) -> Float[np.ndarray, " atom"]:
    """Return the logarithm of each atom's intensity over its lattice neighbours' mean; NaN where one is missing."""
    value = dict(zip(map(tuple, index[:, :2].tolist()), intensity.tolist(), strict=True))
    shell = first_shell(vectors)
    around = [
        np.mean([value.get((row + step[0], column + step[1]), np.nan) for step in shell]) for row, column in value
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        contrast = np.log(intensity) - np.log(around)
    return np.where(np.isfinite(contrast), contrast, np.nan)
