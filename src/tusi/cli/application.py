"""The commands under one roof, and what the shell is told when one of them fails.

Exit codes: 0 done, 1 unexpected failure, 2 the caller's mistake, 130 interrupted. Everything heavy is imported inside
the commands, so that `tusi --help` answers at once.
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from tusi.cli.analyze import analyze
from tusi.cli.causes import causes
from tusi.cli.console import complain
from tusi.cli.demo import demo
from tusi.cli.fit_hamiltonian import fit_hamiltonian
from tusi.cli.info import info
from tusi.cli.phase_diagram import phase_diagram
from tusi.cli.report import report
from tusi.cli.restore import restore
from tusi.cli.simulate import simulate
from tusi.cli.structure import structure
from tusi.cli.unmix import unmix
from tusi.errors import InputError

app = typer.Typer(
    name="tusi",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    analyze,
    structure,
    restore,
    unmix,
    causes,
    fit_hamiltonian,
    phase_diagram,
    simulate,
    report,
    info,
    demo,
):
    app.command(no_args_is_help=command not in (demo, simulate))(command)


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"tusi {version('tusi')}")
        raise typer.Exit
    return wanted


@app.callback()
def _tusi(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """From microscope images to a tested Hamiltonian, with uncertainties that have been checked.

    Start with `tusi demo`, then `tusi analyze IMAGE...` on your own images.
    """


def main() -> None:
    """Run the command line; end the process with the exit code that the outcome has."""
    try:
        app()
    except InputError as error:
        complain(str(error), title="Cannot do this")
        sys.exit(2)
    except (OSError, MemoryError) as error:
        complain(_reason(error), title="The machine refused")
        sys.exit(1)


def _reason(error: OSError | MemoryError) -> str:
    """Say what the operating system said, and that nothing half-written was left."""
    if isinstance(error, MemoryError):
        return "Out of memory. Finished steps are kept: run the same command again with fewer --workers."
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}. Finished steps are kept and no file was left half-written."
