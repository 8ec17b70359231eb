"""Grids and noise models: the schema is checked once, at the door."""

import numpy as np
import pytest
import xarray as xr

from tusi.data import NoiseModel, check_grid, check_image, length_unit_of, make_grid, pixel_size_of
from tusi.errors import InputError


def test_without_a_pixel_size_lengths_are_in_pixels():
    grid = make_grid(np.zeros((4, 5)))
    assert (length_unit_of(grid), pixel_size_of(grid)) == ("pixel", 1.0)
    assert grid.sizes == {"y": 4, "x": 5}


@pytest.mark.parametrize("pixel_size", [1e-3, 0.1, 1 / 3, 12.5])
def test_pixel_size_comes_back(pixel_size):
    grid = make_grid(np.zeros((300, 200)), pixel_size=pixel_size)
    assert pixel_size_of(grid) == pytest.approx(pixel_size, rel=1e-12)
    assert length_unit_of(grid) == "angstrom"


def test_cropping_keeps_pixel_size_and_origin():
    grid = make_grid(np.arange(100.0).reshape(10, 10), pixel_size=0.25)
    part = check_image(grid.isel(y=slice(2, 6), x=slice(3, 9)))
    assert pixel_size_of(part) == pytest.approx(0.25)
    assert float(part.y[0]) == pytest.approx(0.5)


def test_one_pixel_has_no_scale_to_measure():
    assert pixel_size_of(make_grid(np.zeros((1, 1)))) == 1.0


def test_a_single_row_is_measured_along_x():
    assert pixel_size_of(make_grid(np.zeros((1, 9)), pixel_size=0.3)) == pytest.approx(0.3)


@pytest.mark.parametrize("shape", [(3,), (3, 3, 3)])
def test_make_grid_needs_an_image(shape):
    with pytest.raises(InputError, match="`values`: expected a two-dimensional image"):
        make_grid(np.zeros(shape))


@pytest.mark.parametrize("pixel_size", [0.0, -1.0, np.nan, np.inf])
def test_make_grid_needs_a_positive_pixel_size(pixel_size):
    with pytest.raises(InputError, match="`pixel_size`: expected a positive number of angstrom"):
        make_grid(np.zeros((2, 2)), pixel_size=pixel_size)


def with_units(values: np.ndarray, dims: tuple[str, ...], unit: str = "pixel") -> xr.DataArray:
    coordinates = {
        dim: xr.DataArray(np.arange(size), dims=dim, attrs={"units": unit})
        for dim, size in zip(dims, values.shape, strict=True)
    }
    return xr.DataArray(values, dims=dims, coords=coordinates)


@pytest.mark.parametrize("dims", [("x", "y"), ("y", "frame"), ("row", "column"), ("x", "frame", "y")])
def test_dimensions_have_one_order(dims):
    with pytest.raises(InputError, match=r"expected dimensions from .* in that order"):
        check_grid(with_units(np.zeros((2,) * len(dims)), dims))


@pytest.mark.parametrize("dims", [("y", "x"), ("frame", "y", "x"), ("y", "x", "energy"), ("y", "x", "ky", "kx")])
def test_known_dimensions_pass_unchanged(dims):
    grid = with_units(np.zeros((2,) * len(dims)), dims)
    assert check_grid(grid) is grid


def test_missing_coordinate_is_named():
    with pytest.raises(InputError, match=r"a coordinate 'y' with attrs\['units'\].*Use `make_grid`"):
        check_grid(xr.DataArray(np.zeros((2, 2)), dims=("y", "x")))


def test_unknown_unit_is_named():
    with pytest.raises(InputError, match=r"y in one of \('pixel', 'angstrom'\); got 'nm'"):
        check_grid(with_units(np.zeros((2, 2)), ("y", "x"), unit="nm"))


def test_check_image_wants_one_image():
    with pytest.raises(InputError, match=r"grid.isel\(frame=0\)"):
        check_image(with_units(np.zeros((2, 2, 2)), ("frame", "y", "x")))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_check_image_counts_bad_pixels(bad):
    values = np.zeros((3, 3))
    values[1, 1:] = bad
    with pytest.raises(InputError, match="expected finite values; got 2 NaN or infinite pixels"):
        check_image(make_grid(values))


def test_check_image_wants_square_pixels():
    grid = make_grid(np.zeros((5, 5)), pixel_size=0.1)
    stretched = grid.assign_coords(y=xr.DataArray(grid.y.values * 1.01, dims="y", attrs=grid.y.attrs))
    with pytest.raises(InputError, match=r"expected square pixels; got 0\.101 x 0\.1"):
        check_image(stretched)


# ---- noise ---------------------------------------------------------------------------------------------------------


def test_variance_is_that_of_a_simulated_detector():
    """Gain x Poisson + offset + Gaussian read noise: the declared variance against 200,000 draws."""
    model = NoiseModel(gain=3.0, offset=20.0, read_variance=4.0)
    rng = np.random.default_rng(11)
    n_draws = 200_000
    for electrons in (0.5, 5.0, 50.0):
        draws = 20.0 + 3.0 * rng.poisson(electrons, n_draws) + rng.normal(0, 2.0, n_draws)
        expected = float(model.variance(np.array([20.0 + 3.0 * electrons]))[0])
        assert draws.var() == pytest.approx(expected, rel=0.03)


def test_variance_never_falls_below_the_read_noise():
    model = NoiseModel(gain=1.0, offset=10.0, read_variance=2.0)
    assert model.variance(np.array([-100.0, 0.0, 10.0])).tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gain": -1.0}, "`gain`: expected a finite number >= 0; got -1.0"),
        ({"gain": np.nan}, "`gain`: expected a finite number >= 0; got nan"),
        ({"read_variance": np.inf}, "`read_variance`: expected a finite number >= 0"),
        ({"gain": 0.0}, "expected gain or read_variance above zero; got a noise-free model"),
        ({"correlation_area": 0.5}, "`correlation_area`: expected at least 1 pixel; got 0.5"),
        ({"correlation_area": np.nan}, "`correlation_area`: expected at least 1 pixel; got nan"),
    ],
)
def test_impossible_noise_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        NoiseModel(**options)


def test_repr_reads_as_code():
    model = NoiseModel(gain=2.0)
    assert eval(repr(model), {"NoiseModel": NoiseModel}) == model
