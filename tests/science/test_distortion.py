"""Does the Gaussian process leave less of a distortion than any polynomial, and does it know how much it leaves?

Frames of 23 x 23 atoms with a smooth distortion of both coordinates and a drift that depends on the row alone; a fifth
of the atoms is held back. The small test runs always; the one marked `science` writes a table.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from tusi.data import Atoms
from tusi.inference import binomial_interval
from tusi.structure import register_lattice
from tusi.structure.distortion import fit_distortion

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))
SIDE, SPACING, NOISE, HELD = 23, 16.0, 0.03, 0.2
N_WORLDS, DEGREES = 40, range(1, 13)


def wave_field(rng, position, *, length, amplitude, heavy=False):
    """A random field as a sum of waves; with heavy tails it is rough on all scales."""
    wave = rng.standard_t(3, (200, 2)) / length if heavy else rng.normal(0, 1 / length, (200, 2))
    return amplitude * 0.1 * np.cos(position @ wave.T + rng.uniform(0, 2 * np.pi, 200)).sum(axis=1)


def world(rng, *, drift):
    """Cells and atoms: spacing 16 pixels, distortion of 1 pixel over 80, drift of the given size over 60."""
    row, column = np.mgrid[:SIDE, :SIDE]
    ideal = SPACING * np.stack([row.ravel(), column.ravel()], axis=1)
    bent = [wave_field(rng, ideal, length=80.0, amplitude=1.0) for _ in (0, 1)]
    late = [wave_field(rng, ideal * [1, 0], length=60.0, amplitude=drift, heavy=True) for _ in (0, 1)]
    seen = ideal + np.stack(bent, axis=1) + np.stack(late, axis=1) + NOISE * rng.standard_normal(ideal.shape)
    cells = np.stack([row.ravel(), column.ravel(), np.ones(row.size)], axis=1)
    return cells, dataclasses.replace(
        Atoms.at(seen, length_unit="pixel"), intensity=np.ones(row.size),
        covariance=np.broadcast_to(NOISE**2 * np.eye(2), (row.size, 2, 2)),
    )  # fmt: skip


def left_by_polynomial(cells, position, held):
    """The smallest error of the held-back atoms that a polynomial of any degree leaves: chosen with hindsight."""
    u = (cells[:, :2] - SIDE / 2) / (SIDE / 2)
    errors = []
    for degree in DEGREES:
        powers = [u[:, 0] ** i * u[:, 1] ** j for i in range(degree + 1) for j in range(degree + 1 - i)]
        design = np.stack(powers, axis=1)
        fit = design @ np.linalg.lstsq(design[~held], position[~held], rcond=None)[0]
        errors.append(np.sqrt(((position - fit)[held] ** 2).mean()))
    return min(errors)


def left_by_process(cells, atoms, held):
    """Errors of the held-back atoms after correction, and how many lie in their 95 % intervals."""
    shown = atoms[~held]
    corrected = fit_distortion(shown, register_lattice(shown)).correct(atoms)
    lattice = np.linalg.lstsq(cells[~held], corrected.position[~held], rcond=None)[0]
    error = corrected.position[held] - cells[held] @ lattice
    stated = np.sqrt(np.stack([corrected.covariance[held, k, k] for k in (0, 1)], axis=1))
    return np.sqrt((error**2).mean()), np.abs(error) < 1.96 * stated


def compared(n_worlds, seed, *, drift):
    """Root mean square errors by polynomial and process over all worlds, and the coverage of the latter."""
    polynomial, process, inside = [], [], []
    for number in range(n_worlds):
        rng = np.random.default_rng([seed, number])
        cells, atoms = world(rng, drift=drift)
        held = rng.random(len(atoms)) < HELD
        polynomial.append(left_by_polynomial(cells, atoms.position, held))
        left, covered = left_by_process(cells, atoms, held)
        process.append(left)
        inside.append(covered.ravel())
    return np.sqrt(np.mean(np.square(polynomial))), np.sqrt(np.mean(np.square(process))), np.concatenate(inside)


@pytest.mark.science
def test_the_process_leaves_less_than_the_best_polynomial():
    lines = [
        "# Distortion of one frame",
        "",
        f"{N_WORLDS} frames a row of {SIDE} x {SIDE} atoms with errors of {NOISE} px, distorted by 1 px over 80 px",
        "(five lattice spacings) and by a drift over 60 px along the slow axis. Errors of the fifth of the atoms that",
        "was held back, their own errors of finding included; the polynomial's degree is the best one with hindsight.",
        "",
        "| drift, px | best polynomial, px | Gaussian process, px | inside 95 % | atoms |",
        "| --- | --- | --- | --- | --- |",
    ]
    for drift in (0.0, 0.3):
        polynomial, process, inside = compared(N_WORLDS, 1, drift=drift)
        low, high = binomial_interval(int(inside.sum()), len(inside))
        share = f"{100 * inside.mean():.1f} % ({100 * low:.1f}-{100 * high:.1f})"
        lines.append(f"| {drift} | {polynomial:.4f} | {process:.4f} | {share} | {len(inside) // 2} |")
        assert process <= 0.04
        assert polynomial > (1.4 if drift else 1.0) * process
        assert 0.93 <= inside.mean() <= 0.97
    TABLES.mkdir(parents=True, exist_ok=True)
    (TABLES / "distortion.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_three_frames_leave_little_and_say_so():
    polynomial, process, inside = compared(3, 2, drift=0.3)
    assert process <= 0.04 < polynomial
    assert 0.91 <= inside.mean() <= 0.98
