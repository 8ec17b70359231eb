"""NumPy's .npy files, memory-mapped; nothing that needs a pickle is read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tusi.errors import InputError
from tusi.io.limits import check_holds, n_bytes_of
from tusi.io.stored import COLOUR, Axis, Reader, Stored, in_memory, is_display

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class ArrayReader(Reader):
    """One array of numbers; its last axis of three or four bytes is taken as colour."""

    name = "NumPy array (NPY)"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version not in _HEADERS:
                raise InputError("path", expected="an .npy file of version 1 or 2", got=f"version {version}")
            shape, fortran_order, dtype = _HEADERS[version](file)
            start = file.tell()
        if dtype.hasobject:
            raise InputError(
                "path",
                expected="an array of numbers",
                got="an array of Python objects, which would need unpickling",
                then="Save the numbers alone with `np.save(path, np.asarray(values, float))`.",
            )
        check_holds(path, end=start + n_bytes_of(shape, dtype))
        axes = tuple(Axis(size=size) for size in shape)
        if len(shape) > 2 and shape[-1] in (3, 4) and dtype == np.uint8:
            axes = (*axes[:-1], Axis(size=shape[-1], name=COLOUR))
        if 0 in shape or not shape:
            values = np.empty(shape, dtype)
        else:
            values = np.memmap(
                path, dtype=dtype, mode="r", offset=start, shape=shape, order="F" if fortran_order else "C"
            )
        yield (Stored(name="", dtype=dtype, axes=axes, load=in_memory(values), display=is_display(dtype, axes)),)
