"""Posterior, evidence and decisions against exact enumeration, quadrature, an exact algorithm, and simulated tests."""

import dataclasses
import itertools
import warnings

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2, norm

from tusi.errors import InputError, ScarceDataWarning
from tusi.generative.estimation.coupling_posterior import PosteriorSettings
from tusi.generative.estimation.decision import (
    DecisionTarget,
    best_next_condition,
    data_to_decide,
    needed_noncentrality,
)
from tusi.generative.estimation.enumerated import enumerated_surface
from tusi.generative.estimation.estimate import estimate_couplings
from tusi.generative.estimation.evidence import bayes_factor, log_evidence
from tusi.generative.estimation.information import Condition, expected_error, statistics_at
from tusi.generative.estimation.mixture import pool_of_nodes
from tusi.generative.estimation.observation import observe
from tusi.generative.estimation.posterior import Posterior, sample_posterior
from tusi.generative.estimation.prior import LaplacePrior, NormalPrior, Priors, UniformPrior
from tusi.generative.estimation.surface_sampling import log_likelihoods, sample_surface
from tusi.generative.lattice import (
    SQUARE,
    TRIANGULAR,
    LatticeModel,
    enumerate_states,
    ising,
    lattice_system,
    onsager_specific_heat,
    pair_model,
    periodic_sites,
    potts,
    triangle_model,
)
from tusi.generative.montecarlo import SamplingPlan

QUICK = PosteriorSettings(n_samples=1000, n_warm_up=400)
ISING, TWO = ising(field=False), ising(shells=2, field=False)
T_CRITICAL = np.log(1 + np.sqrt(2)) / 2


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def states_of(model, shape):
    system = lattice_system(model, periodic_sites(SQUARE, shape))
    return system, enumerate_states(system)


