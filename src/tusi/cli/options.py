"""Options that several commands share: the same names, meanings and help everywhere."""

from typing import Annotated

import typer

Images = Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Images of one material.")]

Species = Annotated[
    str | None, typer.Option(metavar="A,B", help="Species from the darkest column to the brightest: Mo,Re.")
]

PixelSize = Annotated[float | None, typer.Option(help="Side of a pixel in angstrom, where the file does not say.")]

LatticeConstant = Annotated[
    float | None, typer.Option(help="Known lattice constant in angstrom: checks the pixel size.")
]

Dataset = Annotated[str | None, typer.Option(help="Path of the image inside a file that holds several.")]

Symmetry = Annotated[bool, typer.Option(help="Map the plane groups of windows, with their probabilities.")]

ScanError = Annotated[
    float,
    typer.Option(help="Error of the scan's lengths and angles, as a fraction: no smaller strain breaks a symmetry."),
]

Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]

Workers = Annotated[
    int | None,
    typer.Option(
        help="Worker processes; 1 starts none. The numbers do not depend on it.", show_default="cores, up to 4"
    ),
]
