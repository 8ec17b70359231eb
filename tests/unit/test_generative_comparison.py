"""The comparison as a whole: known truth, uncertain labels, refusals, flagged results, and words."""

import dataclasses
import warnings

import numpy as np
import pytest

from tusi.data import SiteGraph
from tusi.errors import IdentifiabilityWarning, InputError, ScarceDataWarning
from tusi.execution import Executor, SerialExecutor, arguments_of, call
from tusi.generative import (
    MODELS,
    FitSettings,
    HamiltonianSettings,
    fit_hamiltonians,
    periodic_graph,
    sample_crystal,
    square_window,
    window_graph,
)
from tusi.generative.results import HamiltonianFit
from tusi.generative.verdict import judge

QUICK = HamiltonianSettings(n_permutations=199, n_bootstrap=99, fit=FitSettings(n_samples=900, n_crystal_samples=1200))


def images(coupling, *, compositions=(0.3, 0.6), seed=0, size=18):
    rng = np.random.default_rng(seed)
    shape = (2 * size, 2 * size)
    return [
        window_graph(
            sample_crystal(shape, MODELS["P1"], couplings=np.array([coupling]), composition=x, rng=rng),
            inside=square_window(shape, height=size, width=size),
            species=("Mo", "Re"),
            image=number,
        )
        for number, x in enumerate(compositions)
    ]


@pytest.fixture(scope="module")
def interacting():
    return fit_hamiltonians(images(-0.5), settings=QUICK, rng=np.random.default_rng(1))


@pytest.fixture(scope="module")
def random_alloy():
    return fit_hamiltonians(images(0.0, seed=4), settings=QUICK, rng=np.random.default_rng(1))


def test_a_known_interaction_is_found(interacting):
    fit = interacting.fit("P1")
    low, high = fit.interval[0]
    assert low < -0.5 < high < 0
    assert fit.converged
    assert fit.gain_calibrated_p == pytest.approx(1 / 200)
    assert fit.log_likelihood_gain > 5
    assert fit.effective_sample_size > 300
    assert fit.monte_carlo_error[0] < 0.2 * fit.standard_error[0]
    assert interacting.verdict[0].startswith("Nearest-neighbour interaction detected (p = 0.005): w1 = -0.")
    assert "random" not in interacting.explained
    assert interacting.ranking[-1] == "random"


def test_a_random_alloy_is_not_over_interpreted(random_alloy):
    assert random_alloy.verdict[0].startswith("Nearest-neighbour interaction not detected (p = ")
    low, high = random_alloy.fit("P1").interval[0]
    assert low < 0 < high
    assert "random" in random_alloy.explained
    assert any(sentence.startswith("Not rejected at 5 %: random") for sentence in random_alloy.verdict)


def test_larger_models_are_never_worse(interacting):
    gain = {fit.model: fit.log_likelihood_gain for fit in interacting.fits}
    assert gain["random"] == 0 < gain["P1"] <= gain["P2"]
    assert gain["P1"] <= gain["M"]
    assert {(test.smaller, test.larger) for test in interacting.nested_tests} == {
        ("random", "P1"), ("random", "P2"), ("random", "M"), ("P1", "P2"), ("P1", "M"),
    }  # fmt: skip
    assert not interacting.search_failed


def test_tables_are_consistent(interacting):
    assert interacting.expected.shape == (4, 2, 26)
    np.testing.assert_allclose(interacting.observed.sum(axis=1), interacting.n_clusters)
    np.testing.assert_allclose(interacting.expected.sum(axis=2), np.tile(interacting.n_clusters, (4, 1)))
    assert (interacting.null_low <= interacting.null_high).all()
    share = interacting.n_clusters / interacting.n_clusters.sum()
    pooled = [fit.statistical_distance for fit in interacting.fits]
    np.testing.assert_allclose(interacting.statistical_distance @ share, pooled)
    assert (interacting.calibrated_p > 0).all()
    assert (interacting.calibrated_p <= 1).all()
    assert interacting.predictive_p.shape == (4, 2)
    assert pooled[1] < pooled[0]
    assert interacting.class_labels[0] == "Mo + 0 Re"
    assert interacting.fit("M").equation == "E/kT = w1 sum_T d(Mo Mo Re) + w2 sum_T d(Mo Re Re)"
    assert interacting.fit("P1").value_at(1000.0)[0] == pytest.approx(
        0.08617 * interacting.fit("P1").value[0], rel=1e-3
    )


