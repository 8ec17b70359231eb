"""Simulated alloys follow their Hamiltonian, and the truth fits the image."""

import itertools

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import chisquare

from tusi.data.graph import OUTSIDE
from tusi.datasets import COUNTS, AlloyRecipe, series_recipes, simulate_alloy, simulate_series
from tusi.errors import InputError
from tusi.generative.crystal import RING, SECOND_RING, sample_crystal
from tusi.generative.models import MODELS

SMALL = {"shape": (220, 240), "spacing": 22.0}


def unlike_pairs(species, steps):
    """Count unlike bonds of a periodic lattice the obvious way."""
    shifted = [np.roll(species, (-down, -right), axis=(-2, -1)) for down, right in steps]
    return sum((species != other).sum(axis=(-2, -1)) for other in shifted) / 2


def test_crystals_follow_the_boltzmann_distribution_of_every_arrangement():
    couplings = np.array([-0.3, 0.2])
    states = np.zeros((4368, 16), dtype=int)
    for row, ones in enumerate(itertools.combinations(range(16), 5)):
        states[row, list(ones)] = 1
    states = states.reshape(-1, 4, 4)
    energy = couplings[0] * unlike_pairs(states, RING[6]) + couplings[1] * unlike_pairs(states, SECOND_RING[6])
    levels, level = np.unique(energy.round(9), return_inverse=True)
    weight = np.bincount(level, np.exp(-(energy - energy.min())))
    rng = np.random.default_rng(5)
    draws = np.array(
        [sample_crystal((4, 4), MODELS["P2"], couplings=couplings, composition=5 / 16, rng=rng) for _ in range(800)]
    )
    drawn = couplings[0] * unlike_pairs(draws, RING[6]) + couplings[1] * unlike_pairs(draws, SECOND_RING[6])
    counts = np.bincount(np.searchsorted(levels, drawn.round(9)), minlength=len(levels))
    expected = 800 * weight / weight.sum()
    common = expected >= 5
    assert common.sum() >= 4
    observed = np.append(counts[common], counts[~common].sum())
    predicted = np.append(expected[common], expected[~common].sum())
    keep = predicted > 0
    assert chisquare(observed[keep], predicted[keep] * observed[keep].sum() / predicted[keep].sum()).pvalue > 0.001


def test_windows_have_the_composition_of_the_crystal_on_average():
    rng = np.random.default_rng(6)
    recipe = AlloyRecipe(composition=0.3, couplings=(0.1, 0.0), **SMALL)
    fractions = [simulate_alloy(recipe, COUNTS, rng=rng).composition for _ in range(20)]
    assert np.mean(fractions) == pytest.approx(0.3, abs=0.025)
    assert np.std(fractions) > 0.005


def test_attraction_between_unlike_species_shows_in_the_window():
    rng = np.random.default_rng(7)

    def unlike_fraction(coupling):
        alloy = simulate_alloy(AlloyRecipe(composition=0.5, couplings=(coupling, 0.0), **SMALL), COUNTS, rng=rng)
        species = alloy.graph.species_probability.argmax(axis=1)
        first, _ = alloy.graph.pairs
        return (species[first[:, 0]] != species[first[:, 1]]).mean()

    mixed = np.mean([unlike_fraction(-0.4) for _ in range(2)])
    plain = np.mean([unlike_fraction(0.0) for _ in range(2)])
    split = np.mean([unlike_fraction(0.4) for _ in range(2)])
    assert mixed > plain + 0.05 > split + 0.1


@pytest.fixture(scope="module")
def alloy():
    recipe = AlloyRecipe(composition=0.4, vacancy_fraction=0.05, disorder=0.0, **SMALL)
    return simulate_alloy(recipe, COUNTS, rng=np.random.default_rng(8), image=3)


