"""XYZ files, plain or extended, seen along z."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tusi.data.atoms import Atoms
from tusi.errors import InputError
from tusi.io.coordinates import one_hot
from tusi.units import ANGSTROM

DEPTH_NOTE = "Positions were projected along z: (y, x) were kept, z was dropped."


def read_xyz(path: Path) -> tuple[Atoms, tuple[str, ...]]:
    """Read all frames of an XYZ file; the species of each atom gets probability 1."""
    names: list[str] = []
    positions: list[tuple[float, float]] = []
    frames: list[int] = []
    has_depth = False
    try:
        with path.open(encoding="utf-8") as file:
            for frame, name, (x, y, z) in _atoms(file, path):
                names.append(name)
                positions.append((y, x))
                frames.append(frame)
                has_depth = has_depth or z != 0
    except UnicodeDecodeError as error:
        raise InputError("path", expected="an XYZ file in UTF-8", got=f"{path.name} ({error})") from error
    species, probability = one_hot(names)
    atoms = dataclasses.replace(
        Atoms.at(np.array(positions, dtype=float).reshape(-1, 2), length_unit=ANGSTROM),
        species=species,
        species_probability=probability,
        frame=np.array(frames),
    )
    return atoms, (DEPTH_NOTE,) if has_depth else ()


def _atoms(lines: Iterator[str], path: Path) -> Iterator[tuple[int, str, tuple[float, float, float]]]:
    """Yield (frame, name, (x, y, z)) of each atom."""
    frame = -1
    for line in lines:
        if not line.strip():
            continue
        frame += 1
        if not line.strip().isdigit():
            raise InputError("path", expected="the number of atoms in the first line of a frame", got=repr(line[:40]))
        name_column, first = _columns(next(lines, ""))
        for _ in range(int(line)):
            row = next(lines, None)
            cells = row.split() if row is not None else []
            try:
                x, y, z = (float(cell) for cell in cells[first : first + 3])
                yield frame, cells[name_column], (x, y, z)
            except (ValueError, IndexError):
                got = "the end of the file" if row is None else repr(row[:60])
                raise InputError(
                    "path", expected=f"{int(line)} lines 'name x y z' in frame {frame}", got=got,
                    then=f"{path.name} may be truncated.",
                ) from None  # fmt: skip


def _columns(comment: str) -> tuple[int, int]:
    """Return the columns of the name and of x, as the comment line of an extended XYZ file says."""
    found = re.search(r'Properties=("?)([\w:]+)\1', comment)
    if not found:
        return 0, 1
    columns, column = {}, 0
    parts = found[2].split(":")
    for name, n_columns in zip(parts[::3], parts[2::3], strict=False):
        columns[name] = column
        column += int(n_columns) if n_columns.isdigit() else 1
    if "pos" not in columns:
        raise InputError("path", expected="a property 'pos' in an extended XYZ file", got=found[2][:80])
    return columns.get("species", 0), columns["pos"]
