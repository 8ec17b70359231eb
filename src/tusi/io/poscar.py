"""Cells as POSCAR (VASP 5 and later): species by species, in fractions of the cell."""

import numpy as np

from tusi.errors import InputError
from tusi.io.cells import PeriodicCell


def to_poscar(cell: PeriodicCell) -> str:
    """Return a cell as POSCAR text; atoms of one species stand together, in the order in which species appear.

    Examples
    --------
    >>> cell = PeriodicCell(vectors=3.0 * np.eye(3), position=np.zeros((1, 3)), symbol=("Po",), comment="simple cubic")
    >>> to_poscar(cell).splitlines()[5:]
    ['Po', '1', 'Direct', '0.0000000000 0.0000000000 0.0000000000']
    """
    names = tuple(dict.fromkeys(cell.symbol))
    fraction = cell.fractional.tolist()
    grouped = [[place for place, owner in zip(fraction, cell.symbol, strict=True) if owner == name] for name in names]
    lines = [
        " ".join(cell.comment.split()) or " ".join(names) or "empty",
        "1.0",
        *(_row(vector) for vector in cell.vectors.tolist()),
        " ".join(names),
        " ".join(str(len(places)) for places in grouped),
        "Direct",
        *(_row(place) for places in grouped for place in places),
    ]
    return "\n".join(lines) + "\n"


def _row(numbers: list[float]) -> str:
    return " ".join(f"{number + 0.0:.10f}" for number in numbers)


def from_poscar(text: str) -> PeriodicCell:
    """Return the cell of a POSCAR with a line of species names; scale factors, Cartesian and direct positions are read.

    Examples
    --------
    >>> cell = PeriodicCell(vectors=3.0 * np.eye(3), position=np.ones((1, 3)), symbol=("Po",))
    >>> from_poscar(to_poscar(cell)).position.round(6).tolist()
    [[1.0, 1.0, 1.0]]
    """
    lines = text.splitlines()
    try:
        factor = float(lines[1].split()[0])
        vectors = np.array([[float(cell) for cell in line.split()[:3]] for line in lines[2:5]])
        scale = factor if factor > 0 else (-factor / abs(np.linalg.det(vectors))) ** (1 / 3)
        names, counts = lines[5].split(), [int(cell) for cell in lines[6].split()]
        start = 8 if lines[7].strip()[:1].lower() == "s" else 7
        cartesian = lines[start].strip()[:1].lower() in {"c", "k"}
        rows = lines[start + 1 : start + 1 + sum(counts)]
        place = np.array([[float(cell) for cell in row.split()[:3]] for row in rows]).reshape(sum(counts), 3)
        symbol = tuple(name for name, count in zip(names, counts, strict=True) for _ in range(count))
    except (ValueError, IndexError) as error:
        raise InputError("path", expected="a POSCAR with species names in its sixth line", got=str(error)) from None
    vectors = vectors * scale
    return PeriodicCell(
        vectors=vectors,
        position=place * scale if cartesian else place @ vectors,
        symbol=symbol,
        comment=lines[0].strip(),
    )
