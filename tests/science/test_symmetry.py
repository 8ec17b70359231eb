"""Are the probabilities of plane groups what they say, and is the group found where its symmetry can be seen?

Windows of 6 x 6 cells, drawn from the law that inference assumes: parents with one to four orbits in general positions,
half of them broken to a subgroup. The exact group of each structure is computed, not taken from its making. A second
table is of the default law, special positions included, with noise up to the size of the cell. The tests marked
`science` write the tables; each row is written as soon as it is known.
"""

import dataclasses
import os
import time
from pathlib import Path

import numpy as np
import pytest

from tusi.datasets.motifs import MotifRecipe, simulate_motif_window
from tusi.inference import reliability
from tusi.structure.symmetry import SymmetryPrior, infer_symmetry, mean_cell

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))
NOISES = (0.01, 0.02, 0.05, 0.1)
BREAKING = (0.05, 0.1, 0.15, 0.2, 0.3, 1.0, 3.0, 4.0, 5.0)
"""Displacements that break the symmetry, over the noise of a position; half of the structures are whole."""

CLEAR = 3.0
N_BLOCKS, N_WINDOWS = 15, 200
"""Windows of each noise in a block; the table is written after each block."""

N_OTHER_PRIOR, N_BROKEN = 150, 250

GROWING = (0.03, 0.1, 0.3, 0.6, 0.99)
N_GROWING = 400


@dataclasses.dataclass(kw_only=True)
class Judged:
    """Windows judged: probabilities and truth, group by group, and what was found."""

    probability: list = dataclasses.field(default_factory=list)
    happened: list = dataclasses.field(default_factory=list)
    right: list = dataclasses.field(default_factory=list)
    breaking: list = dataclasses.field(default_factory=list)
    whole: list = dataclasses.field(default_factory=list)
    seconds: list = dataclasses.field(default_factory=list)
    before: list = dataclasses.field(default_factory=list)
    mixed_up: list = dataclasses.field(default_factory=list)
    site_probability: list = dataclasses.field(default_factory=list)
    site_happened: list = dataclasses.field(default_factory=list)

    def reliability(self):
        return reliability(np.ravel(self.probability), np.ravel(self.happened))

    def of_sites(self):
        """Reliability of the point groups of all sites."""
        return reliability(np.concatenate(self.site_probability), np.concatenate(self.site_happened))

    def share_right(self, chosen):
        chosen = np.asarray(chosen)
        return np.mean(np.array(self.right)[chosen]) if chosen.any() else np.nan

    def log_score(self, probability):
        """Mean logarithm of the probability that the true groups had."""
        return np.mean(np.log(np.array(probability)[np.array(self.happened)]))

    @property
    def clear(self):
        return np.array(self.breaking) >= CLEAR


def law(noise):
    """The law of the structures: what is drawn, and what inference assumes."""
    return SymmetryPrior(positions="general", most_orbits=4, scales=tuple(noise * ratio for ratio in BREAKING))


def broken_law(noise):
    """The part of the law that breaks the symmetry clearly."""
    return dataclasses.replace(law(noise), broken=1.0, scales=tuple(noise * ratio for ratio in BREAKING[-2:]))


def judge(noise, n_windows, *, prior=None, drawn=None, seed=1, into=None):
    """Draw windows, infer their groups, and compare with the exact ones."""
    recipe = MotifRecipe(prior=drawn or law(noise), noise=noise, separation=noise)
    return judge_windows(recipe, n_windows, prior=prior or law(noise), seed=seed, into=into)


def judge_windows(recipe, n_windows, *, prior, seed, into=None):
    """Draw windows of a recipe, infer their groups with a prior, and compare with the exact ones."""
    judged, noise = Judged() if into is None else into, recipe.noise
    for number in range(n_windows):
        window = simulate_motif_window(recipe, rng=np.random.default_rng([seed, round(1000 * noise), number]))
        started = time.process_time()
        posterior = infer_symmetry(mean_cell(window.atoms, window.lattice), prior=prior)
        judged.seconds.append(time.process_time() - started)
        judged.probability.append(posterior.probability)
        judged.happened.append(np.array(posterior.groups) == window.group)
        judged.right.append(posterior.best == window.group)
        judged.breaking.append(window.breaking / noise)
        judged.whole.append(window.scale == 0)
        judged.before.append(posterior.prior)
        judged.mixed_up.append(posterior.ambiguous)
        names = np.array(window.structure.site_groups)[:, None]
        judged.site_probability.append(posterior.site_probability.ravel())
        judged.site_happened.append((names == np.array(posterior.site_groups)).ravel())
    return judged


def test_a_few_windows_are_judged_as_they_should():
    """Fewer windows: clear cases are found, and errors are as frequent as the probabilities say."""
    judged = Judged()
    for noise in (0.02, 0.1):
        judge(noise, 40, into=judged)
    expected = np.max(judged.probability, axis=1)
    deviation = np.sum(judged.right) - expected.sum()
    assert abs(deviation) < 3.5 * np.sqrt((expected * (1 - expected)).sum() + 0.5)
    assert judged.share_right(judged.whole) > 0.85
    assert np.median(judged.seconds) < 0.3


def joined(parts):
    """All windows of several judged sets."""
    every = Judged()
    for part in parts:
        for field in dataclasses.fields(Judged):
            getattr(every, field.name).extend(getattr(part, field.name))
    return every


