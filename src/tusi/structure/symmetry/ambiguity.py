"""Whether the atoms of a cell can still be told from each other, given the errors of their positions."""

import numpy as np
from scipy.special import erfc

from tusi.structure.symmetry.mean_cells import N_STRAINS, MeanCell


def ambiguity(cell: MeanCell) -> float:
    """Return the probability that some atom is taken for another one, or for its own repetition in the next cell.

    Two atoms at a distance d, and their images, are matched in the wrong order with probability exp(-d^2 / 2 s^2) / 2,
    where s^2 is the variance per axis of the error of their difference; where it is one half nothing is known, so twice
    that counts. An atom is matched to a wrong cell where the errors of its place relative to another one and of its
    image together exceed half of the shortest lattice vector. Pairs are taken as independent.

    Parameters
    ----------
    cell
        Mean cell of a window.

    Examples
    --------
    >>> cell = MeanCell(fraction=np.array([[0, 0], [0.5, 0.5]]), species_log_likelihood=np.zeros((2, 0)),
    ...     vectors=np.eye(2), covariance=1e-4 * np.eye(7), n_cells=36, length_unit="pixel")
    >>> ambiguity(cell) < 1e-6, ambiguity(cell.with_error(position=3.0)) > 0.9
    (True, True)
    """
    first, other = np.triu_indices(len(cell), 1)
    difference = cell.fraction[first] - cell.fraction[other]
    separation = (difference - np.round(difference)) @ cell.vectors
    distance = np.linalg.norm(separation, axis=1)
    position = cell.covariance[N_STRAINS:, N_STRAINS:].reshape(len(cell), 2, len(cell), 2)
    own = np.einsum("iaib->iab", position)
    across = position[first, :, other, :]
    spread = own[first] + own[other] - across - np.swapaxes(across, 1, 2)
    variance = np.einsum("pab,ac,bc->p", spread, cell.vectors, cell.vectors) / 2
    variance = np.maximum(variance, 1e-300)
    exchanged = _alike(cell)[first, other] * np.exp(-(distance**2) / (2 * variance))
    shortest = np.linalg.norm(cell.vectors, axis=1).min()
    displaced = erfc(shortest / (4 * np.sqrt(variance)))
    return float(1.0 - np.prod((1.0 - exchanged) * (1.0 - displaced)))


def _alike(cell: MeanCell) -> np.ndarray:
    """Return the probability that two sites hold the same species."""
    if not cell.species_log_likelihood.shape[1]:
        return np.ones((len(cell), len(cell)))
    share = np.exp(cell.species_log_likelihood - cell.species_log_likelihood.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return share @ share.T
