"""The slope between images, which has as many samples as there are images, and the slope that mixes everything."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.causal.panel.slope import Slope, check_pair
from tusi.causal.panel.within import within_slope
from tusi.causal.table import CausalTable


def between_slope(table: CausalTable, *, cause: str, effect: str) -> Slope:
    """Return the slope of the images' means of an effect against those of a cause.

    Least squares, every image once: what else differs between images (offset of the detector, thickness) is the same
    for all its sites, so more sites do not help. Degrees of freedom are images less two. Assumes that these other
    differences are independent from image to image, equally large, and have nothing to do with the cause.

    Parameters
    ----------
    table
        The variables.
    cause, effect
        Names of two of them; either may be the same everywhere in an image, such as composition.

    Returns
    -------
    Slope
        Without standard error for two images; unknown for one, or where the images' means are equal.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe
    >>> from tusi.datasets.causal_images import ImageSeries, image_series
    >>> table = image_series(ImageSeries(overall=6.0), FieldRecipe(), rng=np.random.default_rng(0))
    >>> slope = between_slope(table, cause="composition", effect="y")
    >>> slope.freedom, slope.interval()[0] < 6.0 < slope.interval()[1]
    (2.0, True)
    """
    check_pair(table, cause, effect)
    x, y = image_means(table.select((cause, effect))).T
    return line_through(
        (x, y), np.ones(len(x)), Slope.unknown(cause, effect, "between images", n_samples=float(len(x)))
    )


def pooled_slope(table: CausalTable, *, cause: str, effect: str) -> Slope:
    """Return the slope over all rows as if they were of one image.

    It is a mean of the slopes within and between images, weighted with the variance of the cause within and between
    them: an effect of nothing in particular, shown beside the two because it is what is usually published. Its
    standard error is that of this mean, not that of independent rows, with the fewer of the two degrees of freedom.

    Parameters
    ----------
    table
        The variables.
    cause, effect
        Names of two of them.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe
    >>> from tusi.datasets.causal_images import ImageSeries, image_series
    >>> table = image_series(ImageSeries(), FieldRecipe(), rng=np.random.default_rng(0))
    >>> round(pooled_slope(table, cause="x", effect="y").estimate, 1)
    0.6
    """
    return pooled_with(within_slope(table, cause=cause, effect=effect), table)


def pooled_with(within: Slope, table: CausalTable) -> Slope:
    """Return the pooled slope of a pair whose slope within images is known.

    Parameters
    ----------
    within
        Slope within images, the mean of each image taken off.
    table
        The variables.
    """
    pair = table.select((within.cause, within.effect))
    means, rows = image_means(pair), np.bincount(table.image).astype(float)
    nothing = Slope.unknown(within.cause, within.effect, "pooled", n_samples=float(len(rows)))
    between = line_through((means[:, 0], means[:, 1]), rows, nothing)
    if not np.isfinite(between.estimate) or not np.isfinite(within.estimate):
        return dataclasses.replace(within if np.isfinite(within.estimate) else between, comparison="pooled")
    inside = float(((pair.value[:, 0] - means[table.image, 0]) ** 2).sum())
    outside = float(rows @ (means[:, 0] - np.average(means[:, 0], weights=rows)) ** 2)
    shares = np.array([inside, outside]) / (inside + outside)
    return dataclasses.replace(
        nothing,
        estimate=float(shares @ [within.estimate, between.estimate]),
        standard_error=float(np.hypot(*(shares * [within.standard_error, between.standard_error]))),
        freedom=min(within.freedom, between.freedom),
        n_samples=within.n_samples,
    )


def image_means(table: CausalTable) -> Float[np.ndarray, "image variable"]:
    """Return the mean of each variable in each image.

    Parameters
    ----------
    table
        The variables.
    """
    sums = np.stack([np.bincount(table.image, weights=column) for column in table.value.T], axis=1)
    return sums / np.bincount(table.image)[:, None]


def line_through(
    means: tuple[np.ndarray, np.ndarray], weight: np.ndarray, unknown: Slope, *, n_given: int = 0
) -> Slope:
    """Return the slope of the weighted least-squares line through points whose disturbances are equally large.

    Parameters
    ----------
    means
        Cause and effect of each point.
    weight
        Of each point.
    unknown
        Which slope this is; returned where the cause does not vary.
    n_given
        Other variables that have been taken out of both.
    """
    x, y = means
    leaning = weight * (x - np.average(x, weights=weight))
    spread = float(leaning @ x)
    if len(x) < 2 or not spread > 1e-18 * float(weight @ x**2):
        return unknown
    estimate = float(leaning @ y) / spread
    freedom = len(x) - 2 - n_given
    error = float("nan")
    if freedom > 0:
        offset = np.average(y - estimate * x, weights=weight)
        variance = float(((y - offset - estimate * x) ** 2).sum()) / freedom
        error = float(np.sqrt(variance * (leaning @ leaning))) / spread
    return Slope(
        cause=unknown.cause, effect=unknown.effect, comparison=unknown.comparison, estimate=estimate,
        standard_error=error, freedom=float(freedom), n_samples=unknown.n_samples,
    )  # fmt: skip
