"""Structural models beside dowhy's gcm on the same tables: interventional means, counterfactuals, time.

Run `python benchmarks/bench_causal_models.py --peer-python PATH` with the Python of an environment that holds dowhy.
Both fit three equations to one table, set the cause to three values, and say for each the mean outcome and what every
row would have been. On linear equations the counterfactuals must agree. The table goes to
`docs/tables/causal_models_peers.md`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tusi.causal import CausalTable
from tusi.causal.structural import Linear, Spline, StructuralModel, Structure
from tusi.datasets.causal_fields import FieldRecipe
from tusi.datasets.causal_models import AdditiveWorld, tanh_world

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "causal_models_peers.md"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
N_RUNS, SEEDS, VALUES = 3, (1, 2, 3), (-1.0, 0.0, 1.0)
ARROWS = [("cause", "mediator"), ("cause", "outcome"), ("mediator", "outcome")]
RECIPES = {"normal": FieldRecipe(), "Student t with 3": FieldRecipe(periodic=False, tail="student")}
WAYS = {"linear": ("linear regression",), "tanh": ("chosen by itself", "support vector regression")}

PEER = """
import json, sys, time
import networkx as nx
import numpy as np
import pandas as pd
from dowhy import gcm
from dowhy.gcm.ml import create_linear_regressor, create_support_vector_regressor

gcm.config.disable_progress_bars()
folder = sys.argv[1]
task = json.load(open(folder + "/task.json"))
graph = nx.DiGraph([tuple(one) for one in task["arrows"]])
made = {"linear regression": create_linear_regressor, "support vector regression": create_support_vector_regressor}

def once(table, way):
    started = time.process_time()
    model = gcm.InvertibleStructuralCausalModel(graph)
    if way in made:
        model.set_causal_mechanism("cause", gcm.EmpiricalDistribution())
        for name in ("mediator", "outcome"):
            model.set_causal_mechanism(name, gcm.AdditiveNoiseModel(made[way]()))
    else:
        gcm.auto.assign_causal_mechanisms(model, table, quality=gcm.auto.AssignmentQuality.BETTER)
    gcm.fit(model, table)
    means, rows = [], []
    for value in task["values"]:
        do = {"cause": lambda old, value=value: value}
        means.append(gcm.interventional_samples(model, do, num_samples_to_draw=len(table))["outcome"].mean())
        rows.append(gcm.counterfactual_samples(model, do, observed_data=table)["outcome"].to_numpy())
    return means, np.array(rows), time.process_time() - started

for number, (name, way) in enumerate(task["cases"]):
    table = pd.DataFrame(np.load(folder + "/" + name + ".npy"), columns=task["names"])
    gcm.util.general.set_random_seed(0)
    runs = [once(table, way) for _ in range(task["n_runs"])]
    np.savez(folder + "/found%d.npz" % number, means=runs[0][0], rows=runs[0][1], seconds=min(run[2] for run in runs))
"""
"""What runs in the peer's environment."""

Answer = Mapping[str, np.ndarray]
"""Mean outcome for each value of the cause, the outcome of every row, and the least CPU seconds."""


def linear_world(recipe: FieldRecipe, *, rng: np.random.Generator) -> AdditiveWorld:
    """Return the same noise as in the tanh world behind linear equations."""
    world = tanh_world(recipe, rng=rng)
    equations = {
        "cause": world.equations["cause"],
        "mediator": lambda value: 0.8 * value["cause"],
        "outcome": lambda value: 0.15 * value["mediator"] + 0.1 * value["cause"],
    }
    return AdditiveWorld(equations=equations, disturbance=world.disturbance, layout=world.layout)


def worlds() -> dict[tuple[str, str, int], AdditiveWorld]:
    """Return worlds by form of the equations, distribution of the noise, and seed."""
    makers = {"linear": linear_world, "tanh": tanh_world}
    return {
        (form, tail, seed): maker(recipe, rng=np.random.default_rng(seed))
        for form, maker in makers.items()
        for tail, recipe in RECIPES.items()
        for seed in SEEDS
    }


