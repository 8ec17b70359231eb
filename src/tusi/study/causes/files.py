"""Tables of causes from files: columns of a text file by their names, or the local structure of a result."""

import csv
import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tusi.causal import CausalTable, Knowledge
from tusi.causal.panel.lagged import common_cells
from tusi.data import storage
from tusi.errors import InputError
from tusi.inference.spatial import Layout
from tusi.study.analysis import Analysis
from tusi.study.causes import CausalAnalysis
from tusi.study.causes.site_variables import site_variables
from tusi.study.files import CLASSES
from tusi.study.structure import StructureAnalysis

RESULTS = (".h5", ".hdf5")

UNEVEN = 0.01
"""By how much steps in time may differ, as a share of the shortest."""

MISSING = frozenset({"", "nan", "na", "n/a", "none", "null", "-", "inf", "-inf"})
"""What stands for a value that is not known, in lower case."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColumnRoles:
    """Which columns of a text file are what.

    Attributes
    ----------
    variables
        The variables; all columns of numbers without another role where not given.
    position
        Columns of (y, x); rows lie in the order of the file where not given.
    image
        Column that names the image; all rows are of one where not given.
    time
        Column of the time or frame number, in a movie; frames may be missing, nothing is compared across them.
    track
        Column that names the atom or site through time; rows at the same place are the same site where not given.
    error
        For each variable, its standard error: a number, or the column that holds it.
    """

    variables: tuple[str, ...] = ()
    position: tuple[str, str] | None = None
    image: str | None = None
    time: str | None = None
    track: str | None = None
    error: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.time and self.image:
            raise InputError(
                "image", expected="no other image than the frames, where rows have times", got=self.image,
                then="Give the rows of one movie at a time.",
            )  # fmt: skip
        if self.track and not self.time:
            raise InputError("track", expected="times, too", got=self.track, then="Name the column with `time`.")

    @property
    def frame(self) -> str | None:
        """Column that parts the rows into images."""
        return self.time or self.image

    @property
    def asked(self) -> bool:
        """Whether anything was chosen."""
        return self != ColumnRoles()


@dataclasses.dataclass(frozen=True, kw_only=True)
class CausalInput:
    """A table with what is known of it, as it was read.

    Attributes
    ----------
    table
        The variables.
    knowledge
        What comes before what, where the file tells.
    meaning
        What each variable is, where the file tells.
    notes
        What was left out, and why.
    located
        Whether rows have positions.
    sha256
        Hash of the file's bytes.
    track
        Number of the atom or site of each row, where the file tells.
    """

    table: CausalTable
    knowledge: Knowledge
    meaning: dict[str, str]
    notes: tuple[str, ...]
    located: bool
    sha256: str
    track: np.ndarray | None = None


def read_causal_table(path: str | Path, *, roles: ColumnRoles | None = None, species: str | None = None) -> CausalInput:
    """Read a table of causal variables.

    Parameters
    ----------
    path
        Text with a line of names and columns parted by commas, semicolons or tabs; or a result of `tusi analyze`,
        `tusi structure` or `tusi causes`.
    roles
        Which columns are what, in a text.
    species
        Species that is counted, in a result.

    Raises
    ------
    InputError
        The file is missing, is neither of these, or lacks a column.

    Examples
    --------
    >>> read_causal_table("missing.csv")
    Traceback (most recent call last):
    tusi.errors.InputError: `table`: expected a file; got 'missing.csv', which does not exist.
    """
    path, roles = Path(path), roles or ColumnRoles()
    if not path.is_file():
        raise InputError("table", expected="a file", got=f"{str(path)!r}, which does not exist")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if path.suffix in RESULTS:
        if roles.asked:
            raise InputError("table", expected="a text file where columns are chosen", got=path.name)
        return _from_result(path, species, digest)
    return _from_text(path, roles, digest)


def _from_result(path: Path, species: str | None, digest: str) -> CausalInput:
    """Take the local structure of a result."""
    found = storage.load(path, classes=CLASSES)
    if isinstance(found, CausalAnalysis):
        return CausalInput(
            table=found.table, knowledge=found.knowledge, meaning=dict(found.meaning), notes=(), located=True,
            sha256=digest,
        )  # fmt: skip
    structure = found.structure if isinstance(found, Analysis) else found
    if not isinstance(structure, StructureAnalysis) or not structure.images:
        raise InputError(
            "table", expected="a result with local structure", got=f"{path.name} without",
            then="Make one with `tusi structure` or `tusi analyze`.",
        )  # fmt: skip
    gathered = site_variables(structure.images, species=species)
    return CausalInput(
        table=gathered.table, knowledge=gathered.knowledge, meaning=gathered.meaning, notes=gathered.notes,
        located=True, sha256=digest,
    )  # fmt: skip


def _from_text(path: Path, roles: ColumnRoles, digest: str) -> CausalInput:
    """Read columns by their names."""
    text = _columns(path)
    errors = {name: what for name, what in roles.error if not _is_number(what)}
    others = [name for name in (roles.frame, roles.track) if name]
    wanted = [*roles.variables, *(roles.position or ()), *others]
    wanted += [*(name for name, _ in roles.error), *errors.values()]
    for name in wanted:
        if name not in text:
            raise InputError("table", expected=f"a column {name!r}", got=f"columns {', '.join(text)}")
    used = {*(roles.position or ()), *others, *errors.values()}
    notes, names = [], list(roles.variables)
    if not names:
        names = [name for name in text if name not in used and _numeric(text[name])]
        left = [name for name in text if name not in used and name not in names]
        notes += [f"{', '.join(left)}: no column of numbers, left out."] if left else []
    columns = {name: _numbers(name, text[name]) for name in names}
    if not columns:
        raise InputError("table", expected="columns of numbers", got=", ".join(text) or "none")
    layout, kept = _layout(text, roles, columns)
    table = CausalTable.of(
        {name: column[kept] for name, column in columns.items()},
        layout=layout[0],
        error=_errors(text, roles, kept),
        image_names=layout[1],
    )
    position = _positions(text, roles)
    table = dataclasses.replace(
        table, n_dropped=int((~kept).sum()), position=table.position if position is None else position[kept]
    )
    return CausalInput(
        table=table, knowledge=Knowledge(), meaning={}, notes=tuple(notes), located=position is not None, sha256=digest,
        track=_tracks(text, roles, kept, table),
    )  # fmt: skip


def _columns(path: Path) -> dict[str, list[str]]:
    """Return the cells of each column."""
    try:
        lines = [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError("table", expected="text with columns", got=f"{path.name} ({error.reason})") from error
    if len(lines) < 2:
        raise InputError("table", expected="a line of names and rows below it", got=f"{len(lines)} lines")
    separator = max(",;\t", key=lines[0].count)
    names, *rows = csv.reader(lines, delimiter=separator)
    names = [name.strip() for name in names]
    if len(set(names)) < len(names) or not all(names) or all(map(_is_number, names)):
        raise InputError("table", expected="a first line of names that differ", got=", ".join(names))
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise InputError("table", expected=f"{len(names)} cells in every row", got=f"{len(row)} in row {number}")
    return {name: [row[k].strip() for row in rows] for k, name in enumerate(names)}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numeric(cells: Sequence[str]) -> bool:
    """Return whether a column holds numbers, and some of them known."""
    known = [cell for cell in cells if cell.lower() not in MISSING]
    return bool(known) and all(map(_is_number, known))


def _numbers(name: str, cells: Sequence[str]) -> np.ndarray:
    """Return the values of a column, NaN where one is missing."""
    wrong = next((cell for cell in cells if cell.lower() not in MISSING and not _is_number(cell)), None)
    if wrong is not None:
        raise InputError("table", expected=f"numbers in column {name!r}", got=repr(wrong))
    value = np.array([math.nan if cell.lower() in MISSING else float(cell) for cell in cells])
    return np.where(np.isfinite(value), value, np.nan)


def _positions(text: dict[str, list[str]], roles: ColumnRoles) -> np.ndarray | None:
    """Return (y, x) of each row, where the file tells."""
    if roles.position is None:
        return None
    return np.stack([_numbers(name, text[name]) for name in roles.position], axis=1)


def _layout(
    text: dict[str, list[str]], roles: ColumnRoles, columns: dict[str, np.ndarray]
) -> tuple[tuple[Layout, list[str]], np.ndarray]:
    """Return where the rows lie with the images' names, and which rows are complete."""
    kept = np.asarray(np.isfinite(np.stack(list(columns.values()))).all(axis=0))
    for name in filter(None, (roles.frame, roles.track)):
        kept &= np.array([cell.lower() not in MISSING for cell in text[name]])
    position = _positions(text, roles)
    if position is not None:
        kept &= np.isfinite(position).all(axis=1)
    if not kept.any():
        raise InputError("table", expected="rows in which everything is known", got="none")
    image, named = _images(text, roles, kept)
    if position is None:
        number = np.concatenate([np.arange(n) for n in np.bincount(image)])
        cell = np.zeros((len(image), 2), dtype=np.int64)
        cell[np.argsort(image, kind="stable"), 0] = number
        return (Layout(cell=cell, image=image), named), kept
    position = position[kept]
    if (position == np.rint(position)).all():
        return (Layout.of_lattice(position.astype(np.int64), image), named), kept
    return (Layout.of_positions(position, image), named), kept


