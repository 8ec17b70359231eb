"""Cluster histograms, their exact random expectation, and the surfaces that models give."""

import itertools

import numpy as np
import pytest

from tusi.generative.clusters import (
    centre_composition,
    cluster_histogram,
    finite_random_probability,
    random_probability,
)
from tusi.generative.crystal import periodic_graph, square_window, window_graph
from tusi.generative.models import MODELS
from tusi.generative.nested import nested_score
from tusi.generative.permutation import PermutationJob, gather, permute, random_distance, score_statistic
from tusi.generative.predictive import predicted_statistics, two_sided_p_value
from tusi.generative.sampling import SamplerSettings, sample
from tusi.generative.surface import distance_at, histogram_surface, minimise_distance
from tusi.generative.window import condition
from tusi.inference import statistical_distance
from tusi.numerics.symmetry import ring_classes

CLASSES = ring_classes(6)


def test_histogram_counts_complete_clusters_by_class():
    arrangement = np.zeros((5, 5), dtype=int)
    arrangement[2, 2] = 1
    window = condition(window_graph(arrangement, inside=np.ones((5, 5), dtype=bool)), [MODELS["P1"]])
    histogram = cluster_histogram(window, (window.probability > 0.5).astype(np.int8)[None], CLASSES)[0]
    labels = CLASSES.labels(("A", "B"))
    found = {labels[k]: int(number) for k, number in enumerate(histogram) if number}
    assert found == {"A + 0 B": 2, "A + 1 B": 6, "B + 0 B": 1}
    assert centre_composition(histogram, CLASSES) == pytest.approx(1 / 9)


def test_a_vacancy_in_the_ring_spoils_the_cluster():
    arrangement = np.zeros((5, 5), dtype=int)
    arrangement[1, 1] = -1
    window = condition(window_graph(arrangement, inside=np.ones((5, 5), dtype=bool)), [MODELS["P1"]])
    assert len(window.centre) == 9 - 3
    assert window.free.sum() == 8


def test_random_probability_is_the_sum_over_states():
    for x in (0.05, 0.6):
        expected = np.zeros(26)
        for state in range(128):
            n_counted = state.bit_count()
            expected[CLASSES.class_of[state]] += x**n_counted * (1 - x) ** (7 - n_counted)
        np.testing.assert_allclose(random_probability(x, CLASSES), expected)


def test_finite_random_probability_is_exact():
    """All arrangements of three atoms on nine sites."""
    expected = np.zeros(26)
    for chosen in itertools.combinations(range(9), 3):
        state = sum(1 << site for site in chosen if site < 7)
        expected[CLASSES.class_of[state]] += 1
    np.testing.assert_allclose(finite_random_probability(9, 3, CLASSES), expected / expected.sum(), atol=1e-14)


@pytest.mark.parametrize(("name", "couplings"), [("P1", [0.2]), ("M", [-0.1, 0.2])])
def test_a_surface_gives_the_histogram_of_a_direct_simulation(name, couplings):
    rng = np.random.default_rng(0)
    model, centre = MODELS[name], np.array(couplings)
    surface = histogram_surface(
        model,
        centre=centre,
        information=600.0 * np.eye(len(centre)),
        composition=0.4,
        n_ring=6,
        n_samples=2400,
        rng=rng,
    )
    window = condition(periodic_graph((30, 30)), [model])
    species = (np.arange(900) < 360).astype(np.int8)
    for place in (np.zeros(len(centre)), np.full(len(centre), 0.8)):
        chain = sample(
            window, model, couplings=centre + surface.scale @ place, species=species, n_samples=1200, rng=rng,
            keep_species=True, settings=SamplerSettings(burn_in=60),
        )  # fmt: skip
        direct = cluster_histogram(window, chain.species, CLASSES).mean(axis=0)
        far = statistical_distance(direct, random_probability(0.4, CLASSES)) ** 2
        assert statistical_distance(direct, surface.probability(place)) ** 2 < min(2e-4, 0.03 * far)


