"""Finding and refining atoms against atomap and trackpy: time and error on the same images with known truth.

Run `python benchmarks/bench_finding.py --peer-python PATH` with the Python of an environment made from
`benchmarks/peers.txt`. The peers start from the same positions that a user would give them: atomap and trackpy are told
the spacing and size of the spots, which tusi estimates. The table goes to `docs/tables/finding.md`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "finding.md"
SETTINGS = (("square", 300.0), ("square", 3000.0), ("honeycomb", 300.0), ("honeycomb", 3000.0))
SPACING = {"square": 16.0, "honeycomb": 14.2}
PEER_SHAPE, LARGE_SHAPE = (400, 400), (1024, 1024)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def score(position: np.ndarray, world) -> tuple[float, int]:
    """Return the root mean square error per axis away from the edges, and the number of atoms that it rests on."""
    from tusi.data import Atoms
    from tusi.finding import match_atoms

    match = match_atoms(Atoms.at(position, length_unit="pixel"), world.truth, radius=world.width)
    truth = world.truth.position[match.pairs[:, 1]]
    inside = ((truth > 4 * world.width) & (truth < np.array(world.grid.shape) - 1 - 4 * world.width)).all(axis=1)
    return float(np.sqrt((match.displacement[inside] ** 2).mean())), int(inside.sum())


def ours(world) -> tuple[np.ndarray, float]:
    """Return positions and CPU seconds."""
    from tusi.finding import find_atoms

    start = time.process_time()
    finding = find_atoms(world.grid, noise=world.noise)
    return finding.atoms.position, time.process_time() - start


def theirs(world, lattice: str, python: str) -> dict:
    """Run the peers on one image in their own environment; return positions and CPU seconds of each."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "image.npz", image=world.grid.values, spacing=SPACING[lattice], width=world.width)
        command = [python, __file__, "--peer", folder]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD}, **quiet)
        return json.loads((Path(folder) / "result.json").read_text())


def run_peers(folder: str) -> None:
    """Find atoms with the peers; this part runs in their environment and does not import tusi."""
    data = np.load(Path(folder) / "image.npz")
    result = {
        "atomap": run_atomap(data["image"], float(data["spacing"])),
        "trackpy": run_trackpy(data["image"], float(data["width"])),
    }
    (Path(folder) / "result.json").write_text(json.dumps(result))


def run_atomap(image: np.ndarray, spacing: float) -> dict:
    """Detect, centre of mass, then one Gaussian fit per atom: atomap's documented way."""
    import atomap.api as am
    from hyperspy.signals import Signal2D

    start = time.process_time()
    signal = Signal2D(image.astype(float))
    position = am.get_atom_positions(signal, separation=int(0.6 * spacing))
    sublattice = am.Sublattice(position, image=signal.data)
    sublattice.find_nearest_neighbors()
    sublattice.refine_atom_positions_using_center_of_mass(show_progressbar=False)
    sublattice.refine_atom_positions_using_2d_gaussian(show_progressbar=False)
    seconds = time.process_time() - start
    return {"position": np.column_stack([sublattice.y_position, sublattice.x_position]).tolist(), "seconds": seconds}


def run_trackpy(image: np.ndarray, width: float) -> dict:
    """Band-pass and centre of mass."""
    import trackpy

    trackpy.quiet()
    diameter = 2 * round(2.2 * width) + 1
    trackpy.locate(image[:64, :64], diameter, engine="numba")
    start = time.process_time()
    table = trackpy.locate(image, diameter, engine="numba", separation=1.5 * width)
    return {"position": table[["y", "x"]].to_numpy().tolist(), "seconds": time.process_time() - start}


def peak_memory(lattice: str) -> float:
    """Return the memory that one large image adds to a fresh process at its peak, in MB."""
    from tusi.datasets import localisation_world

    world = localisation_world(lattice, rng=np.random.default_rng(1), dose=300.0, shape=LARGE_SHAPE)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "image.npy", world.grid.values)
        command = [sys.executable, __file__, "--memory", folder]
        answer = subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True)
    return float(answer.stdout)


def print_memory(folder: str) -> None:
    """Print what finding adds to this process; compiled code and the image itself are there before."""
    from tusi.data import NoiseModel, make_grid
    from tusi.finding import find_atoms

    image = np.load(Path(folder) / "image.npy")
    find_atoms(make_grid(image[:128, :128]), noise=NoiseModel())
    tracemalloc.start()
    find_atoms(make_grid(image), noise=NoiseModel())
    print(tracemalloc.get_traced_memory()[1] / 2**20)


def compare(python: str | None) -> list[str]:
    """Return the table's lines."""
    from tusi.datasets import localisation_world

    lines = [
        "| image | program | atoms compared | error, px | CPU-s per 1000 atoms | atoms per CPU-s | times slower |",
        "|" + " --- |" * 7,
    ]
    for lattice, dose in SETTINGS:
        world = localisation_world(lattice, rng=np.random.default_rng(7), dose=dose, shape=LARGE_SHAPE)
        small = (
            world
            if python is None
            else localisation_world(lattice, rng=np.random.default_rng(7), dose=dose, shape=PEER_SHAPE)
        )
        ours(small)
        rows = []
        for label, image in (("tusi", world), ("tusi, small image", small)):
            position, seconds = ours(image)
            rows.append((label, *score(position, image), 1000 * seconds / len(position)))
        if python is not None:
            for label, found in theirs(small, lattice, python).items():
                position = np.array(found["position"]).reshape(-1, 2)
                rows.append((label, *score(position, small), 1000 * found["seconds"] / max(len(position), 1)))
        reference = rows[1][3]
        for label, error, n_atoms, cost in rows:
            lines.append(
                f"| {lattice}, {dose:g} e/px | {label} | {n_atoms} | {error:.4f} | {cost:.3g} "
                f"| {1000 / cost:.0f} | {cost / reference:.3g} |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", help="Python of the peers' environment")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return run_peers(arguments.peer)
    if arguments.memory:
        return print_memory(arguments.memory)
    if any(os.environ.get(name) != "1" for name in ONE_THREAD):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    lines = compare(arguments.peer_python)
    memory = {lattice: peak_memory(lattice) for lattice in ("square", "honeycomb")}
    lines += ["", *(f"Extra memory at 1024x1024, {name}: {value:.0f} MB at most." for name, value in memory.items())]
    text = "\n".join(["# Finding beside atomap and trackpy", "", *lines]) + "\n"
    print(text)
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    partial = TABLE.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(TABLE)
    return None


if __name__ == "__main__":
    main()
