"""Everything that can be wrong with an input, through the command: what is said, the exit code, what is left behind."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from tusi.cli import main
from tusi.datasets import COUNTS, AlloyRecipe, simulate_alloy

QUICK = ["--models", "random", "--workers", "1"]


@pytest.fixture
def tusi(tmp_path, monkeypatch, capfd):
    """Run the command in an empty folder; return its exit code and all that it said, on one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tusi", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capfd.readouterr()
        text = " ".join((said.out + said.err).replace("│", " ").split())
        assert "Traceback" not in text
        return int(end.value.code or 0), text

    return run


def an_alloy(name: str, seed: int = 0) -> None:
    """Write a small image that can be analysed."""
    recipe = AlloyRecipe(composition=0.5, model="P1", couplings=(0.0,), sulphur_intensity=0.0, shape=(200, 200))
    grid = simulate_alloy(recipe, COUNTS, rng=np.random.default_rng(seed)).grid
    tifffile.imwrite(name, grid.values.astype(np.uint16))


def one_spot(name: str) -> None:
    """Write an image with a single column."""
    y, x = np.mgrid[:64, :64]
    mean = 5 + 200 * np.exp(-((y - 30) ** 2 + (x - 33) ** 2) / 18)
    tifffile.imwrite(name, np.random.default_rng(0).poisson(mean).astype(np.uint16))


def test_missing_and_unreadable_files(tusi):
    code, said = tusi("analyze", "none.tiff")
    assert code == 2
    assert "`paths`: expected a file; got 'none.tiff', which does not exist" in said
    os.mkdir("folder.tiff")
    code, said = tusi("analyze", "folder.tiff")
    assert code == 2
    assert "Cannot do this" in said
    assert sorted(os.listdir()) == ["folder.tiff"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_file_without_permission(tusi):
    an_alloy("a.tiff")
    os.chmod("a.tiff", 0)
    code, said = tusi("analyze", "a.tiff")
    assert code == 2
    assert "Permission denied" in said


def test_truncated_file(tusi):
    an_alloy("a.tiff")
    with open("a.tiff", "r+b") as file:
        file.truncate(20_000)
    code, said = tusi("analyze", "a.tiff", *QUICK)
    assert code == 2
    assert "at least one image that can be used; got a: " in said
    assert os.listdir() == ["a.tiff"]


def test_wrong_suffix_is_read_by_content_with_a_warning(tusi):
    an_alloy("a.tiff")
    os.rename("a.tiff", "a.png")
    code, said = tusi("analyze", "a.png", "--species", "Mo,Re", *QUICK)
    assert code == 0
    assert "warning:" in said
    assert sorted(os.listdir()) == ["a.png", "analysis.h5", "analysis.html"]


def test_text_that_calls_itself_an_image(tusi):
    with open("a.tiff", "w", encoding="utf-8") as file:
        file.write("not an image")
    code, said = tusi("analyze", "a.tiff", *QUICK)
    assert code == 2
    assert "a: " in said


@pytest.mark.parametrize("values", [np.zeros((64, 64), np.uint8), np.full((64, 64), 7, np.uint16)])
def test_image_without_contrast(tusi, values):
    tifffile.imwrite("flat.tiff", values)
    code, said = tusi("analyze", "flat.tiff", *QUICK)
    assert code == 2
    assert "at least one image that can be used; got flat: " in said
    assert os.listdir() == ["flat.tiff"]


def test_one_atom(tusi):
    one_spot("one.tiff")
    code, said = tusi("analyze", "one.tiff", *QUICK)
    assert code == 2
    assert "got one: " in said
    assert os.listdir() == ["one.tiff"]


def test_image_with_nans_is_refused_and_its_finite_region_is_not(tusi):
    an_alloy("a.tiff")
    values = tifffile.imread("a.tiff").astype(np.float32)
    values[:12] = np.nan
    tifffile.imwrite("nan.tiff", values)
    os.remove("a.tiff")
    code, said = tusi("analyze", "nan.tiff", *QUICK)
    assert code == 2
    assert "2400 NaN or infinite pixels" in said
    code, said = tusi("analyze", "nan.tiff", "--region", "12:200,0:200", "--species", "Mo,Re", *QUICK)
    assert code == 0, said
    assert "atoms are found inside it only" in said


def test_three_channel_photo_is_read_as_intensity_or_refused(tusi):
    pixels = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.png")
    code, said = tusi("analyze", "photo.png", *QUICK)
    assert code == 2
    assert "got photo: " in said


def test_image_too_large_for_the_memory(tusi, monkeypatch):
    monkeypatch.setattr("tusi.io.limits.default_max_bytes", lambda: 2**30)
    tifffile.memmap("large.tiff", shape=(20_000, 20_000), dtype=np.uint8).flush()
    code, said = tusi("analyze", "large.tiff", *QUICK)
    assert code == 2
    assert "got large: " in said
    assert os.listdir() == ["large.tiff"]


def test_good_image_goes_on_beside_a_bad_one(tusi):
    an_alloy("good.tiff")
    one_spot("one.tiff")
    code, said = tusi("analyze", "good.tiff", "one.tiff", "--species", "Mo,Re", *QUICK)
    assert code == 0, said
    assert "report analysis.html" in said
    with open("analysis.html", encoding="utf-8") as file:
        assert "left out at the step" in file.read()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--region", "here"], "`region`: expected y0:y1,x0:x1 in pixels"),
        (["--region", "other=0:5,0:5"], "the name of an image"),
        (["--pixel-size", "-1"], "`pixel_size`: expected a positive number"),
        (["--species", "Mo"], "`species`: expected two or more different names"),
        (["--models", "P9"], "`models`: expected names among"),
        (["--workers", "0"], "`workers`: expected a whole number >= 1"),
        (["--out", "nowhere/r.h5"], "a file in a folder that exists"),
        (["--out", "r.txt"], "a name ending in .h5 or .hdf5"),
        (["--seed", "many"], "Invalid value for '--seed'"),
        (["--colour", "red"], "No such option"),
    ],
)
def test_impossible_options(tusi, words, text):
    an_alloy("a.tiff")
    code, said = tusi("analyze", "a.tiff", *words)
    assert code == 2
    assert text in said
    assert os.listdir() == ["a.tiff"]


def test_full_disk_is_no_mistake_of_the_caller_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    an_alloy("a.tiff")

    limited = (
        "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); "
        "runpy.run_module('tusi', run_name='__main__', alter_sys=True)"
    )
    words = [sys.executable, "-c", limited, "analyze", "a.tiff", "--species", "Mo,Re", *QUICK]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    left = [name for _, _, names in os.walk(tmp_path) for name in names]
    assert not [name for name in left if name.endswith(".tmp") or name in ("analysis.h5", "analysis.html")]


def test_interrupt_says_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        an_alloy(f"a{seed}.tiff", seed)
    images = [f"a{seed}.tiff" for seed in range(3)]
    words = [sys.executable, "-m", "tusi", "analyze", *images, "--species", "Mo,Re", "--workers", "1"]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    partial = tmp_path / "analysis.h5.partial"
    started = time.monotonic()
    while not (partial.exists() and any(partial.glob("find-*"))):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() - started < 120
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "give the same command again to go on" in " ".join(said.split())
    assert not (tmp_path / "analysis.h5").exists()
    assert not list(partial.glob(".*.tmp"))
