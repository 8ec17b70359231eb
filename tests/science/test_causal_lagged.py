"""Are links in time right about movies of known truth: how often false, how often found, with what probability?

The tests marked `science` write docs/tables/causal_lagged.md; each row is written as soon as it is known.
"""

import numpy as np
import pytest
from scipy import stats

from calibration_page import Page, Section
from tusi.causal.independence import PartialCorrelation
from tusi.causal.lagged import LaggedPlan, lagged_posterior, lagged_search
from tusi.causal.panel import SpaceTime, lagged_table, tracked_movie
from tusi.causal.posterior import acyclic_graphs
from tusi.data import Descriptors
from tusi.datasets.causal_fields import FieldRecipe, Tail
from tusi.datasets.causal_images import autoregressive_movie
from tusi.inference import reliability

KINDS: dict[str, tuple[bool, Tail]] = {"periodic, normal": (True, "normal"), "cut out, Student": (False, "student")}
CELLS = [(kind, smoothing) for kind in KINDS for smoothing in (0.0, 1.0, 2.0)]
LEVEL = 0.05
SEED = 2026_11


def recipe_of(kind, smoothing, side):
    periodic, tail = KINDS[kind]
    return FieldRecipe(shape=(side, side), smoothing=smoothing, periodic=periodic, tail=tail)


def seed_of(kind, smoothing, number):
    return [SEED, number, list(KINDS).index(kind), int(10 * smoothing)]


def movie_of(effect, recipe, n_frames, rng):
    """Two fields that last (coefficient .9 from frame to frame), the first acting on the second a frame later."""
    return autoregressive_movie(np.array([[[0.9, effect], [0.0, 0.9]]]), recipe, n_frames=n_frames, rng=rng)


def lagged_cell(effect, recipe, n, seed, n_frames=20, n_naive=None):
    """p-values x0(t-1) - x1(t): search, the way back, within t; naive, frames as images, space and time; n_eff."""
    rng = np.random.default_rng(seed)
    asked, naive = [], []
    for number in range(n):
        movie = movie_of(effect, recipe, n_frames, rng)
        found = lagged_search(movie, plan=LaggedPlan(level=LEVEL))
        assert not np.tril(found.graph.acts[: len(movie.names)]).any()
        links = [found.link(*pair, lag=lag) for pair, lag in ((("x0", "x1"), 1), (("x1", "x0"), 1), (("x0", "x1"), 0))]
        asked.append([*(link.answer.p_value for link in links), links[0].answer.n_effective])
        if number < (n if n_naive is None else n_naive):
            table = lagged_table(movie).table
            before, now = table.number("x0(t-1)"), table.number("x1(t)")
            naive.append([
                stats.pearsonr(table.value[:, before], table.value[:, now]).pvalue,
                PartialCorrelation().prepare(table).ask(now, before).p_value,
                PartialCorrelation(detrending=SpaceTime()).prepare(table).ask(now, before).p_value,
            ])  # fmt: skip
    return np.array(asked), np.array(naive)


def followed(movie, rng, lost=0.15, wander=0.1):
    """The sites of a movie as atoms that tremble about them and are lost in some frames."""
    rows = np.flatnonzero(rng.random(len(movie)) >= lost)
    frames = Descriptors(
        position=3.0 * movie.cell[rows] + wander * rng.standard_normal((len(rows), 2)), value=movie.value[rows],
        covariance=np.zeros((len(rows), movie.n_variables, movie.n_variables)), atom=np.full(len(rows), -1),
        image=movie.image[rows], names=movie.names, units=movie.units, length_unit="angstrom",
    )  # fmt: skip
    return tracked_movie([frames], track=(movie.cell @ [movie.layout.shape(0)[1], 1])[rows])


