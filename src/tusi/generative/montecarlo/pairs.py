"""A lattice energy as one-body and two-body parts: what cluster moves and bit-packed replicas work on."""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.lattice.system import LatticeSystem


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PairForm:
    """Statistics `T(s) = constant + sum_i field[i, s_i] + sum_b scale[b] pair[row[b], s_i, s_j]` over bonds b = (i, j).

    Fields and pairs vanish where a species is 0.

    Attributes
    ----------
    constant
        T of the arrangement in which every site holds species 0.
    field
        What a species adds to each statistic on a site of its own.
    ends
        The two sites of each bond.
    row, scale
        Which table a bond takes, and what multiplies it.
    pair
        What two species on the ends of a bond add beyond their fields.
    """

    constant: Float[np.ndarray, " parameter"]
    field: Float[np.ndarray, "site species parameter"]
    ends: Int[np.ndarray, "bond 2"]
    row: Int[np.ndarray, " bond"]
    scale: Float[np.ndarray, " bond"]
    pair: Float[np.ndarray, "row species species parameter"]


def pair_form(system: LatticeSystem, *, sampler: str) -> PairForm:
    """Split every cluster's contribution into parts of one, two and more sites, and make sure that there are no more.

    The parts are differences to the arrangement in which all sites hold species 0, so a table of any number of
    corners that is a sum over pairs passes.

    Parameters
    ----------
    system
        What to split.
    sampler
        Who asks, for the error.

    Raises
    ------
    InputError
        A cluster has a part of three or more sites.
    """
    n_corners, q, n_parameters = system.members.shape[1], system.n_species, len(system.parameters)
    parts = _parts(system.table.reshape(-1, *(q,) * n_corners, n_parameters))
    real = system.members < system.n_sites
    _check_order(system, parts, real, sampler)
    constant = np.tensordot(system.weight, parts[(system.kind, *(0,) * n_corners)], axes=1)
    field = np.zeros((system.n_sites + 1, q, n_parameters))
    ends, row, scale, pair = [], [], [], []
    for corner in range(n_corners):
        alone = np.stack([parts[(slice(None), *_index(n_corners, {corner: a}))] for a in range(q)], axis=1)
        alone[:, 0] = 0.0
        np.add.at(field, system.members[:, corner], system.weight[:, None, None] * alone[system.kind])
    for number, (first, second) in enumerate(itertools.combinations(range(n_corners), 2)):
        two = np.zeros((len(parts), q, q, n_parameters))
        for a, b in itertools.product(range(1, q), repeat=2):
            two[:, a, b] = parts[(slice(None), *_index(n_corners, {first: a, second: b}))]
        sites = system.members[:, [first, second]]
        bonded = (
            real[:, first] & real[:, second] & np.asarray(two.any(axis=(1, 2, 3)))[system.kind] & (system.weight != 0)
        )
        same = bonded & (sites[:, 0] == sites[:, 1])
        doubled = two[:, np.arange(q), np.arange(q)]
        np.add.at(field, sites[same, 0], system.weight[same, None, None] * doubled[system.kind[same]])
        bonded &= ~same
        ends.append(sites[bonded])
        row.append(system.kind[bonded] + number * len(parts))
        scale.append(system.weight[bonded])
        pair.append(two)
    return PairForm(
        constant=constant,
        field=field[:-1],
        ends=np.concatenate([*ends, np.empty((0, 2))]).astype(np.int64),
        row=np.concatenate([*row, []]).astype(np.int64),
        scale=np.concatenate([*scale, []]).astype(np.float64),
        pair=np.concatenate([*pair, np.zeros((0, q, q, n_parameters))]),
    )


def _parts(table: Float[np.ndarray, "kind *corner parameter"]) -> Float[np.ndarray, "kind *corner parameter"]:
    """Return the part of each subset of corners, those at species 0 left out; the first corner's axis first."""
    n_corners = table.ndim - 2
    parts = table.transpose(0, *range(n_corners, 0, -1), n_corners + 1).copy()
    for axis in range(1, n_corners + 1):
        along = np.moveaxis(parts, axis, 0)
        along[1:] -= along[0].copy()
    return parts


def _check_order(system: LatticeSystem, parts: np.ndarray, real: np.ndarray, sampler: str) -> None:
    """Raise where a subset of three or more corners adds something of its own."""
    n_corners = real.shape[1]
    tolerance = 1e-12 * max(1.0, float(np.abs(system.table).max(initial=0.0)))
    for size in range(3, n_corners + 1):
        for corners in itertools.combinations(range(n_corners), size):
            chosen = tuple(slice(1, None) if c in corners else 0 for c in range(n_corners))
            beyond = np.abs(parts[(slice(None), *chosen)]).reshape(len(parts), -1).max(axis=1, initial=0.0) > tolerance
            if (beyond[system.kind] & real[:, list(corners)].all(axis=1) & np.not_equal(system.weight, 0)).any():
                raise InputError(
                    "system",
                    expected=f"fields and pair interactions, which is all that {sampler} can move",
                    got=f"a term that ties {size} sites",
                    then="Use `HeatBath` or `Tempering` for it.",
                )


def _index(n_corners: int, species: dict[int, int]) -> tuple[int, ...]:
    return tuple(species.get(corner, 0) for corner in range(n_corners))
