"""`import tusi` and `tusi --help` stay instant: what they load is checked, and their time beside bare Python."""

import subprocess
import sys
import time

import pytest

HEAVY = ("dask", "distributed", "h5py", "matplotlib", "numba", "numpy", "scipy", "xarray", "zarr")
HELP = "import sys; sys.argv = ['tusi', '--help']; from tusi.cli import main; main()"


def loaded_by(code: str) -> set[str]:
    report = "import sys, atexit; atexit.register(lambda: print('\\nLOADED', *sys.modules))\n"
    run = subprocess.run([sys.executable, "-c", report + code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return {name.split(".")[0] for name in run.stdout.rsplit("LOADED", 1)[1].split()}


def seconds(code: str, n_runs: int = 3) -> float:
    """Return the least time of a few fresh interpreters, which is the least disturbed by the rest of the machine."""
    times = []
    for _ in range(n_runs):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        times.append(time.perf_counter() - started)
    return min(times)


def test_import_loads_nothing_heavy():
    assert loaded_by("import tusi").isdisjoint(HEAVY)


def test_help_loads_nothing_heavy():
    assert loaded_by(HELP).isdisjoint(HEAVY)


@pytest.mark.parametrize(("code", "most"), [("import tusi", 12.0), (HELP, 40.0)], ids=["import", "help"])
def test_start_is_quick_beside_bare_python(code, most):
    """Bounds about twice the promise (0.3 s and 0.6 s where bare Python takes 30 ms), for a busy machine."""
    assert seconds(code) < most * max(seconds("pass"), 0.02)
