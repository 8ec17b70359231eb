"""Files in, grids and atoms out: one door for every format, and the export of atoms."""

from tusi.io.atom_tables import read_atoms
from tusi.io.describing import FileDescription, StoredDescription, describe
from tusi.io.export import write_atoms
from tusi.io.limits import default_max_bytes
from tusi.io.reading import read
from tusi.io.stored import Axis, Reader, Stored

__all__ = [
    "Axis",
    "FileDescription",
    "Reader",
    "Stored",
    "StoredDescription",
    "default_max_bytes",
    "describe",
    "read",
    "read_atoms",
    "write_atoms",
]
