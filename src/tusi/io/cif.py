"""Cells as CIF, without symmetry (P 1)."""

import re
import shlex

import numpy as np

from tusi.errors import InputError
from tusi.io.cells import PeriodicCell

_SIDES = ("_cell_length_a", "_cell_length_b", "_cell_length_c")
_ANGLES = ("_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma")
_FRACTIONS = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")


def to_cif(cell: PeriodicCell) -> str:
    """Return a cell as CIF text in space group P 1.

    A CIF keeps lengths and angles, not how the cell is turned in space: read back, its first vector lies along x.

    Examples
    --------
    >>> cell = PeriodicCell(vectors=3.0 * np.eye(3), position=np.zeros((1, 3)), symbol=("Po",))
    >>> print(to_cif(cell).splitlines()[-1])
    Po1 Po 0.00000000 0.00000000 0.00000000 1.0
    """
    numbers = zip((*_SIDES, *_ANGLES), (*cell.lengths.tolist(), *cell.angles.tolist()), strict=True)
    rows = [
        f"{name}{number} {name} {x + 0.0:.8f} {y + 0.0:.8f} {z + 0.0:.8f} 1.0"
        for number, (name, (x, y, z)) in enumerate(zip(cell.symbol, cell.fractional.tolist(), strict=True), start=1)
    ]
    lines = [
        f"# {' '.join(cell.comment.split())}",
        "data_tusi",
        *(f"{key} {value:.8f}" for key, value in numbers),
        "_space_group_name_H-M_alt 'P 1'",
        "_space_group_IT_number 1",
        "loop_",
        "_space_group_symop_operation_xyz",
        "'x, y, z'",
        "loop_",
        "_atom_site_label",
        "_atom_site_type_symbol",
        *_FRACTIONS,
        "_atom_site_occupancy",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def from_cif(text: str) -> PeriodicCell:
    """Return the first cell of a CIF in space group P 1; other groups are refused.

    Examples
    --------
    >>> cell = PeriodicCell(vectors=3.0 * np.eye(3), position=np.ones((1, 3)), symbol=("Po",))
    >>> from_cif(to_cif(cell)).position.round(6).tolist()
    [[1.0, 1.0, 1.0]]
    """
    single, loops = _parsed(text)
    missing = [key for key in (*_SIDES, *_ANGLES) if key not in single]
    sites = next((loop for loop in loops if _FRACTIONS[0] in loop), None)
    if missing or sites is None:
        raise InputError("path", expected="a cell and a loop of fractional positions", got=", ".join(missing) or "none")
    if any(len(column) > 1 for loop in loops for key, column in loop.items() if key.endswith("_xyz")):
        raise InputError("path", expected="space group P 1", got="symmetry operations", then="Expand the cell first.")
    try:
        sides, angles = ([_number(single[key]) for key in keys] for keys in (_SIDES, _ANGLES))
        fraction = np.array([[_number(cell) for cell in sites[key]] for key in _FRACTIONS]).T.reshape(-1, 3)
    except (ValueError, KeyError) as error:
        raise InputError("path", expected="numbers", got=str(error)) from None
    label = sites.get("_atom_site_type_symbol") or sites.get("_atom_site_label") or []
    vectors = _vectors(sides, angles)
    symbol = tuple(re.sub(r"[\d+-]+$", "", name) or name for name in label)
    return PeriodicCell(vectors=vectors, position=fraction @ vectors, symbol=symbol)


def _number(text: str) -> float:
    """Return a number without the uncertainty in parentheses."""
    return float(text.split("(", maxsplit=1)[0])


def _vectors(sides: list[float], angles: list[float]) -> np.ndarray:
    """Return cell vectors with the first along x and the second in the plane of x and y."""
    alpha, beta, gamma = np.deg2rad(angles)
    c_x = np.cos(beta)
    c_y = (np.cos(alpha) - np.cos(beta) * np.cos(gamma)) / np.sin(gamma)
    c_z = np.sqrt(max(1 - c_x**2 - c_y**2, 0.0))
    unit = np.array([[1.0, 0.0, 0.0], [np.cos(gamma), np.sin(gamma), 0.0], [c_x, c_y, c_z]])
    return unit * np.array(sides)[:, None]


def _parsed(text: str) -> tuple[dict[str, str], list[dict[str, list[str]]]]:
    """Return the single items of the first data block, and its loops as columns by name."""
    single: dict[str, str] = {}
    loops: list[dict[str, list[str]]] = []
    keys: list[str] | None = None
    values: list[str] = []
    n_blocks = 0
    for line in text.splitlines():
        words = _words(line)
        if not words:
            continue
        if words[0].lower().startswith("data_"):
            n_blocks += 1
            if n_blocks > 1:
                break
        elif words[0].lower() == "loop_":
            _close(loops, keys, values)
            keys, values = [], []
        elif words[0].startswith("_") and keys is not None and not values:
            keys.append(words[0].lower().replace(".", "_"))
        elif words[0].startswith("_"):
            _close(loops, keys, values)
            keys, values = None, []
            single[words[0].lower().replace(".", "_")] = " ".join(words[1:])
        elif keys is not None:
            values += words
    _close(loops, keys, values)
    return single, loops


def _close(loops: list[dict[str, list[str]]], keys: list[str] | None, values: list[str]) -> None:
    """Add a finished loop."""
    if keys:
        if len(values) % len(keys):
            raise InputError("path", expected=f"a multiple of {len(keys)} values in a loop", got=str(len(values)))
        loops.append({key: values[k :: len(keys)] for k, key in enumerate(keys)})


def _words(line: str) -> list[str]:
    """Split a line at blanks outside quotes; what follows # is a remark."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()
