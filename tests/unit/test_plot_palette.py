"""Colours and pictures of classes."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tusi.errors import InputError
from tusi.numerics.symmetry import ring_classes
from tusi.plot import new_figure, species_map, to_svg
from tusi.plot.clusters import class_states
from tusi.plot.images import colours_of
from tusi.plot.palette import CLASSES


def test_species_map_runs_from_one_species_to_the_other_and_is_lightest_where_undecided():
    colours = species_map(257)(np.arange(257))[:, :3]
    assert np.allclose(colours[0], to_rgb(CLASSES[0]), atol=1 / 255)
    assert np.allclose(colours[-1], to_rgb(CLASSES[1]), atol=1 / 255)
    light = colours @ [0.2126, 0.7152, 0.0722]
    assert light.argmax() == 128
    assert (np.diff(light[:129]) > 0).all()
    assert (np.diff(light[128:]) < 0).all()


def test_more_than_two_species_fade_with_their_probability():
    sure, unsure = colours_of(np.array([[0.0, 0.0, 1.0], [0.3, 0.3, 0.4]]))
    assert np.allclose(sure[:3], to_rgb(CLASSES[2]))
    assert unsure[:3].min() > sure[:3].min()


@pytest.mark.parametrize("n_ring", [4, 6])
def test_pictures_of_classes_are_states_of_those_classes(n_ring):
    classes = ring_classes(n_ring)
    states = class_states(len(classes))
    code = states @ (2 ** np.arange(n_ring + 1))
    assert np.array_equal(classes.class_of[code], np.arange(len(classes)))
    with pytest.raises(InputError, match="expected 26 or 12; got 7"):
        class_states(7)


def test_figures_are_the_same_every_time_and_do_not_share_identifiers():
    def svg(key: str) -> str:
        figure = new_figure(2, 2)
        axes = figure.add_subplot()
        axes.plot([0, 1], [1, 0])
        axes.set_xlim(0.2, 0.8)
        return to_svg(figure, key=key)

    assert svg("a") == svg("a")
    assert "<metadata" not in svg("a")
    assert svg("a").startswith("<svg")
    assert 'id="a-' in svg("a")
    assert 'id="a-' not in svg("b")
    assert "url(#a-" in svg("a")
