"""The table of formats: how each is recognised, who reads it, and which extra it needs.

A new format is one `Reader` and one row here. The first bytes decide; a suffix alone is enough only where a format has
no signature. A reader's module is imported when a file of its format is opened.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tusi.errors import InputError
from tusi.io.stored import Reader

HEAD_BYTES = 4096
"""How much of a file is looked at to recognise it."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One row of the table.

    Attributes
    ----------
    name
        For people.
    suffixes
        In lower case, with the dot.
    signature
        Tells from the first bytes whether a file has this format; `None` when the format has no signature.
    reader
        "module:Class" below `tusi.io`.
    extra
        The extra that its reader needs; empty for the core.
    weak
        What must hold of the first bytes of a format without signature, besides its suffix.
    """

    name: str
    suffixes: tuple[str, ...]
    signature: Callable[[bytes], bool] | None
    reader: str
    extra: str = ""
    weak: Callable[[bytes], bool] = bool

    def load_reader(self) -> Reader:
        """Import the reader; a missing extra is an `InputError` that names the command to install it."""
        module, _, name = self.reader.partition(":")
        try:
            return getattr(importlib.import_module(f"tusi.io.{module}"), name)()
        except ModuleNotFoundError as error:
            if not self.extra:
                raise
            raise missing_extra(self, str(error.name)) from error


def missing_extra(form: Format, package: str) -> InputError:
    """Return the error that tells how to install what a format needs."""
    return InputError(
        "path",
        expected=f"the extra {form.extra!r}, which reads {form.name} files",
        got=f"no package {package!r}",
        then=f"Install it with: pip install 'tusi[{form.extra}]'",
    )


_PICTURE = "pictures:PictureReader"


def _starts(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


def _is_bitmap(head: bytes) -> bool:
    return (
        head.startswith(b"BM")
        and head[6:10] == bytes(4)
        and head[14:18] in {bytes([n, 0, 0, 0]) for n in (12, 40, 52, 56, 64, 108, 124)}
    )


def _is_mrc(head: bytes) -> bool:
    return head[208:211] == b"MAP"


def _is_digital_micrograph(head: bytes) -> bool:
    return (head[:4] == b"\0\0\0\3" and head[8:12] in (b"\0\0\0\0", b"\0\0\0\1")) or (
        head[:4] == b"\0\0\0\4" and head[12:16] in (b"\0\0\0\0", b"\0\0\0\1")
    )


def _is_igor(head: bytes) -> bool:
    return head[:2] in (b"\2\0", b"\0\2", b"\5\0", b"\0\5") and len(head) > 64


_CORE = (
    Format(
        name="TIFF", suffixes=(".tif", ".tiff", ".jpk"), reader="tiff:TiffReader",
        signature=_starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    ),
    Format(name="PNG", suffixes=(".png",), signature=_starts(b"\x89PNG\r\n\x1a\n"), reader=_PICTURE),
    Format(name="JPEG", suffixes=(".jpg", ".jpeg"), signature=_starts(b"\xff\xd8\xff"), reader=_PICTURE),
    Format(name="BMP", suffixes=(".bmp",), signature=_is_bitmap, reader=_PICTURE),
    Format(name="NPY", suffixes=(".npy",), signature=_starts(b"\x93NUMPY"), reader="arrays:ArrayReader"),
    Format(
        name="HDF5", suffixes=(".h5", ".hdf5", ".hf5", ".emd", ".hspy", ".nxs", ".nc"), reader="hdf5:Hdf5Reader",
        signature=_starts(b"\x89HDF\r\n\x1a\n"),
    ),
    Format(
        name="MRC", suffixes=(".mrc", ".mrcs", ".map", ".st", ".ali", ".rec"), signature=_is_mrc,
        reader="mrc:MrcReader",
    ),
    Format(
        name="Nanosurf NID", suffixes=(".nid",), signature=_starts(b"[DataSet]"), reader="nanosurf:NanosurfReader"
    ),
    Format(name="WSxM", suffixes=(".top", ".stp"), signature=_starts(b"WSxM file"), reader="wsxm:WsxmReader"),
)  # fmt: skip

_PROBES = (
    Format(
        name="Gwyddion", suffixes=(".gwy",), signature=_starts(b"GWYP"), reader="gwyddion:GwyddionReader",
        extra="probes",
    ),
    Format(
        name="Nanonis scan", suffixes=(".sxm",), signature=_starts(b":NANONIS_VERSION:"),
        reader="nanonis:ScanReader", extra="probes",
    ),
    Format(
        name="Nanonis grid", suffixes=(".3ds",), signature=_starts(b"Grid dim="), reader="nanonis:GridReader",
        extra="probes",
    ),
    Format(
        name="Nanonis spectrum", suffixes=(".dat",), signature=_starts(b"Experiment\t"),
        reader="nanonis:SpectrumReader", extra="probes",
    ),
    Format(
        name="Omicron Matrix", suffixes=(".mtrx",), signature=_starts(b"ONTMATRX0101"), reader="matrix:MatrixReader",
        extra="probes",
    ),
    Format(
        name="Igor binary wave", suffixes=(".ibw",), signature=None, weak=_is_igor, reader="igor:IgorReader",
        extra="probes",
    ),
)  # fmt: skip

_MICROSCOPES = (
    Format(
        name="DigitalMicrograph", suffixes=(".dm3", ".dm4"), signature=_is_digital_micrograph,
        reader="microscopes:DigitalMicrographReader", extra="microscopes",
    ),
    Format(
        name="TIA", suffixes=(".ser", ".emi"), signature=_starts(b"II\x97\x01", b"JK\0\2"),
        reader="microscopes:TiaReader", extra="microscopes",
    ),
    Format(
        name="blockfile", suffixes=(".blo",), signature=_starts(b"IMGBLO"), reader="microscopes:BlockfileReader",
        extra="microscopes",
    ),
    Format(
        name="Merlin", suffixes=(".mib",), signature=_starts(b"HDR,", b"MQ1,"), reader="microscopes:MerlinReader",
        extra="microscopes",
    ),
    Format(
        name="RosettaSciIO", signature=None, reader="microscopes:OtherReader", extra="microscopes",
        suffixes=(
            ".app5", ".asw", ".bcf", ".dens", ".elid", ".emsa", ".img", ".msa", ".pts", ".rpl", ".spd", ".spx", ".sur",
            ".tvf", ".tvips", ".unf", ".wdf",
        ),
    ),
)  # fmt: skip

FORMATS: tuple[Format, ...] = (*_CORE, *_PROBES, *_MICROSCOPES)
"""Every format, in the order in which it is tried."""

ZARR = Format(name="Zarr", suffixes=(".zarr",), signature=None, reader="zarr_store:ZarrReader")

_UNREADABLE = {
    b"PK\x03\x04": ("a ZIP archive (.npz and .zip files can hide data of any size)", "Unpack it first."),
    b"\x1f\x8b": ("a gzip-compressed file", "Decompress it first."),
    b"BZh": ("a bzip2-compressed file", "Decompress it first."),
    b"%PDF": ("a PDF document", "Export the image from it as TIFF."),
    b"GIF8": ("a GIF picture, whose colour table has lost grey levels", "Export the original as TIFF."),
}  # fmt: skip


def recognise(path: Path) -> tuple[Format, tuple[str, ...]]:
    """Return the format of a file by its content, and a note where its suffix says otherwise.

    Raises
    ------
    InputError
        The content is nothing known.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        if any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
            return ZARR, ()
        raise InputError("path", expected="a file, or a folder that is a Zarr store", got=f"the folder {path}")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    for form in FORMATS:
        if form.signature is not None and form.signature(head):
            if suffix in form.suffixes or (form.name.startswith("Omicron") and "mtrx" in suffix):
                return form, ()
            stated = f"the suffix {suffix!r}" if suffix else "no suffix"
            return form, (f"{path.name} has {stated} but is a {form.name} file by its content; it was read as that.",)
    for magic, (what, then) in _UNREADABLE.items():
        if head.startswith(magic):
            raise InputError("path", expected="an image format that tusi reads", got=f"{path.name}, {what}", then=then)
    for form in FORMATS:
        if form.signature is None and suffix in form.suffixes and form.weak(head):
            return form, ()
    return _nothing_known(path, suffix)


KNOWN = (
    "an image in a format that tusi reads (TIFF, PNG, JPEG, BMP, NPY, MRC, HDF5, EMD, Zarr, NID, WSxM; with extras "
    "DigitalMicrograph, TIA, blockfile, Merlin, Nanonis, Gwyddion, Igor, Omicron and more)"
)


def _nothing_known(path: Path, suffix: str) -> tuple[Format, tuple[str, ...]]:
    """Raise the error for content that is nothing known, in words that fit its suffix."""
    stated = next((form for form in FORMATS if suffix in form.suffixes), None)
    got = f"{path.name}, whose content is nothing known"
    if stated is not None:
        got += f" (its suffix says {stated.name}, its first bytes do not; the file may be damaged)"
    then = "Tables of atoms are read by `read_atoms`." if suffix in (".csv", ".xyz", ".pos") else ""
    raise InputError("path", expected=KNOWN, got=got, then=then)
