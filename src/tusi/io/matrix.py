"""Omicron Matrix result files through `access2theMatrix`; the parameter file must lie beside the data."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tusi.errors import InputError
from tusi.io.stored import Axis, Reader, Stored, in_memory


class MatrixReader(Reader):
    """Each trace (forward or backward, up or down) is one image."""

    name = "Omicron Matrix"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        import access2thematrix  # pyright: ignore[reportMissingImports]

        data = access2thematrix.MtrxData()
        traces, message = data.open(str(path))
        if not traces:
            raise InputError(
                "path",
                expected="a Matrix result file with its parameter file (..._0001.mtrx) beside it",
                got=str(message).strip() or "no traces",
            )
        found = []
        for trace in traces.values():
            image, _ = data.select_image(trace)
            values = np.asarray(image.data)
            if values.ndim == 2 and values.size:
                sides = zip(("y", "x"), values.shape, (float(image.height), float(image.width)), strict=True)
                axes = tuple(
                    Axis(size=n, name=dim, unit="m", scale=side / n if side else None) for dim, n, side in sides
                )
                found.append(Stored(name=str(trace), dtype=values.dtype, axes=axes, load=in_memory(values)))
        yield tuple(found)
