"""PC and FCI with perfect tests draw exactly what all worlds with the same independences share: by enumeration."""

import itertools

import numpy as np
import pytest

from tusi.causal import Knowledge
from tusi.causal.constraint import FCI, PC, Mark
from tusi.causal.independence import Independence, Oracle, PreparedTest
from tusi.causal.knowledge import reachable
from tusi.datasets.causal_graphs import random_acyclic_graph

NAMES = tuple("abcdefghij")
CHUNK = 50_000


class Answers(PreparedTest):
    """A test that reads its answers from a table."""

    def __init__(self, names, questions, answers):
        self.names = names
        self._answers = dict(zip(questions, answers.tolist(), strict=True))

    def ask(self, x, y, given=()):
        separated = self._answers[x, y, given]
        return Independence(p_value=float(separated), estimate=float(not separated), n_effective=np.inf)


def questions_about(n_nodes):
    """All questions of conditional independence of some nodes."""
    return [
        (x, y, given)
        for x, y in itertools.combinations(range(n_nodes), 2)
        for size in range(n_nodes - 1)
        for given in itertools.combinations([k for k in range(n_nodes) if k not in (x, y)], size)
    ]


def grown(inside, step):
    """The nodes that can be reached, in each of many graphs."""
    while True:
        more = inside | (step & inside[:, :, None]).any(axis=1)
        if (more == inside).all():
            return inside
        inside = more


def separated(graphs, x, y, given):
    """Whether x and y are m-separated in each of many ancestral graphs: by separation in their augmented graphs."""
    arrow, both, line = graphs
    start = np.zeros(arrow.shape[:2], dtype=bool)
    start[:, [x, y, *given]] = True
    anterior = grown(start, (arrow | line).transpose(0, 2, 1))
    kept = anterior[:, :, None] & anterior[:, None, :]
    arrow, both, line = arrow & kept, both & kept, line & kept
    collides = (arrow | both).astype(np.float32)
    district = (closure(both) | np.eye(arrow.shape[1], dtype=bool)).astype(np.float32)
    by_colliders = np.matmul(np.matmul(collides, district), collides.transpose(0, 2, 1)) > 0
    augmented = arrow | arrow.transpose(0, 2, 1) | both | line | by_colliders
    augmented[:, list(given)] = augmented[:, :, list(given)] = False
    start[:] = False
    start[:, x] = True
    return ~grown(start, augmented)[:, y]


def closure(arrow):
    """Who is an ancestor of whom, in each of many graphs."""
    reached = arrow.copy()
    for k in range(arrow.shape[1]):
        reached |= reached[:, :, k, None] & reached[:, k, None, :]
    return reached


def matrices(n_nodes, n_states, select):
    """All graphs whose edges are in one of some states, as far as they are selected."""
    pairs = list(itertools.combinations(range(n_nodes), 2))
    number = np.arange(n_states ** len(pairs))
    state = number[:, None] // n_states ** np.arange(len(pairs)) % n_states
    parts = np.zeros((4, len(number), n_nodes, n_nodes), dtype=bool)
    for place, (i, j) in enumerate(pairs):
        parts[0, :, i, j], parts[0, :, j, i] = state[:, place] == 1, state[:, place] == 2
        for part in (1, 2):
            parts[part, :, i, j] = parts[part, :, j, i] = state[:, place] == part + 2
    chosen = select(*parts[:3])
    return [part[chosen] for part in parts[:3]]


def is_ancestral(arrow, both, line):
    """No cycles, no hidden common cause of an ancestor and its descendant, nothing points at an undirected edge."""
    ancestor = closure(arrow)
    cyclic = np.diagonal(ancestor, axis1=1, axis2=2).any(axis=1)
    almost = (both & (ancestor | ancestor.transpose(0, 2, 1))).any(axis=(1, 2))
    pointed = (line.any(axis=1) & (arrow | both).any(axis=1)).any(axis=1)
    return ~cyclic & ~almost & ~pointed


