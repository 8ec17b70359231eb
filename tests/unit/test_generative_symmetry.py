"""Symmetry classes come from the orbits of the group, and their number from Burnside's lemma."""

import itertools

import numpy as np
import pytest

from tusi.errors import InputError
from tusi.numerics.symmetry import n_ring_classes, ring_classes


@pytest.mark.parametrize(("n_ring", "n_species"), [(3, 2), (4, 2), (5, 2), (6, 2), (4, 3), (6, 3)])
def test_number_of_classes_is_burnsides(n_ring, n_species):
    classes = ring_classes(n_ring, n_species)
    assert len(classes) == n_ring_classes(n_ring, n_species)
    assert classes.n_states.sum() == n_species ** (n_ring + 1)


def test_seven_sites_have_26_classes_and_five_have_12():
    assert len(ring_classes(6)) == 26
    assert len(ring_classes(4)) == 12


@pytest.mark.parametrize("n_ring", [4, 6])
def test_class_is_invariant_under_the_dihedral_group_and_separates_orbits(n_ring):
    classes = ring_classes(n_ring)
    weights = 2 ** np.arange(1, n_ring + 1)
    orbits = {}
    for centre, *ring in itertools.product((0, 1), repeat=n_ring + 1):
        images = {
            tuple(np.roll(way, shift).tolist()) for way in (ring, ring[::-1]) for shift in range(n_ring)
        }  # fmt: skip
        found = {int(classes.class_of[centre + np.dot(image, weights)]) for image in images}
        assert len(found) == 1
        orbits.setdefault(found.pop(), set()).add((centre, min(images)))
    assert all(len(members) == 1 for members in orbits.values())


def test_labels_state_counts_and_are_unique():
    classes = ring_classes(6)
    labels = classes.labels(("Mo", "Re"))
    assert len(set(labels)) == 26
    assert labels[0] == "Mo + 0 Re"
    assert labels[-1] == "Re + 6 Re"
    state = 1 + 2 * 0b001001
    k = classes.class_of[state]
    assert (classes.centre[k], classes.ring_count[k, 1], classes.pair_count[k].tolist()) == (1, 2, [0, 0, 1])
    assert labels[k] == "Re + 2 Re (1 para)"


def test_impossible_rings_are_refused():
    with pytest.raises(InputError, match="`n_ring`: expected a small ring"):
        ring_classes(1)
    with pytest.raises(InputError, match="`species`: expected two names"):
        ring_classes(4, 3).labels(("A", "B"))
