"""The four MoS2-ReS2 images: columns, labels, compositions and distances beside the published ones, and the time taken.

Needs `TUSI_DATA` (the folder that holds `more2/`). Writes `docs/tables/real_images.md`, and with `--figure FILE` a
picture of where our species differ from the authors' and of the intensities that decide.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from tusi import study
from tusi.data import Atoms
from tusi.data.storage import write_atomically
from tusi.finding import match_atoms

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "real_images.md"
REFERENCE = {
    "re05": {"region": "62:694,53:710", "clusters": 464, "fraction": 0.0216, "distance": 0.0062},
    "re55": {"region": "35:500,43:493", "clusters": 466, "fraction": 0.597, "distance": 0.0325},
    "re78": {"region": "37:502,49:485", "clusters": 434, "fraction": 0.843, "distance": 0.0298},
    "re95": {"region": "37:502,48:503", "clusters": 471, "fraction": 0.958, "distance": 0.0124},
}
"""Reference field of view (outermost sites), seven-site clusters, Re fraction at their centres, and S^2 of "random"."""


def run(folder: Path, *, region: bool) -> tuple[study.Analysis, float, float]:
    regions = tuple(study.Region.parse(f"{name}={known['region']}") for name, known in REFERENCE.items())
    options = study.AnalysisOptions(species=("Mo", "Re"), regions=regions if region else ())
    started = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = study.analyze([folder / f"{name}.tiff" for name in REFERENCE], options=options)
    return result, time.perf_counter() - started[0], time.process_time() - started[1]


def area_under_curve(score: np.ndarray, positive: np.ndarray) -> float:
    rank = rankdata(score)
    n_positive = positive.sum()
    return (rank[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * (len(rank) - n_positive))


def labels(image: study.ImageAnalysis, folder: Path) -> dict:
    """Match the metal columns in the reference field of view to the authors' sites and compare the species."""
    table = np.genfromtxt(folder / f"{image.file.name}_sites.csv", delimiter=",", skip_header=1)
    truth = Atoms.at(table[:, :2], length_unit="pixel")
    metal = np.flatnonzero(np.isfinite(image.species.atoms.species_probability).all(axis=1))
    found = image.species.atoms[metal]
    reach = 0.35 * np.linalg.norm(image.lattice.vectors[0], axis=1).min()
    low, high = table[:, :2].min(axis=0) - reach / 2, table[:, :2].max(axis=0) + reach / 2
    inside = ((found.position > low) & (found.position < high)).all(axis=1)
    match = match_atoms(found[inside], truth, radius=reach)
    ours, theirs = match.pairs.T
    probability = found[inside].species_probability[ours, 1]
    label = table[theirs, 2] == 1
    return {
        "precision": match.precision,
        "recall": match.recall,
        "agreement": ((probability > 0.5) == label).mean(),
        "auc": area_under_curve(probability, label),
        "position": found[inside].position[ours],
        "probability": probability,
        "label": label,
        "intensity": image.species.corrected_intensity[metal][inside][ours],
        "grey": _grey(image, found[inside].position[ours]),
    }


def _grey(image: study.ImageAnalysis, position: np.ndarray) -> np.ndarray:
    """Return the image's own value at each column: what a threshold on raw intensity sees."""
    rows, columns = np.rint(position / image.pixel_size).astype(int).T
    return image.grid.values[rows, columns]


def rows_of(result: study.Analysis, title: str, seconds: tuple[float, float]) -> list[str]:
    comparison = result.comparison
    lines = [
        f"## {title}",
        "",
        f"{seconds[0]:.0f} s wall, {seconds[1]:.0f} s CPU on one worker.",
        "",
        "| image | clusters | published | Re at centres (95 %) | authors | S^2 random (95 %, labels) | published |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for k, name in enumerate(comparison.image_names):
        known = REFERENCE[name]
        low, high = comparison.composition_interval[k]
        distance = comparison.statistical_distance[0, k]
        below, above = comparison.statistical_distance_interval[0, k]
        lines.append(
            f"| {name} | {comparison.n_clusters[k]} | {known['clusters']} "
            f"({100 * (comparison.n_clusters[k] / known['clusters'] - 1):+.1f} %) "
            f"| {comparison.composition[k]:.4f} ({low:.4f}, {high:.4f}) | {known['fraction']} "
            f"| {distance:.4f} ({below:.4f}, {above:.4f}) | {known['distance']} |"
        )
    return [*lines, "", *(f"- {sentence}" for sentence in comparison.verdict), ""]


def draw(compared: dict[str, dict], images: dict[str, study.ImageAnalysis], path: Path) -> None:
    """Show where species differ, and that those columns are dim spots on a bright background."""
    from tusi import plot  # noqa: PLC0415

    figure = plot.new_figure(11, 10)
    for row, (name, known) in zip(figure.subplots(2, 2), compared.items(), strict=True):
        differ = (known["probability"] > 0.5) != known["label"]
        plot.draw_image(row[0], images[name].grid)
        row[0].scatter(*known["position"][differ][:, ::-1].T, s=60, facecolors="none", edgecolors="#ffd23f")
        row[0].set_title(f"{name}: {differ.sum()} of {len(differ)} columns differ", fontsize=9)
        for chosen, colour, text in (
            (~known["label"], "#2c6fbb", "authors: Mo"),
            (known["label"], "#d1495b", "authors: Re"),
        ):
            row[1].scatter(known["grey"][chosen], known["intensity"][chosen], s=9, color=colour, label=text)
        row[1].scatter(known["grey"][differ], known["intensity"][differ], s=40, facecolors="none", edgecolors="#c90")
        row[1].set_xlabel("grey value at the column (what a threshold sees)")
        row[1].set_ylabel("column intensity above its background")
        row[1].legend(frameon=False)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", type=Path, help="where to put the picture of the differences")
    arguments = parser.parse_args()
    folder = Path(os.environ["TUSI_DATA"]) / "more2"
    whole, *seconds = run(folder, region=False)
    window, *window_seconds = run(folder, region=True)
    compared = {name: labels(whole.image(name), folder) for name in ("re05", "re55")}
    lines = [
        "# The four MoS2-ReS2 images",
        "",
        "| image | precision | recall | agreement with the authors' labels | AUC |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {known['precision']:.4f} | {known['recall']:.4f} "
            f"| {known['agreement']:.4f} | {known['auc']:.4f} |"
            for name, known in compared.items()
        ),
        "",
        *rows_of(window, "Reference field of view", tuple(window_seconds)),
        *rows_of(whole, "Whole images", tuple(seconds)),
    ]
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(TABLE, "\n".join(lines).encode())
    print("\n".join(lines))
    if arguments.figure:
        draw(compared, {name: whole.image(name) for name in compared}, arguments.figure)


if __name__ == "__main__":
    main()
