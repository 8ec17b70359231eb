"""Restoration beside quantem (pairs of scan angles) and HyperSpy (rigid stacks) on known truth, in the same run.

Run `python benchmarks/bench_restoration.py --peer-python PATH` with the Python of an environment that has quantem and
HyperSpy. Atoms are found in every program's image by the same `find_atoms`; errors are those of the same atoms, away
from the border, without their mean. The table goes to `docs/tables/restoration_peers.md`.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from tusi.data import NoiseModel, make_grid
from tusi.datasets.stacks import SimulatedStack, StackRecipe, simulate_stack
from tusi.finding import find_atoms, localisation_bound
from tusi.finding.matching import match_positions
from tusi.finding.restoration import NonRigid, Rigid, correct_scan_pair, register_stack

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "restoration_peers.md"
PROGRAMS = Path(__file__).with_name("restoration_programs.py")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
MARGIN, REACH = 28.0, 6.0
"""Atoms closer to the border than this do not count; found ones farther from any true one are not that atom; pixels."""

PAIRS = {
    "drift (4, -3) px, wandering .3 px": StackRecipe(
        scan_angles=(0.0, 90.0), drift=(4.0, -3.0), wander=0.3, wander_rows=80.0, dose=1000.0, line_jitter=0.1
    ),
    "drift (4, -3) px, wandering 1 px": StackRecipe(
        scan_angles=(0.0, 90.0), drift=(4.0, -3.0), wander=1.0, dose=1000.0, line_jitter=0.2
    ),
}
STACKS = {
    "jumps 4 px": StackRecipe(scan_angles=(0.0,) * 8, jump=4.0, dose=300.0),
    "jumps 4 px, distortion 1 px": StackRecipe(scan_angles=(0.0,) * 8, jump=4.0, distortion=1.0, dose=300.0),
}


def peer(python: str, program: str, world: SimulatedStack) -> tuple[np.ndarray, float]:
    """Return a peer's image and its CPU seconds, the import left out."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "movie.npy", world.movie.values)
        task = {"program": program, "angles": list(world.scan_angles)}
        (Path(folder) / "task.json").write_text(json.dumps(task))
        environment = {**os.environ, **ONE_THREAD, "MPLBACKEND": "Agg"}
        subprocess.run(
            [python, str(PROGRAMS), folder], check=True, env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        result = np.load(Path(folder) / "result.npz")
        return result["image"], float(result["seconds"])


def root_mean_square(position: np.ndarray, target: np.ndarray, shape: tuple[int, int], offset: np.ndarray) -> float:
    """Return the error of the atoms away from the border along one axis, without their mean."""
    inner = ((target > MARGIN) & (target < np.array(shape) - 1 - MARGIN)).all(axis=1)
    for _ in range(4):
        pairs = match_positions(position - offset, target[inner], REACH)
        error = position[pairs[:, 0]] - target[inner][pairs[:, 1]]
        offset = np.median(error, axis=0)
    if len(pairs) < 0.9 * inner.sum():
        raise RuntimeError(f"only {len(pairs)} of {inner.sum()} atoms were found")
    return float(np.sqrt(((error - error.mean(axis=0)) ** 2).mean()))


def atoms_of(image: np.ndarray, n_frames: int) -> np.ndarray:
    """Return the atoms of an image; pixels that a program left empty get its median."""
    image = np.where(np.isfinite(image), image, np.nanmedian(image))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return find_atoms(make_grid(image), noise=NoiseModel(gain=1 / n_frames, read_variance=1e-3)).atoms.position


def bound_of(world: SimulatedStack) -> float:
    """Return the Cramer-Rao bound of the summed dose along one axis."""
    n_frames, shape = len(world.scan_angles), world.movie.shape[1:]
    bound = localisation_bound(
        world.truth.position, n_frames * world.truth.intensity / (2 * np.pi * world.width**2), width=world.width,
        background=n_frames * world.background, shape=(shape[0], shape[1]),
    )  # fmt: skip
    return float(np.sqrt(np.diagonal(bound, axis1=1, axis2=2).mean()))


def row_of(cell: str, program: str, numbers: tuple[float, float, float, float]) -> str:
    error, bound, seconds, ours = numbers
    return f"| {cell} | {program} | {error:.3f} | {bound:.3f} | {seconds:.1f} | {seconds / ours:.1f} |"


def pair_lines(python: str, cell: str, recipe: StackRecipe, seed: int) -> list[str]:
    world = simulate_stack(recipe, rng=np.random.default_rng(seed))
    shape, truth, nothing = recipe.shape, world.truth.position, np.zeros(2)
    started = time.process_time()
    restored = correct_scan_pair(world.movie, scan_angles=world.scan_angles, noise=NoiseModel())
    ours = time.process_time() - started
    found = find_atoms(restored.image, noise=restored.noise).atoms.position
    image, seconds = peer(python, "quantem", world)
    border = 0.5 * (np.array(image.shape) - np.array(shape))
    raw = atoms_of(world.movie.values[0], 1)
    bound = bound_of(world)
    errors = {
        "tusi": root_mean_square(found, truth, shape, nothing),
        "quantem": root_mean_square(atoms_of(image, 2), truth, shape, border),
        "first frame as it is": root_mean_square(raw, truth, shape, nothing),
    }
    times = {"tusi": ours, "quantem": seconds, "first frame as it is": 0.0}
    return [row_of(cell, name, (errors[name], bound, times[name], ours)) for name in errors]


def stack_lines(python: str, cell: str, recipe: StackRecipe, seed: int) -> list[str]:
    world = simulate_stack(recipe, rng=np.random.default_rng(seed))
    shape, shared, nothing = recipe.shape, world.shared_position, np.zeros(2)
    errors, times = {}, {}
    for name, registration in (("tusi, rigid", Rigid()), ("tusi, non-rigid", NonRigid(row_jitter=False))):
        started = time.process_time()
        restored = register_stack(world.movie, registration=registration, noise=NoiseModel())
        times[name] = time.process_time() - started
        found = find_atoms(restored.image, noise=restored.noise).atoms.position
        errors[name] = root_mean_square(found, shared, shape, nothing)
    image, times["HyperSpy"] = peer(python, "hyperspy", world)
    errors["HyperSpy"] = root_mean_square(atoms_of(image, len(world.scan_angles)), shared, shape, nothing)
    bound, ours = bound_of(world), times["tusi, rigid"]
    return [row_of(cell, name, (errors[name], bound, times[name], ours)) for name in errors]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--table", type=Path, default=TABLE)
    arguments = parser.parse_args()
    warm = StackRecipe(scan_angles=(0.0, 90.0), shape=(64, 64), dose=1000.0)
    correct_scan_pair(simulate_stack(warm, rng=np.random.default_rng(0)).movie, scan_angles=(0, 90), noise=NoiseModel())
    lines = [
        "# Restoration beside other programs",
        "",
        "Frames of 256 x 256 pixels, square lattice (16 px, width 2.5 px). Errors of the same atoms along one axis,",
        "found in each program's image by the same finder, without their mean; pairs against the specimen, stacks",
        "against the mean of all frames. Bound: Cramer-Rao for the summed dose. Every program ran with its defaults on",
        "one thread.",
        "",
        "| frames | program | rms error, px | bound, px | CPU-s | times tusi |",
        "|" + " --- |" * 6,
    ]
    for seed, (cell, recipe) in enumerate(PAIRS.items()):
        lines += pair_lines(arguments.peer_python, f"pair, {cell}", recipe, seed)
        print("\n".join(lines[-3:]), flush=True)
    for seed, (cell, recipe) in enumerate(STACKS.items()):
        lines += stack_lines(arguments.peer_python, f"8 frames, {cell}", recipe, seed)
        print("\n".join(lines[-3:]), flush=True)
    arguments.table.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