def _images(text: dict[str, list[str]], roles: ColumnRoles, kept: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the number of each row's image or frame, and their names in order."""
    if roles.frame is None:
        return np.zeros(int(kept.sum()), dtype=np.int64), ["the table"]
    if roles.time is None:
        names, image = np.unique(np.array(text[roles.frame])[kept], return_inverse=True)
        return image.reshape(-1), names.tolist()
    times, frame = np.unique(_numbers(roles.time, text[roles.time])[kept], return_inverse=True)
    return frame.reshape(-1), [f"{roles.time} {time:g}" for time in times]


def _tracks(text: dict[str, list[str]], roles: ColumnRoles, kept: np.ndarray, table: CausalTable) -> np.ndarray | None:
    """Return the number of each row's atom or site, a new one after every gap in time; `None` for whole movies."""
    if roles.time is None:
        return None
    times = np.unique(_numbers(roles.time, text[roles.time])[kept])
    steps = np.diff(times)
    counted = steps / steps.min(initial=np.inf)
    if (np.abs(counted - np.rint(counted)) > UNEVEN).any():
        late = int(np.argmax(np.abs(counted - np.rint(counted))))
        raise InputError(
            "time",
            expected=f"frames {steps.min():g} apart, or twice, three times, ... as far",
            got=f"{times[late]:g} and then {times[late + 1]:g}",
        )
    stretch = np.concatenate([[0], np.cumsum(np.rint(counted) > 1)]).astype(np.int64)
    if roles.track is None and not stretch[-1]:
        return None
    named = np.array(text[roles.track])[kept] if roles.track else common_cells(table)
    track = np.unique(named, axis=0, return_inverse=True)[1].reshape(-1)
    return np.unique(np.stack([track, stretch[table.image]]), axis=1, return_inverse=True)[1].reshape(-1)


def _errors(text: dict[str, list[str]], roles: ColumnRoles, kept: np.ndarray) -> dict[str, float | np.ndarray]:
    """Return the standard errors of each variable."""
    out: dict[str, float | np.ndarray] = {}
    for name, what in roles.error:
        value = float(what) if _is_number(what) else _numbers(what, text[what])[kept]
        if not np.isfinite(value).all() or np.min(value) < 0:
            raise InputError("error", expected=f"finite standard errors >= 0 of {name!r}", got=f"others in {what!r}")
        out[name] = value
    return out
