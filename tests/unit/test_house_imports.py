"""The import contract can fail: each way of breaking it, tried on a copy, is reported."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BREAKS = {
    "upward import": (
        "finding/wrong.py",
        "import tusi.structure\n",
        "tusi.finding is not allowed to import tusi.structure",
    ),
    "sideways import": ("imaging/wrong.py", "import tusi.io\n", "tusi.imaging is not allowed to import tusi.io"),
    "undeclared package": ("helpers/__init__.py", "", "tusi.helpers"),
    "a definition that samples": (
        "generative/lattice/wrong.py",
        "import tusi.generative.montecarlo\n",
        "tusi.generative.lattice is not allowed to import tusi.generative.montecarlo",
    ),
    "neighbourhoods that know modes": (
        "structure/neighbourhoods/wrong.py",
        "import tusi.structure.modes\n",
        "tusi.structure.neighbourhoods is not allowed to import tusi.structure.modes",
    ),
    "a test that knows searches": (
        "causal/independence/wrong.py",
        "import tusi.causal.posterior\n",
        "tusi.causal.independence is not allowed to import tusi.causal.posterior",
    ),
    "drawing in the data": ("data/wrong.py", "import matplotlib\n", "tusi.data is not allowed to import matplotlib"),
    "copyleft in the core": ("finding/wrong.py", "import rsciio\n", "tusi.finding is not allowed to import rsciio"),
}


def lint_imports(tree: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "COLUMNS": "200"}
    return subprocess.run(
        [*command, "--no-cache"], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_contract_is_kept(tree):
    result = lint_imports(tree)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("how", BREAKS)
def test_contract_breaks(tree, how):
    name, code, complaint = BREAKS[how]
    broken = tree / "src" / "tusi" / name
    broken.parent.mkdir(exist_ok=True)
    broken.write_text(code)
    result = lint_imports(tree)
    assert result.returncode == 1
    assert complaint in " ".join(result.stdout.split())
