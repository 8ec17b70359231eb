"""Presence at given places: true sites are occupied, vacancies are not."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from tusi import finding as tusi_finding
from tusi.data import make_grid
from tusi.datasets import localisation_world
from tusi.datasets.localisation import Disorder
from tusi.errors import InputError
from tusi.finding import find_atoms


@pytest.fixture(scope="module")
def world():
    disorder = Disorder(vacancy_fraction=0.1, displacement=0.0)
    return localisation_world("square", rng=np.random.default_rng(8), dose=300.0, disorder=disorder, shape=(200, 200))


def test_sites_are_told_from_vacancies(world):
    finding = find_atoms(world.grid, noise=world.noise)
    first = world.truth.position[np.argmin(np.hypot(*(world.truth.position - 100).T))]
    steps = np.arange(-5, 6) * 16.0
    site = np.stack(np.meshgrid(first[0] + steps, first[1] + steps, indexing="ij"), axis=-1).reshape(-1, 2)
    occupied = cKDTree(world.truth.position).query(site)[0] < 1e-6
    probability = tusi_finding.test_presence(world.grid, site, finding=finding)
    assert (~occupied).sum() >= 5
    assert probability[occupied].min() > 0.99
    assert probability[~occupied].max() < 0.01


def test_an_atom_that_was_not_found_is_seen_in_the_residual(world):
    finding = find_atoms(world.grid, noise=world.noise)
    lost = int(np.argmin(np.hypot(*(finding.atoms.position - 100).T)))
    keep = np.arange(len(finding.atoms)) != lost
    without = type(finding)(**{**vars(finding), "atoms": finding.atoms[keep]})
    place = finding.atoms.position[lost : lost + 1]
    assert tusi_finding.test_presence(world.grid, place, finding=without)[0] > 0.99


def test_places_outside_are_unknown_and_other_images_refused(world):
    finding = find_atoms(world.grid, noise=world.noise)
    assert np.isnan(tusi_finding.test_presence(world.grid, np.array([[-9.0, 3.0]]), finding=finding)).all()
    with pytest.raises(InputError, match="that of this image"):
        tusi_finding.test_presence(make_grid(np.ones((9, 9))), np.zeros((1, 2)), finding=finding)
