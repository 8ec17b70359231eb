"""What a reader hands to the door: the data sets of a file with their axes, before a single value is loaded."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

COLOUR = "colour"
"""Name of an axis that holds colour channels (red, green, blue and perhaps opacity)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """One axis of stored data, in the words of its file.

    Attributes
    ----------
    size
        Number of samples.
    name
        What the file calls it; empty when it does not say.
    unit
        Unit of `scale` and `values` as the file spells it; empty when it has none.
    scale
        Distance between samples, in `unit`; `None` when the file does not say.
    offset
        Coordinate of the first sample, in `unit`.
    values
        Coordinates of all samples when they are not evenly spaced, in `unit`.
    """

    size: int
    name: str = ""
    unit: str = ""
    scale: float | None = None
    offset: float = 0.0
    values: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """One data set inside a file: its header, and a function that loads a window of it.

    Attributes
    ----------
    name
        Path of the data set inside the file; empty when the file holds one only.
    dtype
        Type of the stored numbers.
    axes
        Axes in the order of storage; colour channels are an axis called `COLOUR`.
    load
        Takes one slice for each axis and returns the stored numbers of that window.
    display
        Whether the numbers are grey levels made for the eye rather than detector signal.
    palette
        Colours of an indexed picture, shape (index, channel); `None` for all others.
    decoded_bytes
        Memory that loading any window takes on top of the window itself, as in compressed files without tiles.
    notes
        What the caller should be warned of.
    """

    name: str
    dtype: np.dtype
    axes: tuple[Axis, ...]
    load: Callable[[tuple[slice, ...]], np.ndarray]
    display: bool = False
    palette: np.ndarray | None = None
    decoded_bytes: int = 0
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the number of samples along each axis."""
        return tuple(axis.size for axis in self.axes)

    @property
    def signal_axes(self) -> tuple[Axis, ...]:
        """Return the axes without colour channels."""
        return tuple(axis for axis in self.axes if axis.name != COLOUR)


class Reader(ABC):
    """One file format; a subclass and one row in `tusi.io.formats.FORMATS` make the door know it."""

    name: ClassVar[str]

    @abstractmethod
    def open(self, path: Path) -> AbstractContextManager[Sequence[Stored]]:
        """Open a file and list its data sets without loading their values.

        Sizes stated in a header must be checked against the file before anything of that size is allocated; any
        exception other than `InputError` is reported by the door as a truncated or corrupt file.

        Parameters
        ----------
        path
            The file; its signature has been checked where the format has one.
        """


def in_memory(values: np.ndarray) -> Callable[[tuple[slice, ...]], np.ndarray]:
    """Return a loader for data that are an array already (or behave like one, as memory maps do)."""
    return lambda window: np.asarray(values[window])


def is_display(dtype: np.dtype, axes: Sequence[Axis]) -> bool:
    """Tell whether numbers of a format without a word for it are grey levels: one image in single bytes."""
    return dtype == np.uint8 and sum(axis.name != COLOUR for axis in axes) == 2
