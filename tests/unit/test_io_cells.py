"""Cells come back from every file as they went in, whoever reads them; no file is ever half there."""

import dataclasses
import importlib.util
import io
import os

import numpy as np
import pytest

from tusi.data import Atoms, Lattice
from tusi.errors import InputError
from tusi.io.cell_files import FORMATS, read_cell, write_cell
from tusi.io.cells import PeriodicCell
from tusi.io.lattice_cells import Layer, lattice_cell, window_cell
from tusi.io.materials import from_ase, import_materials, to_ase, to_jarvis

HAS_ASE = importlib.util.find_spec("ase") is not None
HAS_JARVIS = importlib.util.find_spec("jarvis") is not None
NAMES = ("cell.cif", "POSCAR", "cell.vasp", "cell.xyz", "cell.extxyz")


def random_cell(rng, n_atoms=7):
    """A skewed, right-handed box with atoms outside of it too; the first vector along x, as a CIF wants it."""
    vectors = np.array([[4.0, 0, 0], [-1.2, 5.1, 0], [0.7, 0.4, 6.3]]) + np.tril(rng.normal(0, 0.3, (3, 3)))
    fraction = rng.uniform(-0.2, 1.2, (n_atoms, 3))
    symbol = tuple(rng.choice(["Mo", "S", "Re"], n_atoms).tolist())
    return PeriodicCell(vectors=vectors, position=fraction @ vectors, symbol=symbol, comment="a test\nof comments")


def assert_same_atoms(one, other, *, atol=3e-5):
    """The same names at the same places, in whatever order."""
    assert sorted(one.symbol) == sorted(other.symbol)
    for name in set(one.symbol):
        mine, theirs = (cell.position[np.array(cell.symbol) == name] for cell in (one, other))
        distance = np.linalg.norm(mine[:, None] - theirs, axis=2)
        assert distance.min(axis=1).max() < atol
        assert len(np.unique(distance.argmin(axis=1))) == len(mine)


def crystal(*, basis=((0.0, 0.0), (2 / 3, 1 / 3)), length_unit="angstrom", n=8):
    """A lattice with two kinds of columns and one vacancy."""
    vectors = 3.2 * np.array([[np.sqrt(0.75), -0.5], [0.0, 1.0]])
    index = np.array([(i, j, b) for i in range(n) for j in range(n) for b in range(len(basis))])
    position = (index[:, :2] + np.array(basis)[index[:, 2]]) @ vectors
    atom = np.arange(len(index))
    atom[20] = -1
    atom[21:] -= 1
    lattice = Lattice(
        index=index, position=position, atom=atom, vacancy_probability=(atom < 0) * 1.0, domain=np.zeros(len(index)),
        boundary=np.zeros(len(index)), vectors=vectors[None], basis=np.array(basis), length_unit=length_unit,
    )  # fmt: skip
    atoms = Atoms.at(position[np.arange(len(index)) != 20], length_unit=length_unit)
    kind = index[np.arange(len(index)) != 20, 2]
    probability = np.where(kind[:, None] == np.arange(2), 0.9, 0.1)
    return dataclasses.replace(atoms, species=("Mo", "S"), species_probability=probability), lattice


@pytest.mark.parametrize("name", NAMES)
def test_cells_survive_the_round_trip(tmp_path, name):
    for seed in range(20):
        cell = random_cell(np.random.default_rng(seed), n_atoms=seed)
        back = read_cell(write_cell(cell, tmp_path / name))
        np.testing.assert_allclose(back.vectors, cell.vectors, atol=1e-6)
        assert_same_atoms(back, cell)


def test_extended_xyz_keeps_what_repeats_and_the_comment(tmp_path):
    cell = dataclasses.replace(random_cell(np.random.default_rng(1)), periodic=(True, True, False))
    back = read_cell(write_cell(cell, tmp_path / "sheet.xyz"))
    assert back.periodic == (True, True, False)
    assert back.comment == "a test of comments"


def test_turning_the_cell_changes_no_cif(tmp_path):
    cell = random_cell(np.random.default_rng(2))
    angle = 0.7
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    turned = dataclasses.replace(cell, vectors=cell.vectors @ turn, position=cell.position @ turn)
    assert read_cell(write_cell(turned, tmp_path / "a.cif")).vectors == pytest.approx(cell.vectors, abs=1e-6)


def test_poscars_of_other_programs_are_read():
    text = "Si\n2.0\n2 0 0\n0 2 0\n0 0 2\nSi O\n1 1\nSelective dynamics\nCartesian\n0 0 0 T T T\n1 0.5 0 F F F\n"
    cell = FORMATS["POSCAR"][1](text)
    np.testing.assert_allclose(cell.position, [[0, 0, 0], [2, 1, 0]])
    by_volume = FORMATS["POSCAR"][1](text.replace("\n2.0\n", "\n-64\n"))
    assert by_volume.volume == pytest.approx(64)
    assert cell.symbol == ("Si", "O")


