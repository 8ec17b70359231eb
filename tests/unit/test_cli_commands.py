"""The commands that are not `analyze`, and how fast the command line answers."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tusi import study
from tusi.cli import main
from tusi.report import render_report

ARCHIVED = sorted((Path(__file__).parents[1] / "archive").glob("result-*.h5"))[-1]
HEAVY = ("numpy", "xarray", "matplotlib", "numba", "distributed", "tusi.study.pipeline")


@pytest.fixture
def tusi(tmp_path, monkeypatch, capfd):
    """Run the command in an empty folder; return its exit code and its two outputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tusi", *words])
        with pytest.raises(SystemExit) as end:
            main()
        said = capfd.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


def test_help_answers_at_once_and_loads_nothing_heavy():
    program = (
        "import sys; sys.argv = ['tusi', '--help']\n"
        "from tusi.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    code = end.code\n"
        f"loaded = [name for name in {HEAVY} if name in sys.modules]\n"
        "sys.exit(f'loaded {loaded}' if loaded else code)\n"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("analyze", "simulate", "report", "info", "demo"):
        assert command in done.stdout
    assert time.monotonic() - started < 20


def test_version_and_no_command(tusi):
    code, out, _ = tusi("--version")
    assert code == 0
    assert out.startswith("tusi ")
    code, out, err = tusi()
    assert code == 2
    assert "Usage" in out + err


def test_simulated_series_can_be_described_and_says_its_truth(tusi):
    words = ["--composition", "0.3,0.6", "--couplings", "-0.25", "--size", "150", "--counts", "--pixel-size", "0.2"]
    code, out, _ = tusi("simulate", "--out", "series", *words)
    assert code == 0
    assert out.split() == ["series/Re30.tiff", "series/Re60.tiff", "series/truth.json"]
    truth = json.loads(Path("series/truth.json").read_text("utf-8"))
    assert truth["couplings_kT"] == [-0.25]
    assert truth["model"] == "P1"
    assert [image["crystal_composition"] for image in truth["images"]] == [0.3, 0.6]
    code, out, _ = tusi("info", "series/Re30.tiff")
    assert code == 0
    assert "150" in out
    assert "0.2 x 0.2 angstrom" in out
    assert (Path("series") / truth["images"][0]["columns"]).exists()


def test_the_same_seed_makes_the_same_files(tusi):
    for folder in ("a", "b"):
        tusi("simulate", "--out", folder, "--composition", "0.5", "--size", "120", "--seed", "4")
    assert Path("a/Re50.tiff").read_bytes() == Path("b/Re50.tiff").read_bytes()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--couplings", "strong"], "`couplings`: expected numbers between commas"),
        (["--couplings", "1,2,3"], "`couplings`: expected 1 for the model 'P1'"),
        (["--composition", "1.5"], "`composition`"),
        (["--dose", "-1"], "`dose`"),
        (["--drift", "1"], "`drift`: expected two numbers"),
    ],
)
def test_impossible_simulations(tusi, words, text):
    code, _, err = tusi("simulate", *words)
    assert code == 2
    assert text in " ".join(err.split())
    assert os.listdir() == []


def test_report_is_drawn_from_the_result_alone(tusi):
    shutil.copy(ARCHIVED, "r.h5")
    code, out, _ = tusi("report", "r.h5")
    assert code == 0
    assert out.strip() == "r.html"
    assert Path("r.html").read_text("utf-8") == render_report(study.load(ARCHIVED))
    code, out, _ = tusi("info", "r.h5")
    assert code == 0
    assert study.load(ARCHIVED).provenance.command in out


def test_report_of_something_else(tusi):
    Path("r.h5").write_text("no result", encoding="utf-8")
    code, _, err = tusi("report", "r.h5")
    assert code == 2
    assert "Cannot do this" in err
    assert os.listdir() == ["r.h5"]
