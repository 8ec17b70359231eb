"""Bond-orientational order: how evenly the bonds around an atom point in n directions, and in which."""

import numpy as np
from jaxtyping import Complex, Float, Int

from tusi.data import Atoms, Descriptors, NeighborGraph
from tusi.errors import InputError
from tusi.structure.neighbourhoods.rules import Nearest, find_neighbours

MOST_BLURRED = 1.0
"""Bonds are not sharpened by more than exp of this."""


def bond_order(atoms: Atoms, *, folds: int = 6, graph: NeighborGraph | None = None) -> Descriptors:
    """Measure psi_n, the mean of exp(i n theta) over the bonds of each atom.

    Errors of positions turn bonds: they shrink the mean of exp(i n theta) by exp(-n^2 s^2 / 2), s the error of the
    bond's angle, and lift its square by the variance of psi. Both are taken out: each bond is divided by its factor
    (never below exp(-1)), and the magnitude is the root of that square less the variance. Errors are those of the
    positions to first order, plus the scatter of the second-order term, which alone is left where all bonds agree.

    Parameters
    ----------
    atoms
        Atoms with the covariance of their positions; without it nothing is taken out.
    folds
        n: 6 for triangular order, 4 for square.
    graph
        Neighbours of each atom; `None` takes the `folds` nearest.

    Returns
    -------
    Descriptors
        psi_real, psi_imaginary, magnitude for each atom; NaN where it has no neighbours. arctan2 of the first two over
        n is the direction of the bonds, from x toward y.

    Raises
    ------
    InputError
        `folds` is below 1, or the graph is of other atoms.

    References
    ----------
    .. [1] D. R. Nelson, B. I. Halperin, "Dislocation-mediated melting in two dimensions", Phys. Rev. B 19, 2457 (1979).

    Examples
    --------
    >>> from tusi.datasets.crystals import CrystalRecipe, simulate_crystal
    >>> recipe = CrystalRecipe.triangular(shape=(9, 9), noise=0.0)
    >>> crystal = simulate_crystal(recipe, rng=np.random.default_rng(0))
    >>> table = bond_order(crystal.atoms)
    >>> round(float(table.column("magnitude")[40]), 6)
    1.0
    """
    if folds < 1:
        raise InputError("folds", expected="at least 1", got=str(folds))
    graph = find_neighbours(atoms, rule=Nearest(count=folds)) if graph is None else graph
    if graph.n_atoms != len(atoms):
        raise InputError("graph", expected=f"{len(atoms)} atoms", got=str(graph.n_atoms))
    start, end = graph.atom, graph.neighbour
    bond = atoms.position[end] - atoms.position[start]
    square = (bond**2).sum(axis=1)
    by_bond = np.stack([bond[:, 1], -bond[:, 0]], axis=1) / square[:, None]
    known = np.where(np.isfinite(atoms.covariance), atoms.covariance, 0.0)
    variance = np.einsum("li,lij,lj->l", by_bond, known[start] + known[end], by_bond)
    blur = np.minimum(0.5 * folds**2 * variance, MOST_BLURRED)
    wave = np.exp(1j * folds * np.arctan2(bond[:, 0], bond[:, 1]) + blur)
    degree = np.maximum(graph.degree, 1)
    psi = _summed(wave, start, len(atoms)) / degree
    psi[graph.degree == 0] = np.nan
    turned = 1j * folds * wave / degree[start]
    jacobian = np.stack([turned.real, turned.imag], axis=1)[:, :, None] * by_bond[:, None]
    covariance = _covariance(jacobian, atoms.covariance, start, end)
    second = np.exp(2 * blur) * folds**4 * variance**2 / 2 / degree[start] ** 2
    covariance[:, :2, :2] += _along(wave, start, second, len(atoms))
    spread = covariance[:, 0, 0] + covariance[:, 1, 1]
    size = np.abs(psi)
    magnitude = np.sqrt(np.maximum(size**2 - np.nan_to_num(spread), 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        direction = np.stack([psi.real, psi.imag], axis=1) / size[:, None]
    widened = np.concatenate([np.broadcast_to(np.eye(2), (len(atoms), 2, 2)), direction[:, None]], axis=1)
    return Descriptors(
        position=atoms.position,
        value=np.stack([psi.real, psi.imag, np.where(np.isnan(size), np.nan, magnitude)], axis=1),
        covariance=widened @ covariance @ np.swapaxes(widened, 1, 2),
        atom=np.arange(len(atoms)),
        image=atoms.image,
        names=("psi_real", "psi_imaginary", "magnitude"),
        units=("1", "1", "1"),
        length_unit=atoms.length_unit,
    )


def _summed(
    values: Complex[np.ndarray, " link"], atom: Int[np.ndarray, " link"], n_atoms: int
) -> Complex[np.ndarray, " atom"]:
    """Return the sum of complex values over the links of each atom."""
    parts = [np.bincount(atom, weights=part, minlength=n_atoms) for part in (np.real(values), np.imag(values))]
    return parts[0] + 1j * parts[1]


def _summed_arrays(values: Float[np.ndarray, "link a b"], atom: Int[np.ndarray, " link"], n_atoms: int) -> np.ndarray:
    """Return the sum of small matrices over the links of each atom."""
    flat = values.reshape(len(values), -1)
    columns = [np.bincount(atom, weights=column, minlength=n_atoms) for column in flat.T]
    return np.stack(columns, axis=1).reshape(n_atoms, *values.shape[1:])


def _covariance(
    jacobian: Float[np.ndarray, "link 2 2"],
    covariance: Float[np.ndarray, "atom 2 2"],
    start: Int[np.ndarray, " link"],
    end: Int[np.ndarray, " link"],
) -> Float[np.ndarray, "atom 2 2"]:
    """Return the covariance of psi: what each neighbour adds, and what the atom itself adds through all its bonds."""
    n_atoms = len(covariance)
    total = _summed_arrays(jacobian @ covariance[end] @ np.swapaxes(jacobian, 1, 2), start, n_atoms)
    own = _summed_arrays(jacobian, start, n_atoms)
    return total + own @ covariance @ np.swapaxes(own, 1, 2)


def _along(
    wave: Complex[np.ndarray, " link"],
    start: Int[np.ndarray, " link"],
    variance: Float[np.ndarray, " link"],
    n_atoms: int,
) -> Float[np.ndarray, "atom 2 2"]:
    """Return the covariance of variances along each bond's own exp(i n theta)."""
    unit = np.stack([np.real(wave), np.imag(wave)], axis=1) / np.abs(wave)[:, None]
    return _summed_arrays(variance[:, None, None] * unit[:, :, None] * unit[:, None, :], start, n_atoms)
