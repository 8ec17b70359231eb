"""Energies, their changes and the sufficient statistics agree with direct counting on the lattice."""

import itertools

import numpy as np
import pytest

from tusi.data import SiteGraph
from tusi.errors import InputError
from tusi.generative.crystal import RING, SECOND_RING, periodic_graph, sample_crystal, square_window, window_graph
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.lattice.named import ising, potts
from tusi.generative.models import MODELS, embedding, kind_table, model_named
from tusi.generative.sampling import sample
from tusi.generative.window import condition

ALL = list(MODELS.values())


def count_by_hand(species, name):
    """Count what a model counts on a torus, from coordinates alone; -1 is a vacancy."""
    rows, columns = species.shape

    def at(row, column):
        return species[row % rows, column % columns]

    unlike = dict.fromkeys((RING[6], SECOND_RING[6]), 0)
    triangles = [0.0, 0.0]
    for row, column in itertools.product(range(rows), range(columns)):
        here = at(row, column)
        for steps in unlike:
            for down, right in steps[:3]:
                there = at(row + down, column + right)
                unlike[steps] += min(here, there) >= 0 and here != there
        for one, two in ((0, 1), (1, 2)):
            corners = [here, *(at(row + RING[6][k][0], column + RING[6][k][1]) for k in (one, two))]
            n_vacant, n_counted = corners.count(-1), corners.count(1)
            if n_vacant == 0 and n_counted in (1, 2):
                triangles[n_counted - 1] += 1
            elif n_vacant == 1 and n_counted == 1:
                triangles = [number + 0.25 for number in triangles]
    return {"P1": [unlike[RING[6]]], "P2": [unlike[RING[6]], unlike[SECOND_RING[6]]], "M": triangles}[name]


@pytest.fixture(scope="module")
def torus():
    rng = np.random.default_rng(3)
    species = rng.integers(0, 2, (7, 8))
    species[[0, 3, 3], [2, 4, 6]] = -1
    graph = periodic_graph((7, 8))
    occupied = (species >= 0).ravel()
    fields = {name: getattr(graph, name) for name in ("first_neighbours", "second_neighbours", "triangles", "boundary")}
    graph = SiteGraph(
        **fields, occupied=occupied, atom=np.where(occupied, 0, -1), species=("A", "B"),
        species_probability=np.where(occupied[:, None], (species.ravel()[:, None] == [0, 1]).astype(float), np.nan),
    )  # fmt: skip
    return species, condition(graph, ALL)


@pytest.mark.parametrize("name", ["P1", "P2", "M"])
def test_statistics_equal_direct_counting(torus, name):
    species, window = torus
    flat = np.maximum(species.ravel(), 0)
    np.testing.assert_allclose(window.statistics(MODELS[name], flat), count_by_hand(species, name))
    np.testing.assert_allclose(window.only(MODELS[name]).statistics(MODELS[name], flat), count_by_hand(species, name))


@pytest.mark.parametrize("name", ["P1", "P2", "M"])
def test_flips_are_differences_of_statistics(torus, name):
    species, window = torus
    flat = np.maximum(species.ravel(), 0)
    flips = window.flips(MODELS[name], flat)
    for row, site in enumerate(np.flatnonzero(window.free)):
        one, zero = flat.copy(), flat.copy()
        one[site], zero[site] = 1, 0
        expected = window.statistics(MODELS[name], one) - window.statistics(MODELS[name], zero)
        np.testing.assert_allclose(flips[row], expected, atol=1e-12)


def test_equal_triangle_weights_are_a_pair_energy_even_beside_vacancies(torus):
    species, window = torus
    rng = np.random.default_rng(0)
    free = np.flatnonzero(window.free)
    arrangements = np.tile(np.maximum(species.ravel(), 0), (50, 1))
    arrangements[:, free] = rng.permuted(arrangements[:, free], axis=1)
    pairs = window.statistics(MODELS["P1"], arrangements)[:, 0]
    triangles = window.statistics(MODELS["M"], arrangements).sum(axis=1)
    np.testing.assert_allclose(triangles, pairs)


def test_nesting_holds_on_a_conditioned_window():
    """The energy of an exchange of two free sites is the same whether pairs or triangles carry it."""
    rng = np.random.default_rng(1)
    graph = window_graph(rng.integers(0, 2, (14, 14)), inside=square_window((14, 14), height=9, width=9))
    window = condition(graph, ALL)
    arrangements = np.tile((graph.species_probability[:, 1] > 0.5).astype(int), (50, 1))
    arrangements[:, window.free] = rng.permuted(arrangements[:, window.free], axis=1)
    difference = window.statistics(MODELS["M"], arrangements).sum(axis=1) - window.statistics(
        MODELS["P1"], arrangements
    ).sum(axis=1)
    np.testing.assert_allclose(difference, difference[0])


