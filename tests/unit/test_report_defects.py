"""Defects in the report: every kind counted, the listing complete, names never obeyed."""

import base64
import csv
import dataclasses
import io
import re
import types

import numpy as np
import pytest

from tusi.datasets.defects import CrystalRecipe, simulate_defects
from tusi.report.defects import counted, defect_section, defects_csv
from tusi.structure import register_lattice
from tusi.structure.defects import Defect, DefectKind, Defects
from tusi.study.structure import image_structure


def analysis_of(*images):
    """As much of an analysis as the section looks at; no image is kept."""
    kept = types.SimpleNamespace(grid=None)
    return types.SimpleNamespace(structure=types.SimpleNamespace(images=images), image=lambda _name: kept)


@pytest.fixture(scope="module")
def described():
    crystal = simulate_defects(CrystalRecipe(vacancies=2, interstitials=1), rng=np.random.default_rng(1))
    return image_structure(crystal.atoms, register_lattice(crystal.atoms), name="a")


def listing(page):
    content = re.search(r'href="data:text/csv;charset=utf-8;base64,([^"]+)" download="a-defects.csv"', page)[1]
    return list(csv.DictReader(io.StringIO(base64.b64decode(content).decode())))


def test_every_kind_is_counted_and_listed(described):
    page = str(defect_section(analysis_of(described)))
    assert "2 vacancies, 1 interstitial" in page
    rows = listing(page)
    assert [row["kind"] for row in rows] == list(described.defects.titles)
    np.testing.assert_allclose([float(row["y"]) for row in rows], described.defects.position[:, 0], rtol=1e-5)
    np.testing.assert_allclose([float(row["probability"]) for row in rows], described.defects.probability, rtol=1e-5)


def test_the_expected_number_is_the_sum_of_the_probabilities(described):
    rows = [Defect(kind=DefectKind.VACANCY, position=np.ones(2), probability=p) for p in (0.9, 0.4, 0.3)]
    unsure = dataclasses.replace(described, defects=Defects.of(rows, length_unit="pixel"))
    page = str(defect_section(analysis_of(unsure)))
    assert "<td>1</td><td>1.6</td>" in page


def test_a_perfect_crystal_has_no_defects_and_no_listing(described):
    page = str(defect_section(analysis_of(dataclasses.replace(described, defects=described.defects[:0]))))
    assert "no defects" in page
    assert "download" not in page


def test_names_are_escaped(described):
    page = str(defect_section(analysis_of(dataclasses.replace(described, name='"><script>'))))
    assert "<script" not in page


def test_the_listing_has_burgers_vectors_and_lengths():
    wall = np.array([[[0.0, 0.0], [3.0, 4.0]]])
    table = Defects.of(
        [
            Defect(kind=DefectKind.DISLOCATION, position=np.ones(2), steps=(1.0, 0.0), atoms=(1, 2)),
            Defect(kind=DefectKind.GRAIN_BOUNDARY, position=np.ones(2), misorientation=5.0, segments=wall),
        ],
        length_unit="angstrom",
        species=("Mo",),
    )
    first, second = csv.DictReader(io.StringIO(defects_csv(table)))
    assert (first["step_1"], first["step_2"], first["n_atoms"], first["length"]) == ("1", "0", "2", "")
    assert (second["misorientation_degrees"], second["length"], second["length_unit"]) == ("5", "5", "angstrom")


def test_nouns_agree_with_numbers():
    assert [counted(n, "grain boundary") for n in (1, 3)] == ["1 grain boundary", "3 grain boundaries"]
