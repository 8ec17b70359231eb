"""Lattice, basis and what follows from them in five real images, with default settings, beside what is known of each.

Needs `TUSI_DATA`, the folder that holds the images. Writes `docs/tables/real_structure.md`, and with `--figures FOLDER`
a picture of every image with its sites and a map. Ends with an error where a target is missed.
"""

import argparse
import dataclasses
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from scipy import ndimage
from scipy.spatial import cKDTree

from tusi import finding, io, structure
from tusi.data import Atoms, Lattice, make_grid
from tusi.data.storage import write_atomically
from tusi.finding.channels import measure_channel
from tusi.structure.order import find_cage, polarisation, row_curvature, strain

TABLE = Path(__file__).parents[1] / "docs" / "tables" / "real_structure.md"
SILICON_CELL, BRONZE_CELL, PEROVSKITE_CELL = 26.88, (12.58761 * np.sqrt(2), 2 * 3.9622), 3.905
"""Published lattice parameters in angstrom: Si(111)-7x7; Ba5SmSn3Nb7O30 seen along [110], both doubled; SrTiO3."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Registered:
    """One image with what the defaults found in it."""

    grid: xr.DataArray
    found: finding.Finding
    lattice: Lattice
    seconds: float

    @property
    def atoms(self) -> Atoms:
        return self.found.atoms

    @property
    def lengths(self) -> np.ndarray:
        return np.linalg.norm(self.lattice.vectors[0], axis=1)


def register(grid: xr.DataArray) -> Registered:
    """Find atoms and lattice with default settings."""
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = finding.find_atoms(grid)
        lattice = structure.register_lattice(found.atoms)
    return Registered(grid=grid, found=found, lattice=lattice, seconds=time.process_time() - started)


def read(folder: Path, name: str) -> xr.DataArray:
    """Read one image; those in arrays without a format of their own are read here."""
    path = folder / name
    if path.suffix == ".dat":
        shape = np.fromfile(path, "<u4", count=2)
        return make_grid(np.fromfile(path, "<f8", offset=8).reshape(shape))
    if path.suffix == ".npz":
        return make_grid(np.load(path)["HAADF"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return io.read(path)


def vectors_with_errors(one: Registered) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean lattice vectors by least squares over all sublattices, and their standard errors.

    The errors are those of the atoms' scatter about the mean lattice; what the scan stretches as a whole is not in it.
    """
    filled = (one.lattice.atom >= 0) & (one.lattice.domain == 0)
    index, position = one.lattice.index[filled], one.atoms.position[one.lattice.atom[filled]]
    offset = np.eye(len(one.lattice.basis))[index[:, 2]]
    design = np.column_stack([index[:, :2], offset])
    fitted = np.linalg.lstsq(design, position, rcond=None)[0]
    scatter = ((position - design @ fitted) ** 2).sum(axis=0) / (len(position) - design.shape[1])
    return fitted[:2], np.sqrt(np.diag(np.linalg.inv(design.T @ design))[:2, None] * scatter)


def strontium_titanate(one: Registered, _: Path) -> str:
    assert len(one.lattice.basis) == 2
    ratio = one.lengths.max() / one.lengths.min()
    assert abs(ratio / np.sqrt(2) - 1) < 0.015
    nanometre = 0.009326 * one.lengths
    shift = polarisation(one.atoms, one.lattice, cage=find_cage(one.lattice, centre=1))
    mean = np.linalg.norm(np.nanmean(shift.value, axis=0)) / one.lengths.mean()
    return (
        f"ratio of the edges {ratio:.3f} (cubic along [110]: 1.414), {10 * nanometre.max():.3f} and "
        f"{10 * nanometre.min():.3f} angstrom with the file's scale ({PEROVSKITE_CELL} and "
        f"{PEROVSKITE_CELL / np.sqrt(2):.3f}); mean off-centring {mean:.4f} cells"
    )


def lead_titanate(one: Registered, folder: Path) -> str:
    assert len(one.lattice.basis) == 2
    published = np.load(folder / "pto-sro" / "atom_positions1.npy")[:, ::-1]
    pixel = float(one.grid.coords["y"][1] - one.grid.coords["y"][0])
    filled = one.lattice.atom[one.lattice.atom >= 0]
    reach = 0.2 * one.lengths.mean() / pixel
    distance, near = cKDTree(one.atoms.position[filled] / pixel).query(published)
    site = one.lattice.index[one.lattice.atom >= 0, 2][near]
    both = distance < reach
    on_one = np.bincount(site[both]).max() / both.sum()
    table = curvature(one)
    x, width = table.position[:, 1], np.ptp(one.atoms.position[:, 1])
    value = 10 * table.column("curvature") * direction_of_rows(one)
    known = np.isfinite(value)
    left, right = value[known & (x < 0.25 * width)].mean(), value[known & (x > 0.75 * width)].mean()
    assert left < -0.004 < 0.004 < right
    assert both.mean() > 0.9
    assert on_one > 0.99
    return (
        f"of the {len(published)} published positions of one sublattice {both.mean():.3f} are ours within "
        f"{reach:.1f} pixels, {on_one:.3f} of them on one sublattice; curvature of the rows {left:+.4f}/nm at the left "
        f"end, {right:+.4f}/nm at the right (published: about -0.01 and +0.01)"
    )


