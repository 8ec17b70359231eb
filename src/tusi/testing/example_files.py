"""Small valid files of every core format that state a pixel size of 0.25 angstrom, for tests of readers and users."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import h5py
import mrcfile
import numpy as np
import tifffile
import zarr
from PIL import Image

PIXEL_SIZE = 0.25
"""Pixel size that every example with a scale states, in angstrom."""

N_ROWS, N_COLUMNS = 24, 36


def example_image() -> np.ndarray:
    """Return the grey levels that every example holds: distinct enough that flips and swaps of axes show."""
    rows, columns = np.mgrid[:N_ROWS, :N_COLUMNS]
    return ((rows * 7 + columns * 3) % 251).astype(np.uint8)


def _tiff_imagej(folder: Path) -> Path:
    path = folder / "imagej.tif"
    per_nm = 10 / PIXEL_SIZE
    tifffile.imwrite(path, example_image(), imagej=True, resolution=(per_nm, per_nm), metadata={"unit": "nm"})
    return path


def _tiff_compressed(folder: Path) -> Path:
    path = folder / "compressed.tiff"
    tifffile.imwrite(path, example_image().astype(np.uint16), compression="zlib")
    return path


def _tiff_ome(folder: Path) -> Path:
    path = folder / "stack.ome.tif"
    scale = {"PhysicalSizeX": PIXEL_SIZE / 10, "PhysicalSizeY": PIXEL_SIZE / 10}
    units = {"PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "nm"}
    stack = np.stack([example_image()] * 3)
    tifffile.imwrite(path, stack, ome=True, photometric="minisblack", metadata={"axes": "TYX", **scale, **units})
    return path


def _tiff_rgb(folder: Path) -> Path:
    path = folder / "display.tiff"
    tifffile.imwrite(path, np.stack([example_image()] * 3, axis=-1), photometric="rgb", resolution=(72, 72))
    return path


def _picture(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        Image.fromarray(example_image()).save(folder / name)
        return folder / name

    return write


def _npy(folder: Path) -> Path:
    np.save(folder / "array.npy", example_image().astype(np.float32))
    return folder / "array.npy"


def _mrc(folder: Path) -> Path:
    with mrcfile.new(folder / "image.mrc") as file:
        file.set_data(example_image().astype(np.float32))
        file.voxel_size = PIXEL_SIZE
    return folder / "image.mrc"


def _hdf5(folder: Path) -> Path:
    with h5py.File(folder / "scales.h5", "w") as file:
        data = file.create_dataset("scan/image", data=example_image().astype(np.float32))
        for i, dim in enumerate("yx"):
            scale = file.create_dataset(f"scan/{dim}", data=np.arange(data.shape[i]) * PIXEL_SIZE / 10)
            scale.attrs["units"] = "nm"
            scale.make_scale(dim)
            data.dims[i].attach_scale(scale)
            data.dims[i].label = dim
    return folder / "scales.h5"


def _nsid(folder: Path) -> Path:
    """NSID files store x first."""
    with h5py.File(folder / "nsid.h5", "w") as file:
        group = file.create_group("Measurement_000/Channel_000/Height")
        data = group.create_dataset("Height", data=example_image().T.astype(np.float32))
        for i, dim in enumerate("xy"):
            group[dim] = np.arange(data.shape[i]) * PIXEL_SIZE * 1e-10
            group[dim].attrs.update({"units": "m", "name": dim, "dimension_type": "SPATIAL"})
            group[dim].make_scale(dim)
            data.dims[i].attach_scale(group[dim])
            data.dims[i].label = dim
    return folder / "nsid.h5"


def _hyperspy(folder: Path) -> Path:
    with h5py.File(folder / "signal.hspy", "w") as file:
        file.attrs.update({"file_format": "HyperSpy", "file_format_version": "3.3"})
        group = file.create_group("Experiments/HAADF")
        group.create_dataset("data", data=example_image().astype(np.float32), chunks=(8, 8), compression="gzip")
        for i, (name, size) in enumerate(zip("yx", (N_ROWS, N_COLUMNS), strict=True)):
            axis = group.create_group(f"axis-{i}")
            axis.attrs.update({"name": name, "scale": PIXEL_SIZE / 10, "offset": 0.0, "size": size, "units": "nm"})
    return folder / "signal.hspy"


def _emd_berkeley(folder: Path) -> Path:
    with h5py.File(folder / "berkeley.emd", "w") as file:
        group = file.create_group("data/image")
        group.attrs["emd_group_type"] = 1
        group["data"] = example_image().astype(np.float32)
        for i, (name, size) in enumerate(zip("yx", (N_ROWS, N_COLUMNS), strict=True), start=1):
            group[f"dim{i}"] = np.arange(size) * PIXEL_SIZE / 10
            group[f"dim{i}"].attrs.update({"name": name, "units": "[n_m]"})
    return folder / "berkeley.emd"


def _emd_velox(folder: Path) -> Path:
    size = {"width": str(PIXEL_SIZE * 1e-10), "height": str(PIXEL_SIZE * 1e-10)}
    text = json.dumps({"BinaryResult": {"PixelSize": size, "PixelUnitX": "m", "PixelUnitY": "m"}}).encode()
    with h5py.File(folder / "velox.emd", "w") as file:
        group = file.create_group("Data/Image/0123456789abcdef")
        group["Data"] = example_image().astype(np.uint16)[..., None]
        group["Metadata"] = np.frombuffer(text.ljust(1000, b"\0"), np.uint8)[:, None]
        file["Data/SpectrumStream/fedcba9876543210/Data"] = np.zeros((5000, 1), np.uint16)
    return folder / "velox.emd"


def _zarr(version: Literal[2, 3]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / f"version{version}.zarr"
        group = zarr.open_group(path, mode="w", zarr_format=version)
        group.create_array("0", data=example_image().astype(np.float32), chunks=(10, 10))
        step = [{"type": "scale", "scale": [PIXEL_SIZE / 10, PIXEL_SIZE / 10]}]
        axes = [{"name": dim, "type": "space", "unit": "nanometer"} for dim in "yx"]
        group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": step}]}]
        return path

    return write


def _nid(folder: Path) -> Path:
    image = example_image().astype("<i2")
    side = [PIXEL_SIZE * 1e-10 * size for size in (N_COLUMNS, N_ROWS)]
    lines = ["[DataSet]", "Version=2", "GroupCount=1", "Gr0-Name=Scan forward", "Gr0-Count=2", "Gr0-Ch1=DataSet-0:1"]
    lines += ["[DataSet-0:1]", f"Points={N_COLUMNS}", f"Lines={N_ROWS}", "Frame=Scan forward"]
    lines += ["Dim0Unit=m", f"Dim0Range={side[0]}", "Dim1Unit=m", f"Dim1Range={side[1]}", "Dim2Name=Z-Axis"]
    lines += ["Dim2Min=-32768", "Dim2Range=65536", "SaveMode=Binary", "SaveBits=16", "SaveSign=Signed"]
    head = "\r\n".join([*lines, "SaveOrder=Intel", "", ""]).encode()
    (folder / "scan.nid").write_bytes(head + b"#!" + image.tobytes())
    return folder / "scan.nid"


def _wsxm(folder: Path) -> Path:
    text = "WSxM file copyright WSxM solutions\r\nSxM Image file\r\nImage header size: {:5d}\r\n\r\n[Control]\r\n\r\n"
    text += f"    X Amplitude: {PIXEL_SIZE * N_COLUMNS / 10} nm\r\n    Y Amplitude: {PIXEL_SIZE * N_ROWS / 10} nm\r\n"
    text += f"[General Info]\r\n    Image Data Type: short\r\n    Number of columns: {N_COLUMNS}\r\n"
    text += f"    Number of rows: {N_ROWS}\r\n[Header end]\r\n"
    head = text.format(len(text.format(0))).encode()
    (folder / "image.top").write_bytes(head + example_image()[::-1, ::-1].astype("<i2").tobytes())
    return folder / "image.top"


def _jpk(folder: Path) -> Path:
    path = folder / "scan.jpk"
    lengths = [PIXEL_SIZE * 1e-10 * N_COLUMNS, PIXEL_SIZE * 1e-10 * N_ROWS]
    tags = [(0x8042, "d", 1, lengths[0], True), (0x8043, "d", 1, lengths[1], True)]
    tags += [(0x8046, "I", 1, N_COLUMNS, True), (0x8047, "I", 1, N_ROWS, True)]
    channel = [(0x8050, "s", 0, "height", True), (0x8051, "I", 1, 0, True), (0x8080, "I", 1, 1, True)]
    channel += [(0x8081, "s", 0, "calibrated", True), (0x8090, "s", 0, "calibrated", True)]
    channel += [(0x80A3, "s", 0, "LinearScaling", True), (0x80A4, "d", 1, 2.0, True), (0x80A5, "d", 1, 0.0, True)]
    with tifffile.TiffWriter(path) as file:
        file.write(np.zeros((4, 4), np.uint8), extratags=tags, metadata=None)
        file.write(example_image().astype(np.int32), extratags=channel, metadata=None)
    return path


EXAMPLES: dict[str, Callable[[Path], Path]] = {
    "TIFF (ImageJ)": _tiff_imagej,
    "TIFF (compressed)": _tiff_compressed,
    "TIFF (OME stack)": _tiff_ome,
    "TIFF (RGB)": _tiff_rgb,
    "PNG": _picture("picture.png"),
    "JPEG": _picture("picture.jpg"),
    "BMP": _picture("picture.bmp"),
    "NPY": _npy,
    "MRC": _mrc,
    "HDF5 (dimension scales)": _hdf5,
    "NSID": _nsid,
    "HyperSpy": _hyperspy,
    "EMD (Berkeley)": _emd_berkeley,
    "EMD (Velox)": _emd_velox,
    "Zarr 2": _zarr(2),
    "Zarr 3": _zarr(3),
    "Nanosurf NID": _nid,
    "WSxM": _wsxm,
    "JPK": _jpk,
}
"""A writer for each example; it takes a folder and returns the path of the file."""

WITHOUT_SCALE = frozenset({"TIFF (compressed)", "TIFF (RGB)", "PNG", "JPEG", "BMP", "NPY"})
"""Examples that state no pixel size."""


def atom_probe_bytes(rows: np.ndarray) -> bytes:
    """Return rows of (x, y, z, mass-to-charge) as the bytes of an atom-probe .pos file (nm, Da).

    Examples
    --------
    >>> len(atom_probe_bytes(np.zeros((2, 4))))
    32
    """
    return b"".join(struct.pack(">4f", *row) for row in np.asarray(rows, float))
