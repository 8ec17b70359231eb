"""Atoms, lattices and site graphs: their invariants hold and their mistakes are named."""

import dataclasses
import pickle

import numpy as np
import pytest

from tusi.data import AtomFlag, Atoms, Descriptors, Lattice, NeighborGraph, SiteGraph
from tusi.data.flags import DESCRIPTIONS, UNUSABLE, decode, has
from tusi.data.graph import OUTSIDE
from tusi.errors import InputError

# ---- atoms ---------------------------------------------------------------------------------------------------------


def atoms(n_atoms: int = 5) -> Atoms:
    rng = np.random.default_rng(3)
    return Atoms.at(rng.uniform(0, 10, (n_atoms, 2)), length_unit="angstrom", intensity=rng.uniform(1, 2, n_atoms))


def test_atoms_at_says_what_is_unknown():
    found = atoms()
    assert np.isnan(found.covariance).all()
    assert np.isnan(found.intensity_variance).all()
    assert (found.presence_probability == 1).all()
    assert found.species_probability.shape == (5, 0)
    assert np.isnan(Atoms.at(np.zeros((1, 2)), length_unit="pixel").intensity).all()


@pytest.mark.parametrize("n_atoms", [0, 1, 5])
def test_atoms_round_trip(n_atoms):
    before = atoms(n_atoms)
    for after in (Atoms.from_xarray(before.to_xarray()), pickle.loads(pickle.dumps(before))):
        assert len(after) == n_atoms
        assert after.length_unit == "angstrom"
        np.testing.assert_array_equal(after.position, before.position)
        np.testing.assert_array_equal(after.covariance, before.covariance)


def test_atoms_with_species_round_trip():
    probability = np.array([[0.1, 0.9], [np.nan, np.nan]])
    before = dataclasses.replace(atoms(2), species=("Mo", "Re"), species_probability=probability)
    after = Atoms.from_xarray(before.to_xarray())
    assert after.species == ("Mo", "Re")
    np.testing.assert_array_equal(after.species_probability, probability)
    assert len(after[after.species_probability[:, 1] > 0.5]) == 1


def test_atoms_need_two_coordinates():
    with pytest.raises(InputError, match=r"`position`: expected two columns \(y, x\); got shape \(3, 3\)"):
        dataclasses.replace(atoms(3), position=np.zeros((3, 3)), covariance=np.zeros((3, 3, 3)))


def test_atoms_need_a_known_unit():
    with pytest.raises(InputError, match=r"`length_unit`: expected one of \('pixel', 'angstrom'\); got 'nm'"):
        Atoms.at(np.zeros((1, 2)), length_unit="nm")


def test_atoms_need_a_name_for_each_species():
    with pytest.raises(InputError, match=r"expected one column for each of \('Mo', 'Re'\); got 1 columns"):
        dataclasses.replace(atoms(2), species=("Mo", "Re"), species_probability=np.ones((2, 1)))


# ---- flags ---------------------------------------------------------------------------------------------------------


def test_flags_are_distinct_single_bits_with_a_description():
    values = [int(flag) for flag in AtomFlag]
    assert all(value & (value - 1) == 0 for value in values)
    assert len(set(values)) == len(values)
    assert set(DESCRIPTIONS) == set(AtomFlag)


def test_decode_and_has_agree():
    every = np.arange(128)
    for flag in AtomFlag:
        np.testing.assert_array_equal(has(every, flag), [flag.name in decode(value) for value in every.tolist()])


def test_unusable_is_any_of_its_bits():
    flags = np.array([0, AtomFlag.EDGE, AtomFlag.FAILED, AtomFlag.UNLIKELY | AtomFlag.EDGE])
    assert has(flags, UNUSABLE).tolist() == [False, False, True, True]


# ---- lattice -------------------------------------------------------------------------------------------------------


def lattice(atom: list[int], index: list[tuple[int, int, int]], domain: list[int] | None = None) -> Lattice:
    n_sites = len(atom)
    return Lattice(
        index=np.array(index, np.int64).reshape(n_sites, 3),
        position=np.zeros((n_sites, 2)),
        atom=np.array(atom),
        vacancy_probability=np.zeros(n_sites),
        domain=np.array(domain or [0] * n_sites),
        boundary=np.zeros(n_sites, bool),
        vectors=np.eye(2)[None],
        basis=np.zeros((2, 2)),
        length_unit="pixel",
    )


