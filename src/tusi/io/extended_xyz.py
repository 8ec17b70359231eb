"""Cells as extended XYZ: the box and what repeats stand in the comment line."""

import re

import numpy as np

from tusi.errors import InputError
from tusi.io.cells import PeriodicCell

_QUOTED = re.compile(r"(\w+)=(?:\"([^\"]*)\"|(\S+))")


def to_extended_xyz(cell: PeriodicCell) -> str:
    """Return a cell as one frame of extended XYZ.

    Examples
    --------
    >>> cell = PeriodicCell(vectors=3.0 * np.eye(3), position=np.zeros((1, 3)), symbol=("Po",))
    >>> print(to_extended_xyz(cell).splitlines()[2])
    Po 0.00000000 0.00000000 0.00000000
    """
    box = " ".join(f"{number:.8f}" for number in cell.vectors.ravel())
    repeats = " ".join("T" if yes else "F" for yes in cell.periodic)
    title = re.sub(r'[\s"=]+', " ", cell.comment).strip()
    head = f'Lattice="{box}" Properties=species:S:1:pos:R:3 pbc="{repeats}"' + (f' title="{title}"' if title else "")
    rows = [
        f"{name} {x:.8f} {y:.8f} {z:.8f}" for name, (x, y, z) in zip(cell.symbol, cell.position.tolist(), strict=True)
    ]
    return "\n".join([str(len(cell)), head, *rows]) + "\n"


def from_extended_xyz(text: str) -> PeriodicCell:
    """Return the first frame of an extended XYZ file that says which box it has.

    Examples
    --------
    >>> cell = PeriodicCell(vectors=3.0 * np.eye(3), position=np.zeros((1, 3)), symbol=("Po",))
    >>> from_extended_xyz(to_extended_xyz(cell)).symbol
    ('Po',)
    """
    lines = text.splitlines()
    if len(lines) < 2 or not lines[0].strip().isdigit():
        raise InputError("path", expected="the number of atoms in the first line", got=repr(text[:40]))
    said = {key.lower(): quoted or bare for key, quoted, bare in _QUOTED.findall(lines[1])}
    if "lattice" not in said:
        raise InputError("path", expected='Lattice="..." in the second line', got=repr(lines[1][:60]))
    name_column, first = _columns(said.get("properties", "species:S:1:pos:R:3"))
    n_atoms = int(lines[0])
    rows = [line.split() for line in lines[2 : 2 + n_atoms]]
    try:
        vectors = np.array(said["lattice"].split(), float).reshape(3, 3)
        position = np.array([[float(cell) for cell in row[first : first + 3]] for row in rows]).reshape(n_atoms, 3)
        symbol = tuple(row[name_column] for row in rows)
    except (ValueError, IndexError) as error:
        raise InputError("path", expected=f"nine numbers of the box and {n_atoms} atoms", got=str(error)) from None
    repeats = [word.upper().startswith("T") for word in said.get("pbc", "T T T").split()]
    if len(repeats) != 3:
        raise InputError("path", expected="three letters T or F after pbc", got=repr(said["pbc"]))
    return PeriodicCell(
        vectors=vectors,
        position=position,
        symbol=symbol,
        periodic=(repeats[0], repeats[1], repeats[2]),
        comment=said.get("title", ""),
    )


def _columns(properties: str) -> tuple[int, int]:
    """Return the columns of the name and of x."""
    parts, columns, column = properties.split(":"), {}, 0
    for name, count in zip(parts[::3], parts[2::3], strict=False):
        columns[name] = column
        column += int(count) if count.isdigit() else 1
    if "species" not in columns or "pos" not in columns:
        raise InputError("path", expected="properties species and pos", got=properties[:80])
    return columns["species"], columns["pos"]
