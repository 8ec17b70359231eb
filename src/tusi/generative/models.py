"""The models that images of two species are compared with, and how their windows count clusters.

What a bond or a triangle contributes depends here only on how many of its sites hold the counted species: a short
table that the fast canonical sampler reads. It is derived from the models' definition and never written down.
"""

import enum
import functools

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.lattice.motifs import NearestClusters, PairShell
from tusi.generative.lattice.named import named_model

LARGEST_CLUSTER = 3
"""Sites in the largest cluster that such a window can count."""


class ClusterKind(enum.IntEnum):
    """The clusters of a site graph that terms can count."""

    FIRST_PAIR = 0
    SECOND_PAIR = 1
    TRIANGLE = 2
    TRIANGLE_WITH_VACANCY = 3


MODELS = {name: named_model(name) for name in ("random", "P1", "P2", "M")}
"""The models by name: random alloy, nearest-neighbour pairs, next-nearest pairs as well, and triangles."""

_KINDS = {
    PairShell(shell=1): ClusterKind.FIRST_PAIR,
    PairShell(shell=2): ClusterKind.SECOND_PAIR,
    NearestClusters(size=3): ClusterKind.TRIANGLE,
}


def model_named(name: str) -> LatticeModel:
    """Return a model by its name.

    Raises
    ------
    InputError
        There is no such model.
    """
    if name not in MODELS:
        raise InputError("models", expected=f"names among {tuple(MODELS)}", got=repr(name))
    return MODELS[name]


@functools.lru_cache(maxsize=64)
def kind_table(model: LatticeModel) -> Float[np.ndarray, "kind count parameter"]:
    """Return what a cluster of each kind contributes by the number of its sites that hold the counted species.

    Raises
    ------
    InputError
        The model is not one of two species on bonds of two shells and triangles, or a cluster's contribution depends
        on which of its sites hold the species.

    Examples
    --------
    >>> kind_table(MODELS["P1"])[ClusterKind.FIRST_PAIR, :, 0].tolist()
    [0.0, 1.0, 0.0, 0.0]
    """
    table = np.zeros((len(ClusterKind), LARGEST_CLUSTER + 1, len(model.terms)))
    for k, term in enumerate(model.terms):
        if term.motif not in _KINDS or term.n_species != 2:
            raise InputError("model", expected="pairs of two shells or triangles of two species", got=str(model))
        kind = _KINDS[term.motif]
        table[kind, : term.motif.n_corners + 1, k] = _by_count(term.table)
        if term.with_vacancy:
            table[kind + 1, : term.motif.n_corners, k] = _by_count(term.with_vacancy)
    table.flags.writeable = False
    return table


def kinds_of(model: LatticeModel) -> tuple[ClusterKind, ...]:
    """Return the kinds of clusters that the model counts."""
    return tuple(kind for kind in ClusterKind if kind_table(model)[kind].any())


def embedding(smaller: LatticeModel, larger: LatticeModel) -> Float[np.ndarray, "larger smaller"] | None:
    """Return the matrix that turns couplings of the smaller model into equivalent ones of the larger; `None` if none.

    On sites whose surroundings are complete each bond lies in two triangles, so a nearest-neighbour pair energy w is
    a triangle energy with w for both mixed kinds.

    Examples
    --------
    >>> embedding(MODELS["P1"], MODELS["M"]).ravel().tolist()
    [1.0, 1.0]
    >>> embedding(MODELS["P2"], MODELS["M"]) is None
    True
    """
    if len(smaller.terms) >= len(larger.terms):
        return None
    mixed = MODELS["M"].terms
    matrix = np.zeros((len(larger.terms), len(smaller.terms)))
    for column, term in enumerate(smaller.terms):
        if term in larger.terms:
            matrix[larger.terms.index(term), column] = 1.0
        elif term == MODELS["P1"].terms[0] and all(kind in larger.terms for kind in mixed):
            matrix[[larger.terms.index(kind) for kind in mixed], column] = 1.0
        else:
            return None
    return matrix


def _by_count(table: tuple[float, ...]) -> list[float]:
    """Return a table of two species by the number of ones in the code."""
    values: dict[int, float] = {}
    for code, value in enumerate(table):
        if values.setdefault(code.bit_count(), value) != value:
            raise InputError("model", expected="contributions that depend on counts alone", got=str(table))
    return [values[n] for n in sorted(values)]
