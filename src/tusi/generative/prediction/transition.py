"""Where a phase transition is: crossings of Binder cumulants, and peaks of the specific heat, against size."""

import dataclasses
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.generative.prediction.coexistence import COEXISTING
from tusi.generative.prediction.diagram import PhaseDiagram

SIGNIFICANT = 3.0
"""Monte Carlo standard errors by which two sizes must differ on either side of a crossing."""

LEAST_RESOLVED = 0.975
"""Share of the draws that must show the transition inside the range of temperatures."""

LEAST_SAMPLES = 50.0
"""Independent samples of each crystal below which its chains are too slow to tell."""

PEAK = 0.2
"""Part of the height of a peak, from the top, whose points a parabola goes through."""

UNSEEN_DRIFT = 0.3
"""Standard deviation of a crossing of two sizes around the limit, relative and times both sizes, without a third."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Transition(Record):
    """A transition temperature with its credible band, or why none is given.

    Attributes
    ----------
    method
        "Binder crossing", "coexistence curve" or "specific heat".
    resolved
        Whether the transition lies inside the range of temperatures for all but 2.5 % of the draws.
    reason
        Why not, in words; empty where it is resolved.
    unit
        "K", or "T/T_ref".
    level
        Field or composition.
    value
        Median of the draws; NaN where it is not resolved.
    interval
        95 % credible interval: couplings, Monte Carlo error and drift with size; NaN where it is not resolved.
    monte_carlo_error
        Part of the error that longer simulations would remove.
    size_drift
        Difference between the last two finite-size estimates: how far the sizes still matter; NaN with two sizes.
    draws
        The transition temperature of each draw of the couplings; NaN where it shows none.
    """

    format_name: ClassVar[str] = "transition"
    row: ClassVar[str] = "draw"

    method: str
    resolved: bool
    reason: str
    unit: str
    level: float
    value: float
    interval: tuple[float, float]
    monte_carlo_error: float
    size_drift: float
    draws: Float[np.ndarray, " draw"] = array("draw")

    def __str__(self) -> str:
        if not self.resolved:
            return f"no transition resolved: {self.reason}"
        low, high = self.interval
        digits = int(np.clip(1 - np.floor(np.log10(max((high - low) / 4, 1e-9))), 0, 9))
        value, low, high = (f"{number:.{digits}f}" for number in (self.value, low, high))
        return f"transition at {value} {unit_in_words(self.unit)} (95 %: {low} to {high})"


def unit_in_words(unit: str) -> str:
    """Return what follows a temperature in a sentence."""
    return "K" if unit == "K" else "of the reference temperature"


def find_transition(
    diagram: PhaseDiagram,
    *,
    method: Literal["Binder crossing", "specific heat"] = "Binder crossing",
    level: int = 0,
    exponent: float = 1.0,
) -> Transition:
    """Return the transition temperature of a phase diagram, with a band that holds the posterior of the couplings.

    Binder cumulants of two sizes cross at a continuous transition: the larger crystal is the more ordered below it and
    the less ordered above. The crossing of the two largest sizes is taken for every draw. Where a kept composition x
    parts into two phases, it is the lower of that and the temperature where their order falls to that of the mixture,
    1 - 2x. Peaks of the specific heat move with size as `T(L) = Tc + a L^(-1/nu)`; a line through the sizes gives Tc,
    and the peak must grow with size.
    "No transition resolved" is an answer: where sizes do not differ beyond their Monte Carlo error on both sides,
    where more than 2.5 % of the draws have their transition outside the temperatures, where the peak does not grow, or
    where the chains are too slow to tell. The interval is widened by the drift with size, as far as it is beyond its
    error; with two sizes, by what the Ising class would drift.

    Parameters
    ----------
    diagram
        At least two sizes.
    method
        What to look for.
    level
        Number of the field or composition.
    exponent
        nu of the line through the peaks; 1 in the two-dimensional Ising class.

    Returns
    -------
    Transition
        Perhaps unresolved.

    Raises
    ------
    InputError
        There is one size only, or fewer than three temperatures.

    References
    ----------
    K. Binder, Z. Phys. B 43, 119 (1981).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising
    >>> from tusi.generative.prediction import Conditions, DiagramPlan, FittedModel, phase_diagram
    >>> model = FittedModel(model=ising(field=False), value=np.array([0.1]), covariance=np.array([[0.0]]))
    >>> conditions = Conditions(crystal=SQUARE, temperatures=(1.0, 1.5, 2.0))
    >>> plan = DiagramPlan(sizes=(4, 6), n_samples=50, n_draws=10)
    >>> diagram = phase_diagram(model, conditions=conditions, rng=np.random.default_rng(1), plan=plan)
    >>> find_transition(diagram).resolved
    False
    """
    if len(diagram.sizes) < 2 or len(diagram.temperature) < 3:
        raise InputError(
            "diagram", expected="at least two sizes and three temperatures",
            got=f"{len(diagram.sizes)} and {len(diagram.temperature)}",
        )  # fmt: skip
    if not 0 <= level < len(diagram.level):
        raise InputError("level", expected=f"a number below {len(diagram.level)}", got=str(level))
    find = _crossings if method == "Binder crossing" else _peaks
    named: str = method
    if find is _crossings and COEXISTING[0] in diagram.observables:
        find, named = _coexistence, "coexistence curve"
    draws, central, drifts, reason = find(diagram, level, exponent)
    found = np.isfinite(draws)
    low, high = diagram.temperature[0], diagram.temperature[-1]
    if not reason and found.mean() < LEAST_RESOLVED:
        unit = unit_in_words(diagram.temperature_unit)
        reason = f"{1 - found.mean():.0%} of the draws show none between {low:.4g} and {high:.4g} {unit}"
    if not reason and find is not _coexistence:
        reason = _slowness(diagram, level, float(np.median(draws[found])))
    resolved = not reason
    value, interval, drift = float("nan"), (float("nan"), float("nan")), float("nan")
    if resolved:
        value = float(np.median(draws[found]))
        drift, allowance = _drift(drifts, unseen=UNSEEN_DRIFT * value / (diagram.sizes[-1] * diagram.sizes[-2]))
        ends = np.quantile(draws[found], (0.025, 0.975), method="weibull")
        below, above = np.hypot(ends - value, 1.96 * allowance)
        interval = (float(value - below), float(value + above))
    return Transition(
        method=named,
        resolved=resolved,
        reason=reason,
        unit=diagram.temperature_unit,
        level=float(diagram.level[level]),
        value=value,
        interval=interval,
        monte_carlo_error=central if resolved else float("nan"),
        size_drift=drift,
        draws=draws,
    )


def _slowness(diagram: PhaseDiagram, level: int, at: float) -> str:
    """Return that chains are too slow at a transition, if so."""
    k = int(np.argmin(np.abs(diagram.temperature - at)))
    worth = float(diagram.effective_sample_size[-2:, k, level].min())
    if worth >= LEAST_SAMPLES:
        return ""
    return f"the chains are too slow, worth only {worth:.0f} independent samples where it seems to be"


def _drift(drifts: np.ndarray, *, unseen: float) -> tuple[float, float]:
    """Return the drift with size, and the standard deviation that it adds; from the drift of every draw."""
    seen = drifts[np.isfinite(drifts)]
    if len(seen) < 2:
        return float("nan"), unseen
    drift = float(np.median(seen))
    return drift, float(np.sqrt(max(drift**2 - seen.var(ddof=1), 0.0)))


def _coexistence(diagram: PhaseDiagram, level: int, _: float) -> tuple[np.ndarray, float, np.ndarray, str]:
    """Return where a composition meets the coexistence curve for each draw, its error, drifts, and what is wrong.

    Below the crossing of the Binder cumulants, it is where the order of the coexisting phases falls to the
    mixture's, 1 - 2x.
    """
    order = diagram.draw_value[..., level, diagram.column(COEXISTING[0])]
    wanted = abs(1.0 - 2.0 * float(diagram.level[level]))
    top, central, drifts, reason = _crossings(diagram, level, np.nan, observable=COEXISTING[1])
    if reason:
        return top, central, drifts, reason
    larger, smaller = (
        np.array([_falls_to(wanted, diagram.temperature, row) for row in part]) for part in (order[-1], order[-2])
    )
    below = (larger < top) & (smaller < top)
    drifts = drifts.copy()
    drifts[below] = larger[below] - smaller[below]
    draws = np.where(np.isnan(top), np.nan, np.fmin(larger, top))
    return draws, central, drifts, ""


def _falls_to(wanted: float, temperature: np.ndarray, curve: np.ndarray) -> float:
    """Return where a curve first falls below a value; infinite where it never does, NaN where it starts below."""
    below = np.flatnonzero(curve < wanted)
    if not len(below):
        return np.inf
    k = below[0]
    return float(np.interp(wanted, curve[[k, k - 1]], temperature[[k, k - 1]])) if k else np.nan


def _crossings(
    diagram: PhaseDiagram, level: int, _: float, *, observable: str = "Binder cumulant"
) -> tuple[np.ndarray, float, np.ndarray, str]:
    """Return the crossing of the two largest sizes for each draw, its Monte Carlo error, drifts, and what is wrong."""
    column, temperature = diagram.column(observable), diagram.temperature
    every = diagram.draw_value[:, :, :, level, column]
    value, error = diagram.value[:, :, level, column], diagram.monte_carlo_error[:, :, level, column]
    difference = value[-1] - value[-2]
    noise = np.maximum(np.hypot(error[-1], error[-2]), 1e-12)
    excess = difference / noise
    nothing = np.full(every.shape[1], np.nan)
    bottom = int(np.argmin(np.where(excess < -SIGNIFICANT, difference, 0.0)))
    above = np.flatnonzero(excess[:bottom] > SIGNIFICANT)
    if not len(above):
        reason = "the Binder cumulants of the two largest sizes do not cross beyond their error"
        return nothing, np.nan, nothing, reason
    start = above[-1]
    stop = start + int(np.argmax(excess[start:] < -SIGNIFICANT))
    centre = _nearest_zero(temperature, difference, float(temperature[start] + temperature[stop]) / 2.0)
    draws = np.array([_zero_of_draw(temperature, row, centre) for row in every[-1] - every[-2]])
    near = slice(max(start - 1, 0), stop + 2)
    slope = np.polyfit(temperature[near], difference[near], 1)[0]
    at = int(np.argmin(np.abs(temperature - centre)))
    drifts = nothing
    if len(value) > 2:
        before = _nearest_zero(temperature, value[-2] - value[-3], centre)
        drifts = draws - np.array([_zero_of_draw(temperature, row, before) for row in every[-2] - every[-3]])
    return draws, float(noise[at] / abs(slope)), drifts, ""


def _zero_of_draw(temperature: np.ndarray, difference: np.ndarray, centre: float) -> float:
    """Return the crossing of a draw, if the larger size is the more ordered below it and the less ordered above."""
    zero = _nearest_zero(temperature, difference, centre)
    if np.isnan(zero):
        return zero
    below, above = difference[temperature < zero], difference[temperature > zero]
    return zero if below.max(initial=0.0) > 0 > above.min(initial=0.0) else np.nan


def _nearest_zero(temperature: np.ndarray, difference: np.ndarray, centre: float) -> float:
    """Return the change from positive to negative that lies nearest to a temperature; NaN where there is none."""
    falls = np.flatnonzero((difference[:-1] > 0) & (difference[1:] <= 0))
    if not len(falls):
        return np.nan
    curve = CubicSpline(temperature, difference)
    zeros = np.array([brentq(curve, temperature[k], temperature[k + 1]) for k in falls])
    return float(zeros[np.argmin(np.abs(zeros - centre))])


def _peaks(diagram: PhaseDiagram, level: int, exponent: float) -> tuple[np.ndarray, float, np.ndarray, str]:
    """Return the extrapolated peak of the specific heat for each draw, its error, drifts, and what is wrong."""
    column = diagram.column("specific heat")
    every = diagram.draw_value[:, :, :, level, column]
    value, error = diagram.value[:, :, level, column], diagram.monte_carlo_error[:, :, level, column]
    nothing = np.full(every.shape[1], np.nan)
    top = value.argmax(axis=1)
    if ((top == 0) | (top == len(diagram.temperature) - 1)).any():
        return nothing, np.nan, nothing, "the specific heat is highest at the edge of the temperatures"
    heights = value[np.arange(len(value)), top]
    noise = error[np.arange(len(value)), top]
    if heights[-1] - heights[0] < SIGNIFICANT * np.hypot(noise[-1], noise[0]):
        return nothing, np.nan, nothing, "the peak of the specific heat does not grow with size"
    scale = np.array(diagram.sizes, dtype=float) ** (-1.0 / exponent)
    places = np.array([[_peak(diagram.temperature, curve) for curve in part] for part in every])
    whole = np.isfinite(places).all(axis=0)
    draws, drifts = nothing.copy(), nothing.copy()
    design = np.column_stack([np.ones_like(scale), scale])
    draws[whole] = np.linalg.lstsq(design, places[:, whole], rcond=None)[0][0]
    if len(scale) > 2:
        drifts[whole] = draws[whole] - np.linalg.lstsq(design[:-1], places[:-1, whole], rcond=None)[0][0]
    return draws, np.nan, drifts, ""


def _peak(temperature: np.ndarray, curve: np.ndarray) -> float:
    """Return the top of a parabola through the highest points; NaN at the edge."""
    top = int(np.argmax(curve))
    if top in (0, len(curve) - 1):
        return np.nan
    low = np.flatnonzero(curve < curve[top] - PEAK * np.ptp(curve))
    first, last = max(low[low < top], default=-1) + 1, min(low[low > top], default=len(curve)) - 1
    near = np.arange(max(min(first, top - 3), 0), min(max(last, top + 3), len(curve) - 1) + 1)
    centre = temperature[top]
    second, first, _ = np.polyfit(temperature[near] - centre, curve[near], 2)
    if second >= 0:
        return np.nan
    place = centre - first / (2 * second)
    return float(place) if temperature[near[0]] <= place <= temperature[near[-1]] else np.nan
