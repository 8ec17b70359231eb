"""Matching against brute force, and what it refuses."""

import itertools

import numpy as np
import pytest

from tusi.data import Atoms
from tusi.errors import InputError
from tusi.finding import match_atoms


def atoms(position, unit="pixel"):
    return Atoms.at(np.asarray(position, dtype=float).reshape(-1, 2), length_unit=unit)


def best(found, truth, radius):
    """Return the most pairs and, among those, the least sum of squares, by trying everything."""
    distance = np.linalg.norm(found[:, None] - truth[None], axis=2)
    answer = (0, 0.0)
    for n_pairs in range(1, min(len(found), len(truth)) + 1):
        costs = [
            (distance[list(rows), list(columns)] ** 2).sum()
            for rows in itertools.combinations(range(len(found)), n_pairs)
            for columns in itertools.permutations(range(len(truth)), n_pairs)
            if (distance[list(rows), list(columns)] <= radius).all()
        ]
        if costs:
            answer = (n_pairs, min(costs))
    return answer


@pytest.mark.parametrize("seed", range(8))
def test_pairs_are_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    found, truth = rng.uniform(0, 4, size=(4, 2)), rng.uniform(0, 4, size=(5, 2))
    match = match_atoms(atoms(found), atoms(truth), radius=1.2)
    n_pairs, cost = best(found, truth, 1.2)
    assert len(match.pairs) == n_pairs
    assert (match.displacement**2).sum() == pytest.approx(cost)
    assert len(np.unique(match.pairs[:, 0])) == len(np.unique(match.pairs[:, 1])) == n_pairs


def test_nothing_found_is_perfectly_precise_and_finds_nothing():
    match = match_atoms(atoms([]), atoms([[1, 1]]), radius=1.0)
    assert (match.precision, match.recall, len(match.pairs)) == (1.0, 0.0, 0)
    assert match_atoms(atoms([[9, 9]]), atoms([[1, 1]]), radius=1.0).precision == 0.0


def test_two_units_do_not_match():
    with pytest.raises(InputError, match="positions in pixel; got angstrom"):
        match_atoms(atoms([[1, 1]]), atoms([[1, 1]], "angstrom"), radius=1.0)


def test_radius_is_a_length():
    with pytest.raises(InputError, match="a positive length; got 0"):
        match_atoms(atoms([[1, 1]]), atoms([[1, 1]]), radius=0)
