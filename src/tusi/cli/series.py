"""Simulated series on disk: one TIFF and one table of true columns per image, and one file that says what is true."""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tusi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tusi.datasets import SimulatedAlloy

TRUTH = "truth.json"
"""Name of the file that says what is true."""


def write_series(alloys: "Sequence[SimulatedAlloy]", folder: Path, *, seed: int) -> list[Path]:
    """Write images, true columns and the truth; return the images."""
    from tusi.data.storage import write_atomically  # noqa: PLC0415
    from tusi.io import write_atoms  # noqa: PLC0415

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "out", expected="a folder that can be made", got=f"{str(folder)!r} ({error.strerror})"
        ) from error
    names = names_of(alloys)
    for name, alloy in zip(names, alloys, strict=True):
        write_atomically(folder / f"{name}.tiff", tiff_of(alloy))
        write_atoms(alloy.truth, folder / f"{name}-truth.csv")
    text = json.dumps(truth_of(alloys, names, seed=seed), indent=2, ensure_ascii=False)
    write_atomically(folder / TRUTH, f"{text}\n".encode())
    return [folder / f"{name}.tiff" for name in names]


def names_of(alloys: "Sequence[SimulatedAlloy]") -> list[str]:
    """Return a name per image that says its composition, e.g. "Re55"."""
    names = [f"{alloy.recipe.species[1]}{100 * alloy.recipe.composition:02.0f}" for alloy in alloys]
    return [name if names.count(name) == 1 else f"{name}-{names[: i + 1].count(name)}" for i, name in enumerate(names)]


def tiff_of(alloy: "SimulatedAlloy") -> bytes:
    """Return the image as a TIFF file, with its scale where it has one."""
    import tifffile  # noqa: PLC0415

    from tusi.data import length_unit_of, pixel_size_of  # noqa: PLC0415

    values = alloy.grid.values
    whole = bool((values == np.rint(values)).all() and values.min() >= 0)
    bits = 8 if whole and values.max() < 256 and alloy.acquisition.display is not None else 16
    kind = np.float32 if not whole or values.max() >= 65536 else np.uint8 if bits == 8 else np.uint16
    scale = {}
    if length_unit_of(alloy.grid) == "angstrom":
        per_nm = 10 / pixel_size_of(alloy.grid)
        scale = {"resolution": (per_nm, per_nm), "metadata": {"unit": "nm"}, "imagej": True}
    content = io.BytesIO()
    tifffile.imwrite(content, values.astype(kind), **scale)
    return content.getvalue()


def truth_of(alloys: "Sequence[SimulatedAlloy]", names: list[str], *, seed: int) -> dict:
    """Return what is true about a series."""
    recipe = alloys[0].recipe
    return {
        "seed": seed,
        "model": recipe.model,
        "couplings_kT": list(recipe.couplings),
        "species": list(recipe.species),
        "images": [
            {
                "file": f"{name}.tiff",
                "columns": f"{name}-truth.csv",
                "composition": alloy.composition,
                "crystal_composition": alloy.recipe.composition,
                "n_columns": len(alloy.truth),
                "n_clusters": alloy.n_clusters,
                "recipe": repr(alloy.recipe),
                "acquisition": repr(alloy.acquisition),
            }
            for name, alloy in zip(names, alloys, strict=True)
        ],
    }
