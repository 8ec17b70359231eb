"""The published table of MoS2-ReS2 follows from its distances, cluster counts and numbers of couplings: 24 of 24."""

import numpy as np
import pytest

from tusi.inference import distance_information_criterion, naive_goodness_of_fit, seed_table

N_CLUSTERS = np.array([464, 466, 434, 471])
N_PARAMETERS = (0, 1, 2, 2)
DISTANCES = np.array(
    [
        [0.0062, 0.0325, 0.0298, 0.0124],
        [0.0067, 0.0283, 0.0263, 0.0129],
        [0.0070, 0.0288, 0.0247, 0.0121],
        [0.0073, 0.0284, 0.0275, 0.0121],
    ]
)
P_VALUES = np.array(
    [
        [0.9899, 0.0001, 0.0013, 0.5602],
        [0.9829, 0.0009, 0.0069, 0.4976],
        [0.9771, 0.0007, 0.0143, 0.5852],
        [0.9680, 0.0009, 0.0040, 0.5864],
    ]
)
TOTALS = np.array([0.0200, 0.0184, 0.0180, 0.0187])
TOTAL_P_VALUES = np.array([0.0015, 0.0107, 0.0168, 0.0079])
CRITERIA = np.array([73.4, 71.4, 73.6, 76.1])
ROUNDING = 0.5e-4
"""The table gives distances and p-values to four decimals."""


def test_all_24_entries_follow_within_the_rounding_of_the_distance():
    right = 0
    for row, published in zip(DISTANCES, P_VALUES, strict=True):
        for s2, n, p in zip(row, N_CLUSTERS.tolist(), published, strict=True):
            low, high = (naive_goodness_of_fit(s2 + sign * ROUNDING, n) for sign in (1, -1))
            right += low - ROUNDING <= p <= high + ROUNDING
    for total, p, bic, k in zip(TOTALS, TOTAL_P_VALUES, CRITERIA, N_PARAMETERS, strict=True):
        low, high = (
            naive_goodness_of_fit(total + sign * ROUNDING, int(N_CLUSTERS.sum()), degrees_of_freedom=100)
            for sign in (1, -1)
        )
        right += low - ROUNDING <= p <= high + ROUNDING
        low, high = (
            distance_information_criterion(total + sign * ROUNDING, int(N_CLUSTERS.sum()), n_parameters=k)
            for sign in (-1, 1)
        )
        right += low - 0.05 <= bic <= high + 0.05
    assert right == 24


def test_the_pooled_distances_follow_from_those_of_the_images():
    table = seed_table(DISTANCES, N_CLUSTERS, n_parameters=N_PARAMETERS, nested=((0, 1), (1, 2), (1, 3)))
    np.testing.assert_allclose(table.total_distance, TOTALS, atol=2 * ROUNDING)
    np.testing.assert_allclose(table.bic, CRITERIA, atol=0.4)


def test_the_published_triangle_model_is_not_at_its_optimum():
    """It contains the pair model and yet came out worse, so no criterion can rank it."""
    table = seed_table(DISTANCES, N_CLUSTERS, n_parameters=N_PARAMETERS, nested=((0, 1), (1, 2), (1, 3)))
    assert table.search_failed == ((1, 3),)


def test_the_uncalibrated_p_value_is_what_it_says():
    assert naive_goodness_of_fit(0.0, 100) == 1.0
    assert naive_goodness_of_fit(0.01, 464, degrees_of_freedom=2) == pytest.approx(np.exp(-2 * 464 * 0.01))
