"""Scan pairs corrected by quantem and stacks aligned by HyperSpy; runs in the peers' environment, without tusi.

`bench_restoration.py` calls it with a folder that holds `movie.npy` and `task.json`, and reads `result.npz` from there.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np


def quantem_pair(movie: np.ndarray, angles: list[float]) -> np.ndarray:
    """Correct the drift of images scanned at these angles; quantem counts angles the other way round."""
    from quantem.imaging import DriftCorrection

    drift = DriftCorrection.from_data(list(movie), scan_direction_degrees=[-angle for angle in angles])
    quiet = {"show_merged": False, "show_knots": False}
    drift.preprocess(**quiet)
    drift.align_affine(**quiet)
    drift.align_nonrigid(**quiet)
    return np.asarray(drift.generate_corrected_image(show_image=False).array)


def hyperspy_stack(movie: np.ndarray) -> np.ndarray:
    """Align frames rigidly to a tenth of a pixel and average them."""
    import hyperspy.api as hs

    signal = hs.signals.Signal2D(movie)
    signal.align2D(sub_pixel_factor=20, crop=False, expand=False, fill_value=np.nan, show_progressbar=False)
    return np.nanmean(signal.data, axis=0)


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    task = json.loads((folder / "task.json").read_text())
    movie = np.load(folder / "movie.npy")
    started = time.process_time()
    if task["program"] == "quantem":
        image = quantem_pair(movie, task["angles"])
    else:
        image = hyperspy_stack(movie)
    np.savez(folder / "result.npz", image=image, seconds=time.process_time() - started)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
