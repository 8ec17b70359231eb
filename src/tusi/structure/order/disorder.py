"""How much atoms scatter about their places at random, beyond the errors of their positions."""

import numpy as np
from jaxtyping import Float

from tusi.data import Atoms, Lattice
from tusi.structure.neighbours import first_shell
from tusi.structure.order.stencils import Stencil, atoms_at_steps

N_WAVES = 16
"""Waves per reciprocal lattice vector at which the scatter is measured."""

ROUNDING = 1e-9
"""Scatter below this share of a lattice vector is none."""

NEAR_ORDER = 0.15
"""Waves closer than this to a uniform displacement or to period two are left out, in reciprocal lattice vectors."""


def displacement_scatter(atoms: Atoms, lattice: Lattice, *, basis_site: int = 0) -> float:
    """Return the root mean square random displacement along each axis that the positions' errors do not explain.

    The displacement of each site from the mean of its ring of neighbours is Fourier-analysed on the lattice. White
    scatter has the same power at all wave vectors, once the known response of the ring is divided out. The median is
    taken over wave vectors away from zero and from period two, so that slow distortion and dimerisation do not move it,
    and over the half of them to which the ring responds more, so that power does not leak into them.

    Parameters
    ----------
    atoms
        Atoms with the covariance of their positions; where it is not known it counts as zero.
    lattice
        The lattice that `atoms` was registered to.
    basis_site
        Kind of site.

    Returns
    -------
    float
        In the length unit; zero where errors explain all, or where fewer than 16 sites have all neighbours.

    Examples
    --------
    >>> from tusi.datasets.crystals import CrystalRecipe, simulate_crystal
    >>> recipe = CrystalRecipe.triangular(shape=(30, 30), noise=0.03, disorder=0.05)
    >>> crystal = simulate_crystal(recipe, rng=np.random.default_rng(0))
    >>> bool(abs(displacement_scatter(crystal.atoms, crystal.lattice) / 0.05 - 1) < 0.1)
    True
    """
    kind = lattice.index[:, 2] == basis_site
    vectors = lattice.vectors[int(lattice.domain[kind][0]) if kind.any() else 0]
    shell = first_shell(vectors)
    found = atoms_at_steps(lattice, [(0, 0), *shell], basis_site=basis_site)
    stencil = Stencil.of(found.atom, np.array([[1.0, *[-1.0 / len(shell)] * len(shell)]]), n_atoms=len(atoms))
    inner = stencil.complete
    if inner.sum() < 16:
        return 0.0
    away = stencil.of_positions(atoms.position)[inner]
    away = away - away.mean(axis=0)
    index = lattice.index[found.site[inner], :2].astype(float)
    waves = _random_waves()
    response = 1.0 - np.cos(2 * np.pi * waves @ np.array(shell, float).T).mean(axis=1)
    strong = response >= np.median(response)
    waves, response = waves[strong], response[strong]
    amplitude = np.array([away.T @ np.exp(-2j * np.pi * (index @ wave)) for wave in waves])
    power = (np.abs(amplitude) ** 2).mean(axis=1) / len(away) / response**2
    known = atoms.covariance[found.centre][:, [0, 1], [0, 1]]
    error = float(np.nanmean(known)) if np.isfinite(known).any() else 0.0
    scatter = float(np.sqrt(max(np.median(power) / _MEDIAN_OF_TWO - error, 0.0)))
    return scatter if scatter > ROUNDING * np.abs(vectors).max() else 0.0


_MEDIAN_OF_TWO = 0.8391734950083303
"""Median of the mean of two exponential variables of mean one."""


def _random_waves() -> Float[np.ndarray, "wave 2"]:
    """Return one of each pair of opposite wave vectors that are far from uniform and from period two."""
    number = np.stack(np.meshgrid(np.arange(N_WAVES), np.arange(N_WAVES // 2 + 1), indexing="ij"), axis=-1)
    waves = number.reshape(-1, 2) / N_WAVES
    double = 2 * waves
    return waves[np.linalg.norm(double - np.round(double), axis=1) > 2 * NEAR_ORDER]