def quadrature(surface, prior, *, reach=3.0, n_points=121):
    """Return nodes, weights of the exact posterior on a grid, and the log of the integral of prior times likelihood."""
    low, high = np.maximum(prior.bounds[0], -reach), np.minimum(prior.bounds[1], reach)
    axes = [np.linspace(a, b, n_points) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    level = log_likelihoods(surface, grid) + prior.log_density(grid)
    weight = np.exp(level - level.max())
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    return grid, weight / weight.sum(), float(np.log(weight.sum() * cell) + level.max())


def exact_moments(surface, prior):
    grid, weight, _ = quadrature(surface, prior)
    mean = weight @ grid
    return mean, np.sqrt(weight @ (grid - mean) ** 2)


@pytest.mark.parametrize(
    "prior", [NormalPrior(mean=0.3, width=0.5), LaplacePrior(mean=-0.2, width=0.4), UniformPrior(low=-1.0, high=0.5)]
)
def test_priors_are_densities_with_their_moments_and_gradients(prior, rng):
    low, high = np.clip(prior.bounds, -20, 20)
    mean, deviation = prior.mean_and_deviation
    points = [low, mean, high]
    assert np.isclose(
        sum(quad(lambda x: np.exp(prior.log_density(x)), a, b)[0] for a, b in itertools.pairwise(points)), 1
    )
    x = np.array([mean - 0.31, mean + 0.17])
    numeric = (prior.log_density(x + 1e-6) - prior.log_density(x - 1e-6)) / 2e-6
    np.testing.assert_allclose(prior.gradient(x), numeric, atol=1e-6)
    draws = prior.sample(20000, rng=rng)
    assert abs(draws.mean() - mean) < 4 * deviation / np.sqrt(20000)
    assert abs(draws.std() / deviation - 1) < 0.04


@pytest.mark.parametrize(
    ("model", "shape", "prior"),
    [
        (ising(), (3, 4), NormalPrior(width=0.5)),
        (TWO, (3, 4), LaplacePrior(width=0.3)),
        (potts(3), (3, 3), UniformPrior(low=-1.0, high=1.0)),
    ],
)
def test_chains_draw_the_exact_posterior(model, shape, prior, rng):
    _, states = states_of(model, shape)
    surface = enumerated_surface(states, states.statistics[[5, len(states.statistics) // 3]])
    joint = Priors(default=prior).of(model.parameters)
    posterior = sample_surface(surface, joint, rng=rng, settings=PosteriorSettings(n_samples=3000))
    mean, width = exact_moments(surface, joint)
    assert posterior.converged
    assert (abs(posterior.mean - mean) < 4 * posterior.monte_carlo_error).all()
    np.testing.assert_allclose(np.sqrt(np.diag(posterior.covariance)), width, rtol=0.05)
    grid, weight, _ = quadrature(surface, joint)
    for k, interval in enumerate(posterior.interval(0.9)):
        axis, place = np.unique(grid[:, k], return_inverse=True)
        cumulated = np.cumsum(np.bincount(place.ravel(), weights=weight))
        held = np.interp(interval, axis + (axis[1] - axis[0]) / 2, cumulated)
        np.testing.assert_allclose(held, [0.05, 0.95], atol=0.012)


def test_perfect_order_leaves_the_prior_proper(rng):
    """All spins alike: the likelihood rises for ever, the posterior does not."""
    _, states = states_of(ISING, (3, 4))
    surface = enumerated_surface(states, states.statistics[:1])
    for prior in (NormalPrior(width=0.7), UniformPrior(low=0.0, high=2.0)):
        joint = Priors(default=prior).of(["K"])
        posterior = sample_surface(surface, joint, rng=rng, settings=PosteriorSettings(n_samples=2000))
        mean, width = exact_moments(surface, joint)
        assert abs(posterior.mean[0] - mean[0]) < 4 * posterior.monte_carlo_error[0]
        assert abs(np.sqrt(posterior.covariance[0, 0]) / width[0] - 1) < 0.06


def test_a_prior_that_the_data_do_not_change_is_named(rng):
    _, states = states_of(ISING, (3, 3))
    prior = Priors(default=NormalPrior(width=0.02)).of(["K"])
    posterior = sample_surface(enumerated_surface(states, states.statistics[:1]), prior, rng=rng, settings=QUICK)
    assert posterior.notes == ("the data say little beyond the prior about K",)
    assert posterior.converged


def exchange_algorithm(states, observed, prior, *, n_steps, rng):
    """Draw from the posterior without any partition function: the slow and obvious answer.

    Each proposal is judged with one arrangement drawn at the proposed coupling, here exactly.
    """
    here, draws = np.zeros(1), []
    rows, count = np.unique(states.statistics, axis=0, return_counts=True)
    for _ in range(n_steps):
        trial = here + rng.normal(0.0, 0.35, size=1)
        cumulated = np.cumsum(count * np.exp(-rows @ trial))
        auxiliary = rows[np.searchsorted(cumulated, rng.random() * cumulated[-1])]
        log_ratio = prior.log_density(trial) - prior.log_density(here) + (trial - here) @ (auxiliary - observed)
        if np.log(rng.random()) < log_ratio:
            here = trial
        draws.append(here[0])
    return np.array(draws)


def test_exchange_algorithm_agrees(rng):
    _, states = states_of(ISING, (3, 3))
    observed, prior = np.array([-10.0]), Priors(default=NormalPrior(width=0.5)).of(["K"])
    posterior = sample_surface(enumerated_surface(states, observed[None]), prior, rng=rng, settings=QUICK)
    slow = exchange_algorithm(states, observed, prior, n_steps=6000, rng=rng)
    assert abs(slow.mean() - posterior.mean[0]) < 0.03
    assert abs(slow.std() / np.sqrt(posterior.covariance[0, 0]) - 1) < 0.08


@pytest.mark.parametrize("composition", ["model", "own"])
def test_the_sampled_surface_gives_the_exact_posterior(composition, rng):
    """From an image to its posterior, against all 4096 arrangements, or those of its composition."""
    system, states = states_of(TWO, (3, 4))
    species = np.array([0, 1, 1, 1, 0, 0, 1, 1, 0, 1, 0, 0], dtype=np.int8)
    kept = states if composition == "model" else states.only(states.species.sum(axis=1) == species.sum())
    surface = enumerated_surface(kept, system.statistics(species)[None])
    priors = Priors(default=NormalPrior(width=0.4))
    posterior = sample_posterior(
        observe(periodic_sites(SQUARE, (3, 4)), species), TWO, rng=rng, priors=priors, composition=composition,
        settings=QUICK,
    )  # fmt: skip
    mean, width = exact_moments(surface, priors.of(TWO.parameters))
    assert posterior.converged
    assert (posterior.surface_effective_size >= 200).mean() > 0.9
    assert (abs(posterior.mean - mean) < 4 * posterior.monte_carlo_error).all()
    np.testing.assert_allclose(np.sqrt(np.diag(posterior.covariance)), width, rtol=0.1)


def test_wrong_labels_are_marginalised(rng):
    system, states = states_of(ISING, (3, 4))
    labels = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1], dtype=np.int8)
    image = observe(periodic_sites(SQUARE, (3, 4)), labels, label_error=0.1)
    given = dataclasses.replace(
        states, log_weight=image.log_likelihood[np.arange(12), states.species.astype(int)].sum(axis=1)
    )
    surface = enumerated_surface(states, np.empty((0, 1)), given=[given])
    priors = Priors(default=NormalPrior(width=0.4))
    posterior = sample_posterior(image, ISING, rng=rng, priors=priors, composition="model", settings=QUICK)
    mean, width = exact_moments(surface, priors.of(["K"]))
    assert abs(posterior.mean[0] - mean[0]) < 4 * posterior.monte_carlo_error[0]
    assert abs(np.sqrt(posterior.covariance[0, 0]) / width[0] - 1) < 0.1
    certain, _ = exact_moments(enumerated_surface(states, system.statistics(labels)[None]), priors.of(["K"]))
    assert abs(certain[0] - mean[0]) > 4 * posterior.monte_carlo_error[0]


def rank_p_values(draws, truth):
    """Return p-values of uniform ranks, and of the spread of their normal scores."""
    rank = np.array([(one < w).mean() for one, w in zip(draws, truth, strict=True)])
    counts = np.histogram(rank, bins=10, range=(0, 1))[0]
    expected = len(rank) / 10
    scores = norm.ppf(np.clip(rank, 1e-4, 1 - 1e-4))
    spread = chi2.cdf((scores**2).sum(), len(scores))
    return chi2.sf(((counts - expected) ** 2 / expected).sum(), 9), 2 * min(spread, 1 - spread)


def test_ranks_of_the_truth_are_uniform_and_would_tell_a_wrong_width(rng):
    _, states = states_of(ISING, (3, 3))
    prior = Priors(default=NormalPrior(mean=0.1, width=0.25)).of(["K"])
    truth = prior.sample(800, rng=rng)[:, 0]
    seen = np.array([rng.choice(states.statistics[:, 0], p=states.probability(np.array([w]))) for w in truth])
    posterior = {
        level: sample_surface(enumerated_surface(states, np.array([[level]])), prior, rng=rng, settings=QUICK).flat[
            :, 0
        ]
        for level in np.unique(seen)
    }
    draws = [posterior[level] for level in seen]
    assert min(rank_p_values(draws, truth)) > 0.01
    for factor in (1.3, 1 / 1.3):
        wrong = [one.mean() + factor * (one - one.mean()) for one in draws]
        assert min(rank_p_values(wrong, truth)) < 1e-4


def test_evidence_is_the_integral(rng):
    system, states = states_of(TWO, (3, 4))
    species = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 1], dtype=np.int8)
    priors, found = Priors(default=NormalPrior(width=0.4)), []
    for model in (ISING, TWO):
        one, all_states = (system, states) if model is TWO else states_of(ISING, (3, 4))
        exact = enumerated_surface(all_states, one.statistics(species)[None])
        prior = priors.of(model.parameters)
        integral = quadrature(exact, prior)[2] + all_states.log_partition(np.zeros(len(prior.parameters)))
        by_chains = log_evidence(sample_surface(exact, prior, rng=rng, settings=QUICK), rng=rng)
        assert abs(by_chains.log_evidence - integral) < 4 * by_chains.standard_error < 0.1
        image = observe(periodic_sites(SQUARE, (3, 4)), species)
        sampled = sample_posterior(image, model, rng=rng, priors=priors, composition="model", settings=QUICK)
        found.append((integral, log_evidence(sampled, rng=rng)))
        assert found[-1][1].connected
        assert abs(found[-1][1].log_evidence - integral) < 4 * found[-1][1].standard_error < 0.4
    factor = bayes_factor(found[1][1], found[0][1])
    assert abs(factor.log_factor - (found[1][0] - found[0][0])) < 4 * factor.standard_error
    assert 0 < factor.probability < 1


