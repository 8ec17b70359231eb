"""Frozen dataclasses to one HDF5 file and back, without ever evaluating or unpickling anything.

A dataclass is a group (`xarray.DataTree` node): arrays are its variables, plain values its JSON attributes, nested
dataclasses, grids and tuples of them its child groups. A dataclass of plain values alone is a JSON object
`{type, version, fields}`. Names become classes only through a table that the caller passes.
"""

import dataclasses
import io
import json
import os
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr

from tusi.errors import InputError

FORMAT = "tusi-result"
"""Value of the root attribute `tusi_format`."""

VERSION = 1
"""Version of the layout that this module writes; files with a higher one are refused."""

Classes = Mapping[str, type]
"""Name in a file -> class; the only way from the one to the other."""

_TYPE, _CLASS_VERSION, _FIELDS, _LONG = "tusi_type", "tusi_version", "tusi_fields", "tusi_fields_bytes"
_ATTRIBUTE_LIMIT = 16_000
_GRID, _TUPLE, _ARRAY, _ARRAYS, _MAPPING = "grid", "tuple", "array", "arrays", "mapping"
_COMPRESSION = {"zlib": True, "complevel": 4, "shuffle": True}
_COMPRESSED_FROM = 4096


def save(value: Any, path: str | os.PathLike, *, classes: Classes, scratch: Path | None = None) -> Path:
    """Write a dataclass to one HDF5 file, all or nothing.

    The file is built in memory, written under a temporary name, synchronised and renamed. Whatever happens, the old
    file (or none) or the new one stands there, never a part of it. Equal values give equal bytes.

    Parameters
    ----------
    value
        The dataclass.
    path
        Where to; an existing file is replaced.
    classes
        Table of the classes that may occur.
    scratch
        Folder on the same file system for the temporary file; the target's own folder when not given.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    InputError
        A class that is not in the table, or a field that has no place in a file.
    """
    tree = to_tree(value, classes=classes)
    tree.attrs = {"tusi_format": FORMAT, "tusi_layout": VERSION, **tree.attrs}
    encoding = {
        node.path: {
            name: {**(_COMPRESSION if data.nbytes >= _COMPRESSED_FROM else {}), "_FillValue": None}
            for name, data in node.dataset.variables.items()
            if data.dtype.kind in "fiu"
        }
        for node in tree.subtree
    }
    content = io.BytesIO()
    with dask.config.set(scheduler="synchronous"):  # pyright: ignore[reportPrivateImportUsage]
        tree.to_netcdf(content, engine="h5netcdf", encoding=encoding)
    return write_atomically(path, content.getvalue(), scratch=scratch)


