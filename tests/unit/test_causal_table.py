"""The table, the knowledge and the graph that every causal method shares."""

import itertools

import numpy as np
import pytest

from tusi.causal import CausalTable, Knowledge
from tusi.causal.independence import Oracle, d_separated
from tusi.data import CausalGraph, Descriptors
from tusi.datasets.causal_fields import FieldRecipe, linear_fields, random_field
from tusi.errors import InputError
from tusi.inference.spatial import Layout


def blocked_by_hand(arrow, x, y, given):
    """Whether every path is blocked, path by path, as the definition says."""
    n_nodes = len(arrow)
    linked = arrow | arrow.T
    reach = np.linalg.matrix_power(np.eye(n_nodes, dtype=int) + arrow, n_nodes) > 0
    others = [k for k in range(n_nodes) if k not in (x, y)]
    for length in range(len(others) + 1):
        for inner in itertools.permutations(others, length):
            path = (x, *inner, y)
            if not all(linked[a, b] for a, b in itertools.pairwise(path)):
                continue
            open_path = True
            for a, b, c in zip(path, path[1:], path[2:], strict=False):
                collider = arrow[a, b] and arrow[c, b]
                opened = reach[b, list(given)].any() if given else False
                open_path &= opened if collider else b not in given
            if open_path:
                return False
    return True


def test_separation_agrees_with_the_definition_on_all_small_graphs():
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    for present in itertools.product([False, True], repeat=len(pairs)):
        arrow = np.zeros((4, 4), dtype=bool)
        for pair, there in zip(pairs, present, strict=True):
            arrow[pair] = there
        for x, y in pairs:
            others = [k for k in range(4) if k not in (x, y)]
            for size in range(3):
                for given in itertools.combinations(others, size):
                    assert d_separated(arrow, x, y, given) == blocked_by_hand(arrow, x, y, given)


def test_hidden_nodes_of_an_oracle_connect_what_they_act_on():
    arrow = np.zeros((3, 3), dtype=bool)
    arrow[2, 0] = arrow[2, 1] = True
    oracle = Oracle(arrow=arrow).of_names(("x", "y"))
    assert oracle.ask(0, 1).p_value == 0.0


def test_rows_with_missing_values_are_dropped_and_counted():
    layout = Layout.grid((2, 3), n_images=2)
    x = np.arange(12.0)
    x[6:] = np.nan
    x[0] = np.nan
    table = CausalTable.of({"x": x, "y": np.ones(12)}, layout=layout, image_names=("a", "b"), error={"x": 0.5})
    assert len(table) == 5
    assert table.n_dropped == 7
    assert table.image_names == ("a",)
    assert np.allclose(table.error_covariance[:, 0, 0], 0.25)
    with pytest.raises(InputError, match="at least one row in which every value is known"):
        CausalTable.of({"x": np.full(12, np.nan)}, layout=layout)
    with pytest.raises(InputError, match="12 values"):
        CausalTable.of({"x": np.ones(3)}, layout=layout)


def test_variables_that_are_constant_in_every_image_are_between():
    layout = Layout.grid((3, 3), n_images=3)
    table = CausalTable.of(
        {"composition": layout.image * 0.1, "local": np.random.default_rng(0).standard_normal(27)}, layout=layout
    )
    assert table.between == ("composition",)
    assert table.select(["local"]).between == ()


def test_descriptor_tables_side_by_side_keep_their_covariances():
    position = np.random.default_rng(1).uniform(0, 30, (20, 2))
    first = Descriptors.of(position, {"a": (np.arange(20.0), 0.1, "angstrom")}, length_unit="angstrom")
    second = Descriptors.of(
        position, {"b": (np.ones(20), 0.2, "1"), "c": (np.ones(20), np.nan, "1")}, length_unit="angstrom"
    )
    table = CausalTable.of_descriptors([first, second])
    assert table.names == ("a", "b", "c")
    assert table.units == ("angstrom", "1", "1")
    assert np.allclose(np.diagonal(table.error_covariance, axis1=1, axis2=2), [0.01, 0.04, 0.0])
    with pytest.raises(InputError, match="the same 20 rows"):
        CausalTable.of_descriptors([first, second[:5]])


