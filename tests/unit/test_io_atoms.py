"""Tables of atoms: what is written reads back, what is dropped is said, and a full disk leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tusi.data import Atoms
from tusi.errors import InputError, MetadataWarning
from tusi.io import describe, read_atoms, write_atoms
from tusi.testing.example_files import atom_probe_bytes


def some_atoms(unit="angstrom", n_atoms=50):
    rng = np.random.default_rng(2)
    factor = rng.normal(size=(n_atoms, 2, 2))
    probability = rng.dirichlet([1.0, 2.0], size=n_atoms)
    probability[0] = np.nan
    return Atoms(
        position=rng.uniform(0, 100, (n_atoms, 2)),
        covariance=factor @ factor.transpose(0, 2, 1),
        intensity=rng.uniform(1, 2, n_atoms),
        intensity_variance=rng.uniform(size=n_atoms),
        presence_probability=rng.uniform(size=n_atoms),
        species_probability=probability,
        flags=rng.integers(0, 64, n_atoms),
        image=np.zeros(n_atoms),
        frame=np.sort(rng.integers(0, 3, n_atoms)),
        species=("Mo", "Re"),
        length_unit=unit,
    )


@pytest.mark.parametrize("unit", ["angstrom", "pixel"])
def test_csv_gives_every_column_back(unit, tmp_path):
    atoms = some_atoms(unit)
    back = read_atoms(write_atoms(atoms, tmp_path / "atoms.csv"))
    assert back.species == atoms.species
    assert back.length_unit == unit
    for field in (
        "position",
        "covariance",
        "intensity",
        "intensity_variance",
        "presence_probability",
        "flags",
        "frame",
    ):
        np.testing.assert_array_equal(getattr(back, field), getattr(atoms, field), err_msg=field)
    np.testing.assert_array_equal(back.species_probability, atoms.species_probability)


def test_xyz_gives_positions_and_species_back(tmp_path):
    atoms = some_atoms()
    back = read_atoms(write_atoms(atoms, tmp_path / "atoms.xyz"))
    np.testing.assert_allclose(back.position, atoms.position, atol=1e-6)
    np.testing.assert_array_equal(back.frame, atoms.frame)
    assert back.species == ("Mo", "Re", "X")
    best = atoms.species_probability[1:].argmax(axis=1)
    np.testing.assert_array_equal(back.species_probability[1:].argmax(axis=1), best)
    with pytest.raises(InputError, match=r"positions in angstrom.*\.csv"):
        write_atoms(some_atoms("pixel"), tmp_path / "atoms.xyz")


def test_an_empty_table_is_a_table(tmp_path):
    atoms = some_atoms()[:0]
    assert len(read_atoms(write_atoms(atoms, tmp_path / "none.csv"))) == 0
    assert len(read_atoms(write_atoms(atoms, tmp_path / "none.xyz"))) == 0


@pytest.mark.parametrize(
    ("header", "unit", "factor"),
    [("y_px,x_px", "pixel", 1), ("x_angstrom,y_angstrom", "angstrom", 1), ("y_nm,x_nm", "angstrom", 10)],
)
def test_units_are_in_the_header(header, unit, factor, tmp_path):
    (tmp_path / "sites.csv").write_text(f"{header}\n1,2\n3,4.5\n")
    atoms = read_atoms(tmp_path / "sites.csv")
    expected = np.array([[1, 2], [3, 4.5]]) * factor
    np.testing.assert_allclose(atoms.position, expected[:, ::-1] if header.startswith("x") else expected)
    assert atoms.length_unit == unit


def test_species_columns(tmp_path):
    path = tmp_path / "sites.csv"
    path.write_text("y_px,x_px,is_re\n1,2,0\n3,4,1\n")
    atoms = read_atoms(path)
    assert atoms.species == ("other", "Re")
    assert atoms.species_probability.tolist() == [[1, 0], [0, 1]]
    path.write_text("y_px,x_px,species\n1,2,Mo\n3,4,\n")
    atoms = read_atoms(path)
    assert atoms.species == ("Mo",)
    assert np.isnan(atoms.species_probability[1]).all()


def test_what_is_assumed_or_dropped_is_said(tmp_path):
    path = tmp_path / "sites.csv"
    path.write_text("y,x\n1,2\n")
    with pytest.warns(MetadataWarning, match="pixels were assumed"):
        read_atoms(path)
    path.write_text("y_px,x_px,comment\n1,2,hello\n")
    with pytest.warns(MetadataWarning, match="do not know|does not know were dropped: 'comment'"):
        read_atoms(path)
    xyz = tmp_path / "cell.xyz"
    xyz.write_text('2\nLattice="1 0 0 0 1 0 0 0 1" Properties=pos:R:3:species:S:1\n1 2 3 Mo\n4 5 6 S\n')
    with pytest.warns(MetadataWarning, match="z was dropped"):
        atoms = read_atoms(xyz)
    assert atoms.position.tolist() == [[2, 1], [5, 4]]
    assert atoms.species == ("Mo", "S")


def test_atom_probe_positions(tmp_path):
    rows = np.array([[1.0, 2.0, 3.0, 27.0], [-1.0, 0.5, 7.0, 58.9]])
    path = tmp_path / "tip.pos"
    path.write_bytes(atom_probe_bytes(rows))
    with pytest.warns(MetadataWarning, match="projected along z"):
        atoms = read_atoms(path)
    np.testing.assert_allclose(atoms.position, rows[:, 1::-1] * 10)
    np.testing.assert_allclose(atoms.intensity, rows[:, 3], rtol=1e-6)
    assert describe(path).n_atoms == 2
    path.write_bytes(atom_probe_bytes(rows)[:-3])
    with pytest.raises(InputError, match="truncated"):
        read_atoms(path)


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("a.csv", "row,col\n1,2\n", "a header with one of"),
        ("a.csv", "y_px,x_px\n1,two\n", "numbers in column 'x_px'"),
        ("a.csv", "y_px,x_px\n1,2\n3\n", "1 in row 3"),
        ("a.csv", "\n\n", "no rows"),
        ("a.xyz", "3\ncomment\nMo 1 2 3\n", "the end of the file"),
        ("a.xyz", "three\n", "the number of atoms"),
        ("a.xyz", "1\n\nMo 1 2\n", "lines 'name x y z'"),
        ("a.txt", "1 2 3", "a table of atoms"),
    ],
)
def test_bad_tables(name, text, match, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=match):
        read_atoms(tmp_path / name)


def test_bad_bytes_and_large_tables(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"y_px,x_px\n\xff\xfe,2\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_atoms(tmp_path / "a.csv")
    with pytest.raises(InputError, match="max_bytes"):
        read_atoms(tmp_path / "a.csv", max_bytes=10)
    with pytest.raises(InputError, match="does not exist"):
        read_atoms(tmp_path / "b.csv")


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "atoms.csv"
    path.write_text("precious")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_atoms(some_atoms(), path)
    assert path.read_text() == "precious"
    assert [file.name for file in tmp_path.iterdir()] == ["atoms.csv"]
    with pytest.raises(InputError, match=r"\.csv or \.xyz"):
        write_atoms(some_atoms(), tmp_path / "atoms.txt")
    with pytest.raises(InputError, match="permission to write"):
        write_atoms(some_atoms(), tmp_path / "nowhere" / "atoms.csv")


def test_a_full_disk_leaves_nothing(tmp_path):
    code = (
        "import resource, signal, sys, numpy as np\n"
        "from tusi.data import Atoms\nfrom tusi.io import write_atoms\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "write_atoms(Atoms.at(np.ones((5000, 2)), length_unit='pixel'), sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "atoms.csv")], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "InputError" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_real_reference_sites():
    if "TUSI_DATA" not in os.environ:
        pytest.skip("TUSI_DATA is not set: no real files")
    folder = Path(os.environ["TUSI_DATA"]) / "more2"
    for name, n_sites in (("re05_sites.csv", 555), ("re55_sites.csv", 557)):
        atoms = read_atoms(folder / name)
        assert len(atoms) == n_sites
        assert atoms.species == ("other", "Re")
        assert atoms.length_unit == "pixel"
