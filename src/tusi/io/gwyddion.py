"""Gwyddion files through `gwyfile`: each data field is one image with its side lengths."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tusi.errors import InputError
from tusi.io.limits import check_holds
from tusi.io.stored import Axis, Reader, Stored, in_memory


class GwyddionReader(Reader):
    """Images in the unit of their z axis."""

    name = "Gwyddion"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        import gwyfile.util  # pyright: ignore[reportMissingImports]

        _check_size(path)
        fields = gwyfile.util.get_datafields(gwyfile.load(str(path)))
        yield tuple(_stored(name, field) for name, field in fields.items())


def _check_size(path: Path) -> None:
    """Compare the size of the outermost object with the file; `gwyfile` never returns from a truncated one."""
    with path.open("rb") as file:
        head = file.read(64)
    start = head.find(b"\0") + 5
    if start < 10 or len(head) < start:
        raise InputError("path", expected="a Gwyddion container", got=f"{path.name}, which ends in its header")
    check_holds(path, end=start + int.from_bytes(head[start - 4 : start], "little"))


def _stored(name: str, field: Any) -> Stored:
    """Describe one data field."""
    values = np.asarray(field.data)
    unit = getattr(getattr(field, "si_unit_xy", None), "unitstr", "") or ""
    sides = (field.yreal, field.xreal) if unit else (None, None)
    axes = tuple(
        Axis(size=size, name=dim, unit=unit, scale=side / size if side else None)
        for dim, size, side in zip(("y", "x"), values.shape, sides, strict=True)
    )
    return Stored(name=name, dtype=values.dtype, axes=axes, load=in_memory(values))
