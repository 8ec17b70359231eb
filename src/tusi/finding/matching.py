"""Which found atom is which true one."""

import dataclasses

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from tusi.data import Atoms
from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Match:
    """Pairs of found and true atoms.

    Attributes
    ----------
    pairs
        Row of the found and row of the true atom of each pair.
    displacement
        Found minus true position of each pair, in the length unit of the atoms.
    n_found, n_truth
        Number of atoms in both tables.
    """

    pairs: Int[np.ndarray, "pair 2"]
    displacement: Float[np.ndarray, "pair 2"]
    n_found: int
    n_truth: int

    @property
    def precision(self) -> float:
        """Fraction of the found atoms that are true; 1 where nothing was found."""
        return len(self.pairs) / self.n_found if self.n_found else 1.0

    @property
    def recall(self) -> float:
        """Fraction of the true atoms that were found; 1 where there is nothing to find."""
        return len(self.pairs) / self.n_truth if self.n_truth else 1.0


def match_atoms(found: Atoms, truth: Atoms, *, radius: float) -> Match:
    """Pair found with true atoms, one to one, so that as many as possible match at the least total squared distance.

    Candidates within `radius` come from a KD-tree; each connected group of candidates is an assignment problem of its
    own, solved exactly.

    Parameters
    ----------
    found, truth
        Two tables of atoms of the same image in the same length unit.
    radius
        Largest distance of a pair, in the length unit of the atoms.

    Returns
    -------
    Match
        The pairs, in the order of the found atoms.

    Raises
    ------
    InputError
        The tables have different length units, or the radius is not positive.

    Examples
    --------
    >>> truth = Atoms.at(np.array([[1.0, 1.0], [5.0, 5.0]]), length_unit="pixel")
    >>> found = Atoms.at(np.array([[5.1, 5.0], [9.0, 9.0]]), length_unit="pixel")
    >>> match = match_atoms(found, truth, radius=1.0)
    >>> match.pairs.tolist(), match.precision, match.recall
    ([[0, 1]], 0.5, 0.5)
    """
    if found.length_unit != truth.length_unit:
        raise InputError("truth", expected=f"positions in {found.length_unit}", got=truth.length_unit)
    if not radius > 0:
        raise InputError("radius", expected="a positive length", got=str(radius))
    pairs = match_positions(found.position, truth.position, radius)
    displacement = found.position[pairs[:, 0]] - truth.position[pairs[:, 1]]
    return Match(pairs=pairs, displacement=displacement, n_found=len(found), n_truth=len(truth))


def match_positions(
    found: Float[np.ndarray, "found 2"], truth: Float[np.ndarray, "true 2"], radius: float
) -> Int[np.ndarray, "pair 2"]:
    """Return the optimal one-to-one pairs of two sets of points."""
    if not len(found) or not len(truth):
        return np.empty((0, 2), dtype=np.int64)
    near = cKDTree(found).sparse_distance_matrix(cKDTree(truth), radius, output_type="ndarray")
    if not len(near):
        return np.empty((0, 2), dtype=np.int64)
    n_points = len(found) + len(truth)
    links = sparse.coo_array((np.ones(len(near)), (near["i"], near["j"] + len(found))), shape=(n_points, n_points))
    group = connected_components(links, directed=False)[1][near["i"]]
    near, group = near[np.argsort(group, kind="stable")], np.sort(group)
    alone: Bool[np.ndarray, " link"] = np.bincount(group)[group] == 1
    pairs = [np.stack([near["i"][alone], near["j"][alone]], axis=1)]
    crowded = near[~alone]
    for links_of_group in np.split(crowded, np.flatnonzero(np.diff(group[~alone])) + 1):
        pairs.append(_assign(links_of_group, radius))
    together = np.concatenate(pairs).astype(np.int64)
    return together[np.argsort(together[:, 0])]


def _assign(links: np.ndarray, radius: float) -> Int[np.ndarray, "pair 2"]:
    """Solve one connected group: most pairs first, then the least sum of squares."""
    if not len(links):
        return np.empty((0, 2), dtype=np.int64)
    rows, row = np.unique(links["i"], return_inverse=True)
    columns, column = np.unique(links["j"], return_inverse=True)
    impossible = 1e3 * radius**2 * (len(links) + 1)
    cost = np.full((len(rows), len(columns)), impossible)
    cost[row, column] = links["v"] ** 2
    chosen = np.stack(linear_sum_assignment(cost), axis=1)
    chosen = chosen[cost[chosen[:, 0], chosen[:, 1]] < impossible]
    return np.stack([rows[chosen[:, 0]], columns[chosen[:, 1]]], axis=1)
