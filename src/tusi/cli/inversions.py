"""The result of an inversion on the terminal."""

from typing import TYPE_CHECKING

from tusi.cli.console import output

if TYPE_CHECKING:
    from tusi.study import Inversion

_SHOWN = ("model", "coupling", "value ± s.e., kT", "95 %", "R-hat", "clusters p")
_ONCE = ("model", "clusters p")


def print_inversion(inversion: "Inversion") -> None:
    """Print the verdict and a line per coupling."""
    from rich.table import Table
    from rich.text import Text

    from tusi.report import coupling_rows

    console = output()
    for i, sentence in enumerate(inversion.verdict):
        console.print(Text(sentence, style="bold" if i == 0 else ""))
    head, *rows = coupling_rows(inversion)
    shown = [i for i, title in enumerate(head) if title in _SHOWN]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for i in shown:
        table.add_column(Text(head[i]), justify="right" if i > 1 else "left", no_wrap=i > 1, overflow="fold")
    for k, row in enumerate(rows):
        again = k > 0 and rows[k - 1][0] == row[0]
        table.add_row(*(Text("" if again and head[i] in _ONCE else row[i]) for i in shown))
    console.print()
    console.print(table)
