"""The slope within images: every image keeps its own level, and sites count for as many as they are worth."""

import numpy as np

from tusi.causal.measurement import LEAST_RELIABILITY, mean_error
from tusi.causal.panel.slope import Slope, check_pair
from tusi.causal.table import CausalTable
from tusi.inference.spatial import Centring, Detrending, PairLags


def within_slope(table: CausalTable, *, cause: str, effect: str, detrending: Detrending | None = None) -> Slope:
    """Return the slope of an effect against a cause among the sites of the same image, one for all images.

    Least squares with a level for each image (fixed effects), so nothing that differs between images enters. Known
    errors of the values are allowed for (`CausalTable.error_covariance`): noise on the cause does not flatten the
    slope. The standard error comes from all pairs of rows at each lag, that of a sum of products of two fields, the
    cause and what the line leaves of the effect; so does the number of degrees of freedom. Assumes that both fields
    are stationary within images, and that the slope is the same everywhere. Where an image is worth fewer than about
    fifty samples, 95 % intervals cover 93 to 95 %; in smooth fields behind large known errors 91 %, where
    `tusi.causal.structural.average_effect` covers what it says.

    Parameters
    ----------
    table
        The variables.
    cause, effect
        Names of two of them.
    detrending
        What is taken out first: the mean of each image, unless something else is given.

    Returns
    -------
    Slope
        Unknown where the cause is the same everywhere in each image.

    References
    ----------
    P. Dutilleul, Biometrics 49, 305 (1993). Y. Mundlak, Econometrica 46, 69 (1978).

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe
    >>> from tusi.datasets.causal_images import ImageSeries, image_series
    >>> table = image_series(ImageSeries(local=-0.25), FieldRecipe(smoothing=1.0), rng=np.random.default_rng(0))
    >>> slope = within_slope(table, cause="x", effect="y")
    >>> round(slope.estimate, 2), slope.interval()[0] < -0.25 < slope.interval()[1]
    (-0.25, True)
    """
    check_pair(table, cause, effect)
    pair = table.select((cause, effect))
    detrended = (detrending or Centring())(pair.value, pair.layout)
    x, y = detrended.value.T
    n_rows = len(x)
    error = mean_error(pair, detrended)
    squares = float(x @ x)
    if not squares > 0:
        return Slope.unknown(cause, effect, "within images", n_samples=0.0)
    real = max(squares - n_rows * float(error[0, 0]), LEAST_RELIABILITY * squares)
    estimate = float(x @ y - n_rows * error[0, 1]) / real
    residual = y - estimate * x
    lags = PairLags(detrended.layout)
    shared = float(error[0, 1] - estimate * error[0, 0])
    # Errors in both add the square of what they share at every lag of their products' mean.
    products = lags.variance_of_products(lags.sums(x), lags.sums(residual))
    variance = max(products + (n_rows - lags.n_lags) * shared**2, 0.0)
    most = max(n_rows - detrended.freedom, 0)
    worth = 1 + squares * float(residual @ residual) / variance if variance > 0 else most
    n_samples = float(min(worth, most))
    return Slope(
        cause=cause,
        effect=effect,
        comparison="within images",
        estimate=estimate,
        standard_error=float(np.sqrt(variance)) / real if n_samples > 2 else float("nan"),
        freedom=max(n_samples - 2, 0.0),
        n_samples=n_samples,
    )
