"""The one door for images: `read` returns a grid whatever the format, and says what it had to assume."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from tusi.data.grid import DIMS, SCALE_TOLERANCE, check_grid
from tusi.errors import InputError, MetadataWarning
from tusi.io import colour, limits
from tusi.io.axes import assumed, coordinate, length_in_angstrom, name_dims
from tusi.io.door import Opened, check_numbers, choose, opened
from tusi.io.stored import COLOUR, Axis, Stored
from tusi.units import ANGSTROM, PIXEL

Region = tuple[int, int, int, int]
"""(y0, y1, x0, x1) in pixels: first row, row after the last, first column, column after the last."""

NO_SCALE_NOTE = "The file states no pixel size: lengths are in pixels. Set `pixel_size` (angstrom; `--pixel-size`)."


def read(
    path: str | os.PathLike,
    *,
    pixel_size: float | None = None,
    dataset: str | None = None,
    region: Region | None = None,
    max_bytes: int | None = None,
) -> xr.DataArray:
    """Read an image, a stack or a spectrum image from a file as a grid.

    The format is recognised by the first bytes, whatever the suffix says. Values become float64; the pixel size comes
    from the format's own metadata; a resolution in dots per inch is a print setting and is ignored. Displays with
    colour channels or a palette become intensity. Everything that had to be assumed is given as a `MetadataWarning`
    and, in the same words, in `attrs["warnings"]`. Headers are checked against the size of the file and against
    `max_bytes` before memory is allocated; nothing in a file is ever unpickled, evaluated or followed elsewhere.

    Parameters
    ----------
    path
        The file, or the folder of a Zarr store.
    pixel_size
        Side of a pixel, in angstrom; overrides what the file states.
    dataset
        Name of the data set inside the file, where it holds several.
    region
        (y0, y1, x0, x1), in pixels: read only this window. Coordinates remain those of the whole image. TIFF
        (uncompressed), NPY, MRC, HDF5 and Zarr files are read in that window alone, however large they are.
    max_bytes
        Memory that the reading may take, in bytes; by default a quarter of the physical memory.

    Returns
    -------
    xarray.DataArray
        A grid under the schema of `tusi.data.grid`. `attrs` holds `source_format`, `source_dataset`, `stored_dtype`,
        `display` (1 for grey levels made for the eye), `display_bits` (8 for an 8-bit display; absent where the stored
        numbers are not grey levels), `fast_axis`, and `warnings` where there are any.

    Raises
    ------
    InputError
        The path cannot be read, is nothing known, is truncated or corrupt, needs an extra that is not installed, holds
        no image, or would need more memory than `max_bytes`.

    Warns
    -----
    MetadataWarning
        The pixel size is missing, contradicted or not square; the suffix is wrong; channels were combined; one of
        several data sets was chosen.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "image.npy"
    ...     np.save(path, np.ones((4, 5)))
    ...     grid = read(path, pixel_size=0.1)
    >>> grid.dims, grid.shape, grid.x.attrs["units"]
    (('y', 'x'), (4, 5), 'angstrom')
    """
    limit = limits.default_max_bytes() if max_bytes is None else int(max_bytes)
    with opened(Path(path)) as file:
        stored, notes = choose(file.contents, dataset)
        check_numbers(stored)
        dims = name_dims(stored.signal_axes)
        window = _window(stored, dims, region)
        _check_memory(stored, window, limit)
        values, colour_notes = _intensity(stored, stored.load(window))
    notes = (*file.notes, *stored.notes, *notes, *colour_notes, *assumed(stored.signal_axes, dims))
    grid, scale_notes = _grid(file, stored, values, dims=dims, window=window, pixel_size=pixel_size)
    return _with_notes(grid, (*notes, *scale_notes))


def _window(stored: Stored, dims: Sequence[str], region: Region | None) -> tuple[slice, ...]:
    """Return one slice for each stored axis, colour included."""
    wanted = {}
    if region is not None:
        if len(region) != 4 or not all(isinstance(bound, int | np.integer) for bound in region):
            raise InputError("region", expected="four whole numbers (y0, y1, x0, x1)", got=str(region))
        wanted = {"y": (int(region[0]), int(region[1])), "x": (int(region[2]), int(region[3]))}
        if not {"y", "x"} <= set(dims):
            raise InputError("region", expected="data with dimensions y and x", got=str(tuple(dims)))
    remaining = iter(dims)
    slices = []
    for axis in stored.axes:
        dim = None if axis.name == COLOUR else next(remaining)
        start, stop = wanted.get(dim or "", (0, axis.size))
        if not 0 <= start < stop <= axis.size:
            raise InputError("region", expected=f"0 <= {dim}0 < {dim}1 <= {axis.size}", got=f"{start}, {stop}")
        slices.append(slice(start, stop))
    return tuple(slices)


def _check_memory(stored: Stored, window: tuple[slice, ...], limit: int) -> None:
    """Refuse before allocation what would not fit: stored window, float64 result and decoding buffer together."""
    sizes = tuple(one.stop - one.start for one in window)
    n_pixels = limits.n_bytes_of(
        tuple(n for n, axis in zip(sizes, stored.axes, strict=True) if axis.name != COLOUR), np.dtype(np.float64)
    )
    needed = n_pixels + limits.n_bytes_of(sizes, stored.dtype) + stored.decoded_bytes
    limits.check_bytes(needed, limit=limit, what=f"{stored.name or 'data'} of shape {sizes} ({stored.dtype})")


def _intensity(stored: Stored, raw: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return float64 values without colour channels, and what was done to get them."""
    if stored.palette is not None:
        table, notes = colour.intensity_of(stored.palette[None])
        grey = table[0]
        note = f"Palette indices were replaced by their colours. {notes[0]}"
        return grey[np.minimum(raw, len(grey) - 1)], (note,)
    names = [axis.name for axis in stored.axes]
    if COLOUR in names:
        return colour.intensity_of(np.moveaxis(raw, names.index(COLOUR), -1))
    return np.asarray(raw, dtype=np.float64), ()


