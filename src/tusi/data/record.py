"""The base of every table that stages hand each other: frozen, keyword-only, read-only arrays with named dimensions."""

import dataclasses
import json
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from tusi.errors import InputError

_DIMS, _DTYPE = "dims", "dtype"


def array(*dims: str, dtype: Any = np.float64, default: Any = dataclasses.MISSING) -> Any:
    """Declare a field that holds an array with these dimensions; the first dimension of a table is its row.

    Parameters
    ----------
    *dims
        Name of each dimension. Fields of one record that name the same dimension must agree on its length.
    dtype
        What the values are converted to.
    default
        The value when the caller gives none; `None` means "not known" and is kept as `None`.

    Returns
    -------
    Any
        A dataclass field.
    """
    metadata = {_DIMS: dims, _DTYPE: dtype}
    return dataclasses.field(default=default, metadata=metadata, kw_only=True)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """Immutable columns with named dimensions, convertible to and from an `xarray.Dataset` without loss.

    Fields declared with `array` become variables; all other fields must be plain JSON values (str, int, float, bool,
    None, or tuples of those) and become attributes. Subclasses are final and state their own invariants in `_check`.
    """

    format_name: ClassVar[str] = ""
    row: ClassVar[str] = ""

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for field in array_fields(self):
            value = getattr(self, field.name)
            if value is not None:
                object.__setattr__(self, field.name, _frozen(field, value, sizes))
        self._check()

    def _check(self) -> None:
        """State what must hold between the fields; raise `InputError` where it does not."""

    def __len__(self) -> int:
        for field in array_fields(self):
            value = getattr(self, field.name)
            if value is not None and field.metadata[_DIMS][0] == self.row:
                return value.shape[0]
        return 0

    def __getitem__(self, rows: Any) -> Any:
        """Return the same record with only these rows (a mask, a slice or an array of row numbers)."""
        if isinstance(rows, int | np.integer):
            rows = slice(rows, rows + 1) if rows != -1 else slice(-1, None)
        changes = {
            field.name: getattr(self, field.name)[rows]
            for field in array_fields(self)
            if field.metadata[_DIMS][0] == self.row and getattr(self, field.name) is not None
        }
        return dataclasses.replace(self, **changes)

    def to_xarray(self) -> xr.Dataset:
        """Return the record as a dataset; `from_xarray` gives it back."""
        variables, attributes = {}, {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if _DIMS not in field.metadata:
                attributes[field.name] = json.dumps(value)
            elif value is not None:
                variables[field.name] = (field.metadata[_DIMS], value)
        return xr.Dataset(variables, attrs={"tusi_format": self.format_name, **attributes})

    @classmethod
    def from_xarray(cls, dataset: xr.Dataset) -> "Record":
        """Rebuild the record that `to_xarray` wrote; raises `InputError` when the dataset holds something else."""
        found = dataset.attrs.get("tusi_format")
        if found != cls.format_name:
            raise InputError("dataset", expected=f"tusi_format {cls.format_name!r}", got=repr(found))
        values = {}
        for field in dataclasses.fields(cls):
            if _DIMS in field.metadata:
                values[field.name] = dataset[field.name].values if field.name in dataset else None
            elif field.name in dataset.attrs:
                values[field.name] = _tuples(json.loads(dataset.attrs[field.name]))
        return cls(**values)


def array_fields(record: Any) -> list[dataclasses.Field]:
    """Return the fields of a record (or of its class) that hold arrays."""
    return [field for field in dataclasses.fields(record) if _DIMS in field.metadata]


def _frozen(field: dataclasses.Field, value: Any, sizes: dict[str, int]) -> np.ndarray:
    """Convert, check against the sizes seen so far, and lock one column."""
    dims = field.metadata[_DIMS]
    column = np.array(value, dtype=field.metadata[_DTYPE], order="C")
    if column.ndim != len(dims):
        raise InputError(field.name, expected=f"dimensions ({', '.join(dims)})", got=f"shape {column.shape}")
    for dim, size in zip(dims, column.shape, strict=True):
        if sizes.setdefault(dim, size) != size:
            raise InputError(field.name, expected=f"{sizes[dim]} along {dim!r} as in the other fields", got=str(size))
    column.flags.writeable = False
    return column


def _tuples(value: Any) -> Any:
    """Turn the lists that JSON returns back into tuples."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
