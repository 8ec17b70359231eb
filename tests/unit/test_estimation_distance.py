"""Classes from orbits, pair distributions, and the minimum-distance estimator against exact answers and known truth."""

import itertools

import numpy as np
import pytest

from tusi.errors import InputError
from tusi.generative.estimation.correlation import PairDistribution, pair_correlation
from tusi.generative.estimation.distance import MinimumDistance
from tusi.generative.estimation.distance_surface import distance_surface, targets_of
from tusi.generative.estimation.estimate import estimate_couplings
from tusi.generative.estimation.histograms import ClusterHistogram, environment_classes, n_environment_classes
from tusi.generative.estimation.landscape import LandscapeAxes, distance_landscape
from tusi.generative.estimation.observation import observe
from tusi.generative.lattice import (
    CUBIC,
    HONEYCOMB,
    PEROVSKITE_PLANE,
    SQUARE,
    TRIANGULAR,
    enumerate_states,
    ising,
    lattice_system,
    operations,
    periodic_sites,
    window_sites,
)
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.plan import SamplingPlan
from tusi.inference import pooled_squared_distance, statistical_distance
from tusi.numerics.symmetry import ring_classes
from tusi.plot import new_figure
from tusi.plot.landscape import draw_landscape

ISING = ising(field=False)


def worlds(shape, coupling, n, *, seed):
    """Return simulated arrangements of the square Ising model."""
    system = lattice_system(ISING, periodic_sites(SQUARE, shape))
    plan = SamplingPlan(n_samples=1, n_chains=n, burn_in=200)
    return draw_samples(system, np.array([coupling]), rng=np.random.default_rng(seed), plan=plan).final


@pytest.mark.parametrize(("crystal", "n_ring"), [(TRIANGULAR, 6), (SQUARE, 4)])
def test_first_shell_has_the_classes_of_a_ring(crystal, n_ring):
    (classes,) = environment_classes(crystal)
    angle = np.arctan2(*classes.position[1:].T)
    place = np.concatenate([[0], 1 + np.argsort(angle)])
    states = np.arange(2 ** (n_ring + 1))
    digits = states[:, None] // 2 ** np.arange(n_ring + 1) % 2
    as_ring = ring_classes(n_ring).class_of[digits[:, place] @ 2 ** np.arange(n_ring + 1)]
    assert len(classes) == {6: 26, 4: 12}[n_ring]
    assert len(set(zip(as_ring, classes.class_of, strict=True))) == len(classes)


@pytest.mark.parametrize("n_species", [2, 3])
@pytest.mark.parametrize("crystal", [SQUARE, TRIANGULAR, HONEYCOMB, PEROVSKITE_PLANE, CUBIC])
def test_number_of_classes_is_burnsides(crystal, n_species):
    every = environment_classes(crystal, n_species=n_species)
    assert sum(len(classes.environments) for classes in every) == crystal.n_basis
    for classes in every:
        assert len(classes) == n_environment_classes(classes)
        assert classes.n_states.sum() == n_species ** len(classes.shell)
        names = classes.labels(tuple("ABC"[:n_species]))
        assert len(set(names)) == len(classes)


@pytest.mark.parametrize("crystal", [TRIANGULAR, HONEYCOMB, PEROVSKITE_PLANE])
def test_histogram_is_invariant_under_the_space_group(crystal):
    sites = periodic_sites(crystal, (6, 6))
    species = np.random.default_rng(1).integers(0, 3, len(sites)).astype(np.int8)
    counter = ClusterHistogram().counter(sites, "ABC")
    histogram = counter.count(species)
    assert histogram.sum() == len(sites)
    for operation in operations(crystal):
        image = np.array([operation.apply((tuple(int(n) for n in site),))[0] for site in sites.index])
        moved = np.empty_like(species)
        moved[sites.find(image)] = species
        np.testing.assert_array_equal(counter.count(moved), histogram)


def test_only_complete_environments_without_vacancies_count():
    sites = window_sites(SQUARE, (5, 6))
    assert ClusterHistogram().counter(sites, "AB").count(np.zeros(30, dtype=np.int8)).tolist() == [12, *[0] * 11]
    sites.occupied[sites.find(np.array([2, 2, 0]))] = False
    counter = ClusterHistogram().counter(sites, "AB")
    assert len(counter.members) == 12 - 5
    assert len(counter.only(sites.index[:, 1] < 5).members) == 4
    unseen = np.where(sites.occupied, np.zeros(30, dtype=np.int8), -1)
    assert counter.count(unseen).sum() == 7
    unseen[counter.members[0, 0]] = -1
    with pytest.raises(InputError, match="species"):
        counter.count(unseen)


