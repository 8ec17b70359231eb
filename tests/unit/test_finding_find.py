"""Finding on small images: what must hold whatever the image is."""

import numpy as np
import pytest

from tusi.data import AtomFlag, NoiseModel, make_grid
from tusi.data.flags import has
from tusi.datasets import localisation_world
from tusi.errors import InputError
from tusi.finding import JointRefinement, LaplacianOfGaussian, find_atoms, localisation_bound
from tusi.numerics.spots import add_spots

COUNTS = NoiseModel()


def spots(position, amplitude, *, width=3.0, shape=(96, 96), background=2.0):
    image = np.full(shape, background)
    add_spots(image, np.asarray(position, dtype=float), np.asarray(amplitude, dtype=float), width, 6 * width)
    return image


@pytest.fixture(scope="module")
def world():
    return localisation_world("square", rng=np.random.default_rng(5), dose=1000.0, shape=(120, 150))


@pytest.fixture(scope="module")
def found(world):
    return find_atoms(world.grid, noise=world.noise)


@pytest.mark.parametrize("level", [0.0, 7.0])
def test_a_constant_image_has_no_atoms_and_says_why(level):
    finding = find_atoms(make_grid(np.full((40, 50), level)))
    assert len(finding.atoms) == 0
    assert finding.warnings == ("the image is constant: no atoms",)
    assert finding.background.shape == (40, 50)


@pytest.mark.parametrize("shape", [(3, 3), (1, 7), (2, 64)])
def test_tiny_images_give_a_table(shape):
    values = np.random.default_rng(0).poisson(5.0, size=shape).astype(float)
    finding = find_atoms(make_grid(values), noise=COUNTS)
    assert len(finding.atoms) <= 1


def test_one_atom_is_one_row():
    image = np.random.default_rng(0).poisson(spots([[40.3, 51.8]], [80.0])).astype(float)
    finding = find_atoms(make_grid(image), noise=COUNTS)
    assert len(finding.atoms) == 1
    error = finding.atoms.position[0] - [40.3, 51.8]
    assert np.abs(error).max() < 4 * np.sqrt(finding.atoms.covariance[0, 0, 0])
    assert finding.atoms.presence_probability[0] > 0.999
    assert finding.atoms.intensity[0] == pytest.approx(80 * 2 * np.pi * 9, rel=0.06)


@pytest.mark.parametrize("mean", [0.3, 5.0, 1000.0])
def test_noise_alone_has_no_atoms(mean):
    image = np.random.default_rng(1).poisson(mean, size=(256, 256)).astype(float)
    finding = find_atoms(make_grid(image), noise=COUNTS)
    assert len(finding.atoms) <= 1


def test_nan_is_refused():
    image = np.ones((16, 16))
    image[3, 4] = np.nan
    with pytest.raises(InputError, match="1 NaN or infinite pixels"):
        find_atoms(make_grid(image))


def test_a_stack_is_refused(world):
    with pytest.raises(InputError, match="one image with dimensions"):
        find_atoms(world.grid.expand_dims(frame=[0]).assign_coords(frame=("frame", [0], {"units": "s"})))


def test_positions_come_in_the_unit_and_frame_of_the_grid(world, found):
    grid = make_grid(world.grid.values, pixel_size=0.1)
    grid = grid.assign_coords(y=grid.y + 5.0, x=grid.x - 2.0)
    for dim in ("y", "x"):
        grid[dim].attrs["units"] = "angstrom"
    shifted = find_atoms(grid, noise=world.noise)
    np.testing.assert_allclose(shifted.atoms.position, found.atoms.position * 0.1 + [5.0, -2.0], atol=1e-9)
    np.testing.assert_allclose(shifted.atoms.covariance, found.atoms.covariance * 0.01, rtol=1e-6)
    assert shifted.atoms.length_unit == "angstrom"
    assert shifted.spot_width == pytest.approx(found.spot_width)


def test_transposing_image_and_scan_transposes_the_atoms(world, found):
    turned = find_atoms(make_grid(world.grid.values.T, fast_axis="y"), noise=world.noise)
    order = np.lexsort((found.atoms.position[:, 0], found.atoms.position[:, 1]))
    np.testing.assert_allclose(turned.atoms.position[:, ::-1], found.atoms.position[order], atol=1e-9)
    assert turned.line_jitter == pytest.approx(found.line_jitter)
    np.testing.assert_allclose(turned.background.values.T, found.background.values)


