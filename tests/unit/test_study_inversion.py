"""From arrangements on disk to tested Hamiltonians: what can be read, what is kept, what is said."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tusi.errors import InputError, ScarceDataWarning
from tusi.generative.estimation.examination import FitExamination
from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites, potts
from tusi.generative.montecarlo import HeatBath, SamplingPlan, draw_samples
from tusi.study import InversionOptions, couplings_of, invert, load_inversion, read_observations
from tusi.study.inversion import ArrayLayout, ModelFit, model_for
from tusi.study.inversion_run import _verdict

ARCHIVED = Path(__file__).parents[1] / "archive" / "result-0.1.0.h5"
QUICK = InversionOptions(models=("random", "P1"), method="pseudolikelihood", n_replicas=99)


def arrangement(model, couplings, *, side=40, seed=0):
    samples = draw_samples(
        lattice_system(model, periodic_sites(SQUARE, (side, side))), np.array(couplings),
        rng=np.random.default_rng(seed), sampler=HeatBath(),
        plan=SamplingPlan(n_samples=1, n_chains=1, burn_in=500, keep_species=True),
    )  # fmt: skip
    return samples.species[0, 0].reshape(side, side)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("arrangements")
    for seed, name in enumerate(("first", "second")):
        np.save(path / f"{name}.npy", arrangement(ising(field=False), [0.3], seed=seed)[:28, :28])
    np.savetxt(path / "text.txt", arrangement(ising(field=False), [0.3], side=12), fmt="%d")
    return path


@pytest.fixture(scope="module")
def inversion(folder):
    files = [folder / "first.npy", folder / "second.npy"]
    return invert(files, options=QUICK, out=folder / "fit.h5")


def test_the_truth_is_recovered_and_the_random_alloy_rejected(inversion):
    estimate = inversion.fit("P1").estimate
    assert estimate.interval[0, 0] < 0.6 < estimate.interval[0, 1], "w1 = 2 K"
    assert inversion.fit("random").rejected
    assert inversion.verdict[0] == "Not rejected: P1. Rejected at 5 %: random."
    assert inversion.fit("P1").clic < inversion.fit("random").clic - 50
    assert inversion.n_sites.tolist() == [784, 784]
    assert inversion.expected[0].standard_error[0, 0] > inversion.expected[0].standard_error[-1, 0]
    assert inversion.arriving[0].obtained.shape == (2, 1)
    assert inversion.arriving[0].obtained[0, 0] > inversion.arriving[0].obtained[1, 0]


def test_a_result_is_read_back_and_its_command_repeats_it(inversion, folder):
    again = load_inversion(folder / "fit.h5")
    assert again.verdict == inversion.verdict
    np.testing.assert_array_equal(again.fit("P1").estimate.covariance, inversion.fit("P1").estimate.covariance)
    assert again.provenance.command.startswith("tusi fit-hamiltonian ")
    assert "--models random,P1" in again.provenance.command
    assert "--method pseudolikelihood" in again.provenance.command
    assert not Path(f"{folder / 'fit.h5'}.partial").exists()


def test_an_interrupted_run_goes_on_where_it_stopped(inversion, folder, monkeypatch):
    files = [folder / "first.npy", folder / "second.npy"]
    monkeypatch.setattr("tusi.study.inversion_run._Run.outlook", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        invert(files, options=QUICK, out=folder / "resumed.h5")
    monkeypatch.undo()
    monkeypatch.setattr("tusi.study.inversion_run._Run.fit_model", _interrupted)
    again = invert(files, options=QUICK, out=folder / "resumed.h5")
    assert again.verdict == inversion.verdict


def _interrupted(*arguments):
    raise KeyboardInterrupt


def test_results_of_analyze_and_text_are_read(folder):
    observations, species = read_observations([str(ARCHIVED)])
    assert observations[0].n_species == len(species) == 2
    observations, species = read_observations([str(folder / "text.txt")], species=("Fe", "Ni"))
    assert species == ("Fe", "Ni")
    assert observations[0].sites.period == (0, 0)
    layout = ArrayLayout(crystal="triangular", periodic=True, label_error=0.02)
    observations, _ = read_observations([str(folder / "text.txt")], layout=layout, temperatures=(300.0,))
    assert observations[0].sites.crystal.name == "triangular"
    assert observations[0].sites.period == (12, 12)
    assert not observations[0].certain.any()


def test_couplings_are_taken_from_either_kind_of_result(inversion, folder):
    fitted, crystal = couplings_of(folder / "fit.h5")
    assert (fitted.model.name, crystal.name) == ("P1", "square")
    np.testing.assert_array_equal(fitted.value, inversion.fit("P1").estimate.value)
    fitted, crystal = couplings_of(ARCHIVED, model="P2")
    assert (fitted.model.name, crystal.name) == ("P2", "triangular")
    with pytest.raises(InputError, match="`model`: expected one of P1; got 'M'"):
        couplings_of(folder / "fit.h5", model="M")


def test_temperatures_scale_the_couplings(folder):
    files = [str(folder / "first.npy"), str(folder / "second.npy")]
    observations, _ = read_observations(files, temperatures=(300.0, 600.0))
    assert [one.temperature_ratio for one in observations] == [1.0, 0.5]


def test_three_species_have_models_too(folder):
    np.save(folder / "three.npy", arrangement(potts(3), [0.5]))
    options = dataclasses.replace(QUICK, models=("random", "potts"), species=("A", "B", "C"))
    found = invert([folder / "three.npy"], options=options)
    low, high = found.fit("potts").estimate.interval[0]
    assert low < 0.5 < high
    assert model_for("P2", ("A", "B", "C")).parameters[:2] == ("w_AB1", "w_AC1")
    assert model_for("P1", ("A", "B"), composition="model").parameters == ("w1", "h_B")


@pytest.mark.parametrize(
    ("p_values", "said"),
    [
        ((0.001, 0.02), "No model here explains the arrangements."),
        ((0.4, 0.3), "Nothing rejects random or P1."),
        ((0.01, 0.3), "Not rejected: P1. Rejected at 5 %: random."),
    ],
)
def test_the_verdict_says_what_holds(p_values, said):
    fits = [
        ModelFit(
            name=name, equation="", estimate=None, tests=(), clic=0.0,
            examination=FitExamination(
                model=name, distance=np.zeros(1), distance_p=np.ones(1), pooled_distance=0.0, pooled_p=p, naive_p=p,
                predicted=(), predicted_p=np.empty(0), n_replicas=99,
            ),
        )
        for name, p in zip(("random", "P1"), p_values, strict=True)
    ]  # fmt: skip
    assert _verdict(fits, [])[0] == said


def test_bad_input_is_refused_in_words(folder):
    np.save(folder / "nan.npy", np.full((5, 5), np.nan))
    np.save(folder / "half.npy", np.full((5, 5), 0.5))
    np.save(folder / "line.npy", np.zeros(5, dtype=int))
    np.save(folder / "one.npy", np.zeros((9, 9), dtype=int))
    (folder / "cut.npy").write_bytes(b"\x93NUMPY")
    (folder / "words.txt").write_text("a b c\n")
    for name, expected in (
        ("nan.npy", "whole numbers"),
        ("half.npy", "whole numbers"),
        ("line.npy", "rows and columns"),
        ("cut.npy", "an array of whole numbers"),
        ("words.txt", "an array of whole numbers"),
    ):
        with pytest.raises(InputError, match=f"`paths`: expected {expected}"):
            read_observations([str(folder / name)])
    with pytest.warns(ScarceDataWarning, match="one species only"):
        read_observations([str(folder / "one.npy")])
    first = str(folder / "first.npy")
    with pytest.raises(InputError, match="`temperatures`: expected a positive number of kelvin for each of 1"):
        read_observations([first], temperatures=(300.0, 400.0))
    with pytest.raises(InputError, match="`species`: expected 2 different names"):
        read_observations([first], species=("A", "A"))
    with pytest.raises(InputError, match="`models`: expected random, P1, P2"):
        model_for("blume-capel", ("A", "B"))
    with pytest.raises(InputError, match="`method`: expected one of maximum-likelihood"):
        InversionOptions(method="guess")
    with pytest.raises(InputError, match="`crystal`: expected one of square, triangular"):
        ArrayLayout(crystal="cubic")
    with pytest.raises(InputError, match=r"`paths`: expected a file; got 'none\.npy'"):
        read_observations(["none.npy"])
