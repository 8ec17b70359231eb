"""`tusi report`: draw the report again from a result file alone."""

from pathlib import Path
from typing import Annotated

import typer

from tusi.cli.console import output


def report(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A result of `tusi analyze`.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Where the report goes.", show_default="beside the result, .html")
    ] = None,
) -> None:
    """Draw the report of a result file again."""
    from tusi import study
    from tusi.report import write_report

    page = write_report(study.load(file), out or file.with_suffix(".html"))
    output().print(str(page), markup=False, soft_wrap=True)