def test_window_energies_are_the_crystals():
    """Exchanging free sites changes the energy of the window exactly as that of the whole crystal."""
    rng = np.random.default_rng(2)
    shape = (14, 16)
    whole = rng.integers(0, 2, shape)
    inside = square_window(shape, height=8, width=8)
    window = condition(window_graph(whole, inside=inside), ALL)
    crystal = condition(periodic_graph(shape), ALL)
    number = np.flatnonzero(inside.ravel())
    for _ in range(20):
        moved = whole.ravel().copy()
        chosen = number[window.free]
        moved[chosen] = rng.permutation(moved[chosen])
        for name in ("P1", "P2", "M"):
            far = crystal.statistics(MODELS[name], moved) - crystal.statistics(MODELS[name], whole.ravel())
            near = window.statistics(MODELS[name], moved[number]) - window.statistics(
                MODELS[name], whole.ravel()[number]
            )
            np.testing.assert_allclose(near, far)


def test_models_print_their_equations():
    assert str(MODELS["random"]) == "E/kT = 0"
    assert str(MODELS["P2"]) == "E/kT = w1 sum_NN d(unlike) + w2 sum_NNN d(unlike)"
    assert MODELS["M"].equation(("Mo", "Re")) == "E/kT = w1 sum_T d(Mo Mo Re) + w2 sum_T d(Mo Re Re)"


def test_embedding_maps_energies():
    assert embedding(MODELS["random"], MODELS["P1"]).shape == (1, 0)
    assert embedding(MODELS["P1"], MODELS["P2"]).tolist() == [[1.0], [0.0]]
    assert embedding(MODELS["P2"], MODELS["P1"]) is None
    assert embedding(LatticeModel(name="NNN", terms=MODELS["P2"].terms[1:]), MODELS["M"]) is None


def test_wrong_models_are_refused():
    with pytest.raises(InputError, match="`models`: expected names among"):
        model_named("P3")
    with pytest.raises(InputError, match="`model`: expected pairs of two shells or triangles of two species"):
        kind_table(potts(3))
    with pytest.raises(InputError, match="`model`: expected pairs of two shells"):
        kind_table(ising(field=True))


def test_a_square_lattice_has_no_triangles():
    with pytest.raises(InputError, match="`models`: expected no triangles on a lattice without them"):
        condition(periodic_graph((6, 6), n_ring=4), [MODELS["M"]])
    assert condition(periodic_graph((6, 6), n_ring=4), [MODELS["P2"]]).free.all()


def test_three_species_are_refused():
    graph = periodic_graph((4, 4))
    fields = {name: getattr(graph, name) for name in ("first_neighbours", "second_neighbours", "triangles", "boundary")}
    wrong = SiteGraph(
        **fields, occupied=graph.occupied, atom=graph.atom, species=("A", "B", "C"),
        species_probability=np.full((16, 3), 1 / 3),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"`graphs`: expected two species on the sublattice; got 3 \(A, B, C\)"):
        condition(wrong, ALL)


def test_free_sites_are_those_with_everything_in_sight():
    graph = window_graph(np.zeros((9, 9), dtype=int), inside=np.ones((9, 9), dtype=bool))
    assert condition(graph, [MODELS["P1"]]).free.sum() == 7 * 7
    assert condition(graph, [MODELS["P1"], MODELS["P2"]]).free.sum() == 5 * 5
    assert (condition(graph, ALL).free <= condition(graph, [MODELS["M"]]).free).all()


def test_couplings_make_like_atoms_cluster_or_avoid_each_other():
    unlike = {}
    for coupling in (-1.0, 0.0, 1.0):
        species = sample_crystal(
            (24, 24), MODELS["P1"], couplings=np.array([coupling]), composition=1 / 3, rng=np.random.default_rng(0)
        )
        assert species.sum() == 192
        unlike[coupling] = count_by_hand(species, "P1")[0]
    assert unlike[-1.0] > 1.2 * unlike[0.0]
    assert unlike[1.0] < 0.5 * unlike[0.0]


def test_wrong_crystals_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="`composition`: expected a fraction"):
        sample_crystal((8, 8), MODELS["P1"], couplings=np.array([0.0]), composition=1.5, rng=rng)
    with pytest.raises(InputError, match="`couplings`: expected one for each of"):
        sample_crystal((8, 8), MODELS["P2"], couplings=np.array([0.0]), composition=0.5, rng=rng)
    with pytest.raises(InputError, match="`shape`: expected at least 4 rows"):
        sample_crystal((3, 8), MODELS["P1"], couplings=np.array([0.0]), composition=0.5, rng=rng)
    with pytest.raises(InputError, match="`shape`: expected room for a window"):
        square_window((8, 8), height=9, width=3)


def test_the_sampler_keeps_border_and_composition():
    rng = np.random.default_rng(4)
    graph = window_graph(rng.integers(0, 2, (12, 12)), inside=square_window((12, 12), height=9, width=8))
    window = condition(graph, ALL)
    species = (window.probability > 0.5).astype(np.int8)
    for name in ("random", "P2", "M"):
        model = MODELS[name]
        couplings = np.linspace(0.3, -0.2, len(model.terms))
        chain = sample(window, model, couplings=couplings, species=species, n_samples=50, rng=rng, keep_species=True)
        assert (chain.species[:, ~window.free] == species[~window.free]).all()
        assert (chain.species.sum(axis=1) == species.sum()).all()
        np.testing.assert_allclose(chain.statistics, window.statistics(model, chain.species))
