"""Cells to and from the objects of ASE and JARVIS, which the extra `materials` installs."""

import importlib
from typing import Any

import numpy as np

from tusi.errors import InputError
from tusi.io.cells import PeriodicCell


def import_materials(module: str) -> Any:
    """Import a module of ASE or JARVIS, or say how to install it.

    Parameters
    ----------
    module
        Its full name.

    Raises
    ------
    InputError
        It is not installed.

    Examples
    --------
    >>> import_materials("json").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"ase": "ASE", "jarvis": "jarvis-tools"}.get(module.split(".", maxsplit=1)[0], module)
        raise InputError(
            "environment", expected=f"{package} to be installed", got=str(error),
            then='Install the extra: pip install "tusi[materials]".',
        ) from error  # fmt: skip


def to_ase(cell: PeriodicCell) -> Any:
    """Return a cell as `ase.Atoms`.

    Names that are no chemical element become X; the name is kept in the array "name".

    Parameters
    ----------
    cell
        The cell.

    Raises
    ------
    InputError
        ASE is not installed.

    Examples
    --------
    >>> cell = PeriodicCell(vectors=3.0 * np.eye(3), position=np.zeros((1, 3)), symbol=("Po",))
    >>> to_ase(cell).get_chemical_formula()  # doctest: +SKIP
    'Po'
    """
    ase = import_materials("ase")
    numbers = import_materials("ase.data").atomic_numbers
    atoms = ase.Atoms(
        symbols=[name if name in numbers else "X" for name in cell.symbol],
        positions=cell.position,
        cell=cell.vectors,
        pbc=cell.periodic,
    )
    atoms.new_array("name", np.array(cell.symbol, dtype="U16"))
    return atoms


def from_ase(atoms: Any) -> PeriodicCell:
    """Return `ase.Atoms` as a cell.

    Parameters
    ----------
    atoms
        Atoms with a cell of three vectors.

    Raises
    ------
    InputError
        There is no such cell.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> like = SimpleNamespace(cell=3.0 * np.eye(3), positions=np.zeros((1, 3)), pbc=[True] * 3, arrays={})
    >>> like.get_chemical_symbols = lambda: ["Po"]
    >>> from_ase(like).symbol
    ('Po',)
    """
    names = atoms.arrays.get("name", atoms.get_chemical_symbols())
    first, second, third = (bool(yes) for yes in atoms.pbc)
    return PeriodicCell(
        vectors=np.array(atoms.cell),
        position=np.array(atoms.positions),
        symbol=tuple(str(name) for name in names),
        periodic=(first, second, third),
    )


def to_jarvis(cell: PeriodicCell) -> Any:
    """Return a cell as `jarvis.core.atoms.Atoms`, which takes every direction for periodic.

    Parameters
    ----------
    cell
        The cell; all names must be chemical elements.

    Raises
    ------
    InputError
        jarvis-tools is not installed.

    Examples
    --------
    >>> cell = PeriodicCell(vectors=3.0 * np.eye(3), position=np.zeros((1, 3)), symbol=("Po",))
    >>> to_jarvis(cell).num_atoms  # doctest: +SKIP
    1
    """
    jarvis = import_materials("jarvis.core.atoms")
    return jarvis.Atoms(
        lattice_mat=cell.vectors.tolist(), coords=cell.position.tolist(), elements=list(cell.symbol), cartesian=True
    )