def test_environments_that_are_too_large_are_refused():
    with pytest.raises(InputError, match="n_shells"):
        environment_classes(CUBIC, n_shells=3, n_species=3)
    with pytest.raises(InputError, match="larger than every environment"):
        ClusterHistogram().counter(periodic_sites(SQUARE, (2, 4)), "AB")
    with pytest.raises(InputError, match="species"):
        environment_classes(SQUARE)[0].labels(("A",))


def test_pairs_against_distances():
    sites = periodic_sites(TRIANGULAR, (7, 7))
    species = np.random.default_rng(2).integers(0, 3, 49)
    order = pair_correlation(sites, species, n_species=3, n_shells=3)
    cells = sites.index[:, None, :2] - sites.index[None, :, :2]
    away = np.stack(
        [np.linalg.norm((cells + 7 * np.array(s)) @ TRIANGULAR.lattice, axis=-1) for s in np.ndindex(3, 3)]
        + [np.linalg.norm((cells - 7 * np.array(s)) @ TRIANGULAR.lattice, axis=-1) for s in np.ndindex(3, 3)]
        + [np.linalg.norm((cells + 7 * np.array(s)) @ TRIANGULAR.lattice, axis=-1) for s in ((1, -1), (-1, 1))]
    ).min(axis=0)
    for shell, distance in enumerate((1.0, 3**0.5, 2.0)):
        near = np.abs(away - distance) < 1e-6
        assert order.distance[shell] == pytest.approx(distance)
        assert order.n_pairs[shell] == near.sum() / 2
        for a, b in itertools.product(range(3), repeat=2):
            wanted = (near & (species[:, None] == a) & (species[None] == b)).sum() / near.sum()
            assert order.probability[0, shell, a, b] == pytest.approx(wanted)


def test_short_range_order_of_a_random_alloy_is_zero_with_the_error_of_replicas():
    sites = periodic_sites(SQUARE, (12, 12))
    rng = np.random.default_rng(3)
    species = np.stack([rng.permutation(np.arange(144) % 2) for _ in range(400)])
    order = pair_correlation(sites, species, n_shells=2)
    expected = 1 / 143
    assert np.abs((order.mean[:, 0, 0] - expected) / order.standard_error[:, 0, 0]).max() < 3.5
    np.testing.assert_allclose(order.spread[:, 0, 0], np.sqrt(1 / 288), rtol=0.12)
    with pytest.raises(InputError, match="replicas"):
        _ = pair_correlation(sites, species[0]).spread
    with pytest.raises(InputError, match="species"):
        pair_correlation(sites, np.full(144, 2))


@pytest.fixture(scope="module")
def exact():
    """Return a small surface and the enumeration that it approximates."""
    sites = periodic_sites(SQUARE, (4, 4))
    image = observe(sites, (np.arange(16) % 3 == 0).astype(int))
    targets, _ = targets_of([image], ISING, statistic=ClusterHistogram(), composition="model")
    plan = SamplingPlan(n_samples=4000, n_chains=2, burn_in=50, spacing=2)
    surface = distance_surface(targets, np.array([[0.2], [0.3]]), plan=plan, rng=np.random.default_rng(4))
    states = enumerate_states(lattice_system(ISING, sites))
    return surface, states, targets[0].counter.count(states.species)


def test_model_histogram_and_its_slope_against_enumeration(exact):
    surface, states, histogram = exact
    for coupling in (0.2, 0.25, 0.32):
        mean, slope = surface.pools[0].mean(np.array([coupling]))
        probability = states.probability(np.array([coupling]))
        wanted = probability @ histogram
        error = np.sqrt(probability @ (histogram - wanted) ** 2 / surface.effective_sample_size(np.array([coupling])))
        assert (np.abs(mean - wanted) < 4.5 * error + 1e-9).all()
        away = states.statistics - states.mean(np.array([coupling]))
        np.testing.assert_allclose(slope, -(histogram * probability[:, None]).T @ away, atol=0.12 * np.abs(slope).max())


def test_gradient_is_the_derivative_of_the_distance(exact):
    surface, *_ = exact
    place, step = np.array([0.26]), np.array([1e-4])
    n = 2 * surface.n_clusters
    rise = n * (surface.squared(place + step) - surface.squared(place - step)) / 2e-4
    assert surface.gradient(place)[0][0] == pytest.approx(rise, rel=1e-4)
    target, pool = surface.targets[0], surface.pools[0]
    squared = statistical_distance(target.observed, pool.mean(place)[0]) ** 2
    assert surface.squared(place) == pytest.approx(float(pooled_squared_distance(squared[None], np.array([16]))))


