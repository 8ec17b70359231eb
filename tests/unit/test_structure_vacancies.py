"""Empty sites against an image whose vacancies are known."""

import dataclasses

import numpy as np
import pytest

from tusi.datasets import localisation_world
from tusi.finding import find_atoms
from tusi.structure import judge_vacancies, register_lattice, site_graph


@pytest.fixture(scope="module")
def seen():
    world = localisation_world("square", dose=1000, rng=np.random.default_rng(2))
    return world, find_atoms(world.grid, noise=world.noise)


def test_true_vacancies_are_empty_and_missed_atoms_are_not(seen):
    """Atoms taken out of the table, but not out of the image, leave sites that the image says are filled."""
    world, finding = seen
    interior = ((finding.atoms.position > 40) & (finding.atoms.position < 215)).all(axis=1)
    hidden = np.random.default_rng(0).choice(np.flatnonzero(interior), 5, replace=False)
    partial = finding.atoms[np.setdiff1d(np.arange(len(finding.atoms)), hidden)]
    lattice = judge_vacancies(register_lattice(partial), world.grid, finding=finding)
    empty = np.flatnonzero(lattice.atom < 0)
    distance = np.linalg.norm(lattice.position[empty][:, None] - finding.atoms.position[hidden], axis=2)
    missed = distance.min(axis=1) < 2
    assert missed.sum() == 5
    assert (lattice.vacancy_probability[empty][missed] < 0.01).all()
    assert (lattice.vacancy_probability[empty][~missed] > 0.9).all()
    assert (~missed).any()
    assert np.array_equal(np.flatnonzero(lattice.vacant), empty[~missed])


def test_a_missed_atom_is_a_site_of_unknown_species(seen):
    world, finding = seen
    atoms = dataclasses.replace(
        finding.atoms, species=("A", "B"), species_probability=np.tile([0.25, 0.75], (len(finding.atoms), 1))
    )
    centre = np.argmin(np.linalg.norm(atoms.position - 128, axis=1))
    partial = atoms[np.setdiff1d(np.arange(len(atoms)), centre)]
    lattice = judge_vacancies(register_lattice(partial), world.grid, finding=finding)
    graph = site_graph(partial, lattice)
    unknown = (graph.atom < 0) & graph.occupied
    assert unknown.sum() == 1
    np.testing.assert_allclose(graph.species_probability[unknown][0], [0.25, 0.75])
    assert np.isnan(graph.species_probability[~graph.occupied]).all()
