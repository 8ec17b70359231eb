"""Shells of sites of one kind around a site, counted in the lattice."""

import numpy as np
from jaxtyping import Float

from tusi.data import Lattice
from tusi.errors import InputError
from tusi.structure.neighbourhoods.steps import sites_of
from tusi.structure.translations import is_triangular

ALIKE = 0.06
"""Lattice vectors count as equal, or at right angles, if they are so within this."""

SAME_DISTANCE = 1.02


def lattice_shells(lattice: Lattice, *, basis_site: int, n_shells: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return the steps (rows, columns) to the sites of the first shells; the second half of each shell is opposite.

    Shells are those of the nearest ideal lattice: triangular, square, or the lattice as it is.
    """
    if n_shells < 1:
        raise InputError("n_shells", expected="at least 1", got=str(n_shells))
    ideal = _ideal(lattice.vectors[int(lattice.domain[sites_of(lattice, basis_site)[0]])])
    reach = n_shells + 2
    span = np.arange(-reach, reach + 1)
    step = np.stack(np.meshgrid(span, span, indexing="ij"), axis=-1).reshape(-1, 2)
    step = step[(step[:, 0] > 0) | ((step[:, 0] == 0) & (step[:, 1] > 0))]
    length = np.linalg.norm(step @ ideal, axis=1)
    order = np.argsort(length, kind="stable")
    step, length = step[order], length[order]
    shell = np.cumsum(np.r_[0, length[1:] > SAME_DISTANCE * length[:-1]])
    return tuple(
        tuple(tuple(one) for one in np.concatenate([step[shell == k], -step[shell == k]]).tolist())
        for k in range(n_shells)
    )


def _ideal(vectors: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "2 2"]:
    """Return the triangular or square lattice that these reduced vectors nearly are, or themselves."""
    if is_triangular(vectors) and abs(_ratio(vectors) - 1) < 2 * ALIKE:
        return np.array([[1.0, 0.0], [-0.5, np.sqrt(0.75)]])
    cosine = np.dot(*vectors) / np.prod(np.linalg.norm(vectors, axis=1))
    return np.eye(2) if abs(_ratio(vectors) - 1) < ALIKE and abs(cosine) < ALIKE else vectors


def _ratio(vectors: Float[np.ndarray, "2 2"]) -> float:
    length = np.linalg.norm(vectors, axis=1)
    return float(length.max() / length.min())
