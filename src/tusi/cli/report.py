"""`tusi report`: draw the report again from a result file alone."""

from pathlib import Path
from typing import Annotated

import typer

from tusi.cli.console import output
from tusi.errors import InputError


def report(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A result of `tusi analyze`, `causes`, `fit-hamiltonian` or `phase-diagram`.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where the report goes.", show_default="beside the result, .html")
    ] = None,
) -> None:
    """Draw the report of a result file again."""
    from tusi.data import storage
    from tusi.generative.prediction import PhaseDiagram
    from tusi.report import write_inversion_report, write_phase_diagram_report, write_report
    from tusi.report.causes import write_causes_report
    from tusi.study import Analysis, Inversion
    from tusi.study.causes import CausalAnalysis
    from tusi.study.causes.movies import MovieCauses
    from tusi.study.files import CLASSES

    found, path = storage.load(file, classes=CLASSES), out or file.with_suffix(".html")
    if isinstance(found, Analysis):
        page = write_report(found, path)
    elif isinstance(found, CausalAnalysis | MovieCauses):
        page = write_causes_report(found, path)
    elif isinstance(found, Inversion):
        page = write_inversion_report(found, path)
    elif isinstance(found, PhaseDiagram):
        page = write_phase_diagram_report(found, path)
    else:
        raise InputError("file", expected="a result that has a report", got=f"a {type(found).__name__}")
    output().print(str(page), markup=False, soft_wrap=True)
