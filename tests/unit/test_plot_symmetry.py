"""Pictures of plane groups show the numbers that they are given."""

import dataclasses

import numpy as np
import pytest

from tusi.data.descriptors import Descriptors
from tusi.errors import InputError
from tusi.plot import new_figure
from tusi.plot.symmetry import GROUP_COLOURS, draw_groups, draw_symmetry_map, draw_window_sizes
from tusi.structure.symmetry import PLANE_GROUPS, AlternativePosterior, SymmetryPosterior, WindowSizes
from tusi.structure.symmetry.maps import COLUMNS

P4M, PMM = PLANE_GROUPS.index("p4m"), PLANE_GROUPS.index("pmm")


def posterior(probability):
    given = np.zeros(17)
    given[[P4M, PMM]] = probability, 1 - probability
    return SymmetryPosterior(probability=given, prior=np.full(17, 1 / 17), site_probability=np.zeros((1, 10)))


def test_bars_are_as_high_as_the_probabilities():
    axes = draw_groups(new_figure(6, 3).subplots(), posterior(0.75))
    assert [patch.get_height() for patch in axes.patches][P4M] == 0.75
    assert [label.get_text() for label in axes.get_xticklabels()] == list(PLANE_GROUPS)
    half = np.full(2, 0.5)
    declared = AlternativePosterior(
        probability=half, prior=half, log_evidence=half, misfit=half, n_constraints=half, names=("cubic", "tetragonal")
    )
    axes = draw_groups(new_figure(3, 3).subplots(), declared)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cubic", "tetragonal"]


def table(probabilities):
    value = np.zeros((len(probabilities), len(COLUMNS)))
    value[:, P4M], value[:, PMM] = probabilities, 1 - np.array(probabilities)
    return Descriptors(
        position=np.arange(2.0 * len(value)).reshape(-1, 2),
        value=value,
        covariance=np.full((len(value), len(COLUMNS), len(COLUMNS)), np.nan),
        atom=np.full(len(value), -1),
        image=np.zeros(len(value), int),
        names=COLUMNS,
        units=("1",) * len(COLUMNS),
        length_unit="pixel",
    )


def squares(axes):
    """Places and opacities of the windows, legend left out."""
    return [
        (np.asarray(one.get_offsets()).tolist(), np.ravel(one.get_alpha()).tolist())
        for one in axes.collections
        if len(one.get_offsets()) and np.isfinite(np.asarray(one.get_offsets(), float)).all()
    ]


def test_a_map_shows_the_most_probable_group_of_each_window_as_pale_as_it_is_doubtful():
    found = squares(draw_symmetry_map(new_figure(4, 3).subplots(), table([0.9, 0.8, 0.3])))
    assert found[0] == ([[1.0, 0.0], [3.0, 2.0]], [0.9, 0.8])
    assert found[1] == ([[5.0, 4.0]], [pytest.approx(0.7)])
    of_one = squares(draw_symmetry_map(new_figure(4, 3).subplots(), table([0.9, 0.3]), group="pmm"))
    assert of_one == [([[1.0, 0.0], [3.0, 2.0]], [pytest.approx(0.1), pytest.approx(0.7)])]
    with pytest.raises(InputError, match="one of p1"):
        draw_symmetry_map(new_figure(4, 3).subplots(), table([0.9]), group="p5")
    assert squares(draw_symmetry_map(new_figure(4, 3).subplots(), table([]))) == []
    unexplained = squares(draw_symmetry_map(new_figure(4, 3).subplots(), table([np.nan, 0.3])))
    assert unexplained == [([[3.0, 2.0]], [pytest.approx(0.7)])]


def test_odds_are_drawn_against_the_closest_rivals():
    odds = np.linspace(1.0, 30.0, 10) * np.array([[1.0], [2.0]])
    sizes = WindowSizes(n_cells=np.array([4, 9]), log_odds=odds, group="p4m", rivals=PLANE_GROUPS[:10])
    axes = draw_window_sizes(new_figure(4, 3).subplots(), sizes)
    drawn = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_marker() == "o"]
    assert len(drawn) == len(GROUP_COLOURS)
    assert drawn[0].get_label() == "against p1"
    assert np.asarray(drawn[0].get_ydata()).tolist() == odds[:, 0].tolist()
    few = dataclasses.replace(sizes, log_odds=odds[:, :1], rivals=("p1",))
    assert few.needed("p1") == np.inf
