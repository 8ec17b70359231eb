"""Complete runs from simulated images to a coupling: is the truth inside its 95 % interval?

Everything between pixels and interval takes part: noise estimated from the image, columns found, lattice registered,
species as probabilities, border conditioned on. Seeds and couplings were fixed before the first run.
"""

import dataclasses
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from tusi.cli.series import tiff_of
from tusi.datasets import PICTURE, series_recipes, simulate_series
from tusi.errors import TusiWarning
from tusi.generative import HamiltonianSettings
from tusi.study import AnalysisOptions, analyze

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))
N_RUNS = 40
LEAST_INSIDE = 35
LARGEST = 0.4
QUICK = HamiltonianSettings(n_permutations=19, n_bootstrap=19)


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run found."""

    seed: int
    truth: float
    value: float
    low: float
    high: float
    n_clusters: int
    n_true_clusters: int

    @property
    def inside(self) -> bool:
        return self.low <= self.truth <= self.high


def complete_run(seed: int, truth: float, folder: Path, *, compositions: tuple[float, ...], side: int) -> Run:
    """Simulate a series, write it as files, analyse the files, return the nearest-neighbour coupling."""
    recipes = [
        dataclasses.replace(recipe, shape=(side, side))
        for recipe in series_recipes(compositions, couplings=(truth,), model="P1")
    ]
    alloys = simulate_series(recipes, PICTURE, rng=np.random.default_rng(seed))
    paths = [folder / f"run{seed}-{number}.tiff" for number in range(len(alloys))]
    for path, alloy in zip(paths, alloys, strict=True):
        path.write_bytes(tiff_of(alloy))
    options = AnalysisOptions(species=("Mo", "Re"), models=("random", "P1"), seed=seed, settings=QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TusiWarning)
        analysis = analyze(paths, options=options)
    assert analysis.comparison is not None, analysis.warnings
    fit = analysis.comparison.fit("P1")
    return Run(
        seed=seed,
        truth=truth,
        value=float(fit.value[0]),
        low=float(fit.interval[0, 0]),
        high=float(fit.interval[0, 1]),
        n_clusters=int(analysis.comparison.n_clusters.sum()),
        n_true_clusters=sum(alloy.n_clusters for alloy in alloys),
    )


def test_one_small_run_finds_its_coupling(tmp_path):
    run = complete_run(3, -0.4, tmp_path, compositions=(0.4, 0.6), side=300)
    error = (run.high - run.low) / 4
    assert abs(run.value - run.truth) < 4 * error
    assert 0.02 < error < 0.3
    assert run.n_clusters > 0.6 * run.n_true_clusters


@pytest.mark.science
def test_forty_runs_hold_the_truth(tmp_path):
    couplings = np.linspace(-LARGEST, LARGEST, N_RUNS)
    runs = []
    for seed, truth in enumerate(couplings):
        runs.append(complete_run(1000 + seed, float(truth), tmp_path, compositions=(0.05, 0.55, 0.78, 0.95), side=528))
        for file in tmp_path.iterdir():
            file.unlink()
    n_inside = sum(run.inside for run in runs)
    write_table(runs, n_inside)
    assert n_inside >= LEAST_INSIDE


def write_table(runs: list[Run], n_inside: int) -> None:
    """Write every run."""
    lines = [
        "# Complete runs from simulated images",
        "",
        f"{len(runs)} series of four images (compositions 0.05, 0.55, 0.78, 0.95; 8-bit pictures with line jitter,",
        "drift and contamination), each analysed from its files alone. The truth lies inside the 95 % interval of the",
        f"nearest-neighbour coupling in {n_inside} of {len(runs)}.",
        "",
        "| seed | true w1, kT | found | 95 % interval | inside | clusters found / true |",
        "| ---: | ---: | ---: | :---: | :---: | ---: |",
        *(
            f"| {run.seed} | {run.truth:.3f} | {run.value:.3f} | {run.low:.3f} to {run.high:.3f} | "
            f"{'yes' if run.inside else 'no'} | {run.n_clusters} / {run.n_true_clusters} |"
            for run in runs
        ),
    ]
    TABLES.mkdir(parents=True, exist_ok=True)
    (TABLES / "whole_runs.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
