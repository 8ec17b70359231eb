"""Are the probabilities of defects right, do the error bars of their places and angles cover, and how often is there
a false alarm? On simulated crystals with planted defects.

The tests marked `science` write tables, row by row; each has a small version that always runs.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from tusi.datasets.defects import CELLS, CrystalRecipe, simulate_defects
from tusi.structure import register_lattice
from tusi.structure.defects import DefectKind, compare_patches, cut_patch, find_defects

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))
SITE_SPACING = {"square": 1.0, "triangular": 1.0, "honeycomb": 1 / np.sqrt(3)}
LATTICE_CONSTANT = 3.16
N_CRYSTALS = 100
POINTS = (DefectKind.VACANCY, DefectKind.SUBSTITUTION, DefectKind.INTERSTITIAL)

pytestmark = pytest.mark.filterwarnings("ignore::tusi.errors.TusiWarning")


class Page:
    """A page of tables in Markdown, written anew with each row."""

    def __init__(self, name, *lines):
        self.path, self.lines = TABLES / f"{name}.md", list(lines)

    def table(self, title, *columns, note=""):
        self.lines += ["", f"## {title}", "", *([note, ""] if note else [])]
        self.lines += ["| " + " | ".join(columns) + " |", "| " + " | ".join(["---"] * len(columns)) + " |"]
        return self

    def row(self, *cells):
        self.lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n".join(self.lines) + "\n", encoding="utf-8")


def recipe_with_scatter(cell, share, rng, **changes):
    """A crystal whose columns scatter by this share of the distance between sites, half of it measurement noise."""
    each = share * SITE_SPACING[cell] * LATTICE_CONSTANT / np.sqrt(2)
    return CrystalRecipe(cell=cell, noise=each, displacement=each, angle=float(rng.uniform(0, 90)), **changes)


def false_alarms(cell, share, n, seed, size=(24.0, 24.0)):
    """In how many perfect crystals something is found, and how many defects of each kind."""
    rng = np.random.default_rng([seed, int(1000 * share)])
    crystals, kinds = 0, {}
    for _ in range(n):
        world = simulate_defects(recipe_with_scatter(cell, share, rng, size=size, label_error=0.01), rng=rng)
        counts = find_defects(world.atoms, register_lattice(world.atoms)).count()
        crystals += bool(counts)
        for kind, count in counts.items():
            kinds[kind] = kinds.get(kind, 0) + count
    return crystals, kinds


@dataclasses.dataclass(kw_only=True)
class Tally:
    """Planted and found defects of one kind."""

    planted: int = 0
    found: int = 0
    false: int = 0
    squares: list = dataclasses.field(default_factory=list)


def told_points(cell, share, n, seed, *, each=4, size=(24.0, 24.0)):
    """Point defects found and missed, kind by kind, and how many sites there were; the scatter is measurement noise."""
    rng = np.random.default_rng([seed, int(1000 * share)])
    tallies, n_sites = {kind: Tally() for kind in POINTS}, 0
    recipe = CrystalRecipe(
        cell=cell, noise=share * SITE_SPACING[cell] * LATTICE_CONSTANT, displacement=0.0, size=size,
        vacancies=each, substitutions=each, interstitials=each, label_error=1e-4,
    )  # fmt: skip
    for _ in range(n):
        world = simulate_defects(dataclasses.replace(recipe, angle=float(rng.uniform(0, 90))), rng=rng)
        seen = find_defects(world.atoms, register_lattice(world.atoms))
        seen, n_sites = seen[seen.probability >= 0.5], n_sites + len(world.atoms)
        for kind, tally in tallies.items():
            mine, planted = seen.of_kind(kind), world.truth.of_kind(kind).position
            miss = planted[:, None] - mine.position
            near = np.linalg.norm(miss, axis=2) < 0.45 * SITE_SPACING[cell] * LATTICE_CONSTANT
            tally.planted += len(planted)
            tally.found += int(near.any(axis=1).sum())
            tally.false += len(mine) - int(near.any(axis=0).sum())
            tally.squares += [
                miss[i, j] @ np.linalg.solve(mine.covariance[j], miss[i, j])
                for i, j in zip(*near.nonzero(), strict=True)
            ]
    return tallies, n_sites


def with_doubtful_atoms(world, rng, *, separation, n_ghosts):
    """Species read from intensities that overlap, and detections that may be noise: probabilities are exact.

    A presence is said to have odds that a detection anywhere deserves, against one column expected in each site's area;
    how many of the ghosts with given odds are real follows from the rate of interstitials.
    """
    atoms = world.atoms
    n_real = int((world.truth.kind == DefectKind.INTERSTITIAL).sum())
    label = atoms.species_probability.argmax(axis=1)
    reading = label + rng.normal(0, 1 / separation, len(atoms))
    share = np.bincount(label, minlength=2) / len(label)
    likelihood = np.exp(-0.5 * ((reading[:, None] - np.arange(2)) * separation) ** 2) * share
    presence = np.ones(len(atoms))
    # Real ones have scores from one normal law, ghosts from another: odds = likelihood ratio x (1 expected a site).
    score = np.concatenate([rng.normal(4, 1.5, n_real), rng.normal(0, 1.5, n_ghosts)])
    density = 1.0 * len(atoms) / max(n_ghosts, 1)
    odds = np.exp(-0.5 * ((score - 4) / 1.5) ** 2 + 0.5 * (score / 1.5) ** 2) * density
    certain = odds / (1 + odds)
    sites = rng.permutation(len(atoms) - n_real)[:n_ghosts]
    hole = LATTICE_CONSTANT * 0.5 * rng.choice([-1.0, 1.0], (n_ghosts, 2))
    presence[len(atoms) - n_real :] = certain[:n_real]
    ghosts = dataclasses.replace(
        atoms[sites], position=atoms.position[sites] + hole, presence_probability=certain[n_real:]
    )
    seen = dataclasses.replace(
        atoms, species_probability=likelihood / likelihood.sum(axis=1, keepdims=True), presence_probability=presence
    )
    columns = ("position", "covariance", "intensity", "intensity_variance", "presence_probability",
               "species_probability", "flags", "image", "frame")  # fmt: skip
    return dataclasses.replace(
        seen, **{name: np.concatenate([getattr(seen, name), getattr(ghosts, name)]) for name in columns}
    )


def judged_points(cell, n, seed, *, separation=3.0, size=(24.0, 24.0), share=0.05):
    """(probability, real) of each substitution and interstitial that is reported, kind by kind."""
    rng = np.random.default_rng(seed)
    judged = {kind: [] for kind in POINTS}
    for _ in range(n):
        n_subs, n_extra = int(rng.integers(2, 12)), int(rng.integers(1, 8))
        recipe = recipe_with_scatter(cell, share, rng, size=size, substitutions=n_subs, interstitials=n_extra)
        try:
            world = simulate_defects(recipe, rng=rng)
        except ValueError:  # no room for so many
            continue
        atoms = with_doubtful_atoms(world, rng, separation=separation, n_ghosts=30)
        found = find_defects(atoms, register_lattice(atoms))
        for kind in POINTS[1:]:
            mine, planted = found.of_kind(kind), world.truth.of_kind(kind).position
            for row in range(len(mine)):
                near = np.linalg.norm(planted - mine.position[row], axis=1).min()
                judged[kind].append((mine.probability[row], near < 0.3 * LATTICE_CONSTANT))
    return judged


def reliability(judged, *, fewest):
    """Rows (low, high, count, mean probability, share real) of the bins with enough cases."""
    probability, real = np.array(judged, dtype=float).reshape(-1, 2).T
    rows = []
    for low in np.arange(0, 1, 0.2):
        here = (probability >= low) & (probability < low + 0.2 + (low > 0.7))
        if here.sum() >= fewest:
            rows.append((low, low + 0.2, int(here.sum()), probability[here].mean(), real[here].mean()))
    return rows


def dislocations(cell, share, n, seed, size=(24.0, 24.0)):
    """Found, exact, false, and normalised squared errors of the position."""
    rng = np.random.default_rng([seed, int(1000 * share)])
    steps = [(1, 0), (0, 1), (-1, 0)] + ([(1, 1)] if cell != "square" else [])
    found = exact = false = 0
    squares, errors = [], []
    for _ in range(n):
        core = tuple((np.array(size) / 2 + rng.uniform(-4, 4, 2)).tolist())
        recipe = recipe_with_scatter(
            cell, share, rng, size=size, poisson_ratio=float(rng.uniform(0.1, 0.4)),
            dislocations=((core, steps[rng.integers(len(steps))]),),
        )  # fmt: skip
        world = simulate_defects(recipe, rng=rng)
        seen = find_defects(world.atoms, register_lattice(world.atoms))
        seen = seen[seen.probability >= 0.5]
        lines = seen.of_kind(DefectKind.DISLOCATION)
        miss = lines.position - world.truth.position[0]
        near = np.flatnonzero(np.linalg.norm(miss, axis=1) < 2 * LATTICE_CONSTANT)
        false += len(seen) - min(len(near), 1)
        if len(near):
            row = near[np.linalg.norm(miss[near], axis=1).argmin()]
            found += 1
            exact += np.linalg.norm(lines.vector[row] - world.truth.vector[0]) < 0.3 * LATTICE_CONSTANT
            squares.append(miss[row] @ np.linalg.solve(lines.covariance[row], miss[row]))
            errors.append(miss[row])
    return found, exact, false, np.array(squares), np.array(errors)


def misorientations(cell, n, seed, *, size=(24.0, 24.0), share=0.05):
    """Errors of the angle in units of the stated one, and the mean offset of the line in lattice constants."""
    rng = np.random.default_rng(seed)
    scores, offsets = [], []
    for _ in range(n):
        angle = float(rng.uniform(17, 24) * rng.choice([-1, 1]))
        world = simulate_defects(recipe_with_scatter(cell, share, rng, size=size, misorientation=angle), rng=rng)
        lattice = register_lattice(world.atoms)
        found = find_defects(world.atoms, lattice).of_kind(DefectKind.GRAIN_BOUNDARY)
        if len(found) != 1:
            scores.append(np.inf)
            continue
        middle = lattice.position[lattice.domain == found.domain[0, 0], 1].mean()
        sign = 1 if middle < size[1] / 2 * LATTICE_CONSTANT else -1
        scores.append((sign * found.misorientation[0] - angle) / found.misorientation_error[0])
        line = found.segments(0)[..., 1].mean()
        offsets.append(line / LATTICE_CONSTANT - size[1] / 2)
    return np.array(scores), np.array(offsets)


def p_values(cell, plural, n, seed, *, size=(24.0, 24.0)):
    """p-values of pairs of pictures of the same defect, one twice as noisy, turned and scaled at random."""
    rng = np.random.default_rng(seed)

    def patches(share, constant):
        out = []
        while len(out) < n:
            recipe = recipe_with_scatter(cell, share, rng, size=size, **{plural: 8})
            world = simulate_defects(dataclasses.replace(recipe, lattice_constant=constant), rng=rng)
            lattice = register_lattice(world.atoms)
            found = find_defects(world.atoms, lattice)
            kind = world.truth.kind[0]
            rows = np.flatnonzero((found.kind == kind) & (found.probability > 0.5))
            out += [cut_patch(found, row, atoms=world.atoms, lattice=lattice) for row in rows]
        return out

    pairs = zip(patches(0.03, 3.16)[:n], patches(0.06, 3.0)[:n], strict=True)
    return np.array([compare_patches(one, other, rng=rng).p_value for one, other in pairs])


def boundaries(order, n, seed, *, label_error, shift, size=(20.0, 20.0)):
    """How often an antiphase boundary is found where one is, or where none is."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(n):
        recipe = recipe_with_scatter(
            "square", 0.05, rng, size=size, order=order, phase_shift=shift, label_error=label_error
        )
        world = simulate_defects(recipe, rng=rng)
        counts = find_defects(world.atoms, register_lattice(world.atoms)).count()
        found += counts.get("antiphase boundary", 0) > 0
    return found