def load(path: str | os.PathLike, *, classes: Classes) -> Any:
    """Read what `save` wrote.

    Parameters
    ----------
    path
        The file.
    classes
        Table of the classes that may occur.

    Returns
    -------
    Any
        The dataclass.

    Raises
    ------
    InputError
        The file is missing, is not such a file, is damaged, or was written by a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("path", expected="a result file", got=f"no file {str(path)!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with xr.open_datatree(
                path, engine="h5netcdf", decode_times=False, decode_timedelta=False, mask_and_scale=False
            ) as opened:
                _check_layout(opened.attrs, path)
                tree = opened.load()
        return from_tree(tree, classes=classes)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            "path", expected="a tusi result file", got=f"{path.name!r}, which cannot be read ({error})"
        ) from error


def write_atomically(path: str | os.PathLike, content: bytes, *, scratch: Path | None = None) -> Path:
    """Write bytes under a temporary name, synchronise, rename; on any failure the temporary file is removed.

    Parameters
    ----------
    path
        Where to; an existing file is replaced.
    content
        The bytes.
    scratch
        Folder on the same file system for the temporary file; the target's own folder when not given.

    Returns
    -------
    pathlib.Path
        `path`.
    """
    path = Path(path)
    temporary = (scratch or path.parent) / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def to_tree(value: Any, *, classes: Classes) -> xr.DataTree:
    """Return a dataclass as a tree of datasets; `from_tree` gives it back."""
    nodes: dict[str, xr.Dataset] = {}
    _put(value, "/", nodes, {cls: name for name, cls in classes.items()})
    return xr.DataTree.from_dict(nodes)


def from_tree(tree: xr.DataTree, *, classes: Classes) -> Any:
    """Rebuild what `to_tree` took apart.

    Raises
    ------
    InputError
        A class that is not in the table or is newer than it, or a field that its class does not have.
    """
    kind = tree.attrs.get(_TYPE)
    if kind == _GRID:
        return _grid_from(tree.dataset)
    if kind == _ARRAY:
        return _locked(tree.dataset["values"].values)
    plain = _fields_of(tree.dataset)
    values = {str(name): data.values for name, data in tree.dataset.variables.items() if name != _LONG}
    for name, child in tree.children.items():
        if child.attrs.get(_TYPE) == _ARRAYS:
            values.update({str(array): data.values for array, data in child.dataset.variables.items()})
        else:
            values[str(name)] = from_tree(child, classes=classes)
    values.update({name: _from_json(item, classes) for name, item in plain.items()})
    if kind == _TUPLE:
        return tuple(values[str(i)] for i in range(len(values)))
    return _build(_class_of(kind, tree.attrs.get(_CLASS_VERSION, 1), classes), values)


def _put(value: Any, path: str, nodes: dict[str, xr.Dataset], names: Mapping[type, str]) -> None:
    """Add the node of one value, and those of its children, to `nodes`."""
    if isinstance(value, xr.DataArray):
        nodes[path] = _grid_node(value)
        return
    if isinstance(value, np.ndarray):
        nodes[path] = xr.Dataset({"values": (_dims_of(None, "axis", value), value)}, attrs={_TYPE: _ARRAY})
        return
    attributes, fields = _parts(value, names)
    plain, arrays, children = {}, {}, {}
    for name, item in fields.items():
        if isinstance(item, np.ndarray) and not isinstance(value, tuple):
            arrays[name] = (_dims_of(value, name, item), item)
            continue
        try:
            plain[name] = _to_json(item, names)
        except _NotPlainError:
            children[name] = item
    nodes[path] = _with_fields(xr.Dataset({} if children else arrays, attrs=attributes), plain)
    base = path.rstrip("/")
    if children and arrays:
        nodes[f"{base}/{_ARRAYS}"] = xr.Dataset(arrays, attrs={_TYPE: _ARRAYS})
    for name, item in children.items():
        _put(item, f"{base}/{name}", nodes, names)


def _parts(value: Any, names: Mapping[type, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes and the named parts of a tuple or a dataclass."""
    if isinstance(value, tuple):
        return {_TYPE: _TUPLE}, {str(i): item for i, item in enumerate(value)}
    if type(value) not in names:
        raise InputError("value", expected=f"one of {sorted(names.values())}", got=f"a {type(value).__name__}")
    attributes = {_TYPE: names[type(value)], _CLASS_VERSION: getattr(type(value), "format_version", 1)}
    return attributes, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _dims_of(owner: Any, name: str, item: np.ndarray) -> tuple[str, ...]:
    """Return the dimensions that the field declares, or names of its own."""
    if item.dtype.kind not in "fiub":
        raise InputError(name, expected="numbers or booleans", got=f"an array of {item.dtype}")
    declared = getattr(type(owner), "__dataclass_fields__", {}).get(name)
    dims = declared.metadata.get("dims") if declared is not None else None
    return tuple(dims) if dims else tuple(f"{name}_{axis}" for axis in range(item.ndim))


class _NotPlainError(Exception):
    """The value needs a group of its own."""


