"""JPK images: TIFF files whose private tags hold the scan's size, and name and calibrate each channel."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tusi.io.limits import n_bytes_of
from tusi.io.stored import Axis, Stored

LENGTH_X, LENGTH_Y, SAMPLES_X, SAMPLES_Y = 0x8042, 0x8043, 0x8046, 0x8047
_CHANNEL, _RETRACE = 0x8050, 0x8051
_N_SLOTS, _DEFAULT_SLOT, _SLOT_NAME, _SCALING, _FACTOR, _OFFSET, _STRIDE = (
    0x8080, 0x8081, 0x8090, 0x80A3, 0x80A4, 0x80A5, 0x30,
)  # fmt: skip


def channels(tiff: Any) -> tuple[Stored, ...]:
    """List the channels of a JPK file: every page but the thumbnail, in the unit of its default calibration."""
    tags = tiff.pages[0].tags
    sizes = [(tags.valueof(LENGTH_Y), tags.valueof(SAMPLES_Y)), (tags.valueof(LENGTH_X), tags.valueof(SAMPLES_X))]
    steps = [float(length) / int(n) if length and n else None for length, n in sizes]
    return tuple(_stored(page, steps) for page in tiff.pages[1:])


def _stored(page: Any, steps: list[float | None]) -> Stored:
    """Describe one channel."""
    retrace = "backward" if str(page.tags.valueof(_RETRACE)) in ("1", "True", "true") else "forward"
    axes = tuple(Axis(size=n, name=d, unit="m", scale=s) for n, d, s in zip(page.shape, "yx", steps, strict=True))
    return Stored(
        name=f"{page.tags.valueof(_CHANNEL) or page.index}/{retrace}",
        dtype=np.dtype(np.float64),
        axes=axes,
        load=_loader(page),
        decoded_bytes=2 * n_bytes_of(page.shape, np.dtype(np.float64)),
    )


def _loader(page: Any) -> Callable[[tuple[slice, ...]], np.ndarray]:
    """Return a loader that applies the linear scaling of the default calibration."""
    factor, offset = 1.0, 0.0
    for slot in range(int(page.tags.valueof(_N_SLOTS) or 0)):
        shift = slot * _STRIDE
        is_default = page.tags.valueof(_SLOT_NAME + shift) == page.tags.valueof(_DEFAULT_SLOT)
        if is_default and page.tags.valueof(_SCALING + shift) == "LinearScaling":
            factor = float(page.tags.valueof(_FACTOR + shift))
            offset = float(page.tags.valueof(_OFFSET + shift))
    return lambda window: np.asarray(page.asarray(maxworkers=1)[window], dtype=np.float64) * factor + offset
