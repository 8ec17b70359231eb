"""How sure a fitted model is of an effect: from the slopes' covariance over the fields, or from resampled blocks."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import linalg, stats

from tusi.causal.bootstrap import BlockBootstrap
from tusi.causal.measurement import believable_error
from tusi.causal.structural.disturbance import NoiseCovariance, projected_out
from tusi.causal.structural.mechanisms import DETERMINED, Family
from tusi.causal.structural.model import StructuralModel
from tusi.causal.structural.structure import Structure
from tusi.causal.table import CausalTable
from tusi.inference.spatial import PairLags
from tusi.inference.spatial.lags import LagSums

N_DRAWS = 2000
"""Draws of linear equations' slopes."""

N_COPIES = 40
"""Columns beside which white noise hardly changes a detrending that adapts itself to the columns."""


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
    structure: Structure,
    table: CausalTable,
    *,
    n_draws: int,
    rng: np.random.Generator,
    colour: LagSums | None = None,
) -> tuple[Float[np.ndarray, "cause effect"], Float[np.ndarray, "draw cause effect"]]:
    """Return the slopes of linear equations, and draws of what they could as well be.

    The noise of an equation is a field that is independent of its causes, so the variance of a slope given the causes
    follows from the autocovariance of the noise over all lags, without blocks; Student's t of as many degrees of
    freedom as this variance rests on. Known errors of causes, normal and independent from row to row, are drawn in the
    moments that they enter, so that the intervals of one slope are Fieller's: as skew as a ratio makes them.

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
    colour
        Autocorrelation of the errors at each lag (`colour_of_errors`); none between rows when not given.

    References
    ----------
    P. Dutilleul, Biometrics 49, 305 (1993), for the variance of a sum of products of two fields; E. C. Fieller, J. R.
    Stat. Soc. B 16, 175 (1954).
    """
    lags = PairLags(table.layout)
    white = tuple(np.pad(np.ones((1, 1)), [(0, n - 1) for n in one.shape]) for one in lags.share)
    taken = projected_out(structure.detrending, table.layout, rng=rng)
    n_variables = table.n_variables
    slope, drawn = np.zeros((n_variables, n_variables)), np.zeros((n_draws, n_variables, n_variables))
    for j in range(n_variables):
        own = np.flatnonzero(structure.arrow[:, j])
        if len(own):
            equation = _Equation.of(structure.family(table, j), taken, lags, rng)
            slope[own, j], drawn[:, own, j] = (
                equation.slope / equation.unit,
                equation.draws(colour or white, n_draws, rng),
            )
    return slope, drawn


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Equation:
    """Normal equations of one variable, its causes in units of their standard deviations.

    `error` is the covariance of the errors of the causes and, last, of the effect; `moments` are those of true causes.
    """

    cause: Float[np.ndarray, "row cause"]
    error: Float[np.ndarray, "variable variable_"]
    moments: Float[np.ndarray, "cause cause_"]
    inverse: Float[np.ndarray, "cause cause_"]
    slope: Float[np.ndarray, " cause"]
    noise: NoiseCovariance
    unit: Float[np.ndarray, " cause"]

    @classmethod
    def of(cls, family: Family, taken: np.ndarray, lags: PairLags, rng: np.random.Generator) -> "_Equation":
        unit, n_rows = family.spread(), len(family.effect)
        cause, effect = family.centred(family.cause) / unit, family.centred(family.effect)
        scale = np.append(unit, 1.0)
        error = family.error / np.outer(scale, scale)
        moments = cause.T @ cause
        error[:-1, :-1] = believable_error(error[:-1, :-1], moments / n_rows)
        moments = moments - n_rows * error[:-1, :-1]
        inverse = np.linalg.pinv(moments, rcond=DETERMINED, hermitian=True)
        slope = inverse @ (cause.T @ effect - n_rows * error[:-1, -1])
        noise = NoiseCovariance.of_residuals(
            effect - cause @ slope,
            removed=np.column_stack([taken, cause @ _root(inverse)]),
            used=cause @ inverse,
            lags=lags,
            rng=rng,
        )
        return cls(
            cause=cause, error=error, moments=moments, inverse=inverse, slope=slope, noise=noise, unit=unit
        )  # fmt: skip

    def draws(self, colour: LagSums, n_draws: int, rng: np.random.Generator) -> Float[np.ndarray, "draw cause"]:
        """Return what the slopes could as well be, in units of effect and causes."""
        freedom = self.noise.freedom(self.cause @ self.inverse)
        chance = rng.standard_normal((n_draws, len(self.slope)))
        heavier = np.sqrt(rng.chisquare(freedom, size=(n_draws, 1)) / freedom) if np.isfinite(freedom) else 1.0
        spread = self.noise.of_sums(self.cause)
        if not self.error.any():
            return (self.slope + chance @ _root(spread).T / heavier @ self.inverse) / self.unit
        # Errors are noise beside the causes, and their squares enter the moments. Since causes and noise hold the same
        # errors, so do their lag sums, and each lag adds what this puts into the product of the two.
        balance, n_rows = np.append(-self.slope, 1.0), len(self.cause)
        shared = np.outer(*[self.error[:-1] @ balance] * 2)
        beside = dataclasses.replace(self.noise, covariance=colour).of_sums(self.cause)
        squares = float(np.mean([(one**2).sum() for one in colour]))
        rest = spread - (balance @ self.error @ balance) * beside - self.noise.n_lags * squares * shared
        each = _root(beside) @ rng.standard_normal((n_draws, len(self.slope), len(self.error))) @ _root(self.error).T
        common = np.sqrt(n_rows * squares) * rng.standard_normal((n_draws, 1, 1)) * self.error[:-1]
        added = (each + common) / np.reshape(heavier, (-1, 1, 1))
        product = self.moments @ self.slope + chance @ _root(rest).T / heavier - added[:, :, -1]
        return np.linalg.solve(self.moments - added[:, :, :-1], product[..., None])[..., 0] / self.unit


