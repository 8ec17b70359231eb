"""How much the rows of a crystal bend."""

import numpy as np

from tusi.data import Atoms, Descriptors, Lattice
from tusi.errors import InputError
from tusi.structure.order.stencils import atoms_at_steps, check_registered, gathered, propagated


def row_curvature(
    atoms: Atoms, lattice: Lattice, *, step: tuple[int, int] = (0, 1), half_length: int = 3, basis_site: int = 0
) -> Descriptors:
    """Measure the curvature of the row of sites through each site.

    A parabola in the number of steps is fitted by least squares to the positions of the 2 `half_length` + 1 sites
    around each site; the curvature is that of the fitted curve at the site. Longer pieces are less noisy, as
    `half_length` to the power -2.5, and follow bends on their own scale only.

    Parameters
    ----------
    atoms
        Atoms with the covariance of their positions.
    lattice
        The lattice that `atoms` was registered to.
    step
        (rows, columns) from a site to the next in its row.
    half_length
        Sites on either side that take part.
    basis_site
        Kind of site.

    Returns
    -------
    Descriptors
        curvature (1/length) for each filled site, positive where the row turns from x toward y along the step; NaN
        where a site of the piece is missing.

    Raises
    ------
    InputError
        The lattice is empty or belongs to other atoms, the step is none, or `half_length` is below 1.

    References
    ----------
    .. [1] M. Hadjimichael et al., "Metal-ferroelectric supercrystals with periodically curved metallic layers",
       Nature Materials 20, 495 (2021).

    Examples
    --------
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:8, :12] * 4.0
    >>> bent = np.stack([(y + 0.002 * (x - 22) ** 2).ravel(), x.ravel()], axis=1)
    >>> atoms = Atoms.at(bent, length_unit="angstrom", intensity=np.ones(96))
    >>> lattice = register_lattice(atoms)
    >>> step = (0, 1) if abs(lattice.vectors[0, 1, 1]) > 1 else (1, 0)
    >>> table = row_curvature(atoms, lattice, step=step)
    >>> round(float(np.nanmax(np.abs(table.column("curvature")))), 4)
    0.004
    """
    check_registered(atoms, lattice)
    if step == (0, 0) or half_length < 1:
        raise InputError("step", expected="a step other than none, half_length >= 1", got=f"{step}, {half_length}")
    number = np.arange(-half_length, half_length + 1.0)
    fit = np.linalg.pinv(np.column_stack([np.ones_like(number), number, 0.5 * number**2]))
    steps = [(int(n * step[0]), int(n * step[1])) for n in number]
    found = atoms_at_steps(lattice, steps, basis_site=basis_site)
    place = gathered(atoms.position, found.atom)
    tangent, bend = np.einsum("s,rsk->rk", fit[1], place), np.einsum("s,rsk->rk", fit[2], place)
    across = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    speed = np.linalg.norm(tangent, axis=1)
    turning = (across * bend).sum(axis=1)
    by_tangent = np.stack([-bend[:, 1], bend[:, 0]], axis=1) / speed[:, None] ** 3
    by_tangent -= (3 * turning / speed**5)[:, None] * tangent
    by_bend = across / speed[:, None] ** 3
    jacobian = by_tangent[:, None] * fit[1][:, None] + by_bend[:, None] * fit[2][:, None]
    return Descriptors(
        position=atoms.position[found.centre],
        value=(turning / speed**3)[:, None],
        covariance=propagated(jacobian[:, None], gathered(atoms.covariance, found.atom)),
        atom=found.centre,
        image=atoms.image[found.centre],
        names=("curvature",),
        units=(f"1/{atoms.length_unit}",),
        length_unit=atoms.length_unit,
    )
