"""An image's graph means the same to the general definition and to the windows of the two-species comparison."""

import numpy as np
import pytest

from tusi.generative.crystal import square_window, window_graph
from tusi.generative.lattice import lattice_system, sites_of_graph
from tusi.generative.models import MODELS
from tusi.generative.window import condition


def graph_of(vacant_share):
    """Return a window with vacancies in a random arrangement."""
    rng = np.random.default_rng(5)
    arrangement = rng.integers(0, 2, (16, 18))
    arrangement[rng.random(arrangement.shape) < vacant_share] = -1
    return window_graph(arrangement, inside=square_window((16, 18), height=10, width=9))


@pytest.mark.parametrize("vacant_share", [0.0, 0.1])
@pytest.mark.parametrize("name", ["P1", "P2", "M"])
def test_both_count_the_same_on_the_same_free_sites(name, vacant_share):
    graph, model = graph_of(vacant_share), MODELS[name]
    window = condition(graph, [model])
    system = lattice_system(model, sites_of_graph(graph))
    assert 0 < window.free.sum() < window.occupied.sum()
    np.testing.assert_array_equal(system.free, window.free)
    rng = np.random.default_rng(1)
    species = np.tile((window.probability > 0.5).astype(np.int8), (40, 1))
    species[:, window.free] = rng.integers(0, 2, (40, int(window.free.sum())))
    ours, theirs = system.statistics(species), window.statistics(model, species)
    assert ours.std(axis=0).min() > 0
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], atol=1e-9)
    sites = np.flatnonzero(window.free)
    rise = np.diff(system.site_statistics(species[:3], sites), axis=2)[:, :, 0]
    np.testing.assert_allclose(rise, window.flips(model, species[:3], sites), atol=1e-9)


def test_models_compared_share_their_free_sites():
    graph = graph_of(0.05)
    models = list(MODELS.values())
    window = condition(graph, models)
    system = lattice_system(MODELS["P1"], sites_of_graph(graph), reach=models)
    np.testing.assert_array_equal(system.free, window.free)
    assert window.free.sum() < lattice_system(MODELS["P1"], sites_of_graph(graph)).free.sum()
