"""Cells in and out of files: the suffix or the name says which format."""

import os
from collections.abc import Callable
from pathlib import Path

from tusi.errors import InputError
from tusi.io.cells import PeriodicCell
from tusi.io.cif import from_cif, to_cif
from tusi.io.export import write_whole
from tusi.io.extended_xyz import from_extended_xyz, to_extended_xyz
from tusi.io.limits import check_path
from tusi.io.poscar import from_poscar, to_poscar

_Format = tuple[Callable[[PeriodicCell], str], Callable[[str], PeriodicCell]]
FORMATS: dict[str, _Format] = {
    "CIF": (to_cif, from_cif),
    "POSCAR": (to_poscar, from_poscar),
    "extended XYZ": (to_extended_xyz, from_extended_xyz),
}
"""Formats by name: how to write and how to read."""

_SUFFIXES = {".cif": "CIF", ".vasp": "POSCAR", ".poscar": "POSCAR", ".xyz": "extended XYZ", ".extxyz": "extended XYZ"}


def write_cell(cell: PeriodicCell, path: str | os.PathLike) -> Path:
    """Write a periodic cell as CIF, POSCAR or extended XYZ.

    The file is written under a temporary name in the same folder and renamed when it is complete.

    Parameters
    ----------
    cell
        What to write.
    path
        Name of the new file: it ends in .cif, .vasp, .poscar, .xyz or .extxyz, or is POSCAR or CONTCAR.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        The name says no format, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> cell = PeriodicCell(vectors=3.0 * np.eye(3), position=np.zeros((1, 3)), symbol=("Po",))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_cell(cell, f"{folder}/POSCAR")
    ...     print(path.read_text().splitlines()[5])
    Po
    """
    path = Path(path)
    write_whole(path, FORMATS[_format_of(path)][0](cell))
    return path


def read_cell(path: str | os.PathLike) -> PeriodicCell:
    """Read a periodic cell from a CIF without symmetry, a POSCAR, or an extended XYZ file.

    Parameters
    ----------
    path
        The file; its name says the format, as for `write_cell`.

    Returns
    -------
    PeriodicCell
        The (first) cell of the file.

    Raises
    ------
    InputError
        The file cannot be read, or is not what its name says.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> cell = PeriodicCell(vectors=3.0 * np.eye(3), position=np.zeros((1, 3)), symbol=("Po",))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(read_cell(write_cell(cell, f"{folder}/po.cif")).lengths.tolist())
    [3.0, 3.0, 3.0]
    """
    path = Path(path)
    kind = _format_of(path)
    check_path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("path", expected=f"a text file ({kind})", got=f"{path.name} ({error})") from error
    return FORMATS[kind][1](text)


def _format_of(path: Path) -> str:
    """Return the format that a file's name says."""
    if path.stem.upper() in {"POSCAR", "CONTCAR"} and not path.suffix:
        return "POSCAR"
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError("path", expected=f"a name that ends in {', '.join(_SUFFIXES)}, or POSCAR", got=path.name)
    return _SUFFIXES[path.suffix.lower()]
