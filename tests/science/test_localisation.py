"""Localisation against the physical limit: error over bound, precision, recall, calibration, on known truth.

The full table is measured by `make science` and written for the documentation; small versions run with every test.
"""

import dataclasses
import functools
import time
from pathlib import Path

import numpy as np
import pytest

from tusi.data import AtomFlag
from tusi.data.flags import has
from tusi.data.storage import write_atomically
from tusi.datasets import localisation_world
from tusi.finding import find_atoms, localisation_bound, match_atoms
from tusi.imaging import Acquisition

SEED = 20260101
DOSES = (30, 100, 300, 1000, 3000)
LATTICES = ("square", "triangular", "honeycomb")
TABULATED_BOUNDS = {
    "square": (0.294, 0.161, 0.093, 0.051, 0.029),
    "triangular": (0.303, 0.166, 0.096, 0.052, 0.030),
    "honeycomb": (0.384, 0.211, 0.122, 0.067, 0.038),
}
ROUNDING = 0.0005
BOUND_SHAPE = (224, 224)
TABLE = Path(__file__).parents[2] / "docs" / "tables" / "localisation.md"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One setting, measured."""

    lattice: str
    dose: float
    line_jitter: float
    n_atoms: int
    precision: float
    recall: float
    rms: tuple[float, float]
    bound: float
    spread: tuple[float, float]
    coverage: tuple[float, float]
    ellipse: float
    flagged: float
    edge: int
    atoms_per_second: float

    @property
    def ratio(self) -> float:
        """RMS error per axis over the bound."""
        return float(np.sqrt(np.mean(np.square(self.rms)))) / self.bound


def measure(lattice, dose, *, shape, n_images=1, line_jitter=0.0) -> Cell:
    """Find atoms in simulated images and compare with their truth; edge atoms are counted apart."""
    errors, deviations, distances = [], [], []
    n_found = n_truth = n_true = n_seen = n_flagged = n_edge = 0
    seconds = 0.0
    for seed in range(n_images):
        rng = np.random.default_rng([SEED, seed, int(dose), int(1000 * line_jitter)])
        world = localisation_world(
            lattice, rng=rng, dose=Acquisition(dose=float(dose), line_jitter=line_jitter), shape=shape
        )
        start = time.process_time()
        finding = find_atoms(world.grid, noise=world.noise)
        seconds += time.process_time() - start
        margin = 2 * world.width
        truth_inside = _inside(world.truth.position, shape, margin)
        edge = has(finding.atoms.flags, AtomFlag.EDGE)
        match = match_atoms(finding.atoms, world.truth, radius=world.width)
        found, true = match.pairs.T
        n_found, n_true = n_found + int((~edge).sum()), n_true + int((~edge[found]).sum())
        n_truth, n_seen = n_truth + int(truth_inside.sum()), n_seen + int(truth_inside[true].sum())
        n_flagged += int((finding.atoms.flags[~edge] != 0).sum())
        n_edge += int(edge.sum())
        good = ~edge[found]
        covariance = finding.atoms.covariance[found[good]]
        error = match.displacement[good]
        errors.append(error)
        deviations.append(error / np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)))
        distances.append(np.einsum("ai,aij,aj->a", error, np.linalg.inv(covariance), error))
    error, deviation = np.concatenate(errors), np.concatenate(deviations)
    return Cell(
        lattice=lattice,
        dose=dose,
        line_jitter=line_jitter,
        n_atoms=len(error),
        precision=n_true / max(n_found, 1),
        recall=n_seen / max(n_truth, 1),
        rms=tuple(np.sqrt((error**2).mean(axis=0))),
        bound=bound_of(lattice, dose),
        spread=tuple(np.sqrt((deviation**2).mean(axis=0))),
        coverage=tuple((np.abs(deviation) < 1.959964).mean(axis=0)),
        ellipse=float((np.concatenate(distances) < 5.991465).mean()),
        flagged=n_flagged / max(n_found, 1),
        edge=n_edge,
        atoms_per_second=(n_found + n_edge) / seconds,
    )


def _inside(position, shape, margin):
    return ((position >= margin) & (position <= np.array(shape) - 1 - margin)).all(axis=1)


@functools.lru_cache
def bound_of(lattice, dose, *, own_widths=False) -> float:
    """Return the root mean square bound per axis, over the atoms away from the edges of one simulated image."""
    world = localisation_world(lattice, rng=np.random.default_rng(SEED), dose=dose, shape=BOUND_SHAPE)
    covariance = localisation_bound(
        world.truth.position,
        world.truth.intensity / (2 * np.pi * world.width**2),
        width=np.full(len(world.truth), world.width) if own_widths else world.width,
        background=world.background,
        shape=BOUND_SHAPE,
    )
    deep = _inside(world.truth.position, BOUND_SHAPE, 5 * world.width)
    return float(np.sqrt(np.trace(covariance[deep], axis1=1, axis2=2).mean() / 2))


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("dose", [30, 3000])
def test_the_bound_is_the_tabulated_one_where_each_atom_has_its_own_width(lattice, dose):
    tabulated = TABULATED_BOUNDS[lattice][DOSES.index(dose)]
    assert bound_of(lattice, dose, own_widths=True) == pytest.approx(tabulated, abs=0.03 * tabulated + ROUNDING)


@pytest.mark.parametrize("lattice", LATTICES)
def test_error_is_near_the_bound_and_intervals_cover(lattice):
    cell = measure(lattice, 300, shape=(480, 480))
    assert cell.n_atoms >= 768
    assert cell.ratio < 1.08
    assert cell.precision >= 0.998
    assert cell.recall >= 0.998
    assert cell.flagged <= 0.005
    assert cell.spread == pytest.approx((1.0, 1.0), abs=0.1)
    assert min(cell.coverage) >= 0.92
    assert max(cell.coverage) <= 0.98


@pytest.mark.parametrize("dose", [300, 3000])
def test_line_jitter_is_seen_and_covered(dose):
    cell = measure("square", dose, shape=(2400, 128), line_jitter=0.25)
    assert cell.n_atoms >= 768
    assert cell.rms[1] > 1.2 * cell.rms[0]
    assert cell.spread == pytest.approx((1.0, 1.0), abs=0.15)


def test_dumbbells_at_two_and_a_half_widths_are_resolved():
    cell = measure("dumbbell", 300, shape=(480, 480))
    assert cell.precision >= 0.98
    assert cell.recall >= 0.95


def test_scan_noise_of_a_position_is_the_weighted_mean_of_its_rows():
    world = localisation_world(
        "square",
        rng=np.random.default_rng(SEED),
        dose=Acquisition(dose=3000.0, line_jitter=0.5),
        shape=(2400, 128),
    )
    finding = find_atoms(world.grid, noise=world.noise)
    deviation = np.sqrt(np.diagonal(finding.atoms.covariance, axis1=1, axis2=2))
    assert finding.line_jitter == pytest.approx(0.5, rel=0.12)
    assert np.median(deviation[:, 1]) == pytest.approx(0.37 * finding.line_jitter, rel=0.1)
    assert np.median(deviation[:, 0]) < 0.04


def test_a_column_missed_at_first_does_not_ruin_its_neighbours():
    world = localisation_world("honeycomb", rng=np.random.default_rng(7), dose=300.0, shape=(400, 400))
    finding = find_atoms(world.grid, noise=world.noise)
    match = match_atoms(finding.atoms, world.truth, radius=world.width)
    inside = _inside(world.truth.position[match.pairs[:, 1]], (400, 400), 2 * world.width)
    assert inside.sum() == _inside(world.truth.position, (400, 400), 2 * world.width).sum()
    assert np.abs(match.displacement[inside]).max() < 0.7


@pytest.mark.science
def test_every_setting_and_writes_the_table():
    cells = [measure(lattice, dose, shape=(1180, 1180)) for lattice in LATTICES for dose in DOSES]
    cells += [
        measure(lattice, dose, shape=(4096, 320), n_images=3, line_jitter=jitter)
        for lattice in LATTICES
        for jitter in (0.1, 0.25, 0.5)
        for dose in (30, 300, 3000)
    ]
    cells += [measure("dumbbell", dose, shape=(1180, 1180)) for dose in DOSES if dose >= 300]
    write_table(cells)
    failures = [problem for cell in cells for problem in problems(cell)]
    assert not failures, "\n".join(failures)


def problems(cell: Cell) -> list[str]:
    """Return what a cell misses of what finding must reach."""
    dumbbell, clean = cell.lattice == "dumbbell", cell.line_jitter == 0
    largest = {"square": 1.05, "triangular": 1.05, "honeycomb": 1.10}
    checks = {
        "precision": cell.precision >= (0.98 if dumbbell else 0.999),
        "recall": cell.recall >= (0.95 if dumbbell else 0.999),
        "error over bound": dumbbell or not clean or cell.ratio <= largest[cell.lattice],
        "coverage": dumbbell or all(0.93 <= value <= 0.97 for value in cell.coverage),
        "ellipse": dumbbell or 0.93 <= cell.ellipse <= 0.97,
        "flagged": dumbbell or cell.flagged <= 0.005,
    }
    return [f"{name}: {cell}" for name, passed in checks.items() if not passed]


def write_table(cells: list[Cell]) -> None:
    """Write the table that the documentation shows, all or nothing."""
    lines = [
        "# Localisation on simulated images",
        "",
        "`bound` is the Cramer-Rao bound of the fit's own parameterisation, root mean square over the atoms",
        "away from the edges.",
        "",
        "| lattice | dose | jitter, px | atoms | precision | recall | bound, px | rms y | rms x | rms/bound "
        "| cover y | cover x | ellipse | flagged | edge |",
        "|" + " --- |" * 15,
    ]
    for cell in cells:
        ratio = f"{cell.ratio:.3f}" if cell.line_jitter == 0 else ""
        lines.append(
            f"| {cell.lattice} | {cell.dose:g} | {cell.line_jitter:g} "
            f"| {cell.n_atoms} | {cell.precision:.4f} | {cell.recall:.4f} | {cell.bound:.3f} "
            f"| {cell.rms[0]:.3f} | {cell.rms[1]:.3f} | {ratio} | {cell.coverage[0]:.3f} | {cell.coverage[1]:.3f} "
            f"| {cell.ellipse:.3f} | {cell.flagged:.4f} | {cell.edge} |"
        )
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(TABLE, ("\n".join(lines) + "\n").encode())
