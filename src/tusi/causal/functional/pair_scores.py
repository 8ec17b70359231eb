"""Numbers that are positive where the first of two variables is rather the cause; swapping them changes the sign."""

import numpy as np
from jaxtyping import Float

Column = Float[np.ndarray, " row"]

N_KNOTS = 12
"""Knots of the curves that are fitted, at equal numbers of rows."""

RIDGE = 1e-3
"""Weight, per row, of the second differences of a curve."""

FREQUENCIES = (0.5, 1.0, 2.0)
"""Where characteristic functions are compared, in inverse standard deviations."""

FLOOR = 1e-12
"""Smallest dependence or mean square that is told from zero."""

LEAST_VARIANCE = 1e-4
"""Variance of a standardised variable about its curve below which it is taken as rounded off, not as explained."""


def larger_variance(x: Column, y: Column) -> float:
    """Return the log ratio of the variances, both variables scaled to [0, 1]."""
    return float(np.log(_unit(x).var() / _unit(y).var()))


def information_geometry(x: Column, y: Column) -> float:
    """Return the mean log slope of x over y less that of y over x, both on [0, 1]."""
    return _mean_log_slope(_unit(y), _unit(x)) - _mean_log_slope(_unit(x), _unit(y))


def regression_error(x: Column, y: Column) -> float:
    """Return the log ratio of what cubics leave: of x given y to y given x, both on [0, 1]."""
    left = []
    for a, b in ((_unit(y), _unit(x)), (_unit(x), _unit(y))):
        powers = np.polynomial.chebyshev.chebvander(2 * a - 1, 3)
        left.append(max(np.mean((b - powers @ np.linalg.lstsq(powers, b, rcond=None)[0]) ** 2), FLOOR))
    return float(np.log(left[0] / left[1]))


def additive_noise(x: Column, y: Column) -> float:
    """Return the log ratio of how far residuals depend on the regressor: of x on y to y on x."""
    left = []
    for a, b in ((y, x), (x, y)):
        regressor, value = _standard(a), _standard(b)
        basis = _hats(regressor)
        residual = _standard(value - basis @ _fitted(basis, value, np.ones(len(value))))
        left.append(max(_dependence(regressor, residual), FLOOR))
    return float(np.log(left[0] / left[1]))


def heteroscedastic(x: Column, y: Column) -> float:
    """Return the log-likelihood per row of y given x less that of x given y: normal, with curves for mean and width."""
    return _log_likelihood(_standard(x), _standard(y)) - _log_likelihood(_standard(y), _standard(x))


def _unit(value: Column) -> Column:
    low, high = value.min(), value.max()
    return (value - low) / (high - low)


def _standard(value: Column) -> Column:
    spread = value.std()
    return (value - value.mean()) / (spread if spread > 0 else 1.0)


def _mean_log_slope(x: Column, y: Column) -> float:
    order = np.lexsort((y, x))
    run, rise = np.diff(x[order]), np.abs(np.diff(y[order]))
    used = (run > 0) & (rise > 0)
    return float(np.log(rise[used] / run[used]).mean()) if used.any() else 0.0


def _hats(x: Column) -> Float[np.ndarray, "row knot"]:
    """Return linear splines with knots at equal numbers of rows."""
    knots = np.unique(np.quantile(x, np.linspace(0, 1, N_KNOTS)))
    return np.stack([np.interp(x, knots, one) for one in np.eye(len(knots))], axis=1)


def _fitted(basis: np.ndarray, value: Column, weight: Column) -> Float[np.ndarray, " knot"]:
    """Return the smoothed weighted least-squares coefficients."""
    n_knots = basis.shape[1]
    bends = np.diff(np.eye(n_knots), 2, axis=0) if n_knots > 2 else np.zeros((1, n_knots))
    normal = (basis * weight[:, None]).T @ basis + RIDGE * weight.sum() * (bends.T @ bends)
    return np.linalg.solve(normal + 1e-9 * weight.sum() * np.eye(n_knots), basis.T @ (weight * value))


def _log_likelihood(x: Column, y: Column) -> float:
    basis = _hats(x)
    resolution = float(np.mean(np.diff(np.unique(y)) ** 2)) / 12 + LEAST_VARIANCE
    variance = np.ones(len(y))
    for _ in range(3):
        residual = y - basis @ _fitted(basis, y, 1 / variance)
        level = basis @ _fitted(basis, np.log(residual**2 + resolution), np.ones(len(y)))
        variance = np.exp(level)
        variance = np.maximum(variance * np.mean(residual**2 / variance), resolution)
    return float(-0.5 * np.mean(np.log(variance) + residual**2 / variance))


def _dependence(x: Column, y: Column) -> float:
    """Return the squared difference of joint and product characteristic functions, summed over frequencies."""
    total = 0.0
    for s in FREQUENCIES:
        wave = np.exp(1j * s * x)
        for t in FREQUENCIES:
            for other in (np.exp(1j * t * y), np.exp(-1j * t * y)):
                total += abs((wave * other).mean() - wave.mean() * other.mean()) ** 2
    return total
