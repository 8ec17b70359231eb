"""Formats that RosettaSciIO (GPL-3, therefore an extra) reads: one adapter, its axes in its own words."""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tusi.errors import InputError
from tusi.io.limits import check_holds
from tusi.io.stored import Axis, Reader, Stored

UNSAFE = frozenset({"PantaRhei", "HSPY", "ZSPY", "numpy"})
"""Plugins that may unpickle what a file holds; they are never called."""


class OtherReader(Reader):
    """Whatever plugin claims the suffix; its data are read lazily where it can."""

    name = "RosettaSciIO"
    plugin: ClassVar[str] = ""

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        import rsciio  # pyright: ignore[reportMissingImports]

        plugins = [one for one in rsciio.IO_PLUGINS if self._fits(one, path)]
        if not plugins:
            raise InputError("path", expected="a suffix that RosettaSciIO knows", got=repr(path.suffix))
        yield tuple(_stored(one, number) for number, one in enumerate(_signals(plugins[0], path)))

    def _fits(self, plugin: dict[str, Any], path: Path) -> bool:
        """Tell whether a plugin is the wanted one, or claims the suffix."""
        if self.plugin:
            return plugin["name"] == self.plugin
        suffixes = {suffix.lower() for suffix in plugin["file_extensions"]}
        return path.suffix.lower().lstrip(".") in suffixes and plugin["name"] not in UNSAFE


class DigitalMicrographReader(OtherReader):
    """Gatan DigitalMicrograph, versions 3 and 4; the size that the header states is checked first."""

    name = "DigitalMicrograph"
    plugin = "DigitalMicrograph"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        with path.open("rb") as file:
            head = file.read(16)
        width = 4 if head[3] == 3 else 8
        check_holds(path, end=8 + width + int.from_bytes(head[4 : 4 + width], "big"))
        with super().open(path) as contents:
            yield contents


class TiaReader(OtherReader):
    """FEI TIA: .ser, and .emi with its .ser files beside it."""

    name = "TIA"
    plugin = "TIA"


class BlockfileReader(OtherReader):
    """NanoMegas blockfile."""

    name = "blockfile"
    plugin = "Blockfile"


class MerlinReader(OtherReader):
    """Quantum Detectors Merlin, with its .hdr file beside it."""

    name = "Merlin"
    plugin = "QuantumDetector"


def _signals(plugin: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """Read the headers, and the data where the plugin cannot wait."""
    module = importlib.import_module(plugin["api"])
    try:
        return module.file_reader(str(path), lazy=True)
    except (NotImplementedError, TypeError):
        return module.file_reader(str(path))


def _stored(signal: dict[str, Any], number: int) -> Stored:
    """Describe one signal."""
    data = signal["data"]
    axes = tuple(_axis(axis, size) for axis, size in zip(signal["axes"], data.shape, strict=True))
    title = str(signal.get("metadata", {}).get("General", {}).get("title") or "")

    def load(window: tuple[slice, ...]) -> np.ndarray:
        part = data[window]
        return np.asarray(part.compute(scheduler="synchronous") if hasattr(part, "compute") else part)

    return Stored(
        name=f"{title} [{number}]" if title else f"signal {number}", dtype=np.dtype(data.dtype), axes=axes, load=load
    )


def _axis(axis: dict[str, Any], size: int) -> Axis:
    """Translate one axis."""
    values = axis.get("axis")
    unit = str(axis.get("units") or "")
    return Axis(
        size=size,
        name=str(axis.get("name") or ""),
        unit="" if unit == "<undefined>" else unit,
        scale=None if axis.get("scale") is None else float(axis["scale"]),
        offset=float(axis.get("offset") or 0.0),
        values=None if values is None else np.asarray(values, dtype=float),
    )
