"""`tusi analyze`: images in, a tested Hamiltonian and a report out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tusi.cli.console import output, print_warnings, quiet_warnings, told
from tusi.cli.execution import workers_for
from tusi.cli.options import (
    Dataset,
    Images,
    LatticeConstant,
    PixelSize,
    ScanError,
    Seed,
    Species,
    Symmetry,
    Workers,
)
from tusi.errors import InputError

if TYPE_CHECKING:
    from tusi.study import Analysis, AnalysisOptions

_RESULT_SUFFIXES = (".h5", ".hdf5")
_SHOWN = ("image", "columns", "clusters", "composition", "95 %", "precision", "warnings")


def analyze(
    images: Images,
    *,
    species: Species = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]y0:y1,x0:x1",
            help="Part of the image, in pixels, that enters lattice and Hamiltonian. Repeat with NAME= for each image.",
        ),
    ] = None,
    pixel_size: PixelSize = None,
    lattice_constant: LatticeConstant = None,
    models: Annotated[str, typer.Option(metavar="A,B,...", help="Lattice models to compare.")] = "random,P1,P2,M",
    temperature: Annotated[
        float | None, typer.Option(help="Temperature in K at which the order froze in; without it energies are in kT.")
    ] = None,
    dataset: Dataset = None,
    structure: Annotated[
        bool, typer.Option(help="Describe local structure too: strain, chains, classes, defects, modes, symmetry.")
    ] = True,
    symmetry: Symmetry = True,
    causes: Annotated[bool, typer.Option(help="Say what acts on what at the sites and between the images.")] = True,
    scan_error: ScanError = 0.02,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Result file (.h5); the report lies beside it (.html).")] = Path(
        "analysis.h5"
    ),
    workers: Workers = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A running Dask scheduler to use instead of own workers.")
    ] = None,
) -> None:
    """Go from images to a tested Hamiltonian: atoms, lattice, species, models, and a report.

    An interrupted run goes on where it stopped when the same command is given again.
    """
    out = result_path(out)
    from tusi.study import AnalysisOptions, Region

    options = AnalysisOptions(
        species=listed(species) or None,
        regions=tuple(Region.parse(text) for text in region or ()),
        pixel_size=pixel_size,
        lattice_constant=lattice_constant,
        models=listed(models),
        temperature=temperature,
        seed=seed,
        dataset=dataset,
        structure=structure,
        symmetry=symmetry,
        causes=causes,
        scan_error=scan_error,
    )
    run_analysis(images, options=options, out=out, workers=workers, scheduler=scheduler)


def run_analysis(
    images: list[str], *, options: "AnalysisOptions", out: Path, workers: int | None, scheduler: str | None
) -> "Analysis":
    """Analyse, write result and report, and print what was found."""
    from tusi import study
    from tusi.report import write_report

    try:
        with (
            quiet_warnings() as said,
            told() as progress,
            workers_for(len(images), workers=workers, scheduler=scheduler) as executor,
        ):
            analysis = study.analyze(images, options=options, out=out, executor=executor, progress=progress)
    except KeyboardInterrupt:
        print_warnings([f"interrupted; finished steps are kept in {out}.partial: give the same command again to go on"])
        raise
    page = write_report(analysis, out.with_suffix(".html"))
    print_warnings(said)
    print_summary(analysis)
    output().print(f"\n[bold]result[/]  {out}\n[bold]report[/]  {page}", markup=True, soft_wrap=True)
    return analysis


def print_summary(analysis: "Analysis") -> None:
    """Print the verdict and a line per image."""
    from rich.table import Table
    from rich.text import Text

    from tusi.report import summary_rows

    console = output()
    for i, sentence in enumerate(analysis.verdict):
        console.print(Text(sentence, style="bold" if i == 0 else ""))
    head, *rows = summary_rows(analysis)
    shown = [i for i, title in enumerate(head) if title in _SHOWN]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for i in shown:
        table.add_column(Text(head[i]), justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(row[i]) for i in shown))
    console.print()
    console.print(table)


def result_path(out: Path) -> Path:
    """Return where the result goes, or say why it cannot go there."""
    if not out.suffix:
        out = out.with_suffix(".h5")
    if out.suffix not in _RESULT_SUFFIXES:
        raise InputError("out", expected=f"a name ending in {' or '.join(_RESULT_SUFFIXES)}", got=repr(str(out)))
    if not out.parent.is_dir():
        raise InputError("out", expected="a file in a folder that exists", got=repr(str(out)))
    return out


def listed(text: str | None) -> tuple[str, ...]:
    """Split at commas."""
    return tuple(part.strip() for part in text.split(",")) if text else ()
