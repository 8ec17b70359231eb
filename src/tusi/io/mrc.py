"""MRC files, memory-mapped; the pixel size is the cell length over the number of samples (angstrom)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import mrcfile.utils
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from tusi.errors import InputError
from tusi.io.limits import check_holds, n_bytes_of
from tusi.io.stored import Axis, Reader, Stored, in_memory

_HEADER_BYTES = 1024


class MrcReader(Reader):
    """An image, or a stack of images along the third axis."""

    name = "MRC"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        check_holds(path, end=_HEADER_BYTES)
        header = _header(path)
        dtype = mrcfile.utils.data_dtype_from_header(header)
        n_x, n_y, n_z = int(header["nx"]), int(header["ny"]), int(header["nz"])
        start = _HEADER_BYTES + int(header["nsymbt"])
        cell = (float(header["cella"]["x"]), float(header["cella"]["y"]))
        samples = (int(header["mx"]), int(header["my"]))
        if min(n_x, n_y, n_z) < 1 or start < _HEADER_BYTES:
            raise InputError("path", expected="an MRC file with an image", got=f"{n_z} x {n_y} x {n_x} samples")
        shape = (n_y, n_x) if n_z == 1 else (n_z, n_y, n_x)
        check_holds(path, end=start + n_bytes_of(shape, dtype))
        values = np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape)
        scale_x, scale_y = (
            length / n if n > 0 and length > 0 else None for length, n in zip(cell, samples, strict=True)
        )
        axes = (
            *((Axis(size=n_z, name="frame"),) if n_z > 1 else ()),
            Axis(size=n_y, name="y", unit="angstrom", scale=scale_y),
            Axis(size=n_x, name="x", unit="angstrom", scale=scale_x),
        )
        yield (Stored(name="", dtype=dtype, axes=axes, load=in_memory(values)),)


def _header(path: Path) -> np.void:
    """Return the main header in the byte order that its machine stamp states."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    order = ">" if head[212:213] == b"\x11" else "<"
    return np.frombuffer(head, HEADER_DTYPE.newbyteorder(order), count=1).view(np.recarray)[0]
