"""`tusi fit-hamiltonian` and `tusi phase-diagram` as a user types them."""

import json
import sys

import numpy as np
import pytest

from tusi.cli import main
from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
from tusi.generative.montecarlo import SamplingPlan, draw_samples


@pytest.fixture(scope="module")
def array(tmp_path_factory):
    samples = draw_samples(
        lattice_system(ising(field=False), periodic_sites(SQUARE, (32, 32))), np.array([0.3]),
        rng=np.random.default_rng(4), plan=SamplingPlan(n_samples=1, n_chains=1, burn_in=500, keep_species=True),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("array") / "spins.npy"
    np.save(path, samples.species[0, 0].reshape(32, 32))
    return path


@pytest.fixture
def tusi(tmp_path, monkeypatch, capfd):
    """Run the command in an empty folder; return its exit code and its two outputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tusi", *words])
        with pytest.raises(SystemExit) as end:
            main()
        said = capfd.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


def test_from_an_array_to_a_phase_diagram(tusi, array, tmp_path):
    code, out, err = tusi(
        "fit-hamiltonian", str(array), "--models", "random,ising", "--method", "pseudolikelihood", "--periodic",
        "--n-replicas", "29", "--out", "fit.h5",
    )  # fmt: skip
    assert code == 0, err
    assert "Not rejected: ising. Rejected at 5 %: random." in out
    assert (tmp_path / "fit.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    code, out, err = tusi("info", "fit.h5")
    assert code == 0, err
    assert "ising" in out
    code, _, err = tusi("report", "fit.h5", "--out", "again.html")
    assert code == 0, err
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "fit.html").read_bytes()
    code, out, err = tusi(
        "phase-diagram", "fit.h5", "--temperatures", "0.5:1.1:4", "--sizes", "6,8", "--samples", "40", "--draws", "8",
        "--workers", "1", "--out", "diagram.json",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads((tmp_path / "diagram.json").read_text(encoding="utf-8"))
    assert found["crystal"] == "square"
    assert found["transitions"][0]["says"] in out


def test_a_stored_phase_diagram_is_told_and_drawn_again(tusi, tmp_path):
    words = ("phase-diagram", "--model", "ising", "--couplings", "K=0.4", "--sizes", "4,6", "--samples", "40")
    words += ("--draws", "4", "--temperatures", "0.8:1.4:2", "--workers", "1")
    code, out, err = tusi(*words, "--out", "d.h5")
    assert code == 0, err
    said = out.partition("written")[0]
    assert "0.8 to 1.4 T/T_ref, 4, 6 cells along an edge" in said
    code, out, err = tusi("info", "d.h5")
    assert code == 0, err
    assert out.endswith(said)
    code, _, err = tusi("report", "d.h5")
    assert code == 0, err
    code, _, err = tusi(*words, "--out", "page.html")
    assert code == 0, err
    assert (tmp_path / "page.html").read_bytes() == (tmp_path / "d.html").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fit-hamiltonian", "missing.npy"), "which does not exist"),
        (("fit-hamiltonian", "x.npy", "--method", "guess"), "expected one of maximum-likelihood"),
        (("fit-hamiltonian", "x.npy", "--temperatures", "hot"), "expected numbers of kelvin"),
        (("fit-hamiltonian", "x.npy", "--out", "fit.png"), "a name ending in .h5"),
        (("phase-diagram",), "Usage"),
        (("phase-diagram", "--model", "ising", "--couplings", "K=warm"), "expected numbers"),
        (("phase-diagram", "--model", "ising", "--couplings", "K=0.4", "--out", "x.txt"), "a name ending in"),
        (("phase-diagram", "missing.h5"), "no file 'missing.h5'"),
    ],
)
def test_mistakes_are_told_with_exit_code_two(tusi, words, said):
    code, out, err = tusi(*words)
    assert code == 2
    assert said in " ".join((out + err).split())
