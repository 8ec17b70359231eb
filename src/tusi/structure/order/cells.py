"""The unit cell around every site: lengths of its edges, their angle, its area."""

import numpy as np
from jaxtyping import Float

from tusi.data import Atoms, Descriptors, Lattice
from tusi.structure.order.stencils import atoms_at_steps, check_registered, gathered, propagated

_FIRST = np.array([-0.5, 0.5, -0.5, 0.5])
_SECOND = np.array([-0.5, -0.5, 0.5, 0.5])


def unit_cells(atoms: Atoms, lattice: Lattice, *, basis_site: int = 0) -> Descriptors:
    """Measure the cell that four sites of one kind span: lengths a and b, angle gamma, area.

    The corners of a cell are a site and those one step along the first lattice vector, the second, and both. Each edge
    is the mean of the two opposite ones, so that the area is that of the quadrangle. Errors are those of the four
    positions to first order; neighbouring cells share corners, and their errors are not independent.

    Parameters
    ----------
    atoms
        Atoms with the covariance of their positions.
    lattice
        The lattice that `atoms` was registered to; its vectors are the edges.
    basis_site
        The kind of site at the corners.

    Returns
    -------
    Descriptors
        a, b (length), gamma (rad), area (length squared) for each filled site of that kind, at the middle of its cell;
        NaN where a corner is missing. `atom` is the first corner.

    Raises
    ------
    InputError
        The lattice is empty, belongs to other atoms, or has no such basis site.

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:6, :6] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=np.ones(36))
    >>> cells = unit_cells(atoms, register_lattice(atoms))
    >>> [round(float(np.nanmean(cells.column(name))), 6) for name in ("a", "b", "gamma", "area")]
    [3.0, 3.0, 1.570796, 9.0]
    """
    check_registered(atoms, lattice)
    steps = [(0, 0), (1, 0), (0, 1), (1, 1)]
    found = atoms_at_steps(lattice, steps, basis_site=basis_site)
    corner = gathered(atoms.position, found.atom)
    first, second = np.einsum("s,rsk->rk", _FIRST, corner), np.einsum("s,rsk->rk", _SECOND, corner)
    value, by_first, by_second = _edges(first, second)
    jacobian = by_first[:, :, None] * _FIRST[:, None] + by_second[:, :, None] * _SECOND[:, None]
    unit = atoms.length_unit
    return Descriptors(
        position=np.where(np.all(np.isfinite(corner), axis=(1, 2))[:, None], corner.mean(axis=1), corner[:, 0]),
        value=value,
        covariance=propagated(jacobian, gathered(atoms.covariance, found.atom)),
        atom=found.centre,
        image=atoms.image[found.centre],
        names=("a", "b", "gamma", "area"),
        units=(unit, unit, "rad", f"{unit}^2"),
        length_unit=unit,
    )


def _edges(
    first: Float[np.ndarray, "row 2"], second: Float[np.ndarray, "row 2"]
) -> tuple[Float[np.ndarray, "row 4"], Float[np.ndarray, "row 4 2"], Float[np.ndarray, "row 4 2"]]:
    """Return lengths, angle and area of two vectors, and their derivatives by either vector."""
    quarter_turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    a, b = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
    cross = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    dot = (first * second).sum(axis=1)
    side = np.sign(cross)
    value = np.stack([a, b, np.arctan2(np.abs(cross), dot), np.abs(cross)], axis=1)
    by_first, by_second = np.zeros((len(a), 4, 2)), np.zeros((len(a), 4, 2))
    with np.errstate(invalid="ignore"):
        by_first[:, 0], by_second[:, 1] = first / a[:, None], second / b[:, None]
        by_first[:, 2] = -side[:, None] * (first @ quarter_turn.T) / a[:, None] ** 2
        by_second[:, 2] = side[:, None] * (second @ quarter_turn.T) / b[:, None] ** 2
    by_first[:, 3] = side[:, None] * (second @ quarter_turn)
    by_second[:, 3] = -side[:, None] * (first @ quarter_turn)
    return value, by_first, by_second
