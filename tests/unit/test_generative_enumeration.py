"""Sampler, reweighting and likelihood against exact enumeration of small windows."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2

from tusi.generative.crystal import periodic_graph, square_window, window_graph
from tusi.generative.likelihood import (
    Evidence,
    FitSettings,
    log_likelihood_gain,
    maximise_likelihood,
    profile_interval,
)
from tusi.generative.models import MODELS
from tusi.generative.pseudolikelihood import maximise_pseudolikelihood
from tusi.generative.reweighting import pool_of
from tusi.generative.sampling import SamplerSettings, autocorrelation_time, sample
from tusi.generative.window import condition

CASES = {"P1": [0.4], "P2": [0.3, -0.4], "M": [-0.5, 0.4]}
ALL = list(MODELS.values())


def small_window(seed=0, *, height=7, width=7):
    rng = np.random.default_rng(seed)
    graph = window_graph(rng.integers(0, 2, (12, 12)), inside=square_window((12, 12), height=height, width=width))
    window = condition(graph, ALL)
    return window, (window.probability > 0.5).astype(np.int8)


def every_arrangement(window, species):
    """Return all arrangements of the free sites at the observed composition."""
    sites = np.flatnonzero(window.free)
    n_ones = int(species[sites].sum())
    rows = []
    for ones in itertools.combinations(sites, n_ones):
        row = species.copy()
        row[sites] = 0
        row[list(ones)] = 1
        rows.append(row)
    return np.array(rows)


def exact_moments(statistics, couplings):
    log_weight = -statistics @ couplings
    weight = np.exp(log_weight - log_weight.max())
    probability = weight / weight.sum()
    mean = probability @ statistics
    away = statistics - mean
    return mean, (away * probability[:, None]).T @ away, log_weight.max() + np.log(weight.sum()), probability


@pytest.mark.parametrize("name", list(CASES))
def test_moments_equal_enumeration(name):
    window, species = small_window()
    assert 8 <= window.free.sum() <= 12
    model, couplings = MODELS[name], np.array(CASES[name])
    statistics = window.statistics(model, every_arrangement(window, species))
    mean, covariance, _, _ = exact_moments(statistics, couplings)
    chain = sample(window, model, couplings=couplings, species=species, n_samples=40000, rng=np.random.default_rng(1))
    times = [autocorrelation_time(series) for series in chain.statistics.T]
    error = np.sqrt(np.diag(covariance) * times / 40000)
    assert (np.abs(chain.statistics.mean(axis=0) - mean) < 4 * error).all()
    np.testing.assert_allclose(np.cov(chain.statistics, rowvar=False), np.squeeze(covariance), rtol=0.06, atol=0.02)


@pytest.mark.parametrize("name", list(CASES))
def test_every_arrangement_appears_as_often_as_it_should(name):
    """Detailed balance: the frequencies of all arrangements follow exp(-E), by chi-square."""
    window, species = small_window(3, height=6, width=7)
    model, couplings = MODELS[name], np.array(CASES[name])
    arrangements = every_arrangement(window, species)
    _, _, _, probability = exact_moments(window.statistics(model, arrangements), couplings)
    number = {row.tobytes(): k for k, row in enumerate(arrangements)}
    chain = sample(
        window, model, couplings=couplings, species=species, n_samples=30000, rng=np.random.default_rng(2),
        keep_species=True, settings=SamplerSettings(spacing=20.0),
    )  # fmt: skip
    counts = np.bincount([number[row.tobytes()] for row in chain.species], minlength=len(arrangements))
    expected = probability * counts.sum()
    frequent = expected >= 5
    statistic = ((counts - expected) ** 2 / expected)[frequent].sum()
    assert chi2.sf(statistic, frequent.sum() - 1) > 1e-3
    assert frequent.sum() > 5


def test_a_whole_crystal_equals_enumeration():
    window = condition(periodic_graph((4, 4)), [MODELS["P1"]])
    species = (np.arange(16) < 5).astype(np.int8)
    statistics = window.statistics(MODELS["P1"], every_arrangement(window, species))
    mean, covariance, _, _ = exact_moments(statistics, np.array([-0.3]))
    chain = sample(
        window, MODELS["P1"], couplings=np.array([-0.3]), species=species, n_samples=20000,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert abs(chain.statistics.mean() - mean[0]) < 5 * np.sqrt(covariance[0, 0] / 20000 * 2)


@pytest.mark.parametrize("name", list(CASES))
def test_likelihood_equals_enumeration(name):
    """Couplings, information, intervals and log-likelihood gain of two images against the exact likelihood."""
    model = MODELS[name]
    images = [small_window(seed, height=7, width=8) for seed in (5, 9)]
    exact = [window.statistics(model, every_arrangement(window, species)) for window, species in images]
    observed = [window.statistics(model, species) for window, species in images]

    def loss(couplings):
        return sum(o @ couplings + exact_moments(t, couplings)[2] for o, t in zip(observed, exact, strict=True))

    best = minimize(loss, np.zeros(len(model.terms)), method="BFGS", options={"gtol": 1e-9})
    information = sum(exact_moments(t, best.x)[1] for t in exact)
    evidence = Evidence(
        windows=tuple(window for window, _ in images), species=tuple(species[None] for _, species in images)
    )
    fit = maximise_likelihood(evidence, model, rng=np.random.default_rng(0), settings=FitSettings(n_samples=40000))
    error = np.sqrt(np.diag(np.linalg.inv(information)))
    assert fit.converged
    assert (np.abs(fit.value - best.x) < 0.05 * error).all()
    np.testing.assert_allclose(fit.information, information, rtol=0.05, atol=0.03 * information.max())
    for k in range(len(model.terms)):
        low, high = profile_interval(fit, k)
        others = np.arange(len(model.terms)) != k
        for bound in (low, high):

            def profiled(rest, bound=bound, k=k, others=others):
                full = np.empty(len(model.terms))
                full[k], full[others] = bound, rest
                return loss(full)

            lowest = minimize(profiled, best.x[others]).fun if others.any() else profiled(np.empty(0))
            assert 2 * (lowest - best.fun) == pytest.approx(chi2.ppf(0.95, 1), rel=0.06)
    gain, gain_error = log_likelihood_gain(
        evidence, model, fit.value, rng=np.random.default_rng(1), settings=FitSettings(n_samples=40000)
    )
    assert abs(gain - (loss(np.zeros(len(model.terms))) - loss(fit.value))) < max(5 * gain_error, 0.01)


def test_reweighting_recovers_ratios_of_partition_functions():
    window, species = small_window()
    model = MODELS["P2"]
    statistics = window.statistics(model, every_arrangement(window, species))
    rng = np.random.default_rng(0)
    nodes = np.array([[0.0, 0.0], [0.4, 0.1], [-0.3, 0.3]])
    chains = [
        sample(window, model, couplings=node, species=species, n_samples=20000, rng=rng).statistics for node in nodes
    ]
    pool = pool_of([(nodes, np.stack(chains))], observed=statistics[:1], weight=np.ones(1))
    for couplings in ([0.2, 0.1], [-0.1, 0.2], [0.4, 0.1]):
        there, here = np.array(couplings), np.zeros(2)
        found = pool.moments(there)[0] - pool.moments(here)[0]
        exact = exact_moments(statistics, there)[2] - exact_moments(statistics, here)[2]
        assert found[0] == pytest.approx(exact, abs=0.03)
        np.testing.assert_allclose(pool.moments(there)[1][0], exact_moments(statistics, there)[0], atol=0.12)
    assert pool.effective_sample_size(np.array([0.2, 0.1]))[0] > 10000


def test_pseudolikelihood_is_at_its_maximum_and_near_the_truth():
    rng = np.random.default_rng(0)
    window = condition(periodic_graph((60, 60)), [MODELS["P2"]])
    species = (np.arange(3600) < 1800).astype(np.int8)
    truth = np.array([0.15, -0.1])
    chain = sample(
        window, MODELS["P2"], couplings=truth, species=species, n_samples=1, rng=rng, keep_species=True,
        settings=SamplerSettings(spacing=50.0),
    )  # fmt: skip
    fit = maximise_pseudolikelihood([window], MODELS["P2"], [chain.species[0]])
    error = np.sqrt(np.diag(np.linalg.inv(fit.information)))[:2]
    assert (np.abs(fit.value - truth) < 4 * error).all()
    assert error.max() < 0.05
