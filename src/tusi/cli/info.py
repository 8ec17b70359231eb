"""`tusi info`: what is in a file, from its headers."""

from pathlib import Path
from typing import Annotated

import typer

from tusi.cli.console import output


def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An image, a table of atoms, or a result of tusi.")],
) -> None:
    """Say what is in a file."""
    from tusi.io import describe  # noqa: PLC0415

    found = describe(file)
    output().print(str(found), markup=False, soft_wrap=True)
    if found.kind == "result":
        from tusi import study  # noqa: PLC0415
        from tusi.cli.analyze import print_summary  # noqa: PLC0415

        analysis = study.load(file)
        output().print()
        print_summary(analysis)
        output().print(f"\nmade by: {analysis.provenance.command}", markup=False, soft_wrap=True)
