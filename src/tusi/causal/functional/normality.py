"""Is a field Gaussian? Skewness and kurtosis, with as many samples as their own correlation in space leaves."""

import numpy as np
from jaxtyping import Float

from tusi.inference.spatial import Layout, PairLags

LEAST_SAMPLES = 20.0
"""Effective samples below which nothing is said of a shape."""


def gaussianity(values: Float[np.ndarray, " row"], *, layout: Layout, lags: PairLags | None = None) -> float:
    """Return the p-value of a stationary Gaussian field: small where the values are certainly not normal.

    In a Gaussian field of autocorrelation rho the third and fourth Hermite polynomials of two sites have correlations
    rho^3 and rho^4, so that skewness and excess kurtosis of n sites vary as those of n^2 / sum rho^3 and
    n^2 / sum rho^4 independent samples do (sums over all pairs). With these numbers D'Agostino's and Anscombe's
    normal scores of both are taken, and the sum of their squares is compared with chi-squared.

    Parameters
    ----------
    values
        One for each row, in any unit.
    layout
        Where the rows lie.
    lags
        Pairs of these rows, where they have been counted before.

    Returns
    -------
    float
        1 where too few effective samples are left to say anything.

    References
    ----------
    I. N. Lobato, C. Velasco, Econometric Theory 20, 671 (2004); R. B. D'Agostino, A. Belanger, R. B. D'Agostino Jr.,
    Am. Stat. 44, 316 (1990).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> grid = Layout.grid((32, 32))
    >>> [gaussianity(draw(size=1024), layout=grid) < 0.01 for draw in (rng.normal, rng.laplace)]
    [False, True]
    """
    n_rows = len(layout)
    value = np.asarray(values, dtype=np.float64) - np.mean(values)
    spread = value.std()
    if not spread > 0:
        return 1.0
    value = value / spread
    pairs = PairLags(layout) if lags is None else lags
    sums = pairs.sums(value)
    third = fourth = 0.0
    for one, share in zip(sums, pairs.share, strict=True):
        correlation = one * share
        cube = one * correlation * correlation
        third += float(cube.sum())
        fourth += float((cube * correlation).sum())
    sizes = [min(n_rows**2 / max(total, 1.0), float(n_rows)) for total in (third, fourth)]
    if min(sizes) < LEAST_SAMPLES:
        return 1.0
    skewness = _skewness_score(float((value**3).mean()), sizes[0])
    kurtosis = _kurtosis_score(float((value**4).mean()), sizes[1])
    return float(np.exp(-0.5 * (skewness**2 + kurtosis**2)))


def _skewness_score(skewness: float, n: float) -> float:
    """Return D'Agostino's normal score of the skewness of n values."""
    y = skewness * np.sqrt((n + 1) * (n + 3) / (6 * (n - 2)))
    peak = 3 * (n**2 + 27 * n - 70) * (n + 1) * (n + 3) / ((n - 2) * (n + 5) * (n + 7) * (n + 9))
    width = -1 + np.sqrt(2 * (peak - 1))
    return float(np.arcsinh(y / np.sqrt(2 / (width - 1))) / np.sqrt(0.5 * np.log(width)))


def _kurtosis_score(kurtosis: float, n: float) -> float:
    """Return Anscombe's and Glynn's normal score of the kurtosis of n values."""
    mean = 3 * (n - 1) / (n + 1)
    variance = 24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    x = (kurtosis - mean) / np.sqrt(variance)
    skew = 6 * (n**2 - 5 * n + 2) / ((n + 7) * (n + 9)) * np.sqrt(6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)))
    freedom = 6 + 8 / skew * (2 / skew + np.sqrt(1 + 4 / skew**2))
    ratio = (1 - 2 / freedom) / (1 + x * np.sqrt(2 / (freedom - 4)))
    return float((1 - 2 / (9 * freedom) - np.cbrt(ratio)) / np.sqrt(2 / (9 * freedom)))
