"""Intensities of known columns in another channel of the same scan."""

import numpy as np
import pytest

from tusi.data import Atoms, make_grid
from tusi.errors import InputError
from tusi.finding.channels import measure_channel

WIDTH = 2.0


def scene(rng, *, noise, pixel_size=1.0):
    """Pairs of columns 4.5 pixels apart, overlapping, on a slope; a third of them give no signal."""
    row, column = np.mgrid[:9, :9].reshape(2, -1) * 14.0 + 8.0
    place = np.concatenate([np.stack([row, column], axis=1), np.stack([row + 3.0, column + 3.4], axis=1)])
    amplitude = rng.choice([0.0, 1.0, 2.5], len(place))
    y, x = np.mgrid[:132, :132]
    image = 3.0 + 0.01 * y - 0.02 * x + noise * rng.standard_normal(y.shape)
    for middle, height in zip(place, amplitude, strict=True):
        image += height * np.exp(-((y - middle[0]) ** 2 + (x - middle[1]) ** 2) / (2 * WIDTH**2))
    unit = "pixel" if pixel_size == 1.0 else "angstrom"
    atoms = Atoms.at(place * pixel_size, length_unit=unit, intensity=np.ones(len(place)))
    return (
        make_grid(image, pixel_size=None if pixel_size == 1.0 else pixel_size),
        atoms,
        amplitude * 2 * np.pi * WIDTH**2,
    )


def test_exact_without_noise_and_the_same_in_angstrom():
    grid, atoms, truth = scene(np.random.default_rng(0), noise=0.0)
    assert measure_channel(grid, atoms, spot_width=WIDTH).intensity == pytest.approx(truth, abs=0.05)
    grid, atoms, truth = scene(np.random.default_rng(0), noise=0.0, pixel_size=0.2)
    measured = measure_channel(grid, atoms, spot_width=WIDTH)
    assert measured.intensity == pytest.approx(truth, abs=0.05)
    assert (measured.position == atoms.position).all()


def test_stated_errors_cover_the_truth():
    rng, away = np.random.default_rng(1), []
    for _ in range(6):
        grid, atoms, truth = scene(rng, noise=0.5)
        measured = measure_channel(grid, atoms, spot_width=WIDTH)
        away.append((measured.intensity - truth) / np.sqrt(measured.intensity_variance))
    away = np.concatenate(away)
    assert 0.93 < np.mean(np.abs(away) < 1.96) < 0.97
    assert abs(away.mean()) < 0.1


def test_a_column_outside_the_image_has_no_error_and_spoils_nothing():
    grid, atoms, truth = scene(np.random.default_rng(0), noise=0.0)
    far = Atoms.at(np.concatenate([atoms.position, [[500.0, 10.0]]]), length_unit="pixel")
    measured = measure_channel(grid, far, spot_width=WIDTH)
    assert np.isnan(measured.intensity_variance[-1])
    assert measured.intensity[:-1] == pytest.approx(truth, abs=0.05)


def test_bad_input_is_named():
    grid, atoms, _ = scene(np.random.default_rng(0), noise=0.0)
    with pytest.raises(InputError, match="a positive width in pixels"):
        measure_channel(grid, atoms, spot_width=0.0)
    with pytest.raises(InputError, match="lengths in pixel"):
        measure_channel(make_grid(grid.values, pixel_size=0.2), atoms, spot_width=WIDTH)