# -- small versions ---------------------------------------------------------------------------------------------------


def test_few_false_alarms_small():
    for cell in ("square", "triangular"):
        crystals, kinds = false_alarms(cell, 0.08, 5, 1, size=(16, 16))
        assert crystals == 0, kinds


def test_point_defects_small():
    tallies, _ = told_points("triangular", 0.06, 4, 6, each=2, size=(18, 18))
    for tally in tallies.values():
        assert (tally.found, tally.false) == (tally.planted, 0)
        assert np.mean(tally.squares) < 2 + 3 * 2 / np.sqrt(tally.planted)


def test_reliability_small():
    judged = judged_points("square", 12, 2, size=(20, 20))
    for kind in POINTS[1:]:
        for _, _, count, said, real in reliability(judged[kind], fewest=25):
            assert abs(said - real) < 0.07 + 3 * np.sqrt(0.25 / count)


def test_burgers_vectors_small():
    found, exact, false, squares, _ = dislocations("square", 0.04, 6, 3, size=(16, 16))
    assert (found, exact, false) == (6, 6, 0)
    assert squares.max() < 13.8


def test_p_values_small():
    assert (p_values("square", "vacancies", 24, 5) < 0.02).sum() <= 4


# -- full calibrations ------------------------------------------------------------------------------------------------