def test_far_nodes_are_joined_where_iterations_would_stop_early(rng):
    """Gaussian statistics at ten couplings: the partition function is known, over 160 nats."""
    nodes = np.linspace(0.0, 18.0, 10)[:, None]
    rows = rng.normal(-nodes[:, None], 1.0, size=(10, 600, 1))
    pool = pool_of_nodes([(nodes, rows)], observed=np.zeros((1, 1)), weight=np.ones(1))
    ends = [pool.log_likelihood(np.array([w]))[0] for w in (0.0, 18.0)]
    assert abs(ends[0] - ends[1] - 162.0) < 2.5


def test_a_batch_is_what_each_coupling_gives(rng):
    image = observe(periodic_sites(SQUARE, (6, 6)), rng.integers(0, 2, 36), label_error=0.05)
    posterior = sample_posterior(image, ISING, rng=rng, settings=dataclasses.replace(QUICK, n_samples=50))
    places, surface = rng.normal(0.0, 0.1, size=(5, 1)), posterior.surface.surface
    for place, found in zip(places, log_likelihoods(posterior.surface, places), strict=True):
        level, one = surface.level(place), surface.images[0]
        _, _, information, complete = one.evaluate(one.image.local(place, level.fields[0]))
        saddle = np.log(complete[1, 1]) - 0.5 * np.log(information[1, 1])
        assert abs(found - level.value - saddle) < 0.01
    prior = Priors().of(["K"])
    again = log_likelihoods(posterior.surface, posterior.draws[0]) + prior.log_density(posterior.draws[0])
    np.testing.assert_allclose(again, posterior.log_posterior[0], atol=0.02)


