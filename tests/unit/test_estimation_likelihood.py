"""The likelihood of lattice images: against enumeration, the two-species comparison, and known truth."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from tusi.errors import CalibrationWarning, IdentifiabilityWarning, InputError, ScarceDataWarning
from tusi.generative.estimation import (
    MaximumLikelihood,
    Observation,
    Pseudolikelihood,
    estimate_couplings,
    likelihood_surface,
    observation_of_graph,
    observe,
)
from tusi.generative.estimation.independent import independent_fields
from tusi.generative.estimation.latent import compile_images
from tusi.generative.estimation.pseudolikelihood import embed, maximise_pseudolikelihood, site_scores
from tusi.generative.estimation.surface import SurfaceSampling, star_nodes
from tusi.generative.lattice import (
    SQUARE,
    TRIANGULAR,
    ising,
    lattice_system,
    pair_model,
    periodic_sites,
    solution,
    window_sites,
)
from tusi.generative.montecarlo import SamplingPlan, draw_samples

pytestmark = pytest.mark.filterwarnings("ignore::tusi.errors.ScarceDataWarning")

SITES = periodic_sites(SQUARE, (3, 4))
SPECIES = np.array([1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1])
EXACT = MaximumLikelihood(monte_carlo_share=0.02, n_gain_samples=12_000)


class Enumerated:
    """Exact log-likelihood of a small periodic image: all states, those that agree with it and their weights."""

    def __init__(self, model, weight, *, sites=SITES, conserved=None):
        system = lattice_system(model, sites)
        states = np.array(list(itertools.product(range(model.n_species), repeat=len(sites))), dtype=np.int8)
        if conserved is not None:
            states = states[states.sum(axis=1) == conserved]
        self.statistics = system.statistics(states)
        self.evidence = weight[np.arange(len(sites)), states].sum(axis=1)

    def __call__(self, couplings):
        energy = self.statistics @ couplings
        return logsumexp(self.evidence - energy) - logsumexp(-energy)


def certain(species, n_species=2):
    return np.where(np.arange(n_species) == np.asarray(species)[:, None], 0.0, -np.inf)


def drawn(system, couplings, rng, n=1, burn_in=200, spacing=25):
    plan = SamplingPlan(n_samples=n, n_chains=1, burn_in=burn_in, spacing=spacing, keep_species=True)
    return draw_samples(system, np.asarray(couplings, dtype=float), rng=rng, plan=plan).species[0]


def best_of(exact, n):
    found = minimize(lambda w: -exact(w), np.zeros(n), tol=1e-10)
    return found.x, np.linalg.inv(curvature(exact, found.x))


def curvature(function, at, step=1e-3):
    n = len(at)
    out, axes = np.empty((n, n)), step * np.eye(n)
    for j, k in itertools.product(range(n), repeat=2):
        corners = [s * t * function(at + s * axes[j] + t * axes[k]) for s in (1, -1) for t in (1, -1)]
        out[j, k] = -sum(corners) / (4 * step**2)
    return out


@pytest.mark.parametrize("kind", ["certain", "errors", "unseen"])
def test_fit_is_the_exact_maximum(kind):
    rng = np.random.default_rng(3)
    model = ising()
    if kind == "certain":
        image, weight = observe(SITES, SPECIES), certain(SPECIES)
    elif kind == "errors":
        image = observe(SITES, SPECIES, label_error=0.1)
        weight = np.log(np.where(np.arange(2) == SPECIES[:, None], 0.9, 0.1))
    else:
        labels = np.where(np.arange(12) % 5 == 2, -1, SPECIES)
        image, weight = observe(SITES, labels), certain(SPECIES)
        weight[labels < 0] = 0.0
    exact = Enumerated(model, weight)
    value, covariance = best_of(exact, 2)
    fit = estimate_couplings(image, model, rng=rng, method=EXACT, composition="model")
    error = np.sqrt(np.diag(covariance))
    assert fit.converged
    assert np.all(np.abs(fit.value - value) < 5 * fit.monte_carlo_error)
    assert np.all(fit.monte_carlo_error < 0.05 * error)
    assert fit.standard_error == pytest.approx(error, rel=0.15)
    assert fit.log_likelihood_gain == pytest.approx(exact(value) - exact(np.zeros(2)), abs=0.1)
    assert fit.r_hat < 1.1


def test_own_composition_is_conditioned_on():
    model = ising(field=False)
    exact = Enumerated(model, certain(SPECIES), conserved=SPECIES.sum())
    value, covariance = best_of(exact, 1)
    fit = estimate_couplings(observe(SITES, SPECIES), model, rng=np.random.default_rng(1), method=EXACT)
    assert abs(fit.value[0] - value[0]) < 5 * fit.monte_carlo_error[0]
    assert fit.standard_error[0] == pytest.approx(np.sqrt(covariance[0, 0]), rel=0.15)
    assert fit.log_likelihood_gain == pytest.approx(exact(value) - exact(np.zeros(1)), abs=0.1)


def test_likelihood_ratio_interval_is_exact():
    model = ising(field=False)
    exact = Enumerated(model, certain(SPECIES))
    value, _ = best_of(exact, 1)
    fit = estimate_couplings(
        observe(SITES, SPECIES), model, rng=np.random.default_rng(5), method=EXACT, composition="model"
    )
    drop = [exact(value) - exact(np.array([end])) for end in fit.interval[0]]
    assert drop == pytest.approx([1.9207, 1.9207], rel=0.06)


def test_own_fields_of_noisy_labels_are_maximised_over():
    rng = np.random.default_rng(2)
    image = observe(SITES, SPECIES, label_error=0.1)
    weight = np.log(np.where(np.arange(2) == SPECIES[:, None], 0.9, 0.1))
    exact = Enumerated(ising(), weight)

    def profiled(coupling):
        return -minimize(lambda h: -exact(np.array([coupling, h[0]])), [0.0], tol=1e-10).fun

    surface = likelihood_surface(
        [image], ising(field=False), nodes=np.array([[0.1], [-0.1]]), rng=rng,
        sampling=SurfaceSampling(n_samples=12_000),
    )  # fmt: skip
    centre, gradient, information = surface.log_likelihood(np.array([0.1]))
    step = 1e-3
    low, middle, high = (profiled(0.1 + shift) for shift in (-step, 0.0, step))
    assert surface.log_likelihood(np.array([-0.05]))[0] - centre == pytest.approx(profiled(-0.05) - middle, abs=0.02)
    assert gradient[0] == pytest.approx((high - low) / (2 * step), abs=0.25)
    assert information[0, 0] == pytest.approx(-(high - 2 * middle + low) / step**2, rel=0.15)
    assert surface.effective_sample_size(np.array([0.1])).min() > 1000


def test_two_temperatures_share_their_couplings():
    """The likelihood of two images is the sum of theirs, the second at the couplings times its ratio."""
    model = pair_model(shells=2)
    sites = periodic_sites(SQUARE, (4, 4))
    rng = np.random.default_rng(8)
    arrangements = [rng.integers(0, 2, 16) for _ in range(2)]
    images = [observe(sites, arrangements[0]), observe(sites, arrangements[1], temperature_ratio=2.0)]
    exact = [Enumerated(model, certain(one), sites=sites, conserved=one.sum()) for one in arrangements]
    fit = estimate_couplings(images, model, rng=rng, method=EXACT)
    value, covariance = best_of(lambda w: exact[0](w) + exact[1](2 * w), 2)
    assert np.all(np.abs(fit.value - value) < 5 * fit.monte_carlo_error)
    assert fit.standard_error == pytest.approx(np.sqrt(np.diag(covariance)), rel=0.15)


def test_border_is_conditioned_on():
    """Only the nine inner sites of a 5 x 5 window are random, given the sixteen around them."""
    model = ising()
    sites = window_sites(SQUARE, (5, 5))
    species = np.random.default_rng(4).integers(0, 2, 25)
    system = lattice_system(model, sites)
    states = np.tile(species, (512, 1))
    states[:, system.free] = list(itertools.product((0, 1), repeat=9))
    statistics, observed = system.statistics(states), system.statistics(species)
    value, _ = best_of(lambda w: -observed @ w - logsumexp(-statistics @ w), 2)
    with pytest.warns(ScarceDataWarning, match="9 random sites"):
        fit = estimate_couplings(
            observe(sites, species), model, rng=np.random.default_rng(0), method=EXACT, composition="model"
        )
    assert fit.n_sites == 9
    assert np.all(np.abs(fit.value - value) < 5 * fit.monte_carlo_error)


def test_pseudolikelihood_is_that_of_the_two_species_comparison():
    """The general regression finds what the older one for two species finds, vacancies and borders included."""
    from tusi.generative.crystal import window_graph
    from tusi.generative.models import MODELS
    from tusi.generative.pseudolikelihood import maximise_pseudolikelihood as for_two_species
    from tusi.generative.window import condition

    rng = np.random.default_rng(6)
    graph = window_graph(rng.integers(0, 2, (14, 14)), inside=np.ones((14, 14), dtype=bool))
    occupied = rng.random(196) > 0.03
    graph = dataclasses.replace(
        graph, occupied=occupied, species_probability=np.where(occupied[:, None], graph.species_probability, np.nan)
    )
    for name in ("P2", "M"):
        window = condition(graph, [MODELS[name]]).only(MODELS[name])
        older = for_two_species([window], MODELS[name], [(window.probability > 0.5).astype(np.int8)])
        images, _ = compile_images([observation_of_graph(graph)], MODELS[name], composition="own")
        fit = maximise_pseudolikelihood(images)
        assert fit.converged
        assert fit.value == pytest.approx(older.value, abs=2e-3)
        assert fit.information[0, 0] == pytest.approx(older.information[0, 0], rel=1e-3)


def three_species():
    model, sites = solution(("A", "B", "C")), periodic_sites(TRIANGULAR, (12, 12))
    system = lattice_system(model, sites)
    rng = np.random.default_rng(0)
    couplings = np.array([0.3, -0.1, 0.2])
    first, second = (drawn(system, ratio * couplings, rng)[0] for ratio in (1.0, 2.0))
    return model, couplings, [observe(sites, first), observe(sites, second, temperature_ratio=2.0)]


def test_pseudolikelihood_of_three_species_is_at_its_maximum():
    """The scores vanish at the fit but for the prior, and are the derivative of the conditional probabilities."""
    model, couplings, observations = three_species()
    images, _ = compile_images(observations, model, composition="own")
    fit = maximise_pseudolikelihood(images)
    total = np.zeros(7)
    for number, image in enumerate(images):
        local = image.local(fit.value, fit.fields[number])
        total += embed(image, number, (3, 4)) @ site_scores(image, image.likely, local).sum(axis=0)
    assert total == pytest.approx(np.r_[fit.value / 9, fit.fields.ravel() / 100], abs=1e-6)
    result = estimate_couplings(observations, model, rng=np.random.default_rng(1), method=Pseudolikelihood())
    assert np.all(np.abs(result.value - couplings) < 3.5 * result.standard_error)


def test_three_species_with_errors_at_two_temperatures():
    model, couplings, observations = three_species()
    rng = np.random.default_rng(3)
    labels = np.argmax(observations[0].species_probability, axis=1)
    labels = np.where(rng.random(144) < 0.03, (labels + 1) % 3, labels)
    noisy = observe(observations[0].sites, labels, label_error=0.03)
    method = MaximumLikelihood(n_gain_samples=0)
    fit = estimate_couplings([noisy, observations[1]], model, rng=rng, method=method)
    assert fit.converged
    assert np.all(np.abs(fit.value - couplings) < 3.5 * fit.standard_error)


@pytest.mark.parametrize(("kind", "composition"), [("certain", "own"), ("errors", "model"), ("unseen", "model")])
def test_stated_errors_are_the_true_ones(kind, composition):
    """Windows of a larger crystal; a stated error that is wrong by 1.3 would be seen."""
    rng = np.random.default_rng(17)
    model, truth = ising(field=False), 0.25
    crystal = lattice_system(model, periodic_sites(SQUARE, (24, 24)))
    sites = window_sites(SQUARE, (12, 12))
    method = MaximumLikelihood(n_gain_samples=0, monte_carlo_share=0.15)
    pulls = []
    for one in drawn(crystal, [truth], rng, n=60).reshape(-1, 24, 24)[:, :12, :12].reshape(-1, 144):
        if kind == "errors":
            image = observe(sites, np.where(rng.random(144) < 0.05, 1 - one, one), label_error=0.05)
        else:
            image = observe(sites, np.where(rng.random(144) < 0.1 * (kind == "unseen"), -1, one))
        fit = estimate_couplings(image, model, rng=rng, method=method, composition=composition)
        pulls.append((fit.value[0] - truth) / fit.standard_error[0])
    assert 0.85 < np.std(pulls) < 1.2
    assert abs(np.mean(pulls)) < 0.4


def test_godambe_errors_are_the_true_ones():
    """Weak interactions lose little against the likelihood; the curvature alone promises 1.4 times too much."""
    rng = np.random.default_rng(18)
    model, truth = ising(field=False), 0.1
    sites = periodic_sites(SQUARE, (16, 16))
    system = lattice_system(model, sites)
    fits = [
        estimate_couplings(
            observe(sites, one), model, rng=rng, method=Pseudolikelihood(n_replicas=60, spacing=8), composition="model"
        )
        for one in drawn(system, [truth], rng, n=60)
    ]
    spread = np.std([fit.value[0] for fit in fits])
    stated = np.sqrt(np.mean([fit.covariance[0, 0] for fit in fits]))
    assert 0.85 < spread / stated < 1.2
    efficient = estimate_couplings(
        observe(sites, drawn(system, [truth], rng)[0]), model, rng=rng, method=MaximumLikelihood(n_gain_samples=0),
        composition="model",
    )  # fmt: skip
    assert stated == pytest.approx(efficient.standard_error[0], rel=0.15)


def test_unseen_sublattice_still_tells():
    """K and h from one sublattice alone; without a field the sign of K is lost, and it says so."""
    rng = np.random.default_rng(1)
    model = ising()
    sites = periodic_sites(SQUARE, (16, 16))
    truth = np.array([0.2, 0.2])
    species = drawn(lattice_system(model, sites), truth, rng)[0]
    labels = np.where(np.indices((16, 16)).sum(axis=0).ravel() % 2, -1, species)
    method = MaximumLikelihood(n_gain_samples=0, max_samples=4000)
    fit = estimate_couplings(observe(sites, labels), model, rng=rng, method=method, composition="model")
    full = estimate_couplings(observe(sites, species), model, rng=rng, method=method, composition="model")
    assert np.all(np.abs(fit.value - truth) < 3.5 * fit.standard_error)
    assert np.all(fit.standard_error > 1.3 * full.standard_error)


def test_perfect_order_has_no_bound():
    image = observe(periodic_sites(SQUARE, (8, 8)), np.indices((8, 8)).sum(axis=0).ravel() % 2)
    with pytest.warns(IdentifiabilityWarning, match="do not bound K"):
        fit = estimate_couplings(image, ising(field=False), rng=np.random.default_rng(0))
    assert not fit.converged
    assert np.isinf(fit.interval).all()
    assert np.isfinite(fit.covariance).all()
    assert any("do not bound" in note for note in fit.notes)


def test_composition_alone_fits_independent_sites():
    """Chemical potentials without interactions: the logarithm of the ratio of species, corrected for errors."""
    labels = np.repeat([0, 1], [90, 54])
    sites = periodic_sites(SQUARE, (12, 12))
    for error in (0.0, 0.1):
        image = observe(sites, labels, label_error=error)
        (one,), _ = compile_images([image], ising(field=False), composition="own")
        fraction = (54 / 144 - error) / (1 - 2 * error)
        assert image.composition[1] == pytest.approx(fraction, abs=1e-6)
        assert independent_fields(one)[0] == pytest.approx(np.log(fraction / (1 - fraction)), abs=1e-3)


def test_label_likelihood_survives_its_prior():
    image = observe(SITES, SPECIES, label_error=0.1)
    ratio = np.abs(np.diff(image.log_likelihood, axis=1))
    assert ratio == pytest.approx(np.full((12, 1), np.log(9.0)))
    matrix = np.array([[0.9, 0.1], [0.3, 0.7]])
    tilted = observe(SITES, SPECIES, label_error=matrix)
    assert np.exp(tilted.log_likelihood[0]) == pytest.approx([1 / 7, 1.0])


def test_nodes_overlap_where_little_is_known():
    nodes = star_nodes(np.zeros(1), np.array([[4.0]]), complete=np.array([[36.0]]))
    assert nodes.ravel() == pytest.approx([0.0, 0.3, -0.3, 0.6, -0.6, 0.9, -0.9])


def test_doubtful_input_is_said():
    sites, rng, model = periodic_sites(SQUARE, (8, 8)), np.random.default_rng(0), ising(field=False)
    labels = rng.integers(0, 2, 64)
    fit = MaximumLikelihood(n_gain_samples=0)
    with pytest.warns(ScarceDataWarning, match="one species only"):
        flat = observe(sites, np.zeros(64, dtype=int), name="flat")
    with pytest.raises(InputError, match="more than one species"):
        estimate_couplings(flat, model, rng=rng)
    beside = estimate_couplings([flat, observe(sites, labels)], model, rng=rng, method=fit)
    assert "flat holds one species only" in beside.notes[0]
    with pytest.warns(CalibrationWarning, match="towards zero"):
        estimate_couplings(
            observe(sites, labels, label_error=0.05), model, rng=rng, method=Pseudolikelihood(n_replicas=20)
        )


def test_bad_input_is_refused():
    sites, rng, model = periodic_sites(SQUARE, (8, 8)), np.random.default_rng(0), ising(field=False)
    labels = rng.integers(0, 2, 64)
    good = observe(sites, labels)
    with pytest.raises(InputError, match="a label for each of 64 sites"):
        observe(sites, labels[:5])
    with pytest.raises(InputError, match="whole numbers"):
        observe(sites, np.full(64, np.nan))
    with pytest.raises(InputError, match="not negative on every seen site"):
        observe(sites, np.full(64, -1))
    with pytest.raises(InputError, match="label_error"):
        observe(sites, labels, label_error=0.6)
    with pytest.raises(InputError, match="temperature_ratio"):
        observe(sites, labels, temperature_ratio=0.0)
    with pytest.raises(InputError, match="rows of numbers"):
        Observation(sites=sites, species_probability=np.full((64, 2), np.nan), seen=np.ones(64, dtype=bool))
    with pytest.raises(InputError, match="at least one `Observation`"):
        estimate_couplings([], model, rng=rng)
    with pytest.raises(InputError, match="at least one coupling"):
        estimate_couplings(good, dataclasses.replace(model, terms=()), rng=rng)
    with pytest.raises(InputError, match="could tell h"):
        estimate_couplings(good, ising(), rng=rng)
    with pytest.raises(InputError, match="at most the 2 species"):
        estimate_couplings(observe(sites, labels * 2), model, rng=rng)
    with pytest.raises(InputError, match="surroundings were all seen"):
        estimate_couplings(observe(window_sites(SQUARE, (2, 4)), labels[:8]), model, rng=rng)
    with pytest.raises(InputError, match="monte_carlo_share"):
        MaximumLikelihood(monte_carlo_share=0.0)
