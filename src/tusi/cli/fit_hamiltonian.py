"""`tusi fit-hamiltonian`: arrangements in, tested Hamiltonians out, and what would decide between them."""

from pathlib import Path
from typing import Annotated

import typer

from tusi.cli.analyze import result_path
from tusi.cli.console import output, print_warnings, quiet_warnings, told
from tusi.cli.options import Seed
from tusi.errors import InputError


def fit_hamiltonian(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Results of `tusi analyze` (.h5), tables of atoms with species (.csv, .xyz), or arrays of species "
            "(.npy, .txt: 0, 1, ... in rows, -1 where unseen).",
        ),
    ],
    *,
    models: Annotated[
        str, typer.Option(metavar="A,B,...", help="random, P1, P2, ... (pairs), M, ising, ising2, potts, blume-capel.")
    ] = "random,P1,P2",
    method: Annotated[
        str, typer.Option(help="maximum-likelihood, pseudolikelihood, distance or posterior.")
    ] = "maximum-likelihood",
    composition: Annotated[
        str, typer.Option(help="own: each arrangement has its own; model: the model's fields set all of them.")
    ] = "own",
    species: Annotated[str | None, typer.Option(metavar="A,B", help="Names of species 0, 1, ...")] = None,
    temperatures: Annotated[
        str | None,
        typer.Option(
            metavar="T1,T2,...", help="Temperature of each arrangement in K; couplings are in kT of the first."
        ),
    ] = None,
    crystal: Annotated[str, typer.Option(help="Lattice of arrays: square or triangular.")] = "square",
    periodic: Annotated[bool, typer.Option("--periodic", help="Opposite edges of arrays are neighbours.")] = False,
    label_error: Annotated[float, typer.Option(help="Probability that a label of an array is wrong.")] = 0.0,
    n_replicas: Annotated[int, typer.Option(help="Replicas behind the calibrated p-values.")] = 499,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Result file (.h5); the report lies beside it (.html).")] = Path(
        "hamiltonian.h5"
    ),
) -> None:
    """Fit lattice Hamiltonians to arrangements of any number of species, and test them.

    An interrupted run goes on where it stopped when the same command is given again.
    """
    out = result_path(out)
    from tusi.cli.inversions import print_inversion
    from tusi.report import write_inversion_report
    from tusi.study import ArrayLayout, InversionOptions, invert

    options = InversionOptions(
        models=_listed(models),
        method=method,
        composition=composition,
        species=_listed(species) or None,
        temperatures=_numbers(temperatures),
        layout=ArrayLayout(crystal=crystal, periodic=periodic, label_error=label_error),
        n_replicas=n_replicas,
        seed=seed,
    )
    with quiet_warnings() as said, told() as progress:
        inversion = invert(files, options=options, out=out, progress=progress)
    page = write_inversion_report(inversion, out.with_suffix(".html"))
    print_warnings(said)
    print_inversion(inversion)
    output().print(f"\n[bold]result[/]  {out}\n[bold]report[/]  {page}", markup=True, soft_wrap=True)


def _listed(text: str | None) -> tuple[str, ...]:
    """Split at commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def _numbers(text: str | None) -> tuple[float, ...] | None:
    """Split at commas and read as numbers."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in _listed(text))
    except ValueError as error:
        raise InputError("temperatures", expected="numbers of kelvin, as in 300,400", got=repr(text)) from error
