"""Evidence in time: samples are counted by what is new in each frame, which does not last as the variables do."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.causal.measurement import LEAST_RELIABILITY
from tusi.causal.panel import FrameLags
from tusi.causal.posterior.evidence import GaussianEvidence, Standardised, pair_size
from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class InnovationEvidence(GaussianEvidence):
    """`GaussianEvidence` of a table that holds the past of its variables as columns of their own.

    Given the past, what is new in a frame does not depend on what was new before, however long the variables last. So
    the effective samples of each frame add up, those of pairs of what is new, and of what is new with the past. Assumes
    that the past in the table is long enough for that.

    Attributes
    ----------
    n_present
        Columns of the present; those of the past follow. The images of the table are the frames.

    Examples
    --------
    >>> from tusi.causal.panel import lagged_table
    >>> from tusi.datasets.causal_fields import FieldRecipe
    >>> from tusi.datasets.causal_images import autoregressive_movie
    >>> movie = autoregressive_movie(0.9 * np.eye(2)[None], FieldRecipe(shape=(16, 16)), n_frames=12,
    ...                              rng=np.random.default_rng(0))
    >>> table = lagged_table(movie).table
    >>> InnovationEvidence(n_present=2).samples(table)[1] > 0.9 * len(table)
    True
    """

    n_present: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_present < 1:
            raise InputError("n_present", expected="at least one column of the present", got=str(self.n_present))

    def _sizes(self, standard: Standardised) -> Float[np.ndarray, " pair"]:
        n_columns = standard.value.shape[1]
        if not self.n_present < n_columns:
            raise InputError("table", expected="columns of the past after those of the present", got="none")
        lags = FrameLags(standard.layout)
        past = range(self.n_present, n_columns)
        new = [_left(standard, k, list(past)) for k in range(self.n_present)]
        before = [_left(standard, k, [other for other in past if other != k]) for k in past]
        sums = [lags.sums(value) for value, _ in (*new, *before)]
        return np.array([
            pair_size(
                float((one @ one) * (other @ other)), lags.variance_of_products(sums[i], sums[j]), len(one)
            ) * real * true
            for i, (one, real) in enumerate(new)
            for j, (other, true) in enumerate((*new, *before)) if j > i
        ])  # fmt: skip


def _left(standard: Standardised, place: int, given: list[int]) -> tuple[Float[np.ndarray, " row"], float]:
    """Return what is left of a variable after regression on others, and the share of it that is not error."""
    combination = np.zeros(standard.value.shape[1])
    combination[place] = 1.0
    if given:
        inside = standard.correlation[np.ix_(given, given)]
        slope = np.linalg.lstsq(inside, standard.correlation[given, place], rcond=1e-10)[0]
        root = np.sqrt(standard.reliable)
        combination[given] = -slope * root[place] / root[given]
    value = standard.value @ combination
    error = combination @ standard.error @ combination
    return value, max(float(1 - error / np.mean(value**2)), LEAST_RELIABILITY)
