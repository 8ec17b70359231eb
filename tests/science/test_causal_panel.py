"""Are comparisons within images, between images, across sites and in time right about worlds of known truth?

The tests marked `science` write one table each; each row is written as soon as it is known.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tusi.causal.independence import PartialCorrelation
from tusi.causal.lagged import LaggedPlan, lagged_search
from tusi.causal.panel import (
    LatticeSteps,
    SpaceTime,
    between_slope,
    lagged_table,
    simpson_check,
    with_neighbour_means,
)
from tusi.datasets.causal_fields import FieldRecipe, Tail
from tusi.datasets.causal_images import ImageSeries, autoregressive_movie, image_series, interfering_fields

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))
SMOOTHING = (0.0, 1.0, 2.0)
KINDS: dict[str, tuple[bool, Tail]] = {"periodic, normal": (True, "normal"), "cut out, Student": (False, "student")}
CELLS = [(kind, smoothing) for kind in KINDS for smoothing in SMOOTHING]
LEVEL = 0.05

SIMPSON = ImageSeries()
WORLDS = {
    "Simpson": SIMPSON,
    "Simpson, windows": dataclasses.replace(SIMPSON, window=True),
    "same slope": dataclasses.replace(SIMPSON, overall=-0.25),
    "same slope, offsets 1": dataclasses.replace(SIMPSON, overall=-0.25, offset=1.0),
    "same slope, offsets 0": dataclasses.replace(SIMPSON, overall=-0.25, offset=0.0),
}


def recipe_of(kind, smoothing, side):
    periodic, tail = KINDS[kind]
    return FieldRecipe(shape=(side, side), smoothing=smoothing, periodic=periodic, tail=tail)


def seed_of(kind, smoothing, number):
    return [number, list(KINDS).index(kind), int(10 * smoothing)]


def covers(slope, truth):
    low, high = slope.interval()
    return low <= truth <= high


def simpson_cell(series, recipe, n, seed):
    """Slopes, whether their intervals cover, and whether they were flagged."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        table = image_series(series, recipe, rng=rng)
        check = simpson_check(table, cause="x", effect="y", level=LEVEL)
        rows.append((
            check.within.estimate, covers(check.within, series.local), covers(check.between, series.overall),
            covers(between_slope(table, cause="composition", effect="y"), series.overall), check.flagged,
            check.verdict == "reversal", check.pooled.estimate, check.between.freedom,
        ))  # fmt: skip
    return np.array(rows, dtype=float)


def stencil_cell(effects, recipe, n, seed, error=0.0):
    """p-values of the own effect alone, given the neighbours' mean, and of the neighbours' effect given the own."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        table = interfering_fields(*effects, recipe, rng=rng, error=error)
        test = PartialCorrelation().prepare(with_neighbour_means(table, ("x",), neighbourhood=LatticeSteps()))
        answers = [test.ask(0, 1), test.ask(0, 1, (2,)), test.ask(1, 2, (0,))]
        rows.append([one.p_value for one in answers])
    return np.array(rows)


def movie_of(effect, recipe, n_frames, rng):
    """Two fields that last (coefficient .9 from frame to frame), the first acting on the second a frame later."""
    return autoregressive_movie(np.array([[[0.9, effect], [0.0, 0.9]]]), recipe, n_frames=n_frames, rng=rng)


def lagged_cell(effect, recipe, n, seed, n_frames=20):
    """p-values x0(t-1) - x1(t): naive, frames as images, space and time, search; of the way back, and within t."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        movie = movie_of(effect, recipe, n_frames, rng)
        table = lagged_table(movie).table
        found = lagged_search(movie, plan=LaggedPlan(level=LEVEL))
        assert not np.tril(found.graph.acts[: len(movie.names)]).any()
        before, now = table.number("x0(t-1)"), table.number("x1(t)")
        rows.append([
            stats.pearsonr(table.value[:, before], table.value[:, now]).pvalue,
            PartialCorrelation().prepare(table).ask(now, before).p_value,
            PartialCorrelation(detrending=SpaceTime()).prepare(table).ask(now, before).p_value,
            *(found.link(*pair).answer.p_value for pair in (("x0", "x1"), ("x1", "x0"))),
            found.link("x0", "x1", lag=0).answer.p_value, found.link("x0", "x1").answer.n_effective,
        ])  # fmt: skip
    return np.array(rows)


def shares(p_values):
    """Shares of p-values up to 5 %, as text."""
    return [f"{share:.3f}" for share in (np.asarray(p_values) <= LEVEL).mean(axis=0)]


