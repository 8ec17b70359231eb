"""WSxM images (.top, .stp): a text header of known length, then the samples from the last row to the first."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tusi.errors import InputError
from tusi.io.limits import check_holds
from tusi.io.stored import Axis, Reader, Stored

_TYPES = {"short": "<i2", "short data": "<i2", "float": "<f4", "double": "<f8", "integer": "<i4"}
MAX_HEADER_BYTES = 2**20


class WsxmReader(Reader):
    """One image in the instrument's integers or floats."""

    name = "WSxM"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        with path.open("rb") as file:
            head = file.read(MAX_HEADER_BYTES).decode("latin-1")
        start = int(_field(head, "Image header size") or 0)
        n_y, n_x = int(_field(head, "Number of rows") or 0), int(_field(head, "Number of columns") or 0)
        dtype = np.dtype(_TYPES.get(_field(head, "Image Data Type").lower() or "short", "<i2"))
        if min(start, n_y, n_x) < 1:
            raise InputError("path", expected="a WSxM header with sizes", got=f"{n_y} x {n_x} after {start} bytes")
        check_holds(path, end=start + n_y * n_x * dtype.itemsize)
        values = np.memmap(path, dtype, "r", start, (n_y, n_x))[::-1, ::-1]
        axes = (_axis("y", n_y, _field(head, "Y Amplitude")), _axis("x", n_x, _field(head, "X Amplitude")))
        yield (Stored(name="", dtype=dtype, axes=axes, load=lambda window: np.asarray(values[window])),)


def _field(head: str, name: str) -> str:
    """Return the value of one line of the header; empty when there is none."""
    found = re.search(rf"^\s*{re.escape(name)}:[ \t]*(.*?)\s*$", head, re.MULTILINE)
    return found[1] if found else ""


def _axis(name: str, size: int, amplitude: str) -> Axis:
    """Return an axis from the side length of the scan, such as "500 nm"."""
    found = re.fullmatch(r"([-+.\deE]+)\s*(\S+)", amplitude)
    if not found:
        return Axis(size=size, name=name)
    return Axis(size=size, name=name, unit=found[2].replace("Å", "angstrom"), scale=abs(float(found[1])) / size)
