"""Tests of a fit hold their size where the model is right, and notice where it is wrong."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import kstest

from tusi.errors import InputError
from tusi.generative.estimation import Pseudolikelihood, estimate_couplings, observe
from tusi.generative.estimation.examination import examine_fit
from tusi.generative.estimation.replicas import ReplicaSettings, draw_labels, mislabelled, shown_labels
from tusi.generative.lattice import (
    TRIANGULAR,
    LatticeSites,
    lattice_system,
    pair_model,
    periodic_sites,
    potts,
    triangle_model,
    window_sites,
)
from tusi.generative.montecarlo import Exchange, HeatBath, SamplingPlan, draw_samples

P1, P2, M = pair_model(), pair_model(shells=2), triangle_model()
QUICK = ReplicaSettings(n_replicas=99, burn_in=30)


def arrangements(model, couplings, *, n_worlds, side, seed, sampler=None):
    """Windows cut from the middle of a crystal twice as wide."""
    rng = np.random.default_rng(seed)
    crystal = periodic_sites(TRIANGULAR, (2 * side, 2 * side))
    start = np.array([rng.permutation(np.arange(len(crystal)) % 5 < 2) for _ in range(4)]).astype(np.int8)
    samples = draw_samples(
        lattice_system(model, crystal), np.array(couplings), rng=rng, sampler=sampler or Exchange(),
        plan=SamplingPlan(
            n_samples=-(-n_worlds // 4), n_chains=4, burn_in=100, spacing=20, keep_species=True, start=start
        ),
    )  # fmt: skip
    inside = (crystal.index[:, :2] < side).all(axis=1)
    sites = LatticeSites(
        crystal=TRIANGULAR, index=crystal.index[inside], period=(0, 0), occupied=np.ones(inside.sum(), dtype=bool)
    )
    return sites, samples.species.reshape(-1, len(crystal))[:n_worlds, inside], rng


def test_p_values_are_uniform_where_the_model_is_right():
    sites, worlds, rng = arrangements(P1, [-0.3], n_worlds=60, side=14, seed=5)
    values = []
    for species in worlds:
        image = observe(sites, species)
        fit = estimate_couplings(image, P1, rng=rng, method=Pseudolikelihood())
        examination, tests = examine_fit([image], P1, fit.value, rng=rng, larger=[P2, M], settings=QUICK)
        values.append([examination.pooled_p, *examination.predicted_p, *(test.calibrated_p for test in tests)])
        assert [test.n_parameters for test in tests] == [1, 1]
        assert examination.predicted == tuple(f"unlike pairs of shell {k}" for k in (2, 3, 4))
    for column in np.array(values).T:
        assert kstest(column, "uniform").pvalue > 1e-3


def test_a_wrong_model_is_noticed_and_the_right_one_is_not_blamed():
    sites, worlds, rng = arrangements(P2, [-0.3, 0.35], n_worlds=1, side=24, seed=6)
    image = observe(sites, worlds[0])
    p_values = {}
    for model, larger in ((P1, [P2]), (P2, [])):
        fit = estimate_couplings(image, model, rng=rng, method=Pseudolikelihood())
        examination, tests = examine_fit([image], model, fit.value, rng=rng, larger=larger)
        p_values[model.name] = [examination.pooled_p, *(test.calibrated_p for test in tests)]
    assert max(p_values["P1"]) < 0.01
    assert min(p_values["P2"]) > 0.05


def test_three_species_and_fields_are_examined_too():
    model = potts(3)
    sites = window_sites(TRIANGULAR, (16, 16))
    rng = np.random.default_rng(7)
    samples = draw_samples(
        lattice_system(model, periodic_sites(TRIANGULAR, (16, 16))), np.array([0.3]), rng=rng, sampler=HeatBath(),
        plan=SamplingPlan(n_samples=1, n_chains=1, burn_in=200, keep_species=True),
    )  # fmt: skip
    image = observe(sites, samples.species[0, 0])
    examination, _ = examine_fit([image], model, np.array([0.3]), rng=rng, own_composition=False, settings=QUICK)
    assert 0.01 < examination.pooled_p <= 1


def test_replicas_show_errors_as_often_as_the_labels_say():
    sites = window_sites(TRIANGULAR, (40, 40))
    rng = np.random.default_rng(8)
    truth = (rng.random(1600) < 0.3).astype(np.int8)
    labels = np.where(rng.random(1600) < 0.05, 1 - truth, truth)
    image = observe(sites, labels, label_error=0.05, seen=np.arange(1600) >= 100)
    replicas = mislabelled(image, np.tile(truth, (20, 1)), rng=rng)
    informed = image.informed
    assert (replicas[:, informed] != truth[informed]).mean() == pytest.approx(0.05, abs=0.004)
    assert not replicas[:, ~informed].any()
    assert np.array_equal(shown_labels(image)[informed], labels[informed])
    assert draw_labels(image, 50, rng=rng)[:, :100].mean() == pytest.approx(image.composition[1], abs=0.02)


def test_wrong_input_is_refused():
    sites = window_sites(TRIANGULAR, (6, 6))
    image = observe(sites, np.arange(36) % 2)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="`observations`: expected at least one image"):
        examine_fit([], P1, np.array([0.0]), rng=rng)
    with pytest.raises(InputError, match="`couplings`: expected one finite number"):
        examine_fit([image], P1, np.array([np.nan]), rng=rng)
    assert dataclasses.replace(QUICK, n_replicas=9).n_replicas == 9
