"""Opening a file safely: recognise it, list what it holds, choose one data set, and turn faults into clear errors."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tusi.errors import InputError, TusiError
from tusi.io.formats import Format, missing_extra, recognise
from tusi.io.limits import check_path
from tusi.io.stored import COLOUR, Stored

MAX_LISTED = 12
"""Data sets that a message names before it says how many more there are."""


MAX_MESSAGE = 300
"""Characters of a library's message that are repeated."""


@dataclass(kw_only=True)
class Opened:
    """A file that is open: its format, its data sets, and the notes gathered so far."""

    path: Path
    form: Format
    contents: Sequence[Stored]
    notes: list[str]


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Open a file; any fault of its reader becomes an `InputError`, any third-party warning a note."""
    check_path(path)
    form, notes = recognise(path)
    reader = form.load_reader()
    gathered = list(notes)
    with _faults_explained(path, form), warnings.catch_warnings(record=True) as foreign:
        warnings.simplefilter("always")
        try:
            with reader.open(path) as contents:
                yield Opened(path=path, form=form, contents=contents, notes=gathered)
        finally:
            gathered += [
                f"{form.name} reader: {warning.message}"
                for warning in foreign
                if not issubclass(warning.category, ResourceWarning | DeprecationWarning | FutureWarning)
            ]


@contextmanager
def _faults_explained(path: Path, form: Format) -> Iterator[None]:
    """Report whatever a reader stumbles over as a truncated or corrupt file."""
    try:
        yield
    except TusiError:
        raise
    except ModuleNotFoundError as error:
        if not form.extra:
            raise
        raise missing_extra(form, str(error.name)) from error
    except Exception as error:
        raise InputError(
            "path",
            expected=f"a complete {form.name} file",
            got=f"{path.name}, which cannot be read ({type(error).__name__}: {str(error)[:MAX_MESSAGE]})",
            then="The file may be truncated or corrupt; copy it again, or open it in the program that wrote it.",
        ) from error


def choose(contents: Sequence[Stored], dataset: str | None) -> tuple[Stored, tuple[str, ...]]:
    """Return the data set that was asked for, or the largest image, and a note that lists the others.

    Images come before stacks, and stacks before spectra; among equals the largest is taken, then the first.

    Raises
    ------
    InputError
        Nothing in the file is an image, or `dataset` is not in it or fits several.
    """
    if dataset is not None:
        return _named(contents, dataset), ()
    candidates = [one for one in contents if _rank(one) > 0]
    if not candidates:
        held = _listed(contents) or "none that tusi reads"
        raise InputError("path", expected="a file that holds an image or a stack of images", got=held)
    best = max(candidates, key=lambda one: (_rank(one), np.prod(one.shape, dtype=float)))
    if len(candidates) == 1:
        return best, ()
    others = _listed([one for one in candidates if one is not best])
    return best, (
        f"The file holds {len(candidates)} data sets: {best.name!r} was read, not {others}. Set `dataset` to choose.",
    )


def _rank(stored: Stored) -> int:
    """Return 3 for an image, 2 for a stack, 1 for a spectrum or a picture with a palette, 0 for anything else."""
    if stored.dtype.kind not in "biuf" or 0 in stored.shape:
        return 0
    sizes = [axis.size for axis in stored.signal_axes if axis.size > 1]
    if len(sizes) == 1 and any(axis.unit.lower() in ("ev", "kev") for axis in stored.signal_axes):
        return 1
    if len(sizes) < 2 or stored.palette is not None:
        return int(len(sizes) > 1)
    return 3 if len(sizes) == 2 else 2


def _named(contents: Sequence[Stored], dataset: str) -> Stored:
    """Return the data set of this name, or the only one whose name ends in it."""
    wanted = dataset.strip("/")
    exact = [one for one in contents if one.name == wanted]
    found = exact or [one for one in contents if one.name.endswith("/" + wanted)]
    if len(found) == 1:
        return found[0]
    got = f"{dataset!r}, which fits {len(found)}" if found else repr(dataset)
    raise InputError("dataset", expected=f"one of {_listed(contents) or 'none'}", got=got)


def _listed(contents: Sequence[Stored]) -> str:
    """Name data sets with their shapes."""
    words = [f"{one.name or 'unnamed'!r} {one.shape}" for one in contents[:MAX_LISTED]]
    if len(contents) > MAX_LISTED:
        words.append(f"and {len(contents) - MAX_LISTED} more")
    return ", ".join(words)


def check_numbers(stored: Stored) -> None:
    """Raise `InputError` unless the data set holds real numbers along at least one axis."""
    if stored.dtype.kind == "c":
        raise InputError("path", expected="real numbers", got="complex numbers", then="Save their modulus.")
    if stored.dtype.kind not in "biuf":
        raise InputError("path", expected="an array of numbers", got=f"values of type {stored.dtype}")
    if not stored.signal_axes or 0 in stored.shape:
        raise InputError("path", expected="an image or a stack of images", got=f"data of shape {stored.shape}")
    if sum(axis.name == COLOUR for axis in stored.axes) > 1:
        raise InputError("path", expected="one colour axis", got=f"data of shape {stored.shape}")