def covers(share, n):
    """Whether 93 to 97 % are covered, as far as n cases tell."""
    return abs(share - 0.95) < 0.02 + 2 * np.sqrt(0.95 * 0.05 / n)


def tell_points(page):
    page.table(
        "Point defects that are found",
        "kind", "cell", "scatter / site distance", "planted", "found", "false / 1,000 sites", "95 % regions cover",
        note="Four of each in a window of 24 x 24 cells; found: P of .5 or more.",
    )  # fmt: skip
    misses = []
    for cell in CELLS:
        for share in (0.03, 0.06, 0.09):
            tallies, n_sites = told_points(cell, share, N_CRYSTALS, 18)
            for kind, tally in tallies.items():
                found, false = tally.found / tally.planted, 1000 * tally.false / n_sites
                covered = (np.array(tally.squares) < 5.99).mean()
                page.row(kind.title, cell, share, tally.planted, f"{found:.3f}", f"{false:.3f}", f"{covered:.3f}")
                if found < 0.95 or false > 1 or not covers(covered, tally.found):
                    misses.append((kind.title, cell, share))
    return misses


def tell_false_alarms(page):
    page.table(
        "Perfect crystals in which a defect is found",
        "cell", "scatter / site distance", "crystals", "with an alarm", "alarms by kind",
    )  # fmt: skip
    misses = []
    for cell in CELLS:
        for share in (0.03, 0.06, 0.09, 0.12):
            crystals, kinds = false_alarms(cell, share, N_CRYSTALS, 11)
            told = ", ".join(f"{k}: {v}" for k, v in kinds.items()) or "none"
            page.row(cell, share, N_CRYSTALS, crystals, told)
            if share < 0.1 and crystals > 0.05 * N_CRYSTALS:
                misses.append(("false alarms", cell, share))
    return misses


