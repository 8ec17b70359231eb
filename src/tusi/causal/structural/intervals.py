"""How sure a fitted model is of an effect: from the slopes' covariance over the fields, or from resampled tiles."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import stats

from tusi.causal.bootstrap import LEAST_BLOCKS, BlockBootstrap, block_side
from tusi.causal.structural.mechanisms import Family, FittedLinear
from tusi.causal.structural.model import StructuralModel
from tusi.causal.structural.structure import Structure
from tusi.causal.table import CausalTable
from tusi.errors import InputError
from tusi.inference.spatial import PairLags

N_DRAWS = 2000
"""Draws of linear equations' slopes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effect:
    """A change that an intervention makes, and how sure it is.

    Attributes
    ----------
    estimate
        In the unit of the effect.
    standard_error
        Standard deviation over what the equations could as well be.
    interval
        Lower and upper end.
    level
        Coverage of the interval.
    """

    estimate: float
    standard_error: float
    interval: tuple[float, float]
    level: float

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.estimate:.3g} ({self.level:.0%} interval {low:.3g} to {high:.3g})"


def slope_draws(
    structure: Structure, table: CausalTable, *, n_draws: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "cause effect"], Float[np.ndarray, "draw cause effect"]]:
    """Return the slopes of linear equations, and draws of what they could as well be.

    The noise of an equation is a field that is independent of its causes, so the variance of a slope follows from the
    autocovariances of both over all lags, without blocks. Known errors of the causes add theirs, as for normal fields.

    Parameters
    ----------
    structure
        The graph, its equations linear.
    table
        The rows, detrended where that was chosen (`Structure.rows`).
    n_draws
        How many.
    rng
        Source of randomness.

    References
    ----------
    P. Dutilleul, Biometrics 49, 305 (1993), for the variance of a sum of products of two fields.
    """
    n_variables = table.n_variables
    slope, drawn = np.zeros((n_variables, n_variables)), np.zeros((n_draws, n_variables, n_variables))
    lags = PairLags(table.layout)
    for j in range(n_variables):
        own = np.flatnonzero(structure.arrow[:, j])
        if not len(own):
            continue
        family = structure.family(table, j)
        fitted = structure.mechanism.fit(family)
        assert isinstance(fitted, FittedLinear)
        covariance, freedom = _covariance_of_slopes(family, fitted.slope, lags)
        slope[own, j] = fitted.slope
        normal = rng.multivariate_normal(np.zeros(len(own)), covariance, size=n_draws, method="eigh")
        heavier = np.sqrt(rng.chisquare(freedom, size=n_draws) / freedom)
        drawn[:, own, j] = fitted.slope + normal / heavier[:, None]
    return slope, drawn


def _covariance_of_slopes(family: Family, slope: np.ndarray, lags: PairLags) -> tuple[np.ndarray, float]:
    """Return the covariance of slopes, and as how many degrees of freedom it rests on."""
    cause, n_causes = family.centred(family.cause), len(slope)
    left = family.centred(family.effect) - cause @ slope
    error = family.error[:-1, :-1]
    shared = family.error[:-1, -1] - error @ slope
    rest = lags.sums(left)
    spread = np.empty((n_causes, n_causes))
    for a in range(n_causes):
        for b in range(a + 1):
            spread[a, b] = spread[b, a] = lags.variance_of_products(lags.sums(cause[:, a], cause[:, b]), rest)
    size = float((np.diagonal(cause.T @ cause) * (left @ left) / np.maximum(np.diagonal(spread), 1e-300)).min())
    spread += len(left) * np.outer(shared, shared)
    inverse = np.linalg.pinv(cause.T @ cause - len(left) * error, hermitian=True)
    return inverse @ spread @ inverse, max(min(size, len(left)) - n_causes - 1, 1.0)


def resampled_changes(
    structure: Structure,
    table: CausalTable,
    *,
    changes: Callable[[StructuralModel], Float[np.ndarray, " change"]],
    bootstrap: BlockBootstrap,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "resample change"], int]:
    """Return what a function says of models of images that are resampled tile by tile, and the number of tiles.

    Parameters
    ----------
    structure
        The graph and the form of its equations; the smoothness of splines is kept.
    table
        The rows.
    changes
        What is asked of each model.
    bootstrap
        Number of resamples and side of the tiles.
    rng
        Source of randomness.

    Raises
    ------
    InputError
        Images hold too few tiles.
    """
    rows = structure.rows(table)
    side = bootstrap.side or block_side(rows)
    n_blocks = int(sum(np.prod(np.array(rows.layout.shape(image)) / side) for image in range(rows.n_images)))
    if n_blocks < LEAST_BLOCKS:
        raise InputError(
            "table", expected=f"images that hold at least {LEAST_BLOCKS} blocks of {side} cells", got=f"{n_blocks}",
            then="Use linear equations, whose intervals need no blocks, or give more images.",
        )  # fmt: skip
    fitted = StructuralModel.fit(table, structure).mechanisms
    drawn = []
    for _ in range(bootstrap.n_resamples):
        weight = tile_weights(rows, side, rng=rng)
        again = tuple(
            None if one is None else one.refit(structure.family(rows, j, weight)) for j, one in enumerate(fitted)
        )
        drawn.append(changes(StructuralModel.with_mechanisms(structure, rows, again, weight=weight)))
    return np.array(drawn), n_blocks


def tile_weights(table: CausalTable, side: int, *, rng: np.random.Generator) -> Float[np.ndarray, " row"]:
    """Return how often each row is drawn when square tiles of each image are drawn with replacement.

    Parameters
    ----------
    table
        The rows.
    side
        Of a tile, in raster cells; the tiles' origin is random.
    rng
        Source of randomness.
    """
    weight = np.empty(len(table))
    for image in range(table.n_images):
        own = table.layout.rows(image)
        place = (table.cell[own] + rng.integers(0, side, size=2)) // side
        _, tile = np.unique(place[:, 0] * (place[:, 1].max() + 1) + place[:, 1], return_inverse=True)
        n_tiles = int(tile.max()) + 1
        weight[own] = np.bincount(rng.integers(0, n_tiles, size=n_tiles), minlength=n_tiles)[tile.reshape(-1)]
    return weight


def effects_of_draws(
    estimate: Float[np.ndarray, " change"],
    drawn: Float[np.ndarray, "draw change"],
    *,
    level: float,
    n_blocks: int | None = None,
) -> tuple[Effect, ...]:
    """Return effects with the draws' percentiles as intervals.

    Parameters
    ----------
    estimate
        From the table as it is.
    drawn
        What it could as well be.
    level
        Coverage of the intervals.
    n_blocks
        Tiles that were resampled: percentiles are moved outwards by what their number costs.

    References
    ----------
    T. C. Hesterberg, Am. Stat. 69, 371 (2015), section 5.3.
    """
    tail = (1 - level) / 2
    if n_blocks is not None:
        tail = float(stats.norm.cdf(stats.t.ppf(tail, n_blocks - 1) * np.sqrt(n_blocks / (n_blocks - 1))))
    low, high = np.quantile(drawn, (tail, 1 - tail), axis=0)
    spread = drawn.std(axis=0, ddof=1)
    return tuple(
        Effect(
            estimate=float(estimate[k]), standard_error=float(spread[k]), interval=(float(low[k]), float(high[k])),
            level=level,
        )
        for k in range(len(estimate))
    )  # fmt: skip
