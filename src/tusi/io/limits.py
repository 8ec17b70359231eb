"""How much memory a file may ask for, and what must hold of a path before anything is read."""

import contextlib
import math
import os
import stat
from pathlib import Path

import numpy as np

from tusi.errors import InputError

MEMORY_SHARE = 0.25
"""Share of the physical memory that one image may fill; later stages need several times its size."""

_CONTROL_GROUP = Path("/sys/fs/cgroup/memory.max")


def default_max_bytes() -> int:
    """Return the memory that reading one file may take unless the caller says otherwise, in bytes.

    A quarter of the physical memory, or of the control group's limit inside a container.

    Examples
    --------
    >>> default_max_bytes() > 2**20
    True
    """
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        physical = 8 * 2**30
    with contextlib.suppress(OSError, ValueError):
        physical = min(physical, int(_CONTROL_GROUP.read_text()))
    return int(physical * MEMORY_SHARE)


def check_path(path: Path) -> None:
    """Raise `InputError` unless there is a non-empty file (or a directory) that can be opened."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise InputError("path", expected="an existing file", got=f"{path}, which does not exist") from None
    except (OSError, ValueError) as error:
        raise InputError("path", expected="a readable file", got=f"{path}: {error}") from error
    if stat.S_ISDIR(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        raise InputError("path", expected="a regular file", got=f"{path}, a device, pipe or socket")
    if status.st_size == 0:
        raise InputError("path", expected="a file with content", got=f"{path}, which is empty")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(
            "path", expected="a readable file", got=f"{path}: {error}", then="Check its permissions."
        ) from error


def check_bytes(n_bytes: int, *, limit: int, what: str) -> None:
    """Raise `InputError` before an allocation that would pass the limit."""
    if n_bytes > limit:
        raise InputError(
            "path",
            expected=f"data that fit into {in_words(limit)}",
            got=f"{what}, which needs {in_words(n_bytes)}",
            then="Read a part of it with `region=(y0, y1, x0, x1)` (`--region`), or raise `max_bytes`.",
        )


def check_holds(path: Path, *, end: int) -> None:
    """Raise `InputError` when a header promises data beyond the end of the file."""
    size = path.stat().st_size
    if end > size:
        raise InputError(
            "path",
            expected=f"{end} bytes, as the header of {path.name} says",
            got=f"{size} bytes",
            then="The file is truncated; copy it again.",
        )


def n_bytes_of(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Return the size of an array in bytes, without overflow."""
    size = int(dtype.itemsize)
    for length in shape:
        size *= int(length)
    return size


def in_words(n_bytes: int) -> str:
    """Return a size as people write it.

    Examples
    --------
    >>> in_words(3_200_000_000)
    '3.2 GB'
    """
    units = ("B", "kB", "MB", "GB", "TB")
    power = min(int(math.log10(max(n_bytes, 1)) // 3), len(units) - 1)
    return f"{n_bytes / 1000**power:.3g} {units[power]}"
