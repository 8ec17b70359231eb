"""Distances, p-values, reliability and coverage against known answers."""

import numpy as np
import pytest

from tusi.errors import InputError
from tusi.inference import (
    binomial_interval,
    composite_information_criterion,
    coverage,
    pooled_squared_distance,
    quantile_band,
    reliability,
    resampling_p_value,
    seed_table,
    statistical_distance,
)


def test_statistical_distance_is_the_angle_of_root_probabilities():
    rng = np.random.default_rng(0)
    p, q = rng.random((2, 50, 26))
    expected = np.arccos(np.sqrt(p / p.sum(1, keepdims=True) * q / q.sum(1, keepdims=True)).sum(1))
    np.testing.assert_allclose(statistical_distance(p, q), expected, atol=1e-7)
    np.testing.assert_allclose(statistical_distance(p, 3 * q), statistical_distance(q, p))


def test_statistical_distance_keeps_its_digits_near_zero():
    p = np.array([0.3, 0.7])
    q = np.array([0.3 + 1e-9, 0.7 - 1e-9])
    assert statistical_distance(p, q) == pytest.approx(1e-9 / (2 * np.sqrt(0.21)), rel=1e-5)


def test_an_empty_histogram_has_no_distance():
    assert np.isnan(statistical_distance(np.zeros(3), np.ones(3)))


def test_expected_squared_distance_of_a_sample_is_degrees_of_freedom_over_4n():
    rng = np.random.default_rng(1)
    p = np.full(10, 0.1)
    counts = rng.multinomial(2000, p, size=3000)
    assert (statistical_distance(counts, p) ** 2).mean() == pytest.approx(9 / (4 * 2000), rel=0.03)


def test_pooling_weighs_images_by_their_clusters():
    pooled = pooled_squared_distance(np.array([0.1, 0.4, np.nan]), np.array([300, 100, 0]))
    assert pooled == pytest.approx(0.175)
    assert np.isnan(pooled_squared_distance(np.array([0.1]), np.array([0])))


def test_p_values_count_ties_and_never_reach_zero():
    assert resampling_p_value(5.0, np.arange(4.0)) == pytest.approx(1 / 5)
    assert resampling_p_value(0.3, np.array([0.1 + 0.2, 0.1])) == pytest.approx(2 / 3)
    assert np.isnan(resampling_p_value(1.0, np.empty(0)))
    assert np.isnan(resampling_p_value(np.nan, np.ones(3)))


def test_p_values_of_exchangeable_data_are_uniform():
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(4000, 100))
    p = np.array([resampling_p_value(row[0], row[1:]) for row in draws])
    for level in (0.05, 0.2, 0.5):
        low, high = binomial_interval(np.count_nonzero(p <= level), 4000, confidence=0.999)
        assert low <= level <= high


def test_quantile_band():
    low, high = quantile_band(np.arange(1001.0)[:, None])
    np.testing.assert_allclose([low[0], high[0]], [25, 975])


def test_composite_criterion_is_akaikes_when_scores_obey_the_information_identity():
    information = np.array([[2.0, 0.5], [0.5, 1.0]])
    assert composite_information_criterion(
        -100.0, score_covariance=information, information=information
    ) == pytest.approx(204.0)
    assert composite_information_criterion(
        -100.0, score_covariance=2 * information, information=information
    ) == pytest.approx(208.0)


def test_reliability_finds_probabilities_that_are_off():
    rng = np.random.default_rng(3)
    probability = rng.random(20000)
    honest = reliability(probability, rng.random(20000) < probability)
    assert honest.n_cases.sum() == 20000
    assert honest.worst() < 0.05
    assert ((honest.low <= honest.stated) & (honest.stated <= honest.high)).mean() >= 0.8
    boastful = reliability(probability, rng.random(20000) < 0.5 + (probability - 0.5) / 1.5)
    assert boastful.worst() > 0.1
    assert reliability(np.array([1.0]), np.array([True])).worst() == 0.0


def test_wrong_probabilities_are_refused():
    with pytest.raises(InputError, match="`probability`: expected values between 0 and 1"):
        reliability(np.array([1.2]), np.array([True]))
    with pytest.raises(InputError, match="`happened`: expected shape"):
        reliability(np.array([0.2]), np.array([True, False]))


def test_exact_binomial_interval_covers():
    low, high = binomial_interval(np.array([0, 50, 100]), np.array([100, 100, 100]))
    np.testing.assert_allclose(low, [0, 0.3983, 0.9638], atol=1e-4)
    np.testing.assert_allclose(high, [0.0362, 0.6017, 1.0], atol=1e-4)


def test_coverage_counts_ends_and_misses_nan():
    found = coverage(np.array([[0.0, 1.0], [1.0, 2.0], [np.nan, 5.0], [-np.inf, np.inf]]), 1.0)
    assert (found.n_inside, found.n_cases, found.fraction) == (3, 4, 0.75)
    assert found.low < 0.75 < found.high


def test_seed_table_checks_its_shape():
    with pytest.raises(InputError, match="`squared_distances`: expected 1 models x 2 images"):
        seed_table(np.zeros((2, 2)), np.array([1, 2]), n_parameters=(0,))
