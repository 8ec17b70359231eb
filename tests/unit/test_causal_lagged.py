"""Causes in time: samples that do not shrink because variables last, and atoms that are lost on the way."""

import dataclasses

import numpy as np
import pytest

from tusi.causal import CausalTable
from tusi.causal.lagged import LaggedPlan, lagged_posterior, lagged_search
from tusi.causal.panel import FrameLags, SpaceTime, lagged_table, tracked_movie
from tusi.causal.posterior import GaussianEvidence, InnovationEvidence
from tusi.data import Descriptors
from tusi.datasets.causal_fields import FieldRecipe
from tusi.datasets.causal_images import autoregressive_movie
from tusi.errors import InputError
from tusi.inference.spatial import Detrended, Detrending, Layout

SMALL = FieldRecipe(shape=(12, 12))


def movie_of(coefficients, seed, recipe=SMALL, n_frames=12):
    return autoregressive_movie(np.array(coefficients), recipe, n_frames=n_frames, rng=np.random.default_rng(seed))


def followed(movie, rng, lost=0.15, wander=0.15):
    """Return atoms near the sites of a movie, some of them lost in some frames, in an order of their own."""
    rows = rng.permutation(np.flatnonzero(rng.random(len(movie)) >= lost))
    site = movie.cell @ [movie.layout.shape(0)[1], 1]
    table = Descriptors(
        position=3.0 * movie.cell[rows] + wander * rng.standard_normal((len(rows), 2)), value=movie.value[rows],
        covariance=np.zeros((len(rows), movie.n_variables, movie.n_variables)), atom=np.full(len(rows), -1),
        image=movie.image[rows], names=movie.names, units=movie.units, length_unit="angstrom",
    )  # fmt: skip
    return table, site[rows]


class Cropping(Detrending):
    """The first rows of the first frame go, and its cells are counted anew."""

    def __call__(self, value, layout):
        kept = np.flatnonzero((layout.image > 0) | (layout.cell[:, 0] > 0))
        left = Layout.of_lattice(layout.cell[kept], layout.image[kept])
        return Detrended(value=value[kept], layout=left, kept=kept, freedom=0, noise_gain=(1.0,) * layout.n_images)


def test_frames_that_lose_rows_stay_where_they_were():
    block = SpaceTime(detrending=Cropping())(np.zeros((24, 1)), Layout.grid((3, 4), n_images=2)).layout
    first, second = block.cell[0], block.cell[8 + 4]
    assert (second - first).tolist() == [0, 7]


def test_frame_lags_are_those_of_all_pairs_of_the_same_frame():
    layout = Layout(cell=np.array([[0, 0], [0, 2], [1, 1], [0, 2], [1, 1]]), image=np.array([0, 0, 0, 1, 1]))
    x, y = np.random.default_rng(0).standard_normal((2, 5))
    lags = FrameLags(layout)
    first, second = lags.sums(x), lags.sums(y)
    variance = 0.0
    steps = np.unique(layout.cell[:, None] - layout.cell[None], axis=0).reshape(-1, 2)
    for step in np.unique(steps, axis=0):
        pairs = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if layout.image[i] == layout.image[j] and (layout.cell[j] - layout.cell[i] == step).all()
        ]
        if pairs:
            i, j = np.array(pairs).T
            assert first[tuple(step)] == pytest.approx((x[i] * x[j]).sum())
            variance += (x[i] * x[j]).sum() * (y[i] * y[j]).sum() / len(pairs)
    assert lags.variance_of_products(first, second) == pytest.approx(variance)


@pytest.mark.parametrize("kept", [0.0, 0.95])
def test_variables_that_last_are_worth_as_many_samples(kept):
    recipe = FieldRecipe(shape=(16, 16), smoothing=1.0)
    table = lagged_table(movie_of([kept * np.eye(2)], 1, recipe)).table
    new = InnovationEvidence(n_present=2).samples(table)[1]
    assert new == pytest.approx(450, rel=0.2)
    if kept:
        assert GaussianEvidence(detrending=SpaceTime()).samples(table)[1] < 0.4 * new


def test_known_errors_count_as_fewer_samples_and_units_do_not_matter():
    movie = movie_of([0.8 * np.eye(2)], 2)
    noisy = CausalTable.of(
        {name: movie.column(name) for name in movie.names}, layout=movie.layout, error={"x0": 0.5, "x1": 0.5}
    )
    clean, told = (InnovationEvidence(n_present=2).samples(lagged_table(one).table)[1] for one in (movie, noisy))
    assert told < 0.7 * clean
    scaled = movie.replace_values(movie.value * [1e-3, 1e4])
    edge = lagged_posterior(movie).edge
    np.testing.assert_allclose(lagged_posterior(scaled).edge, edge, atol=1e-8)