@pytest.mark.parametrize("statistic", [ClusterHistogram(), PairDistribution(n_shells=2)])
def test_interval_covers_and_stated_error_is_the_true_one(statistic):
    sites = periodic_sites(SQUARE, (16, 16))
    method = MinimumDistance(statistic=statistic, n_model_samples=240, burn_in=20)
    found = []
    for number, species in enumerate(worlds((16, 16), 0.25, 45, seed=5)):
        rng = np.random.default_rng([6, number])
        fit = estimate_couplings(observe(sites, species), ISING, rng=rng, method=method, composition="model")
        found.append((fit.value[0], fit.standard_error[0], fit.interval[0, 0] <= 0.25 <= fit.interval[0, 1]))
    value, error, covered = np.array(found).T
    assert abs(value.mean() - 0.25) < 0.5 * error.mean()
    assert 0.7 < np.sqrt(np.mean((value - 0.25) ** 2) / np.mean(error**2)) < 1.3
    assert 0.84 <= covered.mean() <= 1.0


def test_wrong_labels_are_put_into_the_model():
    sites = periodic_sites(SQUARE, (20, 20))
    rng = np.random.default_rng(7)
    method = MinimumDistance(n_model_samples=240, burn_in=20)
    known, ignored = [], []
    for species in worlds((20, 20), 0.35, 9, seed=8):
        labels = np.where(rng.random(400) < 0.1, 1 - species, species)
        for fits, rate in ((known, 0.1), (ignored, 0.0)):
            image = observe(sites, labels, label_error=rate)
            fits.append(estimate_couplings(image, ISING, rng=rng, method=method, composition="model"))
    error = np.mean([fit.standard_error[0] for fit in known]) / 3
    assert abs(np.mean([fit.value[0] for fit in known]) - 0.35) < 3.5 * error
    assert np.mean([fit.value[0] for fit in ignored]) < 0.35 - 3.5 * error


def test_images_at_two_temperatures_share_the_coupling():
    sites = periodic_sites(SQUARE, (20, 20))
    images = [
        observe(sites, worlds((20, 20), ratio * 0.2, 1, seed=9)[0], temperature_ratio=ratio) for ratio in (0.5, 1.5)
    ]
    method = MinimumDistance(n_model_samples=400)
    fit = estimate_couplings(images, ISING, rng=np.random.default_rng(1), method=method)
    hot = estimate_couplings(images[0], ISING, rng=np.random.default_rng(1), method=method)
    assert abs(fit.value[0] - 0.2) < 3.5 * fit.standard_error[0]
    assert fit.standard_error[0] < hot.standard_error[0]
    assert fit.converged


@pytest.mark.parametrize("shells", [1, 2])
def test_landscape_has_its_minimum_where_the_fit_is(shells):
    model = ising(shells=shells, field=False)
    image = observe(periodic_sites(SQUARE, (16, 16)), worlds((16, 16), 0.25, 1, seed=10)[0])
    landscape = distance_landscape(
        image, model, rng=np.random.default_rng(2), axes=LandscapeAxes(reach=3.0, n_points=11),
        method=MinimumDistance(n_model_samples=400), composition="model",
    )  # fmt: skip
    lowest = np.unravel_index(np.nanargmin(landscape.squared), landscape.squared.shape)
    for axis, place, grid in zip(landscape.minimum, lowest, landscape.grid, strict=True):
        assert abs(grid[place] - axis) <= 2.1 * (grid[1] - grid[0])
    away = landscape.region(0.95) - landscape.value
    level = np.einsum("ni,ij,nj->n", away, np.linalg.inv(landscape.covariance), away)
    np.testing.assert_allclose(level, {1: 3.841459, 2: 5.991465}[shells], rtol=1e-6)
    assert landscape.naive_level() > landscape.least
    axes = draw_landscape(new_figure(3, 2.5).subplots(), landscape)
    assert axes.get_xlabel().startswith(landscape.parameters[0])


def test_requests_that_make_no_sense_are_refused():
    image = observe(periodic_sites(SQUARE, (6, 6)), np.arange(36) % 2)
    with pytest.raises(InputError, match="axes"):
        distance_landscape(image, ISING, rng=np.random.default_rng(0), axes=LandscapeAxes(names=("w",)))
    with pytest.raises(InputError, match="reach"):
        LandscapeAxes(reach=np.nan)
    with pytest.raises(InputError, match="n_model_samples"):
        MinimumDistance(n_model_samples=10)
    with pytest.raises(InputError, match="n_shells"):
        PairDistribution(n_shells=0)