def test_posterior_is_a_method_of_the_one_call(rng):
    image = observe(periodic_sites(SQUARE, (10, 10)), rng.integers(0, 2, 100))
    method = Posterior(priors=Priors(default=UniformPrior(low=-0.5, high=0.5)), settings=QUICK)
    estimate = estimate_couplings(image, ISING, rng=rng, method=method)
    assert estimate.converged
    assert estimate.interval[0, 0] < estimate.value[0] < estimate.interval[0, 1]
    assert "UniformPrior(low=-0.5, high=0.5)" in estimate.method
    assert 0.05 < estimate.standard_error[0] < 0.1


@pytest.mark.parametrize(("ratio", "sites"), [(4.0, 15510), (2.0, 3232), (1.5, 1488)])
def test_sites_for_five_percent_are_onsagers(ratio, sites, rng):
    where = Condition(sites=periodic_sites(SQUARE, (24, 24)), plan=SamplingPlan(n_samples=4000))
    coupling = np.array([T_CRITICAL / ratio])
    found = expected_error(ISING, coupling, condition=where, rng=rng)
    relative = found.information_error[0, 0] / found.information[0, 0]
    assert abs(400 / onsager_specific_heat(coupling[0]) / sites - 1) < 1e-3
    assert abs(found.sites_for(0.05)[0] / sites - 1) < 3 * relative < 0.06
    assert found.reliable
    np.testing.assert_allclose(found.standard_error[:, 0], found.at(1.0)[0] / np.sqrt(found.n_sites))


