"""Rendering is exact, and what moves columns moves them by the stated amounts."""

import numpy as np
import pytest

from tusi.errors import InputError
from tusi.imaging import Distortion, Scene, distort, render_spots
from tusi.imaging.fields import SmoothField


def brute_force(position, amplitude, width, shape, shift):
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    x = x + np.asarray(shift)[:, None]
    image = np.zeros(shape)
    for (row, column), height, spread in zip(position, amplitude, width, strict=True):
        image += height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * spread**2))
    return image


@pytest.mark.parametrize("jitter", [0.0, 0.7])
def test_kernel_equals_the_sum_of_all_gaussians(jitter):
    rng = np.random.default_rng(1)
    shape = (61, 83)
    position = rng.uniform(-10, 95, size=(150, 2))
    amplitude, width = rng.uniform(0.5, 2, 150), rng.uniform(1.0, 4.0, 150)
    shift = jitter * rng.normal(size=shape[0])
    truth = brute_force(position, amplitude, width, shape, shift)
    image = render_spots(position, amplitude, width=width, shape=shape, row_shift=shift)
    np.testing.assert_allclose(image, truth, rtol=1e-6, atol=1e-6 * truth.max())
    assert np.abs(image - truth).max() < 1e-8 * truth.max()


def test_a_row_samples_the_scene_where_jitter_put_it():
    shape, shift = (40, 60), np.zeros(40)
    shift[20] = 3.0
    plain = render_spots(np.array([[20.0, 30.0]]), np.array([1.0]), width=2.5, shape=shape)
    moved = render_spots(np.array([[20.0, 30.0]]), np.array([1.0]), width=2.5, shape=shape, row_shift=shift)
    np.testing.assert_allclose(moved[20, :-3], plain[20, 3:], atol=1e-12)
    np.testing.assert_array_equal(np.delete(moved, 20, axis=0), np.delete(plain, 20, axis=0))


def test_nothing_to_render_is_an_empty_image():
    image = render_spots(np.empty((0, 2)), np.empty(0), width=1.0, shape=(3, 4))
    assert image.shape == (3, 4)
    assert not image.any()


def test_impossible_spots_are_refused():
    with pytest.raises(InputError, match="`width`: expected numbers of pixels above zero"):
        render_spots(np.zeros((1, 2)), np.ones(1), width=0.0, shape=(3, 3))
    with pytest.raises(InputError, match="one amplitude and width for each"):
        render_spots(np.zeros((2, 2)), np.ones(3), width=1.0, shape=(3, 3))
    with pytest.raises(InputError, match="`width`: expected numbers above zero"):
        Scene(position=[[0.0, 0.0]], amplitude=[1.0], width=[-1.0], shape=(3, 3))


def test_inside_follows_pixel_edges():
    position = [[-0.6, 1.0], [-0.5, 1.0], [2.4, 3.4], [2.5, 1.0], [1.0, 3.6]]
    scene = Scene(position=position, amplitude=np.ones(5), width=np.ones(5), shape=(3, 4))
    assert scene.inside.tolist() == [False, True, True, False, False]


def test_a_drifting_column_is_met_when_the_scan_reaches_it():
    scene = Scene(position=[[90.0, 40.0]], amplitude=[1.0], width=[2.0], shape=(128, 128))
    moved = distort(scene, Distortion(drift=(0.1, -0.05)), rng=np.random.default_rng(0))
    row, column = moved.position[0]
    assert row == pytest.approx(90.0 + 0.1 * row)
    assert column == pytest.approx(40.0 - 0.05 * row)
    with pytest.raises(InputError, match="`drift`: expected less than one pixel per row"):
        Distortion(drift=(1.0, 0.0))


def test_distortion_is_smooth_and_as_strong_as_stated():
    rng = np.random.default_rng(2)
    position = rng.uniform(0, 2000, size=(4000, 2))
    scene = Scene(position=position, amplitude=np.ones(4000), width=np.ones(4000), shape=(2000, 2000))
    spread, change = [], []
    for _ in range(12):
        shift = distort(scene, Distortion(amplitude=2.0, correlation_length=100.0), rng=rng).position - position
        spread.append(shift.std())
        near = np.hypot(*(position[1:] - position[:-1]).T) < 20
        change.append(np.abs(np.diff(shift, axis=0))[near].max())
    assert np.mean(spread) == pytest.approx(2.0, rel=0.1)
    assert max(change) < 2.0


def test_a_smooth_field_is_the_same_on_a_grid_and_at_points():
    field = SmoothField.draw(5.0, rng=np.random.default_rng(3))
    points = np.array([[y, x] for y in range(4) for x in range(6)], dtype=float)
    np.testing.assert_allclose(field.on_grid((4, 6)).ravel(), field.at(points), atol=1e-12)