def test_cifs_of_other_programs_are_read():
    text = """data_x
_cell.length_a 3.16(2)
_cell.length_b 3.16
_cell.length_c 12.3 # remark
_cell.angle_alpha 90
_cell.angle_beta 90
_cell.angle_gamma 120
_publ_title 'it''s'
loop_
_atom_site_label
_atom_site_occupancy
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Mo1 1.0 0.3333(1) 0.6667 0.25
S2- 1.0 0.6667 0.3333
0.38
"""
    cell = FORMATS["CIF"][1](text)
    assert cell.symbol == ("Mo", "S")
    assert cell.angles == pytest.approx([90, 90, 120])
    with pytest.raises(InputError, match="space group P 1"):
        FORMATS["CIF"][1](text + "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-x,-y,-z'\n")


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("a.cif", "data_x\n_cell_length_a 3\n", "expected a cell and a loop"),
        ("a.cif", "data_x\nloop_\n_atom_site_fract_x\n_atom_site_fract_y\n1 2 3\n", "a multiple of 2"),
        ("POSCAR", "only\n1.0\n1 0 0\n", "POSCAR with species names"),
        ("a.xyz", "2\nno box\nMo 0 0 0\n", "Lattice="),
        ("a.xyz", '2\nLattice="1 0 0 0 1 0 0 0 1"\nMo 0 0 0\n', "2 atoms"),
        ("a.xyz", '1\nLattice="1 0 0 0 1 0 0 0 -1"\nMo 0 0 0\n', "right-handed"),
        ("a.docx", "", "a name that ends in"),
    ],
)
def test_bad_files_are_refused(tmp_path, name, text, match):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=match):
        read_cell(tmp_path / name)


def test_bad_cells_are_refused():
    with pytest.raises(InputError, match="right-handed box"):
        PeriodicCell(vectors=np.ones((3, 3)), position=np.zeros((0, 3)), symbol=())
    with pytest.raises(InputError, match="names without blanks"):
        PeriodicCell(vectors=np.eye(3), position=np.zeros((1, 3)), symbol=("Mo S",))
    with pytest.raises(InputError, match="finite numbers"):
        PeriodicCell(vectors=np.eye(3), position=np.full((1, 3), np.nan), symbol=("Mo",))


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    cell = random_cell(np.random.default_rng(3))
    path = write_cell(cell, tmp_path / "cell.cif")
    before = path.read_text()

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(InputError, match="No space left"):
        write_cell(cell.repeated(2, 2), path)
    assert path.read_text() == before
    assert [one.name for one in tmp_path.iterdir()] == ["cell.cif"]


def test_the_mean_cell_has_the_lattices_geometry_and_species():
    atoms, lattice = crystal()
    layer = Layer(heights=((0.0,), (-1.56, 1.56)), thickness=15.0)
    cell = lattice_cell(atoms, lattice, layer=layer)
    assert cell.symbol == ("Mo", "S", "S")
    assert cell.lengths == pytest.approx([3.2, 3.2, 15.0])
    assert cell.angles == pytest.approx([90, 90, 120])
    assert cell.position[:, 2] - 7.5 == pytest.approx([0, -1.56, 1.56])
    assert cell.periodic == (True, True, False)
    # In the image the sulphur lies at 2/3 a + 1/3 b; seen upright, y is reversed, distances are not.
    flat = np.linalg.norm((cell.position[1] - cell.position[0])[:2])
    assert flat == pytest.approx(np.linalg.norm(np.array([2 / 3, 1 / 3]) @ lattice.vectors[0]))
    bond = np.linalg.norm(cell.position[1] - cell.position[0])
    assert bond == pytest.approx(np.hypot(flat, 1.56))


def test_an_image_keeps_its_handedness():
    """Three sites that turn clockwise in the image, y downward, turn clockwise in the cell, y upward."""
    basis = ((0.0, 0.0), (0.3, 0.1), (0.1, 0.4))
    atoms, lattice = crystal(basis=basis)
    atoms = dataclasses.replace(atoms, species=(), species_probability=np.empty((len(atoms), 0)))
    cell = lattice_cell(atoms, lattice, layer=Layer(symbols=("A", "B", "C")))

    def turn(points):
        one, other = points[1] - points[0], points[2] - points[0]
        return np.sign(one[0] * other[1] - one[1] * other[0])

    in_image = np.array(basis) @ lattice.vectors[0]
    assert turn(cell.position[:, :2]) == -turn(in_image[:, ::-1])
    assert cell.symbol == ("A", "B", "C")


