"""How often are classes of neighbourhoods found that are not there, and how often those that are?

Triangular crystals with known displacements. The test marked `science` writes the table, again after each block of
crystals.
"""

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats

from tusi.data import Atoms
from tusi.structure.neighbourhoods import local_crystallography, neighbourhoods

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))
N_BLOCKS, N_NULL, N_PLANTED = 10, 200, 30
"""Blocks, and crystals without and with classes of each kind in a block."""

SIDE, SPACING, NOISE = 14, 3.0, 0.1


def correlated(rng, correlation):
    """Random displacements that neighbours share, as in thermal waves, as large as the errors."""
    field = np.stack([ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), correlation) for _ in range(2)], axis=-1)
    return 1.5 * NOISE * (field / field.std()).reshape(-1, 2)


def row_waves(position, size):
    """Every other row is shifted, by `size` standard errors of a position to either side."""
    return size * NOISE * (-1.0) ** np.round(position[:, :1] / (SPACING * np.sqrt(0.75))) * [1.0, 0.0]


SLOW = 0.5
NULL = {
    "errors alone": lambda rng, position: 0.0,
    "errors alone, not known": lambda rng, position: 0.0,
    "errors alone, 8 % of the atoms missing": lambda rng, position: 0.0,
    "errors with heavy tails (Student, 5 degrees)": lambda rng, position: NOISE * rng.standard_t(5, position.shape),
    "displacements shared over a lattice vector": lambda rng, position: correlated(rng, 1.0),
    "displacements shared over two": lambda rng, position: correlated(rng, 2.0),
    "slow distortion": lambda rng, position: SLOW * np.sin(2 * np.pi * position / position.max(axis=0)),
}
PLANTED = {
    "shifted rows, 1 s.e.": (2, lambda rng, position: row_waves(position, 1.0)),
    "shifted rows, 2 s.e.": (2, lambda rng, position: row_waves(position, 2.0)),
    "shifted rows, 2 s.e., 8 % missing": (2, lambda rng, position: row_waves(position, 2.0)),
    "three atoms of ten off-centre by 6 s.e.": (
        2,
        lambda rng, position: 6 * NOISE * (rng.random((len(position), 1)) < 0.3) * [1.0, 0.0],
    ),
}


def number_of_classes(name, displace, seed):
    """Number of classes found in one crystal."""
    rng = np.random.default_rng([seed, 4])
    y, x = np.mgrid[:SIDE, :SIDE]
    position = SPACING * np.stack([np.sqrt(0.75) * y.ravel(), x.ravel() + 0.5 * (y.ravel() % 2)], axis=1)
    moved = position + displace(rng, position) + rng.normal(0, NOISE, position.shape)
    atoms = Atoms.at(moved, length_unit="angstrom")
    if "not known" not in name:
        covariance = np.broadcast_to(NOISE**2 * np.eye(2), (len(position), 2, 2))
        atoms = dataclasses.replace(atoms, covariance=covariance)
    if "missing" in name:
        atoms = atoms[rng.random(len(atoms)) >= 0.08]
    return local_crystallography(neighbourhoods(atoms, n_slots=6), atoms, rng=rng).n_classes


def write(lines):
    """Replace the table in one step."""
    TABLES.mkdir(parents=True, exist_ok=True)
    partial = TABLES / "neighbourhood_classes.partial"
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial.replace(TABLES / "neighbourhood_classes.md")


@dataclasses.dataclass(kw_only=True)
class Judged:
    """Crystals of one kind: the true number of classes, those found, and the time it took."""

    truth: int
    displace: Callable
    found: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def share(self, n_classes):
        return np.mean(np.array(self.found) == n_classes)

    def judge(self, name, seeds):
        started = time.process_time()
        self.found += [number_of_classes(name, self.displace, seed) for seed in seeds]
        self.seconds += time.process_time() - started

    def row(self, name):
        one, two = self.share(1), self.share(2)
        low, high = stats.beta.interval(0.95, *self.jeffreys)
        return (
            f"| {name} | {self.truth} | {len(self.found)} | {one:.4f} | {two:.4f} | {1 - one - two:.4f} "
            f"| {low:.4f} to {high:.4f} | {self.seconds / len(self.found):.2f} |"
        )

    @property
    def jeffreys(self):
        n_right = self.found.count(self.truth)
        return n_right + 0.5, len(self.found) - n_right + 0.5


def measure():
    """Write the table after each block; return what was judged, by name."""
    head = [
        "# Classes of neighbourhoods: false ones and true ones",
        "",
        f"Triangular crystals of {SIDE} x {SIDE} atoms, errors of {NOISE} angstrom; number of classes by evidence.",
        "Right: 95 % interval of the share of crystals whose number of classes is found.",
        "",
        "| crystal | true classes | crystals | one class | two | more | right | CPU-s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    judged = {name: Judged(truth=1, displace=displace) for name, displace in NULL.items()}
    judged |= {name: Judged(truth=truth, displace=displace) for name, (truth, displace) in PLANTED.items()}
    for block in range(N_BLOCKS):
        for name, one in judged.items():
            size = N_NULL if one.truth == 1 else N_PLANTED
            one.judge(name, range(block * size, (block + 1) * size))
        write(head + [one.row(name) for name, one in judged.items()])
    return judged


@pytest.mark.science
def test_classes_are_there_or_not():
    judged = measure()
    for name in NULL:
        assert judged[name].share(1) >= 0.95, name
    assert judged["shifted rows, 2 s.e."].share(2) >= 0.95


def test_classes_small():
    name = "displacements shared over a lattice vector"
    assert [number_of_classes(name, NULL[name], seed) for seed in range(2)] == [1, 1]
    truth, displace = PLANTED["shifted rows, 2 s.e."]
    assert number_of_classes("shifted rows", displace, 0) == truth
