"""Files in, grids and atoms out: one door for every format, and the export of atoms."""

from tusi.io.atom_tables import read_atoms
from tusi.io.cell_files import read_cell, write_cell
from tusi.io.cells import PeriodicCell
from tusi.io.describing import FileDescription, StoredDescription, describe
from tusi.io.export import write_atoms
from tusi.io.lattice_cells import Layer, lattice_cell, window_cell
from tusi.io.limits import default_max_bytes
from tusi.io.materials import from_ase, to_ase, to_jarvis
from tusi.io.reading import read
from tusi.io.stored import Axis, Reader, Stored

__all__ = [
    "Axis",
    "FileDescription",
    "Layer",
    "PeriodicCell",
    "Reader",
    "Stored",
    "StoredDescription",
    "default_max_bytes",
    "describe",
    "from_ase",
    "lattice_cell",
    "read",
    "read_atoms",
    "read_cell",
    "to_ase",
    "to_jarvis",
    "window_cell",
    "write_atoms",
    "write_cell",
]
