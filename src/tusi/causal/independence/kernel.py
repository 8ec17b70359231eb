"""Any dependence, not only a linear one: correlations of random features against those of shifted fields."""

import dataclasses
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

from tusi.causal.independence.question import Independence, IndependenceTest, PreparedTest
from tusi.causal.table import CausalTable
from tusi.errors import InputError
from tusi.inference.spatial.detrending import Centring, Detrending
from tusi.inference.spatial.effective import effective_size_of_sums
from tusi.inference.spatial.lags import PairLags
from tusi.inference.spatial.surrogates import phase_surrogates, torus_shifts

RIDGE = 1e-3
"""Penalty of the regression on features of the given variables, for features of variance one."""

N_KEPT = 16
"""Sets of given variables whose functions are kept for further questions."""

BANDWIDTH = 1.0
"""Width of the kernel, in standard deviations of the normal scores."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelIndependence(IndependenceTest):
    """Test of any dependence between x and y, given others: the Hilbert-Schmidt criterion with random features.

    x and y are regressed on smooth functions of the given variables; the residuals, as normal scores, are turned into
    random Fourier features of a Gaussian kernel, and the sum of the squared correlations between the features of both
    is compared with that of surrogates, which have the same spatial structure. The same functions of the given
    variables are projected out of the features and of each surrogate: what regression takes from both residuals alike
    it takes from chance, too. Costs grow linearly with the rows. Given variables are assumed to act additively. A
    variable that detrending makes constant depends on nothing. The level is approximate where `n_effective` is
    below about 60: 6 to 8 % of independent fields are called dependent at a level of 5 %.

    Attributes
    ----------
    n_features
        Random features of each of the two residuals, beside the residual itself.
    n_given_features
        Random features of each given variable, beside the variable itself.
    n_surrogates
        How many; the smallest p-values come from a gamma distribution with the mean and variance of their statistics.
    surrogates
        Fields shifted on a torus, or with random phases.
    detrending
        What is taken out of all variables first.

    References
    ----------
    A. Gretton et al., Advances in Neural Information Processing Systems 20 (2007). E. V. Strobl, K. Zhang,
    S. Visweswaran, J. Causal Inference 7, 20180017 (2019).

    Examples
    --------
    >>> from tusi.inference.spatial import Layout
    >>> x, e = np.random.default_rng(0).standard_normal((2, 1024))
    >>> table = CausalTable.of({"x": x, "y": x**2 + e}, layout=Layout.grid((32, 32)))
    >>> KernelIndependence().prepare(table, rng=np.random.default_rng(1)).ask(0, 1).p_value < 0.01
    True
    """

    n_features: int = 6
    n_given_features: int = 20
    n_surrogates: int = 199
    surrogates: Literal["torus", "phase"] = "torus"
    detrending: Detrending = dataclasses.field(default_factory=Centring)

    def __post_init__(self) -> None:
        if self.n_surrogates < 19 or min(self.n_features, self.n_given_features) < 1:
            raise InputError("n_surrogates", expected="at least 19, and a feature", got=repr(self))

    def prepare(self, table: CausalTable, *, rng: np.random.Generator | None = None) -> PreparedTest:
        """Return the test for the variables of a table; `rng` draws features and surrogates, once for all questions."""
        if rng is None:
            raise InputError("rng", expected="a random generator, for features and surrogates", got="None")
        return _PreparedKernel(self, table, rng)


class _PreparedKernel(PreparedTest):
    def __init__(self, test: KernelIndependence, table: CausalTable, rng: np.random.Generator) -> None:
        detrended = test.detrending(table.value, table.layout)
        self.names = table.names
        self._test = test
        self._layout = detrended.layout
        self._value = detrended.value / np.maximum(detrended.value.std(axis=0), 1e-300)
        self._lags = PairLags(self._layout)
        self._wave = rng.standard_normal((2, test.n_features)) / BANDWIDTH
        self._phase = rng.uniform(0, 2 * np.pi, (2, test.n_features))
        self._given_wave = rng.standard_normal((table.n_variables, test.n_given_features)) / BANDWIDTH
        self._given_phase = rng.uniform(0, 2 * np.pi, (table.n_variables, test.n_given_features))
        self._seed = int(rng.integers(2**63))
        self._shift = torus_shifts(self._layout, n=test.n_surrogates, rng=rng) if test.surrogates == "torus" else None
        self._design = lru_cache(N_KEPT)(self._functions)
        self._basis = lru_cache(N_KEPT)(self._directions)

    def ask(self, x: int, y: int, given: tuple[int, ...] = ()) -> Independence:
        x, y, given = min(x, y), max(x, y), tuple(sorted(set(given)))
        left, right = (self._residual(place, given) for place in (x, y))
        if not (left.std() > 0 and right.std() > 0):
            return Independence(p_value=1.0, estimate=0.0, n_effective=float(len(left)))
        first, second = (self._features(values, side) for side, values in enumerate((left, right)))
        basis = self._basis(given)
        first = _standardised(first - basis @ (basis.T @ first))
        dependence = _dependence(first, second, basis)
        chance = np.array([_dependence(first, other, basis) for other in self._surrogates(second)])
        left, right = left - left.mean(), right - right.mean()
        sums = self._lags.sums(left), self._lags.sums(right)
        return Independence(
            p_value=_p_value(dependence, chance),
            estimate=float(np.sqrt(dependence / (first.shape[1] * second.shape[1]))),
            n_effective=effective_size_of_sums(self._lags, sums, squares=(left @ left) * (right @ right)),
        )

    def _residual(self, place: int, given: tuple[int, ...]) -> Float[np.ndarray, " row"]:
        """Return a variable less its regression on smooth functions of the given ones."""
        column = self._value[:, place]
        if not given:
            return column
        design = self._design(given)
        gram = design.T @ design + RIDGE * len(design) * np.diag((design**2).mean(axis=0) + 1e-12)
        return column - column.mean() - design @ np.linalg.solve(gram, design.T @ column)

    def _functions(self, given: tuple[int, ...]) -> Float[np.ndarray, "row function"]:
        """Return smooth functions of the given variables."""
        own = list(given)
        scores = _normal_scores(self._value[:, own])
        waves = np.cos(scores[:, :, None] * self._given_wave[own] + self._given_phase[own]).reshape(len(scores), -1)
        design = np.concatenate([self._value[:, own], waves], axis=1)
        return design - design.mean(axis=0)

    def _directions(self, given: tuple[int, ...]) -> Float[np.ndarray, "row direction"]:
        """Return an orthonormal basis of one and of the functions of the given variables, but for the faintest."""
        constant = np.full((len(self._value), 1), len(self._value) ** -0.5)
        if not given:
            return constant
        design = self._design(given)
        power, mixture = np.linalg.eigh(design.T @ design)
        kept = power > RIDGE * power.mean()
        return np.concatenate([constant, design @ (mixture[:, kept] / np.sqrt(power[kept]))], axis=1)

    def _features(self, values: np.ndarray, side: int) -> Float[np.ndarray, "row feature"]:
        """Return random features of a residual."""
        score = _normal_scores(values)
        waves = np.cos(score[:, None] * self._wave[side] + self._phase[side])
        return np.concatenate([score[:, None], waves], axis=1)

    def _surrogates(self, features: np.ndarray):
        if self._shift is not None:
            return (features[rows] for rows in self._shift)
        rng = np.random.default_rng(self._seed)
        return (
            phase_surrogates(features, layout=self._layout, n=1, rng=rng)[0] for _ in range(self._test.n_surrogates)
        )


def _standardised(columns: np.ndarray) -> np.ndarray:
    return columns / np.sqrt((columns**2).mean(axis=0))


def _normal_scores(values: np.ndarray) -> np.ndarray:
    return stats.norm.ppf((stats.rankdata(values, axis=0) - 0.5) / len(values))


def _dependence(first: np.ndarray, second: np.ndarray, basis: np.ndarray) -> float:
    """Return the sum of the squared correlations of features with others, from which a basis is projected out.

    The former are orthogonal to the basis, so that only the norms of the latter have to know of it.
    """
    left = np.einsum("ij,ij->j", second, second) - ((basis.T @ second) ** 2).sum(axis=0)
    return float(((first.T @ second) ** 2 / left).sum()) / len(first)


def _p_value(dependence: float, chance: np.ndarray) -> float:
    """Return the rank of a statistic among those of surrogates, and beyond the largest a gamma tail."""
    exceeding = int((chance >= dependence).sum())
    if exceeding:
        return (1 + exceeding) / (1 + len(chance))
    mean, variance = chance.mean(), chance.var(ddof=1)
    tail = float(stats.gamma.sf(dependence, mean**2 / variance, scale=variance / mean))
    return min(tail, 1.0 / (1 + len(chance)))
