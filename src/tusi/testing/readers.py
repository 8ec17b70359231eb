"""The contract of a file reader: headers tell the truth, windows are parts of the whole, damage is an `InputError`."""

import tracemalloc
import warnings
from pathlib import Path

import numpy as np

from tusi.data.grid import check_grid
from tusi.errors import InputError, MetadataWarning
from tusi.io import Reader, read
from tusi.io.formats import recognise

MEMORY_SLACK = 32 * 2**20
"""Bytes that a library may take for itself while it fails to read a damaged file."""


def check_reader(path: Path, *, folder: Path, n_truncations: int = 20) -> None:
    """Check that the reader of this file's format keeps its contract.

    Every data set has a name of its own, and loads with the shape and type that its header states. A window equals the
    same part of the whole. `read` gives a grid that follows the schema, and with `region` the part of that grid. A
    copy of the file that is cut anywhere is read, or is an `InputError`, and takes little memory either way.

    Parameters
    ----------
    path
        A whole, valid file of the format, of at most a few MB.
    folder
        An empty folder for damaged copies.
    n_truncations
        Number of places, evenly spread, at which the file is cut.

    Raises
    ------
    AssertionError
        The contract is broken; the message says where.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as scratch:
    ...     np.save(f"{scratch}/image.npy", np.eye(32))
    ...     (Path(scratch) / "damaged").mkdir()
    ...     check_reader(Path(scratch) / "image.npy", folder=Path(scratch) / "damaged", n_truncations=3)
    """
    form, _ = recognise(path)
    reader = form.load_reader()
    assert isinstance(reader, Reader), f"{form.reader} is no Reader"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _check_contents(reader, path)
        _check_grid(path)
        if path.is_file():
            _check_damage(path, folder, n_truncations)


def _check_contents(reader: Reader, path: Path) -> None:
    """Compare headers with what loads."""
    with reader.open(path) as contents:
        names = [stored.name for stored in contents]
        assert names, "a valid file lists no data set"
        assert len(set(names)) == len(names), f"names are not unique: {names}"
        for stored in contents:
            whole = stored.load(tuple(slice(0, size) for size in stored.shape))
            assert whole.shape == stored.shape, f"{stored.name}: header {stored.shape}, data {whole.shape}"
            assert whole.dtype.kind == stored.dtype.kind, f"{stored.name}: header {stored.dtype}, data {whole.dtype}"
            window = tuple(slice(size // 3, max(size // 3 + 1, size // 2)) for size in stored.shape)
            np.testing.assert_array_equal(stored.load(window), whole[window], err_msg=f"window of {stored.name}")


def _check_grid(path: Path) -> None:
    """Compare a region with the same part of the whole grid."""
    grid = check_grid(read(path))
    assert grid.dtype == np.float64, f"values are {grid.dtype}"
    if {"y", "x"} <= set(grid.dims):
        y, x = (slice(grid.sizes[dim] // 4, max(grid.sizes[dim] // 2, 1)) for dim in ("y", "x"))
        part = read(path, region=(y.start, y.stop, x.start, x.stop))
        np.testing.assert_array_equal(part.values, grid.isel(y=y, x=x).values, err_msg="region")
        np.testing.assert_array_equal(part.x.values, grid.x.values[x], err_msg="coordinates of a region")


def _check_damage(path: Path, folder: Path, n_truncations: int) -> None:
    """Cut the file at many places: nothing but an `InputError`, and no more memory than the file deserves."""
    whole = path.read_bytes()
    damaged = folder / path.name
    for end in np.linspace(0, len(whole) - 1, n_truncations).astype(int):
        damaged.write_bytes(whole[:end])
        tracemalloc.start()
        try:
            read(damaged, max_bytes=MEMORY_SLACK)
        except InputError:
            pass
        except MetadataWarning as error:
            raise AssertionError(f"cut at {end}: a warning was raised") from error
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 2 * MEMORY_SLACK, f"cut at {end}: {peak} bytes were allocated"
    damaged.unlink(missing_ok=True)
