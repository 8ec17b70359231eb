"""Maps of symmetry: the posterior over the plane groups in a window that slides over the lattice."""

import dataclasses

import numpy as np
from jaxtyping import Int

from tusi.data import Atoms, Lattice
from tusi.data.descriptors import Descriptors
from tusi.errors import InputError
from tusi.execution import Progress
from tusi.structure.symmetry.mean_cells import mean_cell
from tusi.structure.symmetry.plane_groups import PLANE_GROUPS
from tusi.structure.symmetry.posterior import infer_symmetry
from tusi.structure.symmetry.prior import SymmetryPrior

COLUMNS = (*PLANE_GROUPS, "information", "smaller_cell")
"""Columns of a map: probability of each group, what the data said in nats, probability of a smaller cell."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlidingCells:
    """A window that slides over the lattice.

    Attributes
    ----------
    shape
        Cells along the two lattice vectors.
    step
        Cells between neighbouring windows.
    supercell
        Cells taken as one, to see structures with a larger cell.
    scan_error
        Standard deviation of the components of an unknown affine distortion of the scan.
    position_error
        Systematic error of a site's position per axis, in the length unit of the atoms.
    least_filled
        Share of the sites of a window that must hold atoms.
    """

    shape: tuple[int, int] = (6, 6)
    step: tuple[int, int] = (2, 2)
    supercell: tuple[int, int] = (1, 1)
    scan_error: float = 0.0
    position_error: float = 0.0
    least_filled: float = 0.7

    def __post_init__(self) -> None:
        if min(*self.shape, *self.step, *self.supercell) < 1:
            raise InputError("window", expected="sizes of at least one cell", got=f"{self.shape}, {self.step}")
        if any(size < 2 * cells for size, cells in zip(self.shape, self.supercell, strict=True)):
            raise InputError("shape", expected="at least two supercells along each vector", got=str(self.shape))


def map_symmetry(
    atoms: Atoms,
    lattice: Lattice,
    *,
    window: SlidingCells | None = None,
    prior: SymmetryPrior | None = None,
    domain: int = 0,
    progress: Progress | None = None,
) -> Descriptors:
    """Return the probability of each plane group in windows over a lattice.

    Parameters
    ----------
    atoms
        Positions and species.
    lattice
        Their registration.
    window
        Size of the windows, their distance, systematic errors.
    prior
        What is taken to be likely; every group alike by default.
    domain
        Number of the crystal domain.
    progress
        Told of every finished window.

    Returns
    -------
    Descriptors
        One row for each window that is filled well enough, at the mean position of its atoms; one column for each
        group with its probability, "information" in nats and "smaller_cell".

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:8, :8] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom")
    >>> probability = map_symmetry(atoms, register_lattice(atoms), window=SlidingCells(position_error=0.01))
    >>> len(probability), bool(probability.column("p4m").min() > 0.9)
    (4, True)
    """
    window = window or SlidingCells()
    windows = _windows(lattice, window, domain)
    position, value = [], []
    for done, sites in enumerate(windows):
        cell = mean_cell(atoms, lattice, sites=sites, supercell=window.supercell, domain=domain)
        cell = cell.with_error(scan=window.scan_error, position=window.position_error + 1e-9 * cell.side)
        posterior = infer_symmetry(cell, prior=prior)
        position.append(lattice.position[sites].mean(axis=0))
        value.append([*posterior.probability, posterior.information, posterior.smaller_cell])
        if progress is not None:
            progress(done + 1, len(windows))
    table = np.array(value).reshape(-1, len(COLUMNS))
    return Descriptors(
        position=np.array(position).reshape(-1, 2),
        value=table,
        covariance=np.full((len(table), len(COLUMNS), len(COLUMNS)), np.nan),
        atom=np.full(len(table), -1),
        image=np.full(len(table), lattice.image),
        names=COLUMNS,
        units=(*("1" for _ in PLANE_GROUPS), "nat", "1"),
        length_unit=lattice.length_unit,
    )


def _windows(lattice: Lattice, window: SlidingCells, domain: int) -> list[Int[np.ndarray, " chosen"]]:
    """Return the sites of each window that is filled well enough."""
    here = np.flatnonzero((lattice.domain == domain) & (lattice.atom >= 0))
    if not len(here):
        return []
    cell = lattice.index[here, :2]
    n_sites = len(np.unique(lattice.index[here, 2]))
    low, high = cell.min(axis=0), cell.max(axis=0)
    needed = window.least_filled * window.shape[0] * window.shape[1] * n_sites
    chosen = []
    for row in range(low[0], high[0] - window.shape[0] + 2, window.step[0]):
        for column in range(low[1], high[1] - window.shape[1] + 2, window.step[1]):
            start = np.array([row, column])
            inside = ((cell >= start) & (cell < start + window.shape)).all(axis=1)
            if inside.sum() >= needed:
                chosen.append(here[inside])
    return chosen
