"""The core of a dislocation is where the elastic field around it says, however the rest of the crystal is strained."""

import dataclasses

import numpy as np
import pytest

from tusi.datasets.defects import CrystalRecipe, simulate_defects
from tusi.structure.defects.cores import fit_core
from tusi.structure.defects.frame import crystal_frame

CONSTANT = 3.0
RECIPE = CrystalRecipe(cell="square", lattice_constant=CONSTANT, size=(16.0, 16.0), noise=0.0, displacement=0.0)


def frame_of(position, strain=np.zeros((2, 2))):
    """The crystal's frame against a lattice that is strained by as much."""
    vectors = CONSTANT * (np.eye(2) + strain)
    known = np.zeros(len(position), np.int64)
    return crystal_frame(
        position, atom=np.arange(len(position)), basis_site=known, cell=(vectors, np.zeros((1, 2))), width=1.2
    )


def world(core, seed=0, **changes):
    recipe = dataclasses.replace(RECIPE, dislocations=((core, (1, 0)),), **changes)
    return simulate_defects(recipe, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("core", [(8.0, 8.0), (7.3, 8.6), (6.4, 7.8)])
@pytest.mark.parametrize("strain", [np.zeros((2, 2)), np.array([[0.01, 0.01], [-0.01, -0.01]])])
def test_without_noise_the_core_is_found_whatever_lattice_was_registered(core, strain):
    crystal = world(core)
    truth = np.array(core) * CONSTANT
    found = fit_core(frame_of(crystal.atoms.position, strain), np.array([1.0, 0.0]), truth + 1.0, scatter=0.1)
    assert found is not None
    assert np.linalg.norm(found.position - truth) < 0.1 * CONSTANT


def test_a_core_is_as_uncertain_as_stated():
    squares = []
    for seed in range(30):
        crystal = world((7.7, 8.2), seed, noise=0.12)
        truth = np.array([7.7, 8.2]) * CONSTANT
        found = fit_core(frame_of(crystal.atoms.position), np.array([1.0, 0.0]), truth, scatter=0.12)
        assert found is not None
        covariance = found.covariance + (0.06 * CONSTANT) ** 2 * np.eye(2)
        squares.append((found.position - truth) @ np.linalg.solve(covariance, found.position - truth))
    assert 1.2 < np.mean(squares) < 3.0


def test_too_few_atoms_or_no_dislocation_give_no_core():
    crystal = world((8.0, 8.0))
    frame = frame_of(crystal.atoms.position)
    steps, middle = np.array([1.0, 0.0]), np.array([24.0, 24.0])
    assert fit_core(frame, steps, middle, scatter=0.1, outer=1.5) is None
    assert fit_core(frame, steps, np.array([6.0, 6.0]), scatter=0.1) is None