def answers_of(graphs):
    """Answers of each graph to all questions."""
    return np.stack([separated(graphs, *question) for question in questions_about(graphs[0].shape[1])], axis=1)


def worlds_of_acyclic_graphs(n_nodes):
    """All acyclic graphs, the answers that each implies, and which of them share their answers."""
    graphs = matrices(n_nodes, 3, is_ancestral)
    answers = answers_of(graphs)
    return graphs[0], answers, np.unique(answers, axis=0, return_inverse=True)[1].reshape(-1)


def ancestral_classes(n_nodes, *, selection):
    """The marks that all maximal ancestral graphs with the same independences share, and those independences."""
    arrow, both, line = matrices(n_nodes, 5 if selection else 4, is_ancestral)
    mark = np.where(arrow | both, Mark.ARROW, Mark.NONE) + np.where(arrow.transpose(0, 2, 1) | line, Mark.TAIL, 0)
    chunks = [slice(k, k + CHUNK) for k in range(0, len(arrow), CHUNK)]
    answers = np.concatenate([answers_of((arrow[k], both[k], line[k])) for k in chunks])
    separable = np.zeros(mark.shape, dtype=bool)
    for place, (x, y, _) in enumerate(questions_about(n_nodes)):
        separable[:, x, y] |= answers[:, place]
        separable[:, y, x] |= answers[:, place]
    maximal = ((mark > 0) | separable | np.eye(n_nodes, dtype=bool)).all(axis=(1, 2))
    found, member = np.unique(answers[maximal], axis=0, return_inverse=True)
    order = np.argsort(member.reshape(-1), kind="stable")
    starts = np.searchsorted(member.reshape(-1)[order], np.arange(len(found)))
    members = np.split(mark[maximal][order], starts[1:])
    shared = [np.where((own == own[0]).all(axis=0), own[0], Mark.CIRCLE) for own in members]
    return found, shared, members


@pytest.mark.parametrize("n_nodes", [4, pytest.param(5, marks=pytest.mark.science)])
def test_pc_draws_what_all_equivalent_graphs_share(n_nodes):
    arrow, answers, member = worlds_of_acyclic_graphs(n_nodes)
    assert len(arrow) == {4: 543, 5: 29281}[n_nodes]
    assert member.max() + 1 == {4: 185, 5: 8782}[n_nodes]
    shared = np.stack([arrow[member == k].all(axis=0) for k in range(member.max() + 1)])
    names, questions = NAMES[:n_nodes], questions_about(n_nodes)
    for number in range(len(arrow)):
        rule = ("majority", "conservative", "largest p-value")[number % 3]
        found = PC(colliders=rule).search(Answers(names, questions, answers[number]))
        assert np.array_equal(found.directed, shared[member[number]])
        assert np.array_equal(found.adjacent, arrow[number] | arrow[number].T)
        assert not found.unclear
        assert not found.contested.any()


@pytest.mark.parametrize("selection", [False, True])
@pytest.mark.parametrize("n_nodes", [3, 4, pytest.param(5, marks=pytest.mark.science)])
def test_fci_draws_what_all_worlds_with_hidden_variables_share(n_nodes, selection):
    if selection and n_nodes == 5:
        pytest.skip("ten million graphs")
    found, shared, _ = ancestral_classes(n_nodes, selection=selection)
    if not selection:
        assert len(found) == {3: 11, 4: 248, 5: 24259}[n_nodes]
    names, questions = NAMES[:n_nodes], questions_about(n_nodes)
    for answers, expected in zip(found, shared, strict=True):
        drawn = FCI(selection=selection).search(Answers(names, questions, answers))
        assert np.array_equal(drawn.mark, expected), drawn.edges()


