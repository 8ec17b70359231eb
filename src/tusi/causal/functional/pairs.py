"""Scores of which of two variables is the cause, with how often such scores are right, and when to say nothing."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float

from tusi.causal.functional.pair_scores import (
    additive_noise,
    heteroscedastic,
    information_geometry,
    larger_variance,
    regression_error,
)
from tusi.causal.table import CausalTable
from tusi.data import CausalGraph
from tusi.errors import InputError

Score = Callable[[Float[np.ndarray, " row"], Float[np.ndarray, " row"]], float]
"""From two variables to a number: positive where the first is rather the cause."""

SCORES: Mapping[str, Score] = MappingProxyType(
    {
        "ANM": additive_noise,
        "IGCI": information_geometry,
        "LOCI": heteroscedastic,
        "RECI": regression_error,
        "larger variance": larger_variance,
    }
)
"""The methods, and the baseline that needs no idea of causes."""

CALIBRATION: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = MappingProxyType(
    {
        "ANM": (
            (0.119, 0.362, 0.637, 0.986, 1.46, 2.03, 2.65, 3.27, 3.98, 5.07),
            (0.50, 0.50, 0.50, 0.50, 0.50, 0.64, 0.88, 0.95, 0.99, 0.99),
        ),
        "IGCI": (
            (0.0646, 0.187, 0.301, 0.425, 0.567, 0.72, 0.897, 1.13, 1.46, 2.34),
            (0.54, 0.56, 0.64, 0.66, 0.66, 0.71, 0.73, 0.84, 0.93, 0.97),
        ),
        "LOCI": (
            (0.0191, 0.0579, 0.101, 0.161, 0.233, 0.322, 0.435, 0.588, 0.824, 1.43),
            (0.50, 0.50, 0.54, 0.78, 0.90, 0.95, 0.96, 0.98, 0.99, 0.99),
        ),
        "RECI": (
            (0.0695, 0.208, 0.355, 0.507, 0.669, 0.864, 1.11, 1.4, 1.8, 2.59),
            (0.50, 0.61, 0.64, 0.77, 0.81, 0.88, 0.94, 0.98, 0.99, 0.99),
        ),
        "larger variance": (
            (0.0548, 0.166, 0.272, 0.378, 0.485, 0.599, 0.75, 0.939, 1.19, 1.78),
            (0.54, 0.56, 0.56, 0.64, 0.68, 0.68, 0.68, 0.73, 0.81, 0.97),
        ),
    }
)
"""Sizes of scores, and how often the sign of a score of that size is right on simulated pairs."""

LEAST_ROWS = 30
"""Rows below which no score is given."""

NOTE = (
    "The probability is that of simulated pairs with one law, independent rows and no hidden common cause. On real "
    "pairs such scores are right in 50 to 80 % whatever probability is stated, and the larger variance does as well."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DirectionScore:
    """What one method says of the direction between two variables that are taken to be cause and effect.

    Attributes
    ----------
    names
        The two variables.
    method
        The method.
    score
        Positive where the first is rather the cause.
    probability
        That the first is the cause, if pairs are like the simulated ones.
    baseline
        The same from the variances alone.
    confidence
        Probability that a direction must have to be named.
    """

    names: tuple[str, str]
    method: str
    score: float
    probability: float
    baseline: float
    confidence: float

    @property
    def decided(self) -> bool:
        """Whether one direction is probable enough to be named."""
        return max(self.probability, 1 - self.probability) >= self.confidence

    @property
    def graph(self) -> CausalGraph:
        """The result as every method gives it: undecided, or both directions with their probabilities."""
        arrow, undecided = np.zeros((2, 2)), np.zeros((2, 2))
        if self.decided:
            arrow[0, 1], arrow[1, 0] = self.probability, 1 - self.probability
        else:
            undecided[0, 1] = undecided[1, 0] = 1.0
        return CausalGraph.of(
            names=self.names, method=f"{self.method} score", notes=(NOTE,), arrow=arrow, undecided=undecided
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairDirection:
    """Which of two connected variables is the cause, by the shape of their joint distribution.

    IGCI: the slope of the effect is steep where the cause is rare (uniform reference). ANM: the effect is a curve plus
    noise that is independent of the cause. RECI: a cubic leaves less of the effect than of the cause, both on [0, 1].
    LOCI: the effect is normal about a curve, with a width that follows another. All are unchanged by units. Each
    assumes one law, and that one of the two is the cause; none knows of errors or of correlation in space.

    Attributes
    ----------
    method
        "ANM", "IGCI", "LOCI", "RECI", or "larger variance", the baseline.
    confidence
        Probability that a direction must have to be named.

    References
    ----------
    J. M. Mooij et al., J. Mach. Learn. Res. 17 (32), 1 (2016); P. Blobaum et al., AISTATS 21, 900 (2018); A. Immer et
    al., ICML 40, 14316 (2023).

    Examples
    --------
    >>> from tusi.datasets.causal_pairs import random_pair
    >>> from tusi.inference.spatial import Layout
    >>> x, y = random_pair(900, rng=np.random.default_rng(4))
    >>> table = CausalTable.of({"x": x, "y": y}, layout=Layout.grid((30, 30)))
    >>> 0 <= PairDirection().find(table, pair=("x", "y")).probability <= 1
    True
    """

    method: str = "RECI"
    confidence: float = 0.9

    def __post_init__(self) -> None:
        if self.method not in SCORES:
            raise InputError("method", expected=f"one of {', '.join(SCORES)}", got=repr(self.method))
        if not 0.5 < self.confidence <= 1:
            raise InputError("confidence", expected="more than one half, at most 1", got=str(self.confidence))

    def find(self, table: CausalTable, *, pair: tuple[str, str]) -> DirectionScore:
        """Return what the method says of one pair.

        Parameters
        ----------
        table
            Holds both variables; at least 30 rows.
        pair
            Their names.
        """
        first, second = (table.column(name) for name in pair)
        if len(table) < LEAST_ROWS or min(np.ptp(first), np.ptp(second)) == 0:
            raise InputError(
                "table", expected=f"two variables that vary, in at least {LEAST_ROWS} rows", got=f"{len(table)} rows"
            )
        score, baseline = SCORES[self.method](first, second), larger_variance(first, second)
        return DirectionScore(
            names=pair,
            method=self.method,
            score=score,
            probability=float(probability_of_first(self.method, np.array(score))),
            baseline=float(probability_of_first("larger variance", np.array(baseline))),
            confidence=self.confidence,
        )


def probability_of_first(method: str, score: Float[np.ndarray, "*pair"]) -> Float[np.ndarray, "*pair"]:
    """Return how often the first variable is the cause on simulated pairs with such a score; one half at zero.

    Parameters
    ----------
    method
        The method.
    score
        Its scores.
    """
    size, right = CALIBRATION[method]
    excess = np.interp(np.abs(score), (0.0, *size), (0.0, *(one - 0.5 for one in right)))
    return np.asarray(0.5 + np.sign(score) * excess)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DecisionCurve:
    """How often a method is right if it speaks only of the pairs that it is surest of.

    Attributes
    ----------
    rate
        Share of the weight of all pairs that are decided.
    accuracy
        Share of their weight that is right.
    """

    rate: Float[np.ndarray, " pair"]
    accuracy: Float[np.ndarray, " pair"]


def decision_curve(
    sureness: Float[np.ndarray, " pair"],
    right: Bool[np.ndarray, " pair"],
    *,
    weight: Float[np.ndarray, " pair"] | None = None,
) -> DecisionCurve:
    """Return accuracy against decision rate, surest pairs first.

    Parameters
    ----------
    sureness
        Of each pair; the size of a score.
    right
        Whether its sign was right.
    weight
        Of each pair; all alike when not given.

    References
    ----------
    J. M. Mooij et al., J. Mach. Learn. Res. 17 (32), 1 (2016).

    Examples
    --------
    >>> curve = decision_curve(np.array([0.1, 3.0]), np.array([False, True]))
    >>> curve.rate, curve.accuracy
    (array([0.5, 1. ]), array([1. , 0.5]))
    """
    order = np.argsort(-np.asarray(sureness), kind="stable")
    share = np.ones(len(order)) if weight is None else np.asarray(weight, dtype=float)[order]
    decided = np.cumsum(share)
    return DecisionCurve(rate=decided / decided[-1], accuracy=np.cumsum(share * np.asarray(right)[order]) / decided)
