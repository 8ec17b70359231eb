"""Pages of calibrations under docs/tables, rewritten part by part: what was measured before stays."""

import dataclasses
import os
from pathlib import Path

from tusi.inference import binomial_interval

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))


@dataclasses.dataclass(frozen=True)
class Page:
    """A page of several tables, each under a title of its own."""

    name: str
    head: str
    titles: tuple[str, ...]

    def put(self, title, lines):
        """Put one part in its place; the others stay as they are."""
        path = TABLES / self.name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        parts = dict(part.split("\n", 1) for part in old.split("\n## ")[1:])
        parts[title] = "\n".join(lines)
        body = "".join(f"\n## {one}\n\n{parts[one].strip()}\n" for one in self.titles if one in parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{self.head.strip()}\n{body}", encoding="utf-8")


class Section:
    """One table of a page, written row by row."""

    def __init__(self, page, title, text, columns):
        self.page, self.title = page, title
        self.lines = [text, "", self._row(columns), self._row(["---"] * len(columns))]

    @staticmethod
    def _row(cells):
        return "| " + " | ".join(str(cell) for cell in cells) + " |"

    def add(self, *cells):
        """Add a row and write the page."""
        self.lines.append(self._row(cells))
        self.page.put(self.title, self.lines)


def share(n_hits, n_trials):
    """Return a share with its 95 % limits, in per cent."""
    low, high = binomial_interval(int(n_hits), max(int(n_trials), 1))
    return f"{100 * n_hits / max(n_trials, 1):.1f} % ({100 * low:.1f}-{100 * high:.1f})"