class Backwards(Executor):
    """Runs the last item first."""

    def map(self, function, items, *, rng=None, progress=None):
        arguments = arguments_of(items, rng)
        return [call(function, one) for one in reversed(arguments)][::-1]


def test_the_result_does_not_depend_on_the_executor():
    graphs = images(0.2, size=12)
    quick = dataclasses.replace(
        QUICK, n_permutations=20, n_bootstrap=20, fit=FitSettings(n_samples=300, n_crystal_samples=300)
    )
    done = []
    one, two = (
        fit_hamiltonians(
            graphs, models=("P1", "M"), settings=quick, rng=np.random.default_rng(3), executor=executor,
            progress=lambda *counts: done.append(counts),
        )
        for executor in (SerialExecutor(), Backwards())
    )  # fmt: skip
    assert done[-1] == (10, 10)
    assert [count for count, _ in done] == list(range(1, 11))
    np.testing.assert_array_equal(one.calibrated_p, two.calibrated_p)
    for first, second in zip(one.fits, two.fits, strict=True):
        np.testing.assert_array_equal(first.value, second.value)
        np.testing.assert_array_equal(first.interval, second.interval)
        assert first.clic == second.clic


def blurred(graph, error_rate, rng):
    """See the species through overlapping intensities."""
    from scipy.stats import norm

    counted = graph.species_probability[:, 1]
    offset = -2 * norm.ppf(error_rate)
    intensity = offset * counted + rng.normal(size=len(counted))
    odds = counted.mean() / (1 - counted.mean()) * np.exp(offset * intensity - offset**2 / 2)
    probability = odds / (1 + odds)
    return dataclasses.replace(graph, species_probability=np.stack([1 - probability, probability], axis=1))


def test_uncertain_labels_are_marginalised():
    """Hard labels at 8 % errors lose a third of the coupling; probabilities recover it and widen its interval."""
    rng = np.random.default_rng(8)
    graphs = images(-0.6, compositions=(0.4, 0.5, 0.6), size=26, seed=5)
    seen = [blurred(graph, 0.08, rng) for graph in graphs]
    hard = [dataclasses.replace(g, species_probability=np.round(g.species_probability)) for g in seen]
    truth, careful, careless = (
        fit_hamiltonians(some, models=("P1",), settings=QUICK, rng=np.random.default_rng(2))
        for some in (graphs, seen, hard)
    )
    best, error = truth.fit("P1").value[0], truth.fit("P1").standard_error[0]
    assert careless.fit("P1").value[0] > best + 3 * error
    assert abs(careful.fit("P1").value[0] - best) < 2.5 * careful.fit("P1").standard_error[0]
    assert careful.fit("P1").standard_error[0] > 1.15 * error
    assert (careful.composition_interval[:, 0] < careful.composition_interval[:, 1]).all()
    low, high = careful.fit("P1").statistical_distance_interval
    assert low < careful.fit("P1").statistical_distance < high
    assert truth.n_imputations == 1
    assert truth.composition_interval[0, 0] == truth.composition_interval[0, 1]


