"""Smooth mechanisms: one natural cubic spline for each cause, as smooth as is likeliest."""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from tusi.causal.structural.mechanisms import Family, FittedMechanism, Mechanism
from tusi.errors import InputError
from tusi.inference.spatial import effective_sample_size

KNOT_SHARES = (0.0, 0.01, 0.05, 0.12, 0.22, 0.35, 0.5, 0.65, 0.78, 0.88, 0.95, 0.99, 1.0)
"""Shares of the rows below each knot: enough for anything that the penalty would not smooth away."""

SMOOTHNESS = np.logspace(-9, 2, 23)
"""Penalties that are tried, for causes of variance one."""

N_SWEEPS = 3
"""How often the penalties of all causes are chosen in turn."""

MOST_FREEDOM = 0.3
"""Share of the effective sample size that all terms may use."""

N_REWEIGHTED = 4
"""How often rows far from the function lose weight."""

HUBER = 1.345
"""Distance from the function, in standard deviations of a normal core, beyond which rows pull no harder."""

NORMAL_QUARTILE = 0.6745
"""Upper quartile of the normal distribution."""

TEST_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Knots of the functions by which dependence is looked for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spline(Mechanism):
    """Each cause adds a smooth function of itself: a natural cubic spline whose bends, and changes of bend, cost.

    How much is chosen by the restricted likelihood of the residuals' effective sample size instead of rows, so that the
    smoothness of a field is not taken for that of the law. Rows far from the function pull no harder than near ones
    (Huber): where noise is independent of the causes, as additive noise is, this changes no function, and heavy tails
    do no harm. Beyond the values that were seen, functions go on as straight lines. Errors of the causes are not
    allowed for.

    Attributes
    ----------
    smoothness
        Penalties that are tried.

    References
    ----------
    S. N. Wood, J. R. Stat. Soc. B 73, 3 (2011), for the choice of smoothness; P. J. Huber, Ann. Math. Stat. 35, 73
    (1964).

    Examples
    --------
    >>> Spline().basis(np.linspace(-1, 1, 50)).shape
    (50, 4)
    """

    smoothness: tuple[float, ...] = tuple(SMOOTHNESS)

    def __post_init__(self) -> None:
        if not self.smoothness or min(self.smoothness) <= 0:
            raise InputError("smoothness", expected="positive penalties", got=str(self.smoothness))

    def fit(self, family: Family) -> "FittedSplines":
        """Return the splines with the likeliest smoothness."""
        family.spread()
        terms = tuple(_Term.through(column, KNOT_SHARES) for column in family.cause.T)
        penalty = np.full(len(terms), 1.0)
        coefficient, system = _robust(terms, family, penalty)
        left = family.centred(family.effect) - family.centred(_columns(terms, family.cause)) @ coefficient
        samples = min(
            effective_sample_size(column, left, layout=family.layout, centring=family.intercepts)
            if left.std() > 1e-9 * family.effect.std()
            else len(left)
            for column in family.cause.T
        )
        for _ in range(N_SWEEPS):
            for k in range(len(terms)):
                scores = []
                for trial in self.smoothness:
                    penalty[k] = trial
                    scores.append(system.score(penalty, min(samples, float(len(left)))))
                penalty[k] = self.smoothness[int(np.argmin(scores))]
            coefficient, system = _robust(terms, family, penalty)
        centre = _columns(terms, family.cause).mean(axis=0)
        return FittedSplines(terms=terms, penalty=penalty, coefficient=coefficient, centre=centre)

    def basis(self, cause: Float[np.ndarray, " row"]) -> Float[np.ndarray, "row term"]:
        """Return a straight line and three bends."""
        return _Term.through(cause, TEST_SHARES)(cause)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FittedSplines(FittedMechanism):
    """Splines of the causes.

    Attributes
    ----------
    terms
        Knots of each.
    penalty
        Of the bends of each.
    coefficient
        Of all their basis functions, one after the other.
    centre
        Mean of the basis functions over the rows, about which their sum is taken.
    """

    terms: "tuple[_Term, ...]"
    penalty: Float[np.ndarray, " cause"]
    coefficient: Float[np.ndarray, " term"]
    centre: Float[np.ndarray, " term"]

    def __call__(self, cause: Float[np.ndarray, "row cause"]) -> Float[np.ndarray, " row"]:
        """Return the sum of the causes' terms."""
        return (_columns(self.terms, cause) - self.centre) @ self.coefficient

    def refit(self, family: Family) -> "FittedSplines":
        """Return splines of the same knots and penalties for other rows."""
        return dataclasses.replace(self, coefficient=_robust(self.terms, family, self.penalty)[0])

    def right_hand_side(self, names: tuple[str, ...]) -> str:
        """Return the names of functions with the mean slope between the quartiles of each cause."""
        parts, start = [], 0
        for term, name in zip(self.terms, names, strict=True):
            own = self.coefficient[start : start + term.n_columns]
            start += term.n_columns
            low, high = term(np.array(term.quartiles)) @ own
            parts.append(f"+ f({name}) [mean slope {(high - low) / np.ptp(term.quartiles):.3g}]")
        return " ".join(parts)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Term:
    """The natural cubic splines through given knots, and the integral of their squared second and third derivatives."""

    spline: CubicSpline
    knots: np.ndarray
    spread: float
    quartiles: tuple[float, float]
    curvature: np.ndarray

    @classmethod
    def through(cls, values: np.ndarray, shares: tuple[float, ...]) -> "_Term":
        spread = float(values.std())
        knots = np.unique(np.quantile(values, shares))
        if len(np.unique(values)) < 3:
            raise InputError(
                "table", expected="causes with at least three values", got=f"{len(np.unique(values))}",
                then="Use `Linear()`, which two values are enough for.",
            )  # fmt: skip
        knots = knots[np.concatenate([[True], np.diff(knots) > 1e-6 * spread])] / spread
        spline = CubicSpline(knots, np.eye(len(knots)), bc_type="natural")
        bend, gap = spline(knots, 2), np.diff(knots)[:, None]
        change = np.diff(bend, axis=0)
        # Squares of second derivatives, which are straight between knots, and of third ones, which are constant there.
        second = bend[:-1].T @ (gap * bend[:-1]) + change.T @ (gap * bend[:-1]) + change.T @ (gap * change) / 3
        curvature = (second + second.T) / 2 + change.T @ (change / gap)
        # The constant belongs to the intercept: the first column goes, and with it the first cardinal function.
        quartiles = np.quantile(values, (0.25, 0.75))
        return cls(
            spline=spline, knots=knots, spread=spread, quartiles=(float(quartiles[0]), float(quartiles[1])),
            curvature=curvature[1:, 1:],
        )  # fmt: skip

    @property
    def n_columns(self) -> int:
        return len(self.knots) - 1

    def __call__(self, values: np.ndarray) -> Float[np.ndarray, "row term"]:
        """Return the basis functions at values; straight beyond the outermost knots."""
        scaled = values / self.spread
        inside = np.clip(scaled, self.knots[0], self.knots[-1])
        beyond = scaled - inside
        out = self.spline(inside)
        if beyond.any():
            out = out + beyond[:, None] * self.spline(inside, 1)
        return out[:, 1:]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _System:
    """Normal equations of penalised least squares."""

    columns: np.ndarray
    gram: np.ndarray
    product: np.ndarray
    square: float
    curvature: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, columns: np.ndarray, terms: tuple[_Term, ...], family: Family) -> "_System":
        columns = family.centred(columns)
        effect = family.centred(family.effect)
        weight = family.weight / family.weight.sum()
        return cls(
            columns=columns, gram=columns.T @ (columns * weight[:, None]), product=columns.T @ (weight * effect),
            square=float(weight @ effect**2), curvature=tuple(term.curvature for term in terms),
        )  # fmt: skip

    def penalised(self, penalty: np.ndarray) -> np.ndarray:
        out, start = self.gram.copy(), 0
        for bend, amount in zip(self.curvature, penalty, strict=True):
            own = slice(start, start + len(bend))
            out[own, own] += amount * bend
            start += len(bend)
        return out + 1e-12 * np.trace(self.gram) / len(out) * np.eye(len(out))

    def score(self, penalty: np.ndarray, samples: float) -> float:
        """Return minus twice the logarithm of the restricted likelihood of the penalties, up to a constant."""
        smoother = np.linalg.solve(self.penalised(penalty), np.column_stack([self.gram, self.product]))
        # The straight lines that even the greatest penalty leaves must stay possible.
        if np.trace(smoother[:, :-1]) > max(MOST_FREEDOM * samples, len(penalty) + 0.1):
            return float("inf")
        left = max(self.square - float(smoother[:, -1] @ self.product), 1e-12 * self.square)
        bent = sum((len(bend) - 1) * np.log(amount) for bend, amount in zip(self.curvature, penalty, strict=True))
        size = np.linalg.slogdet(self.penalised(penalty))[1]
        return float(max(samples - 1 - len(penalty), 1.0) * np.log(left) + size - bent)


def _robust(
    terms: tuple[_Term, ...], family: Family, penalty: Float[np.ndarray, " cause"]
) -> tuple[Float[np.ndarray, " term"], _System]:
    """Return the coefficients of penalised M-estimation, and the weighted normal equations that they solve."""
    columns, weight = _columns(terms, family.cause), family.weight
    rounding = max(1e-9 * float(family.effect.std()), 1e-300)
    system = _System.of(columns, terms, family)
    for _ in range(N_REWEIGHTED):
        coefficient = np.linalg.solve(system.penalised(penalty), system.product)
        left = np.abs(family.centred(family.effect - columns @ coefficient))
        bound = max(HUBER * float(np.median(left)) / NORMAL_QUARTILE, rounding)
        family = dataclasses.replace(family, weight=weight * bound / np.maximum(left, bound))
        system = _System.of(columns, terms, family)
    return np.linalg.solve(system.penalised(penalty), system.product), system


def _columns(terms: tuple[_Term, ...], cause: np.ndarray) -> Float[np.ndarray, "row term"]:
    return np.concatenate([term(column) for term, column in zip(terms, cause.T, strict=True)], axis=1)