def followed_cell(effect, recipe, n, seed):
    """p-values of the search both ways among atoms that are lost in some frames, and n_eff."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        atoms = followed(movie_of(effect, recipe, 20, rng), rng)
        found = lagged_search(atoms.table, plan=LaggedPlan(level=LEVEL), track=atoms.track)
        links = [found.link(*pair) for pair in (("x0", "x1"), ("x1", "x0"))]
        rows.append([*(link.answer.p_value for link in links), links[0].answer.n_effective])
    return np.array(rows)


def random_movie(n_variables, recipe, rng, *, independent=False):
    """A movie with random links within a frame and from frame to frame, all of them, and its graphs."""
    graphs = acyclic_graphs(n_variables)
    while True:
        now = graphs[rng.integers(len(graphs))] & (not independent)
        later = (rng.random((n_variables, n_variables)) < 0.5) & (not independent)
        own = np.full(n_variables, 0.9) if independent else rng.uniform(0.0, 0.9, n_variables)
        np.fill_diagonal(later, False)
        effects = [each * rng.uniform(-0.4, 0.4, later.shape) for each in (now, later)]
        within = np.linalg.inv(np.eye(n_variables) - effects[0])
        coefficients = within @ (effects[1] + np.diag(own))
        if np.abs(np.linalg.eigvals(coefficients)).max() < 0.95:
            movie = autoregressive_movie(coefficients[None], recipe, n_frames=20, rng=rng)
            return movie.replace_values(movie.value @ within), now, later


def posterior_cell(recipe, n, seed, *, independent=False, n_variables=3):
    """Stated probability and truth of links from frame to frame, of links within a frame, and of their arrows."""
    rng = np.random.default_rng(seed)
    other, pairs = ~np.eye(n_variables, dtype=bool), np.triu_indices(n_variables, 1)
    stated, true = ({what: [] for what in ("later", "within a frame", "arrow within a frame")} for _ in range(2))
    for _ in range(n):
        movie, now, later = random_movie(n_variables, recipe, rng, independent=independent)
        edge = lagged_posterior(movie).edge
        within = edge[:n_variables, :n_variables]
        for store, values in (
            (stated, (edge[n_variables:, :n_variables][other], np.minimum(within + within.T, 1.0)[pairs],
                      within[other])),
            (true, (later[other], (now | now.T)[pairs], now[other])),
        ):  # fmt: skip
            for what, value in zip(store, values, strict=True):
                store[what].append(value)
    return {what: (np.concatenate(stated[what]), np.concatenate(true[what])) for what in stated}


def shares(p_values):
    """Shares of p-values up to 5 %, as text."""
    return [f"{share:.3f}" for share in (np.asarray(p_values) <= LEVEL).mean(axis=0)]


HEAD = """# Causes in time

