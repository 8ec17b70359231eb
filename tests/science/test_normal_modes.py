"""Are modes found where they were planted, and nowhere else? Neighbourhoods that share atoms, errors that differ.

The small tests run always; those marked `science` write a table.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from tusi.data import Atoms
from tusi.inference import binomial_interval
from tusi.structure.modes import ModeSettings, composition_modes, displacement_modes, split_by_neighbours
from tusi.structure.neighbourhoods import neighbourhoods

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))
SPACING, NOISE, SIDE = 3.0, 0.05, 25
"""Angstrom; 25 x 25 sites have 529 complete neighbourhoods."""

N_NULL, N_PLANTED = 4000, 500
QUICK = ModeSettings(n_replicas=99)


def ideal(side):
    """Triangular lattice and the number of each site's row."""
    row, column = np.mgrid[:side, :side]
    position = np.stack([row * np.sqrt(0.75), column + 0.5 * row], axis=-1) * SPACING
    return position.reshape(-1, 2), row.ravel()


def world(rng, *, amplitude=0.0, disorder=0.0, share=0.0, side=SIDE):
    """Atoms with errors of their own sizes; a fraction of species B; rows that move against each other.

    The rows' displacement has `amplitude` as its root mean square along each axis; its size and sign vary smoothly.
    With a share of B, the displacement goes with the species of the atoms above and below instead.
    """
    position, row = ideal(side)
    size = NOISE * rng.uniform(0.6, 1.4, position.shape)
    covariance = size[:, :, None] ** 2 * np.eye(2)
    moved = position + size * rng.standard_normal(position.shape) + disorder * rng.standard_normal(position.shape)
    if amplitude:
        wave = rng.standard_normal((2, 2)) * 0.02
        phase = rng.uniform(0, 2 * np.pi, 2)
        slow = np.sqrt(2) * np.cos(position @ wave.T + phase)
        moved += amplitude * np.where(row % 2 == 0, 1.0, -1.0)[:, None] * slow
    label = (rng.random(len(position)) < share).astype(int)
    return dataclasses.replace(
        Atoms.at(moved, length_unit="angstrom"),
        covariance=covariance, species=("A", "B"), species_probability=np.eye(2)[label],
    )  # fmt: skip


def found(atoms, rng, settings=QUICK):
    return displacement_modes([neighbourhoods(atoms, n_slots=6)], [atoms], rng=rng, settings=settings)


def rejections(n_worlds, seed, *, settings=QUICK, **options):
    """p-values of the first mode, and the number of significant ones."""
    rows = []
    for number in range(n_worlds):
        rng = np.random.default_rng([seed, number])
        modes = found(world(rng, **options), rng, settings)
        rows.append((modes.p_value[0], modes.n_significant))
    return np.array(rows).T


def composition_rejections(n_worlds, seed):
    """p-values of the first mode of a random alloy's composition."""
    rows = []
    for number in range(n_worlds):
        rng = np.random.default_rng([seed, number])
        atoms = world(rng, share=0.3, side=16)
        rows.append(composition_modes([neighbourhoods(atoms, n_slots=6)], [atoms], rng=rng, settings=QUICK).p_value[0])
    return np.array(rows)


def split_rejections(n_worlds, seed):
    """p-values of splits where the species have nothing to do with the displacements, which are ordered."""
    rows = []
    for number in range(n_worlds):
        rng = np.random.default_rng([seed, number])
        atoms = world(rng, share=0.4, amplitude=NOISE, side=16)
        hoods = neighbourhoods(atoms, n_slots=6)
        modes = displacement_modes([hoods], [atoms], rng=rng, settings=ModeSettings(n_replicas=19))
        split = split_by_neighbours(modes, [hoods], atoms=[atoms], species="B", rng=rng)
        rows.append((split.p_mean[0], split.p_spread[0]))
    return np.array(rows)


def row_of(name, rejected, n):
    low, high = binomial_interval(rejected, n)
    return f"| {name} | {n} | {100 * rejected / n:.1f} % ({100 * low:.1f}-{100 * high:.1f}) |"


@pytest.mark.science
def test_false_and_planted_modes():
    lines = [
        "# Statistical normal modes: false ones and planted ones",
        "",
        f"Triangular lattices of {SIDE} x {SIDE} atoms ({(SIDE - 2) ** 2} complete neighbourhoods, which share atoms),",
        f"errors of {NOISE} angstrom that differ up to 2.3 times between atoms and axes. Worlds with p <= .05.",
        "",
        "| world and test | worlds | first mode significant |",
        "| --- | --- | --- |",
    ]
    independent = ModeSettings(n_replicas=99, null="independent")
    sizes = {}
    for name, options in {
        "noise, against measured errors": {},
        "noise, independent displacements allowed for": {"settings": independent},
        "independent displacements as large as the noise, allowed for": {"settings": independent, "disorder": NOISE},
    }.items():
        p_value, _ = rejections(N_NULL, 1, **options)
        sizes[name] = np.mean(p_value <= 0.05)
        lines.append(row_of(name, np.count_nonzero(p_value <= 0.05), N_NULL))
    p_value = composition_rejections(N_NULL, 2)
    sizes["composition"] = np.mean(p_value <= 0.05)
    lines.append(row_of("random alloy with 30 % B, modes of composition", np.count_nonzero(p_value <= 0.05), N_NULL))
    for which, p_value in zip(("means", "spreads"), split_rejections(N_PLANTED * 2, 3).T, strict=True):
        lines.append(row_of(f"split of {which} by unrelated species", np.count_nonzero(p_value <= 0.05), len(p_value)))
    power = {}
    for amplitude in (1 / 3, 1 / 4, 1 / 6):
        p_value, _ = rejections(N_PLANTED, 4, amplitude=amplitude * NOISE)
        power[amplitude] = np.mean(p_value <= 0.05)
        name = f"rows move by {amplitude:.2f} of the noise (rms per atom and axis)"
        lines.append(row_of(name, np.count_nonzero(p_value <= 0.05), N_PLANTED))
    TABLES.mkdir(parents=True, exist_ok=True)
    (TABLES / "normal_modes.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert all(0.03 <= size <= 0.07 for size in sizes.values())
    assert power[1 / 3] >= 0.95


def test_noise_makes_a_mode_as_rarely_as_stated():
    p_value, _ = rejections(150, 5, settings=ModeSettings(n_replicas=39), side=14)
    for level in (0.05, 0.5):
        low, high = binomial_interval(np.count_nonzero(p_value <= level), len(p_value), confidence=0.999)
        assert low <= level <= high


def test_a_planted_mode_is_found():
    _, number = rejections(12, 6, amplitude=NOISE / 3)
    assert np.count_nonzero(number) >= 11