def tell_reliability(page):
    page.table(
        "Probability of a point defect and how often it is one",
        "kind", "cell", "probabilities", "cases", "mean probability", "share real",
        note="Species and presence of the atoms are doubtful; bins of equal width with 400 cases or more. That of a "
        "vacancy is the image's: [empty sites](site_presence.md).",
    )  # fmt: skip
    misses = []
    for cell in ("square", "triangular"):
        judged = judged_points(cell, 700, 12)
        for kind in POINTS[1:]:
            for low, high, count, said, real in reliability(judged[kind], fewest=400):
                page.row(kind.title, cell, f"{low:.1f}-{high:.1f}", count, f"{said:.3f}", f"{real:.3f}")
                if abs(said - real) >= 0.07:
                    misses.append((kind.title, cell, low))
    return misses


def tell_dislocations(page):
    page.table(
        "Edge dislocations: found, vector right, false defects, 95 % regions of the core",
        "cell", "scatter / site distance", "crystals", "found", "vector right", "false", "covered", "rms error / a",
    )  # fmt: skip
    misses, n = [], 4 * N_CRYSTALS
    for cell in CELLS:
        for share in (0.03, 0.09):
            found, exact, false, squares, errors = dislocations(cell, share, n, 13)
            rms, covered = np.sqrt((errors**2).mean()) / LATTICE_CONSTANT, (squares < 5.99).mean()
            page.row(cell, share, n, found, exact, false, f"{covered:.3f}", f"{rms:.2f}")
            if found < 0.95 * n or exact < 0.98 * found or not covers(covered, found):
                misses.append(("dislocation", cell, share))
    return misses


