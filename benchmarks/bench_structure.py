"""Neighbourhoods and all order parameters that are one number or a few an atom, of 100,000 atoms: CPU-s and memory.

Run `python benchmarks/bench_structure.py`. The crystal has two kinds of columns on a square lattice; its registered
lattice is given. Neighbourhoods are compared with a plain loop over the atoms on a part of the crystal. The target is
5 CPU-s for all together and memory that grows no faster than the atoms, from 25,000 to 200,000 of them. The table goes
to `docs/tables/structure.md`.
"""

import argparse
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "structure.md"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
SIDE, SIDES = 224, (112, 158, 224, 317)
"""Cells along each side: where the time is taken, and where the memory is."""

SPACING, NOISE = 3.9, 0.05
TARGET = 5.0


def crystal(side: int):
    """Return the atoms of a crystal with `side` x `side` cells of two columns, and its lattice."""
    import dataclasses

    from tusi.data import Atoms, Lattice

    rng = np.random.default_rng(11)
    row, column, kind = (part.ravel() for part in np.mgrid[:side, :side, :2])
    site = SPACING * (np.stack([row, column], axis=1) + 0.5 * kind[:, None])
    site = site + 0.1 * np.sin(2 * np.pi * site[:, ::-1] / 60)
    atoms = Atoms.at(site + rng.normal(0, NOISE, site.shape), length_unit="angstrom", intensity=np.ones(len(site)))
    atoms = dataclasses.replace(atoms, covariance=np.tile(NOISE**2 * np.eye(2), (len(site), 1, 1)))
    border = (row == 0) | (column == 0) | (row == side - 1) | (column == side - 1)
    lattice = Lattice(
        index=np.stack([row, column, kind], axis=1),
        position=site,
        atom=np.arange(len(site)),
        vacancy_probability=np.zeros(len(site)),
        domain=np.zeros(len(site)),
        boundary=border,
        vectors=SPACING * np.eye(2)[None],
        basis=np.array([[0.0, 0.0], [0.5, 0.5]]),
        length_unit="angstrom",
    )
    return atoms, lattice


def measures(atoms, lattice) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name; the first rows are neighbourhoods, all others order parameters."""
    from tusi.structure import order
    from tusi.structure.neighbourhoods import Voronoi, bond_statistics, find_neighbours, neighbourhoods

    cage = order.find_cage(lattice, centre=1)
    graph = find_neighbours(atoms, rule=Voronoi())
    return {
        "neighbourhoods by lattice step, four slots": lambda: neighbourhoods(atoms, lattice=lattice),
        "neighbours that share a Voronoi border": lambda: find_neighbours(atoms, rule=Voronoi()),
        "unit cells": lambda: order.unit_cells(atoms, lattice),
        "strain and rotation": lambda: order.strain(atoms, lattice),
        "polarisation (off-centring)": lambda: order.polarisation(atoms, lattice, cage=cage),
        "tilt": lambda: order.tilt(atoms, lattice, cage=cage),
        "bond alternation": lambda: order.bond_alternation(atoms, lattice),
        "dimerisation": lambda: order.dimerisation(atoms, lattice),
        "row curvature": lambda: order.row_curvature(atoms, lattice),
        "bond-orientational order": lambda: order.bond_order(atoms, folds=4, graph=graph),
        "scatter of displacements": lambda: order.displacement_scatter(atoms, lattice),
        "bond statistics and cell areas": lambda: bond_statistics(atoms),
    }


def by_loop(atoms, lattice) -> tuple[np.ndarray, float]:
    """Return the vectors of the same neighbourhoods from a loop over sites, and its CPU seconds."""
    from tusi.structure.neighbourhoods import nearest_steps

    start = time.process_time()
    atom_of = {tuple(index): atom for index, atom in zip(lattice.index.tolist(), lattice.atom.tolist(), strict=True)}
    steps = nearest_steps(lattice)
    vectors = []
    for (row, column, kind), atom in atom_of.items():
        if kind == 0:
            found = [atom_of.get((row + step[0], column + step[1], step[2])) for step in steps]
            vectors.append(
                [
                    [np.nan, np.nan] if other is None else list(atoms.position[other] - atoms.position[atom])
                    for other in found
                ]
            )
    return np.array(vectors), time.process_time() - start


def timed(call: Callable[[], object]) -> float:
    """Return the CPU seconds of one call, the better of two."""
    seconds = []
    for _ in range(2):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return min(seconds)


def peak(call: Callable[[], object]) -> float:
    """Return the memory that a call takes at its peak, in MB."""
    tracemalloc.start()
    call()
    megabytes = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return megabytes


def peaks(sides: tuple[int, ...]) -> tuple[list[int], dict[str, list[float]]]:
    """Return the numbers of atoms, and for each measure the memory that it takes with so many."""
    n_atoms, taken = [], {}
    for side in sides:
        atoms, lattice = crystal(side)
        n_atoms.append(len(atoms))
        for name, call in measures(atoms, lattice).items():
            call()
            taken.setdefault(name, []).append(peak(call))
    return n_atoms, taken


def loop_ratio() -> float:
    """Return how many times as long a loop takes for the same neighbourhoods, after comparing the two."""
    from tusi.structure.neighbourhoods import neighbourhoods

    atoms, lattice = crystal(SIDES[0])
    loop, seconds = by_loop(atoms, lattice)
    np.testing.assert_allclose(neighbourhoods(atoms, lattice=lattice).vector, loop, atol=1e-12)
    return seconds / timed(lambda: neighbourhoods(atoms, lattice=lattice))


def compare() -> list[str]:
    """Return the table's lines."""
    n_atoms, taken = peaks(SIDES)
    atoms, lattice = crystal(SIDE)
    seconds = {name: timed(call) for name, call in measures(atoms, lattice).items()}
    sizes = " | ".join(f"MB at {number // 1000}k" for number in n_atoms)
    lines = [
        f"CPU-s: {len(atoms)} atoms on two sublattices. MB: peak memory at growing numbers of atoms; growth: memory an",
        f"atom at {n_atoms[-1]} atoms against that at {n_atoms[0]}.",
        "",
        f"| what | CPU-s | {sizes} | growth |",
        "| --- " * (len(n_atoms) + 3) + "|",
    ]
    for name, megabytes in taken.items():
        growth = megabytes[-1] / megabytes[0] / (n_atoms[-1] / n_atoms[0])
        listed = " | ".join(f"{one:.0f}" for one in megabytes)
        lines.append(f"| {name} | {seconds[name]:.2f} | {listed} | {growth:.2f} |")
    lines.append(f"| all | {sum(seconds.values()):.2f} (target {TARGET:g}) {'| ' * (len(n_atoms) + 1)}|")
    return [*lines, "", f"A loop over the atoms takes {loop_ratio():.0f} times as long for the same neighbourhoods."]


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    if any(os.environ.get(name) != "1" for name in ONE_THREAD):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    text = "\n".join(["# Neighbourhoods and order parameters of 100,000 atoms", "", *compare()]) + "\n"
    print(text)
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    partial = TABLE.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(TABLE)


if __name__ == "__main__":
    main()
