"""The effective sample size by Fourier sums beside the plain sum over all pairs of rows, and the cost of the tests.

Run `python benchmarks/bench_causal_independence.py`. Both sums must agree before they are timed. Times are the least
CPU times of a few runs on one core; the target is 20 ms for n_eff at 64 x 64.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import time
from collections.abc import Callable

import numpy as np

from tusi.causal import CausalTable
from tusi.causal.independence import KernelIndependence, PartialCorrelation
from tusi.datasets.causal_fields import FieldRecipe, random_field
from tusi.inference.spatial import AdaptiveHighPass, Layout, PairLags, effective_sample_size
from tusi.inference.spatial.lags import REACH

TARGET = 0.020


def least_seconds(function: Callable[[], object], n: int = 10) -> float:
    """Return the least CPU time of a few runs."""
    times = []
    for _ in range(n):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


def plain_size(x: np.ndarray, y: np.ndarray, cell: np.ndarray) -> float:
    """Return n_eff of two centred fields of one image from the matrix of all pairs, block by block."""
    shape = cell.max(axis=0) + 1
    width = 2 * shape - 1
    first, second, count = np.zeros((3, width.prod()))
    for start in range(0, len(cell), 256):
        lag = cell[start : start + 256, None] - cell[None, :] + shape - 1
        place = (lag[..., 0] * width[1] + lag[..., 1]).ravel()
        own = slice(start, start + 256)
        first += np.bincount(place, weights=np.outer(x[own], x).ravel(), minlength=len(first))
        second += np.bincount(place, weights=np.outer(y[own], y).ravel(), minlength=len(second))
        count += np.bincount(place, minlength=len(count))
    down, right = ((np.arange(w) - s + 1) / s for w, s in zip(width, shape, strict=True))
    used = (count > 0) & ((down[:, None] ** 2 + right[None, :] ** 2).ravel() <= REACH**2)
    return 1 + (x @ x) * (y @ y) / (first[used] * second[used] / count[used]).sum()


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    recipe = FieldRecipe(smoothing=2.0, periodic=False, tail="student")
    columns = {name: random_field(recipe, rng=rng).ravel() for name in "xyzw"}
    x, y = (columns[name] - columns[name].mean() for name in "xy")
    grid = Layout.grid((64, 64))
    agree = abs(effective_sample_size(x, y, layout=grid) / plain_size(x, y, grid.cell) - 1)
    assert agree < 1e-9, agree
    position = grid.cell + rng.uniform(-0.3, 0.3, (4096, 2))
    scattered = Layout.of_positions(position)
    lags = PairLags(grid)
    sums = [lags.sums(one) for one in (x, y)]
    table = CausalTable.of(columns, layout=grid)
    fast = least_seconds(lambda: effective_sample_size(x, y, layout=grid))
    rows = [
        ("n_eff of 64 x 64 sites", fast),
        ("the same by the plain sum over pairs", least_seconds(lambda: plain_size(x, y, grid.cell), 2)),
        ("the same, sums of both fields known", least_seconds(lambda: lags.variance_of_products(*sums))),
        ("n_eff of 4,096 scattered atoms", least_seconds(lambda: effective_sample_size(x, y, layout=scattered))),
    ]
    tests = {
        "linear": PartialCorrelation(),
        "adaptive": PartialCorrelation(detrending=AdaptiveHighPass()),
        "kernel": KernelIndependence(),
    }
    for name, test in tests.items():
        rows.append((f"{name}: prepare four columns", least_seconds(lambda test=test: test.prepare(table, rng=rng))))
        prepared = [test.prepare(table, rng=rng) for _ in range(5)]
        question = iter(prepared)
        rows.append((f"{name}: x and y given two", least_seconds(lambda it=question: next(it).ask(0, 1, (2, 3)), 5)))
    print("| what | CPU-ms | over n_eff |\n| --- | --- | --- |")
    for name, seconds in rows:
        print(f"| {name} | {1e3 * seconds:.1f} | {seconds / fast:.1f} |")
    print("target reached" if fast <= TARGET else "target missed")


if __name__ == "__main__":
    main()
