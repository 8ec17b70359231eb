"""Bayesian linear unmixing: end members, abundances with intervals, the noise, and how many end members there are."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import chi2

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.structure.unmixing.expectation import EVEN_SHARES
from tusi.structure.unmixing.noise import FeatureNoise
from tusi.structure.unmixing.posterior import abundance_posterior
from tusi.structure.unmixing.selection import select_number
from tusi.structure.unmixing.vertices import checked_data

_MISFIT, _NEARLY_PURE = 1e-6, 0.95
_LEAST_WINDOWS = 8

MIXED, UNEXPLAINED = -1, -2
"""What `BayesianMixture.inside` says of windows that lie inside no end member."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BayesianUnmixing:
    """Choices of Bayesian linear unmixing.

    Attributes
    ----------
    numbers
        Numbers of end members to choose from, rising.
    level
        Probability of the intervals.

    Examples
    --------
    >>> BayesianUnmixing(numbers=(2,))
    BayesianUnmixing(numbers=(2,), level=0.9)
    """

    numbers: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    level: float = 0.9

    def __post_init__(self) -> None:
        if not self.numbers or min(self.numbers) < 1 or list(self.numbers) != sorted(set(self.numbers)):
            raise InputError("numbers", expected="rising numbers from 1", got=str(self.numbers))
        if not 0 < self.level < 1:
            raise InputError("level", expected="a probability between 0 and 1", got=str(self.level))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BayesianMixture(Record):
    """Windows as mixtures of end members, none negative and of sum one, with what is known of each.

    Attributes
    ----------
    end_member, end_member_error
        Features of each end member and their standard errors; the end member that fills most windows first.
    abundance
        Posterior mean of each window's abundances.
    covariance
        Their posterior covariance.
    low, high
        Ends of the interval of each abundance, with probability `level`.
    inside
        The end member that fills the window; -1 where the window is mixed, as over an interface, and -2 where no
        mixture of end members explains it.
    inside_probability
        Probability that the window is filled by one end member, but for a trace of less than 2 %.
    misfit
        Probability of a larger misfit than the best mixture's.
    noise_factor
        Variance of each feature inside each end member, over what the noise model said; the
        variance itself where there was none.
    number, log_evidence
        Numbers of end members tried, and the log evidence of each, the largest being 0; minus infinity where an end
        member had no windows of its own or was a mixture of others.
    level
        Probability of the intervals.
    """

    format_name: ClassVar[str] = "bayesian-mixture"
    row: ClassVar[str] = "window"

    end_member: Float[np.ndarray, "end_member feature"] = array("end_member", "feature")
    end_member_error: Float[np.ndarray, "end_member feature"] = array("end_member", "feature")
    abundance: Float[np.ndarray, "window end_member"] = array("window", "end_member")
    covariance: Float[np.ndarray, "window end_member end_member"] = array("window", "end_member", "end_member_")
    low: Float[np.ndarray, "window end_member"] = array("window", "end_member")
    high: Float[np.ndarray, "window end_member"] = array("window", "end_member")
    inside: Int[np.ndarray, " window"] = array("window", dtype=np.int64)
    inside_probability: Float[np.ndarray, " window"] = array("window")
    misfit: Float[np.ndarray, " window"] = array("window")
    noise_factor: Float[np.ndarray, "end_member feature"] = array("end_member", "feature")
    number: Int[np.ndarray, " candidate"] = array("candidate", dtype=np.int64)
    log_evidence: Float[np.ndarray, " candidate"] = array("candidate")
    level: float

    @property
    def n_end_members(self) -> int:
        """How many end members there are, by the evidence."""
        return len(self.end_member)

    @property
    def mixed(self) -> Bool[np.ndarray, " window"]:
        """Windows that hold several end members: interfaces."""
        return self.inside == MIXED

    @property
    def unexplained(self) -> Bool[np.ndarray, " window"]:
        """Windows that no mixture of the end members explains."""
        return self.inside == UNEXPLAINED

    @property
    def number_probability(self) -> Float[np.ndarray, " candidate"]:
        """Probability of each number of end members, all tried ones being equally probable before."""
        return np.exp(self.log_evidence) / np.exp(self.log_evidence).sum()