def test_table_and_graph_survive_storage():
    table = linear_fields(np.zeros((2, 2)), FieldRecipe(shape=(4, 5)), rng=np.random.default_rng(0), n_images=2)
    back = CausalTable.from_xarray(table.to_xarray())
    assert np.array_equal(back.value, table.value)
    assert back.image_names == table.image_names
    graph = CausalGraph.of_arrows({("a", "b"): 0.7}, names=("a", "b", "c"))
    assert np.array_equal(CausalGraph.from_xarray(graph.to_xarray()).arrow, graph.arrow)


def test_positions_become_cells_that_keep_distances():
    rng = np.random.default_rng(2)
    position = np.stack(np.indices((12, 9)), axis=-1).reshape(-1, 2) * 3.0 + 0.1 * rng.standard_normal((108, 2))
    layout = Layout.of_positions(position, np.repeat([3, 7], 54))
    assert layout.n_images == 2
    for k in range(2):
        rows = layout.rows(k)
        moved = layout.cell[rows] * layout.step - position[rows]
        assert np.ptp(moved, axis=0).max() <= layout.step * 1.001
    assert layout.raster(np.ones(108), 0).sum() == 54


def test_knowledge_forbids_what_it_says():
    known = Knowledge(tiers=(("a",), ("b", "c")), forbidden=(("b", "c"),), required=(("a", "b"),), exogenous=("d",))
    names = ("a", "b", "c", "d")
    allowed = known.allowed(names)
    assert not allowed[:, 3].any()
    assert not allowed[1, 2]
    assert allowed[2, 1]
    assert not allowed[1:3, 0].any()
    assert known.demanded(names).sum() == 1
    assert known.demanded(names)[0, 1]
    with pytest.raises(InputError, match="variables among a"):
        known.allowed(("a",))
    with pytest.raises(InputError, match="no later tier"):
        Knowledge(tiers=(("a",), ("b",)), required=(("b", "a"),))
    with pytest.raises(InputError, match="not forbidden too"):
        Knowledge(forbidden=(("b", "a"),), required=(("b", "a"),))


def test_a_graph_refuses_probabilities_that_cannot_be():
    with pytest.raises(InputError, match="at most one"):
        CausalGraph.of_arrows({("a", "b"): 0.7, ("b", "a"): 0.7}, names=("a", "b"))
    with pytest.raises(InputError, match="symmetric"):
        CausalGraph.of(names=("a", "b"), method="x", undecided=np.array([[0.0, 0.5], [0.0, 0.0]]))


def test_a_pair_is_undecided_unless_one_relation_is_by_far_likeliest():
    graph = CausalGraph.of(
        names=("a", "b", "c"), method="x",
        arrow=np.array([[0, 0.3, 0], [0.1, 0, 0], [0, 0, 0]]),
        undecided=np.array([[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]]),
    )  # fmt: skip
    (edge,) = graph.edges()
    assert (edge.relation, edge.probability) == ("undecided", edge.connected)
    assert edge.connected == pytest.approx(0.9)
    turned = [CausalGraph.of_arrows({("a", "b"): p, ("b", "a"): 0.9 - p}, names=("a", "b")) for p in (0.6, 0.8)]
    assert [one.edges()[0].relation for one in turned] == ["undecided", "acts on"]
    assert graph.among(("b", "a")).arrow.tolist() == [[0, 0.1], [0.3, 0]]


@pytest.mark.parametrize("tail", ["normal", "laplace", "student", "uniform"])
def test_random_fields_have_unit_variance_and_the_stated_smoothness(tail):
    recipe = FieldRecipe(shape=(64, 64), smoothing=2.0, tail=tail)
    rng = np.random.default_rng(3)
    fields = [random_field(recipe, rng=rng) for _ in range(40)]
    assert np.mean([field.var() for field in fields]) == pytest.approx(1.0, abs=0.25 if tail == "student" else 0.1)
    if tail == "normal":
        lag = np.mean([(field * np.roll(field, 2, axis=0)).mean() for field in fields])
        assert lag == pytest.approx(np.exp(-(2**2) / (4 * 2.0**2)), abs=0.05)


def test_linear_fields_obey_their_coefficients():
    truth = np.array([[0, 0.5, 0], [0, 0, -0.4], [0.2, 0, 0]])
    table = linear_fields(truth, FieldRecipe(shape=(96, 96)), rng=np.random.default_rng(4))
    disturbance = table.value @ (np.eye(3) - truth)
    assert np.allclose(np.corrcoef(disturbance.T), np.eye(3), atol=0.05)
    with pytest.raises(InputError, match="unit circle"):
        linear_fields(np.array([[0, 1.1], [1.1, 0]]), FieldRecipe(), rng=np.random.default_rng(4))