class Section:
    """A table of the page, written row by row; the page's other tables stay."""

    path = TABLES / "causal_panel.md"

    def __init__(self, title, text, columns):
        self.title = title
        self.lines = [text, "", self._row(columns), self._row(["---"] * len(columns))]

    @staticmethod
    def _row(cells):
        return "| " + " | ".join(str(cell) for cell in cells) + " |"

    def add(self, *cells):
        self.lines.append(self._row(cells))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else HEAD
        head, *sections = text.split("\n## ")
        parts = dict(section.split("\n", 1) for section in sections)
        parts[self.title] = "\n" + "\n".join(self.lines) + "\n"
        body = "".join(f"\n## {title}\n{parts[title]}" for title in TITLES if title in parts)
        self.path.write_text(head.rstrip("\n") + "\n" + body, encoding="utf-8")


HEAD = """# Within and between images, across sites, in time

Worlds of known truth. Fields are white noise smoothed by a Gaussian (width in sites), periodic with normal values, or
cut out of larger ones with values of Student's t with three degrees of freedom.
"""
TITLES = (
    "Within and between four images",
    "Neighbours and the site itself",
    "Earlier frames",
    "An effect of earlier frames",
)
N_WORLDS = {"Simpson": 2000, "Simpson, windows": 300, "same slope": 500, "same slope, offsets 1": 300,
            "same slope, offsets 0": 500}  # fmt: skip


@pytest.mark.science
def test_slopes_within_and_between_images():
    section = Section(
        TITLES[0],
        "Four images of 32 x 32 sites (48 x 48 in the Simpson rows of smoothing 2) at x = .05, .55, .78, .95, in which "
        "y falls with x by -.25 at a site and rises with the image's mean by 6 (Simpson), or falls by -.25 too (same "
        "slope: every flag is false). Images differ in y by random offsets besides (standard deviation .2 unless said "
        "otherwise). Windows: x and y follow the composition of the specimen, and an image is a window with a mean of "
        "its own. Within: mean and standard deviation of the slope, and how often its 95 % interval covers; between: "
        "how often the interval of the slope against the images' means of x, and against composition, covers; both "
        "with two degrees of freedom. Flagged: "
        f"at level {LEVEL}; pooled: mean of the slope over all rows.",
        ("world", "fields", "smoothing", "worlds", "within", "covered", "between covered", "against composition",
         "flagged", "as a reversal", "pooled"),
    )  # fmt: skip
    bad = []
    for number, (world, series) in enumerate(WORLDS.items()):
        for kind, smoothing in CELLS:
            n = N_WORLDS[world]
            side = 48 if world == "Simpson" and smoothing == 2 else 32
            rows = simpson_cell(series, recipe_of(kind, smoothing, side), n, seed_of(kind, smoothing, number))
            slope, within, between, composition, flagged, reversal, pooled, freedom = rows.mean(axis=0)
            section.add(
                world, kind, smoothing, n, f"{slope:.3f} +- {rows[:, 0].std():.3f}", f"{within:.3f}", f"{between:.3f}",
                f"{composition:.3f}", f"{flagged:.3f}", f"{reversal:.3f}", f"{pooled:.2f}",
            )  # fmt: skip
            wrong = abs(slope + 0.25) > 0.05 or freedom != 2
            wrong |= world.startswith("same") and flagged > LEVEL + 2.5 * np.sqrt(LEVEL * (1 - LEVEL) / n)
            if world == "Simpson":
                wrong |= not (0.93 <= within <= 0.97 and 0.93 <= between <= 0.97) or reversal < 0.95
            if wrong:
                bad.append((world, kind, smoothing))
    assert not bad


EFFECTS = {"neither": (0.0, 0.0), "own": (0.5, 0.0), "neighbours'": (0.0, 0.5), "both": (0.5, 0.5)}
N_STENCIL = 100


@pytest.mark.science
def test_neighbours_are_told_from_the_site_itself():
    section = Section(
        TITLES[1],
        "48 x 48 sites: y answers to x at its own site (.5), to the mean of x over the four "
        "nearest sites (.5), to both or to neither. Noisy: x has a known error of .4 standard deviations. Shares of "
        "p-values up to 5 %: x and y alone; x and y given the neighbours' mean; neighbours' mean and y given x.",
        ("effect", "fields", "smoothing", "worlds", "x alone", "x given neighbours", "neighbours given x"),
    )  # fmt: skip
    bad = []
    for number, (name, effects) in enumerate([*EFFECTS.items(), ("own, noisy", EFFECTS["own"])]):
        for kind, smoothing in CELLS:
            error = 0.4 if "noisy" in name else 0.0
            p = stencil_cell(
                effects, recipe_of(kind, smoothing, 48), N_STENCIL, seed_of(kind, smoothing, 10 + number), error
            )
            section.add(name, kind, smoothing, len(p), *shares(p))
            own, neighbours = (p[:, 1:] <= LEVEL).mean(axis=0)
            for share, effect in ((own, effects[0]), (neighbours, effects[1])):
                weak = smoothing == 2 or (smoothing == 1 and "noisy" in name)
                if (effect and not weak and share < 0.5) or (not effect and share > 0.15):
                    bad.append((name, kind, smoothing, share))
    assert not bad