def test_graph_and_atoms_tell_the_same_story(alloy):
    graph, truth = alloy.graph, alloy.truth
    occupied = graph.atom >= 0
    np.testing.assert_array_equal(graph.occupied, occupied)
    np.testing.assert_array_equal(graph.atom[occupied], np.arange(len(truth)))
    np.testing.assert_array_equal(graph.species_probability[occupied], truth.species_probability)
    assert (graph.image, set(truth.image)) == (3, {3})
    assert 0 < np.count_nonzero(~occupied) < 0.15 * len(graph)
    site, column = np.nonzero(graph.first_neighbours != OUTSIDE)
    other = graph.first_neighbours[site, column]
    both = occupied[site] & occupied[other]
    step = truth.position[graph.atom[site[both]]] - truth.position[graph.atom[other[both]]]
    np.testing.assert_allclose(np.hypot(*step.T), 22.0, rtol=1e-6)
    assert np.unique(graph.first_neighbours[~graph.boundary], axis=0).shape[1] == 6


def test_every_metal_column_in_the_image_is_in_the_truth(alloy):
    values = alloy.grid.values
    assert len(alloy.graph) == pytest.approx(220 * 240 / (22**2 * np.sqrt(0.75)), rel=0.08)
    inner = ((alloy.truth.position > 5) & (alloy.truth.position < 214)).all(axis=1)
    rows = np.rint(alloy.truth.position[inner]).astype(int)
    heavy = alloy.truth.species_probability[inner, 1] > 0.5
    peak = np.array([values[y - 1 : y + 2, x - 1 : x + 2].mean() for y, x in rows])
    assert peak[heavy].mean() / peak[~heavy].mean() == pytest.approx(1.85, abs=0.2)


def test_chalcogen_columns_stand_over_every_second_triangle(alloy):
    metal = cKDTree(alloy.truth.position)
    inner = ((alloy.sulphur.position > 25) & (alloy.sulphur.position < 190)).all(axis=1)
    distance, _ = metal.query(alloy.sulphur.position[inner], k=3)
    assert np.median(distance) == pytest.approx(22 / np.sqrt(3), rel=1e-3)
    without = AlloyRecipe(composition=0.4, sulphur_intensity=0.0, **SMALL)
    assert len(simulate_alloy(without, COUNTS, rng=np.random.default_rng(0)).sulphur) == 0


@pytest.mark.parametrize("rotation", [0.0, 90.0])
def test_dimerised_rows_approach_and_part_in_turn(rotation):
    recipe = AlloyRecipe(
        composition=0.5, dimerisation=0.1, disorder=0.0, rotation=rotation, shape=(240, 240), spacing=20.0
    )
    truth = simulate_alloy(recipe, COUNTS, rng=np.random.default_rng(9)).truth
    level = np.unique(truth.position[:, 0 if rotation == 0 else 1].round(6))
    steps = np.diff(level)
    plain = 20 * np.sqrt(0.75)
    np.testing.assert_allclose(np.sort(np.unique(steps.round(3))), [plain - 2, plain + 2], atol=2e-3)
    assert (np.abs(np.diff(steps)) > 3.9).all()


def test_a_series_shares_its_hamiltonian_and_depends_on_its_stream_alone():
    recipes = [AlloyRecipe(composition=x, couplings=(-0.2, 0.0), **SMALL) for x in (0.2, 0.6)]
    first = simulate_series(recipes, COUNTS, rng=np.random.default_rng(10))
    second = simulate_series(recipes, COUNTS, rng=np.random.default_rng(10))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.grid.values, other.grid.values)
        np.testing.assert_array_equal(one.truth.position, other.truth.position)
    assert not np.array_equal(first[0].grid.values, first[1].grid.values)
    assert {recipe.couplings for recipe in series_recipes(couplings=(-0.1, 0.05))} == {(-0.1, 0.05)}


def test_the_default_series_is_as_large_as_the_real_one():
    series = simulate_series(series_recipes(), COUNTS, rng=np.random.default_rng(11))
    assert [abs(alloy.n_clusters - 460) < 40 for alloy in series] == [True] * 4
    assert [alloy.recipe.composition for alloy in series] == [0.05, 0.55, 0.78, 0.95]


def test_impossible_recipes_are_refused():
    with pytest.raises(InputError, match="`couplings`: expected 2 for the model 'P2'"):
        AlloyRecipe(composition=0.5, couplings=(0.1,))
    with pytest.raises(InputError, match="`composition`: expected a fraction"):
        AlloyRecipe(composition=1.5)
    with pytest.raises(InputError, match="names among"):
        AlloyRecipe(composition=0.5, model="P9")
