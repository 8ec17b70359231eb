"""Igor binary waves through `igor2` (Asylum Research and others): (x, y) or (x, y, layer), a channel each."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tusi.io.limits import check_holds
from tusi.io.stored import Axis, Reader, Stored, in_memory


class IgorReader(Reader):
    """Waves of two or three dimensions as images (y, x); the first row is the lowest of the scan."""

    name = "Igor binary wave"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        logging.getLogger("igor2").setLevel(logging.CRITICAL)
        from igor2 import binarywave  # pyright: ignore[reportMissingImports]

        _check_size(path)
        wave = binarywave.load(str(path))["wave"]
        values = np.asarray(wave["wData"])
        axes = _axes(wave, values.shape)
        if values.ndim != 3:
            yield (Stored(name="", dtype=values.dtype, axes=axes[::-1], load=in_memory(values.T)),)
            return
        names = _layer_names(wave, values.shape[2])
        yield tuple(
            Stored(name=name, dtype=values.dtype, axes=axes[1::-1], load=in_memory(values[:, :, layer].T))
            for layer, name in enumerate(names)
        )


def _check_size(path: Path) -> None:
    """Compare the size that the header states with the file; versions 2 and 5 in either byte order."""
    with path.open("rb") as file:
        head = file.read(64)
    order = "little" if head[0] else "big"
    version = int.from_bytes(head[:2], order)
    start, field = (64, 4) if version == 5 else (16, 2)
    check_holds(path, end=start + int.from_bytes(head[field : field + 4], order))


def _axes(wave: dict[str, Any], shape: tuple[int, ...]) -> tuple[Axis, ...]:
    """Return the axes in the order of the wave, (x, y, ...)."""
    header = wave["wave_header"]
    steps = np.atleast_1d(header.get("sfA", header.get("hsA", 1.0)))
    units = header.get("dimUnits")
    axes = []
    for i, size in enumerate(shape):
        unit = b"".join(np.atleast_1d(units[i]).tolist()).decode("latin-1") if units is not None else ""
        scale = float(steps[i]) if unit and i < len(steps) else None
        axes.append(Axis(size=size, name=("x", "y", "")[min(i, 2)], unit=unit, scale=scale))
    return tuple(axes)


def _layer_names(wave: dict[str, Any], n_layers: int) -> list[str]:
    """Return the label of each layer, or its number."""
    labels = (
        [label.decode("latin-1") for label in wave["labels"][2] if label] if len(wave.get("labels", ())) > 2 else []
    )
    return [labels[i] if i < len(labels) else f"layer {i}" for i in range(n_layers)]
