"""The README's example runs as it stands."""

import functools
import re
import warnings
from pathlib import Path

import numpy as np
import tifffile

from tusi.datasets import COUNTS, AlloyRecipe, simulate_alloy
from tusi.errors import TusiWarning
from tusi.generative import comparison

README = Path(__file__).parents[2] / "README.md"


def test_example_runs(tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert example.count("\n") <= 12
    recipe = AlloyRecipe(composition=0.5, model="P1", couplings=(-0.6,), shape=(240, 240), spacing=20.0)
    alloy = simulate_alloy(recipe, COUNTS, rng=np.random.default_rng(4))
    tifffile.imwrite(tmp_path / "image.tiff", alloy.grid.values.astype(np.float32))
    monkeypatch.chdir(tmp_path)
    fewer = functools.partial(comparison.HamiltonianSettings, n_permutations=99, n_bootstrap=49)
    monkeypatch.setattr(comparison, "HamiltonianSettings", fewer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TusiWarning)
        exec(compile(example, str(README), "exec"), {})
    assert "w1 = " in capsys.readouterr().out
