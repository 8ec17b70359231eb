"""Nanonis files through `nanonispy2`: scans (.sxm), grids of spectra (.3ds) and single spectra (.dat)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tusi.errors import InputError
from tusi.io.stored import Axis, Reader, Stored, in_memory


class ScanReader(Reader):
    """Channels of a scan, rows from top to bottom and columns from left to right in either direction."""

    name = "Nanonis scan"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        import nanonispy2 as nanonis  # pyright: ignore[reportMissingImports]

        scan = nanonis.read.Scan(str(path))
        range_x, range_y = (float(value) for value in scan.header["scan_range"])
        upward = str(scan.header.get("scan_dir", "")).strip() == "up"
        found = []
        for channel, directions in scan.signals.items():
            for direction, values in directions.items():
                image = np.asarray(values)
                image = image[::-1] if upward else image
                image = image[:, ::-1] if direction == "backward" else image
                n_y, n_x = image.shape
                axes = (
                    Axis(size=n_y, name="y", unit="m", scale=range_y / n_y),
                    Axis(size=n_x, name="x", unit="m", scale=range_x / n_x),
                )
                name = channel if direction == "forward" else f"{channel}/{direction}"
                found.append(Stored(name=name, dtype=image.dtype, axes=axes, load=in_memory(image)))
        yield tuple(found)


class GridReader(Reader):
    """Spectra on a grid of positions: (y, x, bias) for each channel."""

    name = "Nanonis grid"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        import nanonispy2 as nanonis  # pyright: ignore[reportMissingImports]

        grid = nanonis.read.Grid(str(path))
        side_x, side_y = (float(value) for value in grid.header["size_xy"][:2])
        sweep = np.asarray(grid.signals["sweep_signal"], dtype=float)
        yield tuple(
            _grid_channel(name, np.asarray(values), (side_y, side_x), sweep)
            for name, values in grid.signals.items()
            if name not in ("sweep_signal", "params", "topo") and np.ndim(values) == 3
        )


class SpectrumReader(Reader):
    """A single spectrum is a table, not an image: it is recognised so that the message can say so."""

    name = "Nanonis spectrum"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        import nanonispy2 as nanonis  # pyright: ignore[reportMissingImports]

        columns = nanonis.read.Spec(str(path)).signals
        raise InputError(
            "path", expected="an image or a stack", got=f"a single spectrum with columns {', '.join(map(str, columns))}"
        )
        yield ()


def _grid_channel(name: str, values: np.ndarray, sides: tuple[float, float], sweep: Any) -> Stored:
    """Describe one channel of a grid."""
    n_y, n_x, n_sweep = values.shape
    axes = (
        Axis(size=n_y, name="y", unit="m", scale=sides[0] / n_y),
        Axis(size=n_x, name="x", unit="m", scale=sides[1] / n_x),
        Axis(size=n_sweep, name="bias", unit="V", values=sweep if len(sweep) == n_sweep else None),
    )
    return Stored(name=name, dtype=values.dtype, axes=axes, load=in_memory(values))