def curvature(one: Registered):
    """Return the curvature of the rows along x."""
    along_x = int(np.abs(one.lattice.vectors[0, :, 1]).argmax())
    return row_curvature(one.atoms, one.lattice, step=(1, 0) if along_x == 0 else (0, 1), half_length=8)


def direction_of_rows(one: Registered) -> float:
    vectors = one.lattice.vectors[0]
    return float(np.sign(vectors[np.abs(vectors[:, 1]).argmax(), 1]))


def tungsten_bronze(one: Registered, _: Path) -> str:
    assert len(one.lattice.basis) >= 11
    scale = np.sort(one.lengths)[::-1] / np.array(BRONZE_CELL)
    assert abs(scale[0] / scale[1] - 1) < 0.03
    return (
        f"the average structure seen along [110], doubled along both edges ({BRONZE_CELL[0]:.2f} x "
        f"{BRONZE_CELL[1]:.2f} angstrom): {scale[0]:.2f} and {scale[1]:.2f} pixels per angstrom along the two edges"
    )


def scandate(one: Registered, folder: Path) -> str:
    agreement, by_class = compare_with_maps(one, folder)
    assert len(one.lattice.basis) == 3
    assert agreement >= 0.95
    return (
        f"pseudo-cubic cell, {one.lengths[0] / 15.4:.3f} and {one.lengths[1] / 15.4:.3f} of the 15.4 pixels in the "
        f"power spectrum; each Dy column is two; classes by intensity agree with the stronger of the Dy and Sc maps "
        f"in {agreement:.4f} of the columns ({by_class})"
    )


def species_of(one: Registered) -> np.ndarray:
    """Return the probability of Sc and Dy of each column from the image's intensities alone."""
    fit = structure.classify_species(
        one.atoms, one.lattice, species=("Sc", "Dy"), basis_site=None, rng=np.random.default_rng(0)
    )
    assert int(fit.log_evidence.argmax()) == 1
    return fit.atoms.species_probability


def compare_with_maps(one: Registered, folder: Path) -> tuple[float, str]:
    """Compare classes from the image's intensities with the element whose map is the stronger at each column."""
    maps = np.load(folder / "dso-eels-maps" / "PTO_Trilayer_dataset.npz")
    probability = species_of(one)
    told = np.isfinite(probability).all(axis=1)
    signal = {}
    for element in ("Sc", "Dy"):
        measured = measure_channel(make_grid(maps[element]), one.atoms, spot_width=one.found.spot_width)
        signal[element] = measured.intensity[told] / np.quantile(measured.intensity[told], 0.9)
    dysprosium, ours = signal["Dy"] > signal["Sc"], probability[told, 1] > 0.5
    by_class = ", ".join(
        f"{name} {np.mean(ours[chosen] == dysprosium[chosen]):.3f} of {chosen.sum()}"
        for name, chosen in (("Dy", dysprosium), ("Sc", ~dysprosium))
    )
    return float(np.mean(ours == dysprosium)), by_class


def silicon(one: Registered, _: Path) -> str:
    assert len(one.lattice.basis) == 12
    vectors, error = vectors_with_errors(one)
    third = vectors.sum(axis=0)
    edges = [np.linalg.norm(vector) for vector in (*vectors, third)]
    side = np.sqrt(2 / np.sqrt(3) * abs(np.linalg.det(vectors)))
    hole, clear = corner_holes(one)
    height = ndimage.gaussian_filter(one.grid.values, 2.0)
    adatom = one.atoms.position[one.lattice.atom[one.lattice.atom >= 0]]
    around = height_at(height, adatom)[cKDTree(adatom).query(hole, k=6)[1]]
    lower = np.mean(height_at(height, hole) < around.min(axis=1))
    assert clear.min() > 0.2 * side
    assert lower > 0.9
    return (
        f"the three shortest vectors {edges[0]:.2f}, {edges[1]:.2f}, {edges[2]:.2f} pixels (each +- {error.max():.2f} "
        f"from scatter; they differ by the scan's drift); side {side:.2f} pixels, so {SILICON_CELL / side:.4f} "
        f"angstrom per pixel if the cell is {SILICON_CELL}; all 12 adatoms; no site nearer than "
        f"{clear.min() / side:.2f} cells to a corner hole, and {lower:.2f} of {len(hole)} corner holes are deeper than "
        f"all six adatoms around"
    )


def height_at(height: np.ndarray, place: np.ndarray) -> np.ndarray:
    return height[tuple(np.clip(np.rint(place).astype(int), 0, np.array(height.shape) - 1).T)]


