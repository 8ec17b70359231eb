"""Attempts to refute edges, which noise does not survive: each edge must beat what chance gives in the same images."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from tusi.causal.structural.mechanisms import FittedLinear
from tusi.causal.structural.structure import Structure
from tusi.causal.table import CausalTable
from tusi.errors import InputError
from tusi.inference.spatial import Layout, phase_surrogates, torus_shifts

N_COMMON = 20
"""Random common causes that are tried on each edge."""

HALF_LEVEL = 0.1
"""One-sided level at which what one half of the images teaches must predict the other, both ways."""

NULL_SHARE = 1e-12
"""Share of variance below which nothing is left of a variable."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refuters:
    """How hard edges are tried.

    Attributes
    ----------
    n_surrogates
        Shifted images that each edge is compared with.
    level
        Largest p-value with which an edge survives.
    """

    n_surrogates: int = 199
    level: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.level < 1 or (self.n_surrogates + 1) * self.level < 1:
            raise InputError("n_surrogates", expected="enough for p-values at the level", got=repr(self))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refutation:
    """What became of an edge.

    Attributes
    ----------
    cause, effect
        The edge.
    strength
        Share of the variance of the effect, given its other causes, that the cause explains, both in normal scores.
    placebo
        P-value: the cause replaced by the same field, shifted.
    any_pair
        P-value: the strongest of all pairs of variables when all are shifted against each other. This is what a search
        could have found in noise.
    common_cause
        P-value with the worst of several random fields of the same spectrum as an additional common cause.
    halves
        Larger of two p-values: what one half of the images (or of the one image) teaches predicts the other half.
    survived
        Whether the edge withstood all four.
    """

    cause: str
    effect: str
    strength: float
    placebo: float
    any_pair: float
    common_cause: float
    halves: float
    survived: bool

    def __str__(self) -> str:
        edge = f"{self.cause} -> {self.effect}"
        if self.survived:
            return f"{edge} survives (p = {self.any_pair:.2g} against the strongest pair in shifted images)"
        reasons = {
            "a shifted cause does as well": self.placebo,
            "chance makes pairs as strong": self.any_pair,
            "a random common cause removes it": self.common_cause,
            "one half of the images does not predict the other": self.halves,
        }
        return f"{edge} is refuted: {max(reasons, key=lambda reason: reasons[reason])}"


