"""Partial correlation of fields: as many degrees of freedom as the residuals' autocorrelation leaves."""

import dataclasses
from functools import lru_cache

import numpy as np
from scipy import stats

from tusi.causal.independence.question import Independence, IndependenceTest, PreparedTest
from tusi.causal.measurement import LEAST_RELIABILITY, believable_error, mean_error
from tusi.causal.table import CausalTable
from tusi.inference.spatial.detrending import Centring, Detrended, Detrending
from tusi.inference.spatial.lags import LagSums, PairLags

N_KEPT = 256
"""Residuals that are kept for further questions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartialCorrelation(IndependenceTest):
    """Linear test: correlation of what is left of x and y after regression on the given variables.

    The number of degrees of freedom is that of the residuals' effective sample size (Dutilleul), not of the rows. Known
    errors of the values (`CausalTable.error_covariance`) are allowed for: the variables are regressed on what the given
    ones would be without error, so noise on a common cause leaves no dependence behind, and the estimate is that of the
    true values. All variables go through one linear map first, which takes out trends. Assumes that relations are
    linear and fields stationary after that. The level is approximate where images are small: of normal fields smoothed
    over two sites, on four images of 32 x 32, 7 to 8 % are called dependent at a level of 5 %.

    A question about a variable that is the same everywhere in an image is answered from the means of the images.

    Attributes
    ----------
    detrending
        What is taken out of all variables first: the mean of each image (`Centring(within=False)` compares images too),
        or, where thickness, tilt or contamination may act on everything, `AdaptiveHighPass()`, which also makes most of
        smooth fields.

    References
    ----------
    P. Dutilleul, Biometrics 49, 305 (1993). W. A. Fuller, Measurement Error Models (Wiley, 1987).

    Examples
    --------
    >>> from tusi.inference.spatial import Layout
    >>> x, z, y = np.random.default_rng(2).standard_normal((3, 1024))
    >>> table = CausalTable.of({"x": x, "z": x + z, "y": x + z + y}, layout=Layout.grid((32, 32)))
    >>> test = PartialCorrelation().prepare(table)
    >>> test.ask(0, 2).p_value < 1e-6, test.ask(0, 2, (1,)).p_value > 0.05
    (True, True)
    """

    detrending: Detrending = dataclasses.field(default_factory=Centring)

    def prepare(self, table: CausalTable, *, rng: np.random.Generator | None = None) -> PreparedTest:  # noqa: ARG002
        """Return the test for the variables of a table."""
        return _PreparedCorrelation(table, self.detrending(table.value, table.layout))


@dataclasses.dataclass(frozen=True)
class _Residual:
    """What is left of a variable after regression on others, and its coefficients in all variables."""

    value: np.ndarray
    combination: np.ndarray
    sums: LagSums


class _PreparedCorrelation(PreparedTest):
    def __init__(self, table: CausalTable, detrended: Detrended) -> None:
        self.names = table.names
        self._between = set(np.flatnonzero(~detrended.value.any(axis=0)).tolist())
        scale = detrended.value.std(axis=0)
        scale[list(self._between)] = 1.0
        self._value = detrended.value / scale
        self._covariance = self._value.T @ self._value / len(self._value)
        self._error = believable_error(mean_error(table, detrended) / np.outer(scale, scale), self._covariance)
        self._means = np.stack([np.bincount(table.image, weights=column) for column in table.value.T], axis=1)
        self._means /= np.bincount(table.image)[:, None]
        self._most = len(self._value) * max(1 - detrended.freedom / len(table), 0.0)
        self._lags = PairLags(detrended.layout)
        self._residual = lru_cache(N_KEPT)(self._regressed)

    def ask(self, x: int, y: int, given: tuple[int, ...] = ()) -> Independence:
        if x in self._between or y in self._between:
            return self._ask_means(x, y, given)
        given = tuple(sorted(set(given) - self._between))
        first, second = self._residual(x, given), self._residual(y, given)
        n_rows = len(self._value)
        squares = (first.value @ first.value) * (second.value @ second.value)
        if not squares > 0:
            return Independence(p_value=1.0, estimate=0.0, n_effective=float(n_rows))
        shared = float(first.combination @ self._error @ second.combination)
        # Errors in both residuals add the square of what they share at every lag of their products' mean.
        variance = self._lags.variance_of_products(first.sums, second.sums) + (n_rows - self._lags.n_lags) * shared**2
        size = 1.0 + squares / max(variance, squares / self._most) if self._most > 0 else 1.0
        size = float(min(size, self._most))
        correlation = float(np.clip((first.value @ second.value - n_rows * shared) / np.sqrt(squares), -1, 1))
        real = [self._reliability(one) for one in (first, second)]
        estimate = np.clip(correlation / np.sqrt(real[0] * real[1]), -1, 1)
        return Independence(
            p_value=_p_value(correlation, size - 2 - len(given)), estimate=float(estimate), n_effective=size
        )

    def _reliability(self, residual: _Residual) -> float:
        """Return the share of a residual's variance that is not error."""
        error = residual.combination @ self._error @ residual.combination
        return max(float(1 - error / np.mean(residual.value**2)), LEAST_RELIABILITY)

    def _regressed(self, place: int, given: tuple[int, ...]) -> _Residual:
        combination = np.zeros(len(self.names))
        combination[place] = 1.0
        if given:
            own = np.array(given)
            combination[own] = -np.linalg.lstsq(
                (self._covariance - self._error)[np.ix_(own, own)],
                self._covariance[own, place] - self._error[own, place],
                rcond=1e-10,
            )[0]
        value = self._value @ combination
        return _Residual(value, combination, self._lags.sums(value))

    def _ask_means(self, x: int, y: int, given: tuple[int, ...]) -> Independence:
        """Answer with as many samples as there are images."""
        means = self._means - self._means.mean(axis=0)
        others = means[:, list(given)]
        left, right = (
            means[:, place] - others @ np.linalg.lstsq(others, means[:, place], rcond=None)[0] for place in (x, y)
        )
        norm = np.sqrt((left @ left) * (right @ right))
        correlation = float(left @ right / norm) if norm > 0 else 0.0
        size = float(len(means))
        return Independence(
            p_value=_p_value(correlation, size - 2 - len(given)), estimate=correlation, n_effective=size
        )


def _p_value(correlation: float, freedom: float) -> float:
    """Return Student's test of a correlation."""
    if not freedom > 0:
        return 1.0
    ratio = abs(correlation) * np.sqrt(freedom / max(1.0 - correlation**2, np.finfo(float).eps ** 2))
    return float(2 * stats.t.sf(ratio, freedom))
