"""What a file holds and what `read` would do with it, from headers alone."""

import importlib
import os
from dataclasses import dataclass
from pathlib import Path

from tusi.io.atom_tables import SUFFIXES as ATOM_SUFFIXES
from tusi.io.atom_tables import count_atoms
from tusi.io.axes import assumed, name_dims
from tusi.io.door import check_numbers, choose, opened
from tusi.io.formats import recognise
from tusi.io.limits import check_path, in_words
from tusi.io.reading import display_bits, scales
from tusi.io.stored import COLOUR, Stored

COLOUR_NOTE = "Colour channels or a palette will be combined to one intensity."


@dataclass(frozen=True, kw_only=True)
class StoredDescription:
    """One data set inside a file: its name, shape and type of numbers."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name or '(unnamed)'}  {' x '.join(map(str, self.shape))}  {self.dtype}"


@dataclass(frozen=True, kw_only=True)
class FileDescription:
    """What a file holds and what `read` would do with it.

    Attributes
    ----------
    path
        The file.
    format
        Name of its format, by content.
    kind
        "grid" (use `read`), "atoms" (use `read_atoms`) or "result" (a file that tusi wrote).
    n_bytes
        Size of the file, in bytes; 0 for a folder.
    datasets
        Everything in it that holds numbers.
    chosen
        Name of the data set that `read` would take; `None` where it would take none.
    dims, shape
        Dimensions of the grid that `read` would return, before axes of length one are dropped.
    pixel_size
        (y, x) side of a pixel, in `length_unit`; `None` where the file states none.
    length_unit
        "angstrom" or "pixel".
    display_bits
        Bits of the grey levels where the image is a display made for the eye; `None` for others.
    n_atoms
        Rows of a table of atoms.
    warnings
        What `read` would warn of, as far as headers tell.
    """

    path: Path
    format: str
    kind: str
    n_bytes: int = 0
    datasets: tuple[StoredDescription, ...] = ()
    chosen: str | None = None
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    pixel_size: tuple[float, float] | None = None
    length_unit: str = ""
    display_bits: int | None = None
    n_atoms: int | None = None
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.path.name}: {self.format}, {in_words(self.n_bytes) if self.n_bytes else 'folder'}"]
        if self.kind == "result":
            lines.append("A result of tusi: `tusi report` draws it again.")
        if self.n_atoms is not None:
            lines.append(f"A table of {self.n_atoms} atoms: `tusi.io.read_atoms` reads it.")
        if self.kind == "grid":
            lines += self._grid_lines()
        return "\n".join([*lines, *(f"warning: {one}" for one in self.warnings)])

    def _grid_lines(self) -> list[str]:
        """Say what `read` would return."""
        lines = []
        if self.chosen is not None:
            sizes = ", ".join(f"{dim} {size}" for dim, size in zip(self.dims, self.shape, strict=True))
            lines.append(f"reads as: {sizes}" + (f"  from {self.chosen!r}" if self.chosen else ""))
            if self.pixel_size is None:
                lines.append("pixel size: not stated (lengths in pixels)")
            else:
                lines.append("pixel size: {:.6g} x {:.6g} ".format(*self.pixel_size) + f"{self.length_unit} (y, x)")
        if self.display_bits is not None:
            lines.append(f"a display of {self.display_bits}-bit grey levels")
        if len(self.datasets) > 1:
            lines += [f"holds {len(self.datasets)} data sets:", *(f"  {one}" for one in self.datasets)]
        return lines


def describe(path: str | os.PathLike, *, dataset: str | None = None) -> FileDescription:
    """Say what a file holds and what `read` would do with it.

    Headers are read; values are not, except by the readers of formats without a header (Gwyddion, Igor, Nanonis), which
    load the file, and tables of atoms, whose rows are counted.

    Parameters
    ----------
    path
        The file, or the folder of a Zarr store.
    dataset
        Name of the data set that would be passed to `read`.

    Returns
    -------
    FileDescription
        `str()` of it is the answer in words.

    Raises
    ------
    InputError
        The file cannot be read or is nothing known; see `read`.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "image.npy"
    ...     np.save(path, np.ones((4, 5)))
    ...     print(describe(path))
    image.npy: NPY, 288 B
    reads as: y 4, x 5
    pixel size: not stated (lengths in pixels)
    warning: The file states no pixel size: lengths are in pixels. Set `pixel_size` (angstrom; `--pixel-size`).
    """
    path = Path(path)
    check_path(path)
    n_bytes = path.stat().st_size if path.is_file() else 0
    if path.is_file() and path.suffix.lower() in ATOM_SUFFIXES:
        form, n_atoms = count_atoms(path)
        return FileDescription(path=path, format=form, kind="atoms", n_bytes=n_bytes, n_atoms=n_atoms)
    form, _ = recognise(path)
    if form.name == "HDF5" and (version := importlib.import_module("tusi.io.hdf5").tusi_format(path)):
        return FileDescription(path=path, format=f"tusi result ({version})", kind="result", n_bytes=n_bytes)
    with opened(path) as file:
        datasets = tuple(
            StoredDescription(name=one.name, shape=one.shape, dtype=str(one.dtype)) for one in file.contents
        )
        stored, notes = choose(file.contents, dataset)
        check_numbers(stored)
        dims = name_dims(stored.signal_axes)
    (scale_y, scale_x, unit), scale_notes = scales(stored, dims, None)
    stated = unit != "pixel"
    return FileDescription(
        path=path,
        format=file.form.name,
        kind="grid",
        n_bytes=n_bytes,
        datasets=datasets,
        chosen=stored.name,
        dims=dims,
        shape=tuple(axis.size for axis in stored.signal_axes),
        pixel_size=(scale_y, scale_x) if stated else None,
        length_unit=unit,
        display_bits=display_bits(stored),
        warnings=(
            *file.notes,
            *stored.notes,
            *notes,
            *_colour(stored),
            *assumed(stored.signal_axes, dims),
            *scale_notes,
        ),
    )


def _colour(stored: Stored) -> tuple[str, ...]:
    """Announce that colours will be combined."""
    has_colour = stored.palette is not None or any(axis.name == COLOUR for axis in stored.axes)
    return (COLOUR_NOTE,) if has_colour else ()