def _to_json(value: Any, names: Mapping[type, str]) -> Any:
    """Return a plain value, or a dataclass of plain values, as JSON."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_to_json(item, names) for item in value]
    if isinstance(value, Mapping):
        return {"type": _MAPPING, "fields": {str(key): _to_json(item, names) for key, item in value.items()}}
    if type(value) in names:
        fields = {field.name: _to_json(getattr(value, field.name), names) for field in dataclasses.fields(value)}
        return {"type": names[type(value)], "version": getattr(type(value), "format_version", 1), "fields": fields}
    raise _NotPlainError


def _from_json(value: Any, classes: Classes) -> Any:
    """Rebuild what `_to_json` wrote; lists come back as tuples."""
    if isinstance(value, list):
        return tuple(_from_json(item, classes) for item in value)
    if not isinstance(value, dict):
        return value
    fields = {name: _from_json(item, classes) for name, item in value["fields"].items()}
    if value["type"] == _MAPPING:
        return fields
    return _build(_class_of(value["type"], value["version"], classes), fields)


def _class_of(name: Any, version: int, classes: Classes) -> type:
    """Look a name up in the table."""
    if name not in classes:
        raise InputError("path", expected=f"groups of {sorted(classes)}", got=f"a group of {name!r}")
    known = getattr(classes[name], "format_version", 1)
    if version > known:
        raise InputError(
            "path", expected=f"version {known} of {name!r} or older", got=f"version {version}", then="Update tusi."
        )
    return classes[name]


def _build(cls: type, values: dict[str, Any]) -> Any:
    """Call the class; fields that the file lacks take their defaults, unknown ones are an error."""
    unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
    if unknown:
        raise InputError("path", expected=f"the fields of {cls.__name__}", got=f"also {unknown}", then="Update tusi.")
    return cls(**{name: _locked(value) for name, value in values.items()})


def _locked(value: Any) -> Any:
    """Make an array read-only, as all arrays of a result are."""
    if isinstance(value, np.ndarray):
        value = np.ascontiguousarray(value) if value.ndim else value
        value.flags.writeable = False
    return value


def _with_fields(dataset: xr.Dataset, fields: dict[str, Any]) -> xr.Dataset:
    """Attach the plain fields, as an attribute or, where HDF5 could not hold that, as a variable of bytes."""
    text = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
    if len(text) <= _ATTRIBUTE_LIMIT:
        return dataset.assign_attrs({_FIELDS: text})
    return dataset.assign({_LONG: (f"tusi_byte_{len(text)}", np.frombuffer(text.encode(), np.uint8))})


def _fields_of(dataset: xr.Dataset) -> dict[str, Any]:
    """Read the plain fields of a node back."""
    if _LONG in dataset.variables:
        return json.loads(dataset[_LONG].values.astype(np.uint8).tobytes())
    return json.loads(dataset.attrs.get(_FIELDS, "{}"))


def _grid_node(grid: xr.DataArray) -> xr.Dataset:
    """Return a grid as a dataset whose one variable is called `values`."""
    text = json.dumps({"name": grid.name, "attrs": _to_json(dict(grid.attrs), {})}, ensure_ascii=True)
    return grid.rename("values").drop_attrs(deep=False).to_dataset().assign_attrs({_TYPE: _GRID, _FIELDS: text})


def _grid_from(dataset: xr.Dataset) -> xr.DataArray:
    """Rebuild a grid."""
    facts = _fields_of(dataset)
    return dataset["values"].rename(facts["name"]).assign_attrs(_from_json(facts["attrs"], {}))


def _check_layout(attributes: Mapping[Any, Any], path: Path) -> None:
    """Refuse foreign files and newer layouts before anything else is read."""
    if attributes.get("tusi_format") != FORMAT:
        raise InputError("path", expected="a tusi result file", got=f"{path.name!r}, a file of another kind")
    if int(attributes["tusi_layout"]) > VERSION:
        raise InputError(
            "path",
            expected=f"layout {VERSION} or older",
            got=f"layout {int(attributes['tusi_layout'])}",
            then="The file was written by a newer tusi: update.",
        )
