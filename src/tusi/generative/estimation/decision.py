"""How much would decide it: sites for a test to find the difference of two models, and what to measure next."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2, norm

from tusi.errors import InputError
from tusi.generative.estimation.information import Condition, StatisticsAt, statistics_at
from tusi.generative.lattice.model import LatticeModel

SAME = 1e-8
"""Share of a statistic's variance that may be left over where it is a combination of others."""

MOST_SITES = 1e12
"""Sites beyond which two models are called indistinguishable."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecisionTarget:
    """What a test is to reach.

    Attributes
    ----------
    power
        Probability that it rejects the smaller model where the larger one is true.
    level
        Probability that it rejects the smaller model where that is true.
    n_seen
        Random sites that were seen already.

    Examples
    --------
    >>> DecisionTarget(power=0.9).level
    0.05
    """

    power: float = 0.8
    level: float = 0.05
    n_seen: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < self.power < 1:
            raise InputError("power", expected="more than the level, both between 0 and 1", got=f"{self}")
        if self.n_seen < 0:
            raise InputError("n_seen", expected="a number of sites", got=str(self.n_seen))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DataToDecide:
    """How many sites let a likelihood-ratio test tell two models apart.

    Attributes
    ----------
    smaller, larger
        Their names; the larger one is taken as true.
    degrees
        Couplings that the larger one has more; 0 where neither contains the other.
    noncentrality
        Twice the expected log-likelihood ratio to the closest smaller model, per site.
    noncentrality_error
        Its standard error from the finite number of samples.
    target
        Power and level, and the sites seen already.
    n_sites
        Sites in all that reach the power; infinite where the models cannot be told apart.
    """

    smaller: str
    larger: str
    degrees: int
    noncentrality: float
    noncentrality_error: float
    target: DecisionTarget
    n_sites: float

    @property
    def additional_sites(self) -> float:
        """Sites beyond those seen already."""
        return max(self.n_sites - self.target.n_seen, 0.0)

    def power(self, n_sites: Float[np.ndarray, "*batch"] | float) -> Float[np.ndarray, "*batch"]:
        """Return the power of the test with so many sites."""
        return _power(np.asarray(n_sites, dtype=np.float64) * self.noncentrality, self.degrees, self.target.level)

    def __str__(self) -> str:
        if not np.isfinite(self.n_sites):
            return f"No number of sites tells {self.larger} from {self.smaller} at these couplings."
        now = float(self.power(float(self.target.n_seen))) if self.target.n_seen else self.target.level
        if self.additional_sites == 0:
            return f"The {self.target.n_seen} sites suffice: the test finds {self.larger} with probability {now:.2f}."
        more = _about(self.additional_sites)
        return (
            f"{more[0].upper()}{more[1:]} more sites ({_about(self.n_sites)} in all) let a test at level "
            f"{self.target.level:g} tell {self.larger} from {self.smaller} with probability {self.target.power:g}; "
            f"now it is {now:.2f}."
        )


def _about(count: float) -> str:
    """Return a count in a sentence: exact below a hundred, else to two figures."""
    return f"{count:.0f}" if count < 100 else f"about {float(f'{count:.2g}'):,.0f}"


def data_to_decide(
    smaller: LatticeModel,
    larger: LatticeModel,
    *,
    couplings: Float[np.ndarray, " parameter"],
    condition: Condition,
    rng: np.random.Generator,
    target: DecisionTarget | None = None,
) -> DataToDecide:
    """Return how many sites decide between two models if the larger one is true with these couplings.

    The noncentrality per site is the variance of the larger model's energy that the smaller model's statistics leave
    unexplained (the Schur complement of the information). For nested models it is taken a third of the way to the
    closest smaller model, which is exact to second order in their difference. Nested models are compared by the
    likelihood ratio with chi-square limits; others by their likelihood ratio against its distribution under the
    smaller one, which is Gaussian of variance equal to the noncentrality.

    Parameters
    ----------
    smaller, larger
        Two models of the same species; the smaller one may have no terms (the random alloy).
    couplings
        Couplings of the larger one, in kT of the reference temperature.
    condition
        Crystal, composition and temperature of the images to come.
    rng
        Source of randomness.
    target
        Power, level, and what was seen already.

    Returns
    -------
    DataToDecide
        Sites, and the power of any number of them.

    Raises
    ------
    InputError
        Models of different species, or couplings that do not fit.

    References
    ----------
    A. Wald, *Trans. Am. Math. Soc.* 54, 426 (1943); D. R. Cox, *J. R. Stat. Soc. B* 24, 406 (1962).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, periodic_sites
    >>> where = Condition(sites=periodic_sites(SQUARE, (16, 16)))
    >>> found = data_to_decide(
    ...     ising(field=False), ising(shells=2, field=False), couplings=np.array([0.1, 0.05]), condition=where,
    ...     rng=np.random.default_rng(1),
    ... )
    >>> found.degrees, bool(1000 < found.n_sites < 3000)
    (1, True)
    """
    target = target or DecisionTarget()
    if smaller.n_species != larger.n_species:
        raise InputError("smaller", expected=f"{larger.n_species} species", got=str(smaller.n_species))
    weights = larger.check_couplings(couplings)
    drawn = statistics_at([larger, smaller], weights, condition=condition, rng=rng)
    degrees, closest = _nesting(drawn, weights)
    if degrees:
        nearer = weights + (closest - weights) / 3
        drawn = statistics_at([larger, smaller], nearer, condition=condition, rng=rng)
    noncentrality, error = _noncentrality(drawn, condition.temperature_ratio * weights)
    n_sites = needed_noncentrality(target, degrees) / noncentrality if noncentrality > 1 / MOST_SITES else np.inf
    return DataToDecide(
        smaller=smaller.name,
        larger=larger.name,
        degrees=degrees,
        noncentrality=noncentrality,
        noncentrality_error=error,
        target=target,
        n_sites=float(np.ceil(n_sites)),
    )


def needed_noncentrality(target: DecisionTarget, degrees: int) -> float:
    """Return the noncentrality at which a likelihood-ratio test reaches a power.

    Parameters
    ----------
    target
        Power and level.
    degrees
        Degrees of freedom; 0 for models of which neither contains the other.

    Examples
    --------
    >>> round(needed_noncentrality(DecisionTarget(), 1), 3)
    7.849
    """
    if not degrees:
        return float((norm.isf(target.level) + norm.ppf(target.power)) ** 2)
    return float(brentq(lambda size: _power(size, degrees, target.level) - target.power, 1e-9, 1e4))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NextCondition:
    """Candidate conditions in the order of what their images would tell.

    Attributes
    ----------
    conditions
        The candidates, the best first.
    criterion
        What they are ranked by: the power of the test, or nats of information about the couplings.
    value
        The criterion of each.
    noncentrality
        Expected noncentrality of the hardest test, of all sites; NaN where only one model is asked about.
    information
        Expected gain of information about the couplings of the true model, in nats.
    n_sites
        Random sites of the images to come.
    sentence
        The advice in words.
    """

    conditions: tuple[Condition, ...]
    criterion: str
    value: Float[np.ndarray, " candidate"]
    noncentrality: Float[np.ndarray, " candidate"]
    information: Float[np.ndarray, " candidate"]
    n_sites: int
    sentence: str

    @property
    def best(self) -> Condition:
        """The candidate to measure."""
        return self.conditions[0]

    def __str__(self) -> str:
        rows = [
            f"{condition}: {self.criterion} {value:.3g}"
            for condition, value in zip(self.conditions, self.value, strict=True)
        ]
        return "\n".join([self.sentence, *rows])


def best_next_condition(
    models: Sequence[LatticeModel],
    couplings: Float[np.ndarray, " parameter"],
    *,
    candidates: Sequence[Condition],
    n_sites: int,
    rng: np.random.Generator,
    covariance: Float[np.ndarray, "parameter parameter"] | None = None,
) -> NextCondition:
    """Rank compositions and temperatures by what images taken there would tell.

    With several models: by the power of the test that tells the first from the one that is hardest to tell from it.
    With one: by the information that is gained about its couplings beyond their present covariance.

    Parameters
    ----------
    models
        The model that is taken as true, then its rivals.
    couplings
        Couplings of the first, in kT of the reference temperature.
    candidates
        Conditions to choose from.
    n_sites
        Random sites of the images to come.
    rng
        Source of randomness.
    covariance
        What is known of the couplings now, in kT squared; one kT each where it is None.

    Returns
    -------
    NextCondition
        The candidates, the best first, and a sentence.

    Raises
    ------
    InputError
        No models or candidates, no sites, or a covariance that does not fit.

    References
    ----------
    D. V. Lindley, *Ann. Math. Stat.* 27, 986 (1956).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, periodic_sites
    >>> sites = periodic_sites(SQUARE, (12, 12))
    >>> hot, near = (Condition(sites=sites, temperature_ratio=r, name=n) for r, n in ((0.5, "hot"), (1.0, "near Tc")))
    >>> advice = best_next_condition(
    ...     [ising(field=False)], np.array([0.4]), candidates=[hot, near], n_sites=400, rng=np.random.default_rng(1)
    ... )
    >>> str(advice.best)
    'near Tc'
    """
    if not models or not candidates or n_sites <= 0:
        raise InputError(
            "candidates", expected="models, conditions and sites", got=f"{len(models)}, {len(candidates)}, {n_sites}"
        )
    weights = models[0].check_couplings(couplings)
    known = np.eye(len(weights)) if covariance is None else np.asarray(covariance, dtype=np.float64)
    if known.shape != (len(weights), len(weights)):
        raise InputError("covariance", expected=f"{len(weights)} x {len(weights)}", got=str(known.shape))
    rows = [_promise(models, weights, condition, (known, n_sites), rng) for condition in candidates]
    power, noncentrality, information = (np.array(column) for column in zip(*rows, strict=True))
    value = power if len(models) > 1 else information
    order = np.argsort(-value, kind="stable")
    if len(models) > 1 and np.ptp(value) < 1e-3:
        order = np.argsort(-noncentrality, kind="stable")
    best = candidates[order[0]]
    others = " or ".join(model.name for model in models[1:])
    gain = (
        f"{n_sites} sites at {best} tell {models[0].name} from {others} with probability {value[order[0]]:.2f}"
        if others
        else f"{n_sites} sites at {best} tell {value[order[0]]:.2f} nats about the couplings"
    )
    return NextCondition(
        conditions=tuple(candidates[k] for k in order),
        criterion="power" if others else "nats",
        value=value[order],
        noncentrality=noncentrality[order],
        information=information[order],
        n_sites=n_sites,
        sentence=f"{gain}; the least useful candidate, {candidates[order[-1]]}, {value[order[-1]]:.2f}.",
    )


def _promise(
    models: Sequence[LatticeModel],
    weights: np.ndarray,
    condition: Condition,
    have: tuple[np.ndarray, int],
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Return the power and noncentrality of the hardest test at a condition, and the information gained."""
    known, n_sites = have
    drawn = statistics_at(models, weights, condition=condition, rng=rng)
    own = drawn.owner == 0
    information = condition.temperature_ratio**2 * drawn.covariance[np.ix_(own, own)]
    gain = 0.5 * np.linalg.slogdet(np.eye(len(weights)) + n_sites * known @ information)[1]
    powers, sizes = [], []
    for rival in range(1, len(models)):
        columns = own | (drawn.owner == rival)
        pair = StatisticsAt(
            statistics=drawn.statistics[..., columns], owner=drawn.owner[columns], n_sites=drawn.n_sites
        )
        degrees, _ = _nesting(pair, weights)
        sizes.append(n_sites * _noncentrality(pair, condition.temperature_ratio * weights)[0])
        powers.append(float(_power(sizes[-1], degrees, DecisionTarget().level)))
    return min(powers, default=np.nan), min(sizes, default=np.nan), float(gain)


