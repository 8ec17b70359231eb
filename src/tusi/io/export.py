"""Atoms to files that other programs read; a file is complete or not there at all."""

import csv
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tusi.data.atoms import Atoms
from tusi.errors import InputError
from tusi.io.coordinates import COVARIANCE, PLAIN, PROBABILITY
from tusi.units import ANGSTROM

_COUNTS = ("flags", "image", "frame")


def write_atoms(atoms: Atoms, path: str | os.PathLike) -> Path:
    """Write atoms as CSV (every column) or XYZ (positions and most probable species).

    The file is written under a temporary name in the same folder and renamed when it is complete, so that a full disk
    or an interruption leaves what was there before. `read_atoms` gives a CSV table back without loss.

    Parameters
    ----------
    atoms
        What to write.
    path
        Name of the new file, with suffix .csv or .xyz. XYZ needs positions in angstrom; z is 0, and atoms without a
        species are called X.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        The suffix is another one, positions are in pixels (XYZ), or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_atoms(Atoms.at(np.array([[1.0, 2.0]]), length_unit="angstrom"), f"{folder}/atoms.xyz")
    ...     print(path.read_text().splitlines()[-1])
    X 2.000000 1.000000 0.000000
    """
    path = Path(path)
    writers: dict[str, Callable[[Atoms], str]] = {".csv": _csv, ".xyz": _xyz}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise InputError("path", expected="a name that ends in .csv or .xyz", got=str(path))
    write_whole(path, writer(atoms))
    return path


def _csv(atoms: Atoms) -> str:
    """Return all columns as CSV; numbers are written so that they read back the same."""
    unit = "angstrom" if atoms.length_unit == ANGSTROM else "px"
    columns = {
        f"y_{unit}": atoms.position[:, 0],
        f"x_{unit}": atoms.position[:, 1],
        **dict(zip(COVARIANCE, atoms.covariance.reshape(-1, 4)[:, [0, 1, 3]].T, strict=True)),
        **{name: getattr(atoms, name) for name in PLAIN},
        **{f"{PROBABILITY}{name}": atoms.species_probability[:, i] for i, name in enumerate(atoms.species)},
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    as_text = [[str(int(v)) if name in _COUNTS else repr(float(v)) for v in column] for name, column in columns.items()]
    writer.writerows(zip(*as_text, strict=True))
    return text.getvalue()


def _xyz(atoms: Atoms) -> str:
    """Return the positions as XYZ, one block for each frame."""
    if atoms.length_unit != ANGSTROM:
        raise InputError("atoms", expected="positions in angstrom", got=atoms.length_unit, then="Write .csv instead.")
    known = np.nan_to_num(atoms.species_probability, nan=-1.0)
    best = known.argmax(axis=1) if atoms.species else np.zeros(len(atoms), int)
    lines = []
    for frame in np.unique(atoms.frame):
        rows = np.flatnonzero(atoms.frame == frame)
        lines += [str(len(rows)), 'Properties=species:S:1:pos:R:3 pbc="F F F"']
        for row in rows:
            name = atoms.species[best[row]] if atoms.species and known[row, best[row]] >= 0 else "X"
            y, x = atoms.position[row]
            lines.append(f"{name.replace(' ', '_')} {x:.6f} {y:.6f} {0.0:.6f}")
    return "\n".join(lines or ["0", ""]) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Write to a temporary name and rename; remove the temporary file when that fails."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", suffix=".partial", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            "path",
            expected="a folder with room and permission to write",
            got=f"{path}: {error}",
            then="Free some space.",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
