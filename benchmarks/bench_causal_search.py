"""PC beside causal-learn on the same table with the same test: the same skeletons, then the time of each.

Run `python benchmarks/bench_causal_search.py --peer-python PATH` with the Python of an environment made from
`benchmarks/peers.txt`. Both programs ask a plain Fisher z test, which takes every row as independent; that is wrong on
fields, so that the last column tells what the same search costs with the test that counts effective samples. The table
goes to `docs/tables/causal_search_peers.md`.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tusi.causal import CausalTable
from tusi.causal.constraint import PC
from tusi.causal.independence import Independence, PreparedTest
from tusi.datasets.causal_fields import FieldRecipe, linear_fields
from tusi.datasets.causal_graphs import coefficients_of_standardised, random_acyclic_graph, random_effects
from tusi.inference.spatial import Layout

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "causal_search_peers.md"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
LEVEL, N_RUNS, SEEDS = 0.01, 7, (1, 2, 3)

PEER = """
import json, sys, time
import numpy as np
from causallearn.search.ConstraintBased.PC import pc

folder, level, n_runs = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
found = {}
for name in json.load(open(folder + "/names.json")):
    value, times = np.load(folder + "/" + name + ".npy"), []
    for _ in range(n_runs):
        started = time.process_time()
        graph = pc(value, level, "fisherz", show_progress=False).G.graph
        times.append(time.process_time() - started)
    found[name] = [((graph != 0) | (graph.T != 0)).tolist(), min(times)]
json.dump(found, open(folder + "/found.json", "w"))
"""
"""What runs in the peer's environment."""


class PlainFisher(PreparedTest):
    """Fisher's z test of partial correlation in which every row counts."""

    def __init__(self, table: CausalTable) -> None:
        self.names, self._n_rows = table.names, len(table)
        self._correlation = np.corrcoef(table.value.T)

    def ask(self, x: int, y: int, given: tuple[int, ...] = ()) -> Independence:
        """Return the p-value of no partial correlation."""
        places = [x, y, *given]
        precision = np.linalg.inv(self._correlation[np.ix_(places, places)])
        partial = float(-precision[0, 1] / math.sqrt(precision[0, 0] * precision[1, 1]))
        z = math.sqrt(self._n_rows - len(given) - 3) * abs(math.atanh(partial))
        return Independence(p_value=math.erfc(z / math.sqrt(2)), estimate=partial, n_effective=self._n_rows)


def worlds() -> dict[str, CausalTable]:
    """Return the tables: independent rows, and atoms with smooth fields."""
    tables = {}
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        for name, n_variables, smoothing in (("10 variables x 10,000 independent rows", 10, 0.0),
                                             ("8 descriptors x 10,000 atoms, ell = 1", 8, 1.0)):  # fmt: skip
            arrow = random_acyclic_graph(n_variables, rng=rng)
            coefficients = coefficients_of_standardised(random_effects(arrow, rng=rng))
            recipe = FieldRecipe(shape=(100, 100), smoothing=smoothing, periodic=False)
            table = linear_fields(coefficients, recipe, rng=rng)
            if smoothing:
                position = 3.0 * table.cell + 0.2 * rng.standard_normal((len(table), 2))
                columns = dict(zip(table.names, table.value.T, strict=True))
                table = CausalTable.of(columns, layout=Layout.of_positions(position))
            tables[f"{name} | {seed}"] = table
    return tables


def theirs(python: str, tables: dict[str, CausalTable]) -> dict[str, tuple[np.ndarray, float]]:
    """Return skeleton and least CPU seconds of causal-learn on each table."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "names.json").write_text(json.dumps([str(k) for k in range(len(tables))]))
        for number, table in enumerate(tables.values()):
            np.save(Path(folder) / f"{number}.npy", table.value)
        command = [python, "-c", PEER, folder, str(LEVEL), str(N_RUNS)]
        subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD}, stdout=subprocess.DEVNULL)
        found = json.loads((Path(folder) / "found.json").read_text())
    return {name: (np.array(found[str(k)][0]), found[str(k)][1]) for k, name in enumerate(tables)}


def ours(search: PC, table: CausalTable, *, plain: bool) -> tuple[np.ndarray, float]:
    """Return skeleton and least CPU seconds of our search."""
    times, adjacent = [], np.zeros(())
    for _ in range(N_RUNS if plain else 1):
        started = time.process_time()
        found = search.search(PlainFisher(table)) if plain else search.find(table)
        times.append(time.process_time() - started)
        adjacent = found.adjacent
    return adjacent, min(times)


def lines(python: str) -> list[str]:
    """Return the rows of the table; skeletons must agree."""
    tables = worlds()
    peer = theirs(python, tables)
    rows = [
        "| table | seed | edges, plain | causal-learn, CPU-ms | tusi, CPU-ms | ratio | effective samples, CPU-ms |",
        "|" + " --- |" * 7,
    ]
    for name, table in tables.items():
        adjacent, seconds = ours(PC(level=LEVEL), table, plain=True)
        if not np.array_equal(adjacent, peer[name][0]):
            raise RuntimeError(f"{name}: the skeletons differ")
        _, spatial = ours(PC(level=LEVEL), table, plain=False)
        rows.append(
            f"| {name} | {adjacent.sum() // 2} | {1e3 * peer[name][1]:.1f} | {1e3 * seconds:.1f} "
            f"| {peer[name][1] / seconds:.1f} x | {1e3 * spatial:.0f} |"
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Compare and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True, help="Python of the peers' environment")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != "1" for name in ONE_THREAD):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    head = [
        "# Causal search beside causal-learn",
        "",
        f"PC (order-independent) at level {LEVEL:g} through each program's public call, plain Fisher z in both, same",
        f"tables, same run, one core, least of {N_RUNS} runs; the skeletons are equal. tusi judges triples by all",
        "separating sets (majority), causal-learn by those that it came upon. Last column: tusi with the partial",
        "correlation that counts effective samples, positions scattered.",
        "",
    ]
    TABLE.write_text("\n".join([*head, *lines(arguments.peer_python)]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
