"""The shift of every row of one image, from the columns that each row cuts."""

import dataclasses
from typing import ClassVar

import numpy as np
import xarray as xr
from jaxtyping import Float

from tusi.data import NoiseModel, check_image
from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.finding.find import find_atoms
from tusi.numerics.row_shifts import add_row_shift_derivative
from tusi.numerics.spots import add_spots
from tusi.numerics.warping import shift_rows

CUTOFF = 4.0
"""Half side of a spot's window, in widths."""

LEAST_SHARE = 0.02
"""Patterns of shifts with less than this share of the best known one's information are left to the prior."""

N_ROUNDS = 40
"""Steps in which the size of the shifts is learned."""

LEAST_DEVIATION = 1e-4
"""Shifts smaller than this are none, in pixels."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RowJitter(Record):
    """Displacement of each row along the fast axis, in pixels.

    Attributes
    ----------
    shift
        By how much each row was recorded too far along x.
    variance
        Of each shift, after the image was seen.
    deviation
        Root mean square of the shifts before, learned from the image.
    """

    format_name: ClassVar[str] = "row_jitter"
    row: ClassVar[str] = "scan_row"

    shift: Float[np.ndarray, " scan_row"] = array("scan_row")
    variance: Float[np.ndarray, " scan_row"] = array("scan_row")
    deviation: float

    def undo(self, grid: xr.DataArray) -> xr.DataArray:
        """Return the image with every row moved to where it was recorded, by cubic splines along the rows."""
        return grid.copy(data=shift_rows(np.asarray(grid.values, dtype=np.float64), self.shift))


def estimate_row_jitter(grid: xr.DataArray, *, noise: NoiseModel | None = None) -> RowJitter:
    """Estimate the shift of every row of one image from its atomic columns.

    `find_atoms` fits the columns; what is left in each row is compared with the slope of the fitted image. A column
    that moves takes its rows along, so that part of the information on the rows' shifts is gone into the positions;
    with what remains, the shifts have a normal posterior whose prior is learned (empirical Bayes). Assumes that
    rows shift independently and columns are straight: a shift that all rows of a line of columns share cannot be told
    from a displacement of these columns, and is not found.

    Parameters
    ----------
    grid
        One image with bright columns and fast axis x.
    noise
        The noise of its pixels; `None` to estimate it from the image.

    Returns
    -------
    RowJitter
        The shifts; zero with the prior's variance where an image has no columns.

    Raises
    ------
    InputError
        The grid is not one finite image with fast axis x.

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> y, x = np.mgrid[:64, :64]
    >>> shift = np.zeros((64, 1))
    >>> shift[30] = 1.0
    >>> spots = sum(np.exp(-((y - 30) ** 2 + (x + shift - b) ** 2) / 18.0) for b in (14, 32, 50))
    >>> jitter = estimate_row_jitter(make_grid(1000 * spots), noise=NoiseModel(gain=0.0, read_variance=1.0))
    >>> int(np.argmax(jitter.shift))
    30
    """
    check_image(grid)
    if grid.attrs.get("fast_axis", "x") != "x":
        raise InputError("grid", expected="fast_axis 'x'", got="'y'", then="Transpose y and x.")
    finding = find_atoms(grid, noise=noise)
    n_rows = grid.sizes["y"]
    if not len(finding.atoms):
        return RowJitter(shift=np.zeros(n_rows), variance=np.zeros(n_rows), deviation=0.0)
    width = finding.spot_width
    step = float(grid.coords["y"][1] - grid.coords["y"][0])
    origin = np.array([float(grid.coords["y"][0]), float(grid.coords["x"][0])])
    position = (finding.atoms.position - origin) / step
    amplitude = finding.atoms.intensity / (2 * np.pi * width**2)
    spots = (np.ascontiguousarray(position), amplitude, width, CUTOFF * width)
    model = np.array(finding.background.values, dtype=np.float64)
    add_spots(model, *spots)
    slope = np.zeros_like(model)
    add_row_shift_derivative(slope, *spots)
    weight = 1 / np.maximum(finding.noise.variance(model), np.finfo(np.float64).tiny)
    weight /= max(finding.reduced_chi_square, 1.0) * finding.noise.correlation_area
    gradient = -(weight * slope * (grid.values - model)).sum(axis=1)
    return _posterior(_information(weight * slope, slope, spots), gradient)


def _information(weighted: np.ndarray, slope: np.ndarray, spots: tuple) -> Float[np.ndarray, "row row_"]:
    """Return the information on the rows' shifts that the columns' own positions leave."""
    position, _, _, radius = spots
    information = np.diag((weighted * slope).sum(axis=1))
    low = np.maximum(np.ceil(position - radius), 0).astype(np.int64)
    high = np.minimum(np.floor(position + radius) + 1, slope.shape).astype(np.int64)
    for (top, left), (bottom, right) in zip(low, high, strict=True):
        shared = (weighted[top:bottom, left:right] * slope[top:bottom, left:right]).sum(axis=1)
        if shared.sum() > 0:
            information[top:bottom, top:bottom] -= np.outer(shared, shared) / shared.sum()
    return information


def _posterior(information: np.ndarray, gradient: np.ndarray) -> RowJitter:
    """Return the shifts' posterior at the prior deviation at which it is its own answer (MacKay's fixed point)."""
    value, vectors = np.linalg.eigh(information)
    known = value > LEAST_SHARE * value.max()
    value, along = np.where(known, value, 0.0), np.where(known, vectors.T @ gradient, 0.0)
    deviation = 0.1
    for _ in range(N_ROUNDS):
        posterior = 1 / (value + 1 / deviation**2)
        determined = float((value * posterior).sum())
        squares = float(((posterior * along) ** 2).sum())
        deviation = max(np.sqrt(squares / max(determined, 1e-9)), LEAST_DEVIATION)
    posterior = 1 / (value + 1 / deviation**2)
    return RowJitter(shift=vectors @ (posterior * along), variance=(vectors**2) @ posterior, deviation=float(deviation))
