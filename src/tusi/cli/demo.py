"""`tusi demo`: simulate an alloy with a known Hamiltonian, analyse it, print the truth beside what was inferred."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tusi.cli.console import output, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tusi.data import Atoms
    from tusi.datasets import SimulatedAlloy
    from tusi.study import Analysis

COMPOSITIONS = (0.25, 0.5, 0.75)
COUPLING = -0.3
SIDE = 440
N_PERMUTATIONS, N_BOOTSTRAP = 399, 199


def demo(
    *,
    out: Annotated[Path, typer.Option(help="Folder for images, result and report.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 1,
    workers: Annotated[int, typer.Option(help="Worker processes; 1 starts none.")] = 1,
) -> None:
    """Simulate a series with a known Hamiltonian, analyse it, and print the truth beside what was inferred."""
    import dataclasses  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415

    from tusi.cli.analyze import run_analysis  # noqa: PLC0415
    from tusi.cli.series import write_series  # noqa: PLC0415
    from tusi.datasets import PICTURE, series_recipes, simulate_series  # noqa: PLC0415
    from tusi.generative.comparison import HamiltonianSettings  # noqa: PLC0415
    from tusi.study import AnalysisOptions  # noqa: PLC0415

    recipes = [
        dataclasses.replace(recipe, shape=(SIDE, SIDE))
        for recipe in series_recipes(COMPOSITIONS, couplings=(COUPLING,), model="P1")
    ]
    with told() as progress:
        alloys = simulate_series(
            recipes,
            PICTURE,
            rng=np.random.default_rng(seed),
            progress=None if progress is None else lambda done, total: progress("Simulating images", done, total),
        )
    images = write_series(alloys, out / "images", seed=seed)
    options = AnalysisOptions(
        species=recipes[0].species,
        seed=seed,
        settings=HamiltonianSettings(n_permutations=N_PERMUTATIONS, n_bootstrap=N_BOOTSTRAP),
    )
    analysis = run_analysis(
        [str(image) for image in images], options=options, out=out / "demo.h5", workers=workers, scheduler=None
    )
    print_truth(analysis, alloys)


def print_truth(analysis: "Analysis", alloys: "Sequence[SimulatedAlloy]") -> None:
    """Print what is true beside what was inferred."""
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title, side in (("", "left"), ("truth", "right"), ("inferred", "right"), ("95 %", "left"), ("", "left")):
        table.add_column(title, justify=side)  # pyright: ignore[reportArgumentType]
    for row in truth_rows(analysis, alloys):
        table.add_row(*row)
    output().print()
    output().print(table)


def truth_rows(analysis: "Analysis", alloys: "Sequence[SimulatedAlloy]") -> list[tuple[str, str, str, str, str]]:
    """Return name, truth, estimate, interval, and whether the truth lies inside."""
    from tusi.report.numbers import fixed, span, with_error  # noqa: PLC0415

    rows = []
    comparison = analysis.comparison
    if comparison is not None:
        fit = comparison.fit("P1")
        low, high = map(float, fit.interval[0])
        truth = alloys[0].recipe.couplings[0]
        value = with_error(float(fit.value[0]), float(fit.standard_error[0]))
        rows.append(("w1, kT", fixed(truth, 3), value, span(low, high, 3), _inside(low, truth, high)))
    for image, alloy in zip(analysis.images, alloys, strict=True):
        name = f"{alloy.recipe.species[1]} in {image.file.name}"
        if image.species is None:
            rows.append((name, fixed(alloy.composition, 3), image.error, "", ""))
            continue
        low, high = map(float, image.species.fraction_interval[-1])
        truth = true_fraction(image.species.atoms, alloy)
        value = fixed(float(image.species.fraction[-1]), 3)
        rows.append((name, fixed(truth, 3), value, span(low, high, 3), _inside(low, truth, high)))
    return rows


def true_fraction(atoms: "Atoms", alloy: "SimulatedAlloy") -> float:
    """Return the true fraction of the second species among the columns that were classified."""
    import numpy as np
    from scipy.spatial import cKDTree

    classified = np.isfinite(atoms.species_probability).all(axis=1)
    distance, nearest = cKDTree(alloy.truth.position).query(atoms.position[classified])
    same = nearest[distance < alloy.recipe.spacing / 3]
    return float(alloy.truth.species_probability[same, 1].mean()) if len(same) else float("nan")


def _inside(low: float, truth: float, high: float) -> str:
    return "inside" if low <= truth <= high else "outside"