def unmix_bayesian(
    data: Float[np.ndarray, "window feature"],
    *,
    rng: np.random.Generator,
    settings: BayesianUnmixing = BayesianUnmixing(),
    noise: FeatureNoise | None = None,
    shared: float = 1.0,
    edge_shares: Float[np.ndarray, " quantile"] = EVEN_SHARES,
) -> BayesianMixture:
    """Unmix data into end members on a simplex, with intervals, the noise level, and the number of end members.

    The model is linear: features are sums of end members, weighted by abundances that are not negative and have the
    sum one, with normal noise of a variance that the data give. End members are those of the largest likelihood
    averaged over where each window may lie: at a vertex, along an edge, or elsewhere. Their number is the one of the
    largest evidence. The abundances of a window are then sampled under an even prior on the simplex. Assumes that
    each end member fills some windows wholly. What differs from a joint sampling of everything is said in the
    documentation.

    Parameters
    ----------
    data
        One row for each window.
    rng
        Source of randomness.
    settings
        Numbers of end members to choose from, and the level of the intervals.
    noise
        How the variance depends on feature, window and mean, up to a factor for each feature; all equal by default.
    shared
        Windows per independent window, where they share pixels (`SlidingWindows.shared_power`).
    edge_shares
        Abundances to expect in windows with two end members: quantiles, evenly spaced in probability from 0 to 1
        (`SlidingWindows.interface_shares`); all equally likely by default.

    Returns
    -------
    BayesianMixture
        End members, abundances, intervals, and what each window is.

    Raises
    ------
    InputError
        Data that are not finite, fewer than eight windows or two for each end member, or quantiles that do not rise
        from 0 to 1.

    References
    ----------
    N. Dobigeon, S. Moussaoui, M. Coulon, J.-Y. Tourneret, A. O. Hero, IEEE Trans. Signal Process. 57, 4355 (2009).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> data = np.eye(3)[rng.integers(3, size=300)] @ rng.random((3, 10)) + 0.05 * rng.standard_normal((300, 10))
    >>> found = unmix_bayesian(data, rng=rng)
    >>> found.n_end_members, bool((found.inside >= 0).all())
    (3, True)
    """
    values = checked_data(data, 1)
    if len(values) < _LEAST_WINDOWS:
        raise InputError("data", expected=f"at least {_LEAST_WINDOWS} windows", got=str(len(values)))
    if noise is not None and (len(noise.constant) != values.shape[1] or len(noise.scale) != len(values)):
        raise InputError("noise", expected=f"noise of data of shape {values.shape}",
                         got=f"({len(noise.scale)}, {len(noise.constant)})")  # fmt: skip
    if edge_shares[0] != 0 or edge_shares[-1] != 1 or not (np.diff(edge_shares) > 0).all():
        raise InputError("edge_shares", expected="quantiles that rise from 0 to 1", got=str(edge_shares))
    if settings.numbers[0] > len(values) // 2:
        raise InputError("numbers", expected=f"at most {len(values) // 2} end members for {len(values)} windows",
                         got=str(settings.numbers), then="Take smaller windows or steps.")  # fmt: skip
    unit = max(float(np.abs(values).max()), np.finfo(float).tiny)
    if noise is None:
        scaled, variance_unit = FeatureNoise.uniform(values.shape), unit**2
    else:
        scaled = dataclasses.replace(noise, constant=noise.constant / unit**2, slope=noise.slope / unit)
        variance_unit = 1.0
    selection = select_number(
        values / unit, noise=scaled, numbers=settings.numbers, shared=shared, edge_shares=edge_shares, rng=rng
    )
    fit = selection.best.sorted()
    posterior = abundance_posterior(values / unit, fit, noise=scaled, shared=shared, level=settings.level, rng=rng)
    misfit = chi2.sf(posterior.misfit, max(values.shape[1] - fit.n_vertices + 1, 1))
    pure = fit.filled.sum(axis=1)
    inside = np.where(pure >= 0.5, fit.filled.argmax(axis=1), MIXED)
    alone = (fit.place[:, -1] > 0.5) & (posterior.best.max(axis=1) > _NEARLY_PURE)
    inside[alone] = posterior.best[alone].argmax(axis=1)
    inside[(misfit < _MISFIT) & (pure < 0.5)] = UNEXPLAINED
    return BayesianMixture(
        end_member=unit * fit.end_member,
        end_member_error=unit * np.sqrt(shared / fit.precision),
        abundance=posterior.mean,
        covariance=posterior.covariance,
        low=posterior.interval[..., 0],
        high=posterior.interval[..., 1],
        inside=inside,
        inside_probability=pure,
        misfit=misfit,
        noise_factor=variance_unit * fit.factor,
        number=np.array(settings.numbers[: len(selection.fits)]),
        log_evidence=selection.log_evidence - selection.log_evidence.max(),
        level=settings.level,
    )
