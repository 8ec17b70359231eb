"""Steps in a registered lattice: the nearest ones around a site, and the sites they lead to."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tusi.data import Lattice
from tusi.errors import InputError

Step = tuple[int, int] | tuple[int, int, int]
"""(rows, columns) to a site of the same kind, or (rows, columns, basis site)."""

FEWEST_IN_SHELL, MOST_IN_SHELL = 3, 8
BEFORE_X = 0.1
"""A direction this little (radians) short of the x axis still counts as along it, first in its shell."""

SAME_GAP = 0.95
"""Gaps between shells that differ by less than this ratio are as wide: the inner one ends the shell."""


def nearest_steps(lattice: Lattice, *, basis_site: int = 0, n_steps: int | None = None) -> tuple[Step, ...]:
    """Return the steps from one kind of site to the nearest sites of any kind, by shells and in each by angle.

    Distances are those of the mean lattice of the domain, not of single atoms.

    Parameters
    ----------
    lattice
        A registered lattice.
    basis_site
        Kind of the site that steps start from.
    n_steps
        How many steps; `None` takes the sites (three to eight) inside the widest gap between successive distances.

    Returns
    -------
    tuple of (rows, columns, basis site)

    Raises
    ------
    InputError
        The lattice has no site of this kind, or `n_steps` is not positive.

    Examples
    --------
    >>> from tusi.data import Atoms
    >>> from tusi.structure import register_lattice
    >>> y, x = np.mgrid[:5, :5] * 3.0
    >>> atoms = Atoms.at(np.stack([y.ravel(), x.ravel()], axis=1), length_unit="angstrom", intensity=np.ones(25))
    >>> len(nearest_steps(register_lattice(atoms))), len(nearest_steps(register_lattice(atoms), n_steps=8))
    (4, 8)
    """
    if n_steps is not None and n_steps < 1:
        raise InputError("n_slots", expected="at least 1", got=str(n_steps))
    rows = sites_of(lattice, basis_site)
    domain = lattice.domain[rows[0]]
    kinds = np.unique(lattice.index[lattice.domain == domain, 2])
    reach = 2 + int(np.ceil(np.sqrt(n_steps or MOST_IN_SHELL)))
    span = np.arange(-reach, reach + 1)
    steps = np.stack(np.meshgrid(span, span, kinds, indexing="ij"), axis=-1).reshape(-1, 3)
    steps = steps[(steps[:, :2] != 0).any(axis=1) | (steps[:, 2] != basis_site)]
    vector = step_vectors(lattice, steps, basis_site=basis_site)
    length = np.linalg.norm(vector, axis=1)
    order = np.argsort(length, kind="stable")
    n_steps = n_steps or _first_shell(length[order[: MOST_IN_SHELL + 1]])
    chosen = order[:n_steps]
    return tuple(tuple(step) for step in steps[chosen[shells_then_angle(vector[chosen])]].tolist())


def step_vectors(
    lattice: Lattice, steps: Sequence[Step] | Int[np.ndarray, "step 3"], *, basis_site: int
) -> Float[np.ndarray, "step 2"]:
    """Return the (y, x) vectors of steps from one kind of site in the mean lattice, in its length unit."""
    index = with_basis(steps, basis_site)
    vectors = lattice.vectors[lattice.domain[sites_of(lattice, basis_site)[0]]]
    return (index[:, :2] + lattice.basis[index[:, 2]] - lattice.basis[basis_site]) @ vectors


def by_steps(
    lattice: Lattice, steps: Sequence[Step], *, basis_site: int
) -> tuple[Int[np.ndarray, " site"], Int[np.ndarray, "site step"]]:
    """Return the sites of one kind, and for each the sites that the steps lead to; -1 where the lattice has none."""
    centre = sites_of(lattice, basis_site)
    leap = with_basis(steps, basis_site)
    low = lattice.index[:, :2].min(axis=0)
    extent = lattice.index[:, :2].max(axis=0) - low + 1
    key = _key(lattice.index, low, extent)
    order = np.argsort(key)
    target = np.empty((len(centre), len(leap), 3), np.int64)
    target[:, :, :2] = lattice.index[centre, None, :2] + leap[:, :2]
    target[:, :, 2] = leap[:, 2]
    inside = ((target[:, :, :2] >= low) & (target[:, :, :2] < low + extent)).all(axis=2)
    wanted = _key(target, low, extent)
    place = np.minimum(np.searchsorted(key[order], wanted), len(key) - 1)
    found = inside & (key[order[place]] == wanted)
    return centre, np.where(found, order[place], -1)


def sites_of(lattice: Lattice, basis_site: int) -> Int[np.ndarray, " site"]:
    """Return the rows of the sites of one kind; raises `InputError` where there are none."""
    rows = np.flatnonzero(lattice.index[:, 2] == basis_site)
    if not len(rows):
        kinds = np.unique(lattice.index[:, 2]).tolist()
        raise InputError("basis_site", expected=f"one of {kinds}", got=str(basis_site))
    return rows


def with_basis(steps: Sequence[Step] | Int[np.ndarray, "step 3"], basis_site: int) -> Int[np.ndarray, "step 3"]:
    """Return steps as rows (rows, columns, basis site); where a step names no basis site it leads to the same kind."""
    rows = [tuple(int(part) for part in step) for step in steps]
    if not rows or any(len(step) not in (2, 3) for step in rows):
        raise InputError("steps", expected="(rows, columns) or (rows, columns, basis site)", got=repr(rows))
    return np.array([step if len(step) == 3 else (*step, basis_site) for step in rows], np.int64)


def _key(
    index: Int[np.ndarray, "... 3"], low: Int[np.ndarray, "2"], extent: Int[np.ndarray, "2"]
) -> Int[np.ndarray, "..."]:
    """Return the number of each place in the box that holds the lattice."""
    row, column = index[..., 0] - low[0], index[..., 1] - low[1]
    return (index[..., 2] * extent[0] + row) * extent[1] + column


def _first_shell(length: Float[np.ndarray, " site"]) -> int:
    """Return how many sites lie inside the widest gap, as a ratio, between successive distances."""
    ratio = length[FEWEST_IN_SHELL : MOST_IN_SHELL + 1] / length[FEWEST_IN_SHELL - 1 : MOST_IN_SHELL]
    return FEWEST_IN_SHELL + int(np.flatnonzero(ratio >= SAME_GAP * ratio.max())[0])


def shells_then_angle(vector: Float[np.ndarray, "slot 2"]) -> Int[np.ndarray, " slot"]:
    """Return the order of vectors by shell (lengths within a fifth of the first) and by angle within each."""
    length = np.linalg.norm(vector, axis=1)
    shell = np.zeros(len(length), np.int64)
    first = number = 0
    for rank, row in enumerate(np.argsort(length, kind="stable")):
        first = length[row] if rank == 0 else first
        if length[row] > 1.2 * first:
            first, number = length[row], number + 1
        shell[row] = number
    angle = (np.arctan2(vector[:, 0], vector[:, 1]) + BEFORE_X) % (2 * np.pi)
    return np.lexsort((angle, shell))
