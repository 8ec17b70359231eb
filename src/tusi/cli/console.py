"""How commands talk: results on stdout; progress, warnings and errors on stderr."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

    from tusi.study.pipeline import StepProgress


def output() -> "Console":
    """Return the console that results go to."""
    from rich.console import Console

    return Console(highlight=False)


def errors() -> "Console":
    """Return the console that everything else goes to."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def complain(text: str, *, title: str) -> None:
    """Print an error as a red panel, without traceback; what files and callers wrote is never read as markup."""
    from rich.panel import Panel
    from rich.text import Text

    errors().print(Panel(Text(text), title=title, title_align="left", border_style="red"))


@contextmanager
def told() -> Iterator["StepProgress | None"]:
    """Show one bar per step on stderr while the block runs; nothing where stderr is no terminal."""
    console = errors()
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        yield _Bars(bars)


class _Bars:
    """A `StepProgress` that keeps one bar per step."""

    def __init__(self, bars: "Bars") -> None:
        self._bars, self._tasks = bars, {}

    def __call__(self, step: str, done: int, total: int) -> None:
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=total)
        self._bars.update(self._tasks[step], completed=done, total=total)


@contextmanager
def quiet_warnings() -> Iterator[list[str]]:
    """Collect the warnings of the block instead of printing them with file names and line numbers."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield said
        finally:
            said.extend(dict.fromkeys(str(warning.message) for warning in caught))


def print_warnings(said: list[str]) -> None:
    """Print warnings on stderr, one line each."""
    from rich.text import Text

    for text in said:
        errors().print(Text.assemble(("warning: ", "yellow"), text))