def refute(
    table: CausalTable, structure: Structure, *, rng: np.random.Generator, refuters: Refuters | None = None
) -> tuple[Refutation, ...]:
    """Return which edges of a structure withstand attempts to refute them.

    Cause and effect are regressed on the effect's other causes; the share of the rest that the one explains of the
    other is compared with that of images shifted against each other, which keep their spatial structure. Edges that a
    search found must beat the strongest of all pairs, since a search takes the strongest. All in normal scores, so that
    outliers decide nothing, unless known errors of common causes are to be allowed for (linear equations only). No
    refuter says which way an edge points.

    Parameters
    ----------
    table
        The rows.
    structure
        Its edges, the form of its equations, and what is taken out of the variables first.
    rng
        Source of randomness.
    refuters
        How hard edges are tried.

    References
    ----------
    P. H. Westfall, S. S. Young, Resampling-Based Multiple Testing (Wiley, 1993), for the strongest pair.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> table = linear_fields(np.array([[0, 0.5, 0], [0, 0, 0], [0, 0, 0]]), FieldRecipe(shape=(32, 32)),
    ...                       rng=np.random.default_rng(0))
    >>> structure = Structure.of([("x0", "x1"), ("x2", "x1")], names=table.names)
    >>> [one.survived for one in refute(table, structure, rng=np.random.default_rng(1))]
    [True, False]
    """
    refuters = refuters or Refuters()
    rows = structure.rows(table)
    shifts = torus_shifts(rows.layout, n=refuters.n_surrogates, rng=rng)
    strongest = _strongest_of_noise(rows, structure, shifts, rng)
    return tuple(
        _tried(_Edge.of(rows, structure, int(i), int(j)), shifts, strongest, refuters, rng)
        for i, j in np.argwhere(structure.arrow)
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Edge:
    """Cause and effect, less what the effect's other causes say of them."""

    names: tuple[str, str]
    features: Float[np.ndarray, "row term"]
    effect: Float[np.ndarray, " row"]
    shared: float
    layout: Layout

    @classmethod
    def of(cls, rows: CausalTable, structure: Structure, i: int, j: int) -> "_Edge":
        others = structure.arrow[:, j].copy()
        others[i] = False
        left, combination = [], np.zeros((2, rows.n_variables))
        for side, place in enumerate((i, j)):
            arrow = np.zeros_like(structure.arrow)
            arrow[:, place] = others
            family = dataclasses.replace(structure, arrow=arrow).family(rows, place)
            value = family.centred(family.effect)
            combination[side, place] = 1.0
            if others.any():
                fitted = structure.mechanism.fit(family)
                value = value - family.centred(fitted(family.cause))
                if isinstance(fitted, FittedLinear):
                    combination[side, others] = -fitted.slope
            left.append(value)
        shared = _shared(left[0], combination, rows.error_covariance.mean(axis=0), structure)
        if not shared:
            left = [_normal_scores(value) for value in left]
        return cls(
            names=(structure.names[i], structure.names[j]), features=_orthonormal(structure.mechanism.basis(left[0])),
            effect=left[1], shared=shared, layout=rows.layout,
        )  # fmt: skip

    def strength(self, effects: Float[np.ndarray, "*case row"]) -> Float[np.ndarray, "*case"]:
        """Return the share of each effect's variance that the features explain."""
        square = np.maximum((effects**2).sum(axis=-1), 1e-300)
        return ((effects @ self.features) ** 2).sum(axis=-1) / square

    @property
    def seen(self) -> float:
        """The same for the effect that was seen, less what known errors put into both."""
        square = float(self.effect @ self.effect)
        product = self.effect @ self.features
        if self.shared:
            product = product - self.shared
        return float((product**2).sum() / max(square, 1e-300))


def _shared(cause: np.ndarray, combination: np.ndarray, error: np.ndarray, structure: Structure) -> float:
    """Return what errors alone add to the product of the effect with the only feature; for linear equations."""
    if not structure.mechanism.linear or not error.any():
        return 0.0
    norm = np.sqrt(max(float(cause @ cause), 1e-300))
    return float(len(cause) * (combination[0] @ error @ combination[1]) / norm)


def _tried(
    edge: _Edge, shifts: np.ndarray, strongest: np.ndarray, refuters: Refuters, rng: np.random.Generator
) -> Refutation:
    chance = edge.strength(edge.effect[shifts])
    seen, mean = edge.seen, max(float(chance.mean()), 1e-300)
    values = {
        "placebo": _rank(seen, chance),
        "any_pair": _rank(seen / mean, strongest),
        "common_cause": _rank(_with_common_causes(edge, rng), chance),
        "halves": max(_predicts(edge, half, ~half, rng, refuters) for half in _halves(edge.layout)),
    }
    survived = values["halves"] <= HALF_LEVEL and all(
        values[name] <= refuters.level for name in ("placebo", "any_pair", "common_cause")
    )
    return Refutation(cause=edge.names[0], effect=edge.names[1], strength=seen, survived=survived, **values)


def _strongest_of_noise(
    rows: CausalTable, structure: Structure, shifts: Int[np.ndarray, "surrogate row"], rng: np.random.Generator
) -> Float[np.ndarray, " surrogate"]:
    """Return the largest strength of any pair, in its mean over surrogates, when all columns are shifted by chance."""
    empty = dataclasses.replace(structure, arrow=np.zeros_like(structure.arrow))
    centred = [empty.family(rows, j).centred(rows.value[:, j]) for j in range(rows.n_variables)]
    columns = np.stack([_normal_scores(column) for column in centred], axis=1)
    features = [_orthonormal(structure.mechanism.basis(column)) for column in columns.T]
    columns = columns / np.maximum(np.sqrt((columns**2).sum(axis=0)), 1e-300)
    group = np.repeat(np.arange(len(features)), [one.shape[1] for one in features])
    order = np.stack([rng.permutation(len(shifts)) for _ in features])
    strength = np.empty((len(shifts), len(features), len(features)))
    for number in range(len(shifts)):
        moved = [one[shifts[own[number]]] for one, own in zip(features, order, strict=True)]
        values = np.stack([columns[shifts[own[number]], k] for k, own in enumerate(order)], axis=1)
        products = (np.concatenate(moved, axis=1).T @ values) ** 2
        strength[number] = np.stack([products[group == k].sum(axis=0) for k in range(len(features))])
    pairs = ~np.eye(len(features), dtype=bool)
    strength = strength[:, pairs]
    return (strength / np.maximum(strength.mean(axis=0), 1e-300)).max(axis=1)


def _with_common_causes(edge: _Edge, rng: np.random.Generator) -> float:
    """Return the least strength that random fields with the spectrum of the effect leave when both follow them."""
    if (edge.effect**2).mean() <= NULL_SHARE:
        return 0.0
    least = np.inf
    for surrogate in phase_surrogates(edge.effect, layout=edge.layout, n=N_COMMON, rng=rng):
        field = _orthonormal(surrogate[:, None])[:, 0]
        rest = edge.effect - field * (field @ edge.effect)
        features = _orthonormal(edge.features - np.outer(field, field @ edge.features))
        least = min(least, dataclasses.replace(edge, features=features, effect=rest).seen)
    return least


def _halves(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return every other image, or one half of the only one along its longer side, and the rest."""
    if layout.n_images > 1:
        half = layout.image % 2 == 0
    else:
        along = layout.cell[:, int(np.argmax(layout.shape(0)))]
        half = along < np.median(along)
    return half, ~half


def _predicts(
    edge: _Edge, teaching: np.ndarray, rest: np.ndarray, rng: np.random.Generator, refuters: Refuters
) -> float:
    """Return the p-value that what some rows teach has nothing to do with the others."""
    taught = np.linalg.lstsq(
        edge.features[teaching] - edge.features[teaching].mean(axis=0),
        edge.effect[teaching] - edge.effect[teaching].mean(), rcond=1e-10,
    )[0]  # fmt: skip
    said, seen = edge.features[rest] @ taught, edge.effect[rest]
    said = said - said.mean()
    layout = Layout.of_lattice(edge.layout.cell[rest], edge.layout.image[rest])
    chance = seen[torus_shifts(layout, n=refuters.n_surrogates, rng=rng)] @ said
    return _rank(float(seen @ said), chance)


def _orthonormal(columns: np.ndarray) -> Float[np.ndarray, "row term"]:
    """Return an orthonormal basis of columns less their means; one column keeps its sign."""
    centred = columns - columns.mean(axis=0)
    scale = np.sqrt((centred**2).sum(axis=0))
    centred = centred / np.maximum(scale, 1e-300)
    if centred.shape[1] == 1:
        return centred
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, singular > 1e-8 * max(singular[0], 1e-300)]


def _normal_scores(values: np.ndarray) -> np.ndarray:
    """Return values in ranks of the normal distribution: outliers that coincide by chance count no more than others."""
    return stats.norm.ppf((stats.rankdata(values) - 0.5) / len(values))


def _rank(seen: float, chance: np.ndarray) -> float:
    return float((1 + (chance >= seen).sum()) / (1 + len(chance)))
