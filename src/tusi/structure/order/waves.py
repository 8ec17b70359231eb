"""Dimerised lattices: how bonds alternate, and the displacement waves with which two neighbouring cells differ."""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.special import gammaincc, logsumexp

from tusi.data import Atoms, Descriptors, Lattice
from tusi.errors import InputError
from tusi.structure.neighbours import first_shell
from tusi.structure.order.disorder import displacement_scatter
from tusi.structure.order.stencils import Stencil, atoms_at_steps, check_registered, gathered, propagated
from tusi.structure.translations import is_triangular

WAVES = ((1, 0), (0, 1), (1, 1))
"""Waves with two cells per period: the sign of a site changes with its row, its column, or their sum."""


def bond_alternation(atoms: Atoms, lattice: Lattice, *, basis_site: int = 0) -> Descriptors:
    """Measure along every close-packed direction by how much the bond ahead is longer than the bond behind.

    A uniform lattice has none, and strain makes none; where neighbours pair up, the sign alternates from site to site.

    Parameters
    ----------
    atoms
        Atoms with the covariance of their positions.
    lattice
        The lattice that `atoms` was registered to.
    basis_site
        Kind of site.

    Returns
    -------
    Descriptors
        alternation_R_C (length) for the two or three steps of R rows and C columns to a nearest neighbour, for each
        filled site; NaN where a neighbour is missing.

    Raises
    ------
    InputError
        The lattice is empty, belongs to other atoms, or has no such basis site.

    Examples
    --------
    >>> from tusi.datasets.crystals import CrystalRecipe, Dimerisation, simulate_crystal
    >>> recipe = CrystalRecipe.triangular(shape=(8, 8), dimerisation=Dimerisation(amplitude=0.1), noise=0.0)
    >>> crystal = simulate_crystal(recipe, rng=np.random.default_rng(0))
    >>> table = bond_alternation(crystal.atoms, crystal.lattice)
    >>> table.names
    ('alternation_1_0', 'alternation_1_1', 'alternation_0_1')
    """
    check_registered(atoms, lattice)
    shell = first_shell(_vectors(lattice, basis_site))
    half = len(shell) // 2
    found = atoms_at_steps(lattice, [(0, 0), *shell], basis_site=basis_site)
    place = gathered(atoms.position, found.atom)
    bond = place[:, 1:] - place[:, :1]
    length = np.linalg.norm(bond, axis=2)
    direction = bond / length[:, :, None]
    jacobian = np.zeros((len(bond), half, 1 + len(shell), 2))
    for k in range(half):
        jacobian[:, k, 1 + k], jacobian[:, k, 1 + half + k] = direction[:, k], -direction[:, half + k]
        jacobian[:, k, 0] = direction[:, half + k] - direction[:, k]
    value = length[:, :half] - length[:, half:]
    value[~np.isfinite(place).all(axis=(1, 2))] = np.nan
    return Descriptors(
        position=atoms.position[found.centre],
        value=value,
        covariance=propagated(jacobian, gathered(atoms.covariance, found.atom)),
        atom=found.centre,
        image=atoms.image[found.centre],
        names=tuple(f"alternation_{row}_{column}" for row, column in shell[:half]),
        units=(atoms.length_unit,) * half,
        length_unit=atoms.length_unit,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Dimerised:
    """Displacement waves of period two at every site, and how sure they are.

    Attributes
    ----------
    table
        wave_R_C_y and wave_R_C_x for the waves that alternate with R times the row plus C times the column: the local
        amplitude, with the sign that the wave has at the lattice's origin, so that a domain has one sign. Covariances
        are those of the positions' errors.
    amplitude
        Root of the sum of the squared waves less what errors and disorder add to it, in the length unit; zero where
        that is negative.
    p_value
        Of "random displacements with the scatter `disorder`" at each site; NaN where a neighbour is missing.
    wave_probability
        Given that one wave is there, the probability of each.
    chain_angle
        Direction in which chains run under the likeliest wave, from x toward y, in rad, in [0, pi).
    disorder
        Root mean square random displacement along each axis beyond the stated errors, in the length unit; part of the
        null hypothesis, and all of it where errors are not known.
    """

    table: Descriptors
    amplitude: Float[np.ndarray, " row"]
    p_value: Float[np.ndarray, " row"]
    wave_probability: Float[np.ndarray, "row 3"]
    chain_angle: Float[np.ndarray, " row"]
    disorder: float

    @property
    def share(self) -> float:
        """Estimated share of the sites that are dimerised: twice the deficit of p-values above one half."""
        known = self.p_value[np.isfinite(self.p_value)]
        return max(0.0, 1.0 - 2.0 * float((known > 0.5).mean())) if len(known) else float("nan")


def dimerisation(atoms: Atoms, lattice: Lattice, *, basis_site: int = 0, pooling: int = 1) -> Dimerised:
    """Measure the displacement waves of period two at every site.

    The sites of a 2 x 2 cell fall into four classes. The mean positions of the classes around a site, added with the
    signs of a wave, give its amplitude; uniform displacement and strain cancel, and so do the other waves. A single
    wave makes zigzag chains (1T'), three of them make the diamonds of ReS2. `pooling` averages over the site and its
    surroundings. Amplitudes are sums of positions with fixed weights, so errors follow exactly. They are tested
    against random displacements whose variance is measured in the same image at other wavelengths
    (`displacement_scatter`), by chi-square. The probability of each wave compares its presence at the image's mean
    square amplitude with that of the others.

    Parameters
    ----------
    atoms
        Atoms with the covariance of their positions.
    lattice
        The lattice that `atoms` was registered to, in its undimerised cell.
    basis_site
        Kind of site.
    pooling
        Shells of neighbours over which the waves are averaged; 0 for none.

    Returns
    -------
    Dimerised
        A row for each filled site of that kind.

    Raises
    ------
    InputError
        The lattice is empty, belongs to other atoms, or has no such basis site; `pooling` is negative.

    Examples
    --------
    >>> from tusi.datasets.crystals import CrystalRecipe, Dimerisation, simulate_crystal
    >>> recipe = CrystalRecipe.triangular(shape=(12, 12), dimerisation=Dimerisation(amplitude=0.15, wave=(0, 1)))
    >>> crystal = simulate_crystal(recipe, rng=np.random.default_rng(0))
    >>> found = dimerisation(crystal.atoms, crystal.lattice)
    >>> bool(np.nanmedian(found.p_value) < 1e-6), round(float(np.nanmedian(found.amplitude)), 2)
    (True, 0.15)
    """
    check_registered(atoms, lattice)
    if pooling < 0:
        raise InputError("pooling", expected="a number of shells >= 0", got=str(pooling))
    stencils, centre = wave_stencils(atoms, lattice, basis_site=basis_site, pooling=pooling)
    disorder = displacement_scatter(atoms, lattice, basis_site=basis_site)
    value = np.concatenate([stencil.of_positions(atoms.position) for stencil in stencils], axis=1)
    covariance = _joint_covariance(stencils, atoms.covariance)
    errors = np.where(np.isfinite(atoms.covariance), atoms.covariance, 0.0)
    null = _joint_covariance(stencils, errors + disorder**2 * np.eye(2))
    p_value, probability = _judge(value, null)
    vectors = _vectors(lattice, basis_site)
    along = np.array([(column, row) if row != column else (row, column) for row, column in WAVES]) @ vectors
    angle = np.arctan2(along[:, 0], along[:, 1]) % np.pi
    known = np.all(np.isfinite(probability), axis=1)
    likeliest = np.where(known, np.argmax(np.where(known[:, None], probability, 0.0), axis=1), 0)
    return Dimerised(
        table=Descriptors(
            position=atoms.position[centre],
            value=value,
            covariance=covariance,
            atom=centre,
            image=atoms.image[centre],
            names=tuple(f"wave_{row}_{column}_{axis}" for row, column in WAVES for axis in "yx"),
            units=(atoms.length_unit,) * 6,
            length_unit=atoms.length_unit,
        ),
        amplitude=np.sqrt(np.maximum((value**2).sum(axis=1) - np.trace(null, axis1=1, axis2=2), 0.0)),
        p_value=p_value,
        wave_probability=probability,
        chain_angle=np.where(known, angle[likeliest], np.nan),
        disorder=disorder,
    )


def wave_stencils(atoms: Atoms, lattice: Lattice, *, basis_site: int, pooling: int) -> tuple[list[Stencil], np.ndarray]:
    """Return the weights that give each wave at each site, and the rows of the sites' atoms."""
    triangular = is_triangular(_vectors(lattice, basis_site))
    diagonal = [(1, 1), (-1, -1)] if triangular else [(1, 1), (-1, -1), (1, -1), (-1, 1)]
    classes = [[(0, 0)], [(1, 0), (-1, 0)], [(0, 1), (0, -1)], diagonal]
    steps = [step for members in classes for step in members]
    found = atoms_at_steps(lattice, steps, basis_site=basis_site)
    index = lattice.index[found.site]
    pool = _pool(lattice, found.centre, basis_site=basis_site, shells=pooling)
    stencils = []
    for wave in WAVES:
        sign = (-1.0) ** (index[:, :2] @ wave)
        share = [(-1.0) ** np.dot(step, wave) / (4 * len(members)) for members in classes for step in members]
        local = Stencil.of(found.atom, np.array([share]) * sign[:, None], n_atoms=len(atoms))
        mean = pool @ sparse.diags_array(local.complete.astype(float))
        n_used = np.asarray(mean.sum(axis=1)).ravel()
        mean = sparse.diags_array(1.0 / np.maximum(n_used, 1.0)) @ mean
        stencils.append(Stencil(weight=(mean @ local.weight).tocsr(), complete=local.complete))
    return stencils, found.centre


def _vectors(lattice: Lattice, basis_site: int) -> Float[np.ndarray, "2 2"]:
    """Return the lattice vectors of the domain that has this kind of site."""
    kind = lattice.index[:, 2] == basis_site
    return lattice.vectors[int(lattice.domain[kind][0]) if kind.any() else 0]


def _pool(lattice: Lattice, centre: np.ndarray, *, basis_site: int, shells: int) -> sparse.csr_array:
    """Return which rows lie within so many shells of each row, itself included."""
    number = np.full(int(lattice.atom.max()) + 1, -1)
    number[centre] = np.arange(len(centre))
    ring = atoms_at_steps(lattice, [(0, 0), *first_shell(_vectors(lattice, basis_site))], basis_site=basis_site).atom
    row, slot = np.nonzero(ring >= 0)
    near = sparse.csr_array((np.ones(len(row)), (row, number[ring[row, slot]])), shape=(len(centre),) * 2)
    pool = sparse.csr_array(sparse.eye_array(len(centre)))
    for _ in range(shells):
        pool = (pool @ near).sign()
    return pool


def _joint_covariance(stencils: list[Stencil], covariance: np.ndarray) -> Float[np.ndarray, "row 6 6"]:
    """Return the covariance of all waves of each row."""
    known = np.all(np.isfinite(covariance), axis=(1, 2))
    flat = np.where(known[:, None, None], covariance, 0.0).reshape(-1, 4)
    joint = np.empty((len(stencils[0].complete), 2 * len(stencils), 2 * len(stencils)))
    for one, first in enumerate(stencils):
        for other, second in enumerate(stencils):
            product = first.weight.multiply(second.weight).tocsr()
            joint[:, 2 * one : 2 * one + 2, 2 * other : 2 * other + 2] = (product @ flat).reshape(-1, 2, 2)
    unknown = (abs(stencils[0].weight) @ (~known).astype(float)) > 0
    joint[~stencils[0].complete | unknown] = np.nan
    return joint


def _judge(
    value: Float[np.ndarray, "row 6"], covariance: Float[np.ndarray, "row 6 6"]
) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, "row wave"]]:
    """Return the p-value of "no wave", and the probability of each wave given that there is one."""
    known = np.all(np.isfinite(covariance), axis=(1, 2)) & np.all(np.isfinite(value), axis=1)
    known[known] = np.linalg.det(covariance[known]) > 0
    p_value, probability = np.full(len(value), np.nan), np.full((len(value), len(WAVES)), np.nan)
    if not known.any():
        return p_value, probability
    some, spread = value[known], covariance[known]
    square = np.einsum("ri,ri->r", some, np.linalg.solve(spread, some[:, :, None])[:, :, 0])
    p_value[known] = gammaincc(value.shape[1] / 2, square / 2)
    excess = float((some**2).sum(axis=1).mean() - np.trace(spread, axis1=1, axis2=2).mean())
    prior = max(excess, 1e-6 * float((some**2).sum(axis=1).mean())) / 2
    evidence = np.empty((len(some), len(WAVES)))
    for wave in range(len(WAVES)):
        wider = spread.copy()
        wider[:, 2 * wave, 2 * wave] += prior
        wider[:, 2 * wave + 1, 2 * wave + 1] += prior
        fit = np.einsum("ri,ri->r", some, np.linalg.solve(wider, some[:, :, None])[:, :, 0])
        evidence[:, wave] = -0.5 * (fit + np.linalg.slogdet(wider)[1])
    probability[known] = np.exp(evidence - logsumexp(evidence, axis=1, keepdims=True))
    return p_value, probability
