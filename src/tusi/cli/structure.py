"""`tusi structure`: images in, the local structure of every site out."""

from pathlib import Path
from typing import Annotated

import typer

from tusi.cli.analyze import listed, result_path, run_analysis
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


def structure(
    images: Images,
    *,
    species: Species = None,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]y0:y1,x0:x1", help="Part of the image, in pixels. Repeat with NAME= for each."),
    ] = None,
    pixel_size: PixelSize = None,
    lattice_constant: LatticeConstant = None,
    dataset: Dataset = None,
    symmetry: Symmetry = True,
    scan_error: ScanError = 0.02,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Result file (.h5); the report lies beside it (.html).")] = Path(
        "structure.h5"
    ),
    workers: Workers = None,
) -> None:
    """Describe local structure: strain, chains, kinds of neighbourhoods, symmetry, defects, modes that images share.

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
        symmetry=symmetry,
        scan_error=scan_error,
    )
    run_analysis(images, options=options, out=out, workers=workers, scheduler=None)
