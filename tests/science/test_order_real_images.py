"""Lattice, basis and order parameters of real images, found without tuning; needs the folder of real data.

Published or known: the cell of each crystal, chains of Re in MoS2-ReS2 from x = .55 on, and a curvature that changes
sign along the PbTiO3-SrRuO3 layers.
"""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from tusi.errors import MetadataWarning
from tusi.finding import find_atoms
from tusi.io import read
from tusi.structure import register_lattice
from tusi.structure.order import dimerisation, find_cage, polarisation, row_curvature, strain

TABLES = Path(os.environ.get("TUSI_TABLES", Path(__file__).parents[2] / "docs" / "tables"))
IMAGES = {
    "re05": "more2/re05.tiff",
    "re55": "more2/re55.tiff",
    "re78": "more2/re78.tiff",
    "re95": "more2/re95.tiff",
    "atomap-sto110": "atomap-sto110/test_ADF_cropped.hdf5",
    "pto-sro": "pto-sro/Cropped_PTO-SRO_Aligned.hspy",
    "bssn-dpc": "bssn-dpc/data_scan70_id2154_DPC.tif",
}
BASIS = {"re05": 2, "re55": 1, "re78": 1, "re95": 1, "atomap-sto110": 2, "pto-sro": 2, "bssn-dpc": 11}
"""Basis sites: the metal (and, at x = .05, the sulphur), Sr and TiO, A and B, and columns seen along [110]."""


def registered(name):
    """Atoms and lattice of one image, with default settings."""
    if "TUSI_DATA" not in os.environ:
        pytest.skip("TUSI_DATA is not set: no real images")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetadataWarning)
        grid = read(Path(os.environ["TUSI_DATA"]) / IMAGES[name])
    atoms = find_atoms(grid).atoms
    return atoms, register_lattice(atoms)


@pytest.mark.science
def test_lattices_of_real_images():
    lines = [
        "# Order in real images",
        "",
        "Everything with default settings. Lengths in angstrom where the file states a scale, else in pixels.",
        "",
        "| image | columns | on sites | domains | basis sites | lattice vectors | order |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in IMAGES:
        atoms, lattice = registered(name)
        lengths = np.linalg.norm(lattice.vectors[0], axis=1)
        spacing = lengths.mean()
        if name.startswith("re"):
            found = dimerisation(atoms, lattice)
            known = np.isfinite(found.p_value)
            amplitude = np.median(found.amplitude[known]) / spacing
            called = np.mean(found.p_value[known] < 0.01)
            order = (
                f"dimerised at p < .01: {called:.3f} of {known.sum()} sites, median amplitude {amplitude:.3f} spacings"
            )
            assert (amplitude < 0.01 and called < 0.1) if name == "re05" else (amplitude > 0.05 and called > 0.6)
        elif name == "pto-sro":
            order = curvature(atoms, lattice)
        elif len(lattice.basis) == 2:
            shift = polarisation(atoms, lattice, cage=find_cage(lattice, centre=1))
            mean = np.abs(np.nanmean(shift.value, axis=0)) / spacing
            order = f"mean off-centring {mean[0]:.4f}, {mean[1]:.4f} spacings"
            assert mean.max() < 0.01
        else:
            table = strain(atoms, lattice, basis_site=0)
            order = f"rms strain {np.nanstd(table.value[:, 0]):.4f} along y, {np.nanstd(table.value[:, 1]):.4f} along x"
        assert len(lattice.vectors) == 1
        assert len(lattice.basis) == BASIS[name]
        lines.append(
            f"| {name} | {len(atoms)} | {(lattice.atom >= 0).sum()} | {len(lattice.vectors)} | {len(lattice.basis)} "
            f"| {lengths[0]:.2f}, {lengths[1]:.2f} | {order} |"
        )
        TABLES.mkdir(parents=True, exist_ok=True)
        (TABLES / "order_real_images.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def curvature(atoms, lattice):
    """The published sign change of the rows' curvature, from the left fifth to the right fifth of the image."""
    along_x = np.abs(lattice.vectors[0, :, 1]).argmax()
    step = (1, 0) if along_x == 0 else (0, 1)
    table = row_curvature(atoms, lattice, step=step, half_length=8)
    direction = np.sign(lattice.vectors[0, along_x, 1])
    value, x = 10 * direction * table.column("curvature"), table.position[:, 1]
    known, width = np.isfinite(value), np.ptp(atoms.position[:, 1])
    left, right = value[known & (x < 0.25 * width)].mean(), value[known & (x > 0.75 * width)].mean()
    assert left < -0.004
    assert right > 0.004
    found = f"{left:+.4f}/nm at the left end, {right:+.4f}/nm at the right"
    return f"curvature of rows {found} (published: about -0.01 and +0.01)"
