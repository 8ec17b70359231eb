"""Plane groups of the windows of an image: known crystals, what is not told apart, and the bounds on the work."""

import dataclasses

import numpy as np
import pytest

from tusi.data import Atoms, Lattice, storage
from tusi.errors import InputError
from tusi.report.symmetry import symmetry_section
from tusi.structure.symmetry import PLANE_GROUPS, plane_group
from tusi.study.files import CLASSES
from tusi.study.options import AnalysisOptions
from tusi.study.provenance import command_of
from tusi.study.structure import image_structure, pooled_structure
from tusi.study.symmetry import MOST_WINDOWS, kinds_of_sites, subgroup_names, symmetry_of

HEXAGONAL = 20.0 * np.array([[0.0, 1.0], [np.sqrt(0.75), -0.5]])


def crystal(vectors, basis, *, side=12, noise=0.05, intensity=None):
    """A crystal whose registration is known."""
    rng = np.random.default_rng(3)
    row, column, site = (axis.ravel() for axis in np.mgrid[:side, :side, : len(basis)])
    cell = np.stack([row, column], axis=1)
    exact = (cell + np.asarray(basis)[site]) @ vectors
    atoms = dataclasses.replace(
        Atoms.at(
            exact + rng.normal(0, noise, exact.shape),
            length_unit="pixel",
            intensity=np.asarray(intensity or np.ones(len(basis)))[site] * rng.normal(1, 0.05, len(site)),
        ),
        covariance=np.broadcast_to(noise**2 * np.eye(2), (len(exact), 2, 2)),
    )
    lattice = Lattice(
        index=np.column_stack([cell, site]),
        position=exact,
        atom=np.arange(len(exact)),
        vacancy_probability=np.zeros(len(exact)),
        domain=np.zeros(len(exact), dtype=np.int64),
        boundary=np.zeros(len(exact), dtype=bool),
        vectors=vectors[None],
        basis=np.asarray(basis),
        length_unit="pixel",
    )
    return atoms, lattice


def likeliest(*made, **asked):
    return next(iter(symmetry_of(*made, **asked).most_probable))


HONEYCOMB = [(1 / 3, 2 / 3), (2 / 3, 1 / 3)]


@pytest.mark.parametrize(("intensity", "group"), [((1.0, 1.0), "p6m"), ((1.0, 0.6), "p3m1")])
def test_brightness_tells_the_two_sites_of_a_honeycomb_apart(intensity, group):
    made = crystal(HEXAGONAL, HONEYCOMB, intensity=intensity)
    assert len(np.unique(kinds_of_sites(*made))) == (1 if group == "p6m" else 2)
    assert likeliest(*made) == group


def test_a_strain_breaks_a_symmetry_only_beyond_the_error_of_the_scan():
    made = crystal(20.0 * np.diag([1.0, 1.01]), [(0.0, 0.0)])
    assert likeliest(*made, scan_error=0.0) == "pmm"
    assert likeliest(*made, scan_error=0.02) == "p4m"


def test_what_is_not_told_is_named_with_its_relation():
    found = symmetry_of(*crystal(20.0 * np.eye(2), [(0.0, 0.0)]), scan_error=0.02)
    assert found.n_decided == 0
    first, second = found.verdict
    assert first == "p4m is the most probable group in 9 of 9 windows; decided at 95 %: none."
    assert second.startswith("p4m is not told from its subgroups ")
    assert set(found.rivals("p4m")) <= subgroup_names("p4m")


def test_a_doubled_cell_shows_what_the_average_hides():
    atoms, lattice = crystal(20.0 * np.diag([1.0, 1.2]), [(0.0, 0.0)], side=8)
    waved = atoms.position + np.stack([0 * lattice.index[:, 0], 3.0 * (-1.0) ** lattice.index[:, 0]], axis=1)
    atoms = dataclasses.replace(atoms, position=waved)
    assert likeliest(atoms, lattice) == "pmm"
    found = symmetry_of(atoms, lattice, doubled=True)
    assert found.supercell == (2, 2)
    assert next(iter(found.most_probable)) == "pmg"
    assert "displacements of period two" in found.verdict[-1]


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("p1", ""),
        ("p2", "p1"),
        ("p4m", "p1 p2 pm cm pmm cmm p4"),
        ("p31m", "p1 cm p3"),
        ("p6m", "p1 p2 cm cmm p3 p3m1 p31m p6"),
    ],
)
def test_subgroups_are_those_of_the_tables(name, below):
    assert subgroup_names(name) == frozenset(below.split())


def test_subgroups_have_orders_that_divide():
    for name in PLANE_GROUPS:
        assert all(plane_group(name).order % plane_group(other).order == 0 for other in subgroup_names(name))


@pytest.mark.parametrize("side", [6, 9, 30])
def test_there_are_never_many_windows_and_always_one(side):
    found = symmetry_of(*crystal(20.0 * np.eye(2), [(0.0, 0.0)], side=side))
    assert 1 <= len(found) <= 1.4 * MOST_WINDOWS[2]


def test_without_a_lattice_the_map_is_empty_and_says_so():
    atoms, lattice = crystal(20.0 * np.eye(2), [(0.0, 0.0)], side=4)
    for few in (lattice, lattice[:0]):
        found = symmetry_of(atoms, few)
        assert len(found) == 0
        assert found.notes
        assert found.verdict == ("No window in which a plane group could be told.",)


def test_absurd_errors_are_refused():
    with pytest.raises(InputError, match="a number from 0 to 1; got -1"):
        symmetry_of(*crystal(20.0 * np.eye(2), [(0.0, 0.0)], side=4), scan_error=-1.0)


def test_the_command_that_repeats_an_analysis_has_its_choices():
    options = AnalysisOptions(models=(), symmetry=False, scan_error=0.01)
    assert command_of(("a.tiff",), options) == "tusi structure a.tiff --no-symmetry --scan-error 0.01 --seed 0"
    with pytest.raises(InputError, match="`scan_error`: expected a number from 0 to 1; got 2"):
        AnalysisOptions(scan_error=2.0)


def test_the_map_comes_back_from_its_file_and_is_drawn(tmp_path):
    made = crystal(HEXAGONAL, [(0.0, 0.0)], side=8)
    image = dataclasses.replace(image_structure(*made, name="<i>"), symmetry=symmetry_of(*made))
    structure = pooled_structure(
        [image, dataclasses.replace(image, name="b", symmetry=symmetry_of(made[0], made[1][:0]))]
    )
    storage.save(structure, tmp_path / "s.h5", classes=CLASSES)
    back = storage.load(tmp_path / "s.h5", classes=CLASSES)
    assert back.images[0].symmetry.verdict == image.symmetry.verdict
    page = str(symmetry_section(back))
    assert page == str(symmetry_section(structure))
    assert "&lt;i&gt;" in page
    assert "p6m is the most probable group in" in page
    assert "No window in which a plane group could be told." in page
