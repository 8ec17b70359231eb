"""`tusi simulate`: images of an alloy whose Hamiltonian is known, with everything that is true beside them."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tusi.cli.console import output, told
from tusi.cli.options import Seed
from tusi.errors import InputError

if TYPE_CHECKING:
    from tusi.datasets import AlloyRecipe
    from tusi.imaging import Acquisition


def simulate(
    *,
    out: Annotated[Path, typer.Option(help="Folder for images and truth.")] = Path("simulated"),
    composition: Annotated[
        str, typer.Option(metavar="X,...", help="Fraction of the second species, one per image.")
    ] = "0.05,0.55,0.78,0.95",
    model: Annotated[str, typer.Option(help="Lattice model: random, P1, P2 or M.")] = "P1",
    couplings: Annotated[str, typer.Option(metavar="W,...", help="Couplings of the model, in kT.")] = "-0.2",
    species: Annotated[str, typer.Option(metavar="A,B", help="The two species, darkest first.")] = "Mo,Re",
    size: Annotated[int, typer.Option(help="Side of the square images, in pixels.")] = 528,
    spacing: Annotated[float, typer.Option(help="Metal-metal distance, in pixels.")] = 24.0,
    vacancies: Annotated[float, typer.Option(help="Fraction of metal sites left empty.")] = 0.0,
    counts: Annotated[
        bool, typer.Option("--counts", help="Store detected electrons instead of an 8-bit picture.")
    ] = False,
    dose: Annotated[
        float | None, typer.Option(help="Electrons per pixel.", show_default="150, with --counts 300")
    ] = None,
    blur: Annotated[float | None, typer.Option(help="Widening of every spot, in pixels.", show_default="none")] = None,
    background: Annotated[
        float | None, typer.Option(help="Uneven background, as a fraction of a column's peak.", show_default="0.06, 0")
    ] = None,
    jitter: Annotated[
        float | None, typer.Option(help="Random shift of scan lines, in pixels.", show_default="0.3, 0.1")
    ] = None,
    drift: Annotated[
        str | None, typer.Option(metavar="DY,DX", help="Drift, in pixels per row.", show_default="0.002,-0.003")
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(help="Side of a pixel in angstrom, written into the files.", show_default="none")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Make images of an alloy with a known Hamiltonian, and a file that says what is true.

    The images are TIFF files that `tusi analyze` reads; truth.json holds Hamiltonian and compositions, and a CSV file
    beside each image its true columns.
    """
    import numpy as np  # noqa: PLC0415

    from tusi.cli.series import TRUTH, write_series  # noqa: PLC0415
    from tusi.datasets import COUNTS, PICTURE, series_recipes, simulate_series  # noqa: PLC0415

    recipes = [
        _changed(recipe, species=_names(species), size=size, spacing=spacing, vacancies=vacancies, drift=drift)
        for recipe in series_recipes(
            _numbers("composition", composition), couplings=_numbers("couplings", couplings), model=model
        )
    ]
    acquisition = _taken(
        COUNTS if counts else PICTURE, dose=dose, blur=blur, background=background, jitter=jitter, pixel_size=pixel_size
    )
    if seed < 0:
        raise InputError("seed", expected="a whole number >= 0", got=str(seed))
    with told() as progress:
        alloys = simulate_series(
            recipes,
            acquisition,
            rng=np.random.default_rng(seed),
            progress=None if progress is None else lambda done, total: progress("Simulating images", done, total),
        )
    for path in (*write_series(alloys, out, seed=seed), out / TRUTH):
        output().print(str(path), markup=False, soft_wrap=True)


def _changed(
    recipe: "AlloyRecipe", *, species: tuple[str, str], size: int, spacing: float, vacancies: float, drift: str | None
) -> "AlloyRecipe":
    """Return the recipe with what the caller chose."""
    if size < 1:
        raise InputError("size", expected="a whole number of pixels above zero", got=str(size))
    distortion = recipe.distortion
    if drift is not None:
        components = _numbers("drift", drift)
        if len(components) != 2:
            raise InputError("drift", expected="two numbers DY,DX", got=drift)
        distortion = dataclasses.replace(distortion, drift=(components[0], components[1]))
    return dataclasses.replace(
        recipe,
        species=species,
        shape=(size, size),
        spacing=spacing,
        vacancy_fraction=vacancies,
        distortion=distortion,
    )


def _taken(
    acquisition: "Acquisition",
    *,
    dose: float | None,
    blur: float | None,
    background: float | None,
    jitter: float | None,
    pixel_size: float | None,
) -> "Acquisition":
    """Return the acquisition with what the caller chose."""
    chosen = {"dose": dose, "blur": blur, "line_jitter": jitter, "pixel_size": pixel_size}
    changes: dict = {name: value for name, value in chosen.items() if value is not None}
    if background is not None:
        changes["contamination"] = dataclasses.replace(acquisition.contamination, background=background)
    return dataclasses.replace(acquisition, **changes)


def _numbers(name: str, text: str) -> tuple[float, ...]:
    """Read numbers between commas."""
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(name, expected="numbers between commas", got=repr(text)) from None


def _names(text: str) -> tuple[str, str]:
    """Read two names."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(parts):
        raise InputError("species", expected="two names between a comma, as in Mo,Re", got=repr(text))
    return parts[0], parts[1]
