"""PC and FCI on tables and with tests that err: order, units, knowledge, contradictions, false discoveries, peers."""

import importlib.util
import itertools

import numpy as np
import pytest
from scipy import stats

from tusi.causal import Knowledge
from tusi.causal.bootstrap import BlockBootstrap, bootstrap_graph
from tusi.causal.constraint import FCI, PC, CausalLearnFCI, CausalLearnPC
from tusi.causal.constraint.colliders import Triples
from tusi.causal.constraint.orientation import orient
from tusi.causal.constraint.skeleton import edges_discovered
from tusi.causal.independence import Independence, Oracle, PreparedTest
from tusi.datasets.causal_fields import FieldRecipe, linear_fields
from tusi.datasets.causal_graphs import coefficients_of_standardised, random_acyclic_graph, random_effects
from tusi.errors import InputError

HAS_CAUSAL_LEARN = importlib.util.find_spec("causallearn") is not None
NAMES = tuple("abcdefgh")


class Noisy(PreparedTest):
    """A test whose answers are random, but the same for the same question whatever the order of the columns."""

    def __init__(self, names, seed, n_dependent=0.6):
        self.names, self._seed, self._share = names, seed, n_dependent
        self.n_asked = 0

    def ask(self, x, y, given=()):
        self.n_asked += 1
        letters = sorted(ord(self.names[k]) for k in (x, y))
        draw = np.random.default_rng([self._seed, *letters, *sorted(ord(self.names[k]) for k in given)])
        dependent = draw.random() < self._share
        return Independence(p_value=float(draw.random() * (0.01 if dependent else 1)), estimate=0.0, n_effective=9.0)


class Listed(PreparedTest):
    """A test with p-values from a list; what is not listed is dependent."""

    def __init__(self, names, p_values):
        self.names, self._p_values = names, p_values

    def ask(self, x, y, given=()):
        p_value = self._p_values.get((x, y, given), 0.0)
        return Independence(p_value=p_value, estimate=0.0, n_effective=9.0)


def field_world(seed, n_variables=6):
    rng = np.random.default_rng(seed)
    arrow = random_acyclic_graph(n_variables, rng=rng)
    coefficients = coefficients_of_standardised(random_effects(arrow, rng=rng))
    recipe = FieldRecipe(shape=(32, 32), smoothing=1.0, periodic=False, tail="student")
    return linear_fields(coefficients, recipe, rng=rng, names=NAMES[:n_variables])


