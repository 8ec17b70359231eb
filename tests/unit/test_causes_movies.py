"""Causes in time: what acts later is found, with its size; tracks, gaps and drift of the raster; words, page, file."""

import sys

import numpy as np
import pytest

from tusi.causal import CausalTable
from tusi.causal.panel import lagged_table
from tusi.cli import main
from tusi.data import storage
from tusi.datasets.causal_fields import FieldRecipe
from tusi.datasets.causal_images import autoregressive_movie
from tusi.errors import InputError
from tusi.inference.spatial import Layout
from tusi.report.causes import render_causes_report
from tusi.study.causes.files import ColumnRoles, read_causal_table
from tusi.study.causes.movies import MovieOptions, discover_in_time
from tusi.study.files import CLASSES

ACTING = np.array([[[0.7, 0.3], [0.0, 0.5]]])
NAMES = ("strain", "polarisation")
COLUMNS = ("--time", "frame", "--columns", "strain,polarisation")


def movie(acting=ACTING, *, n_frames=16, side=12, seed=0):
    recipe = FieldRecipe(shape=(side, side), smoothing=0.5, periodic=False)
    made = autoregressive_movie(acting, recipe, n_frames=n_frames, rng=np.random.default_rng(seed))
    return CausalTable.of(dict(zip(NAMES, made.value.T, strict=True)), layout=made.layout)


def found_in(table, **choices):
    return discover_in_time(table, rng=np.random.default_rng(1), **choices)


def write(path="movie.csv", *, table=None, lost=(), seed=3):
    """Write tracks that jitter, in any order; rows of `lost` (frame, site) are missing."""
    table = table or movie()
    rng = np.random.default_rng(seed)
    n_sites = int((table.image == 0).sum())
    position = 4.0 * table.cell + rng.normal(0, 0.15, (len(table), 2))
    lines = []
    for k in rng.permutation(len(table)):
        frame, site = table.image[k], k % n_sites
        if (frame, site) not in lost:
            y, x = position[k]
            strain, polarisation = table.value[k]
            lines.append(f"{10 * frame},atom {site},{y:.4f},{x:.4f},{strain:.6f},{polarisation:.6f}")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(["frame,particle,y,x,strain,polarisation", *lines]) + "\n")


