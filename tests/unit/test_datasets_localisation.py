"""The localisation worlds are the ones for which the bound is tabulated."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from tusi.datasets import PATTERNS, Disorder, localisation_world
from tusi.errors import InputError
from tusi.imaging import Acquisition, Detector

NEAREST = {"square": (16.0, 2.5), "triangular": (16.0, 2.5), "honeycomb": (14.2, 4.0), "dumbbell": (7.5, 3.0)}


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_neighbours_stand_at_the_stated_distance(name):
    calm = Disorder(displacement=0.0, vacancy_fraction=0.0)
    world = localisation_world(name, dose=100, disorder=calm, rng=np.random.default_rng(0))
    distance = cKDTree(world.truth.position).query(world.truth.position, k=2)[0][:, 1]
    assert np.median(distance) == pytest.approx(NEAREST[name][0])
    assert world.width == NEAREST[name][1]


def test_dopants_vacancies_and_disorder_have_their_frequencies():
    rng = np.random.default_rng(1)
    settings = Disorder(dopant_fraction=0.2, vacancy_fraction=0.1)
    worlds = [localisation_world("square", dose=300, disorder=settings, rng=rng, shape=(480, 480)) for _ in range(6)]
    n_sites = 6 * 900
    n_atoms = sum(len(world.truth) for world in worlds)
    assert n_atoms / n_sites == pytest.approx(0.9, abs=0.02)
    dopant = np.concatenate([world.truth.species_probability[:, 1] for world in worlds])
    assert dopant.mean() == pytest.approx(0.2, abs=0.02)
    intensity = np.concatenate([world.truth.intensity for world in worlds])
    host = 2 * np.pi * 2.5**2 * 0.1 * 300
    assert intensity[dopant == 0].mean() == pytest.approx(host, rel=0.005)
    assert intensity[dopant == 0].std() == pytest.approx(0.03 * host, rel=0.06)
    assert intensity[dopant == 1].mean() == pytest.approx(1.8 * host, rel=0.01)
    phase = np.concatenate([residual_of(world.truth.position) for world in worlds])
    assert phase.std() == pytest.approx(0.15, rel=0.05)


def residual_of(position):
    """Return the distance of each coordinate from the square lattice through all of them."""
    angle = 2 * np.pi * position / 16
    origin = np.angle(np.exp(1j * angle).mean(axis=0))
    return np.angle(np.exp(1j * (angle - origin))).ravel() * 16 / (2 * np.pi)


def test_atoms_beyond_the_border_still_shine_into_the_image():
    rng = np.random.default_rng(2)
    border, whole = [], []
    for _ in range(30):
        world = localisation_world("square", dose=1e5, rng=rng, shape=(96, 96))
        assert ((world.truth.position >= -0.5) & (world.truth.position < 95.5)).all()
        values = world.grid.values
        border.append(np.concatenate([values[[0, -1]].ravel(), values[:, [0, -1]].ravel()]).mean())
        whole.append(values.mean())
    assert np.mean(border) == pytest.approx(np.mean(whole), rel=0.12)


def test_the_truth_is_where_the_light_is():
    world = localisation_world("square", dose=1e6, rng=np.random.default_rng(3))
    y, x = np.mgrid[-6:7, -6:7]
    for row, column in world.truth.position:
        if not (10 < row < 245 and 10 < column < 245):
            continue
        top, left = round(row), round(column)
        patch = world.grid.values[top - 6 : top + 7, left - 6 : left + 7] - world.background
        assert (patch * y).sum() / patch.sum() + top == pytest.approx(row, abs=0.12)
        assert (patch * x).sum() / patch.sum() + left == pytest.approx(column, abs=0.12)


def test_detector_and_stream_decide_the_image():
    acquisition = Acquisition(dose=100, detector=Detector(gain=5.0, offset=10.0))
    first = localisation_world("dumbbell", dose=acquisition, rng=np.random.default_rng(4))
    second = localisation_world("dumbbell", dose=acquisition, rng=np.random.default_rng(4))
    np.testing.assert_array_equal(first.grid.values, second.grid.values)
    np.testing.assert_array_equal(first.truth.position, second.truth.position)
    assert (first.noise.gain, first.background) == (5.0, 15.0)


def test_an_unknown_lattice_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"`lattice`: expected one of square, triangular, .*; got 'kagome'"):
        localisation_world("kagome", dose=100, rng=np.random.default_rng(0))
