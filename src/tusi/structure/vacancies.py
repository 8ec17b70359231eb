"""Is a site that has no atom really empty: the image is asked."""

import dataclasses

import numpy as np
import xarray as xr

from tusi.data import Lattice
from tusi.finding import Finding, test_presence


def judge_vacancies(lattice: Lattice, grid: xr.DataArray, *, finding: Finding) -> Lattice:
    """Give every site without an atom the probability that it is a vacancy.

    One more spot is fitted to what the finding left over around the site; the gain in likelihood, weighed against the
    cost of the spot's parameters, is the probability that a column is there after all. Sites with an atom keep theirs.

    Parameters
    ----------
    lattice
        A lattice registered from `finding.atoms` (or from part of them).
    grid
        The image.
    finding
        What `find_atoms` returned for it.

    Returns
    -------
    Lattice
        The same sites with `vacancy_probability` filled.

    Raises
    ------
    InputError
        The finding belongs to another image.

    Examples
    --------
    >>> from tusi.datasets import localisation_world
    >>> from tusi.finding import find_atoms
    >>> from tusi.structure import register_lattice
    >>> world = localisation_world("square", dose=1000, rng=np.random.default_rng(2))
    >>> finding = find_atoms(world.grid, noise=world.noise)
    >>> lattice = judge_vacancies(register_lattice(finding.atoms), world.grid, finding=finding)
    >>> bool((lattice.vacancy_probability[lattice.atom < 0] > 0.9).all())
    True
    """
    empty = np.flatnonzero(lattice.atom < 0)
    if not len(empty):
        return lattice
    probability = lattice.vacancy_probability.copy()
    presence = test_presence(grid, lattice.position[empty], finding=finding)
    probability[empty] = np.where(np.isfinite(presence), 1.0 - presence, 1.0)
    return dataclasses.replace(lattice, vacancy_probability=probability)
