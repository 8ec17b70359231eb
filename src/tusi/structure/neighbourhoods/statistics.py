"""Statistics of the bonds around each atom: length, angles and the area of its cell, with their errors."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from tusi.data import Atoms, Descriptors
from tusi.structure.neighbourhoods.rules import NeighbourRule, Voronoi, find_neighbours, usable_atoms
from tusi.structure.neighbourhoods.tessellation import tessellate

FEWEST_BONDS = 3
"""Bonds that an atom must have for anything to be said of their spread."""


def bond_statistics(atoms: Atoms, *, rule: NeighbourRule | None = None) -> Descriptors:
    """Return mean and variance of the bond lengths, variance of the angles between bonds, and cell area of each atom.

    Angles are those between bonds that follow each other around the atom. What position errors alone would add to the
    two variances is taken off, so they scatter around zero in a perfect crystal and may be negative. Errors are those
    of the positions, propagated to first order, to second order for the two variances, with neighbours that err
    independently; a covariance that is not known counts as zero in the values and makes their errors NaN.

    Parameters
    ----------
    atoms
        The atoms.
    rule
        Who is bound to whom; `Voronoi()` when not given.

    Returns
    -------
    Descriptors
        A row for each usable atom: "bond_length", "bond_length_variance", "bond_angle_variance" (radian squared),
        "cell_area" (of the Voronoi cell). The variances are NaN with fewer than three bonds, the area where the cell is
        not closed.

    Examples
    --------
    >>> y, x = np.mgrid[:4, :4] * 3.0
    >>> table = bond_statistics(Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom"))
    >>> table.names, table.value[5].round(6).tolist()
    (('bond_length', 'bond_length_variance', 'bond_angle_variance', 'cell_area'), [3.0, 0.0, 0.0, 9.0])
    """
    graph = find_neighbours(atoms, rule=rule or Voronoi())
    cells = _Cells.of(atoms)
    value, covariance = np.full((len(atoms), 4), np.nan), np.full((len(atoms), 4, 4), np.nan)
    value[:, 3], covariance[:, 3, 3] = cells.area, cells.variance
    for degree in np.unique(graph.degree[graph.degree > 0]):
        rows = np.flatnonzero(graph.degree == degree)
        neighbour = graph.neighbour[graph.start[rows][:, None] + np.arange(degree)]
        found = _of_one_degree(atoms, rows, neighbour, cells=cells)
        value[rows, :3], covariance[rows, :3, :3], with_area = found
        covariance[rows, :3, 3] = covariance[rows, 3, :3] = with_area
    unknown = ~np.isfinite(value)
    covariance[unknown[:, :, None] | unknown[:, None, :]] = np.nan
    unit = atoms.length_unit
    usable = np.flatnonzero(usable_atoms(atoms))
    return Descriptors(
        position=atoms.position[usable],
        value=value[usable],
        covariance=covariance[usable],
        atom=usable,
        image=atoms.image[usable],
        names=("bond_length", "bond_length_variance", "bond_angle_variance", "cell_area"),
        units=(unit, f"{unit}^2", "rad^2", f"{unit}^2"),
        length_unit=unit,
    )


def _of_one_degree(
    atoms: Atoms, rows: Int[np.ndarray, " centre"], neighbour: Int[np.ndarray, "centre bond"], *, cells: "_Cells"
) -> tuple[Float[np.ndarray, "centre 3"], Float[np.ndarray, "centre 3 3"], Float[np.ndarray, "centre 3"]]:
    """Return values, covariances and covariances with the cell area of atoms that have equally many bonds."""
    vector = atoms.position[neighbour] - atoms.position[rows][:, None]
    order = np.argsort(np.arctan2(vector[..., 0], vector[..., 1]), axis=1)
    neighbour = np.take_along_axis(neighbour, order, axis=1)
    vector = np.take_along_axis(vector, order[..., None], axis=1)
    n_bonds = vector.shape[1]
    length = np.maximum(np.linalg.norm(vector, axis=2), 1e-300)
    along = vector / length[..., None]
    around = np.stack([along[..., 1], -along[..., 0]], axis=2) / length[..., None]
    angle = np.arctan2(vector[..., 0], vector[..., 1])
    gap = (np.roll(angle, -1, axis=1) - angle) % (2 * np.pi) - 2 * np.pi / n_bonds
    pull = np.concatenate([along, around], axis=1)
    twice = np.concatenate([neighbour, neighbour], axis=1)
    joint = _joint_covariance(atoms, rows, twice, pull=pull)
    to_gap = np.roll(np.eye(n_bonds), 1, axis=1) - np.eye(n_bonds)
    project = np.zeros((2 * n_bonds, 2 * n_bonds))
    project[:n_bonds, :n_bonds] = np.eye(n_bonds) - 1 / n_bonds
    project[n_bonds:, n_bonds:] = to_gap
    form = project @ joint @ project.T
    centred = np.concatenate([length - length.mean(axis=1, keepdims=True), gap], axis=1)
    slope = np.zeros((len(rows), 3, 2 * n_bonds))
    slope[:, 0, :n_bonds] = 1 / n_bonds
    slope[:, 1, :n_bonds] = 2 / n_bonds * centred[:, :n_bonds] @ project[:n_bonds, :n_bonds]
    slope[:, 2, n_bonds:] = 2 / n_bonds * centred[:, n_bonds:] @ to_gap
    covariance = slope @ joint @ np.swapaxes(slope, 1, 2)
    value = np.stack([length.mean(axis=1), *(np.zeros((2, len(rows))))], axis=1)
    for column, part in ((1, slice(0, n_bonds)), (2, slice(n_bonds, None))):
        here = form[:, part, part]
        bias = np.nan_to_num(np.trace(here, axis1=1, axis2=2))
        value[:, column] = ((centred[:, part] ** 2).sum(axis=1) - bias) / n_bonds
        covariance[:, column, column] += 2 / n_bonds**2 * (here * np.swapaxes(here, 1, 2)).sum(axis=(1, 2))
    if n_bonds < FEWEST_BONDS:
        value[:, 1:] = np.nan
    with_area = (slope @ cells.covariance_with(atoms, rows, twice, pull=pull)[:, :, None])[..., 0]
    return value, covariance, with_area


def _joint_covariance(
    atoms: Atoms,
    rows: Int[np.ndarray, " centre"],
    neighbour: Int[np.ndarray, "centre quantity"],
    *,
    pull: Float[np.ndarray, "centre quantity 2"],
) -> Float[np.ndarray, "centre quantity quantity"]:
    """Return the covariance of quantities that change by `pull` times the move of a neighbour against the centre."""
    joint = pull @ atoms.covariance[rows] @ np.swapaxes(pull, 1, 2)
    own = np.einsum("nqi,nqij,nrj->nqr", pull, atoms.covariance[neighbour], pull, optimize=True)
    return joint + np.where(neighbour[:, :, None] == neighbour[:, None, :], own, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Cells:
    """Areas of the Voronoi cells with their variances, and how they change when an atom moves.

    `slope` belongs to links sorted by `key`, which numbers (atom, neighbour); `own` is the change with the atom itself.
    """

    area: Float[np.ndarray, " atom"]
    variance: Float[np.ndarray, " atom"]
    key: Int[np.ndarray, " link"]
    slope: Float[np.ndarray, "link 2"]
    own: Float[np.ndarray, "atom 2"]

    @classmethod
    def of(cls, atoms: Atoms) -> "_Cells":
        """Tessellate each frame by itself."""
        n_atoms = len(atoms)
        area = np.full(n_atoms, np.nan)
        usable = usable_atoms(atoms)
        links, slopes = [np.empty((0, 2), np.int64)], [np.empty((0, 2))]
        for image, frame in np.unique(np.stack([atoms.image, atoms.frame], axis=1)[usable], axis=0):
            rows = np.flatnonzero(usable & (atoms.image == image) & (atoms.frame == frame))
            cells = tessellate(atoms.position[rows])
            area[rows] = cells.area
            inner = np.isfinite(cells.border)
            pair, middle = rows[cells.pair[inner]], cells.middle[inner]
            ratio = (cells.border / np.maximum(cells.length, 1e-300))[inner, None]
            for link in (pair, pair[:, ::-1]):
                links.append(link)
                slopes.append(ratio * (atoms.position[link[:, 1]] - middle))
        link, slope = np.concatenate(links), np.concatenate(slopes)
        own = -np.stack(
            [np.bincount(link[:, 0], slope[:, axis], minlength=n_atoms) for axis in (0, 1)], axis=1, dtype=float
        )
        from_neighbours = np.einsum("li,lij,lj->l", slope, atoms.covariance[link[:, 1]], slope)
        variance = np.bincount(link[:, 0], from_neighbours, minlength=n_atoms)
        variance = variance + np.einsum("ai,aij,aj->a", own, atoms.covariance, own)
        key = link[:, 0] * n_atoms + link[:, 1]
        order = np.argsort(key)
        return cls(area=area, variance=variance, key=key[order], slope=slope[order], own=own)

    def covariance_with(
        self,
        atoms: Atoms,
        rows: Int[np.ndarray, " centre"],
        neighbour: Int[np.ndarray, "centre quantity"],
        *,
        pull: Float[np.ndarray, "centre quantity 2"],
    ) -> Float[np.ndarray, "centre quantity"]:
        """Return the covariance of the areas with quantities as in `_joint_covariance`."""
        wanted = rows[:, None] * len(atoms) + neighbour
        place = np.minimum(np.searchsorted(self.key, wanted), max(len(self.key) - 1, 0))
        if not len(self.key):
            return np.full(neighbour.shape, np.nan)
        slope = np.where((self.key[place] == wanted)[..., None], self.slope[place], 0.0)
        of_neighbour = np.einsum("nqi,nqij,nqj->nq", pull, atoms.covariance[neighbour], slope, optimize=True)
        of_centre = np.einsum("nqi,nij,nj->nq", pull, atoms.covariance[rows], self.own[rows], optimize=True)
        return of_neighbour - of_centre
