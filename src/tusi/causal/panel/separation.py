"""Whether a variable acts at its own site or from around it, and whether these fields can tell the two apart at all."""

import dataclasses
from typing import Literal

import numpy as np
from scipy import stats

from tusi.causal.independence.linear import PartialCorrelation
from tusi.causal.measurement import believable_error, mean_error
from tusi.causal.panel.stencil import neighbours_of
from tusi.causal.table import CausalTable
from tusi.errors import InputError
from tusi.inference.spatial import Centring, Detrending

Origin = Literal["own site", "neighbours", "both", "either", "neither seen"]
"""From where a variable acts; "either" where it acts but the data cannot tell from where."""

INSEPARABLE = 1.0
"""Effect, in standard deviations, that must not go unseen if the site and its neighbours are to be told apart."""

POWER = 0.8
"""Probability with which an effect is seen that is called visible."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interference:
    """What a variable does at its own site and to its neighbours.

    Attributes
    ----------
    cause, effect
        The two variables.
    own_p_value, neighbours_p_value
        Of the value at the site with the mean of its neighbours held fixed, and of this mean with the value held fixed.
    together_p_value
        Of the two together: that neither acts.
    shared
        Correlation of the value at the site with the mean of its neighbours, without errors of measurement.
    smallest_own, smallest_neighbours
        Effects, in standard deviations of the effect for one of the cause, that would be seen in four worlds of five
        with the other held fixed.
    level
        P-value up to which something is said to act.
    """

    cause: str
    effect: str
    own_p_value: float
    neighbours_p_value: float
    together_p_value: float
    shared: float
    smallest_own: float
    smallest_neighbours: float
    level: float

    @property
    def origin(self) -> Origin:
        """From where the cause acts."""
        own, neighbours = (p <= self.level for p in (self.own_p_value, self.neighbours_p_value))
        if own and neighbours:
            return "both"
        if own or neighbours:
            return "own site" if own else "neighbours"
        return "either" if self.together_p_value <= self.level else "neither seen"

    @property
    def separable(self) -> bool:
        """Whether effects of one standard deviation, at the site or around it, would be told apart."""
        return bool(max(self.smallest_own, self.smallest_neighbours) <= INSEPARABLE)

    def __str__(self) -> str:
        x, y, around = self.cause, self.effect, neighbours_of(self.cause)
        match self.origin:
            case "own site":
                said = f"{x} acts on {y} at its own site."
            case "neighbours":
                said = f"{x} acts on {y} of neighbouring sites."
            case "both":
                said = f"{x} acts on {y} at its own site and of neighbouring sites."
            case "either":
                said = f"{x} acts on {y}, at its own site or of neighbouring sites: which of the two cannot be told."
            case _:
                said = f"No action of {x} on {y} is seen."
        if self.separable:
            return said
        unseen = max(self.smallest_own, self.smallest_neighbours)
        return (
            f"{said} {x} and {around} go together (correlation {self.shared:.3f}): with one held fixed, an effect of "
            f"the other smaller than {unseen:.2g} standard deviations goes unseen."
        )


def interference(
    table: CausalTable, *, cause: str, effect: str, level: float = 0.05, detrending: Detrending | None = None
) -> Interference:
    """Say whether a cause acts at its own site, from its neighbours, from both, or whether that cannot be told.

    Each of the two is tested with the other held fixed (`PartialCorrelation`). In smooth fields a site and the mean of
    its neighbours are nearly the same number, so that neither is seen beside the other although together they act: the
    answer is then "either", and how large an effect would have been seen is part of it.

    Parameters
    ----------
    table
        With the neighbours' mean of the cause (`with_neighbour_means`).
    cause, effect
        Names of two variables.
    level
        P-value up to which something is said to act.
    detrending
        What is taken out first; the mean of each image, unless something else is given.

    Raises
    ------
    InputError
        The neighbours' mean is not in the table.

    Examples
    --------
    >>> from tusi.causal.panel import LatticeSteps, with_neighbour_means
    >>> from tusi.datasets.causal_fields import FieldRecipe
    >>> from tusi.datasets.causal_images import interfering_fields
    >>> for smoothing in (0.0, 3.0):
    ...     table = interfering_fields(0.7, 0.0, FieldRecipe(smoothing=smoothing), rng=np.random.default_rng(0))
    ...     around = with_neighbour_means(table, ("x",), neighbourhood=LatticeSteps())
    ...     found = interference(around, cause="x", effect="y")
    ...     print(found.origin, found.separable)
    own site True
    either False
    """
    around = neighbours_of(cause)
    if around not in table.names:
        raise InputError(
            "table", expected=f"a column {around!r}", got=", ".join(table.names), then="Use `with_neighbour_means`."
        )
    if not 0 < level < 1:
        raise InputError("level", expected="a p-value between 0 and 1", got=str(level))
    asked = table.select((cause, around, effect))
    without_trend = detrending or Centring()
    test = PartialCorrelation(detrending=without_trend).prepare(asked)
    own, neighbours = test.ask(0, 2, (1,)), test.ask(1, 2, (0,))
    alone = min(test.ask(0, 2).p_value, test.ask(1, 2).p_value)
    shared, loss = _shared(asked, without_trend)
    smallest = [_smallest(one.n_effective, lost) for one, lost in zip((own, neighbours), loss, strict=True)]
    return Interference(
        cause=cause, effect=effect, own_p_value=own.p_value, neighbours_p_value=neighbours.p_value,
        together_p_value=min(2 * alone, 1.0), shared=shared, smallest_own=smallest[0], smallest_neighbours=smallest[1],
        level=level,
    )  # fmt: skip


def _shared(table: CausalTable, detrending: Detrending) -> tuple[float, tuple[float, float]]:
    """Return the correlation of the first two columns, and what an effect loses when the other one is held fixed."""
    detrended = detrending(table.value[:, :2], table.layout)
    value = detrended.value
    covariance = value.T @ value / len(value)
    error = believable_error(mean_error(table.select(table.names[:2]), detrended), covariance)
    true = covariance - error
    loss = []
    for k in range(2):
        slope = true[0, 1] / true[1 - k, 1 - k]
        combination = np.array([1.0, -slope] if k == 0 else [-slope, 1.0])
        left = true[k, k] - slope * true[0, 1]
        seen = combination @ covariance @ combination
        loss.append(float(np.sqrt(seen * true[k, k]) / max(left, 1e-12 * true[k, k])))
    return float(true[0, 1] / np.sqrt(true[0, 0] * true[1, 1])), (loss[0], loss[1])


def _smallest(n_effective: float, loss: float) -> float:
    """Return the effect that would be seen with probability `POWER` at 5 %."""
    freedom = n_effective - 3
    return float(stats.norm.ppf(0.975) + stats.norm.ppf(POWER)) * loss / np.sqrt(freedom) if freedom > 0 else np.inf
