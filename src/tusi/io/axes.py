"""Which axis is which: from a file's names and units to the dimensions and coordinates of the grid schema."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from tusi.errors import InputError
from tusi.io.stored import Axis
from tusi.units import ANGSTROM, PIXEL, angstroms

_ENERGY_UNITS = {"ev": 1.0, "kev": 1e3, "mev": 1e-3}
_TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0}
_VOLTAGE_UNITS = {"v": 1.0, "mv": 1e-3, "kv": 1e3}
_ANGLE_UNITS = {"mrad": "mrad", "rad": "rad", "deg": "deg"}
_NAMES = {
    "y": ("y", "height", "scan_y", "y axis", "rows"),
    "x": ("x", "width", "scan_x", "x axis", "columns"),
    "energy": ("energy", "energy loss", "x-ray energy"),
    "ky": ("ky", "dy", "qy", "diffraction_y"),
    "kx": ("kx", "dx", "qx", "diffraction_x"),
    "frame": ("frame", "time", "t", "stack", "image"),
    "cycle": ("cycle",),
    "bias": ("bias", "voltage"),
    "channel": ("channel", "c"),
}
_DIM_OF_NAME = {name: dim for dim, names in _NAMES.items() for name in names}


def length_in_angstrom(value: float | None, unit: str) -> float | None:
    """Return a positive length in angstrom, or `None` when the unit is not one of length or there is no value."""
    if value is None or not np.isfinite(value) or value == 0 or not unit:
        return None
    try:
        return abs(angstroms(float(value), _plain(unit)))
    except InputError:
        return None


def name_dims(axes: Sequence[Axis]) -> tuple[str, ...]:
    """Return the grid dimension of each axis: by unit and name first, by position for the rest.

    Energy, voltage, time and reciprocal units decide alone; then names. Of what remains, the last two axes are (y, x);
    another one before them is `frame`, behind them `channel`. Four axes without any name are (y, x, ky, kx).
    """
    dims = [_dim_by_unit(axis) or _DIM_OF_NAME.get(axis.name.strip().lower(), "") for axis in axes]
    _settle_reciprocal(dims)
    for dim in {dim for dim in dims if dims.count(dim) > 1 and dim}:
        for duplicate in [i for i, other in enumerate(dims) if other == dim][1:]:
            dims[duplicate] = ""
    if dims == [""] * 4:
        return ("y", "x", "ky", "kx")
    unnamed = [i for i, dim in enumerate(dims) if not dim]
    if len(axes) > 1 and (len(unnamed) > 1 or not {"ky", "kx"} & set(dims)):
        for dim in ("x", "y"):
            if unnamed and dim not in dims:
                dims[unnamed.pop()] = dim
    first_spatial = min((i for i, dim in enumerate(dims) if dim in ("y", "x", "ky", "kx")), default=0)
    for i in unnamed:
        wanted = ("frame", "channel", "cycle") if i < first_spatial else ("channel", "frame", "cycle")
        dims[i] = next((dim for dim in wanted if dim not in dims), "")
    if "" in dims:
        shape = tuple(axis.size for axis in axes)
        raise InputError(
            "path", expected="axes that can be told apart", got=f"shape {shape} with axes {[a.name for a in axes]}"
        )
    return tuple(dims)


def assumed(axes: Sequence[Axis], dims: Sequence[str]) -> tuple[str, ...]:
    """Return what had to be assumed about axes that the file does not name."""
    guessed = [dim for axis, dim in zip(axes, dims, strict=True) if not axis.name and not axis.unit]
    if len(axes) > 2 and guessed:
        return (f"The file does not name its axes; they were taken as ({', '.join(dims)}).",)
    return ()


def coordinate(axis: Axis, dim: str, *, start: int = 0, size: int | None = None) -> xr.DataArray:
    """Return the coordinate of a window of one axis that is not y or x, in the project's units."""
    size = axis.size if size is None else size
    factor, unit = _factor(axis.unit, dim)
    if axis.values is not None:
        values = np.asarray(axis.values, float)[start : start + size] * factor
    elif axis.scale is not None and unit != PIXEL:
        values = (axis.offset + axis.scale * np.arange(start, start + size)) * factor
    else:
        values, unit = np.arange(start, start + size, dtype=float), "index" if dim not in ("ky", "kx") else PIXEL
    return xr.DataArray(values, dims=dim, attrs={"units": unit})


def _dim_by_unit(axis: Axis) -> str:
    """Return the dimension that a unit alone decides."""
    unit = axis.unit.strip().lower()
    if unit in _ENERGY_UNITS:
        return "energy"
    if unit in _VOLTAGE_UNITS:
        return "bias"
    if unit in _ANGLE_UNITS or _reciprocal(axis.unit) is not None:
        return "k"
    if unit in _TIME_UNITS:
        return "frame"
    return ""


def _settle_reciprocal(dims: list[str]) -> None:
    """Name the reciprocal axes (ky, kx) in order; a single one is a profile along kx."""
    reciprocal = [i for i, dim in enumerate(dims) if dim == "k"]
    for i, dim in zip(reciprocal[-2:], ("ky", "kx")[-len(reciprocal) :], strict=False):
        dims[i] = dim
    for i in reciprocal[:-2]:
        dims[i] = ""


def _reciprocal(unit: str) -> float | None:
    """Return how many 1/angstrom one of this unit is, or `None` when it is no reciprocal length."""
    plain = unit.strip().replace(" ", "").replace("^-1", "⁻¹").replace("**-1", "⁻¹")
    if plain.startswith("1/"):
        length = length_in_angstrom(1.0, plain[2:])
    elif plain.endswith("⁻¹"):
        length = length_in_angstrom(1.0, plain[:-2])
    else:
        return None
    return None if length is None else 1 / length


def _factor(unit: str, dim: str) -> tuple[float, str]:
    """Return the factor from a file's unit to the project's, and that unit."""
    plain = unit.strip().lower()
    for table, target in ((_ENERGY_UNITS, "eV"), (_TIME_UNITS, "s"), (_VOLTAGE_UNITS, "V")):
        if plain in table:
            return table[plain], target
    if plain in _ANGLE_UNITS:
        return 1.0, _ANGLE_UNITS[plain]
    reciprocal = _reciprocal(unit)
    if reciprocal is not None:
        return reciprocal, f"1/{ANGSTROM}"
    length = length_in_angstrom(1.0, unit)
    if length is not None and dim not in ("ky", "kx"):
        return length, ANGSTROM
    return 1.0, unit or (PIXEL if dim in ("ky", "kx") else "index")


def _plain(unit: str) -> str:
    """Spell a unit of length as `tusi.units` does."""
    spelled = unit.strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ").lower()
    words = {
        "micron": "um", "microns": "um", "micrometer": "um", "nanometer": "nm", "nanometers": "nm", "meter": "m",
        "meters": "m",
        "metre": "m", "angstroms": "angstrom", "å": "angstrom", "ångström": "angstrom", "picometer": "pm",
    }  # fmt: skip
    return words.get(spelled, spelled)
