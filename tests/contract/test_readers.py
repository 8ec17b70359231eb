"""Every reader keeps the contract, on files made here and on real ones."""

import importlib.util
import os
from pathlib import Path

import pytest

from tusi.testing import check_reader
from tusi.testing.example_files import EXAMPLES

REAL = {
    "formats/EELS_SI.dm4": "rsciio",
    "formats/test_STEM_image.dm3": "rsciio",
    "formats/test_diffraction_pattern.dm3": "rsciio",
    "formats/03_Scanning Preview_1.ser": "rsciio",
    "formats/test1.blo": "rsciio",
    "formats/HAADFscan.mrc": "",
    "formats/EMDReader_SpectrumImage_Si.emd": "",
    "formats/scan_0001.ibw": "igor2",
    "formats/test.gwy": "gwyfile",
    "formats/sample_0.top": "",
    "stm-sxm/A151216.123306-02602.sxm": "nanonispy2",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_core_reader_keeps_the_contract(name, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    check_reader(EXAMPLES[name](tmp_path), folder=damaged)


@pytest.mark.parametrize("name", REAL)
def test_reader_keeps_the_contract_on_a_real_file(name, tmp_path):
    if "TUSI_DATA" not in os.environ:
        pytest.skip("TUSI_DATA is not set: no real files")
    if REAL[name] and importlib.util.find_spec(REAL[name]) is None:
        pytest.skip(f"{REAL[name]} is not installed: pip install 'tusi[microscopes,probes]'")
    check_reader(Path(os.environ["TUSI_DATA"]) / name, folder=tmp_path, n_truncations=6)