def tell_misorientations(page):
    page.table(
        "Grain boundaries of 17 to 24 degrees: 95 % intervals of the angle, place",
        "cell", "crystals", "found", "covered", "offset of the line / a",
    )  # fmt: skip
    misses, n = [], 10 * N_CRYSTALS
    for cell in ("square", "triangular"):
        scores, offsets = misorientations(cell, n, 14)
        known = scores[np.isfinite(scores)]
        covered = (np.abs(known) < 1.96).mean()
        page.row(cell, n, len(known), f"{covered:.3f}", f"{offsets.mean():.2f} +- {offsets.std():.2f}")
        if len(known) < 0.95 * n or not covers(covered, len(known)):
            misses.append(("grain boundary", cell))
    return misses


def tell_antiphase_boundaries(page):
    page.table(
        "Antiphase boundaries found where there is one and where there is none",
        "order", "labels wrong", "crystals", "found", "false",
    )  # fmt: skip
    misses, n = [], N_CRYSTALS
    for order in ((0.5, 0.5), (0.5, 0.0)):
        for error in (0.02, 0.1, 0.2):
            found = boundaries(order, n, 15, label_error=error, shift=(1, 0))
            false = boundaries(order, n, 16, label_error=error, shift=(0, 0))
            page.row(order, error, n, found, false)
            if found < 0.95 * n or false > 0.05 * n:
                misses.append(("antiphase boundary", order, error))
    return misses


def tell_similarity(page):
    page.table(
        "Size of the test that two pictures show the same defect",
        "cell", "defect", "pairs", "below .05", "below .2", "mean",
    )  # fmt: skip
    misses = []
    for cell in ("square", "triangular"):
        for plural in ("vacancies", "interstitials", "substitutions"):
            p = p_values(cell, plural, 400, 17)
            page.row(cell, plural, len(p), f"{(p < 0.05).mean():.3f}", f"{(p < 0.2).mean():.3f}", f"{p.mean():.3f}")
            if (p < 0.05).mean() > 0.08:
                misses.append(("similarity", cell, plural))
    return misses


PARTS = (
    tell_points, tell_false_alarms, tell_reliability, tell_dislocations, tell_misorientations,
    tell_antiphase_boundaries, tell_similarity,
)  # fmt: skip


@pytest.mark.science
def test_defects():
    page = Page(
        "defects", "# Defects of simulated crystals", "",
        "Windows of 24 x 24 cells (antiphase boundaries 20 x 20), turned at random. Scatter: standard deviation of the",
        "columns about their sites along one axis; half of its variance is measurement noise where not said otherwise.",
    )  # fmt: skip
    misses = [miss for part in PARTS for miss in part(page)]
    assert not misses