def test_gain_and_offset_change_intensities_alone(world, found):
    noise = NoiseModel(gain=3.0, offset=40.0)
    scaled = find_atoms(make_grid(3.0 * world.grid.values + 40.0), noise=noise)
    np.testing.assert_allclose(scaled.atoms.position, found.atoms.position, atol=1e-3)
    np.testing.assert_allclose(scaled.atoms.intensity, 3.0 * found.atoms.intensity, rtol=1e-3)


def test_negative_values_are_data():
    image = spots([[40.0, 40.0], [40.0, 60.0]], [50.0, 50.0], background=-30.0)
    image += np.random.default_rng(2).normal(size=image.shape)
    finding = find_atoms(make_grid(image), noise=NoiseModel(gain=0.0, read_variance=1.0))
    assert len(finding.atoms) == 2


def test_clipped_columns_stay_whole_and_are_flagged():
    position = [[y, x] for y in range(12, 96, 24) for x in range(12, 96, 24)]
    image = np.minimum(np.random.default_rng(3).poisson(spots(position, [400.0] * 16)), 255).astype(np.uint8)
    finding = find_atoms(make_grid(image), noise=COUNTS)
    assert len(finding.atoms) == 16
    assert has(finding.atoms.flags, AtomFlag.SATURATED).all()
    assert np.median(finding.atoms.intensity) == pytest.approx(400 * 2 * np.pi * 9, rel=0.05)


def test_a_faint_neighbour_is_found_and_keeps_its_brightness():
    image = np.random.default_rng(4).poisson(spots([[40.0, 40.0], [40.0, 50.5]], [300.0, 90.0])).astype(float)
    finding = find_atoms(make_grid(image), noise=COUNTS)
    assert len(finding.atoms) == 2
    ratio = finding.atoms.intensity.min() / finding.atoms.intensity.max()
    assert ratio == pytest.approx(0.3, rel=0.1)


def test_edges_and_neighbours_are_flagged():
    position = [[3.0, 40.0], [25.0, 20.0], [30.0, 70.0], [60.0, 40.0], [60.0, 45.9], [80.0, 20.0], [80.0, 80.0]]
    image = np.random.default_rng(6).poisson(spots(position, [900.0] * 7)).astype(float)
    finding = find_atoms(make_grid(image), noise=COUNTS)
    edge, overlapping = (has(finding.atoms.flags, bit) for bit in (AtomFlag.EDGE, AtomFlag.OVERLAPPING))
    assert len(finding.atoms) == 7
    assert finding.atoms.position[edge].round().tolist() == [[3.0, 40.0]]
    assert sorted(finding.atoms.position[overlapping][:, 1].round().tolist()) == [40.0, 46.0]


def test_a_varying_background_is_followed():
    y, x = np.mgrid[:200, :200]
    background = 50 + 40 * np.sin(x / 60) + 0.2 * y
    position = [[row, column] for row in range(20, 190, 20) for column in range(20, 190, 20)]
    image = spots(position, [100.0] * len(position), shape=(200, 200), background=0.0) + background
    image = np.random.default_rng(7).poisson(image).astype(float)
    finding = find_atoms(make_grid(image), noise=COUNTS)
    inner = (slice(15, -15), slice(15, -15))
    assert len(finding.atoms) == len(position)
    assert np.abs(finding.background.values - background)[inner].mean() < 2.5


def test_strategies_read_as_code():
    refinement = JointRefinement(n_sweeps=3)
    assert eval(repr(refinement)) == refinement
    assert repr(LaplacianOfGaussian(width=2.0)) == "LaplacianOfGaussian(width=2.0, significance=3.5)"


def test_the_bound_of_an_isolated_spot_on_a_bright_background_is_the_gaussian_one():
    bound = localisation_bound(
        np.array([[40.0, 40.0]]), np.array([1.0]), width=3.0, background=1e4, shape=(81, 81), noise=NoiseModel()
    )
    assert bound[0, 0, 0] == pytest.approx(1e4 * 2 / np.pi, rel=1e-3)


def test_the_bound_refuses_a_width_of_zero():
    with pytest.raises(InputError, match="a positive number of pixels"):
        localisation_bound(np.zeros((1, 2)), np.ones(1), width=0.0, background=1.0, shape=(9, 9))