@pytest.fixture
def tusi(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tusi", *words])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        said = capfd.readouterr()
        return code, " ".join((said.out + said.err).replace("│", " ").split())

    return run


def test_what_acts_later_is_found_with_its_size_and_what_does_not_is_not():
    found = found_in(movie())
    [action] = [link for link in found.found if link.cause != link.effect]
    assert (action.cause, action.effect, action.lag) == ("strain", "polarisation", 1)
    spread = movie().value.std(axis=0)
    strength, error = found.strength(action)
    assert abs(strength - 0.3 * spread[0] / spread[1]) < 3 * error
    assert 0 < error < 0.06
    assert found.verdict[0].startswith("Strain acts on polarisation one frame later (+0.")
    assert "strain (0." in found.verdict[1]
    together = next(link for link in found.links if not link.lag)
    assert np.isnan(found.strength(together)).all()


def test_nothing_is_said_to_act_where_nothing_does_with_what_would_have_been_seen():
    found = found_in(movie(np.array([[[0.7, 0.0], [0.0, 0.5]]])))
    assert found.verdict[0].startswith("Nothing is seen to act on anything else up to one frame later")
    assert "would be seen four times in five" in found.verdict[0]


def test_units_decide_nothing_in_time():
    table = movie()
    scaled = CausalTable.of(
        {"strain": 1e5 * table.column("strain"), "polarisation": -1e-5 * table.column("polarisation")},
        layout=table.layout,
    )
    first, second = found_in(table), found_in(scaled)
    for one, other in zip(first.links, second.links, strict=True):
        assert one.answer.p_value == pytest.approx(other.answer.p_value, rel=1e-6)
    sign = np.array([[1, -1], [-1, 1]])
    np.testing.assert_allclose(
        first.graph.effect[2:, :2] * sign, second.graph.effect[2:, :2], rtol=1e-6, equal_nan=True
    )


def test_a_constant_is_left_out_and_too_few_frames_are_refused():
    table = movie(n_frames=6, side=6)
    found = found_in(table.with_columns({"dose": np.full(len(table), 3.0)}))
    assert found.notes == ("dose is the same everywhere in each frame and was left out.",)
    with pytest.raises(InputError, match="at least two variables that vary within the frames; got strain"):
        found_in(table.select(["strain"]))
    with pytest.raises(InputError, match="at least 6 frames"):
        found_in(movie(n_frames=5, side=6), options=MovieOptions(n_lags=2))


def test_tracks_of_a_file_are_followed_where_atoms_are_lost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A whole edge is lost in some frames: their raster must not start elsewhere.
    corner = {(frame, site) for frame in range(4, 9) for site in range(12)}
    write(lost=corner)
    roles = ColumnRoles(variables=NAMES, position=("y", "x"), time="frame", track="particle")
    given = read_causal_table("movie.csv", roles=roles)
    assert given.table.image_names[:2] == ("frame 0", "frame 10")
    assert given.track is not None
    assert len(given.track) == len(given.table)
    by_track = found_in(given.table, track=given.track)
    by_place = found_in(given.table)
    for found in (by_track, by_place):
        [action] = [link for link in found.found if link.cause != link.effect]
        strength, error = found.strength(action)
        assert abs(strength - 0.35) < 3 * error
    assert by_track.links[0].answer.n_effective != by_place.links[0].answer.n_effective


def test_the_command_says_it_keeps_it_and_draws_it_again(tusi, tmp_path):
    write()
    code, said = tusi("causes", "movie.csv", *COLUMNS, "--track", "particle", "--position", "y,x")
    assert code == 0, said
    assert "Strain acts on polarisation one frame later" in said
    page = (tmp_path / "causes.html").read_text("utf-8")
    found = storage.load(tmp_path / "causes.h5", classes=CLASSES)
    assert render_causes_report(found) == page
    assert "strain(t-1) → polarisation(t)" in page
    assert "16" in page
    assert tusi("report", "causes.h5", "--out", "again.html")[0] == 0
    assert (tmp_path / "again.html").read_text("utf-8") == page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tiers", "strain>polarisation"), "`time`: expected no other knowledge of what comes first"),
        (("--image", "particle"), "`image`: expected no other image than the frames"),
        (("--track", "atom"), "expected a column 'atom'"),
        (("--lags", "30"), "`movie`: expected at least 62 frames; got 16"),
    ],
)
def test_mistakes_with_time_are_said_plainly(tusi, words, message):
    write()
    code, said = tusi("causes", "movie.csv", *COLUMNS, *words)
    assert code == 2
    assert message in said


@pytest.mark.parametrize("track", [(), ("--track", "particle")])
def test_nothing_is_compared_across_a_missing_frame(tusi, tmp_path, track):
    table = movie(n_frames=12, side=8)
    write(table=table, lost={(5, site) for site in range(64)})
    roles = ColumnRoles(variables=NAMES, position=("y", "x"), time="frame", track=track[1] if track else None)
    given = read_causal_table("movie.csv", roles=roles)
    assert given.table.n_images == 11
    assert given.track is not None
    before, after = (set(given.track[given.table.image == k].tolist()) for k in (4, 5))
    assert not before & after
    assert len(lagged_table(given.table, track=given.track).table) <= 9 * 64
    code, said = tusi("causes", "movie.csv", *COLUMNS, "--position", "y,x", *track)
    assert code == 0, said


def test_uneven_times_and_tracks_without_times_are_refused(tusi, tmp_path):
    (tmp_path / "t.csv").write_text("frame,strain,polarisation\n0,1,2\n1,2,1\n2.5,1,1\n", encoding="utf-8")
    code, said = tusi("causes", "t.csv", *COLUMNS)
    assert code == 2
    assert "expected frames 1 apart, or twice, three times, ... as far; got 1 and then 2.5" in said
    with pytest.raises(InputError, match="expected times, too"):
        ColumnRoles(track="particle")


def test_rows_without_places_follow_their_tracks():
    layout = Layout.grid((1, 60), n_images=10)
    rng = np.random.default_rng(0)
    value = rng.standard_normal((10, 60, 2))
    value[1:, :, 1] += 0.8 * value[:-1, :, 0]
    order = np.stack([rng.permutation(60) for _ in range(10)])
    shuffled = np.take_along_axis(value, order[..., None], axis=1).reshape(-1, 2)
    table = CausalTable.of(dict(zip(NAMES, shuffled.T, strict=True)), layout=layout)
    assert any(link.cause != link.effect for link in found_in(table, track=order.ravel()).found)
    assert not any(link.cause != link.effect for link in found_in(table).found)
