"""How many independent samples the rows of two fields are worth for the question whether they are correlated."""

from typing import Literal

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.inference.spatial.lags import LagSums, PairLags
from tusi.inference.spatial.layout import Layout

Centring = Literal["image", "common"]
"""Whether fields are taken about their mean in each image, or about the mean of all rows."""


def effective_sample_size(
    x: Float[np.ndarray, " row"], y: Float[np.ndarray, " row"], *, layout: Layout, centring: Centring = "image"
) -> float:
    """Return the number of independent samples with as uncertain a correlation as these two fields.

    For independent stationary fields the correlation coefficient has variance sum_h n_h C_x(h) C_y(h) / (n^2 C_x(0)
    C_y(0)), where n_h pairs of rows lie at lag h; n_eff is one more than its inverse. The autocovariances come from
    zero-padded FFTs, so cells without a row count for nothing and borders do not wrap around. Images add up.

    Parameters
    ----------
    x, y
        Values of the two fields, in any units.
    layout
        Where the rows lie.
    centring
        What is taken off first.

    Returns
    -------
    float
        Between 2 and, for repelling fields, more than the number of rows; NaN when a field is constant.

    Raises
    ------
    InputError
        A value is not finite, or there are not as many as rows.

    References
    ----------
    P. Clifford, S. Richardson, D. Hemon, Biometrics 45, 123 (1989); P. Dutilleul, Biometrics 49, 305 (1993).

    Examples
    --------
    >>> x, y = np.random.default_rng(0).standard_normal((2, 64, 64))
    >>> smooth = lambda field: (field + np.roll(field, 1, 0) + np.roll(field, 1, 1)).ravel()
    >>> grid = Layout.grid((64, 64))
    >>> rough = effective_sample_size(x.ravel(), y.ravel(), layout=grid)
    >>> round(rough / 1000), bool(effective_sample_size(smooth(x), smooth(y), layout=grid) < 0.7 * rough)
    (4, True)
    """
    lags = PairLags(layout)
    first, second = (centred(values, layout=layout, centring=centring) for values in (x, y))
    squares = float((first @ first) * (second @ second))
    return effective_size_of_sums(lags, (lags.sums(first), lags.sums(second)), squares=squares)


def effective_size_of_sums(lags: PairLags, sums: tuple[LagSums, LagSums], *, squares: float | None = None) -> float:
    """Return n_eff of two fields whose lag sums are known.

    Parameters
    ----------
    lags
        Pairs of rows.
    sums
        Lag sums of each field about its mean.
    squares
        Product of the sums of squares of both; taken from lag zero when not given, which is right where no two rows
        share a cell.
    """
    first, second = sums
    if squares is None:
        squares = float(sum(one[0, 0] for one in first) * sum(one[0, 0] for one in second))
    if not squares > 0:
        return float("nan")
    variance = lags.variance_of_products(first, second) / squares
    return 1.0 + 1.0 / min(1.0, max(variance, 1.0 / (4.0 * len(lags.layout))))


def centred(
    values: Float[np.ndarray, " row"], *, layout: Layout, centring: Centring = "image"
) -> Float[np.ndarray, " row"]:
    """Return values less their mean: of each image, or of all rows.

    Parameters
    ----------
    values
        One for each row.
    layout
        Where the rows lie.
    centring
        Which mean.

    Examples
    --------
    >>> centred(np.array([1.0, 2.0, 5.0, 7.0]), layout=Layout.grid((1, 2), n_images=2))
    array([-0.5,  0.5, -1. ,  1. ])
    """
    if np.shape(values) != (len(layout),) or not np.isfinite(values).all():
        raise InputError(
            "values", expected=f"a finite value for each of {len(layout)} rows", got=f"shape {np.shape(values)} or NaN"
        )
    if centring == "common":
        return values - values.mean()
    mean = np.bincount(layout.image, weights=values) / np.bincount(layout.image)
    return values - mean[layout.image]