def _power(noncentrality: Float[np.ndarray, "*batch"] | float, degrees: int, level: float) -> np.ndarray:
    """Return the power of a likelihood-ratio test."""
    size = np.asarray(noncentrality, dtype=np.float64)
    if not degrees:
        return norm.sf(norm.isf(level) - np.sqrt(size))
    return np.where(size > 0, ncx2.sf(chi2.isf(level, degrees), degrees, np.maximum(size, 1e-12)), level)


def _nesting(drawn: StatisticsAt, weights: np.ndarray) -> tuple[int, np.ndarray]:
    """Return how many couplings the true model has more than its rival, and its couplings closest to the rival.

    The rival is nested where its statistics are combinations of the true model's; otherwise there are 0 more.
    """
    own = drawn.owner == 0
    covariance = drawn.covariance
    inner, cross, other = (covariance[np.ix_(a, b)] for a, b in ((own, own), (~own, own), (~own, ~own)))
    mixing = cross @ np.linalg.pinv(inner, rcond=SAME, hermitian=True)
    left = np.diag(other - mixing @ cross.T)
    if (left > SAME * np.maximum(np.diag(other), 1e-300)).any():
        return 0, weights
    n_more = _rank(inner) - _rank(other)
    if n_more == 0:
        return 0, weights
    return n_more, mixing.T @ (np.linalg.pinv(other, rcond=SAME, hermitian=True) @ (cross @ weights))


def _rank(covariance: np.ndarray) -> int:
    return int(np.linalg.matrix_rank(covariance, tol=SAME * max(np.trace(covariance), 1e-300), hermitian=True))


def _noncentrality(drawn: StatisticsAt, weights: np.ndarray) -> tuple[float, float]:
    """Return the variance per site of the energy that the rival's statistics do not explain, and its error."""
    own = drawn.owner == 0
    covariance = drawn.covariance
    explained = np.linalg.pinv(covariance[np.ix_(~own, ~own)], rcond=SAME, hermitian=True)
    contrast = np.zeros(len(own))
    contrast[own] = weights
    contrast[~own] = -explained @ covariance[np.ix_(~own, own)] @ weights
    value = max(float(contrast @ covariance @ contrast), 0.0)
    scale = float(weights @ covariance[np.ix_(own, own)] @ weights)
    blocks = np.einsum("i,bij,j->b", contrast, drawn.blocks, contrast)
    return value if value > SAME * scale else 0.0, float(blocks.std(ddof=1) / np.sqrt(len(blocks)))