def colour_of_errors(
    structure: Structure, table: CausalTable, *, rows: CausalTable, rng: np.random.Generator
) -> LagSums | None:
    """Return the autocorrelation that detrending gives errors which are independent from row to row.

    Detrending may adapt itself to the variables, so white noise goes through it as one among many copies of them.

    Parameters
    ----------
    structure
        What is taken out of the variables.
    table
        The rows before.
    rows
        And after.
    rng
        Source of randomness.
    """
    if structure.detrending is None or not table.error_covariance.any():
        return None
    value = table.select(structure.names).value
    copies = np.tile(value, (1, -(-N_COPIES // value.shape[1])))
    white = rng.standard_normal((len(value), 1))
    passed = structure.detrending(np.concatenate([copies, white], axis=1), table.layout)
    found = NoiseCovariance.of_field(passed.value[:, -1], lags=PairLags(passed.layout)).covariance
    shapes = (one.shape for one in PairLags(rows.layout).share)
    return tuple(_at_lags_of(one / one[0, 0], shape) for one, shape in zip(found, shapes, strict=True))


def _at_lags_of(values: Float[np.ndarray, "y x"], shape: tuple[int, int]) -> Float[np.ndarray, "lag_y lag_x"]:
    """Return values by lag in an array of another shape; lags run cyclically."""
    out = np.zeros(shape)
    near = np.ix_(*[np.arange(1 - n, n) for n in (np.minimum(values.shape, shape) + 1) // 2])
    out[near] = values[near]
    return out


def _root(covariance: Float[np.ndarray, "sum sum_"]) -> Float[np.ndarray, "sum sum_"]:
    """Return a square root of a covariance, of which negative parts are rounding or noise."""
    size, vectors = linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(size, 0.0))


def resampled_changes(
    structure: Structure,
    table: CausalTable,
    *,
    changes: Callable[[StructuralModel], Float[np.ndarray, " change"]],
    bootstrap: BlockBootstrap,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "resample change"], int]:
    """Return what a function says of models of images that are put together anew from blocks, and the number of blocks.

    Parameters
    ----------
    structure
        The graph and the form of its equations; the smoothness of splines is kept.
    table
        The rows.
    changes
        What is asked of each model.
    bootstrap
        Number of resamples and side of the blocks.
    rng
        Source of randomness.

    Raises
    ------
    InputError
        Images hold too few blocks.
    """
    rows = structure.rows(table)
    plan = bootstrap.with_side(rows)
    fitted = StructuralModel.fit(table, structure).mechanisms
    drawn = []
    for _ in range(plan.n_resamples):
        weight = plan.counts(rows, rng=rng).astype(float)
        again = tuple(
            None if one is None else one.refit(structure.family(rows, j, weight)) for j, one in enumerate(fitted)
        )
        drawn.append(changes(StructuralModel.with_mechanisms(structure, rows, again, weight=weight)))
    return np.array(drawn), plan.n_blocks(rows)


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
        Blocks that were resampled: percentiles are moved outwards by what their number costs.

    References
    ----------
    T. C. Hesterberg, Am. Stat. 69, 371 (2015), section 5.3.
    """
    tail = (1 - level) / 2
    if n_blocks is not None:
        tail = float(stats.norm.cdf(stats.t.ppf(tail, n_blocks - 1) * np.sqrt(n_blocks / (n_blocks - 1))))
    # Ranks among one more than the draws: what is to be covered is one of them.
    low, high = np.quantile(drawn, (tail, 1 - tail), axis=0, method="weibull")
    spread = drawn.std(axis=0, ddof=1)
    return tuple(
        Effect(
            estimate=float(estimate[k]), standard_error=float(spread[k]), interval=(float(low[k]), float(high[k])),
            level=level,
        )
        for k in range(len(estimate))
    )  # fmt: skip