N_LAGGED = 250
N_LAGGED_POWER = 40


@pytest.mark.science
def test_what_lasts_makes_no_link():
    section = Section(
        TITLES[2],
        "Two independent fields that last (coefficient .9 from frame to frame), movies of 20 frames. "
        "False links x0(t-1) -> x1(t) at 5 %: naive correlation; correlation with effective samples "
        "of each frame, frames taken as independent images; with effective samples of space and time; `lagged_search`, "
        "which also holds the past of both fixed, both ways together, and within a frame. n_eff: median of the search.",
        ("sites", "fields", "smoothing", "movies", "naive", "frames as images", "space and time", "search",
         "within a frame", "n_eff"),
    )  # fmt: skip
    bad = []
    for side, kind, smoothing in [(16, *cell) for cell in CELLS] + [(24, kind, 2.0) for kind in KINDS]:
        rows = lagged_cell(0.0, recipe_of(kind, smoothing, side), N_LAGGED, seed_of(kind, smoothing, 4 + side))
        naive, frames, block, one, other, within = shares(rows[:, :6])
        search = (rows[:, 3:5] <= LEVEL).mean()
        size = np.median(rows[:, 6])
        section.add(
            f"{side} x {side}", kind, smoothing, len(rows), naive, frames, block, f"{search:.3f}", within, f"{size:.0f}"
        )
        few_samples_a_frame = side == 16 and smoothing == 2
        if not 0.035 <= search <= (0.09 if few_samples_a_frame else 0.065):
            bad.append((side, kind, smoothing, one, other))
    assert not bad


@pytest.mark.science
def test_effects_of_earlier_frames_are_found():
    section = Section(
        TITLES[3],
        "16 x 16 sites, the same with x0(t-1) acting on x1(t): shares in which the link is found at 5 %, and false "
        "links from x1(t-1) to x0(t) and within a frame. An arrow into the past is drawn in none.",
        ("effect", "fields", "smoothing", "movies", "found", "backwards", "within a frame", "n_eff"),
    )  # fmt: skip
    bad = []
    for effect in (0.1, 0.2):
        for kind, smoothing in CELLS:
            rows = lagged_cell(effect, recipe_of(kind, smoothing, 16), N_LAGGED_POWER, seed_of(kind, smoothing, 21))
            size = np.median(rows[:, 6])
            section.add(effect, kind, smoothing, len(rows), *shares(rows[:, 3:6]), f"{size:.0f}")
            if size * effect**2 > 15 and (rows[:, 3] <= LEVEL).mean() < 0.9:
                bad.append((effect, kind, smoothing))
    assert not bad


@pytest.mark.parametrize("kind", list(KINDS))
def test_small_version_of_slopes_within_and_between_images(kind):
    rows = simpson_cell(SIMPSON, recipe_of(kind, 1.0, 16), 60, seed_of(kind, 1.0, 30))
    assert rows[:, 0].mean() == pytest.approx(-0.25, abs=0.02)
    assert (rows[:, 1:4].mean(axis=0) > 0.85).all()
    assert rows[:, 5].mean() > 0.9
    rows = simpson_cell(WORLDS["same slope"], recipe_of(kind, 1.0, 16), 60, seed_of(kind, 1.0, 31))
    assert rows[:, 4].mean() < 0.15


def test_small_version_of_neighbours():
    """A test that leaves the neighbours out calls x the cause in nearly every world."""
    recipe = recipe_of("cut out, Student", 1.0, 32)
    p = stencil_cell(EFFECTS["neighbours'"], recipe, 60, 5)
    alone, own, neighbours = (p <= LEVEL).mean(axis=0)
    assert alone > 0.9
    assert own <= 0.15
    assert neighbours > 0.5
    own, neighbours = (stencil_cell(EFFECTS["own"], recipe, 60, 6)[:, 1:] <= LEVEL).mean(axis=0)
    assert own > 0.5
    assert neighbours <= 0.15


def test_small_version_of_time():
    """50 movies, two links each: chance allows .05 +- .04; counting frames as images gives .4."""
    recipe = recipe_of("periodic, normal", 1.0, 10)
    rows = lagged_cell(0.0, recipe, 50, 7, n_frames=12)
    assert (rows[:, :2] <= LEVEL).mean(axis=0).min() > 0.2
    assert (rows[:, 3:5] <= LEVEL).mean() <= 0.11
    rows = lagged_cell(0.4, recipe, 15, 8, n_frames=12)
    assert (rows[:, 3] <= LEVEL).mean() >= 0.85
