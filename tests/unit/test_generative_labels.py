"""Draws of uncertain labels follow the posterior, and label errors are what the probabilities state."""

import dataclasses

import numpy as np
import pytest
from scipy.special import logit

from tusi.generative.crystal import sample_crystal, square_window, window_graph
from tusi.generative.labels import (
    draw_labels,
    draw_labels_given,
    label_error_rates,
    labels_are_certain,
    mislabel,
    most_likely_labels,
)
from tusi.generative.models import MODELS
from tusi.generative.window import condition


@pytest.fixture(scope="module")
def window():
    rng = np.random.default_rng(0)
    species = sample_crystal((40, 40), MODELS["P1"], couplings=np.array([-0.6]), composition=0.4, rng=rng)
    return condition(window_graph(species, inside=square_window((40, 40), height=22, width=22)), list(MODELS.values()))


def blurred(window, offset, rng):
    """Return the window with probabilities from overlapping intensities, and the true species."""
    truth = most_likely_labels(window)
    x = truth.mean()
    intensity = offset * truth + rng.normal(size=window.n_sites)
    probability = 1 / (1 + (1 - x) / x * np.exp(-offset * intensity + offset**2 / 2))
    return dataclasses.replace(window, probability=probability), truth


def test_certain_labels_are_never_changed(window):
    rng = np.random.default_rng(1)
    assert labels_are_certain([window])
    truth = most_likely_labels(window)
    assert (draw_labels(window, 3, rng=rng) == truth).all()
    assert (draw_labels_given(window, MODELS["P1"], np.full((3, 1), -0.6), rng=rng) == truth).all()
    assert (mislabel(window, truth[None], rng=rng) == truth).all()


def test_without_coupling_draws_follow_the_sites_own_probabilities(window):
    rng = np.random.default_rng(2)
    uncertain, _ = blurred(window, 2.5, rng)
    assert not labels_are_certain([uncertain])
    drawn = draw_labels_given(uncertain, MODELS["P1"], np.zeros((2000, 1)), rng=rng)
    difference = drawn.mean(axis=0) - uncertain.probability
    spread = np.sqrt(uncertain.probability * (1 - uncertain.probability) / 2000) + 2e-3
    assert (np.abs(difference) < 5 * spread).all()


def test_one_uncertain_site_has_its_bayes_probability(window):
    site = np.flatnonzero(window.free)[100]
    probability = window.probability.copy()
    probability[site] = 0.7
    uncertain = dataclasses.replace(window, probability=probability)
    coupling = -0.8
    drawn = draw_labels_given(uncertain, MODELS["P1"], np.full((4000, 1), coupling), rng=np.random.default_rng(3))
    flips = uncertain.only(MODELS["P1"]).flips(MODELS["P1"], most_likely_labels(uncertain))[:, 0] * coupling
    prior = probability[uncertain.free].mean()
    low, high = -20.0, 20.0
    for _ in range(60):
        field = 0.5 * (low + high)
        low, high = (low, field) if (1 / (1 + np.exp(flips - field))).mean() > prior else (field, high)
    place = np.flatnonzero(np.flatnonzero(uncertain.free) == site)[0]
    expected = 1 / (1 + np.exp(-(logit(0.7) - logit(prior) + field - flips[place])))
    assert drawn[:, site].mean() == pytest.approx(expected, abs=0.03)
    assert abs(expected - 0.7) > 0.05


def test_the_right_coupling_recovers_more_labels_and_the_statistic(window):
    rng = np.random.default_rng(4)
    uncertain, truth = blurred(window, 2.0, rng)
    model = MODELS["P1"]
    right = draw_labels_given(uncertain, model, np.full((200, 1), -0.6), rng=rng)
    blind = draw_labels(uncertain, 200, rng=rng)
    observed = window.statistics(model, truth)[0]
    assert (right == truth).mean() > (blind == truth).mean() + 0.003
    attenuated = observed - window.statistics(model, blind).mean()
    assert attenuated > 20
    assert abs(observed - window.statistics(model, right).mean()) < 0.6 * attenuated


def test_stated_error_rates_are_the_errors_made(window):
    rng = np.random.default_rng(5)
    stated, made = [], []
    for _ in range(60):
        uncertain, truth = blurred(window, 2.5, rng)
        stated.append(label_error_rates(uncertain))
        wrong = most_likely_labels(uncertain) != truth
        made.append((wrong[truth == 0].mean(), wrong[truth == 1].mean()))
    np.testing.assert_allclose(np.mean(stated, axis=0), np.mean(made, axis=0), atol=0.01)
    again = mislabel(uncertain, np.tile(truth, (300, 1)), rng=rng)
    assert (again != truth)[:, truth == 0].mean() == pytest.approx(stated[-1][0], rel=0.1)
