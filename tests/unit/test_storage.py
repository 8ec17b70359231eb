"""The result file: everything comes back, equal values give equal bytes, and nothing is ever half-written."""

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from tusi.data import Atoms, NoiseModel, SiteGraph, make_grid, storage
from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Nest:
    """Something of every kind that a result may hold."""

    atoms: Atoms
    noise: NoiseModel
    image: xr.DataArray | None
    layers: tuple[Atoms, ...]
    mixed: tuple
    weight: np.ndarray
    table: dict[str, float]
    text: str = "α <script>"
    unknown: float = np.nan
    numbers: tuple[int, ...] = (1, 2)


CLASSES = {"nest": Nest, "atoms": Atoms, "noise-model": NoiseModel, "site-graph": SiteGraph}


def some_atoms(n_atoms: int, seed: int = 0) -> Atoms:
    position = np.random.default_rng(seed).uniform(size=(n_atoms, 2))
    return Atoms.at(position, length_unit="pixel", intensity=np.arange(n_atoms, dtype=float))


def a_nest() -> Nest:
    return Nest(
        atoms=some_atoms(5),
        noise=NoiseModel(gain=2.0),
        image=make_grid(np.arange(12, dtype=np.uint8).reshape(3, 4), pixel_size=0.25, name="a/b"),
        layers=(some_atoms(3), some_atoms(0), some_atoms(2)),
        mixed=(1, "two", np.array([True, False]), None),
        weight=np.arange(7.0),
        table={"a": 1.5},
    )


def same(one: object, other: object) -> bool:
    """Return whether two results hold the same values, bit for bit."""
    if dataclasses.is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(one)
        )
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, xr.DataArray):
        return one.identical(other) and one.dtype == other.dtype
    if isinstance(one, tuple):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


def test_everything_comes_back_bitwise(tmp_path):
    written = a_nest()
    path = storage.save(written, tmp_path / "result.h5", classes=CLASSES)
    assert same(storage.load(path, classes=CLASSES), written)
    assert os.listdir(tmp_path) == ["result.h5"]


def test_comparison_helper_notices_one_flipped_bit():
    one = a_nest()
    other = dataclasses.replace(one, weight=np.nextafter(one.weight, 9))
    assert not same(one, other)


def test_equal_values_give_equal_bytes(tmp_path):
    digests = {
        hashlib.sha256(storage.save(a_nest(), tmp_path / name, classes=CLASSES).read_bytes()).hexdigest()
        for name in ("a.h5", "b.h5")
    }
    assert len(digests) == 1


def test_arrays_are_read_only_after_loading(tmp_path):
    loaded = storage.load(storage.save(a_nest(), tmp_path / "r.h5", classes=CLASSES), classes=CLASSES)
    with pytest.raises(ValueError, match="read-only"):
        loaded.weight[0] = 1


def test_text_longer_than_an_attribute_can_hold(tmp_path):
    written = dataclasses.replace(a_nest(), text="x" * 200_000, numbers=tuple(range(30_000)))
    assert same(storage.load(storage.save(written, tmp_path / "r.h5", classes=CLASSES), classes=CLASSES), written)


def test_grid_with_time_units_stays_plain_numbers(tmp_path):
    movie = xr.DataArray(
        np.zeros((2, 3, 3), np.float32),
        dims=("frame", "y", "x"),
        coords={"frame": ("frame", np.array([0.0, 0.5]), {"units": "s"})},
        attrs={"fast_axis": "x", "frame_time": 0.5},
        name="movie",
    )
    written = dataclasses.replace(a_nest(), image=movie)
    assert same(storage.load(storage.save(written, tmp_path / "r.h5", classes=CLASSES), classes=CLASSES).image, movie)


def test_class_outside_the_table_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected one of \['atoms'\]; got a Nest"):
        storage.save(a_nest(), tmp_path / "r.h5", classes={"atoms": Atoms})
    path = storage.save(a_nest(), tmp_path / "r.h5", classes=CLASSES)
    with pytest.raises(InputError, match="got a group of 'noise-model'"):
        storage.load(path, classes={"atoms": Atoms})


def test_object_arrays_are_refused(tmp_path):
    written = dataclasses.replace(a_nest(), weight=np.array([object()], dtype=object))
    with pytest.raises(InputError, match="numbers or booleans"):
        storage.save(written, tmp_path / "r.h5", classes=CLASSES)


def test_missing_foreign_damaged_and_newer_files(tmp_path):
    with pytest.raises(InputError, match="no file"):
        storage.load(tmp_path / "none.h5", classes=CLASSES)
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["image"] = np.zeros((2, 2))
    with pytest.raises(InputError, match="a file of another kind"):
        storage.load(foreign, classes=CLASSES)
    text = tmp_path / "text.h5"
    text.write_text("not HDF5 at all")
    with pytest.raises(InputError, match="cannot be read"):
        storage.load(text, classes=CLASSES)
    good = storage.save(a_nest(), tmp_path / "good.h5", classes=CLASSES)
    cut = tmp_path / "cut.h5"
    cut.write_bytes(good.read_bytes()[:5000])
    with pytest.raises(InputError, match="cannot be read"):
        storage.load(cut, classes=CLASSES)
    with h5py.File(good, "a") as file:
        file.attrs["tusi_layout"] = storage.VERSION + 1
    with pytest.raises(InputError, match="written by a newer tusi"):
        storage.load(good, classes=CLASSES)


def test_newer_class_and_unknown_field_are_refused(tmp_path):
    path = storage.save(a_nest(), tmp_path / "r.h5", classes=CLASSES)
    with h5py.File(path, "a") as file:
        file["atoms"].attrs["tusi_version"] = 7
    with pytest.raises(InputError, match=r"version 1 of 'atoms' or older; got version 7\. Update tusi"):
        storage.load(path, classes=CLASSES)
    path = storage.save(a_nest(), tmp_path / "r.h5", classes=CLASSES)
    with h5py.File(path, "a") as file:
        file["atoms"]["surprise"] = np.zeros(3)
    with pytest.raises(InputError, match="Update tusi"):
        storage.load(path, classes=CLASSES)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failure_while_writing_keeps_the_old_file_and_no_other(tmp_path, monkeypatch, error):
    path = storage.write_atomically(tmp_path / "r.h5", b"old")

    def fail(descriptor: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(error)):
        storage.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["r.h5"]


def test_file_size_limit_leaves_nothing_behind(tmp_path):
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from tusi.data import storage\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "storage.write_atomically(Path(sys.argv[1]), b'x' * 100_000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "r.h5")], capture_output=True, text=True, check=False
    )
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert done.returncode != -signal.SIGXFSZ


def test_temporary_file_lives_in_the_scratch_folder(tmp_path, monkeypatch):
    seen: list[Path] = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (seen.append(Path(source)), replace(source, target))[1])
    scratch = tmp_path / "r.partial"
    scratch.mkdir()
    storage.write_atomically(tmp_path / "r.h5", b"x", scratch=scratch)
    assert seen[0].parent == scratch
