"""Zarr stores (folders): arrays and groups, with scales from OME-NGFF or from coordinate arrays beside the data."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from tusi.errors import InputError
from tusi.io.stored import COLOUR, Axis, Reader, Stored, is_display

SAFE_CODECS = frozenset(
    {"bytes", "blosc", "gzip", "zstd", "zlib", "bz2", "lzma", "lz4", "crc32c", "crc32", "adler32", "fletcher32",
     "transpose", "sharding_indexed", "shuffle", "delta", "fixedscaleoffset", "quantize", "bitround", "packbits"}
)  # fmt: skip
"""Codecs that turn bytes into numbers and nothing else; pickles and JSON objects are not among them."""

MAX_ARRAYS = 2000


class ZarrReader(Reader):
    """Zarr version 2 and 3 in a folder."""

    name = "Zarr"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        for metadata in _metadata_files(path):
            _check_codecs(metadata)
        node = zarr.open(path, mode="r")
        if isinstance(node, zarr.Array):
            yield (_stored("", node, None),)
        else:
            arrays = [(name, array, node) for name, array in _arrays(node)]
            coordinates = {name for name, array, _ in arrays if array.ndim == 1 and _is_coordinate(name, array)}
            yield tuple(
                _stored(name, array, group)
                for name, array, group in arrays
                if name not in coordinates and array.dtype.kind in "biuf"
            )


def _metadata_files(path: Path) -> list[Path]:
    """List the metadata files of all arrays below a folder."""
    found = [file for name in (".zarray", "zarr.json") for file in sorted(path.rglob(name))]
    if len(found) > MAX_ARRAYS:
        raise InputError("path", expected=f"a Zarr store with at most {MAX_ARRAYS} arrays", got=f"{len(found)}")
    return found


def _check_codecs(metadata: Path) -> None:
    """Raise `InputError` for a codec that could do more than decompress."""
    stated = json.loads(metadata.read_text())
    used = [stated.get("compressor"), *(stated.get("filters") or []), *(stated.get("codecs") or [])]
    for codec in used:
        name = str((codec or {}).get("id") or (codec or {}).get("name") or "bytes").removeprefix("numcodecs.")
        inner = ((codec or {}).get("configuration") or {}).get("codecs") or []
        for each in (name, *(str(one.get("name")).removeprefix("numcodecs.") for one in inner)):
            if each.lower() not in SAFE_CODECS:
                raise InputError(
                    "path", expected=f"codecs among {', '.join(sorted(SAFE_CODECS))}", got=f"{each!r} in {metadata}"
                )


def _arrays(group: Any) -> list[tuple[str, Any]]:
    """List all arrays below a group with their paths."""
    return sorted((name, item) for name, item in group.members(max_depth=None) if isinstance(item, zarr.Array))


def _stored(name: str, array: Any, group: Any) -> Stored:
    """Describe one array."""
    chunk = math.prod(array.chunks) * array.dtype.itemsize if array.ndim else 0
    axes = _axes(name, array, group)
    return Stored(
        name=name,
        dtype=array.dtype,
        axes=axes,
        load=lambda window: np.asarray(array[window]),
        display=is_display(array.dtype, axes),
        decoded_bytes=chunk,
    )


def _axes(name: str, array: Any, group: Any) -> tuple[Axis, ...]:
    """Return the axes from dimension names, OME-NGFF scales or coordinate arrays."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    names = [str(one or "") for one in names] if names and len(names) == array.ndim else [""] * array.ndim
    folder, _, own = name.rpartition("/")
    parent = (group[folder] if folder else group) if group is not None else None
    ome = _ome_axes(own, array.shape, dict(parent.attrs)) if parent is not None else None
    if ome is not None:
        return ome
    if array.ndim == 3 and array.shape[-1] in (3, 4) and array.dtype == np.uint8:
        names[-1] = COLOUR
    return tuple(_axis(one, size, parent) for one, size in zip(names, array.shape, strict=True))


def _axis(name: str, size: int, parent: Any) -> Axis:
    """Return one axis, with the scale of a coordinate array of its name where there is one."""
    values = parent.get(name) if parent is not None and name else None
    if not isinstance(values, zarr.Array) or values.shape != (size,) or size < 2 or values.dtype.kind not in "iuf":
        return Axis(size=size, name=name)
    first, last = float(np.asarray(values[:1])[0]), float(np.asarray(values[-1:])[0])
    unit = str(values.attrs.get("units", ""))
    return Axis(size=size, name=name, unit=unit, scale=(last - first) / (size - 1), offset=first)


def _ome_axes(name: str, shape: tuple[int, ...], attributes: dict[str, Any]) -> tuple[Axis, ...] | None:
    """OME-NGFF: units of the axes and a scale transformation for each resolution level."""
    stated = attributes.get("ome", attributes).get("multiscales")
    if not stated:
        return None
    axes = stated[0].get("axes") or []
    level = next((one for one in stated[0].get("datasets", []) if str(one.get("path")) == name), None)
    if level is None or len(axes) != len(shape) or not all(isinstance(axis, dict) for axis in axes):
        return None
    steps = next((t["scale"] for t in level.get("coordinateTransformations", []) if t.get("type") == "scale"), None)
    scales = steps if steps and len(steps) == len(shape) else [None] * len(shape)
    return tuple(
        Axis(size=size, name=str(axis.get("name", "")), unit=str(axis.get("unit", "")), scale=scale)
        for size, axis, scale in zip(shape, axes, scales, strict=True)
    )


def _is_coordinate(name: str, array: Any) -> bool:
    """Tell whether a one-dimensional array is the coordinate that its own name says."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS") or ()
    return tuple(names) == (name.rpartition("/")[2],)
