"""Local structure in an analysis: what is described, what is pooled, and what is said of it."""

import dataclasses
import warnings

import numpy as np
import pytest
import tifffile

from tusi import study
from tusi.data import Atoms, storage
from tusi.datasets import COUNTS, AlloyRecipe, simulate_alloy
from tusi.datasets.crystals import CrystalRecipe, Dimerisation, simulate_crystal
from tusi.errors import InputError
from tusi.report import render_report
from tusi.report.structure import mode_section, structure_section
from tusi.structure import register_lattice
from tusi.study.files import CLASSES
from tusi.study.structure import (
    StructureOptions,
    image_structure,
    pooled_structure,
    ring_neighbourhoods,
)


def crystal(seed=0, *, amplitude=0.0, side=14, species=True):
    """A triangular crystal with or without chains, and random species."""
    rng = np.random.default_rng(seed)
    recipe = CrystalRecipe.triangular(shape=(side, side))
    if amplitude:
        recipe = dataclasses.replace(recipe, dimerisation=Dimerisation(amplitude=amplitude, wave=(0, 1)))
    made = simulate_crystal(recipe, rng=rng)
    atoms = made.atoms
    if species:
        label = (rng.random(len(atoms)) < 0.4).astype(int)
        atoms = dataclasses.replace(atoms, species=("Mo", "Re"), species_probability=np.eye(2)[label])
    return atoms, made.lattice


@pytest.fixture(scope="module")
def described():
    """Two images with chains."""
    images = [image_structure(*crystal(k, amplitude=0.3), name=f"chains {k}", number=k) for k in range(2)]
    return pooled_structure(images)


def test_chains_are_found_said_and_pooled(described):
    first = described.images[0]
    assert first.dimerised.share > 0.8
    assert described.modes.n_significant >= 1
    assert described.modes.p_value[0] < 0.01
    assert "of the sites dimerised" in first.verdict
    assert "of displacement beyond independent displacements." in described.verdict[0]
    assert described.image("chains 1") is described.images[1]
    assert first.table("strain_yy") is not None
    assert first.table("nothing of the kind") is None


def test_displacements_too_small_for_chains_are_not_called_so():
    image = image_structure(*crystal(2, amplitude=0.06), name="relaxed")
    assert image.dimerised.share > 0.5
    assert image.alternation == pytest.approx(0.06 / 3.16, rel=0.4)
    assert "relaxed: no chains (" in image.verdict


def test_a_plain_crystal_shows_nothing():
    image = image_structure(*crystal(3), name="plain")
    structure = pooled_structure([image])
    assert structure.modes.n_significant == 0
    assert image.classes.n_classes == 1
    assert "not dimerised, 1 kind of neighbourhoods" in image.verdict
    assert structure.verdict[0] == "0 modes of displacement beyond independent displacements."


def test_results_are_the_same_from_the_file(described, tmp_path):
    storage.save(described, tmp_path / "s.h5", classes=CLASSES)
    back = storage.load(tmp_path / "s.h5", classes=CLASSES)
    assert back.verdict == described.verdict
    assert str(structure_section(back)) == str(structure_section(described))
    assert str(mode_section(back)) == str(mode_section(described))


def test_the_page_escapes_names_and_shows_every_image(described):
    wild = dataclasses.replace(described.images[0], name="<b>&")
    page = str(structure_section(dataclasses.replace(described, images=(wild, described.images[1]))))
    assert "<b>&<" not in page
    assert "&lt;b&gt;&amp;" in page
    assert page.count("<figure") == 2


def test_slots_are_the_same_directions_wherever_vectors_were_counted_from():
    atoms, lattice = crystal(1)
    turned = dataclasses.replace(
        lattice, vectors=-lattice.vectors, index=lattice.index * np.array([-1, -1, 1]) + np.array([13, 13, 0])
    )
    one, other = ring_neighbourhoods(atoms, lattice), ring_neighbourhoods(atoms, turned)
    np.testing.assert_allclose(one.reference, other.reference)
    order = np.argsort(one.centre), np.argsort(other.centre)
    np.testing.assert_allclose(one.vector[order[0]], other.vector[order[1]])


def test_what_the_data_cannot_bear_is_said_and_the_rest_is_done():
    atoms, lattice = crystal(2, species=False)
    blind = dataclasses.replace(atoms, covariance=np.full_like(atoms.covariance, np.nan))
    image = image_structure(blind, lattice, name="no errors known")
    assert image.table("gamma") is not None
    assert image.short_range is None
    structure = pooled_structure([image])
    assert structure.modes is None
    assert any("finite covariance" in note for note in structure.notes)
    assert "Too few complete neighbourhoods" in str(mode_section(structure))


def test_images_of_other_lattices_are_left_out_of_the_pool(described):
    y, x = np.mgrid[:8, :8] * 3.0
    atoms = dataclasses.replace(
        Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=np.ones(64)),
        covariance=np.broadcast_to(0.01 * np.eye(2), (64, 2, 2)),
    )
    square = image_structure(atoms, register_lattice(atoms), name="square")
    both = pooled_structure([described.images[0], square])
    assert any("left out square" in note for note in both.notes)
    assert set(both.modes.image) == {0}


def test_an_analysis_without_hamiltonians_is_its_structure(tmp_path):
    recipe = AlloyRecipe(composition=0.5, model="P1", couplings=(0.0,), sulphur_intensity=0.0, shape=(200, 200))
    grid = simulate_alloy(recipe, COUNTS, rng=np.random.default_rng(1)).grid
    tifffile.imwrite(tmp_path / "a.tiff", grid.values.astype(np.uint16))
    options = study.AnalysisOptions(species=("Mo", "Re"), models=())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analysis = study.analyze(tmp_path / "a.tiff", options=options, out=tmp_path / "a.h5")
    assert analysis.comparison is None
    assert analysis.verdict == analysis.structure.verdict
    assert analysis.provenance.command.startswith("tusi structure ")
    page = render_report(study.load(tmp_path / "a.h5"))
    assert "Local structure" in page
    assert "Which model explains" not in page


@pytest.mark.parametrize(
    ("wrong", "message"), [({"sublattice": -1}, "0 or more"), ({"seed": -1}, "a whole number >= 0")]
)
def test_absurd_options_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        StructureOptions(**wrong)


def test_something_must_be_asked():
    with pytest.raises(InputError, match="or local structure; got neither"):
        study.AnalysisOptions(models=(), structure=False)


def test_unknown_images_are_named(described):
    with pytest.raises(InputError, match="one of chains 0, chains 1; got 'x'"):
        described.image("x")
