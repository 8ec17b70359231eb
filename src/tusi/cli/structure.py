"""`tusi structure`: images in, the local structure of every site out."""

from pathlib import Path
from typing import Annotated

import typer

from tusi.cli.analyze import listed, result_path, run_analysis


def structure(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Images of one material.")],
    *,
    species: Annotated[
        str | None, typer.Option(metavar="A,B", help="Species from the darkest column to the brightest: Mo,Re.")
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]y0:y1,x0:x1", help="Part of the image, in pixels. Repeat with NAME= for each."),
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(help="Side of a pixel in angstrom, where the file does not say.")
    ] = None,
    lattice_constant: Annotated[
        float | None, typer.Option(help="Known lattice constant in angstrom: checks the pixel size.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Path of the image inside a file that holds several.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    out: Annotated[Path, typer.Option(help="Result file (.h5); the report lies beside it (.html).")] = Path(
        "structure.h5"
    ),
    workers: Annotated[
        int | None,
        typer.Option(
            help="Worker processes; 1 starts none. The numbers do not depend on it.", show_default="cores, up to 4"
        ),
    ] = None,
) -> None:
    """Describe local structure: cells, strain, chains, kinds of neighbourhoods, defects, and modes that images share.

    What `tusi analyze` finds besides the Hamiltonian. An interrupted run goes on where it stopped.
    """
    out = result_path(out)
    from tusi.study import AnalysisOptions, Region

    options = AnalysisOptions(
        species=listed(species) or None,
        regions=tuple(Region.parse(text) for text in region or ()),
        pixel_size=pixel_size,
        lattice_constant=lattice_constant,
        models=(),
        seed=seed,
        dataset=dataset,
    )
    run_analysis(images, options=options, out=out, workers=workers, scheduler=None)
