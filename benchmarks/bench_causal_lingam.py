"""DirectLiNGAM beside the package lingam on the same tables: the same order of variables, then the time of each.

Run `python benchmarks/bench_causal_lingam.py --peer-python PATH` with the Python of an environment that holds lingam.
Both through their public calls with everything that these do: lingam prunes with an adaptive lasso; tusi tests each
effect with effective samples and judges each direction. The table goes to `docs/tables/causal_lingam_peers.md`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tusi.causal import CausalTable
from tusi.causal.functional import DirectLingam
from tusi.datasets.causal_fields import FieldRecipe, linear_fields
from tusi.datasets.causal_graphs import random_acyclic_graph

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "causal_lingam_peers.md"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
N_RUNS, SEEDS = 5, (1, 2, 3)
SIZES = {(10, (25, 40)): "10 variables x 1,000 rows", (10, (100, 100)): "10 variables x 10,000 rows",
         (20, (25, 40)): "20 variables x 1,000 rows"}  # fmt: skip

PEER = """
import json, sys, time
import numpy as np
from lingam import DirectLiNGAM

folder, n_runs = sys.argv[1], int(sys.argv[2])
found = {}
for name in json.load(open(folder + "/names.json")):
    value, times = np.load(folder + "/" + name + ".npy"), []
    for _ in range(n_runs):
        started = time.process_time()
        model = DirectLiNGAM().fit(value)
        times.append(time.process_time() - started)
    found[name] = [[int(k) for k in model.causal_order_], min(times)]
json.dump(found, open(folder + "/found.json", "w"))
"""
"""What runs in the peer's environment."""


def worlds() -> dict[str, CausalTable]:
    """Return tables of independent rows with Laplace disturbances and as many arrows as variables."""
    tables = {}
    for (n_variables, shape), name in SIZES.items():
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            arrow = random_acyclic_graph(n_variables, rng=rng)
            size = rng.uniform(0.5, 1.5, arrow.shape) * rng.choice([-1, 1], arrow.shape)
            recipe = FieldRecipe(shape=shape, tail="laplace")
            tables[f"{name} | {seed}"] = linear_fields(np.where(arrow, size, 0.0), recipe, rng=rng)
    return tables


def theirs(python: str, tables: dict[str, CausalTable]) -> dict[str, tuple[list[int], float]]:
    """Return order and least CPU seconds of lingam on each table."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "names.json").write_text(json.dumps([str(k) for k in range(len(tables))]))
        for number, table in enumerate(tables.values()):
            np.save(Path(folder) / f"{number}.npy", table.value)
        command = [python, "-c", PEER, folder, str(N_RUNS)]
        subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD}, stdout=subprocess.DEVNULL)
        found = json.loads((Path(folder) / "found.json").read_text())
    return {name: tuple(found[str(k)]) for k, name in enumerate(tables)}


def ours(table: CausalTable) -> tuple[list[int], float]:
    """Return order and least CPU seconds of our search."""
    times, order = [], []
    for _ in range(N_RUNS):
        started = time.process_time()
        found = DirectLingam().find(table)
        times.append(time.process_time() - started)
        order = [table.number(name) for name in found.order]
    return order, min(times)


def lines(python: str) -> list[str]:
    """Return the rows of the table; the orders must agree."""
    tables = worlds()
    peer = theirs(python, tables)
    rows = ["| table | seed | lingam, CPU-ms | tusi, CPU-ms | tusi is faster by |", "|" + " --- |" * 5]
    for name, table in tables.items():
        order, seconds = ours(table)
        if order != peer[name][0]:
            raise RuntimeError(f"{name}: the orders differ: {order}, {peer[name][0]}")
        rows.append(f"| {name} | {1e3 * peer[name][1]:.0f} | {1e3 * seconds:.0f} | {peer[name][1] / seconds:.1f} x |")
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Compare and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True, help="Python of the peer's environment")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != "1" for name in ONE_THREAD):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    head = [
        "# DirectLiNGAM beside lingam",
        "",
        "Laplace disturbances, independent rows, one arrow per variable expected; same tables, same run, one core,",
        f"least of {N_RUNS} runs; the orders of the variables are equal. Both with pruning; tusi's time also holds",
        "effective samples, tests of the disturbances' shape, and how sure each direction is.",
        "",
    ]
    TABLE.write_text("\n".join([*head, *lines(arguments.peer_python)]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
