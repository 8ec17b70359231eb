"""TIFF in all its dialects: which tags state the length of a pixel, and which only the size of a print."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import TiffImagePlugin

from tusi.io import jpk
from tusi.io.axes import length_in_angstrom
from tusi.io.limits import check_holds, n_bytes_of
from tusi.io.stored import COLOUR, Axis, Reader, Stored

_RGB, _WHITE_IS_ZERO, _PALETTE = 2, 0, 3
_GATAN_UNIT_X, _GATAN_UNIT_Y, _GATAN_SCALE_X, _GATAN_SCALE_Y = 65003, 65004, 65009, 65010
_AXES = {"Y": "y", "X": "x", "S": COLOUR, "T": "frame", "C": "channel"}
INVERTED_NOTE = "The file stores white as zero; grey levels were inverted so that bright is large."
PRINT_NOTE = "The resolution tag ({value:g} per {unit}) is a print setting and was not taken as a pixel size."

Scales = tuple[float | None, float | None]
"""Pixel size along (y, x) in angstrom."""


class TiffReader(Reader):
    """Pictures and stacks; pixel sizes from ImageJ, OME, FEI, Zeiss, TVIPS and Gatan tags; JPK images."""

    name = "TIFF"

    @contextmanager
    def open(self, path: Path) -> Iterator[Sequence[Stored]]:
        """See `Reader.open`."""
        with tifffile.TiffFile(path) as tiff:
            if jpk.LENGTH_X in tiff.pages.first.tags:
                yield jpk.channels(tiff)
                return
            scales = _scales(tiff)
            notes = () if scales[1] else _print_note(tiff)
            series = list(tiff.series)
            yield tuple(
                _stored(path, series[i], i if len(series) > 1 else None, scales, notes) for i in range(len(series))
            )


def _stored(path: Path, series: Any, number: int | None, scales: Scales, notes: tuple[str, ...]) -> Stored:
    """Describe one series of pages."""
    page = series.keyframe
    dtype, shape = np.dtype(series.dtype), tuple(series.shape)
    is_rgb = "S" in series.axes and int(page.photometric) in (_RGB, 6)
    axes = []
    for letter, size in zip(series.axes, shape, strict=True):
        name = _AXES.get(letter, "" if letter in "IQZ" else letter.lower())
        scale = {"y": scales[0], "x": scales[1]}.get(name)
        axes.append(
            Axis(size=size, name="channel" if name == COLOUR and not is_rgb else name, unit="angstrom", scale=scale)
        )
    if series.dataoffset is not None and 0 not in shape:
        byte_order = series.parent.byteorder if hasattr(series, "parent") else page.parent.byteorder
        on_disk = dtype.newbyteorder(byte_order)
        check_holds(path, end=series.dataoffset + n_bytes_of(shape, dtype))
        values = np.memmap(path, on_disk, "r", series.dataoffset, shape)
        decoded = 0

        def load(window: tuple[slice, ...]) -> np.ndarray:
            return np.asarray(values[window])

    else:
        decoded = n_bytes_of(shape, dtype)

        def load(window: tuple[slice, ...]) -> np.ndarray:
            return _decode(path, series)[window]

    if int(page.photometric) == _WHITE_IS_ZERO and dtype.kind in "ub":
        load, notes = _inverted(load, dtype), (*notes, INVERTED_NOTE)
    palette = None
    if int(page.photometric) == _PALETTE and page.colormap is not None:
        palette = np.asarray(page.colormap).T // 257
    name = series.name or f"series {number}"
    return Stored(
        name="" if number is None else f"{name} [{number}]" if name != f"series {number}" else name,
        dtype=dtype,
        axes=tuple(axes),
        load=load,
        display=is_rgb or palette is not None or dtype.kind == "b" or dtype == np.uint8,
        palette=None if palette is None else palette.astype(np.uint8),
        decoded_bytes=decoded,
        notes=notes,
    )


def _decode(path: Path, series: Any) -> np.ndarray:
    """Decode a whole series; compressions that need a further package are left to Pillow."""
    try:
        return np.asarray(series.asarray(maxworkers=1))
    except ValueError as error:
        if "imagecodecs" not in str(error) or len(series.pages) > 1:
            raise
        with path.open("rb") as file, TiffImagePlugin.TiffImageFile(file) as picture:
            picture.seek(series.keyframe.index)
            return np.asarray(picture).reshape(series.shape)


def _inverted(load: Any, dtype: np.dtype) -> Any:
    """Turn a loader of white-is-zero grey levels into one of black-is-zero grey levels."""
    top = True if dtype.kind == "b" else np.iinfo(dtype).max
    return lambda window: top ^ load(window) if dtype.kind == "b" else top - load(window)


def _scales(tiff: Any) -> Scales:
    """Return the pixel size along (y, x) where some tag states a physical length."""
    tags = tiff.pages.first.tags
    for dialect in (_imagej, _ome, _instrument, _gatan):
        scale_y, scale_x = dialect(tiff, tags)
        if scale_x or scale_y:
            return scale_y or scale_x, scale_x or scale_y
    return None, None


def _imagej(tiff: Any, tags: Any) -> Scales:
    """ImageJ: the resolution is in pixels per the unit that the description names."""
    unit = str((tiff.imagej_metadata or {}).get("unit", ""))
    if unit.lower() in ("", "pixel", "pixels", "inch", "inches"):
        return None, None
    per_unit = [tags.valueof(name) for name in ("YResolution", "XResolution")]
    ratios = [value[1] / value[0] if value and value[0] else None for value in per_unit]
    return length_in_angstrom(ratios[0], unit), length_in_angstrom(ratios[1], unit)


def _ome(tiff: Any, tags: Any) -> Scales:  # noqa: ARG001
    """OME: attributes of the first `Pixels` element; the default unit is the micrometre."""
    if not tiff.is_ome:
        return None, None
    text = (tiff.pages.first.description or "")[:200_000]
    found = []
    for axis in "YX":
        size = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', text)
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', text)
        found.append(length_in_angstrom(_number(size and size[1]), unit[1] if unit else "um"))
    return found[0], found[1]


def _instrument(tiff: Any, tags: Any) -> Scales:  # noqa: ARG001
    """FEI (metres per pixel), Zeiss (named value with a unit) and TVIPS (nanometres per pixel)."""
    fei = tiff.fei_metadata or {}
    for section in ("Scan", "EScan", "IScan"):
        values = fei.get(section) or {}
        if "PixelWidth" in values:
            return length_in_angstrom(_number(values.get("PixelHeight")), "m"), length_in_angstrom(
                _number(values["PixelWidth"]), "m"
            )
    zeiss = (tiff.sem_metadata or {}).get("ap_image_pixel_size") or (tiff.sem_metadata or {}).get("ap_pixel_size")
    if zeiss and len(zeiss) == 3:
        size = length_in_angstrom(_number(zeiss[1]), str(zeiss[2]))
        return size, size
    tvips = tiff.tvips_metadata or {}
    if tvips.get("PixelSizeX"):
        return length_in_angstrom(_number(tvips.get("PixelSizeY")), "nm"), length_in_angstrom(
            _number(tvips["PixelSizeX"]), "nm"
        )
    return None, None


def _gatan(tiff: Any, tags: Any) -> Scales:  # noqa: ARG001
    """Gatan DigitalMicrograph: private tags with a scale and the name of its unit."""
    unit_x, unit_y = (str(tags.valueof(code) or "") for code in (_GATAN_UNIT_X, _GATAN_UNIT_Y))
    return (
        length_in_angstrom(_number(tags.valueof(_GATAN_SCALE_Y)), unit_y),
        length_in_angstrom(_number(tags.valueof(_GATAN_SCALE_X)), unit_x),
    )


def _print_note(tiff: Any) -> tuple[str, ...]:
    """Say that a resolution in dots per inch or centimetre was not mistaken for a pixel size."""
    tags = tiff.pages.first.tags
    value, unit = tags.valueof("XResolution"), {2: "inch", 3: "cm"}.get(int(tags.valueof("ResolutionUnit") or 0))
    if not unit or not value or not value[1] or not value[0]:
        return ()
    return (PRINT_NOTE.format(value=value[0] / value[1], unit=unit),)


def _number(value: Any) -> float | None:
    """Return a number, or `None` for anything that is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and number > 0 else None
