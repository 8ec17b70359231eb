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
        _print_result(file)


def _print_result(file: Path) -> None:
    """Print what a result says, and the command that made it."""
    from tusi.cli.analyze import print_summary  # noqa: PLC0415
    from tusi.cli.inversions import print_inversion  # noqa: PLC0415
    from tusi.cli.phase_diagram import print_diagram  # noqa: PLC0415
    from tusi.cli.unmix import summary_of  # noqa: PLC0415
    from tusi.data import storage  # noqa: PLC0415
    from tusi.generative.prediction import PhaseDiagram  # noqa: PLC0415
    from tusi.report.phase_diagram import transitions_of  # noqa: PLC0415
    from tusi.structure.unmixing import ImageUnmixing  # noqa: PLC0415
    from tusi.study import Analysis, Inversion  # noqa: PLC0415
    from tusi.study.files import CLASSES  # noqa: PLC0415

    result = storage.load(file, classes=CLASSES)
    output().print()
    if isinstance(result, Analysis):
        print_summary(result)
    elif isinstance(result, Inversion):
        print_inversion(result)
    elif isinstance(result, PhaseDiagram):
        print_diagram(result, transitions_of(result))
        return
    elif isinstance(result, ImageUnmixing):
        for line in summary_of(result)["says"]:
            output().print(line, markup=False, soft_wrap=True)
        return
    else:
        output().print(type(result).__name__, markup=False)
        return
    output().print(f"\nmade by: {result.provenance.command}", markup=False, soft_wrap=True)