@pytest.mark.parametrize("search", [PC(), PC(colliders="largest p-value"), PC(colliders="conservative"), FCI()])
@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_the_columns_does_not_matter_even_where_answers_contradict_each_other(search, seed):
    order = np.random.default_rng(seed).permutation(6)
    first = search.search(Noisy(NAMES[:6], seed)).graph
    second = search.search(Noisy(tuple(NAMES[k] for k in order), seed)).graph.among(NAMES[:6])
    for name in ("arrow", "confounded", "undecided"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("search", [PC(), FCI()])
@pytest.mark.parametrize("seed", range(3))
def test_units_and_order_of_columns_do_not_matter(search, seed):
    table = field_world(seed)
    rng = np.random.default_rng(seed)
    found = search.find(table).graph
    scaled = table.replace_values(table.value * 10.0 ** rng.uniform(-6, 6, 6) * rng.choice([-1, 1], 6) + 3.0)
    mixed = search.find(scaled.select(tuple(rng.permutation(table.names)))).graph.among(table.names)
    for name in ("arrow", "confounded", "undecided"):
        assert np.array_equal(getattr(found, name), getattr(mixed, name))


@pytest.mark.parametrize("seed", range(6))
def test_no_graph_has_a_directed_cycle_and_no_question_is_asked_twice(seed):
    test = Noisy(NAMES, seed)
    found = PC().search(test)
    assert not np.linalg.matrix_power(found.directed.astype(float), len(NAMES)).any()
    assert test.n_asked == len(found.evidence.questions)
    assert len({(q.x, q.y, q.given) for q in found.evidence.questions}) == test.n_asked


@pytest.mark.parametrize("seed", range(10))
def test_knowledge_is_honoured_even_where_the_data_contradict_it(seed):
    rng = np.random.default_rng(seed)
    names = NAMES[:6]
    order = tuple(rng.permutation(names))
    known = Knowledge(
        tiers=(order[:3], order[3:]), forbidden=(order[:2],), required=((order[2], order[3]),), exogenous=(order[0],)
    )
    found = PC().search(Noisy(names, seed), knowledge=known)
    assert not (found.directed & ~known.allowed(names)).any()
    assert (found.directed | ~known.demanded(names)).all()
    undirected = found.undirected
    assert not (undirected & ~(known.allowed(names) & known.allowed(names).T)).any()
    graph = FCI().search(Noisy(names, seed), knowledge=known).graph
    assert graph.probability(order[2], order[3]) == 1
    assert not (graph.arrow.astype(bool) & ~known.allowed(names)).any()


def test_a_forbidden_pair_alone_may_still_be_a_cause_through_others():
    arrow = np.zeros((4, 4), dtype=bool)
    arrow[0, 1] = arrow[1, 2] = arrow[3, 1] = arrow[3, 2] = True  # x -> m -> y, and a hidden cause of m and y
    test = Oracle(arrow=arrow).of_names(("x", "m", "y"))
    found = FCI().search(test, knowledge=Knowledge(forbidden=(("x", "y"),), exogenous=("x",)))
    assert "x" in found.edges()[0]
    assert not np.array_equal(found.mark[2, 0], 2)


def test_knowledge_spreads_around_a_triangle():
    arrow = np.zeros((4, 4), dtype=bool)
    arrow[0, 1] = arrow[0, 2] = arrow[0, 3] = arrow[1, 2] = arrow[2, 3] = True
    test = Oracle(arrow=arrow).of_names(("a", "b", "c", "d"))
    assert not PC().search(test).directed.any()
    found = PC().search(test, knowledge=Knowledge(required=(("b", "c"),)))
    assert np.argwhere(found.directed).tolist() == [[0, 3], [1, 2], [2, 3]]


def test_a_chain_of_required_pairs_orders_its_ends_against_the_data():
    test = Listed(("a", "b", "c", "d"), {(2, 3, ()): 0.5, (1, 3, ()): 0.5})
    assert PC().search(test).directed[2, 0]
    found = PC().search(test, knowledge=Knowledge(required=(("a", "b"), ("b", "c"))))
    assert found.directed[0, 2]


def test_a_cycle_of_required_pairs_is_refused():
    test = Oracle(arrow=np.zeros((3, 3), dtype=bool)).of_names(("x", "y", "z"))
    known = Knowledge(required=(("x", "y"), ("y", "z"), ("z", "x")))
    with pytest.raises(InputError, match="without a cycle"):
        PC().search(test, knowledge=known)
    with pytest.raises(InputError, match="samples may be selected"):
        FCI(selection=True).search(test, knowledge=Knowledge(exogenous=("x",)))


def test_contradictions_leave_edges_without_direction_and_are_told():
    chain = Listed(("a", "b", "c", "d"), {(0, 2, ()): 0.5, (1, 3, ()): 0.5, (0, 3, ()): 0.5})
    found = PC().search(chain)
    assert found.contested[1, 2]
    assert found.undirected[1, 2]
    assert any("b - c" in note for note in found.graph.notes)
    equal = Listed(("a", "b", "c"), {(0, 2, ()): 0.5, (0, 2, (1,)): 0.4})
    assert PC().search(equal).unclear == (("a", "b", "c"),)
    assert PC(colliders="largest p-value").search(equal).directed.sum() == 2
    close = Listed(("a", "b", "c"), {(0, 2, ()): 0.5, (0, 2, (1,)): 0.02})
    assert PC().search(close).directed.sum() == 2


def test_what_follows_both_ways_is_contested():
    adjacent, chain = np.zeros((4, 4), dtype=bool), np.zeros((4, 4, 4), dtype=bool)
    for i, j in ((0, 1), (1, 2), (2, 3)):
        adjacent[i, j] = adjacent[j, i] = True
    for x, z, y in ((0, 1, 2), (1, 2, 3)):
        chain[x, z, y] = chain[y, z, x] = True
    allowed = adjacent.copy()
    allowed[1, 0] = allowed[2, 3] = False
    nothing = np.zeros_like(chain)
    found = orient(adjacent, Triples(collider=nothing, chain=chain, unclear=nothing), allowed=allowed)
    assert np.argwhere(found.directed).tolist() == [[0, 1], [3, 2]]
    assert np.argwhere(found.contested).tolist() == [[1, 2], [2, 1]]


def test_sets_of_variables_that_are_no_neighbours_are_tried_where_they_may_separate():
    arrow = np.zeros((7, 7), dtype=bool)
    for cause, effect in ((2, 1), (4, 0), (3, 2), (3, 4), (5, 0), (5, 2), (6, 1), (6, 4)):
        arrow[cause, effect] = True  # x <-> a <- b -> c <-> y, a -> y, c -> x
    found = FCI().search(Oracle(arrow=arrow).of_names(("x", "y", "a", "b", "c")))
    assert found.mark[0, 1] == 0
    assert found.evidence.separating_set("x", "y") == ("a", "b", "c")


def test_edges_on_a_cycle_lose_their_direction():
    adjacent = ~np.eye(3, dtype=bool)
    none = np.zeros((3, 3, 3), dtype=bool)
    ring = np.zeros((3, 3), dtype=bool)
    ring[0, 1] = ring[1, 2] = ring[2, 0] = True
    collider = none.copy()
    collider[ring.nonzero()[0], ring.nonzero()[1], 0] = True
    found = orient(adjacent, Triples(collider=collider, chain=none, unclear=none), allowed=adjacent)
    assert not found.directed.any()
    assert found.contested.sum() == 6


def test_evidence_holds_what_was_asked():
    table = field_world(1)
    found = PC(level=0.02).find(table)
    evidence = found.evidence
    for i, j in itertools.combinations(range(6), 2):
        pair = table.names[i], table.names[j]
        largest = max(question.answer.p_value for question in evidence.about(*pair))
        assert evidence.largest_p_value[i, j] == evidence.largest_p_value[j, i] == largest
        separating = evidence.separating_set(*pair)
        assert found.adjacent[i, j] == (separating is None)
    assert found.method == "PC at level 0.02 of each question"


@pytest.mark.parametrize(("search", "relation"), [(PC(), "arrow"), (FCI(), "undecided")])
def test_a_bootstrap_repeats_the_search(search, relation):
    collider = np.array([[0, 0, 0.7], [0, 0, 0.7], [0, 0, 0]])
    rng = np.random.default_rng(4)
    table = linear_fields(collider, FieldRecipe(shape=(32, 32), periodic=False), rng=rng)
    graph = bootstrap_graph(table, search.graph_of, rng=rng, bootstrap=BlockBootstrap(n_resamples=20, side=4))
    assert getattr(graph, relation)[:2, 2].min() >= 0.8
    assert graph.connected[0, 1] <= 0.4
    assert not any("One search" in note for note in graph.notes)


def test_at_most_so_many_variables_are_held_fixed():
    found = FCI(most_given=1).find(field_world(2))
    assert max(len(question.given) for question in found.evidence.questions) == 1


def test_false_discoveries_follow_benjamini_and_yekutieli():
    rng = np.random.default_rng(3)
    p_value = np.full((8, 8), np.nan)
    upper = np.triu_indices(8, 1)
    p_value[upper] = rng.random(28) ** 4
    p_value.T[upper] = p_value[upper]
    passed = stats.false_discovery_control(p_value[upper], method="by") <= 0.2
    everything, nothing = ~np.eye(8, dtype=bool), np.zeros((8, 8), dtype=bool)
    found = edges_discovered(everything, p_value, nothing, rate=0.2)
    assert np.array_equal(found[upper], passed)
    assert 0 < passed.sum() < 28
    assert edges_discovered(everything, p_value, everything, rate=0.2).sum() == 56


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"level": 0.0}, "between 0 and 1"),
        ({"most_given": -1}, "number of variables"),
        ({"false_discovery_rate": 1.5}, "between 0 and 1"),
    ],
)
def test_choices_that_make_no_sense_are_refused(choice, message):
    with pytest.raises(InputError, match=message):
        PC(**choice)


