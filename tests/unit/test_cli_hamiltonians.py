"""`tusi fit-hamiltonian` and `tusi phase-diagram` as a user types them."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tusi.cli import main
from tusi.generative.estimation.decision import DataToDecide, DecisionTarget
from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
from tusi.generative.montecarlo import SamplingPlan, draw_samples
from tusi.study.inversion_run import _verdict


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
    assert "0.8 to 1.4 of the reference temperature, 4, 6 cells along an edge" in said
    code, out, err = tusi("info", "d.h5")
    assert code == 0, err
    assert out.endswith(said)
    command = (
        "tusi phase-diagram --model ising --couplings K=0.4 --temperatures 0.8:1.4:2 --sizes 4,6 --samples 40 --draws 4"
    )
    assert f"made by: {command} --seed 0" in said
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


def test_verdicts_of_an_inversion_say_no_probability_is_zero():
    examination = SimpleNamespace(pooled_p=0.0321, naive_p=1.9e-214)
    fit = SimpleNamespace(
        name="P1", rejected=False, estimate=None, examination=examination, tests=(),
        held_out=(SimpleNamespace(name="a", p_value=0.0),),
    )  # fmt: skip
    assert _verdict([fit], [])[1:] == (
        "P1: clusters p = 0.032 (naive p < 0.0001).", "P1 fitted to the others predicts a p < 0.0001.",
    )  # fmt: skip
    decision = DataToDecide(
        smaller="P1", larger="P2", degrees=1, noncentrality=1e-4, noncentrality_error=0.0, n_sites=47_800.0,
        target=DecisionTarget(n_seen=4900),
    )  # fmt: skip
    assert str(decision).startswith("About 43,000 more sites (about 48,000 in all) let a test")
