"""Bad files: each is a clear `InputError`, and none makes tusi allocate what its header claims."""

import contextlib
import os
import pickle
import struct
import sys
import warnings
import zlib

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from tusi.errors import InputError
from tusi.io import describe, read
from tusi.io.limits import default_max_bytes
from tusi.testing.example_files import EXAMPLES


def npy_header(shape, descr="'|u1'"):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize("door", [read, describe])
def test_paths_that_are_no_file(door, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        door(tmp_path / "missing.tif")
    with pytest.raises(InputError, match="the folder"):
        door(tmp_path)
    (tmp_path / "empty.tif").touch()
    with pytest.raises(InputError, match="which is empty"):
        door(tmp_path / "empty.tif")
    with pytest.raises(InputError, match="readable file"):
        door("x" * 5000)
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(InputError, match="a device, pipe or socket"):
        door(tmp_path / "pipe.tif")


def test_file_without_permission(tmp_path, monkeypatch):
    path = EXAMPLES["NPY"](tmp_path)

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(InputError, match="Check its permissions"):
        read(path)


def test_unknown_content(tmp_path):
    (tmp_path / "notes.tif").write_text("this is text")
    with pytest.raises(InputError, match="its suffix says TIFF, its first bytes do not"):
        read(tmp_path / "notes.tif")
    (tmp_path / "notes.txt").write_text("this is text")
    with pytest.raises(InputError, match="content is nothing known"):
        read(tmp_path / "notes.txt")
    np.savez(tmp_path / "arrays.npz", a=np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"a ZIP archive.*Unpack it"):
        read(tmp_path / "arrays.npz")


def test_no_pickle_is_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "trapped"),))

    np.save(tmp_path / "objects.npy", np.array([[Trap(), 1]], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="Python objects"):
        read(tmp_path / "objects.npy")
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="nothing known"):
        read(tmp_path / "pickle.npy")
    store = tmp_path / "store.zarr"
    zarr.create_array(store, shape=(4, 4), chunks=(4, 4), dtype="f8", zarr_format=2, filters=[], compressors=None)
    metadata = (store / ".zarray").read_text().replace('"filters": null', '"filters": [{"id": "pickle"}]')
    assert "pickle" in metadata
    (store / ".zarray").write_text(metadata)
    (store / "0.0").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="'pickle'"):
        read(store)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("values", [np.zeros(()), np.zeros((0, 4)), np.zeros(7), np.zeros((3, 3), complex)])
def test_data_that_are_no_image(values, tmp_path):
    np.save(tmp_path / "values.npy", values)
    with pytest.raises(InputError, match="`path`"):
        read(tmp_path / "values.npy")


def test_claims_of_a_header_are_checked_before_allocation(tmp_path):
    (tmp_path / "huge.npy").write_bytes(npy_header((10**6, 10**6)) + bytes(100))
    with pytest.raises(InputError, match="truncated"):
        read(tmp_path / "huge.npy")
    (tmp_path / "negative.npy").write_bytes(npy_header((-4, 5)) + bytes(100))
    with pytest.raises(InputError, match="`path`"):
        read(tmp_path / "negative.npy")
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 200_000, 200_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    idat = b"IDAT" + zlib.compress(bytes(100))
    png += struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat))
    (tmp_path / "bomb.png").write_bytes(png)
    with pytest.raises(InputError, match="region"):
        read(tmp_path / "bomb.png")
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("image", shape=(10**6, 10**6), chunks=(100, 100), dtype="u1")
    with pytest.raises(InputError, match="raise `max_bytes`"):
        read(tmp_path / "bomb.h5")
    assert read(tmp_path / "bomb.h5", region=(0, 10, 5, 15), pixel_size=1.0).shape == (10, 10)
    zarr.create_array(tmp_path / "bomb.zarr", shape=(10**6, 10**6), chunks=(100, 100), dtype="u1")
    with pytest.raises(InputError, match="raise `max_bytes`"):
        read(tmp_path / "bomb.zarr")


def test_a_region_of_a_huge_image_is_cheap(tmp_path):
    side = 20_000
    path = tmp_path / "huge.npy"
    header = npy_header((side, side))
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + side * side)
        file.seek(len(header) + 10_000 * side + 5_000)
        file.write(bytes([7]))
    with pytest.raises(InputError, match=r"needs 3.6 GB.*--region"):
        read(path, max_bytes=10**9)
    part = read(path, region=(9_990, 10_010, 4_990, 5_010), pixel_size=0.1, max_bytes=10**5)
    assert part.sum() == 7
    assert part.values[10, 10] == 7
    assert float(part.y[0]) == pytest.approx(999.0)


def test_default_limit_is_a_share_of_memory():
    assert 2**26 < default_max_bytes() < 2**44


def test_hdf5_does_not_reach_outside(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["image"] = np.ones((4, 4))
    np.ones((4, 4)).tofile(tmp_path / "raw.bin")
    with h5py.File(tmp_path / "links.h5", "w") as file:
        file["external"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/image")
        file["soft"] = h5py.SoftLink("/external")
        file.create_dataset("storage", (4, 4), "f8", external=[(str(tmp_path / "raw.bin"), 0, 128)])
        layout = h5py.VirtualLayout((4, 4), "f8")
        layout[...] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "image", (4, 4))
        file.create_virtual_dataset("virtual", layout)
    with pytest.raises(InputError, match="none that tusi reads"):
        read(tmp_path / "links.h5")


def test_missing_extra_names_the_command(tmp_path, monkeypatch):
    (tmp_path / "scan.gwy").write_bytes(b"GWYP" + bytes(100))
    (tmp_path / "image.dm3").write_bytes(bytes([0, 0, 0, 3]) + bytes(4) + bytes([0, 0, 0, 1]) + bytes(100))
    for package in ("gwyfile", "rsciio"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"pip install 'tusi\[probes\]'"):
        read(tmp_path / "scan.gwy")
    with pytest.raises(InputError, match=r"pip install 'tusi\[microscopes\]'"):
        read(tmp_path / "image.dm3")


def test_flipped_bytes_never_crash(tmp_path):
    rng = np.random.default_rng(5)
    for name in ("TIFF (ImageJ)", "MRC", "HDF5 (dimension scales)", "PNG", "Nanosurf NID"):
        path = EXAMPLES[name](tmp_path)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(12):
            broken = whole.copy()
            broken[rng.integers(min(len(whole), 600), size=5)] = rng.integers(256, size=5)
            path.write_bytes(broken.tobytes())
            with warnings.catch_warnings(), contextlib.suppress(InputError):
                warnings.simplefilter("ignore")
                read(path, max_bytes=2**25)


def test_compressed_tiff_counts_its_decoding(tmp_path):
    path = tmp_path / "flat.tif"
    tifffile.imwrite(path, np.zeros((2000, 2000), np.uint8), compression="zlib")
    with pytest.raises(InputError, match="needs"):
        read(path, region=(0, 5, 0, 5), max_bytes=10**6)