def test_the_best_distance_is_found():
    """Newton steps on the surface reach the same minimum as a fine grid."""
    rng = np.random.default_rng(1)
    surfaces = [
        histogram_surface(
            MODELS["P1"], centre=np.array([0.1]), information=np.array([[300.0]]), composition=x, n_ring=6,
            n_samples=900, rng=rng,
        )
        for x in (0.3, 0.6)
    ]  # fmt: skip
    histogram = np.stack(
        [rng.multinomial(450, surface.probability(np.array([0.3])), size=20) for surface in surfaces], axis=1
    )
    composition = centre_composition(histogram, CLASSES)
    fit = minimise_distance(surfaces, histogram, composition)
    grid = np.linspace(-1, 1, 401)
    couplings = surfaces[0].centre + grid[:, None] @ surfaces[0].scale.T
    on_grid = np.stack(
        [distance_at(surfaces, histogram, composition, np.tile(w, (20, 1))).mean(axis=1) for w in couplings]
    )
    assert (fit.pooled <= on_grid.min(axis=0) + 1e-9).all()
    np.testing.assert_allclose(fit.pooled, on_grid.min(axis=0), atol=1e-6)
    assert not fit.at_edge.all()
    assert np.isnan(distance_at(surfaces, histogram, composition, np.full((20, 1), 9.0))).all()


def test_permutations_keep_what_they_must():
    rng = np.random.default_rng(2)
    graph = window_graph(rng.integers(0, 2, (14, 14)), inside=square_window((14, 14), height=9, width=9))
    window = condition(graph, list(MODELS.values()))
    species = (window.probability > 0.5).astype(np.int8)[None]
    job = PermutationJob(windows=(window,), species=(species,), models=(MODELS["P1"],), n_permutations=400)
    drawn = gather([permute(job, rng), permute(job, rng)])
    assert drawn.histogram.shape == (800, 1, 26)
    assert (drawn.histogram.sum(axis=2) == len(window.centre)).all()
    free = window.free
    n_ones, n_free = species[0, free].sum(), free.sum()
    assert 0 < n_ones < n_free
    chain = sample(window, MODELS["P1"], couplings=np.zeros(1), species=species[0], n_samples=800, rng=rng)
    spread = chain.statistics.std() / np.sqrt(400)
    assert abs(drawn.statistics[0].mean() - chain.statistics.mean()) < 5 * spread
    assert random_distance(drawn.histogram, 6).shape == (800, 1)


def test_the_score_is_a_chi_square_and_the_nested_one_ignores_what_is_fitted():
    rng = np.random.default_rng(3)
    covariance = np.array([[4.0, 1.5], [1.5, 2.0]])
    null = rng.multivariate_normal([10.0, 5.0], covariance, size=4000)
    assert score_statistic(null, null).mean() == pytest.approx(2.0, abs=0.01)
    seen, replicas = nested_score(null[:1], null, smaller=MODELS["P1"], larger=MODELS["P2"])
    assert replicas.mean() == pytest.approx(1.0, abs=0.02)
    along = covariance @ np.array([1.0, 0.0])
    moved, _ = nested_score(null[:1] + 3 * along, null, smaller=MODELS["P1"], larger=MODELS["P2"])
    assert moved[0] == pytest.approx(seen[0], abs=0.05)


def test_groups_and_third_neighbours_are_counted():
    arrangement = np.zeros((6, 6), dtype=int)
    arrangement[[1, 1, 4], [1, 2, 4]] = 1
    window = condition(window_graph(arrangement, inside=np.ones((6, 6), dtype=bool)), [MODELS["P1"]])
    species = (window.probability > 0.5).astype(np.int8)[None]
    unlike, groups = predicted_statistics(window, np.concatenate([species, species]))[0]
    assert groups == 2
    steps = [(0, 2), (2, 0), (2, -2)]
    by_hand = 0
    for row, column in itertools.product(range(6), range(6)):
        for down, right in steps:
            if row + down < 6 and 0 <= column + right < 6:
                by_hand += arrangement[row, column] != arrangement[row + down, column + right]
    assert unlike == by_hand


def test_two_sided_p_values_see_both_tails():
    rng = np.random.default_rng(4)
    replicas = rng.normal(size=(999, 2, 3))
    observed = np.zeros((1, 2, 3))
    observed[0, :, 1], observed[0, :, 2] = 9.0, -9.0
    p_value = two_sided_p_value(observed, replicas)
    assert p_value[0] > 0.5
    np.testing.assert_allclose(p_value[1:], 2 / 1000)
    assert np.isnan(two_sided_p_value(observed, np.empty((0, 2, 3)))).all()
