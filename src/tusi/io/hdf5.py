"""HDF5 and EMD: which data sets are images, and where each dialect keeps their scales.

Only data inside the file are read: soft and external links, external storage and virtual data sets are not followed.
"""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tusi.errors import InputError
from tusi.io.stored import COLOUR, Axis, Reader, Stored, is_display

MAX_OBJECTS = 20_000
"""Objects that are looked at in one file before the search stops."""

MAX_SCALE_VALUES = 2**20
"""Length of the longest coordinate that is loaded to find its step."""


class Hdf5Reader(Reader):
    """Velox and Berkeley EMD, HyperSpy, NSID/USID, netCDF and plain HDF5."""

    name = "HDF5 (EMD, HyperSpy, NSID, netCDF)"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        with h5py.File(path, "r") as file:
            if "tusi_format" in file.attrs:
                raise InputError(
                    "path", expected="an image", got=f"{path.name}, a result of tusi", then="Use `tusi report`."
                )
            yield tuple(_stored(dataset) for dataset in _datasets(file))


def tusi_format(path: Path) -> str:
    """Return the `tusi_format` attribute of an HDF5 file; empty where it has none."""
    try:
        with h5py.File(path, "r") as file:
            return _text(file.attrs.get("tusi_format", ""))
    except OSError as error:
        raise InputError(
            "path", expected="a complete HDF5 file", got=f"{path.name} ({error})", then="It may be truncated."
        ) from error


def _datasets(file: h5py.File) -> list[h5py.Dataset]:
    """List numeric data sets that lie inside this file, reached by hard links alone."""
    found, groups, n_objects = [], [file["/"]], 0
    seen = set()
    while groups:
        group = groups.pop(0)
        for key in group:
            n_objects += 1
            if n_objects > MAX_OBJECTS:
                return found
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            item = group[key]
            if isinstance(item, h5py.Group):
                if hash(item.id) not in seen and item.name.count("/") < 32:
                    seen.add(hash(item.id))
                    groups.append(item)
            elif isinstance(item, h5py.Dataset) and _is_candidate(item):
                found.append(item)
    return found


def _is_candidate(dataset: h5py.Dataset) -> bool:
    """Tell whether a data set holds numbers of its own that are neither a coordinate nor raw metadata."""
    if dataset.dtype.kind not in "biuf" or dataset.is_virtual or dataset.external:
        return False
    parts = dataset.name.strip("/").split("/")
    velox_raw = parts[0] == "Data" and len(parts) > 2 and (parts[1] != "Image" or parts[-1] != "Data")
    return not velox_raw and dataset.attrs.get("CLASS") != b"DIMENSION_SCALE" and parts[-1] != "Metadata"


def _stored(dataset: h5py.Dataset) -> Stored:
    """Describe one data set, its axes in whichever dialect states them."""
    axes, notes = _axes(dataset)
    chunk = math.prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
    return Stored(
        name=dataset.name.strip("/"),
        dtype=dataset.dtype,
        axes=axes,
        load=lambda window: dataset[window],
        display=is_display(dataset.dtype, axes),
        decoded_bytes=chunk,
        notes=notes,
    )


def _axes(dataset: h5py.Dataset) -> tuple[tuple[Axis, ...], tuple[str, ...]]:
    """Return the axes, and what the caller should know of how they were found."""
    group = dataset.parent
    if dataset.shape and len(dataset.shape) == 3 and dataset.name.startswith("/Data/Image/"):
        return _velox(dataset), ()
    if f"axis-{dataset.ndim - 1}" in group and dataset.name.endswith("/data"):
        return tuple(_hyperspy(group[f"axis-{i}"], size) for i, size in enumerate(dataset.shape)), ()
    if "emd_group_type" in group.attrs:
        return _berkeley(dataset), ()
    if len(dataset.shape) == 3 and dataset.shape[-1] in (3, 4) and dataset.dtype == np.uint8:
        return (*(Axis(size=size) for size in dataset.shape[:2]), Axis(size=dataset.shape[2], name=COLOUR)), ()
    return tuple(_dimension(dataset, i) for i in range(dataset.ndim)), ()


