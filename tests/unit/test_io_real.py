"""Real files of instruments: shape and scale as their source states."""

import importlib.util
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from tusi.errors import MetadataWarning
from tusi.io import describe, read

# file: (package it needs, dims, shape, step along each dim in the grid's unit or None)
FILES = {
    "formats/EELS_SI.dm4": ("rsciio", "y x energy", (2, 2, 2048), (19.92, 19.92, 1.0)),
    "formats/test_STEM_image.dm3": ("rsciio", "y x", (68, 68), (2.48538, 2.48538)),
    "formats/test_diffraction_pattern.dm3": ("rsciio", "ky kx", (87, 87), (0.0174433, 0.0174433)),
    "formats/03_Scanning Preview_1.ser": ("rsciio", "frame y x", (5, 128, 128), (1, 3.84352, 3.84352)),
    "formats/03_Scanning Preview.emi": ("rsciio", "frame y x", (5, 128, 128), (1, 3.84352, 3.84352)),
    "formats/hrstem_example.ser": ("rsciio", "y x", (1024, 1024), (0.52407, 0.52407)),
    "formats/test1.blo": ("rsciio", "y x ky kx", (3, 2, 144, 144), (128.0, 128.0, 0.016062, 0.016062)),
    "formats/HAADFscan.mrc": ("", "y x", (16, 16), (56.79131, 56.79131)),
    "formats/EMDReader_SpectrumImage_Si.emd": ("", "frame y x", (5, 16, 16), (1, 53.02415, 53.02415)),
    "formats/scan_0001.ibw": ("igor2", "y x", (256, 256), (196.078, 196.078)),
    "formats/MoS2.nid": ("", "y x", (256, 512), (155.21, 77.605)),
    "formats/test.gwy": ("gwyfile", "y x", (128, 128), (1.0, 1.0)),
    "formats/sample_0.top": ("", "y x", (512, 512), (9.77, 9.77)),
    "formats/sample_0.jpk": ("", "y x", (256, 256), (12.77, 12.77)),
    "stm-sxm/example_TOPO.sxm": ("nanonispy2", "y x", (256, 256), (50 / 256, 50 / 256)),
    "stm-sxm/A151216.123306-02602.sxm": ("nanonispy2", "y x", (128, 128), (20 / 128, 20 / 128)),
    "pfm-switching/PZT_thick0004.h5": ("", "y x", (256, 256), (117.647, 117.647)),
    "beps/BEPS_PTO_50x50.h5": ("", "bias y x", (64, 50, 50), (0.53125, 408.163, 408.163)),
    "edx-71gpa/71GPa_experimental_data.hspy": ("", "y x energy", (201, 201, 2048), (17.16536, 17.16536, 10.0)),
    "pto-sro/Cropped_PTO-SRO_Aligned.hspy": ("", "y x", (224, 1312), (0.149968, 0.149968)),
    "more2/re05.tiff": ("", "y x", (761, 762), (1.0, 1.0)),
    "mores2-re48/re48.tiff": ("", "y x", (687, 772), (1.0, 1.0)),
}


@pytest.mark.parametrize("name", FILES)
def test_real_file(name):
    package, dims, shape, steps = FILES[name]
    if "TUSI_DATA" not in os.environ:
        pytest.skip("TUSI_DATA is not set: no real files")
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install 'tusi[microscopes,probes]'")
    path = Path(os.environ["TUSI_DATA"]) / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetadataWarning)
        grid = read(path)
    assert grid.dims == tuple(dims.split())
    assert grid.shape == shape
    for dim, step in zip(grid.dims, steps, strict=True):
        assert float(grid[dim][1] - grid[dim][0]) == pytest.approx(step, rel=1e-3), dim
    assert np.isfinite(grid.values).all()
    assert str(describe(path)).startswith(path.name)