Movies of 20 frames of known truth. What is new in each frame is white noise smoothed by a Gaussian (width in sites),
periodic with normal values, or cut out of larger fields with values of Student's t with three degrees of freedom.
"""
TITLES = (
    "What lasts makes no link",
    "An effect of earlier frames",
    "Atoms that are lost in some frames",
    "Probabilities of links in time",
    "Reliability of probabilities in time",
)
PAGE = Page("causal_lagged.md", HEAD, TITLES)


N_LAGGED, N_NAIVE, N_LAGGED_POWER, N_FOLLOWED = 1000, 200, 100, 300


@pytest.mark.science
def test_what_lasts_makes_no_link():
    section = Section(
        PAGE,
        TITLES[0],
        "Two independent fields that last (coefficient .9 from frame to frame), movies of 20 frames. False links at "
        f"5 %. Of `lagged_search`, which holds the past of both fixed: from frame to frame, both ways together, and "
        f"within a frame; n_eff: median. Of x0(t-1) and x1(t) alone, in the first {N_NAIVE} movies: naive correlation; "
        "with effective samples of each frame, frames taken as independent images; of space and time.",
        ("sites", "fields", "smoothing", "links", "search", "within a frame", "n_eff", "naive", "frames as images",
         "space and time"),
    )  # fmt: skip
    bad = []
    for side, kind, smoothing in [(side, *cell) for side in (16, 24) for cell in CELLS]:
        asked, naive = lagged_cell(
            0.0, recipe_of(kind, smoothing, side), N_LAGGED, seed_of(kind, smoothing, 4 + side), n_naive=N_NAIVE
        )
        search = (asked[:, :2] <= LEVEL).mean()
        section.add(
            f"{side} x {side}", kind, smoothing, 2 * len(asked), f"{search:.3f}", *shares(asked[:, 2:3]),
            f"{np.median(asked[:, 3]):.0f}", *shares(naive),
        )  # fmt: skip
        if not 0.035 <= search <= 0.065:
            bad.append((side, kind, smoothing, search))
    assert not bad


@pytest.mark.science
def test_effects_of_earlier_frames_are_found():
    section = Section(
        PAGE,
        TITLES[1],
        "16 x 16 sites, the same with x0(t-1) acting on x1(t): shares in which the link is found at 5 %, and false "
        "links from x1(t-1) to x0(t) and within a frame. An arrow into the past is drawn in none.",
        ("effect", "fields", "smoothing", "movies", "found", "backwards", "within a frame", "n_eff"),
    )  # fmt: skip
    bad = []
    for effect in (0.1, 0.2):
        for kind, smoothing in CELLS:
            rows, _ = lagged_cell(
                effect, recipe_of(kind, smoothing, 16), N_LAGGED_POWER, seed_of(kind, smoothing, 50), n_naive=0
            )
            size = np.median(rows[:, 3])
            section.add(effect, kind, smoothing, len(rows), *shares(rows[:, :3]), f"{size:.0f}")
            if size * effect**2 > 15 and (rows[:, 0] <= LEVEL).mean() < 0.9:
                bad.append((effect, kind, smoothing))
    assert not bad


@pytest.mark.science
def test_atoms_that_are_lost_make_no_link():
    section = Section(
        PAGE,
        TITLES[2],
        "The same on 16 x 16 atoms that tremble by a thirtieth of their distance and are lost in 15 % of the frames "
        "(`tracked_movie`): false links both ways together without an effect; with x0(t-1) acting on x1(t) by "
        ".2, shares found and backwards.",
        ("fields", "smoothing", "links", "false", "n_eff", "movies", "found", "backwards"),
    )
    bad = []
    for kind in KINDS:
        recipe = recipe_of(kind, 1.0, 16)
        none = followed_cell(0.0, recipe, N_FOLLOWED, seed_of(kind, 1.0, 60))
        some = followed_cell(0.2, recipe, N_LAGGED_POWER // 2, seed_of(kind, 1.0, 61))
        false = (none[:, :2] <= LEVEL).mean()
        section.add(
            kind, 1.0, 2 * len(none), f"{false:.3f}", f"{np.median(none[:, 2]):.0f}", len(some), *shares(some[:, :2])
        )
        if false > LEVEL + 2.5 * np.sqrt(LEVEL * (1 - LEVEL) / none[:, :2].size) or (some[:, 0] <= LEVEL).mean() < 0.9:
            bad.append((kind, false))
    assert not bad


N_ALONE, N_RANDOM = 340, 500


@pytest.mark.science
def test_probabilities_in_time_are_what_they_say():
    alone = Section(
        PAGE,
        TITLES[3],
        "`lagged_posterior` of three fields on 16 x 16 sites, movies of 20 frames. Independent ones that last "
        "(coefficient .9): share of links from frame to frame, and within a frame, that are believed with P > .95.",
        ("fields", "smoothing", "links", "later", "pairs", "within a frame"),
    )
    bad = []
    for kind, smoothing in CELLS:
        found = posterior_cell(recipe_of(kind, smoothing, 16), N_ALONE, seed_of(kind, smoothing, 70), independent=True)
        later, within = (found[what][0] for what in ("later", "within a frame"))
        believed = [(p > 0.95).mean() for p in (later, within)]
        alone.add(kind, smoothing, len(later), f"{believed[0]:.2%}", len(within), f"{believed[1]:.2%}")
        bad += [(kind, smoothing, believed)] if max(believed) > 0.02 else []
    section = Section(
        PAGE,
        TITLES[4],
        "Random movies: every acyclic graph within a frame equally probable, each link from frame to frame with "
        "probability one half, effects uniform within .4 either way, own past 0 to .9. Stated probability, share that "
        "was true, number of cases.",
        ("fields", "smoothing", "movies", "links", *(f"{k / 10:.1f}-{(k + 1) / 10:.1f}" for k in range(10))),
    )
    parts = {}
    for kind, smoothing in CELLS:
        cell = posterior_cell(recipe_of(kind, smoothing, 16), N_RANDOM, seed_of(kind, smoothing, 80))
        for what, values in cell.items():
            parts.setdefault((kind, what), []).append(values)
            section.add(kind, smoothing, N_RANDOM, what, *in_bins(*values))
    for (kind, what), values in parts.items():
        stated, true = (np.concatenate(one) for one in zip(*values, strict=True))
        section.add(kind, "all", N_RANDOM * len(values), what, *in_bins(stated, true))
        worst = reliability(stated, true, n_bins=10).worst(least_cases=400)
        bad += [(kind, what, worst)] if worst > 0.07 else []
    assert not bad


def in_bins(stated, true):
    """Stated probability, share that was true and cases of each bin, as text."""
    found = reliability(stated, true, n_bins=10)
    return [
        f"{said:.2f} {came:.2f} ({n})" if n else "-"
        for said, came, n in zip(found.stated, found.happened, found.n_cases, strict=True)
    ]


def test_small_version_of_time():
    """50 movies, two links each: chance allows .05 +- .04; counting frames as images gives .4."""
    recipe = recipe_of("periodic, normal", 1.0, 10)
    asked, naive = lagged_cell(0.0, recipe, 50, 7, n_frames=12)
    assert (naive[:, :2] <= LEVEL).mean(axis=0).min() > 0.2
    assert (asked[:, :2] <= LEVEL).mean() <= 0.11
    asked, _ = lagged_cell(0.4, recipe, 15, 8, n_frames=12, n_naive=0)
    assert (asked[:, 0] <= LEVEL).mean() >= 0.85


def test_small_version_of_probabilities_in_time():
    recipe = recipe_of("cut out, Student", 1.0, 12)
    stated = posterior_cell(recipe, 20, 10, independent=True, n_variables=2)
    assert max((p > 0.95).mean() for p, _ in stated.values()) <= 0.05
    stated, true = posterior_cell(recipe, 60, 11, n_variables=2)["later"]
    assert true[stated > 0.9].mean() > 0.9
    assert true[stated < 0.2].mean() < 0.35
