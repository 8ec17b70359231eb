"""N-FINDR beside pysptools on the same data, from the same start: the same end members, then the time of each.

Run `python benchmarks/bench_unmixing.py --peer-python PATH` with the Python of an environment that holds pysptools 0.15
with SciPy before 1.11 (it calls a private function of SciPy that newer ones lack), scikit-learn and matplotlib. Both
programs search the same principal coordinates; the reduction to them is timed apart. The table goes to
`docs/tables/unmixing_peers.md`.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "unmixing_peers.md"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
N_WINDOWS, N_FEATURES, SEEDS = 3721, 544, (1, 2, 3)
NUMBERS = (3, 4, 5)

PEER = """
import json, random, sys, time
import numpy as np
from pysptools.eea import eea, nfindr

folder = sys.argv[1]
found = []
for name, number, start in json.load(open(folder + "/tasks.json")):
    reduced = np.load(folder + "/" + name)
    eea._PCA_transform = lambda data, n: reduced
    random.random = lambda: (next(picks) + 0.5) / len(reduced)
    times = []
    for _ in range(5):
        picks = iter(start)
        started = time.process_time()
        rows = nfindr.NFINDR(reduced, number)[2]
        times.append(time.process_time() - started)
    found.append([sorted(int(row) for row in rows), min(times)])
json.dump(found, open(folder + "/found.json", "w"))
"""
"""What runs in the peer's environment: its search, given the coordinates and the start."""


def world(number: int, seed: int) -> np.ndarray:
    """Return mixtures of known end members with noise."""
    rng = np.random.default_rng([number, seed])
    members = rng.random((number, N_FEATURES))
    return rng.dirichlet(np.ones(number), N_WINDOWS) @ members + 0.01 * rng.standard_normal((N_WINDOWS, N_FEATURES))


def seconds(function, *arguments, n: int = 20) -> tuple[object, float]:
    """Return the result and the least CPU time of a few runs."""
    times = []
    for _ in range(n):
        started = time.process_time()
        result = function(*arguments)
        times.append(time.process_time() - started)
    return result, min(times)


def compare(python: str) -> list[str]:
    """Return the lines of the table; raises where the programs end at different windows."""
    from tusi.structure.unmixing import constrained_abundances
    from tusi.structure.unmixing.vertices import grow_simplex, principal_coordinates

    tasks, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in NUMBERS:
            for seed in SEEDS:
                data = world(number, seed)
                reduced, reducing = seconds(principal_coordinates, data, number - 1, n=2)
                start = np.random.default_rng(seed).choice(N_WINDOWS, number, replace=False)
                chosen, searching = seconds(grow_simplex, reduced, start)
                constrained_abundances(data[:2], data[chosen])
                _, fitting = seconds(constrained_abundances, data, data[chosen])
                np.save(f"{folder}/{number}-{seed}.npy", reduced)
                tasks.append([f"{number}-{seed}.npy", number, start.tolist()])
                ours.append((number, sorted(chosen.tolist()), searching, reducing, fitting))
        (Path(folder) / "tasks.json").write_text(json.dumps(tasks))
        subprocess.run([python, "-c", PEER, folder], check=True, env={**os.environ, **ONE_THREAD})
        theirs = json.loads((Path(folder) / "found.json").read_text())
    lines = [
        "| end members | seed | same windows | pysptools, CPU-s | tusi, CPU-s | faster by | reduction | abundances |",
        "|" + " --- |" * 8,
    ]
    for k, ((number, chosen, searching, reducing, fitting), (rows, peer)) in enumerate(zip(ours, theirs, strict=True)):
        if rows != chosen:
            raise RuntimeError(f"{number} end members: pysptools ends at {rows}, tusi at {chosen}")
        lines.append(
            f"| {number} | {SEEDS[k % len(SEEDS)]} | yes | {peer:.2f} | {searching:.5f} | {peer / searching:.0f} x "
            f"| {reducing:.3f} | {fitting:.4f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True, help="Python of an environment with pysptools")
    python = parser.parse_args().peer_python
    lines = [
        "# N-FINDR beside pysptools",
        "",
        f"{N_WINDOWS} windows of {N_FEATURES} features, from the same principal coordinates and the same start, least",
        "CPU seconds of some runs on one thread. Reduction: principal coordinates; abundances: exact, fully",
        "constrained, of all windows. Both are outside the compared time.",
        "",
        *compare(python),
    ]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    os.environ.update(ONE_THREAD)
    main()