def corner_holes(one: Registered) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle of the largest empty place of each cell, and how far the nearest site is."""
    lattice = one.lattice
    places = np.stack(np.meshgrid(np.arange(60) / 60, np.arange(60) / 60, indexing="ij"), axis=-1).reshape(-1, 2)
    away = places[:, None] - lattice.basis
    away = np.linalg.norm((away - np.round(away)) @ lattice.vectors[0], axis=2).min(axis=1)
    middle = places[away.argmax()]
    cells = np.unique(lattice.index[:, :2], axis=0)
    site = lattice.index[:, :2] + lattice.basis[lattice.index[:, 2]]
    affine = np.linalg.lstsq(np.column_stack([site, np.ones(len(site))]), lattice.position, rcond=None)[0]
    hole = np.column_stack([cells + middle, np.ones(len(cells))]) @ affine
    inside = ((hole > 6) & (hole < np.array(one.grid.shape) - 6)).all(axis=1)
    return hole[inside], cKDTree(lattice.position).query(hole[inside])[0]


IMAGES: dict[str, tuple[str, Callable[[Registered, Path], str]]] = {
    "atomap-sto110": ("atomap-sto110/test_ADF_cropped.hdf5", strontium_titanate),
    "pto-sro": ("pto-sro/Cropped_PTO-SRO_Aligned.hspy", lead_titanate),
    "bssn-dpc": ("bssn-dpc/data_scan70_id2154_DPC.tif", tungsten_bronze),
    "dso-eels-maps": ("dso-eels-maps/PTO_Trilayer_dataset.npz", scandate),
    "si111-stm": ("si111-stm/image_with_defects.dat", silicon),
}


def row(name: str, one: Registered, known: str) -> str:
    lattice, unit = one.lattice, one.atoms.length_unit
    usable = (one.atoms.flags & 1) == 0
    share = np.isin(np.flatnonzero(usable), lattice.atom).mean()
    return (
        f"| {name} | {len(one.atoms)} | {share:.3f} | {len(lattice.vectors)} | {len(lattice.basis)} "
        f"| {one.lengths[0]:.2f} x {one.lengths[1]:.2f} {unit} | {int(lattice.vacant.sum())} | {one.seconds:.0f} "
        f"| {known} |"
    )


def draw(name: str, one: Registered, figures: Path) -> None:
    from tusi import plot

    wide = one.grid.sizes["x"] > 2 * one.grid.sizes["y"]
    figure = plot.new_figure(12, 5.5)
    left, right = figure.subplots(2, 1) if wide else figure.subplots(1, 2)
    plot.draw_image(left, one.grid)
    for number in range(len(one.lattice.basis)):
        at = one.lattice.position[(one.lattice.index[:, 2] == number) & (one.lattice.atom >= 0)]
        left.scatter(at[:, 1], at[:, 0], s=7, color=f"C{number % 10}", linewidths=0)
    empty = one.lattice.position[one.lattice.vacant]
    left.scatter(empty[:, 1], empty[:, 0], s=30, facecolors="none", edgecolors="yellow")
    middle = one.lattice.position[one.lattice.position.shape[0] // 2]
    for vector in one.lattice.vectors[0]:
        left.annotate(
            "", xy=(middle + vector)[::-1], xytext=middle[::-1], arrowprops={"arrowstyle": "->", "color": "w"}
        )
    where, value, title = mapped(name, one)
    points = right.scatter(where[:, 1], where[:, 0], c=value, s=16, cmap="coolwarm")
    right.set_aspect("equal")
    right.invert_yaxis()
    right.set_title(title, fontsize=9)
    figure.colorbar(points, ax=right)
    figure.savefig(figures / f"{name}.png", dpi=80)


def mapped(name: str, one: Registered) -> tuple[np.ndarray, np.ndarray, str]:
    """Return what is drawn of each image beside its sites."""
    if name == "pto-sro":
        table = curvature(one)
        return table.position, 10 * table.column("curvature") * direction_of_rows(one), "curvature of rows, 1/nm"
    if name == "dso-eels-maps":
        probability = species_of(one)
        told = np.isfinite(probability).all(axis=1)
        return one.atoms.position[told], probability[told, 1], "probability that the column is Dy"
    if name == "si111-stm":
        filled = one.lattice.atom >= 0
        return one.lattice.position[filled], one.lattice.index[filled, 2].astype(float), "number of the basis site"
    table = strain(one.atoms, one.lattice, basis_site=0)
    return table.position, table.value[:, 0], "strain along y"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=Path, help="folder for the pictures")
    parser.add_argument("--only", help="run one image")
    arguments = parser.parse_args()
    folder = Path(os.environ["TUSI_DATA"])
    lines = [
        "# Lattice and basis of five real images",
        "",
        "Default settings throughout. On sites: share of the columns that do not touch the edge of the image.",
        "Vacant: places of the lattice without an atom, missing or covered. CPU-s: finding and registration together.",
        "",
        "| image | columns | on sites | domains | basis sites | lattice vectors | vacant | CPU-s | what is known |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, (path, compare) in IMAGES.items():
        if arguments.only in (None, name):
            one = register(read(folder, path))
            if arguments.figures:
                arguments.figures.mkdir(parents=True, exist_ok=True)
                draw(name, one, arguments.figures)
            lines.append(row(name, one, compare(one, folder)))
            print(lines[-1], flush=True)
    if arguments.only is None:
        write_atomically(TABLE, ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main()
