"""Run the full calibrations and say in the documentation which tables they wrote, and from which commit.

`make science` runs this. The tests marked `science` write one Markdown file each into `docs/tables/`; this script adds
`docs/tables/index.md`, which names the commit, the machine's Python and the versions that decide the numbers.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "docs" / "tables"
LIBRARIES = ("numpy", "scipy", "numba", "xarray", "tusi")


def commit() -> str:
    """Return the commit, and whether the source has changed since."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "tests")
    return f"`{git('rev-parse', 'HEAD')}`" + (" with changes that were not committed" if changed else "")


def title_of(table: Path) -> str:
    """Return the first heading of a table's page, or its name."""
    lines = (
        line.lstrip("# ").strip() for line in table.read_text(encoding="utf-8").splitlines() if line.startswith("#")
    )
    return next(lines, table.stem)


def recorded(index: Path) -> dict[str, str]:
    """Return what the present index says each table was made from."""
    rows = (line.split(" | ") for line in index.read_text(encoding="utf-8").splitlines() if line.startswith("| ["))
    return {row[0].split("](")[0].removeprefix("| ["): row[2].rstrip(" |") for row in rows}


def write_index(*, made_from: str, since: float) -> Path:
    """List every table with its title and the commit that it was made from; those written since are new."""
    index = TABLES / "index.md"
    origin = recorded(index) if index.exists() else {}
    tables = sorted(path for path in TABLES.glob("*.md") if path.name != "index.md")
    origin |= {path.name: made_from for path in tables if path.stat().st_mtime >= since}
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    lines = [
        "# Tables of the calibrations",
        "",
        "`make science` writes the tables and notes the commit that each was made from; `make science ONLY=name`",
        f"renews some of them. Last run with Python {platform.python_version()} and {versions}.",
        "",
        "| file | what it shows | made from |",
        "| --- | --- | --- |",
        *(f"| [{path.name}]({path.name}) | {title_of(path)} | {origin.get(path.name, 'unknown')} |" for path in tables),
    ]
    index.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return index


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default="2", help="number of tests that run at the same time")
    parser.add_argument("--only", default="", help="run only the tests whose names match (as pytest -k)")
    options = parser.parse_args()
    TABLES.mkdir(parents=True, exist_ok=True)
    made_from, started = commit(), time.time()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "science",
        "-n",
        options.workers,
        "tests",
        "-k",
        options.only,
    ]
    status = subprocess.run(command, cwd=ROOT, env=os.environ | {"TUSI_TABLES": str(TABLES)}, check=False).returncode
    print(f"wrote {write_index(made_from=made_from, since=started).relative_to(ROOT)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