def test_labels_that_say_nothing_give_couplings_that_say_nothing():
    graph = images(0.0, compositions=(0.5,), size=14)[0]
    blank = dataclasses.replace(graph, species_probability=np.full((len(graph), 2), 0.5))
    quick = dataclasses.replace(QUICK, n_bootstrap=20, n_label_draws=20)
    with pytest.warns(IdentifiabilityWarning, match=r"take away (9\d|100) % of the information on the couplings of P1"):
        result = fit_hamiltonians([blank], models=("P1",), settings=quick, rng=np.random.default_rng(0))
    known = fit_hamiltonians([graph], models=("P1",), settings=quick, rng=np.random.default_rng(0))
    assert result.fit("P1").standard_error[0] > 4 * known.fit("P1").standard_error[0]
    assert any("take away" in text for text in result.warnings)


def test_the_random_alloy_can_be_tested_alone():
    result = fit_hamiltonians(images(0.0, size=10), models=("random",), settings=QUICK, rng=np.random.default_rng(0))
    assert result.models == ("random",)
    assert result.nested_tests == ()
    assert len(result.verdict) == 1


def test_couplings_that_cannot_be_told_apart_are_reported():
    graphs = images(1.0, compositions=(0.5,), size=14, seed=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = fit_hamiltonians(graphs, models=("P2",), settings=QUICK, rng=np.random.default_rng(0))
    said = [str(item.message) for item in caught if issubclass(item.category, IdentifiabilityWarning)]
    assert (result.fit("P2").collinearity > 0.9) == bool(said)
    assert all(text in result.warnings for text in said)


def test_a_single_species_is_flagged_not_fitted():
    graph = window_graph(np.zeros((14, 14), dtype=int), inside=square_window((14, 14), height=9, width=9))
    with pytest.warns(ScarceDataWarning, match="shows a single species") as caught:
        result = fit_hamiltonians([graph], settings=QUICK, rng=np.random.default_rng(0))
    assert any("single species" in text for text in result.warnings)
    assert len(caught) == len(result.warnings)
    assert np.isnan(result.fit("P1").value).all()
    assert not result.fit("P1").converged
    assert "P1: these images say nothing of the couplings." in result.verdict
    assert "No model could be tested on these images." in result.verdict


def test_an_image_that_says_nothing_does_not_spoil_the_others():
    graphs = [*images(-0.5, size=16), *images(0.0, compositions=(0.0,), size=16)]
    with pytest.warns(ScarceDataWarning, match="single species"):
        result = fit_hamiltonians(graphs, models=("P1",), settings=QUICK, rng=np.random.default_rng(0))
    assert np.isfinite(result.fit("P1").value).all()
    assert result.statistical_distance.shape == (2, 3)


def test_a_tiny_window_is_flagged():
    rng = np.random.default_rng(0)
    graph = window_graph(rng.integers(0, 2, (7, 7)), inside=np.ones((7, 7), dtype=bool))
    with pytest.warns(ScarceDataWarning, match="only 9 sites with complete surroundings"):
        result = fit_hamiltonians([graph], models=("P2",), settings=QUICK, rng=np.random.default_rng(0))
    assert result.n_free_sites[0] == 9


def test_an_empty_graph_is_flagged():
    graph = window_graph(np.zeros((5, 5), dtype=int), inside=np.zeros((5, 5), dtype=bool))
    with pytest.warns(ScarceDataWarning, match="only 0 sites"):
        result = fit_hamiltonians([graph], settings=QUICK, rng=np.random.default_rng(0))
    assert result.n_clusters.tolist() == [0]


def test_vacancies_have_no_interaction_but_are_no_border():
    rng = np.random.default_rng(0)
    arrangement = sample_crystal((40, 40), MODELS["P1"], couplings=np.array([-0.5]), composition=0.4, rng=rng)
    arrangement = np.where(rng.random((40, 40)) < 0.03, -1, arrangement)
    graph = window_graph(arrangement, inside=square_window((40, 40), height=22, width=22), species=("Mo", "Re"))
    result = fit_hamiltonians([graph], models=("P1", "M"), settings=QUICK, rng=rng)
    low, high = result.fit("P1").interval[0]
    assert low < -0.5 < high
    assert result.n_free_sites[0] > 370


def test_a_square_lattice_works_with_its_12_classes():
    rng = np.random.default_rng(0)
    graph = periodic_graph((20, 20), n_ring=4)
    counted = np.tile(np.indices((20, 20)).sum(axis=0).ravel() % 2, 1).astype(float)
    swapped = rng.choice(400, 120, replace=False)
    counted[swapped] = rng.permutation(counted[swapped])
    fields = {name: getattr(graph, name) for name in ("first_neighbours", "second_neighbours", "triangles", "boundary")}
    graph = SiteGraph(
        **fields, occupied=graph.occupied, atom=graph.atom, species=("A", "B"),
        species_probability=np.stack([1 - counted, counted], axis=1),
    )  # fmt: skip
    result = fit_hamiltonians([graph], models=("P1",), settings=QUICK, rng=rng)
    assert len(result.class_labels) == 12
    assert result.fit("P1").interval[0, 1] < 0


def test_wrong_input_is_refused():
    rng = np.random.default_rng(0)
    graphs = images(0.0, size=8)
    with pytest.raises(InputError, match="`graphs`: expected at least one site graph; got none"):
        fit_hamiltonians([], rng=rng)
    with pytest.raises(InputError, match="`models`: expected names among"):
        fit_hamiltonians(graphs, models=("P7",), rng=rng)
    with pytest.raises(InputError, match="`models`: expected a sequence of names"):
        fit_hamiltonians(graphs, models="P1", rng=rng)
    other = dataclasses.replace(graphs[1], species=("W", "Re"))
    with pytest.raises(InputError, match="`graphs`: expected the same two species in every image"):
        fit_hamiltonians([graphs[0], other], rng=rng)
    with pytest.raises(InputError, match="`graphs`: expected the same coordination"):
        fit_hamiltonians(
            [graphs[0], dataclasses.replace(periodic_graph((6, 6), n_ring=4), species=("Mo", "Re"))], rng=rng
        )
    with pytest.raises(InputError, match="`n_bootstrap`: expected at least 2"):
        HamiltonianSettings(n_bootstrap=1)
    with pytest.raises(InputError, match="`temperature`: expected a positive number"):
        HamiltonianSettings(temperature=-1.0)


def test_a_temperature_rescales_the_words_alone(random_alloy):
    warm = judge(dataclasses.replace(random_alloy, temperature=1000.0))
    assert "meV (95 % interval" in warm.verdict[0]
    np.testing.assert_array_equal(warm.fit("P1").value, random_alloy.fit("P1").value)


def test_ranking_is_refused_when_a_larger_model_comes_out_worse(interacting):
    """As in the published table, where triangles contain the pair model and yet fit worse."""
    worse = dataclasses.replace(
        interacting,
        nested_tests=tuple(
            dataclasses.replace(test, distance_gain=-0.0011) if (test.smaller, test.larger) == ("P1", "M") else test
            for test in interacting.nested_tests
        ),
    )
    judged = judge(worse)
    assert judged.search_failed
    assert judged.ranking == ()
    assert any("M contains P1 yet came out worse" in sentence for sentence in judged.verdict)


def test_no_model_explains_when_all_are_rejected(interacting):
    rejected = tuple(dataclasses.replace(fit, calibrated_p=0.01) for fit in interacting.fits)
    judged = judge(dataclasses.replace(interacting, fits=rejected))
    assert judged.explained == ()
    assert any(sentence.startswith("No model here explains the images") for sentence in judged.verdict)


def test_a_fit_survives_storage(interacting):
    fit = interacting.fit("P2")
    again = HamiltonianFit.from_xarray(fit.to_xarray())
    np.testing.assert_array_equal(again.covariance, fit.covariance)
    assert again.equation == fit.equation
    assert again.statistical_distance_interval == fit.statistical_distance_interval


def test_results_cannot_be_sliced_and_unknown_models_are_not_found(interacting):
    with pytest.raises(TypeError, match="cannot be sliced"):
        interacting[0]
    with pytest.raises(KeyError, match="P9"):
        interacting.fit("P9")
