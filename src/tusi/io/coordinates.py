"""Tables of atoms as CSV: which columns mean what."""

import csv
import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tusi.data.atoms import Atoms
from tusi.errors import InputError
from tusi.units import ANGSTROM, PIXEL, angstroms

PAIRS = (("y_angstrom", "x_angstrom"), ("y_nm", "x_nm"), ("y_px", "x_px"), ("y_pixel", "x_pixel"), ("y", "x"))
"""Column pairs that hold the position, the first found wins."""

COVARIANCE = ("covariance_yy", "covariance_yx", "covariance_xx")
"""Columns of the position's covariance, in its unit squared."""

PLAIN = ("intensity", "intensity_variance", "presence_probability", "flags", "image", "frame")
"""Columns that are fields of `Atoms` as they stand."""

PROBABILITY = "probability_"
Species = tuple[tuple[str, ...], np.ndarray, set[str]]
"""Names, probability[atom, species], and the columns that they came from."""

UNIT_NOTE = "The columns 'y' and 'x' name no unit; pixels were assumed (name them y_angstrom, x_angstrom otherwise)."


def read_csv(path: Path) -> tuple[Atoms, tuple[str, ...]]:
    """Read a CSV table; see `read_atoms` for the columns."""
    header, rows = _rows(path)
    columns = {name: i for i, name in enumerate(header)}
    pair = next((pair for pair in PAIRS if set(pair) <= set(columns)), None)
    if pair is None:
        raise InputError(
            "path", expected="a header with one of " + ", ".join("/".join(pair) for pair in PAIRS), got=f"{header[:12]}"
        )
    used = set(pair)

    def numbers(name: str) -> np.ndarray:
        used.add(name)
        return _numbers([row[columns[name]] for row in rows], name)

    unit = ANGSTROM if pair[0].endswith(("angstrom", "nm")) else PIXEL
    factor = angstroms(1.0, "nm") if pair[0].endswith("nm") else 1.0
    position = np.stack([numbers(pair[0]), numbers(pair[1])], axis=1).reshape(-1, 2) * factor
    changes = {name: numbers(name) for name in PLAIN if name in columns}
    if set(COVARIANCE) <= set(columns):
        yy, yx, xx = (numbers(name) * factor**2 for name in COVARIANCE)
        changes["covariance"] = np.stack([yy, yx, yx, xx], axis=-1).reshape(-1, 2, 2)
    species, probability, of_species = _species(header, rows, numbers)
    used |= of_species
    atoms = dataclasses.replace(
        Atoms.at(position, length_unit=unit), species=species, species_probability=probability, **changes
    )
    dropped = [name for name in header if name not in used]
    notes = (UNIT_NOTE,) if pair == ("y", "x") else ()
    if dropped:
        notes = (*notes, f"Columns that tusi does not know were dropped: {', '.join(map(repr, dropped[:12]))}.")
    return atoms, notes


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Split a table into its header and its rows, all of one length."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if any(cell.strip() for cell in line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError("path", expected="a CSV table in UTF-8", got=f"{path.name} ({error})") from error
    if not lines:
        raise InputError("path", expected="a CSV table with a header", got=f"{path.name}, which has no rows")
    header = [cell.strip() for cell in lines[0]]
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise InputError(
                "path", expected=f"{len(header)} values in each row", got=f"{len(line)} in row {number}",
                then="The file may be truncated.",
            )  # fmt: skip
    return header, lines[1:]


def _numbers(cells: Sequence[str], name: str) -> np.ndarray:
    """Convert one column; an empty cell is NaN."""
    try:
        return np.array([float(cell) if cell.strip() else np.nan for cell in cells], dtype=np.float64)
    except ValueError as error:
        raise InputError("path", expected=f"numbers in column {name!r}", got=str(error)) from None


def _species(header: list[str], rows: list[list[str]], numbers: Callable[[str], np.ndarray]) -> Species:
    """Return the species, the probability of each for each atom, and the columns that they came from."""
    stated = [name for name in header if name.startswith(PROBABILITY)]
    indicators = [name for name in header if re.fullmatch(r"is_\w+", name)]
    if stated:
        probability = np.stack([numbers(name) for name in stated], axis=1).reshape(-1, len(stated))
        return tuple(name.removeprefix(PROBABILITY) for name in stated), probability, set(stated)
    if "species" in header:
        names = [row[header.index("species")].strip() for row in rows]
        return *one_hot(names), {"species"}
    if indicators:
        values = np.stack([numbers(name) for name in indicators], axis=1).reshape(-1, len(indicators))
        species = tuple(name.removeprefix("is_").capitalize() for name in indicators)
        if len(indicators) == 1:
            return ("other", *species), np.hstack([1 - values, values]), set(indicators)
        return species, values, set(indicators)
    return (), np.empty((len(rows), 0)), set()


def one_hot(names: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the species in alphabetical order, and probability 1 for the one that each atom has.

    Examples
    --------
    >>> one_hot(["Re", "Mo"])
    (('Mo', 'Re'), array([[0., 1.],
           [1., 0.]]))
    """
    species = tuple(sorted({name for name in names if name}))
    probability = np.array([[float(name == one) for one in species] for name in names]).reshape(
        len(names), len(species)
    )
    probability[[i for i, name in enumerate(names) if not name]] = np.nan
    return species, probability