def test_lattice_to_dense_puts_each_atom_on_its_site():
    index = [(-1, 2, 0), (-1, 2, 1), (0, 2, 0), (1, 4, 1)]
    dense = lattice([5, 3, -1, 0], index).to_dense()
    assert dense.shape == (3, 3, 2)
    assert dense.row.values.tolist() == [-1, 0, 1]
    assert dense.column.values.tolist() == [2, 3, 4]
    for atom, (row, column, basis) in zip([5, 3, -1, 0], index, strict=True):
        assert int(dense.sel(row=row, column=column)[basis]) == atom
    assert int((dense >= 0).sum()) == 3


def test_lattice_to_dense_keeps_domains_apart():
    sites = lattice([0, 1], [(0, 0, 0), (0, 0, 0)], domain=[0, 1])
    assert sites.to_dense(0).values.ravel()[0] == 0
    assert sites.to_dense(1).values.ravel()[0] == 1
    assert sites.to_dense(2).size == 0


def test_lattice_round_trip_keeps_vectors_when_cut():
    sites = lattice([0, 1, -1], [(0, 0, 0), (0, 1, 0), (1, 0, 0)])
    cut = Lattice.from_xarray(sites.to_xarray())[np.array([0, 2])]
    assert cut.atom.tolist() == [0, -1]
    assert cut.vectors.shape == (1, 2, 2)


def test_an_atom_sits_on_one_site_only():
    with pytest.raises(InputError, match="`atom`: expected each atom on at most one site"):
        lattice([2, 2], [(0, 0, 0), (0, 1, 0)])


def test_vacancies_are_not_an_atom_on_two_sites():
    assert lattice([-1, -1], [(0, 0, 0), (0, 1, 0)]).atom.tolist() == [-1, -1]


def test_lattice_needs_a_known_unit():
    with pytest.raises(InputError, match="`length_unit`"):
        dataclasses.replace(lattice([0], [(0, 0, 0)]), length_unit="nm")


# ---- site graph ----------------------------------------------------------------------------------------------------


def square_graph(n: int = 4, *, closed: bool = False) -> SiteGraph:
    """Return an n x n square lattice, a torus or a window."""
    row, column = np.divmod(np.arange(n * n), n)

    def step(d_row: int, d_column: int) -> np.ndarray:
        to_row, to_column = row + d_row, column + d_column
        inside = (to_row >= 0) & (to_row < n) & (to_column >= 0) & (to_column < n)
        site = (to_row % n) * n + to_column % n
        return site if closed else np.where(inside, site, OUTSIDE)

    first = np.stack([step(0, 1), step(1, 0), step(0, -1), step(-1, 0)], axis=1)
    second = np.stack([step(1, 1), step(1, -1), step(-1, -1), step(-1, 1)], axis=1)
    return SiteGraph(
        first_neighbours=first,
        second_neighbours=second,
        triangles=np.empty((0, 3)),
        species_probability=np.full((n * n, 2), 0.5),
        occupied=np.ones(n * n, bool),
        boundary=(first == OUTSIDE).any(axis=1),
        atom=np.arange(n * n),
        species=("A", "B"),
    )


@pytest.mark.parametrize("n", [3, 4, 7])
def test_pairs_are_counted_once(n):
    first, second = square_graph(n, closed=True).pairs
    assert len(first) == len(second) == 2 * n * n
    first, second = square_graph(n).pairs
    assert len(first) == 2 * n * (n - 1)
    assert len(second) == 2 * (n - 1) ** 2
    for pairs in (first, second):
        assert (pairs[:, 0] < pairs[:, 1]).all()
        assert len(np.unique(pairs, axis=0)) == len(pairs)


