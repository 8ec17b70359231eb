"""A slope with its uncertainty: how much of the effect goes with one unit of the cause, and in which comparison."""

import dataclasses
from typing import Literal

import numpy as np
from scipy import stats

from tusi.causal.table import CausalTable
from tusi.errors import InputError

Comparison = Literal["within images", "between images", "pooled"]
"""What is compared: sites of one image, means of images, or all rows as if they were of one image."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slope:
    """Change of the effect with one unit of the cause; NaN where the table cannot tell.

    Attributes
    ----------
    cause, effect
        The two variables.
    comparison
        What is compared.
    estimate
        In units of the effect for a unit of the cause.
    standard_error
        Of the estimate; NaN without degrees of freedom.
    freedom
        Degrees of freedom of the standard error; need not be whole.
    n_samples
        Independent samples: effective ones within images, images between them.

    Examples
    --------
    >>> slope = Slope(cause="x", effect="y", comparison="within images", estimate=1.0, standard_error=0.1, freedom=50.0,
    ...               n_samples=52.0)
    >>> [round(bound, 2) for bound in slope.interval()], slope.p_value < 1e-9
    ([0.8, 1.2], True)
    """

    cause: str
    effect: str
    comparison: Comparison
    estimate: float
    standard_error: float
    freedom: float
    n_samples: float

    @classmethod
    def unknown(cls, cause: str, effect: str, comparison: Comparison, *, n_samples: float) -> "Slope":
        """Return the slope that cannot be told.

        Parameters
        ----------
        cause, effect
            The two variables.
        comparison
            What was to be compared.
        n_samples
            How many samples there are.
        """
        nan = float("nan")
        return cls(
            cause=cause, effect=effect, comparison=comparison, estimate=nan, standard_error=nan, freedom=0.0,
            n_samples=n_samples,
        )  # fmt: skip

    def interval(self, probability: float = 0.95) -> tuple[float, float]:
        """Return the interval that covers the true slope with this probability (Student's t).

        Parameters
        ----------
        probability
            Between 0 and 1.
        """
        if not 0 < probability < 1:
            raise InputError("probability", expected="between 0 and 1", got=str(probability))
        if not self.known:
            return float("nan"), float("nan")
        reach = float(stats.t.ppf((1 + probability) / 2, self.freedom)) * self.standard_error
        return self.estimate - reach, self.estimate + reach

    @property
    def known(self) -> bool:
        """Whether there is an estimate and a standard error."""
        return bool(np.isfinite(self.estimate) and np.isfinite(self.standard_error) and self.freedom > 0)

    @property
    def p_value(self) -> float:
        """Probability of at least so steep a slope if there is none; 1 where it is not known."""
        if not self.known:
            return 1.0
        if self.standard_error == 0:
            return float(self.estimate == 0)
        return float(2 * stats.t.sf(abs(self.estimate) / self.standard_error, self.freedom))

    def __str__(self) -> str:
        if not np.isfinite(self.estimate):
            return f"{self.comparison}: not known"
        if not self.known:
            return f"{self.comparison}: {self.estimate:.3g}, of unknown error"
        low, high = self.interval()
        return (
            f"{self.comparison}: {self.estimate:.3g} ({low:.3g} to {high:.3g}, {self.freedom:.0f} degrees of freedom)"
        )


def check_pair(table: CausalTable, cause: str, effect: str) -> None:
    """Raise `InputError` unless cause and effect are two different variables of a table.

    Parameters
    ----------
    table
        The variables.
    cause, effect
        Names.
    """
    if table.number(cause) == table.number(effect):
        raise InputError("effect", expected="another variable than the cause", got=repr(effect))
