"""CPU time and peak memory of rigid registration against the number of frames of a Dask-backed movie.

Run `python benchmarks/bench_restoration_movies.py --frames 25 100 400`. Each length runs in a process of its own; the
movie lies in a file and is read ten frames at a time. Memory is the largest resident set, less what the process held
before the registration.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dask.array as da
import numpy as np
import xarray as xr

from tusi.data import NoiseModel, make_grid
from tusi.datasets.stacks import StackRecipe, simulate_stack
from tusi.finding.restoration import Rigid, register_stack
from tusi.numerics.warping import sample_moved, spline_coefficients

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
CHUNK, JUMP, MARGIN = 10, 4.0, 20
"""Frames that are read at once, standard deviation of the shifts and what every frame is cropped by, in pixels."""


def write_movie(path: Path, n_frames: int, side: int) -> np.ndarray:
    """Write noisy frames of one specimen at random places, and return where they lie, (frame, 2) in pixels."""
    rng = np.random.default_rng(0)
    whole = side + 2 * MARGIN
    recipe = StackRecipe(scan_angles=(0.0, 0.0), shape=(whole, whole), dose=3e4)
    specimen = simulate_stack(recipe, rng=rng).movie.values[0] * 1e-2
    spline, inner = spline_coefficients(specimen), slice(MARGIN, MARGIN + side)
    place = np.clip(rng.normal(0, JUMP, (n_frames, 2)), 1 - MARGIN, MARGIN - 1)
    with path.open("wb") as file:
        for move in place:
            frame = np.maximum(sample_moved(spline, move)[inner, inner], 0.0)
            file.write(rng.poisson(frame).astype(np.float32).tobytes())
    return place


def lazy_movie(path: Path, n_frames: int, side: int) -> xr.DataArray:
    """Return the frames of a file, read a chunk at a time."""

    def read(block_info: dict) -> np.ndarray:
        first, last = block_info[None]["array-location"][0]
        count = (last - first) * side**2
        return np.fromfile(path, np.float32, count, offset=4 * first * side**2).reshape(-1, side, side)

    sizes = tuple(min(CHUNK, n_frames - first) for first in range(0, n_frames, CHUNK))
    blocks = {"chunks": (sizes, (side,), (side,)), "dtype": np.float32, "meta": np.empty((0, 0, 0), np.float32)}
    frames = da.map_blocks(read, **blocks)
    grid = make_grid(np.zeros((side, side)))
    frame = xr.DataArray(np.arange(n_frames), dims="frame", attrs={"units": "1"})
    coordinates = {"frame": frame, "y": grid.coords["y"], "x": grid.coords["x"]}
    return xr.DataArray(frames, dims=("frame", "y", "x"), coords=coordinates, attrs=grid.attrs)


def largest_resident_set() -> float:
    """Return the largest memory that this process had so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(n_frames: int, side: int) -> None:
    """Print one row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "movie.raw"
        place = write_movie(path, n_frames, side)
        register_stack(lazy_movie(path, 2, side), registration=Rigid(), noise=NoiseModel())
        movie, n_read, before = lazy_movie(path, n_frames, side), [0], largest_resident_set()

        def count(done: int, _: int) -> None:
            n_read[0] = done

        started = time.process_time()
        restored = register_stack(movie, registration=Rigid(), noise=NoiseModel(), progress=count)
        seconds = time.process_time() - started
    error = restored.displacement.coefficient[:, :, 0] - (place - place.mean(axis=0))
    cells = [
        str(n_frames), f"{seconds:.0f}", f"{100 * seconds / n_frames:.0f}", f"{n_read[0] / n_frames:.0f}",
        f"{largest_resident_set() - before:.0f}", f"{np.sqrt((error**2).mean()):.4f}",
    ]  # fmt: skip
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[25, 100, 400])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--alone", action="store_true", help="measure one length in this process")
    arguments = parser.parse_args()
    if arguments.alone:
        measure(arguments.frames[0], arguments.side)
        return
    print("| frames | CPU-s | CPU-s / 100 frames | reads of a frame | more memory, MiB | rms error, px |")
    print("|" + " --- |" * 6, flush=True)
    for n_frames in arguments.frames:
        call = [sys.executable, __file__, "--alone", "--frames", str(n_frames), "--side", str(arguments.side)]
        subprocess.run(call, check=True, env={**os.environ, **ONE_THREAD})


if __name__ == "__main__":
    main()
