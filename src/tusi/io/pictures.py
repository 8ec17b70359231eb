"""PNG, JPEG and BMP through Pillow's own decoders, called one by one so that no size check is left to a global."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import BmpImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin

from tusi.io.stored import COLOUR, Axis, Reader, Stored

_DECODERS: tuple[tuple[bytes, type[ImageFile.ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
)
_MODES = {"1": "L", "P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB", "LAB": "RGB"}
_TYPES = {"I;16": np.uint16, "I;16B": np.uint16, "I;16L": np.uint16, "I": np.int32, "F": np.float32}
JPEG_NOTE = "JPEG compression alters grey levels and adds correlated noise; keep the original if there is one."


class PictureReader(Reader):
    """A picture made for the eye; its resolution in dots per inch is a print setting and is ignored."""

    name = "picture (PNG, JPEG, BMP)"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        with path.open("rb") as file:
            head = file.read(16)
            file.seek(0)
            decoder = next(decoder for magic, decoder in _DECODERS if head.startswith(magic))
            with decoder(file) as picture:
                yield (_stored(picture),)


def _stored(picture: ImageFile.ImageFile) -> Stored:
    """Describe a picture from its header; its pixels are decoded when a window is asked for."""
    mode = _MODES.get(picture.mode, picture.mode)
    if picture.mode == "P" and "transparency" in picture.info:
        mode = "RGBA"
    width, height = picture.size
    n_channels = {"L": 0, "LA": 2, "RGB": 3, "RGBA": 4}.get(mode, 0)
    dtype = np.dtype(_TYPES.get(mode, np.uint8))
    axes = [Axis(size=height, name="y"), Axis(size=width, name="x")]
    if n_channels:
        axes.append(Axis(size=n_channels, name=COLOUR))

    def load(window: tuple[slice, ...]) -> np.ndarray:
        decoded = picture if picture.mode == mode else picture.convert(mode)
        rows, columns = window[:2]
        box = (columns.start, rows.start, columns.stop, rows.stop)
        return np.asarray(decoded.crop(box)).astype(dtype, copy=False)

    return Stored(
        name="",
        dtype=dtype,
        axes=tuple(axes),
        load=load,
        display=True,
        decoded_bytes=height * width * (max(n_channels, 1) + 1) * dtype.itemsize,
        notes=(JPEG_NOTE,) if picture.format == "JPEG" else (),
    )
