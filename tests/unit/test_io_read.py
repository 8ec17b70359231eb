"""Reading: every format gives back what was written, with its pixel size, and says what it assumed."""

import warnings

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from tusi.data import check_image, length_unit_of, pixel_size_of
from tusi.errors import InputError, MetadataWarning
from tusi.io import describe, read
from tusi.testing.example_files import EXAMPLES, PIXEL_SIZE, WITHOUT_SCALE, example_image


def quiet_read(path, **options):
    """Read without its warnings, which `attrs["warnings"]` repeats."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetadataWarning)
        return read(path, **options)


@pytest.mark.parametrize("name", EXAMPLES)
def test_values_and_pixel_size_survive_each_format(name, tmp_path):
    path = EXAMPLES[name](tmp_path)
    grid = quiet_read(path)
    image = grid.isel(frame=0) if "frame" in grid.dims else grid
    factor = 2.0 if name == "JPK" else 1.0
    tolerance = 40 if name == "JPEG" else 0
    np.testing.assert_allclose(image.values, example_image() * factor, atol=tolerance)
    assert image.dtype == np.float64
    check_image(image.drop_vars("frame", errors="ignore"))
    if name in WITHOUT_SCALE:
        assert length_unit_of(grid) == "pixel"
        assert any("no pixel size" in note for note in grid.attrs["warnings"])
    else:
        assert length_unit_of(grid) == "angstrom"
        assert pixel_size_of(image) == pytest.approx(PIXEL_SIZE, rel=1e-6)
    described = describe(path)
    assert described.kind == "grid"
    assert described.length_unit == length_unit_of(grid)
    assert path.name in str(described)


def test_the_clean_file_gives_no_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "warnings" not in read(EXAMPLES["MRC"](tmp_path)).attrs


def test_dots_per_inch_are_no_pixel_size(tmp_path):
    with pytest.warns(MetadataWarning) as caught:
        grid = read(EXAMPLES["TIFF (RGB)"](tmp_path))
    words = " ".join(str(one.message) for one in caught)
    assert "72 per inch" in words
    assert "lengths are in pixels" in words
    assert "`pixel_size`" in words
    assert grid.attrs["warnings"] == [str(one.message) for one in caught]
    assert grid.attrs["display_bits"] == 8


def test_given_pixel_size_wins_and_a_contradiction_is_said(tmp_path):
    path = EXAMPLES["MRC"](tmp_path)
    with pytest.warns(MetadataWarning, match=r"states a pixel size of 0.25 angstrom; `pixel_size` = 0.3"):
        assert pixel_size_of(read(path, pixel_size=0.3)) == pytest.approx(0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixel_size_of(read(path, pixel_size=0.25)) == pytest.approx(0.25)
    with pytest.raises(InputError, match="positive number of angstrom"):
        read(path, pixel_size=-1.0)


def test_pixels_that_are_not_square_are_read_with_a_warning(tmp_path):
    path = tmp_path / "oblong.tif"
    tifffile.imwrite(path, example_image(), imagej=True, resolution=(20.0, 40.0), metadata={"unit": "nm"})
    with pytest.warns(MetadataWarning, match=r"not square: 0.25 x 0.5 angstrom \(y, x\)"):
        grid = read(path)
    with pytest.raises(InputError, match="square pixels"):
        check_image(grid)


def test_region_keeps_the_coordinates_of_the_whole(tmp_path):
    path = EXAMPLES["HDF5 (dimension scales)"](tmp_path)
    part = read(path, region=(3, 9, 10, 30))
    whole = read(path)
    np.testing.assert_array_equal(part.values, whole.values[3:9, 10:30])
    np.testing.assert_array_equal(part.y.values, whole.y.values[3:9])
    for region in [(0, 0, 0, 5), (-1, 5, 0, 5), (0, 999, 0, 5), (5, 3, 0, 5)]:
        with pytest.raises(InputError, match="region"):
            read(path, region=region)
    with pytest.raises(InputError, match="four whole numbers"):
        read(path, region=(0, 5, 0.5, 3))


def test_wrong_suffix_is_read_by_content(tmp_path):
    path = EXAMPLES["PNG"](tmp_path).rename(tmp_path / "picture.tiff")
    with pytest.warns(MetadataWarning, match="is a PNG file by its content"):
        np.testing.assert_array_equal(read(path, pixel_size=1.0).values, example_image())


def test_largest_image_is_chosen_and_the_others_are_named(tmp_path):
    path = tmp_path / "several.h5"
    with h5py.File(path, "w") as file:
        file["a/small"] = np.zeros((4, 4))
        file["b/large"] = np.ones((6, 8))
        file["table"] = np.zeros(1000)
    with pytest.warns(MetadataWarning, match=r"holds 2 data sets: 'b/large' was read, not 'a/small' \(4, 4\)"):
        assert read(path, pixel_size=1.0).shape == (6, 8)
    assert read(path, pixel_size=1.0, dataset="a/small").shape == (4, 4)
    assert read(path, pixel_size=1.0, dataset="small").shape == (4, 4)
    with pytest.raises(InputError, match=r"'a/small' \(4, 4\).*got 'c'"):
        read(path, dataset="c")


def test_dimensions_come_from_units_and_names(tmp_path):
    path = tmp_path / "spectrum_image.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("counts", data=np.arange(60.0).reshape(5, 3, 4))
        for i, (name, unit) in enumerate([("Energy", "keV"), ("y", "nm"), ("x", "nm")]):
            file[name] = np.arange(data.shape[i]) * 0.5 + 1
            file[name].attrs["units"] = unit
            file[name].make_scale(name)
            data.dims[i].attach_scale(file[name])
    grid = read(path)
    assert grid.dims == ("y", "x", "energy")
    assert grid.energy.values.tolist() == [1000.0, 1500.0, 2000.0, 2500.0, 3000.0]
    assert grid.energy.attrs["units"] == "eV"
    np.testing.assert_array_equal(grid.values, np.moveaxis(np.arange(60.0).reshape(5, 3, 4), 0, -1))


@pytest.mark.parametrize(("ndim", "dims"), [(3, ("frame", "y", "x")), (4, ("y", "x", "ky", "kx"))])
def test_axes_without_names_are_assumed_and_said(ndim, dims, tmp_path):
    np.save(tmp_path / "stack.npy", np.zeros((2, 3, 4, 5)[:ndim]))
    with pytest.warns(MetadataWarning, match="does not name its axes"):
        assert read(tmp_path / "stack.npy", pixel_size=1.0).dims == dims


def test_nan_is_read_and_left_to_the_check_of_images(tmp_path):
    image = np.ones((4, 4))
    image[1, 2] = np.nan
    np.save(tmp_path / "holes.npy", image)
    grid = read(tmp_path / "holes.npy", pixel_size=1.0)
    assert int(np.isnan(grid.values).sum()) == 1
    with pytest.raises(InputError, match="1 NaN"):
        check_image(grid)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("indexed.png", "channels are equal"),
        ("indexed.tif", "Palette indices were replaced"),
        ("opaque.png", "opacity channel was dropped"),
    ],
)
def test_palette_and_opacity_become_intensity(name, note, tmp_path):
    picture = Image.fromarray(example_image())
    if name == "indexed.png":
        indexed = Image.frombytes("P", picture.size, (255 - example_image()).tobytes())
        indexed.putpalette([level for i in range(256) for level in (255 - i,) * 3])
        indexed.save(tmp_path / name)
    elif name == "indexed.tif":
        table = np.stack([np.arange(256) * 257] * 3).astype(np.uint16)
        tifffile.imwrite(tmp_path / name, example_image(), photometric="palette", colormap=table)
    else:
        picture.convert("RGBA").save(tmp_path / name)
    grid = quiet_read(tmp_path / name, pixel_size=1.0)
    np.testing.assert_array_equal(grid.values, example_image())
    assert any(note in one for one in grid.attrs["warnings"])


def test_white_is_zero_is_inverted(tmp_path):
    tifffile.imwrite(tmp_path / "negative.tif", 255 - example_image(), photometric="miniswhite")
    with pytest.warns(MetadataWarning, match="white as zero"):
        np.testing.assert_array_equal(read(tmp_path / "negative.tif", pixel_size=1.0).values, example_image())


def test_a_result_of_tusi_is_recognised(tmp_path):
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file.attrs["tusi_format"] = "1"
        file["image"] = np.zeros((4, 4))
    described = describe(tmp_path / "run.h5")
    assert described.kind == "result"
    assert "A result of tusi" in str(described)
    with pytest.raises(InputError, match="`tusi report`"):
        read(tmp_path / "run.h5")


def test_description_says_what_read_would_do(tmp_path):
    words = str(describe(EXAMPLES["EMD (Velox)"](tmp_path)))
    assert "reads as: y 24, x 36" in words
    assert "pixel size: 0.25 x 0.25 angstrom (y, x)" in words
    assert "8-bit grey levels" in str(describe(EXAMPLES["TIFF (RGB)"](tmp_path)))