def test_chains_that_do_not_mix_are_seen(rng):
    """Deep in the ordered phase some heat baths freeze into stripes."""
    where = Condition(sites=periodic_sites(SQUARE, (16, 16)), plan=SamplingPlan(n_samples=300, n_chains=12, burn_in=50))
    assert not expected_error(ISING, np.array([0.9]), condition=where, rng=rng).reliable


def test_information_at_fixed_composition_is_exact(rng):
    """Exchanges on a small torus, at half the temperature, against enumeration at that composition."""
    system, states = states_of(TWO, (3, 4))
    kept = states.only(states.species.sum(axis=1) == 4)
    where = Condition(
        sites=periodic_sites(SQUARE, (3, 4)), composition=(2 / 3, 1 / 3), temperature_ratio=2.0,
        plan=SamplingPlan(n_samples=10000),
    )  # fmt: skip
    couplings = np.array([0.1, -0.05])
    found = expected_error(TWO, couplings, condition=where, rng=rng)
    exact = 4.0 * kept.covariance(2 * couplings) / 12
    assert (abs(found.information - exact) < 4.5 * found.information_error).all()
    assert (found.information_error < 0.05 * exact.max()).all()
    assert system.n_sites == 12


def likelihood_ratios(states, totals, n_images, *, truth):
    """Return twice the log-likelihood that the second coupling adds, for each row of total statistics of the images."""

    def top(columns, total):
        value = truth[columns]
        for _ in range(12):
            probability = states.probability(np.append(value, 0.0)[:2])
            mean = probability @ states.statistics[:, columns]
            centred = states.statistics[:, columns] - mean
            information = n_images * (centred * probability[:, None]).T @ centred
            step = np.linalg.solve(information, n_images * mean - total[columns])
            value = value + step
            if abs(step).max() < 1e-8:
                break
        return -(total[columns] @ value) - n_images * states.log_partition(np.append(value, 0.0)[:2])

    return np.array([2 * (top([0, 1], row) - top([0], row)) for row in totals])


def test_predicted_power_is_what_simulated_experiments_reach(rng):
    """Second-neighbour coupling on 3 x 4 tori: the test at the predicted number of sites, 400 times."""
    _, states = states_of(TWO, (3, 4))
    rows, place = np.unique(states.statistics, axis=0, return_inverse=True)
    log_count = np.log(np.bincount(place.ravel()))
    small = dataclasses.replace(states, species=states.species[: len(rows)], statistics=rows, log_weight=log_count)
    couplings = np.array([0.15, 0.12])
    where = Condition(sites=periodic_sites(SQUARE, (3, 4)), plan=SamplingPlan(n_samples=20000))
    found = data_to_decide(ISING, TWO, couplings=couplings, condition=where, rng=rng)
    assert found.degrees == 1
    assert found.noncentrality_error < 0.03 * found.noncentrality
    n_images = round(found.n_sites / 12)
    counts = rng.multinomial(n_images, small.probability(couplings), size=400)
    ratios = likelihood_ratios(small, counts @ rows, n_images, truth=couplings)
    power = (ratios > chi2.isf(0.05, 1)).mean()
    assert abs(power - found.power(12 * n_images)) < 0.06
    alone = np.array([0.15, 0.0])
    counts = rng.multinomial(n_images, small.probability(alone), size=400)
    assert (likelihood_ratios(small, counts @ rows, n_images, truth=alone) > chi2.isf(0.05, 1)).mean() < 0.085


