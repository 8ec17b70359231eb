"""Strain and rotation in real space: the local gradient of the displacement from a reference lattice."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.data import Atoms, Descriptors, Lattice
from tusi.errors import InputError
from tusi.structure.neighbours import first_shell
from tusi.structure.order.stencils import atoms_at_steps, check_registered, gathered, propagated

STRAIN_NAMES = ("strain_yy", "strain_xx", "strain_xy", "rotation")
"""Columns of a table of strain; rotation is in rad."""

FROM_GRADIENT = np.zeros((4, 2, 2))
"""Strain and rotation as sums of the gradient's elements du_i/dx_j."""
FROM_GRADIENT[0, 0, 0] = FROM_GRADIENT[1, 1, 1] = 1.0
FROM_GRADIENT[2, 0, 1] = FROM_GRADIENT[2, 1, 0] = 0.5
FROM_GRADIENT[3, 0, 1], FROM_GRADIENT[3, 1, 0] = 0.5, -0.5


def strain(
    atoms: Atoms,
    lattice: Lattice,
    *,
    reference: Float[np.ndarray, "2 2"] | None = None,
    basis_site: int | None = None,
) -> Descriptors:
    """Measure strain and rotation at every site from the steps to its neighbours of the same kind.

    The vectors to the first shell of lattice neighbours (four or six) are fitted by least squares as a linear map of
    the same steps in the reference lattice: the map less one is the gradient of the displacement u. Strain is its
    symmetric part, rotation (du_y/dx - du_x/dy)/2; both hold for small gradients, so the reference must be turned as
    the crystal is. Opposite neighbours enter with opposite weights, so dimerisation cancels, and so does off-centring
    that is alike in neighbouring cells; where it changes, sublattices have different strain. An image cannot tell
    strain of the specimen from distortion of the scan.

    Parameters
    ----------
    atoms
        Atoms with the covariance of their positions.
    lattice
        The lattice that `atoms` was registered to.
    reference
        Unstrained lattice vectors as rows (y, x), in the unit of the positions, in the order of `lattice.vectors`.
        `None` fits one lattice to all atoms of a domain: strain is then relative to its mean, and the error of that
        mean is not counted.
    basis_site
        Kind of site; `None` for all.

    Returns
    -------
    Descriptors
        strain_yy, strain_xx, strain_xy, rotation (rad) for each filled site; NaN where a neighbour is missing.

    Raises
    ------
    InputError
        The lattice is empty or belongs to other atoms, or the reference is singular or far from the lattice.

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:6, :6] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), 1.02 * x.ravel()], axis=1), length_unit="angstrom")
    >>> table = strain(atoms, register_lattice(atoms), reference=np.eye(2) * 3.0)
    >>> round(float(np.nanmean(table.column("strain_xx"))), 4)
    0.02
    """
    check_registered(atoms, lattice)
    kinds = np.unique(lattice.index[lattice.atom >= 0, 2]) if basis_site is None else [basis_site]
    tables = [_strain_of_kind(atoms, lattice, basis_site=int(kind), reference=reference) for kind in kinds]
    joined = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in ("position", "value", "covariance", "atom", "image")
    }
    return dataclasses.replace(tables[0], **joined)


def fitted_vectors(atoms: Atoms, lattice: Lattice, *, domain: int) -> Float[np.ndarray, "2 2"]:
    """Return the lattice vectors that fit all atoms of a domain best, as rows (y, x)."""
    chosen = (lattice.domain == domain) & (lattice.atom >= 0)
    position, index = atoms.position[lattice.atom[chosen]], lattice.index[chosen]
    kinds = np.unique(index[:, 2])
    design = np.column_stack([index[:, :2], index[:, 2, None] == kinds]).astype(float)
    finite = np.isfinite(position).all(axis=1)
    return np.linalg.lstsq(design[finite], position[finite], rcond=None)[0][:2]


def _strain_of_kind(
    atoms: Atoms, lattice: Lattice, *, basis_site: int, reference: Float[np.ndarray, "2 2"] | None
) -> Descriptors:
    """Return strain and rotation of the sites of one kind."""
    kind = lattice.index[:, 2] == basis_site
    domain = int(lattice.domain[kind][0]) if kind.any() else 0
    mean = lattice.vectors[domain]
    vectors = fitted_vectors(atoms, lattice, domain=domain) if reference is None else _checked(reference, mean)
    steps = first_shell(mean)
    found = atoms_at_steps(lattice, steps, basis_site=basis_site)
    ideal = np.array(steps, float) @ vectors
    weight = ideal @ np.linalg.inv(ideal.T @ ideal)
    neighbour = gathered(atoms.position, found.atom)
    gradient = np.einsum("rsi,sj->rij", neighbour, weight) - np.eye(2)
    jacobian = np.einsum("dij,sj->dsi", FROM_GRADIENT, weight)[None]
    return Descriptors(
        position=atoms.position[found.centre],
        value=np.einsum("dij,rij->rd", FROM_GRADIENT, gradient),
        covariance=propagated(jacobian, gathered(atoms.covariance, found.atom)),
        atom=found.centre,
        image=atoms.image[found.centre],
        names=STRAIN_NAMES,
        units=("1", "1", "1", "rad"),
        length_unit=atoms.length_unit,
    )


def _checked(reference: Float[np.ndarray, "2 2"], mean: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "2 2"]:
    """Return the reference if the mean lattice is within a fifth of it."""
    reference = np.asarray(reference, float)
    if reference.shape != (2, 2) or not np.isfinite(reference).all() or np.linalg.det(reference) == 0:
        raise InputError("reference", expected="two independent lattice vectors (y, x)", got=str(reference.tolist()))
    if np.abs(np.linalg.solve(reference, mean) - np.eye(2)).max() > 0.2:
        raise InputError(
            "reference",
            expected=f"vectors within a fifth of the lattice's, {np.round(mean, 4).tolist()}",
            got=str(reference.tolist()),
            then="Turn them as the crystal is turned, and give them in the lattice's order.",
        )
    return reference
