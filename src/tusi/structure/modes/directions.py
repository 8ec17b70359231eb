"""Directions of excess variance: eigenvalues of whitened samples, and which of them noise alone would reach."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tusi.data import Atoms
from tusi.errors import InputError
from tusi.inference import resampling_p_value
from tusi.structure.neighbourhoods import Neighbourhoods


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Directions:
    """Orthogonal directions of whitened samples, the most variable first, with tests of the first few."""

    eigenvalue: Float[np.ndarray, " direction"]
    vector: Float[np.ndarray, "direction feature"]
    p_value: Float[np.ndarray, " mode"]
    null_eigenvalue: Float[np.ndarray, " mode"]


def check_alike(neighbourhoods: Sequence[Neighbourhoods], atoms: Sequence[Atoms]) -> None:
    """Refuse neighbourhoods that are not one for each table of atoms, or that have different slots."""
    if not len(neighbourhoods) or len(neighbourhoods) != len(atoms):
        raise InputError(
            "neighbourhoods",
            expected=f"one for each of {len(atoms)} tables of atoms, and at least one",
            got=str(len(neighbourhoods)),
        )
    if len({one.n_slots for one in neighbourhoods}) > 1:
        raise InputError("neighbourhoods", expected="the same slots in all images", got="different numbers of slots")


def centred(samples: Float[np.ndarray, "sample feature"], group: Int[np.ndarray, " sample"]) -> np.ndarray:
    """Subtract the mean of each group.

    Examples
    --------
    >>> centred(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1])).tolist()
    [[-1.0], [1.0], [0.0]]
    """
    n_groups = int(group.max(initial=-1)) + 1
    count = np.maximum(np.bincount(group, minlength=n_groups), 1)
    mean = np.stack([np.bincount(group, column, minlength=n_groups) for column in samples.T], axis=1) / count[:, None]
    return samples - mean[group]


def second_moment(samples: Float[np.ndarray, "sample feature"], n_groups: int) -> Float[np.ndarray, "feature feature"]:
    """Return the covariance of samples from which the means of groups were subtracted."""
    return samples.T @ samples / (len(samples) - n_groups)


def find_directions(
    observed: Float[np.ndarray, "feature feature"],
    replicas: Float[np.ndarray, "replica feature feature"],
    *,
    level: float,
    most: int,
    relative: bool = False,
) -> Directions:
    """Return the eigenvectors of a covariance, and for the first few whether chance reaches their eigenvalues.

    After each accepted direction the next one is compared with what remains of the replicas beside the accepted ones.

    Parameters
    ----------
    observed
        Covariance of the whitened samples.
    replicas
        Covariances of simulated samples without modes.
    level
        Directions are tested until a p-value exceeds this.
    most
        At most so many are tested.
    relative
        Compare eigenvalues in units of the mean of the smaller half of what remains: the level of noise is unknown.
    """
    eigenvalue, vector = np.linalg.eigh(observed)
    eigenvalue, vector = eigenvalue[::-1], vector[:, ::-1].T
    p_values, edges = [], []
    for k in range(min(most, len(eigenvalue))):
        rest = vector[k:]
        null = np.linalg.eigvalsh(rest @ replicas @ rest.T)[:, ::-1]
        seen = eigenvalue[k:]
        if relative:
            half = len(seen) // 2
            null, seen = null / null[:, half:].mean(axis=1, keepdims=True), seen / seen[half:].mean()
        p_values.append(resampling_p_value(float(seen[0]), null[:, 0]))
        edges.append(np.quantile(null[:, 0], 0.95) * eigenvalue[k] / seen[0])
        if p_values[-1] > level:
            break
    return Directions(eigenvalue=eigenvalue, vector=vector, p_value=np.array(p_values), null_eigenvalue=np.array(edges))
