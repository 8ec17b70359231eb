"""Does a stated probability happen as often as it says? Reliability of probabilities and coverage of intervals."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy.special import betaincinv

from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """How often events happened, binned by the probability that was stated for them.

    Attributes
    ----------
    stated
        Mean stated probability in each bin; NaN in empty bins.
    happened
        Fraction that happened; NaN in empty bins.
    low, high
        95 % interval of that fraction, from the count alone.
    n_cases
        Cases in each bin.
    """

    stated: Float[np.ndarray, " bin"]
    happened: Float[np.ndarray, " bin"]
    low: Float[np.ndarray, " bin"]
    high: Float[np.ndarray, " bin"]
    n_cases: Int[np.ndarray, " bin"]

    def worst(self, *, least_cases: int = 400) -> float:
        """Return the largest difference between stated and happened among bins with enough cases, or 0."""
        counted = self.n_cases >= least_cases
        return float(np.abs(self.stated - self.happened)[counted].max(initial=0.0))


def reliability(
    probability: Float[np.ndarray, " case"], happened: Bool[np.ndarray, " case"], *, n_bins: int = 10
) -> Reliability:
    """Bin cases by stated probability in bins of equal width and compare with what happened.

    Parameters
    ----------
    probability
        Stated probability of each case.
    happened
        Whether it happened.
    n_bins
        Bins between 0 and 1.

    Raises
    ------
    InputError
        A probability is outside [0, 1], or the lengths differ.

    Examples
    --------
    >>> table = reliability(np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, False, True, True]), n_bins=2)
    >>> table.happened.tolist(), table.n_cases.tolist()
    ([0.0, 1.0], [2, 2])
    """
    probability, happened = np.asarray(probability, float), np.asarray(happened, bool)
    if probability.shape != happened.shape:
        raise InputError("happened", expected=f"shape {probability.shape}", got=str(happened.shape))
    if len(probability) and not ((probability >= 0) & (probability <= 1)).all():
        raise InputError("probability", expected="values between 0 and 1", got="others")
    place = np.minimum((probability * n_bins).astype(int), n_bins - 1)
    n_cases = np.bincount(place, minlength=n_bins)
    n_happened = np.bincount(place, weights=happened, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        stated = np.bincount(place, weights=probability, minlength=n_bins) / n_cases
        fraction = n_happened / n_cases
    low, high = binomial_interval(n_happened, n_cases)
    return Reliability(stated=stated, happened=fraction, low=low, high=high, n_cases=n_cases)


def binomial_interval(
    n_happened: Real[np.ndarray, "*cell"] | float | np.integer,
    n_cases: Int[np.ndarray, "*#cell"] | int | np.integer,
    *,
    confidence: float = 0.95,
) -> tuple[Float[np.ndarray, "*cell"], Float[np.ndarray, "*cell"]]:
    """Return the exact (Clopper-Pearson) interval of a fraction.

    Parameters
    ----------
    n_happened, n_cases
        Successes and trials.
    confidence
        Confidence of the interval.

    Examples
    --------
    >>> low, high = binomial_interval(95, 100)
    >>> round(float(low), 3), round(float(high), 3)
    (0.887, 0.984)
    """
    n_happened, n_cases = np.asarray(n_happened, float), np.asarray(n_cases, float)
    tail = (1 - confidence) / 2
    low = np.where(n_happened > 0, betaincinv(np.maximum(n_happened, 1), n_cases - n_happened + 1, tail), 0.0)
    missed = n_cases - n_happened
    high = np.where(missed > 0, betaincinv(n_happened + 1, np.maximum(missed, 1), 1 - tail), 1.0)
    return low, high


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coverage:
    """How often intervals held the truth.

    Attributes
    ----------
    n_inside, n_cases
        Intervals that held it, and all of them.
    fraction, low, high
        Their ratio and its 95 % interval.
    """

    n_inside: int
    n_cases: int
    fraction: float
    low: float
    high: float


def coverage(interval: Float[np.ndarray, "case 2"], truth: Float[np.ndarray, " case"] | float) -> Coverage:
    """Count the intervals that hold the truth, ends included.

    Parameters
    ----------
    interval
        Low and high end of each interval; a NaN end counts as a miss.
    truth
        True value of each case, or one for all.

    Examples
    --------
    >>> coverage(np.array([[0.0, 1.0], [2.0, 3.0]]), 0.5).fraction
    0.5
    """
    inside = int(np.count_nonzero((interval[:, 0] <= truth) & (truth <= interval[:, 1])))
    low, high = binomial_interval(inside, len(interval))
    fraction = inside / len(interval) if len(interval) else float("nan")
    return Coverage(n_inside=inside, n_cases=len(interval), fraction=fraction, low=float(low), high=float(high))
