"""Partial correlation of fields: as many degrees of freedom as the residuals' autocorrelation leaves."""

import dataclasses
from functools import lru_cache

import numpy as np
from scipy import stats

from tusi.causal.independence.question import Independence, IndependenceTest, PreparedTest
from tusi.causal.table import CausalTable
from tusi.inference.spatial.effective import centred, effective_size_of_sums
from tusi.inference.spatial.lags import LagSums, PairLags

N_KEPT = 256
"""Residuals that are kept for further questions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartialCorrelation(IndependenceTest):
    """Linear test: correlation of what is left of x and y after regression on the given variables.

    The number of degrees of freedom is that of the residuals' effective sample size (Dutilleul), not of the rows.

    Attributes
    ----------
    within
        Whether only differences within images count (each image has its own mean). Not so in questions about a variable
        that is the same everywhere in an image: those are answered by the means of the images.

    References
    ----------
    P. Dutilleul, Biometrics 49, 305 (1993).
    """

    within: bool = True

    def prepare(self, table: CausalTable, *, rng: np.random.Generator | None = None) -> PreparedTest:  # noqa: ARG002
        """Return the test for the variables of a table."""
        return _PreparedCorrelation(self, table)


class _PreparedCorrelation(PreparedTest):
    def __init__(self, test: PartialCorrelation, table: CausalTable) -> None:
        self.names = table.names
        layout = table.layout
        centring = "image" if test.within else "common"
        value = np.stack([centred(column, layout=layout, centring=centring) for column in table.value.T], axis=1)
        scale = value.std(axis=0)
        self._value = value / np.where(scale > 0, scale, 1.0)
        self._between = {table.number(name) for name in table.between} if test.within else set()
        self._means = np.stack([np.bincount(table.image, weights=column) for column in table.value.T], axis=1)
        self._means /= np.bincount(table.image)[:, None]
        self._lags = PairLags(layout)
        self._residual = lru_cache(N_KEPT)(self._regressed)

    def ask(self, x: int, y: int, given: tuple[int, ...] = ()) -> Independence:
        if x in self._between or y in self._between:
            return self._ask_means(x, y, given)
        given = tuple(sorted(set(given) - self._between))
        (left, first), (right, second) = self._residual(x, given), self._residual(y, given)
        size = effective_size_of_sums(self._lags, (first, second))
        norm = np.sqrt((left @ left) * (right @ right))
        correlation = float(left @ right / norm) if norm > 0 else 0.0
        return _answer(correlation, size, len(given))

    def _regressed(self, place: int, given: tuple[int, ...]) -> tuple[np.ndarray, LagSums]:
        """Return what is left of a variable after regression on others, and its lag sums."""
        residual = _residual(self._value[:, place], self._value[:, list(given)])
        return residual, self._lags.sums(residual)

    def _ask_means(self, x: int, y: int, given: tuple[int, ...]) -> Independence:
        """Answer with as many samples as there are images."""
        means = self._means - self._means.mean(axis=0)
        left, right = (_residual(means[:, place], means[:, list(given)]) for place in (x, y))
        norm = np.sqrt((left @ left) * (right @ right))
        correlation = float(left @ right / norm) if norm > 0 else 0.0
        return _answer(correlation, float(len(means)), len(given))


def _residual(column: np.ndarray, others: np.ndarray) -> np.ndarray:
    if not others.shape[1]:
        return column
    return column - others @ np.linalg.lstsq(others, column, rcond=None)[0]


def _answer(correlation: float, size: float, n_given: int) -> Independence:
    """Return Student's test of a correlation among `size` samples."""
    freedom = size - 2 - n_given
    if not freedom > 0:
        return Independence(p_value=1.0, estimate=correlation, n_effective=size)
    ratio = correlation * np.sqrt(freedom / max(1.0 - correlation**2, np.finfo(float).tiny))
    return Independence(p_value=float(2 * stats.t.sf(abs(ratio), freedom)), estimate=correlation, n_effective=size)
