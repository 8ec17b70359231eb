"""Nanosurf .nid files: a text header with one section for each channel, then their integers one after another."""

import configparser
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tusi.errors import InputError
from tusi.io.limits import check_holds
from tusi.io.stored import Axis, Reader, Stored

MAX_HEADER_BYTES = 2**20


class NanosurfReader(Reader):
    """Scan images of a Nanosurf file; first rows are the lowest, as the instrument scans upwards."""

    name = "Nanosurf NID"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        with path.open("rb") as file:
            head = file.read(MAX_HEADER_BYTES)
        end = head.find(b"#!")
        if end < 0:
            raise InputError(
                "path", expected="a Nanosurf header that ends in '#!'", got="none", then="It is truncated."
            )
        header = configparser.RawConfigParser(strict=False, interpolation=None)
        header.read_string(head[:end].decode("latin-1"))
        offset, found = end + 2, []
        groups = header["DataSet"]
        for group in range(groups.getint("GroupCount", fallback=0)):
            for channel in range(groups.getint(f"Gr{group}-Count", fallback=0)):
                section = groups.get(f"Gr{group}-Ch{channel}")
                if section is None or section not in header:
                    continue
                stored, n_bytes = _stored(path, header[section], offset)
                offset += n_bytes
                found.append(stored)
        yield tuple(found)


def _stored(path: Path, section: configparser.SectionProxy, offset: int) -> tuple[Stored, int]:
    """Describe one channel and return its size in bytes."""
    n_x, n_y, n_bits = (section.getint(name) or 0 for name in ("Points", "Lines", "SaveBits"))
    if min(n_x, n_y) < 1 or n_bits not in (8, 16, 32):
        raise InputError("path", expected="channels of 8, 16 or 32 bits", got=f"{n_y} x {n_x} samples of {n_bits} bits")
    order = "<" if section.get("SaveOrder", "Intel") == "Intel" else ">"
    signed = section.get("SaveSign", "Signed") == "Signed"
    dtype = np.dtype(f"{order}{'i' if signed else 'u'}{n_bits // 8}")
    n_bytes = n_x * n_y * dtype.itemsize
    check_holds(path, end=offset + n_bytes)
    low, span = section.getfloat("Dim2Min", 0.0), section.getfloat("Dim2Range", 2.0**n_bits)
    middle = 2 ** (n_bits - 1) if signed else 0
    raw = np.memmap(path, dtype, "r", offset, (n_y, n_x))

    def load(window: tuple[slice, ...]) -> np.ndarray:
        return low + (np.asarray(raw[window], dtype=np.float64) + middle) * (span / 2.0**n_bits)

    axes = tuple(
        Axis(
            size=size,
            name=name,
            unit=section.get(f"Dim{i}Unit", ""),
            scale=_step(section.getfloat(f"Dim{i}Range", math.nan), size),
        )
        for name, i, size in (("y", 1, n_y), ("x", 0, n_x))
    )
    name = f"{section.get('Frame', '')}/{section.get('Dim2Name', section.name)}".strip("/")
    return Stored(name=name, dtype=np.dtype(np.float64), axes=axes, load=load), n_bytes


def _step(side: float, size: int) -> float | None:
    """Return the distance between samples along a side of this length."""
    return side / size if math.isfinite(side) and side > 0 else None