@pytest.mark.skipif(HAS_CAUSAL_LEARN, reason="causal-learn is installed")
@pytest.mark.parametrize("search", [CausalLearnPC(), CausalLearnFCI()])
def test_without_causal_learn_the_command_that_installs_it_is_named(search):
    with pytest.raises(InputError, match="pip install causal-learn"):
        search.search(Noisy(NAMES, 0))


@pytest.mark.skipif(not HAS_CAUSAL_LEARN, reason="causal-learn, an extra, is not installed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(12))
def test_causal_learn_draws_the_same_with_our_test(seed):
    arrow = random_acyclic_graph(6, rng=np.random.default_rng(seed), n_neighbours=2.0)
    test = Oracle(arrow=arrow).of_names(NAMES[:6])
    assert np.array_equal(CausalLearnPC().search(test).directed, PC().search(test).directed)
    hidden = Oracle(arrow=arrow).of_names(NAMES[:5])
    assert np.array_equal(CausalLearnFCI().search(hidden).mark > 0, FCI().search(hidden).mark > 0)
    known = Knowledge(exogenous=(NAMES[0],)) if not arrow[:, 0].any() else Knowledge()
    assert np.array_equal(CausalLearnPC().search(test, knowledge=known).adjacent, arrow | arrow.T)
    with pytest.raises(InputError, match="none for causal-learn's FCI"):
        CausalLearnFCI().search(hidden, knowledge=known)
    with pytest.raises(InputError, match="None for a search of causal-learn"):
        CausalLearnPC(false_discovery_rate=0.1).search(test)
