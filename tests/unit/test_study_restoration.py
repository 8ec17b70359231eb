"""`restore`: movies, pairs of scan angles, single images; what is written, and what is refused."""

import json
import warnings

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from tusi import study
from tusi.cli.application import app
from tusi.errors import InputError
from tusi.finding import find_atoms
from tusi.io import read
from tusi.report.restoration import render_restoration_report
from tusi.study.restoration import RestorationOptions, check_target, restore, write_restored

pytestmark = pytest.mark.filterwarnings("ignore::tusi.errors.MetadataWarning")

SIDE, PERIOD = 96, 15
DRIFT = np.array([0.4, -0.3])


def frame(shift=(0.0, 0.0), *, jitter=0.0, seed=0):
    """Columns on a square lattice, one of them brighter, so that a shift by a lattice vector is seen."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    x = x + jitter * rng.normal(size=(SIDE, 1))
    places = [(a, b) for a in range(7, SIDE + PERIOD, PERIOD) for b in range(7, SIDE + PERIOD, PERIOD)]
    spots = [
        (1 + (place == (52, 52))) * np.exp(-((y - a - shift[0]) ** 2 + (x - b - shift[1]) ** 2) / 9.68)
        for place in places
        for a, b in [place]
    ]
    return rng.poisson(40 * (0.1 + np.sum(spots, axis=0))).astype(np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A movie, two images of one area at right angles, and an image with shifted rows."""
    folder = tmp_path_factory.mktemp("frames")
    movie = np.stack([frame(k * DRIFT, seed=k) for k in range(4)])
    scale = {"resolution": (10, 10), "metadata": {"unit": "angstrom", "axes": "TYX"}}
    tifffile.imwrite(folder / "movie.tiff", movie, imagej=True, **scale)
    tifffile.imwrite(folder / "a.tiff", frame(seed=1))
    tifffile.imwrite(folder / "b.tiff", np.rot90(frame(seed=2)).copy())
    tifffile.imwrite(folder / "one.tiff", frame(jitter=0.5, seed=3))
    return folder


@pytest.fixture(scope="module")
def restored(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return restore(folder / "movie.tiff")


def test_frames_of_a_movie_are_put_where_they_belong(restored):
    np.testing.assert_allclose(restored.shift, (1.5 - np.arange(4))[:, None] * DRIFT, atol=0.06)
    assert "4 of 4 frames registered and averaged" in restored.verdict[0]
    assert "drift within a frame, remain in the mean image" in restored.verdict[1]
    assert restored.after.std() < restored.before.std()


@pytest.mark.parametrize("suffix", [".tiff", ".nc"])
def test_the_written_image_is_read_back_with_scale_and_history(restored, tmp_path, suffix):
    path = write_restored(restored, tmp_path / f"image{suffix}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grid = read(path)
    np.testing.assert_allclose(grid.values, restored.after.values, rtol=1e-5)
    assert grid.dims == ("y", "x")
    assert grid.x.attrs["units"] == "angstrom"
    assert float(grid.x[1] - grid.x[0]) == pytest.approx(0.1, rel=1e-4)
    assert len(find_atoms(grid).atoms) >= 36
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_history_tells_inputs_and_what_was_done(restored, tmp_path):
    path = write_restored(restored, tmp_path / "image.tiff")
    with tifffile.TiffFile(path) as tiff:
        kept = tiff.imagej_metadata["tusi"]
    history = kept if isinstance(kept, dict) else json.loads(kept)
    assert history["inputs"][0]["sha256"] == restored.files[0].sha256
    assert history["options"]["non_rigid"] is False
    assert tuple(history["done"]) == restored.verdict


def test_two_scan_angles_resolve_drift_and_equal_ones_average(folder):
    pair = [folder / "a.tiff", folder / "b.tiff"]
    apart = restore(pair, options=RestorationOptions(scan_angles=(0.0, 90.0)))
    assert apart.restoration.resolved
    assert apart.verdict[0] == "Drift removed from 2 images of different scan angles."
    alike = restore([folder / "a.tiff", folder / "one.tiff"], options=RestorationOptions(scan_angles=(0.0, 180.0)))
    assert not alike.restoration.resolved
    with pytest.raises(InputError, match=r"files that do not state them\. Give them: `--scan-angles 0,90`"):
        restore(pair)
    with pytest.raises(InputError, match="2 angles, one for each file; got 3"):
        restore(pair, options=RestorationOptions(scan_angles=(0.0, 90.0, 180.0)))


def test_one_image_has_its_rows_put_straight_and_says_what_it_cannot_tell(folder):
    found = restore(folder / "one.tiff")
    assert 0.3 < found.row_jitter.deviation < 0.7
    assert found.verdict[1].startswith("One frame cannot tell strain from drift")
    page = render_restoration_report(found)
    assert "One frame cannot tell strain from drift" in page
    assert page.count("<svg") == 3


def test_the_page_shows_before_after_and_displacement(restored):
    page = render_restoration_report(restored)
    assert page.count("<svg") == 3
    assert page.count("<td>used</td>") == 4
    assert "<script" not in page


def test_inputs_are_never_replaced(restored, folder):
    before = (folder / "movie.tiff").read_bytes()
    with pytest.raises(InputError, match="another file than the inputs"):
        write_restored(restored, folder / "movie.tiff")
    assert (folder / "movie.tiff").read_bytes() == before
    with pytest.raises(InputError, match=r"ending in .tif, .tiff, .nc; got 'a.png'"):
        check_target("a.png", inputs=[])


def test_an_analysis_of_a_movie_says_what_to_do(folder):
    with pytest.raises(InputError, match=r"a movie of 4 frames.*`tusi restore .*movie\.tiff`"):
        study.analyze(folder / "movie.tiff")


def test_the_command_writes_image_and_page(folder, tmp_path):
    out = tmp_path / "r.tiff"
    told = CliRunner().invoke(app, ["restore", str(folder / "one.tiff"), "--out", str(out)])
    assert told.exit_code == 0, told.output
    assert "One frame cannot tell strain from drift" in told.output
    assert sorted(one.name for one in tmp_path.iterdir()) == ["r.html", "r.tiff"]
    refused = CliRunner().invoke(app, ["restore", str(folder / "one.tiff"), "--scan-angles", "x", "--out", str(out)])
    assert isinstance(refused.exception, InputError)
    assert "numbers of degrees" in str(refused.exception)
