"""How often are fits of the right model rejected? Windows of known Hamiltonian, labels with and without errors."""

import os
from pathlib import Path

import numpy as np
import pytest

from tusi.execution import stream
from tusi.generative.estimation import Pseudolikelihood, estimate_couplings, observe
from tusi.generative.estimation.examination import examine_fit
from tusi.generative.estimation.replicas import ReplicaSettings
from tusi.generative.lattice import TRIANGULAR, LatticeSites, lattice_system, pair_model, periodic_sites, triangle_model
from tusi.generative.montecarlo import Exchange, SamplingPlan, draw_samples

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))
SIDE, N_WORLDS, COMPOSITION = 24, 4000, 0.4
SETTINGS = ((-0.3, 0.0, 0.0), (0.0, 0.0, 0.0), (0.2, 0.0, 0.0), (-0.3, 0.02, 0.1))
"""w1 in kT, rate of wrong labels, share of unseen sites."""


def p_values(coupling, error, unseen):
    """Return naive and calibrated p-values of every world."""
    rng = stream(2026, "examination", round(1000 * (coupling + 1)), round(1000 * error))
    p1, larger = pair_model(), [pair_model(shells=2), triangle_model()]
    crystal = periodic_sites(TRIANGULAR, (2 * SIDE, 2 * SIDE))
    inside = (crystal.index[:, :2] < SIDE).all(axis=1)
    sites = LatticeSites(
        crystal=TRIANGULAR, index=crystal.index[inside], period=(0, 0), occupied=np.ones(inside.sum(), dtype=bool)
    )
    start = np.array([rng.permutation(np.arange(len(crystal)) < COMPOSITION * len(crystal)) for _ in range(4)])
    samples = draw_samples(
        lattice_system(p1, crystal), np.array([coupling]), rng=rng, sampler=Exchange(),
        plan=SamplingPlan(
            n_samples=N_WORLDS // 4, n_chains=4, burn_in=200, spacing=20, keep_species=True,
            start=start.astype(np.int8),
        ),
    )  # fmt: skip
    rows = []
    for arrangement in samples.species.reshape(-1, len(crystal))[:, inside]:
        labels = np.where(rng.random(len(arrangement)) < error, 1 - arrangement, arrangement)
        image = observe(sites, labels, label_error=error, seen=rng.random(len(labels)) >= unseen)
        value = np.array([coupling])
        if not error and not unseen:
            value = estimate_couplings(image, p1, rng=rng, method=Pseudolikelihood()).value
        examination, tests = examine_fit(
            [image], p1, value, rng=rng, larger=larger, settings=ReplicaSettings(n_replicas=199)
        )
        rows.append(
            [examination.naive_p, examination.pooled_p, *examination.predicted_p, *(t.calibrated_p for t in tests)]
        )
    return np.array(rows)


@pytest.mark.science
def test_size_of_every_test_of_a_fit():
    lines, worst = [], []
    for coupling, error, unseen in SETTINGS:
        values = p_values(coupling, error, unseen)
        sizes = (values <= 0.05).mean(axis=0)
        worst.append(sizes[1:])
        half = 1.96 * np.sqrt(0.05 * 0.95 / len(values))
        cells = " | ".join(f"{100 * size:.1f}" for size in sizes)
        lines.append(f"| {coupling:+.1f} | {100 * error:.0f} | {100 * unseen:.0f} | {cells} | {100 * half:.1f} |")
    head = [
        "# Tests of a fitted Hamiltonian: how often a right model is rejected",
        "",
        f"Windows of {SIDE} x {SIDE} triangular sites cut from crystals twice as wide, P1 at 40 %, {N_WORLDS} worlds a",
        "row. Per cent of p-values at or below 5 %; the last column is what chance allows at a true 5 %. Rows with",
        "errors of labelling are examined at the true coupling, all others at the pseudolikelihood's estimate.",
        "",
        "| w1, kT | wrong labels, % | unseen, % | naive S² | S² | shell 2 | 3 | 4 | P2's score | M's score | +- |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    TABLES.mkdir(parents=True, exist_ok=True)
    (TABLES / "examination_size.md").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    sizes = np.concatenate(worst)
    assert sizes.min() > 0.04
    assert sizes.max() < 0.06
