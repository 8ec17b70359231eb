"""Where effects are strong: slopes in squares of the images, drawn toward their mean as far as chance parts them."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from tusi.causal import CausalTable
from tusi.data import CausalGraph
from tusi.data.record import Record, array
from tusi.inference.spatial import effective_sample_size

ROWS_PER_BLOCK = 60
"""Rows that a square holds at least, where all its cells are filled."""

LEAST_ROWS = 24
"""Rows with which a square is judged."""

LIKELY = 0.5
"""Probability from which on an action is taken to hold."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EffectMap(Record):
    """The effect of one variable on another in squares of the images.

    Attributes
    ----------
    slope, standard_error
        In each square, for one standard deviation of either variable within the image, with other likely causes held
        fixed.
    drawn
        The slope drawn toward the mean: what to expect in the square.
    image, cell, side
        Which image, first raster cell, and side in cells of each square.
    cause, effect
        The two variables.
    mean, spread
        Mean over squares, and standard deviation beyond what chance makes.
    p_value
        Of "the effect is the same everywhere".
    """

    format_name: ClassVar[str] = "effect-map"
    row: ClassVar[str] = "square"

    slope: Float[np.ndarray, " square"] = array("square")
    standard_error: Float[np.ndarray, " square"] = array("square")
    drawn: Float[np.ndarray, " square"] = array("square")
    image: Int[np.ndarray, " square"] = array("square", dtype=np.int64)
    cell: Int[np.ndarray, "square 2"] = array("square", "axis", dtype=np.int64)
    side: int
    cause: str
    effect: str
    mean: float
    spread: float
    p_value: float


def effect_maps(table: CausalTable, graph: CausalGraph, *, most: int = 3) -> tuple[EffectMap, ...]:
    """Map the surest effects among variables that vary within images.

    In each square of at least 60 rows the effect is regressed on all its likely causes; errors allow for the neighbours
    being alike. Slopes are then drawn toward their mean by the random-effects model.

    Parameters
    ----------
    table
        Variables that vary within images.
    graph
        What acts on what among them; others are passed over.
    most
        Largest number of maps.

    Returns
    -------
    tuple[EffectMap, ...]
        Surest first; none where images hold fewer than two squares.

    References
    ----------
    R. DerSimonian, N. Laird, Control. Clin. Trials 7, 177 (1986).

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe, linear_fields
    >>> effects = np.array([[0, 0.6], [0, 0]])
    >>> world = linear_fields(effects, FieldRecipe(shape=(32, 32)), rng=np.random.default_rng(0), names=("x", "y"))
    >>> found = effect_maps(world, CausalGraph.of_arrows({("x", "y"): 1.0}, names=("x", "y")))[0]
    >>> len(found), found.p_value > 0.01
    (16, True)
    """
    maps = [_map(table, graph, pair) for pair in likely_arrows(graph, table.names)[:most]]
    return tuple(one for one in maps if one is not None)


def likely_arrows(graph: CausalGraph, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return (cause, effect) of the actions among variables that are likely, surest first.

    Parameters
    ----------
    graph
        What acts on what.
    names
        The variables.
    """
    return [
        (edge.cause, edge.effect)
        for edge in graph.edges(LIKELY)
        if edge.relation == "acts on" and {edge.cause, edge.effect} <= set(names)
    ]


def _map(table: CausalTable, graph: CausalGraph, pair: tuple[str, str]) -> EffectMap | None:
    """Return the map of one effect; `None` with fewer than two squares."""
    cause, effect = pair
    acts = graph.acts[:, graph.names.index(effect)]
    others = [
        name
        for name, probability in zip(graph.names, acts, strict=True)
        if probability >= LIKELY and name != cause and name in table.names
    ]
    own = table.select([cause, *others, effect])
    value = _standard(own)
    worth = min(effective_sample_size(own.column(cause), own.column(effect), layout=own.layout) / len(own), 1.0)
    side = _side(own)
    key = np.column_stack([own.image, own.cell // side])
    squares, inverse = np.unique(key, axis=0, return_inverse=True)
    found = [_slope(value[inverse.reshape(-1) == k], worth) for k in range(len(squares))]
    slope, error = np.array(found).reshape(-1, 2).T
    known = np.isfinite(slope) & (error > 0)
    if known.sum() < 2:
        return None
    slope, error = slope[known], error[known]
    mean, spread, p_value = _random_effects(slope, error)
    weight = spread**2 / (spread**2 + error**2)
    return EffectMap(
        slope=slope, standard_error=error, drawn=mean + weight * (slope - mean), image=squares[known, 0],
        cell=squares[known, 1:] * side, side=side, cause=cause, effect=effect, mean=mean, spread=spread,
        p_value=p_value,
    )  # fmt: skip


def _standard(table: CausalTable) -> Float[np.ndarray, "row variable"]:
    """Return values about their image's mean, in the image's standard deviations; NaN where an image has none."""
    value = np.full_like(table.value, np.nan)
    for image in range(table.n_images):
        rows = table.layout.rows(image)
        spread = table.value[rows].std(axis=0)
        if (spread > 0).all():
            value[rows] = (table.value[rows] - table.value[rows].mean(axis=0)) / spread
    return value


def _side(table: CausalTable) -> int:
    """Return the side of a square that holds enough rows, in raster cells."""
    cells = sum(int(np.prod(table.layout.shape(image))) for image in range(table.n_images))
    return int(np.ceil(np.sqrt(ROWS_PER_BLOCK * cells / len(table))))


def _slope(value: np.ndarray, worth: float) -> tuple[float, float]:
    """Return the slope of the last column against the first, the others held fixed, and its standard error."""
    freedom = worth * len(value) - value.shape[1] - 1
    if len(value) < LEAST_ROWS or freedom < 2 or not np.isfinite(value).all():
        return np.nan, np.nan
    centred = value - value.mean(axis=0)
    x, y = centred[:, :-1], centred[:, -1]
    inside = x.T @ x
    if np.linalg.cond(inside) > 1e8:
        return np.nan, np.nan
    slope = np.linalg.solve(inside, x.T @ y)
    left = float(((y - x @ slope) ** 2).mean())
    return float(slope[0]), float(np.sqrt(left * np.linalg.inv(inside)[0, 0] * len(value) / freedom))


def _random_effects(slope: np.ndarray, error: np.ndarray) -> tuple[float, float, float]:
    """Return mean, spread beyond the errors, and the p-value of there being none."""
    weight = error**-2.0
    common = float(weight @ slope / weight.sum())
    excess = float(weight @ (slope - common) ** 2)
    freedom = len(slope) - 1
    spread = max(excess - freedom, 0.0) / (weight.sum() - (weight**2).sum() / weight.sum())
    weight = 1 / (error**2 + spread)
    return float(weight @ slope / weight.sum()), float(np.sqrt(spread)), float(stats.chi2.sf(excess, freedom))