def test_site_graph_round_trip():
    before = square_graph()
    after = SiteGraph.from_xarray(before.to_xarray())
    for name in ("first_neighbours", "second_neighbours", "triangles", "boundary", "atom"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert after.species == ("A", "B")


def test_site_graph_cannot_be_sliced():
    with pytest.raises(TypeError, match="cannot be sliced"):
        square_graph()[:2]


def test_site_graph_refuses_unknown_neighbours():
    graph = square_graph(closed=True)
    links = graph.first_neighbours.copy()
    links[0, 0] = 16
    with pytest.raises(InputError, match="`first_neighbours`: expected site numbers below 16, or -1"):
        dataclasses.replace(graph, first_neighbours=links)


def test_site_graph_refuses_unknown_corners():
    with pytest.raises(InputError, match="`triangles`: expected site numbers below 16"):
        dataclasses.replace(square_graph(), triangles=np.array([[0, 1, 99]]))


def test_site_graph_border_follows_from_the_neighbours():
    graph = square_graph()
    assert graph.boundary.sum() == 12
    with pytest.raises(InputError, match="`boundary`: expected True exactly where a nearest neighbour is outside"):
        dataclasses.replace(graph, boundary=~graph.boundary)


# ---- neighbours ----------------------------------------------------------------------------------------------------


def test_neighbours_from_pairs_are_mutual_and_counted_once():
    graph = NeighborGraph.from_pairs(np.array([[0, 1], [1, 0], [3, 1]]), n_atoms=5, rule="pairs")
    assert [graph.of(k).tolist() for k in range(5)] == [[1], [0, 3], [], [1], []]
    assert graph.symmetric
    assert graph.pairs.tolist() == [[0, 1], [1, 3]]
    assert graph.atom.tolist() == [0, 1, 1, 3]
    after = NeighborGraph.from_xarray(graph.to_xarray())
    assert after.rule == "pairs"
    np.testing.assert_array_equal(after.neighbour, graph.neighbour)


def test_one_sided_neighbours_are_seen_as_such():
    graph = NeighborGraph(start=[0, 1, 2, 3], neighbour=[1, 2, 1], rule="nearest")
    assert not graph.symmetric
    assert graph.pairs.tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize(
    ("start", "neighbour", "message"),
    [
        ([0, 2, 1], [0], "offsets that begin at 0 and never fall"),
        ([], [], "offsets that begin at 0"),
        ([0, 1, 1], [0, 1], "a last offset of 2"),
        ([0, 1], [1], "rows from 0 to 0"),
    ],
)
def test_neighbours_that_contradict_each_other_are_refused(start, neighbour, message):
    with pytest.raises(InputError, match=message):
        NeighborGraph(start=start, neighbour=neighbour, rule="wrong")
    with pytest.raises(TypeError, match="refer to each other"):
        NeighborGraph.from_pairs(np.array([[0, 1]]), n_atoms=2, rule="pair")[0]


# ---- descriptors ---------------------------------------------------------------------------------------------------


def test_descriptors_round_trip_and_select():
    columns = {"tilt": ([0.1, np.nan], 0.02, "rad"), "strain_yy": ([0.0, 1.0], [0.1, 0.2], "1")}
    before = Descriptors.of(np.zeros((2, 2)), columns, length_unit="angstrom", atom=np.array([4, 7]), image=3)
    after = Descriptors.from_xarray(before.to_xarray()).select(["strain_yy", "tilt"])
    assert after.names == ("strain_yy", "tilt")
    assert after.unit("tilt") == "rad"
    np.testing.assert_array_equal(after.column("tilt"), [0.1, np.nan])
    np.testing.assert_allclose(after.standard_error("tilt"), [0.02, np.nan])
    np.testing.assert_allclose(after.standard_error("strain_yy"), [0.1, 0.2])
    assert after.image.tolist() == [3, 3]
    assert after[after.atom == 7].value.tolist()[0][0] == 1.0


def test_descriptors_name_what_is_wrong():
    table = Descriptors.of(np.zeros((2, 2)), {"tilt": ([0.1, 0.2], 0.02, "rad")}, length_unit="pixel")
    with pytest.raises(InputError, match="`name`: expected one of tilt; got 'strain'"):
        table.column("strain")
    with pytest.raises(InputError, match="`units`: expected one for each of 1 columns"):
        dataclasses.replace(table, units=())
    with pytest.raises(InputError, match="`length_unit`"):
        dataclasses.replace(table, length_unit="nm")
