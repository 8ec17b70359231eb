"""Tilt of octahedra or chains: by how much the cage of a column is turned."""

import numpy as np
from jaxtyping import Float

from tusi.data import Atoms, Descriptors, Lattice
from tusi.errors import InputError
from tusi.structure.neighbourhoods.steps import step_vectors
from tusi.structure.order.off_centring import Cage
from tusi.structure.order.stencils import atoms_at_steps, check_registered, gathered, propagated


def tilt(
    atoms: Atoms, lattice: Lattice, *, cage: Cage, reference: Float[np.ndarray, "neighbour 2"] | None = None
) -> Descriptors:
    """Measure by how much each cage is turned, as seen along the beam.

    The angle is that of the rotation which carries the reference cage onto the observed one with least squares, both
    about their own centroid. Two opposite neighbours make a cage too: the tilt of the line through them. The centre
    itself takes no part. Strain of the cage leaves the angle as it is where the cage is even.

    Parameters
    ----------
    atoms
        Atoms with the covariance of their positions.
    lattice
        The lattice that `atoms` was registered to.
    cage
        Centre and neighbours.
    reference
        The untilted cage: (y, x) of each neighbour in the order of `cage.steps`, any origin. `None` takes the mean cage
        of the lattice: tilts that alternate between cells are then seen whole, a tilt that is alike in all is not seen.

    Returns
    -------
    Descriptors
        tilt (rad, from x toward y) for each filled centre; NaN where a neighbour is missing.

    Raises
    ------
    InputError
        The lattice is empty or belongs to other atoms, or the reference is not one vector for each neighbour.

    Examples
    --------
    >>> from tusi.datasets.crystals import CrystalRecipe, simulate_crystal
    >>> from tusi.structure.order import find_cage
    >>> recipe = CrystalRecipe.with_anions(shape=(8, 8), tilt=0.05, noise=0.0)
    >>> crystal = simulate_crystal(recipe, rng=np.random.default_rng(0))
    >>> table = tilt(crystal.atoms, crystal.lattice, cage=find_cage(crystal.lattice, centre=1))
    >>> table.column("tilt")[:3].round(3).tolist()
    [0.05, -0.05, 0.05]
    """
    check_registered(atoms, lattice)
    ideal = step_vectors(lattice, cage.steps, basis_site=cage.centre) if reference is None else np.asarray(reference)
    if ideal.shape != (cage.n_neighbours, 2) or not np.isfinite(ideal).all():
        raise InputError("reference", expected=f"{cage.n_neighbours} finite vectors (y, x)", got=str(ideal.tolist()))
    ideal = ideal - ideal.mean(axis=0)
    found = atoms_at_steps(lattice, cage.steps, basis_site=cage.centre)
    neighbour = gathered(atoms.position, found.atom)
    centred = neighbour - neighbour.mean(axis=1, keepdims=True)
    across = np.stack([ideal[:, 1], -ideal[:, 0]], axis=1)
    sine, cosine = np.einsum("sk,rsk->r", across, centred), np.einsum("sk,rsk->r", ideal, centred)
    with np.errstate(invalid="ignore"):
        jacobian = (cosine[:, None, None] * across - sine[:, None, None] * ideal) / (sine**2 + cosine**2)[:, None, None]
    return Descriptors(
        position=atoms.position[found.centre],
        value=np.arctan2(sine, cosine)[:, None],
        covariance=propagated(jacobian[:, None], gathered(atoms.covariance, found.atom)),
        atom=found.centre,
        image=atoms.image[found.centre],
        names=("tilt",),
        units=("rad",),
        length_unit=atoms.length_unit,
    )
