"""Does a cause act within images as it seems to between them? Simpson's reversal, named where there is one."""

import dataclasses
import itertools
from typing import Literal

import numpy as np
from scipy import stats

from tusi.causal.knowledge import Knowledge
from tusi.causal.panel.between import between_slope, pooled_with
from tusi.causal.panel.slope import Slope, check_pair
from tusi.causal.panel.within import within_slope
from tusi.causal.table import CausalTable
from tusi.errors import InputError
from tusi.inference.spatial import Detrending

Verdict = Literal["reversal", "different", "no difference seen", "undecided"]
"""What the slopes within and between images say together."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimpsonCheck:
    """Slopes within and between images side by side.

    Attributes
    ----------
    within, between, pooled
        The slopes.
    p_value
        Probability of slopes within and between images that differ at least so much if they are the same; NaN where
        one of them is not known.
    level
        P-value up to which they are called different.
    """

    within: Slope
    between: Slope
    pooled: Slope
    p_value: float
    level: float

    @property
    def verdict(self) -> Verdict:
        """A reversal is a difference where the slope within images is not zero and another has the other sign."""
        if np.isnan(self.p_value):
            return "undecided"
        if self.p_value > self.level:
            return "no difference seen"
        turned = min(self.within.estimate * other.estimate for other in (self.between, self.pooled)) < 0
        return "reversal" if turned and self.within.p_value <= self.level else "different"

    @property
    def flagged(self) -> bool:
        """Whether the slopes within and between images differ: the pooled one must not be used."""
        return self.verdict in {"reversal", "different"}

    def __str__(self) -> str:
        x, y = self.within.cause, self.within.effect
        slopes = f"Slope of {y} against {x}, {self.within}; {self.between}; {self.pooled}."
        n_images = int(self.between.n_samples)
        match self.verdict:
            case "reversal":
                return (
                    f"{slopes} The sign turns round between images (Simpson): at a site, {y} "
                    f"{_direction(self.within)} with {x}; between the {n_images} images something else "
                    "is at work, and the pooled slope is neither."
                )
            case "different":
                return f"{slopes} They differ: the pooled slope is neither of the two."
            case "no difference seen":
                turned = self.within.estimate * self.pooled.estimate < 0
                hint = " The signs differ, but so few images may do that by chance." if turned else ""
                return f"{slopes} No difference is seen between them (p = {self.p_value:.2g}).{hint}"
            case _:
                return f"{slopes} {n_images} image{'s' * (n_images != 1)} cannot tell whether they differ."


def simpson_check(
    table: CausalTable, *, cause: str, effect: str, level: float = 0.05, detrending: Detrending | None = None
) -> SimpsonCheck:
    """Compare the slope of an effect against a cause within images with that between images.

    Their difference is tested with Student's t and the fewer of their degrees of freedom, images less two as a rule.
    Where both are the same it is flagged with probability `level` at most, however different the images are in what
    has nothing to do with the cause.

    Parameters
    ----------
    table
        At least two images; at least three for a verdict.
    cause, effect
        Two variables.
    level
        P-value up to which slopes are called different.
    detrending
        What is taken out within images.

    Returns
    -------
    SimpsonCheck
        Undecided where one of the slopes is not known: fewer than three images, or a cause that is the same everywhere
        in an image.

    References
    ----------
    E. H. Simpson, J. R. Stat. Soc. B 13, 238 (1951). J. Pearl, Am. Stat. 68, 8 (2014).
    Y. Mundlak, Econometrica 46, 69 (1978).

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe
    >>> from tusi.datasets.causal_images import ImageSeries, image_series
    >>> rng = np.random.default_rng(0)
    >>> found = simpson_check(image_series(ImageSeries(), FieldRecipe(), rng=rng), cause="x", effect="y")
    >>> found.verdict, found.flagged, found.between.freedom
    ('reversal', True, 2.0)
    """
    check_pair(table, cause, effect)
    if not 0 < level < 1:
        raise InputError("level", expected="a p-value between 0 and 1", got=str(level))
    if table.n_images < 2:
        raise InputError("table", expected="at least two images", got="one", then="Ask for `within_slope` alone.")
    within = within_slope(table, cause=cause, effect=effect, detrending=detrending)
    level_kept = within if detrending is None else within_slope(table, cause=cause, effect=effect)
    between = between_slope(table, cause=cause, effect=effect)
    return SimpsonCheck(
        within=within,
        between=between,
        pooled=pooled_with(level_kept, table),
        p_value=_p_value(within, between),
        level=level,
    )


def simpson_checks(
    table: CausalTable, *, knowledge: Knowledge | None = None, level: float = 0.05, detrending: Detrending | None = None
) -> tuple[SimpsonCheck, ...]:
    """Compare slopes within and between images for every pair of variables that vary within images.

    Parameters
    ----------
    table
        At least two images.
    knowledge
        What may cause what; a pair that may go either way is looked at both ways.
    level
        P-value up to which the slopes of one pair are called different.
    detrending
        What is taken out within images.

    Returns
    -------
    tuple[SimpsonCheck, ...]
        Surest differences first.

    Examples
    --------
    >>> from tusi.datasets.causal_fields import FieldRecipe
    >>> from tusi.datasets.causal_images import ImageSeries, image_series
    >>> table = image_series(ImageSeries(), FieldRecipe(), rng=np.random.default_rng(0))
    >>> checks = simpson_checks(table, knowledge=Knowledge(tiers=(("x",), ("y",))))
    >>> [(one.within.cause, one.within.effect, one.verdict) for one in checks]
    [('x', 'y', 'reversal')]
    """
    allowed = (knowledge or Knowledge()).allowed(table.names)
    inside = [k for k, name in enumerate(table.names) if name not in table.between]
    checks = [
        simpson_check(table, cause=table.names[i], effect=table.names[j], level=level, detrending=detrending)
        for i, j in itertools.permutations(inside, 2)
        if allowed[i, j]
    ]
    return tuple(sorted(checks, key=lambda one: (np.isnan(one.p_value), one.p_value)))


def _p_value(within: Slope, between: Slope) -> float:
    freedom = min(within.freedom, between.freedom)
    difference, error = abs(between.estimate - within.estimate), np.hypot(within.standard_error, between.standard_error)
    if not freedom > 0 or not np.isfinite(error):
        return float("nan")
    if error == 0:
        return float(difference == 0)
    return float(2 * stats.t.sf(difference / error, freedom))


def _direction(slope: Slope) -> str:
    return "rises" if slope.estimate > 0 else "falls"