def test_a_table_without_past_has_nothing_new():
    with pytest.raises(InputError, match="columns of the past"):
        InnovationEvidence(n_present=2).samples(movie_of(0.5 * np.eye(2)[None], 3))
    with pytest.raises(InputError, match="at least one column"):
        InnovationEvidence(n_present=0)


def test_links_between_lasting_variables_are_believed_where_there_are_some():
    alone = lagged_posterior(movie_of([0.9 * np.eye(2)], 4))
    assert max(alone.edge[2, 1], alone.edge[3, 0]) < 0.3
    acting = lagged_posterior(movie_of([[[0.9, 0.25], [0, 0.9]]], 4))
    assert acting.edge[2, 1] > 0.95
    assert acting.edge[3, 0] < 0.3
    assert acting.edge[:, 2:].max() == 0
    assert "links within it are not asked about" in " ".join(acting.graph.notes)


def test_three_lags_of_three_variables_are_summed_over():
    found = lagged_posterior(movie_of([0.5 * np.eye(3)], 5), n_lags=2)
    assert np.diagonal(found.edge[3:6, :3]).min() > 0.95
    assert found.edge[6:].max() < 0.6
    assert found.edge.max() <= 1


def test_memory_beyond_the_lags_is_named():
    longer = movie_of([0.4 * np.eye(2), np.diag([0.0, 0.4])], 6)
    assert any("x1 at t - 2 still matters" in note for note in lagged_posterior(longer).graph.notes)
    assert len(lagged_posterior(longer, n_lags=2).notes) == 1
    assert len(lagged_posterior(movie_of([0.9 * np.eye(2)], 6)).notes) == 1
    assert len(lagged_posterior(movie_of([0.5 * np.eye(2)], 7, n_frames=2)).notes) == 1


def test_atoms_that_are_lost_in_some_frames_are_compared_where_they_are_there():
    movie = movie_of([[[0.8, 0.4], [0.0, 0.8]]], 8)
    table, track = followed(movie, np.random.default_rng(0))
    atoms = tracked_movie([table], track=track)
    lagged = lagged_table(atoms.table, track=atoms.track, n_lags=2)
    there = np.zeros((12, 144), dtype=bool)
    there[table.image, track] = True
    assert len(lagged.table) == (there[2:] & there[1:-1] & there[:-2]).sum()
    now, before = lagged.table.column("x0(t)"), lagged.table.column("x0(t-1)")
    full = lagged_table(movie)
    known = dict(zip(full.table.column("x0(t)"), full.table.column("x0(t-1)"), strict=True))
    assert all(known[one] == other for one, other in zip(now, before, strict=True))
    found = lagged_search(atoms.table, track=atoms.track, plan=LaggedPlan(level=0.001))
    assert [str(edge) for edge in found.summary.edges()] == ["x0 -> x1 (P = 1.00)"]
    posterior = lagged_posterior(atoms.table, track=atoms.track)
    assert posterior.edge[2, 1] > 0.95
    assert posterior.n_effective <= len(lagged_table(atoms.table, track=atoms.track).table)


def test_no_window_reaches_across_a_frame_that_is_missing():
    movie = movie_of([0.5 * np.eye(1)], 9, n_frames=7)
    table, track = followed(movie, np.random.default_rng(1), lost=0.0)
    kept = table.image != 3
    rest = tracked_movie([table[kept]], track=track[kept])
    windows = lagged_table(rest.table, track=rest.track)
    assert len(windows.table) == 144 * 4
    known = dict(zip(movie.value[144:, 0], movie.value[:-144, 0], strict=True))
    assert all(known[now] == before for now, before in windows.table.value)
    value = table.value.copy()
    value[table.image == 3] = np.nan
    same = tracked_movie([dataclasses.replace(table, value=value)], track=track)
    assert same.table.n_dropped == 144
    assert len(lagged_table(same.table, track=same.track).table) == 144 * 4


def test_tracks_are_checked():
    table, track = followed(movie_of([0.5 * np.eye(1)], 10, n_frames=2), np.random.default_rng(1))
    with pytest.raises(InputError, match="one number for each"):
        tracked_movie([table], track=track[1:])
    with pytest.raises(InputError, match="one row of an atom in a frame"):
        tracked_movie([table], track=np.zeros(len(table), dtype=int))
    with pytest.raises(InputError, match="at least one table"):
        tracked_movie([], track=track)