def row(name, judged):
    table = judged.reliability()
    return (
        f"| {name} | {len(judged.right)} | {table.worst():.3f} | {judged.share_right(judged.whole):.3f} "
        f"| {judged.share_right(judged.clear):.3f} ({judged.clear.sum()}) | {np.mean(judged.right):.3f} "
        f"| {np.mean(np.max(judged.probability, axis=1)):.3f} | {np.mean(judged.seconds):.3f} |"
    )


def bins(judged):
    table = judged.reliability()
    columns = zip(table.stated, table.happened, table.low, table.high, table.n_cases, strict=True)
    return [f"| {s:.3f} | {h:.3f} | {low:.3f} to {high:.3f} | {n} |" for s, h, low, high, n in columns]


def write(name, lines):
    TABLES.mkdir(parents=True, exist_ok=True)
    (TABLES / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.science
def test_probabilities_of_plane_groups_are_calibrated():
    ratios = ", ".join(f"{ratio:g}" for ratio in BREAKING)
    lines = [
        "# Plane groups of simulated windows",
        "",
        "Windows of 6 x 6 cells with 2 to 12 atoms of two species. The generating prior, which inference assumes too:",
        "for the given number of atoms every group alike among those with one to four orbits in general positions;",
        "coordinates, origin and lattice even; half of the parents broken to one of their subgroups, each alike,",
        f"by displacements of {ratios} times the noise, each alike;",
        "no two atoms closer than the noise of a position.",
        "Reliability: all groups of all windows, ten bins of equal width, the worst among bins of 400 cases or more.",
        "Broken: by 3 or more, the root mean square displacement out of the parent's symmetry over the noise.",
        "'Broken by 4 or 5': windows from this part of the law only, judged by the whole law, to have more such cases.",
        "'Other prior': the default one (special positions too, other displacements) on the same kind of windows.",
        "",
        "| noise / cell | windows | worst bin | right, whole | right, broken (n) | right, all | stated, all | CPU-s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    judged = {noise: Judged() for noise in NOISES}
    other = {noise: judge(noise, N_OTHER_PRIOR, prior=SymmetryPrior(), seed=0) for noise in (NOISES[0], NOISES[-1])}
    broken = {noise: judge(noise, N_BROKEN, drawn=broken_law(noise), seed=99) for noise in NOISES}
    everything = Judged()
    for block in range(N_BLOCKS):
        for noise in NOISES:
            judge(noise, N_WINDOWS, seed=block + 1, into=judged[noise])
        everything = joined(judged.values())
        rows = [row(f"{noise:g}", one) for noise, one in judged.items()] + [row("all", everything)]
        rows += [row(f"{noise:g}, other prior", one) for noise, one in other.items()]
        rows += [row(f"{noise:g}, broken by 4 or 5", one) for noise, one in broken.items()]
        rows += ["", "All windows:", "", "| stated | happened | 95 % | cases |", "| --- | --- | --- | --- |"]
        write("symmetry.md", lines + rows + bins(everything))
    assert everything.reliability().worst() <= 0.07
    for one in (everything, *broken.values()):
        assert one.share_right(one.clear) >= 0.95


def of_growing_noise(noise):
    """Windows of the default law: special positions, distortions of all sizes, equal atoms."""
    return MotifRecipe(noise=noise, n_atoms=(1, 2, 3, 4, 6, 8), n_species=1, separation=0.1)


def test_a_few_windows_with_much_noise():
    recipe = dataclasses.replace(of_growing_noise(0.99), n_atoms=(4,))
    judged = judge_windows(recipe, 25, prior=SymmetryPrior(), seed=5)
    assert abs(np.mean(judged.right) - np.mean(np.max(judged.probability, axis=1))) < 0.35
    assert np.median(judged.mixed_up) > 0.3


def growing_row(name, judged):
    own, before = judged.log_score(judged.probability), judged.log_score(judged.before)
    return (
        f"| {name} | {len(judged.right)} | {np.mean(judged.right):.3f} "
        f"| {np.mean(np.max(judged.probability, axis=1)):.3f} | {np.mean(judged.mixed_up):.3f} | {own:.3f} "
        f"| {before:.3f} | {judged.reliability().worst(least_cases=100):.3f} | {judged.of_sites().worst():.3f} |"
    )


@pytest.mark.science
def test_with_growing_noise_the_prior_is_left():
    lines = [
        "# Plane groups and site symmetry with growing noise",
        "",
        "Windows of 6 x 6 cells with 1 to 8 equal atoms, drawn from the default prior: every group alike, special",
        "positions too, half of the parents broken by displacements of all sizes; no two atoms closer than a tenth of",
        "the cell. Noise of one position, in units of the cell's side; the mean positions are six times better.",
        "Mixed up: mean probability that errors have exchanged atoms, where the posterior falls back on the prior.",
        "Log score: mean logarithm of the probability of the true group, and what the prior alone has.",
        "Worst bins: stated against happened, in bins of equal width: all groups of all windows (bins of 100 cases or",
        "more), and all point groups of all sites (400 or more).",
        "",
        "| noise / cell | windows | right | stated | mixed up | log score | of the prior | worst bin | worst, sites |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    parts = []
    for noise in GROWING:
        parts.append(judge_windows(of_growing_noise(noise), N_GROWING, prior=SymmetryPrior(), seed=7))
        lines.append(growing_row(f"{noise:g}", parts[-1]))
        write("symmetry_noise.md", lines)
        assert parts[-1].log_score(parts[-1].probability) > parts[-1].log_score(parts[-1].before)
    everything = joined(parts)
    write("symmetry_noise.md", [*lines, growing_row("all", everything)])
    assert everything.reliability().worst() <= 0.07
    assert everything.of_sites().worst() <= 0.07