def test_the_window_keeps_every_atom_and_distance():
    atoms, lattice = crystal()
    cell = window_cell(atoms, lattice, layer=Layer(heights=((0.0,), (-1.56, 1.56))), margin=8.0)
    n_sulphur = int((atoms.species_probability[:, 1] > 0.5).sum())
    assert len(cell) == len(atoms) + n_sulphur
    assert cell.periodic == (False, False, False)
    assert cell.fractional.min() > 0
    assert cell.fractional.max() < 1
    flat = cell.position[np.array(cell.symbol) == "Mo"][:, :2]
    truth = atoms.position[atoms.species_probability[:, 0] > 0.5][:, ::-1] * [1, -1]
    np.testing.assert_allclose(flat - flat[0], truth - truth[0], atol=1e-9)


def test_atoms_on_no_site_are_exported_too():
    atoms, lattice = crystal()
    lattice = dataclasses.replace(lattice, atom=np.where(lattice.atom == 5, -1, lattice.atom))
    assert len(window_cell(atoms, lattice)) == len(atoms)


def test_pixels_need_a_scale():
    atoms, lattice = crystal(length_unit="pixel")
    with pytest.raises(InputError, match="angstrom_per_pixel"):
        lattice_cell(atoms, lattice)
    cell = lattice_cell(atoms, lattice, layer=Layer(angstrom_per_pixel=0.5))
    assert cell.lengths[0] == pytest.approx(1.6)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"thickness": 0.0}, "above zero"),
        ({"heights": ((),)}, "finite heights"),
        ({"heights": ((-9.0, 9.0),), "thickness": 10.0}, "a span below"),
    ],
)
def test_impossible_layers_are_refused(change, match):
    with pytest.raises(InputError, match=match):
        Layer(**change)


def test_a_missing_domain_or_window_is_refused():
    atoms, lattice = crystal()
    with pytest.raises(InputError, match="a number below 1"):
        lattice_cell(atoms, lattice, domain=3)
    with pytest.raises(InputError, match="finite positions"):
        window_cell(atoms[:0], lattice[:0])
    with pytest.raises(InputError, match="zero or more"):
        window_cell(atoms, lattice, margin=-1.0)


def test_what_is_not_installed_says_how_to_install_it():
    with pytest.raises(InputError, match=r"tusi\[materials\]"):
        import_materials("ase_that_is_not_there")


@pytest.mark.skipif(not HAS_ASE, reason="needs the extra `materials`")
@pytest.mark.parametrize(("kind", "name"), [("CIF", "cif"), ("POSCAR", "vasp"), ("extended XYZ", "extxyz")])
def test_ase_reads_what_is_written_and_the_other_way_round(kind, name):
    from ase.io import read, write

    to_text, from_text = FORMATS[kind]
    for seed in range(5):
        cell = random_cell(np.random.default_rng(seed))
        cell = dataclasses.replace(cell, position=np.clip(cell.fractional, 0.01, 0.99) @ cell.vectors)
        text = to_text(cell)
        # ASE reads CIF as bytes.
        stream = io.BytesIO(text.encode()) if kind == "CIF" else io.StringIO(text)
        theirs = from_ase(read(stream, format=name))
        np.testing.assert_allclose(theirs.vectors, cell.vectors, atol=1e-5)
        assert_same_atoms(theirs, cell)
        target = io.BytesIO() if kind == "CIF" else io.StringIO()
        write(target, to_ase(cell), format=name)
        written = target.getvalue()
        assert_same_atoms(from_text(written.decode() if isinstance(written, bytes) else written), cell, atol=1e-4)


@pytest.mark.skipif(not HAS_ASE, reason="needs the extra `materials`")
def test_ase_atoms_come_back_with_names_that_are_no_elements():
    cell = PeriodicCell(vectors=3 * np.eye(3), position=np.zeros((2, 3)), symbol=("Mo", "vacancy"))
    atoms = to_ase(cell)
    assert atoms.get_chemical_symbols() == ["Mo", "X"]
    assert from_ase(atoms).symbol == ("Mo", "vacancy")


@pytest.mark.skipif(not HAS_JARVIS, reason="needs the extra `materials`")
def test_jarvis_gets_the_same_cell():
    cell = random_cell(np.random.default_rng(4))
    theirs = to_jarvis(cell)
    np.testing.assert_allclose(theirs.cart_coords, cell.position, atol=1e-9)
    assert theirs.volume == pytest.approx(cell.volume)
