"""The project's own papers agree with each other: locks, changelog, citation, dependencies, README."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
KINDS = {"added", "changed", "fixed", "removed", "deprecated"}
LOCKS = sorted((ROOT / "requirements").glob("py*.txt"))


def name_of(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")


def locked(path: Path) -> set[str]:
    return {name_of(line) for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"[a-z]", line)}


def test_every_python_version_has_its_locks():
    minors = re.findall(r"Python :: 3\.(\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    expected = {f"py3{minor}{kind}.txt" for minor in minors for kind in ("", "-test", "-all")}
    assert {path.name for path in LOCKS} == expected


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_lock_is_hashed_complete_and_names_no_address(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|--index|--find-links|^-e", text, re.MULTILINE)
    blocks = re.split(r"\n(?=\S)", text.strip())
    unhashed = [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block or "==" not in block]
    assert not unhashed
    groups = {"": ["build"], "test": ["build", "test"], "all": ["build", "test", "lint", "docs"]}
    wanted = PROJECT["project"]["dependencies"] + [
        one for group in groups[path.stem.partition("-")[2]] for one in PROJECT["dependency-groups"][group]
    ]
    assert {name_of(one) for one in wanted} <= locked(path)


def test_changelog_fragments_have_a_kind_and_a_text():
    fragments = sorted(path for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md")
    for path in fragments:
        topic, kind, suffix = path.name.split(".")
        assert re.fullmatch(r"[a-z0-9-]+", topic), path.name
        assert kind in KINDS, path.name
        assert suffix == "md", path.name
        assert 10 < len(path.read_text(encoding="utf-8").strip()) < 800, path.name


def test_citation_states_the_version_and_licence():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {PROJECT['project']['version']}\n" in text
    assert f"\nlicense: {PROJECT['project']['license']}\n" in text


def test_every_dependency_is_argued_for():
    table = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    groups = [*PROJECT["project"]["optional-dependencies"].values(), *PROJECT["dependency-groups"].values()]
    everything = PROJECT["project"]["dependencies"] + [one for group in groups for one in group]
    missing = [name_of(one) for one in everything if f"| {name_of(one)} |" not in table]
    assert not missing


def test_tracked_files_name_no_machine():
    """No absolute path of somebody's machine and no package index in anything that is shared."""
    try:
        names = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    pattern = re.compile(r"/(?:home|Users|root|work)/\w|pypi\.org|files\.pythonhosted|registry\.npmjs")
    offenders = []
    for name in filter(None, names):
        path = ROOT / name
        if path.suffix in {".png", ".h5", ".tiff", ".npy"} or not path.is_file() or path == Path(__file__):
            continue
        found = pattern.search(path.read_text(encoding="utf-8", errors="ignore"))
        if found:
            offenders.append(f"{name}: {found[0]}")
    assert not offenders
