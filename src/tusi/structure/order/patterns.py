"""Whether a local quantity alternates from cell to cell, and in which pattern."""

import dataclasses

import numpy as np
from scipy.special import erfc

from tusi.data import Descriptors, Lattice
from tusi.errors import InputError
from tusi.structure.neighbours import first_shell
from tusi.structure.order.stencils import atoms_at_steps

PATTERNS = ((0, 0), (1, 0), (0, 1), (1, 1))
"""Multiples of row and column whose sum gives the sign; (0, 0) is the plain mean."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alternation:
    """The mean of a quantity, taken with the signs of a pattern.

    Attributes
    ----------
    pattern
        Multiples of row and column whose sum gives the sign.
    mean, standard_error
        In the quantity's unit.
    p_value
        Of a mean of zero, two-sided.
    n_sites
        Sites with a finite value.
    """

    pattern: tuple[int, int]
    mean: float
    standard_error: float
    p_value: float
    n_sites: int


def alternations(table: Descriptors, lattice: Lattice, *, name: str) -> tuple[Alternation, ...]:
    """Average one column of a table with the signs of the four patterns that a doubled cell can have.

    Ferroelectric and antiferroelectric displacements, and tilts that turn to and fro, are told apart by which mean
    differs from zero. Standard errors are those of the scatter between sites, nearest neighbours taken as correlated,
    because they share columns.

    Parameters
    ----------
    table
        Descriptors of atoms of one image, one kind of site.
    lattice
        The lattice of that image.
    name
        Column of the table.

    Returns
    -------
    tuple of Alternation
        One for each pattern, in the order (0, 0), (1, 0), (0, 1), (1, 1).

    Raises
    ------
    InputError
        The rows are not of atoms on one kind of site of the lattice, or fewer than four are finite.

    Examples
    --------
    >>> from tusi.datasets.crystals import CrystalRecipe, simulate_crystal
    >>> from tusi.structure.order import find_cage, tilt
    >>> recipe = CrystalRecipe.with_anions(shape=(12, 12), tilt=0.05, noise=0.02)
    >>> crystal = simulate_crystal(recipe, rng=np.random.default_rng(0))
    >>> table = tilt(crystal.atoms, crystal.lattice, cage=find_cage(crystal.lattice, centre=1))
    >>> best = min(alternations(table, crystal.lattice, name="tilt"), key=lambda one: one.p_value)
    >>> best.pattern, round(best.mean, 2)
    ((1, 1), 0.05)
    """
    site_of = np.full(max(int(lattice.atom.max(initial=-1)), int(table.atom.max(initial=-1))) + 2, -1)
    filled = np.flatnonzero(lattice.atom >= 0)
    site_of[lattice.atom[filled]] = filled
    site = site_of[table.atom]
    kinds = np.unique(lattice.index[site, 2]) if (site >= 0).all() and len(site) else np.empty(0)
    if len(kinds) != 1:
        raise InputError("table", expected="rows of atoms on one kind of site", got=f"{len(kinds)} kinds")
    value = table.column(name)
    known = np.isfinite(value)
    if known.sum() < 4:
        raise InputError("table", expected="four finite values or more", got=str(int(known.sum())))
    number = np.full(len(site_of), -1)
    number[table.atom[known]] = np.arange(known.sum())
    half = first_shell(lattice.vectors[int(lattice.domain[site[0]])])
    reached = atoms_at_steps(lattice, [(0, 0), *half[: len(half) // 2]], basis_site=int(kinds[0])).atom
    pair = np.stack(np.broadcast_arrays(number[reached[:, :1]], number[reached[:, 1:]]), axis=-1).reshape(-1, 2)
    pair = pair[(pair >= 0).all(axis=1)]
    index, value = lattice.index[site[known], :2], value[known]
    found = []
    for pattern in PATTERNS:
        signed = value * (-1.0) ** (index @ np.array(pattern))
        away = signed - signed.mean()
        own = float((away**2).sum())
        near = 2 * float((away[pair[:, 0]] * away[pair[:, 1]]).sum())
        error = float(np.sqrt(max(own + near, own)) / len(away))
        mean = float(signed.mean())
        p_value = float(erfc(abs(mean) / error / np.sqrt(2))) if error > 0 else float(mean == 0)
        found.append(Alternation(pattern=pattern, mean=mean, standard_error=error, p_value=p_value, n_sites=len(away)))
    return tuple(found)