def theirs(python: str, tables: Mapping[str, CausalTable], cases: list[tuple[str, str]]) -> list[Answer]:
    """Return what dowhy says of each case, a table and a kind of equations."""
    with tempfile.TemporaryDirectory() as folder:
        names = next(iter(tables.values())).names
        task = {"arrows": ARROWS, "values": VALUES, "names": names, "cases": cases, "n_runs": N_RUNS}
        (Path(folder) / "task.json").write_text(json.dumps(task))
        for name, table in tables.items():
            np.save(Path(folder) / f"{name}.npy", table.value)
        command = [python, "-W", "ignore", "-c", PEER, folder]
        subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD}, stdout=subprocess.DEVNULL)
        return [dict(np.load(Path(folder) / f"found{number}.npz")) for number in range(len(cases))]


def ours(table: CausalTable, form: str) -> Answer:
    """Return what tusi says of a table."""
    structure = Structure.of(ARROWS, names=table.names, mechanism=Linear() if form == "linear" else Spline())
    times, said = [], []
    for _ in range(N_RUNS):
        started = time.process_time()
        model = StructuralModel.fit(table, structure)
        said = [model.do({"cause": value}) for value in VALUES]
        times.append(time.process_time() - started)
    return {
        "means": np.array([one.mean("outcome") for one in said]),
        "rows": np.array([one.column("outcome") for one in said]),
        "seconds": np.array(min(times)),
    }


def errors(answer: Answer, world: AdditiveWorld) -> np.ndarray:
    """Return the root mean square errors of rows and of means, and the seconds."""
    truth = np.array([world.under({"cause": value})["outcome"] for value in VALUES])
    rows = np.sqrt(np.mean((answer["rows"] - truth) ** 2))
    means = np.sqrt(np.mean((answer["means"] - truth.mean(axis=1)) ** 2))
    return np.array([rows, means, float(answer["seconds"])])


def lines(python: str) -> list[str]:
    """Return the rows of the table; counterfactuals of linear equations must agree."""
    known = worlds()
    tables = {"-".join(map(str, key)): world.table for key, world in known.items()}
    named = dict(zip(known, tables, strict=True))
    cases = [(key, way) for key in known for way in WAYS[key[0]]]
    found = theirs(python, tables, [(named[key], way) for key, way in cases])
    own = {key: ours(tables[named[key]], key[0]) for key in known}
    for (key, way), answer in zip(cases, found, strict=True):
        if way == "linear regression" and not np.allclose(answer["rows"], own[key]["rows"], atol=1e-8):
            raise RuntimeError(f"{key}: counterfactuals differ by {np.abs(answer['rows'] - own[key]['rows']).max()}")
    out = [
        "| equations | noise | program | RMSE of counterfactuals | rms error of the mean | CPU-ms | times tusi's |",
        "|" + " --- |" * 7,
    ]
    for form, ways in WAYS.items():
        for tail in RECIPES:
            keys = [(form, tail, seed) for seed in SEEDS]
            mine = np.mean([errors(own[key], known[key]) for key in keys], axis=0)
            out.append(_row(form, tail, f"tusi, {'straight lines' if form == 'linear' else 'splines'}", mine, mine))
            for way in ways:
                pairs = zip(cases, found, strict=True)
                their = np.mean([errors(one, known[key]) for (key, how), one in pairs if key in keys and how == way], 0)
                out.append(_row(form, tail, f"dowhy, {way}", their, mine))
    return out


def _row(form: str, tail: str, program: str, values: np.ndarray, mine: np.ndarray) -> str:
    """Return a line of the table."""
    rows, means, seconds = values
    times = f"{seconds / mine[2]:.1f}"
    return f"| {form} | {tail} | {program} | {rows:.4f} | {means:.4f} | {1e3 * seconds:.0f} | {times} |"


def main() -> None:
    """Compare and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True, help="Python of the peer's environment")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != "1" for name in ONE_THREAD):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    head = [
        "# Structural models beside dowhy",
        "",
        "A cause acts on an outcome directly and by way of a mediator, 64 x 64 independent rows, noise known to the",
        f"judge. Each program fits the equations to the same {len(SEEDS)} tables, sets the cause to -1, 0 and 1, and",
        "says the mean outcome (dowhy by drawing as many samples as there are rows) and what each row would have been.",
        f"One core, same run, least of {N_RUNS} runs; counterfactuals of linear equations are equal. dowhy 0.14,",
        "`gcm`; its time without the import.",
        "",
    ]
    TABLE.write_text("\n".join([*head, *lines(arguments.peer_python)]) + "\n", encoding="utf-8")
    print(TABLE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