def _velox(dataset: h5py.Dataset) -> tuple[Axis, ...]:
    """Velox: (y, x, frame), the pixel size in the JSON text of the first frame's metadata."""
    scales, unit = (None, None), ""
    metadata = dataset.parent.get("Metadata")
    if isinstance(metadata, h5py.Dataset) and metadata.ndim == 2 and metadata.shape[0] < 2**20:
        text = bytes(metadata[:, 0]).split(b"\0", 1)[0]
        result = json.loads(text or b"{}").get("BinaryResult", {})
        size = result.get("PixelSize", {})
        scales = (_number(size.get("height")), _number(size.get("width")))
        unit = str(result.get("PixelUnitX", ""))
    n_y, n_x, n_frames = dataset.shape
    return (
        Axis(size=n_y, name="y", unit=unit, scale=scales[0]),
        Axis(size=n_x, name="x", unit=unit, scale=scales[1]),
        Axis(size=n_frames, name="frame"),
    )


def _hyperspy(group: Any, size: int) -> Axis:
    """HyperSpy: one group for each axis, with attributes scale, offset, units and name."""
    attributes = group.attrs
    return Axis(
        size=size,
        name=_text(attributes.get("name")),
        unit=_text(attributes.get("units")),
        scale=_number(attributes.get("scale")),
        offset=_number(attributes.get("offset")) or 0.0,
    )


def _berkeley(dataset: h5py.Dataset) -> tuple[Axis, ...]:
    """Berkeley EMD: siblings dim1, dim2, ... (or dim0, ... in later versions) hold the coordinates of each axis."""
    group = dataset.parent
    first = 0 if "dim0" in group else 1
    axes = []
    for i, size in enumerate(dataset.shape):
        dim = group.get(f"dim{i + first}")
        axes.append(_from_values(dim, size) if isinstance(dim, h5py.Dataset) else Axis(size=size))
    return tuple(axes)


def _dimension(dataset: h5py.Dataset, i: int) -> Axis:
    """Plain HDF5, NSID and netCDF: attached dimension scales, and labels."""
    dimension, size = dataset.dims[i], dataset.shape[i]
    label = dimension.label
    if len(dimension):
        axis = _from_values(dimension[0], size)
        return axis if axis.name or not label else Axis(**{**vars(axis), "name": label})
    return Axis(size=size, name=label)


def _from_values(scale: h5py.Dataset, size: int) -> Axis:
    """Return the axis that a data set of coordinates describes."""
    name = _text(scale.attrs.get("name")) or _text(scale.attrs.get("NAME")) or scale.name.rsplit("/", 1)[-1]
    name = "" if name.startswith(("This is a netCDF dimension", "dim")) else name
    unit = _text(scale.attrs.get("units")).strip("[]").replace("_", "")
    if scale.shape not in ((size,), (2,)) or scale.dtype.kind not in "iuf" or size > MAX_SCALE_VALUES or size < 2:
        return Axis(size=size, name=name, unit=unit)
    values = np.asarray(scale[()], dtype=float)
    steps = np.diff(values)
    if np.isfinite(steps).all() and np.allclose(steps, steps[0], rtol=1e-3, atol=0):
        step = float((values[-1] - values[0]) / (len(values) - 1))
        return Axis(size=size, name=name, unit=unit, scale=step, offset=float(values[0]))
    return Axis(size=size, name=name, unit=unit, values=values if len(values) == size else None)


def _text(value: Any) -> str:
    """Return an attribute as text; empty for anything that is none."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.strip() if isinstance(value, str) and value not in ("<undefined>", "_None", "None") else ""


def _number(value: Any) -> float | None:
    """Return a number, or `None` for anything that is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