def _grid(
    file: Opened, stored: Stored, values: np.ndarray, *, dims: Sequence[str], window: tuple, pixel_size: float | None
) -> tuple[xr.DataArray, tuple[str, ...]]:
    """Build the grid: order the dimensions, drop those of length one before (y, x), and set the coordinates."""
    windows = [part for part, axis in zip(window, stored.axes, strict=True) if axis.name != COLOUR]
    axes = dict(zip(dims, zip(stored.signal_axes, windows, strict=True), strict=True))
    (scale_y, scale_x, unit), notes = scales(stored, dims, pixel_size)
    coordinates = {}
    for dim, (axis, part) in axes.items():
        if dim in ("y", "x"):
            step = scale_y if dim == "y" else scale_x
            coordinates[dim] = xr.DataArray(np.arange(part.start, part.stop) * step, dims=dim, attrs={"units": unit})
        else:
            coordinates[dim] = coordinate(axis, dim, start=part.start, size=part.stop - part.start)
    grid = xr.DataArray(values, dims=tuple(dims), coords=coordinates, name=file.path.stem)
    grid = grid.transpose(*(dim for dim in DIMS if dim in dims))
    single = [dim for dim in ("frame", "cycle", "channel") if grid.sizes.get(dim) == 1 and grid.ndim > 2]
    grid = grid.isel(dict.fromkeys(single, 0), drop=True)
    grid.attrs.update(
        fast_axis="x",
        source_format=file.form.name,
        source_dataset=stored.name,
        stored_dtype=str(stored.dtype),
        display=int(stored.display),
    )
    bits = display_bits(stored)
    if bits is not None:
        grid.attrs["display_bits"] = bits
    return check_grid(grid.copy(data=np.ascontiguousarray(grid.values))), notes


def display_bits(stored: Stored) -> int | None:
    """Return the number of bits of a display's grey levels; `None` for data that are not one."""
    if not stored.display or stored.dtype.kind not in "bui":
        return None
    return 1 if stored.dtype.kind == "b" else stored.dtype.itemsize * 8


def scales(
    stored: Stored, dims: Sequence[str], pixel_size: float | None
) -> tuple[tuple[float, float, str], tuple[str, ...]]:
    """Return the pixel size along y and x with its unit, and what must be said of it."""
    if pixel_size is not None and not (np.isfinite(pixel_size) and pixel_size > 0):
        raise InputError("pixel_size", expected="a positive number of angstrom", got=str(pixel_size))
    axes: dict[str, Axis] = dict(zip(dims, stored.signal_axes, strict=True))
    stated = {dim: length_in_angstrom(axes[dim].scale, axes[dim].unit) for dim in ("y", "x") if dim in axes}
    known = [size for size in stated.values() if size]
    if pixel_size is not None:
        return (pixel_size, pixel_size, ANGSTROM), _disagreement(known, pixel_size)
    if not stated:
        return (1.0, 1.0, PIXEL), ()
    if len(known) < len(stated):
        return (1.0, 1.0, PIXEL), (NO_SCALE_NOTE,)
    notes = ()
    if max(known) > min(known) * (1 + SCALE_TOLERANCE):
        sizes = f"{known[0]:.6g} x {known[-1]:.6g} angstrom (y, x)"
        notes = (f"Pixels are not square: {sizes}. Resample the image before looking for atoms.",)
    return (known[0], known[-1], ANGSTROM), notes


def _disagreement(known: Sequence[float], pixel_size: float) -> tuple[str, ...]:
    """Say that a pixel size given by the caller is not the one in the file."""
    if not known or all(abs(size / pixel_size - 1) <= SCALE_TOLERANCE for size in known):
        return ()
    stated = " x ".join(f"{size:.6g}" for size in dict.fromkeys(known))
    return (f"The file states a pixel size of {stated} angstrom; `pixel_size` = {pixel_size:.6g} angstrom was used.",)


def _with_notes(grid: xr.DataArray, notes: Sequence[str]) -> xr.DataArray:
    """Give every note as a warning and keep the same words with the grid."""
    for note in notes:
        warnings.warn(note, MetadataWarning, stacklevel=3)
    if notes:
        grid.attrs["warnings"] = list(notes)
    return grid
