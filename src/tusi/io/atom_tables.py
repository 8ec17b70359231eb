"""Tables of atoms from elsewhere: CSV, XYZ and atom-probe .pos files as `Atoms`."""

import os
import warnings
from pathlib import Path

import numpy as np

from tusi.data.atoms import Atoms
from tusi.errors import InputError, MetadataWarning
from tusi.io.coordinates import read_csv
from tusi.io.limits import check_bytes, check_path, default_max_bytes, n_bytes_of
from tusi.io.xyz import read_xyz
from tusi.units import ANGSTROM, angstroms

SUFFIXES = (".csv", ".xyz", ".pos")
"""Suffixes of tables of atoms."""

POS_NOTE = (
    "Atom-probe positions were projected along z: (y, x) were kept, depths dropped; "
    "`intensity` holds the mass-to-charge ratio in Da."
)
_BYTES_PER_BYTE = 40
"""Memory that a parsed row takes for each byte of its text, roughly."""


def read_atoms(path: str | os.PathLike, *, max_bytes: int | None = None) -> Atoms:
    r"""Read a table of atoms: CSV, XYZ (plain or extended) or atom-probe .pos.

    `Atoms` is two-dimensional: of XYZ and .pos files (y, x) are kept, as seen along z, and a warning says so.

    CSV files need a header with one of the column pairs `y, x` or `y_px, x_px` (pixels), `y_angstrom, x_angstrom`, or
    `y_nm, x_nm`. Known further columns are `intensity`, `intensity_variance`, `presence_probability`, `flags`,
    `image`, `frame`, the covariance as `covariance_yy, covariance_yx, covariance_xx` (in the position's unit squared),
    and the species: either `species` with names, or `probability_NAME` for each species, or `is_NAME` columns of 0
    and 1 (a single one makes the species "other" and NAME). Columns that are not known are dropped with a warning.

    XYZ positions are in angstrom; names become species with probability 1; several frames are told apart by `frame`.
    A .pos file is a list of big-endian (x, y, z, m/z) in nm and Da; m/z goes into `intensity`.

    Parameters
    ----------
    path
        The table; its suffix says which of the three it is.
    max_bytes
        Memory that the reading may take, in bytes; by default a quarter of the physical memory.

    Returns
    -------
    Atoms
        One row for each atom; covariances are NaN where the file has none.

    Raises
    ------
    InputError
        The file cannot be read, is truncated, has no positions, or a value in it is not a number.

    Warns
    -----
    MetadataWarning
        The unit had to be assumed, depths were dropped, or columns were.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "sites.csv"
    ...     _ = path.write_text("y_px,x_px,is_re\n1.5,2.5,0\n4.0,8.0,1\n")
    ...     atoms = read_atoms(path)
    >>> atoms.species, atoms.position.tolist()
    (('other', 'Re'), [[1.5, 2.5], [4.0, 8.0]])
    """
    path = Path(path)
    suffix = _checked_suffix(path)
    limit = default_max_bytes() if max_bytes is None else int(max_bytes)
    check_bytes(path.stat().st_size * _BYTES_PER_BYTE, limit=limit, what=path.name)
    atoms, notes = {".csv": read_csv, ".xyz": read_xyz, ".pos": _read_pos}[suffix](path)
    for note in notes:
        warnings.warn(note, MetadataWarning, stacklevel=2)
    return atoms


def count_atoms(path: Path) -> tuple[str, int]:
    """Return the name of a table's format and its number of rows, by the cheapest means."""
    suffix = _checked_suffix(path)
    if suffix == ".pos":
        return "atom-probe positions (.pos)", path.stat().st_size // 16
    with path.open("rb") as file:
        n_lines = sum(1 for line in file if line.strip())
    if suffix == ".csv":
        return "table of atoms (CSV)", max(n_lines - 1, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetadataWarning)
        return "coordinates (XYZ)", len(read_atoms(path))


def _checked_suffix(path: Path) -> str:
    """Return the suffix of a table that can be read, or say what is wrong with the path."""
    check_path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or path.is_dir():
        raise InputError(
            "path", expected=f"a table of atoms ({', '.join(SUFFIXES)})", got=path.name, then="`read` reads images."
        )
    return suffix


def _read_pos(path: Path) -> tuple[Atoms, tuple[str, ...]]:
    """Read an atom-probe .pos file."""
    size, row = path.stat().st_size, n_bytes_of((4,), np.dtype(">f4"))
    if size % row:
        raise InputError("path", expected="16 bytes for each atom", got=f"{size} bytes", then="It is truncated.")
    values = np.fromfile(path, ">f4").reshape(-1, 4).astype(np.float64)
    if not np.isfinite(values[:, :3]).all():
        raise InputError(
            "path", expected="finite positions", got=f"{path.name} with others", then="It is no .pos file."
        )
    atoms = Atoms.at(values[:, 1::-1] * angstroms(1.0, "nm"), length_unit=ANGSTROM, intensity=values[:, 3])
    return atoms, (POS_NOTE,)
