"""Gridded data: plain `xarray.DataArray`s under one schema, checked once at the door.

Dimensions are a subset of `DIMS` in that order; each has a coordinate with `attrs["units"]`. `attrs` may hold
`fast_axis` ("x" or "y", the direction in which the probe scans a line), `scan_angle` (degrees) and `frame_time` (s).
"""

import numpy as np
import xarray as xr
from jaxtyping import Num

from tusi.errors import InputError
from tusi.units import ANGSTROM, LENGTH_UNITS, PIXEL

DIMS = ("frame", "cycle", "bias", "channel", "y", "x", "energy", "ky", "kx")
"""Every dimension a grid can have, in the order in which it has them."""

SCALE_TOLERANCE = 1e-3
"""Relative difference between the pixel sizes along y and x above which pixels are not square."""


def make_grid(
    values: Num[np.ndarray, "y x"], *, pixel_size: float | None = None, name: str = "image", fast_axis: str = "x"
) -> xr.DataArray:
    """Wrap one image as a grid.

    Parameters
    ----------
    values
        The image, in signal units, first axis downward.
    pixel_size
        Side of a pixel, in angstrom; `None` when unknown (lengths are then in pixels).
    name
        What to call it.
    fast_axis
        "x" or "y": the direction in which the probe scans a line.

    Returns
    -------
    xarray.DataArray
        A grid with dimensions (y, x).

    Raises
    ------
    InputError
        The image is not two-dimensional, or the pixel size is not a positive number.

    Examples
    --------
    >>> grid = make_grid(np.zeros((2, 3)), pixel_size=0.1)
    >>> pixel_size_of(grid), length_unit_of(grid)
    (0.1, 'angstrom')
    """
    if values.ndim != 2:
        raise InputError("values", expected="a two-dimensional image (y, x)", got=f"shape {values.shape}")
    if pixel_size is not None and not (np.isfinite(pixel_size) and pixel_size > 0):
        raise InputError("pixel_size", expected="a positive number of angstrom", got=str(pixel_size))
    scale, unit = (1.0, PIXEL) if pixel_size is None else (float(pixel_size), ANGSTROM)
    coordinates = {
        dim: xr.DataArray(np.arange(size) * scale, dims=dim, attrs={"units": unit})
        for dim, size in zip(("y", "x"), values.shape, strict=True)
    }
    return check_grid(xr.DataArray(values, coords=coordinates, name=name, attrs={"fast_axis": fast_axis}))


def check_grid(grid: xr.DataArray) -> xr.DataArray:
    """Return the grid unchanged if it follows the schema.

    Raises
    ------
    InputError
        Dimensions are unknown or out of order, or a coordinate or its unit is missing.

    Examples
    --------
    >>> check_grid(make_grid(np.zeros((2, 3)))).dims
    ('y', 'x')
    """
    dims = tuple(str(dim) for dim in grid.dims)
    if dims != tuple(dim for dim in DIMS if dim in dims):
        raise InputError("grid", expected=f"dimensions from {DIMS} in that order", got=str(dims))
    for dim in dims:
        if dim not in grid.coords or "units" not in grid.coords[dim].attrs:
            raise InputError(
                "grid", expected=f"a coordinate {dim!r} with attrs['units']", got="none", then="Use `make_grid`."
            )
    for dim in ("y", "x"):
        if dim in dims and grid.coords[dim].attrs["units"] not in LENGTH_UNITS:
            raise InputError(
                "grid", expected=f"{dim} in one of {LENGTH_UNITS}", got=repr(grid.coords[dim].attrs["units"])
            )
    return grid


def check_image(grid: xr.DataArray) -> xr.DataArray:
    """Return the grid unchanged if it is one image with square pixels and finite values.

    Raises
    ------
    InputError
        It is not two-dimensional, has non-square pixels, or holds NaN or infinite values.

    Examples
    --------
    >>> check_image(make_grid(np.zeros((2, 3)), pixel_size=0.1)).shape
    (2, 3)
    """
    check_grid(grid)
    if grid.dims != ("y", "x"):
        raise InputError(
            "grid",
            expected="one image with dimensions (y, x)",
            got=str(grid.dims),
            then="Select one, e.g. `grid.isel(frame=0)`.",
        )
    n_bad = int(np.count_nonzero(~np.isfinite(grid.values)))
    if n_bad:
        raise InputError(
            "grid",
            expected="finite values",
            got=f"{n_bad} NaN or infinite pixels",
            then="Fill or crop them first, for instance with `--region`.",
        )
    pixel_size_of(grid)
    return grid


def length_unit_of(grid: xr.DataArray) -> str:
    """Return the unit of the grid's y and x coordinates: "angstrom" or "pixel".

    Examples
    --------
    >>> length_unit_of(make_grid(np.zeros((2, 3))))
    'pixel'
    """
    return str(grid.coords["x"].attrs["units"])


def pixel_size_of(grid: xr.DataArray) -> float:
    """Return the side of a pixel, in the grid's length unit (1 where it has no scale).

    Raises
    ------
    InputError
        Pixels are not square.

    Examples
    --------
    >>> pixel_size_of(make_grid(np.zeros((2, 3)), pixel_size=0.25))
    0.25
    """
    steps = [
        (float(grid.coords[dim][-1]) - float(grid.coords[dim][0])) / (grid.sizes[dim] - 1)
        for dim in ("y", "x")
        if grid.sizes[dim] > 1
    ]
    if not steps:
        return 1.0
    if max(steps) > min(steps) * (1 + SCALE_TOLERANCE):
        raise InputError("grid", expected="square pixels", got=f"{steps[0]:g} x {steps[-1]:g}", then="Resample it.")
    return float(np.mean(steps)) if steps[0] != steps[-1] else steps[0]