def test_pc_with_knowledge_draws_what_the_graphs_that_agree_with_it_share():
    arrow, answers, member = worlds_of_acyclic_graphs(4)
    rng = np.random.default_rng(5)
    names, questions = NAMES[:4], questions_about(4)
    for number in rng.choice(len(arrow), 150, replace=False):
        truth = arrow[number]
        forbidden = ~truth & ~np.eye(4, dtype=bool) & (rng.random((4, 4)) < 0.3)
        required = truth & (rng.random((4, 4)) < 0.3)
        own = arrow[member == member[number]]
        own = own[~(own & forbidden).any(axis=(1, 2)) & ~(~own & required).any(axis=(1, 2))]
        knowledge = Knowledge(
            forbidden=tuple((names[i], names[j]) for i, j in np.argwhere(forbidden)),
            required=tuple((names[i], names[j]) for i, j in np.argwhere(required)),
        )
        found = PC().search(Answers(names, questions, answers[number]), knowledge=knowledge)
        assert np.array_equal(found.adjacent, truth | truth.T)
        assert np.array_equal(found.directed, own.all(axis=0))


def test_fci_with_tiers_asserts_only_what_is_true():
    found, _, members = ancestral_classes(4, selection=False)
    rng = np.random.default_rng(6)
    names, questions = NAMES[:4], questions_about(4)
    gained = 0
    for number in rng.choice(len(found), 120, replace=False):
        truth = rng.choice(members[number])
        ancestor = reachable((truth == Mark.ARROW) & (truth.T == Mark.TAIL))
        order = np.argsort(ancestor.sum(axis=0), kind="stable")
        tiers = (tuple(names[k] for k in order[:2]), tuple(names[k] for k in order[2:]))
        test = Answers(names, questions, found[number])
        drawn = FCI().search(test, knowledge=Knowledge(tiers=tiers)).mark
        known = drawn != Mark.CIRCLE
        assert np.array_equal(drawn[known], truth[known])
        gained += known.sum() - (FCI().search(test).mark != Mark.CIRCLE).sum()
    assert gained > 100


def true_ancestral_edges(arrow, n_seen):
    """Which variables no set of seen ones separates, by asking for the set that separates if any does."""
    ancestor = reachable(arrow) | np.eye(len(arrow), dtype=bool)
    test = Oracle(arrow=arrow).of_names(NAMES[:n_seen])
    connected = np.zeros((n_seen, n_seen), dtype=bool)
    for x, y in itertools.combinations(range(n_seen), 2):
        given = tuple(k for k in range(n_seen) if k not in (x, y) and (ancestor[k, x] or ancestor[k, y]))
        connected[x, y] = connected[y, x] = test.ask(x, y, given).p_value == 0
    return connected, ancestor


@pytest.mark.parametrize("n_worlds", [4, pytest.param(200, marks=pytest.mark.science)])
def test_large_graphs_with_hidden_variables_are_drawn_truly(n_worlds):
    rng = np.random.default_rng(7)
    for _ in range(n_worlds):
        arrow = random_acyclic_graph(10, rng=rng, n_neighbours=2.5)
        connected, ancestor = true_ancestral_edges(arrow, 8)
        drawn = FCI().search(Oracle(arrow=arrow).of_names(NAMES[:8])).mark
        assert np.array_equal(drawn > 0, connected)
        assert not (ancestor.T[:8, :8] & (drawn == Mark.ARROW)).any()
        assert ancestor.T[:8, :8][drawn == Mark.TAIL].all()


@pytest.mark.parametrize("n_worlds", [4, pytest.param(200, marks=pytest.mark.science)])
def test_large_graphs_are_drawn_whatever_the_order_of_the_variables(n_worlds):
    rng = np.random.default_rng(8)
    for _ in range(n_worlds):
        arrow = random_acyclic_graph(10, rng=rng, n_neighbours=2.5)
        found = PC().search(Oracle(arrow=arrow).of_names(NAMES))
        assert np.array_equal(found.adjacent, arrow | arrow.T)
        assert not (found.directed & ~arrow).any()
        order = rng.permutation(10)
        other = PC().search(Oracle(arrow=arrow[np.ix_(order, order)]).of_names(NAMES))
        assert np.array_equal(other.directed, found.directed[np.ix_(order, order)])