def test_nesting_is_seen_and_equal_models_cannot_be_told_apart(rng):
    where = Condition(
        sites=periodic_sites(TRIANGULAR, (9, 9)), composition=(0.55, 0.45), plan=SamplingPlan(n_samples=800)
    )
    pairs, triangles, random = pair_model(), triangle_model(), LatticeModel(name="R")
    tell = {"condition": where, "rng": rng, "target": DecisionTarget(n_seen=400)}
    nested = data_to_decide(pairs, triangles, couplings=np.array([-0.4, -0.1]), **tell)
    none = data_to_decide(random, pairs, couplings=np.array([-0.1]), **tell)
    apart = data_to_decide(pair_model(shells=2), triangles, couplings=np.array([-0.4, -0.1]), **tell)
    same = data_to_decide(triangles, pairs, couplings=np.array([-0.1]), **tell)
    assert (nested.degrees, none.degrees, apart.degrees, same.degrees) == (1, 1, 0, 0)
    assert same.n_sites == np.inf
    assert "No number of sites" in str(same)
    assert none.additional_sites == none.n_sites - 400 > 0
    assert "more sites" in str(none)
    assert abs(none.noncentrality / 0.0064 - 1) < 0.15
    assert np.isclose(none.power(none.n_sites), 0.8, atol=0.01)
    assert np.isclose(needed_noncentrality(DecisionTarget(), 0), 6.18, atol=0.01)


def test_the_condition_that_tells_most_comes_first(rng):
    """At small couplings a random alloy's information is 4 x^2 (1 - x)^2 a bond: evenly mixed tells most."""
    sites = periodic_sites(TRIANGULAR, (9, 9))
    candidates = [
        Condition(sites=sites, composition=(1 - x, x), temperature_ratio=r, plan=SamplingPlan(n_samples=400))
        for x in (0.1, 0.5)
        for r in (0.5, 1.0)
    ]
    advice = best_next_condition(
        [pair_model(), LatticeModel(name="R")], np.array([-0.1]), candidates=candidates, n_sites=1000, rng=rng
    )
    assert advice.best is candidates[3]
    assert advice.conditions[-1] is candidates[0]
    assert (np.diff(advice.value) <= 0).all()
    assert advice.criterion == "power"
    assert "tell P1 from R" in advice.sentence
    gain = best_next_condition([pair_model()], np.array([-0.1]), candidates=candidates, n_sites=1000, rng=rng)
    assert gain.best is candidates[3]
    assert gain.criterion == "nats"
    drawn = statistics_at([pair_model()], np.array([-0.1]), condition=candidates[3], rng=rng)
    assert abs(gain.value[0] - 0.5 * np.log(1 + 1000 * drawn.covariance[0, 0])) < 0.1


def test_mistakes_are_named(rng):
    with pytest.raises(InputError, match="`width`: expected a positive finite number"):
        NormalPrior(width=0.0)
    with pytest.raises(InputError, match="`high`: expected more than low"):
        UniformPrior(low=1.0, high=1.0)
    with pytest.raises(InputError, match="`mean`: expected a finite number; got nan"):
        LaplacePrior(mean=np.nan)
    with pytest.raises(InputError, match="`by_name`: expected names among"):
        Priors(by_name={"J": NormalPrior()}).of(["K"])
    with pytest.raises(InputError, match="`n_chains`"):
        PosteriorSettings(n_chains=1)
    with pytest.raises(InputError, match="`power`"):
        DecisionTarget(power=0.01)
    with pytest.raises(InputError, match="`composition`: expected fractions that sum to 1"):
        Condition(sites=periodic_sites(SQUARE, (4, 4)), composition=(0.5, 0.6))
    with pytest.raises(InputError, match="`observations`"):
        sample_posterior((), ISING, rng=rng)
    with pytest.raises(InputError, match="`n_sites`"):
        expected_error(
            ISING, np.zeros(1), condition=Condition(sites=periodic_sites(SQUARE, (4, 4))), rng=rng, n_sites=[0]
        )


def test_results_repeat_with_the_seed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScarceDataWarning)
        image = observe(periodic_sites(SQUARE, (6, 6)), np.zeros(36, dtype=int))
    first, second = (
        sample_posterior(image, ISING, rng=np.random.default_rng(3), composition="model", settings=QUICK)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.draws, second.draws)
