"""A mixture of normal classes of column intensity under a slowly varying factor: fit, evidence, posterior average.

The intensity of column j is g(r_j) (mu_k + class spread) + measurement noise for its unknown class k. The factor g is a
polynomial of low degree in the position with mean one: thickness, tilt, focus. Arrays in, arrays out; species and
sublattices are `tusi.structure.species`.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.numerics.normal_mixture import (
    class_excess,
    class_means,
    draw_labels,
    expectation,
    factor_equations,
    legendre_terms,
    normal_log_density,
)

_ITERATIONS, _TOLERANCE = 200, 1e-3
"""Most steps of expectation-maximisation, and the change of the log-posterior at which it stops."""

_FLOOR = 0.1
"""Smallest slowly varying factor, and smallest class deviation as a share of the expected one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixturePrior:
    """What is known of the classes before the image is seen.

    Attributes
    ----------
    relative_spread
        Expected class standard deviation as a share of the class mean, and the weight of that expectation in columns.
    shared_spread
        Weight, in columns, of the expectation that all classes have the same relative spread.
    log_ratio
        Expected logarithm of the ratio of successive class means, and its standard deviation.
    concentration
        Dirichlet weight of each class.
    """

    relative_spread: tuple[float, float] = (0.08, 5.0)
    shared_spread: float = 20.0
    log_ratio: tuple[float, float] = (0.5, 0.5)
    concentration: float = 1.0

    def log_density(self, mean: Float[np.ndarray, " class"], deviation: Float[np.ndarray, " class"]) -> float:
        """Return the log-prior of ascending class means and their deviations, zero at its mode.

        A class without columns has no mean: it is given as zero, and impossible.
        """
        if not mean.all():
            return -np.inf
        spread, weight = self.relative_spread
        ratio = (spread * mean / deviation) ** 2
        value = 0.5 * weight * float((np.log(ratio) - ratio + 1.0).sum())
        if len(mean) > 1 and mean[0] > 0:
            expected, width = self.log_ratio
            value -= 0.5 * float((((np.diff(np.log(mean)) - expected) / width) ** 2).sum())
        return value


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """A fitted mixture.

    Attributes
    ----------
    fraction, mean, deviation
        Weight, mean and standard deviation (measurement noise removed) of each class, dimmest class first.
    degree
        Polynomial degree of the slowly varying factor.
    coefficient
        Coefficients of its terms (the constant one is fixed to 1).
    responsibility
        Probability of each class for each column, at the fitted parameters.
    log_posterior
        Log-likelihood plus log-prior at the fit.
    prior
        The prior, with the relative spread that the classes were found to share.
    """

    fraction: Float[np.ndarray, " class"]
    mean: Float[np.ndarray, " class"]
    deviation: Float[np.ndarray, " class"]
    degree: int
    coefficient: Float[np.ndarray, " term"]
    responsibility: Float[np.ndarray, "atom class"]
    log_posterior: float
    prior: MixturePrior

    @property
    def log_evidence(self) -> float:
        """Schwarz's approximation of the log-evidence: three parameters a class, less a sum rule, and the factor's."""
        n_parameters = 3 * len(self.mean) - 1 + len(self.coefficient)
        return self.log_posterior - 0.5 * n_parameters * float(np.log(len(self.responsibility)))

    def factor(self, position: Float[np.ndarray, "atom 2"]) -> Float[np.ndarray, " atom"]:
        """Return the slowly varying factor at the columns that were fitted; its mean is one."""
        return _factor(legendre_terms(position, self.degree), self.coefficient)


def fit_mixtures(
    intensity: Float[np.ndarray, " atom"],
    variance: Float[np.ndarray, " atom"],
    position: Float[np.ndarray, "atom 2"],
    *,
    n_classes: int,
    highest_degree: int,
    prior: MixturePrior,
) -> list[Mixture]:
    """Fit one mixture for each polynomial degree of the slowly varying factor, from 0 up.

    Expectation-maximisation of the posterior: with a constant factor from several starts, of which the best two are
    carried on to higher degrees. The relative spread that the classes have in common, found in a first pass, is what a
    second pass expects of each class, so that a class with few columns is not free to be as wide as it likes.

    Parameters
    ----------
    intensity, variance
        Column intensities and the variances of their measurement, in any unit.
    position
        (y, x) of the columns, in any unit of length.
    n_classes
        How many classes.
    highest_degree
        Highest polynomial degree; degrees with more terms than a quarter of the columns are left out.
    prior
        Weak expectations that keep classes with few columns sensible.

    Returns
    -------
    list of Mixture
        The mode of the posterior for degree 0, 1, ...
    """
    starts = [_split(intensity, shares) for shares in _starting_shares(n_classes)]
    fits: list[Mixture] = []
    for degree in range(highest_degree + 1):
        terms = legendre_terms(position, degree)
        if 4 * terms.shape[1] > len(intensity):
            break
        columns = _Columns(intensity=intensity, variance=variance, terms=terms)
        found = [_maximise(columns, start, degree=degree, prior=prior) for start in starts]
        found.sort(key=lambda fit: -fit.log_posterior)
        starts = [fit.responsibility for fit in found[:2]]
        pooled = float(np.sqrt((found[0].fraction * (found[0].deviation / found[0].mean) ** 2).sum()))
        shared = dataclasses.replace(prior, relative_spread=(pooled, prior.shared_spread))
        fits.append(_maximise(columns, starts[0], degree=degree, prior=shared))
    return fits


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MixtureAverage:
    """Averages over the posterior of a mixture's parameters: what a column's class is when they are uncertain too.

    Attributes
    ----------
    probability
        Posterior probability of each class for each column.
    observed_fraction
        Sampled shares of the columns in each class: the composition of this window.
    """

    probability: Float[np.ndarray, "atom class"]
    observed_fraction: Float[np.ndarray, "draw class"]


def average_mixture(
    mixture: Mixture,
    intensity: Float[np.ndarray, " atom"],
    variance: Float[np.ndarray, " atom"],
    position: Float[np.ndarray, "atom 2"],
    *,
    rng: np.random.Generator,
    n_draws: int = 800,
) -> MixtureAverage:
    """Average over the posterior of fractions, means, deviations and the slowly varying factor by Gibbs sampling.

    Means and deviations are moved by Metropolis steps at their conditional scale, as the measurement variance differs
    from column to column. The chain starts at the fit; its first fifth is discarded on top of `n_draws`.

    Parameters
    ----------
    mixture
        The fitted mixture.
    intensity, variance, position
        The columns that were fitted.
    rng
        Source of randomness.
    n_draws
        Draws kept.

    Returns
    -------
    MixtureAverage
        Mean probabilities and draws of the composition.
    """
    columns = _Columns(intensity=intensity, variance=variance, terms=legendre_terms(position, mixture.degree))
    n_burn, n_classes = n_draws // 5, len(mixture.mean)
    state = dataclasses.replace(mixture, mean=mixture.mean.copy(), deviation=mixture.deviation.copy())
    probability, shares = np.zeros((len(intensity), n_classes)), np.empty((n_draws, n_classes))
    responsibility = np.empty((len(intensity), n_classes))
    label, hard = np.zeros(len(intensity), np.int64), np.zeros((len(intensity), n_classes))
    for draw in range(-n_burn, n_draws):
        corrected, corrected_variance = columns.corrected(state.coefficient)
        expectation(corrected, corrected_variance, state.fraction, state.mean, state.deviation, responsibility)
        draw_labels(responsibility, rng.random(len(intensity)), label, hard)
        count = hard.sum(axis=0)
        for k in range(n_classes):
            _move_class(state, k, corrected, corrected_variance, member=label == k, rng=rng)
        state = dataclasses.replace(
            state,
            fraction=rng.dirichlet(count + mixture.prior.concentration),
            coefficient=columns.draw_coefficient(hard, state, rng) if draw % 4 == 0 else state.coefficient,
        )
        if draw >= 0:
            probability += responsibility
            shares[draw] = count / len(intensity)
    return MixtureAverage(probability=probability / n_draws, observed_fraction=shares)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Columns:
    """What is fitted: intensities, their measurement variances, and the terms of the slowly varying factor."""

    intensity: Float[np.ndarray, " atom"]
    variance: Float[np.ndarray, " atom"]
    terms: Float[np.ndarray, "atom term"]

    def corrected(self, coefficient: Float[np.ndarray, " term"]) -> tuple[np.ndarray, np.ndarray]:
        """Return intensities and variances with the factor divided out."""
        gain = _factor(self.terms, coefficient)
        return self.intensity / gain, self.variance / gain**2

    def equations(
        self, responsibility: np.ndarray, mean: np.ndarray, deviation: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the normal equations of the factor's coefficients, with a weak ridge."""
        columns = np.stack([self.intensity, self.variance])
        normal, right = factor_equations(columns, self.terms, responsibility, mean, deviation)
        return normal + 1e-6 * np.trace(normal) * np.eye(len(normal)), right

    def draw_coefficient(
        self, hard: Float[np.ndarray, "atom class"], state: "Mixture", rng: np.random.Generator
    ) -> Float[np.ndarray, " term"]:
        """Draw the factor's coefficients, the labels and the classes being given."""
        if not self.terms.shape[1]:
            return state.coefficient
        normal, right = self.equations(hard, state.mean, state.deviation)
        root = np.linalg.cholesky(normal)
        return np.linalg.solve(normal, right) + np.linalg.solve(root.T, rng.standard_normal(len(right)))


def _factor(terms: Float[np.ndarray, "atom term"], coefficient: Float[np.ndarray, " term"]) -> np.ndarray:
    """Return the slowly varying factor, bounded away from zero."""
    return np.maximum(1.0 + terms @ coefficient, _FLOOR)


def _maximise(
    columns: _Columns, start: Float[np.ndarray, "atom class"], *, degree: int, prior: MixturePrior
) -> Mixture:
    """Run expectation-maximisation from class probabilities until the log-posterior stands still."""
    responsibility, n_classes = start.copy(), start.shape[1]
    coefficient = np.zeros(columns.terms.shape[1])
    deviation = np.full(n_classes, np.std(columns.intensity) + 1e-300)
    fraction, mean, previous, current = np.full(n_classes, 1 / n_classes), np.zeros(n_classes), -np.inf, -np.inf
    for _ in range(_ITERATIONS):
        corrected, variance = columns.corrected(coefficient)
        count, precision, mean = class_means(corrected, variance, responsibility, deviation)
        order = np.argsort(mean, kind="stable")
        responsibility = np.ascontiguousarray(responsibility[:, order])
        count, mean = count[order], _pull_ratios(mean[order], 1 / precision[order], prior)
        fraction = (count + prior.concentration) / (count.sum() + n_classes * prior.concentration)
        spread, weight = prior.relative_spread
        expected = (spread * np.abs(mean)) ** 2
        excess = class_excess(corrected, variance, responsibility, mean)
        deviation = np.sqrt(np.maximum((excess + weight * expected) / (count + weight), _FLOOR**2 * expected + 1e-300))
        current = expectation(corrected, variance, fraction, mean, deviation, responsibility)
        current += prior.log_density(mean, deviation) + prior.concentration * np.log(fraction).sum()
        current -= np.log(_factor(columns.terms, coefficient)).sum()
        if current == -np.inf or abs(current - previous) < _TOLERANCE:
            break
        previous = current
        if len(coefficient):
            coefficient = np.linalg.solve(*columns.equations(responsibility, mean, deviation))
    return Mixture(
        fraction=fraction,
        mean=mean,
        deviation=deviation,
        degree=degree,
        coefficient=coefficient,
        responsibility=responsibility,
        log_posterior=float(current),
        prior=prior,
    )


def _pull_ratios(
    mean: Float[np.ndarray, " class"], mean_variance: Float[np.ndarray, " class"], prior: MixturePrior
) -> Float[np.ndarray, " class"]:
    """Move ascending means that few columns support toward the expected ratio to their neighbour."""
    mean = mean.copy()
    expected, width = prior.log_ratio
    for k in range(len(mean) - 1):
        if mean[k] <= 0:
            continue
        relative = mean_variance[k : k + 2] / mean[k : k + 2] ** 2
        step = (np.log(mean[k + 1] / mean[k]) - expected) / (relative.sum() + width**2)
        mean[k : k + 2] *= np.exp(np.clip(relative * np.array([step, -step]), -0.5, 0.5))
    return np.sort(mean)


def _move_class(
    state: Mixture,
    k: int,
    corrected: Float[np.ndarray, " atom"],
    variance: Float[np.ndarray, " atom"],
    *,
    member: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Move the mean and the deviation of class k, in place, by three Metropolis steps at their conditional scale."""
    mean, deviation, n_members = state.mean, state.deviation, np.count_nonzero(member)

    def log_density() -> float:
        if mean[k] <= 0 or (np.diff(mean) <= 0).any():
            return -np.inf
        return state.prior.log_density(mean, deviation) + normal_log_density(
            corrected, variance, member, mean[k], deviation[k]
        )

    current = log_density()
    for step, threshold in zip(rng.standard_normal((3, 2)), np.log(rng.random(3)), strict=True):
        centre, width = mean[k], deviation[k]
        mean[k] += 1.7 * step[0] * width / np.sqrt(n_members + 1.0)
        deviation[k] *= np.exp(1.7 * step[1] / np.sqrt(2.0 * (n_members + state.prior.relative_spread[1])))
        proposed = log_density()
        if threshold < proposed - current + np.log(deviation[k] / width):
            current = proposed
        else:
            mean[k], deviation[k] = centre, width


def _starting_shares(n_classes: int) -> list[np.ndarray]:
    """Return sets of class shares, dimmest first, from which to start."""
    if n_classes == 1:
        return [np.ones(1)]
    if n_classes == 2:
        return [np.array([share, 1 - share]) for share in (0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97)]
    even = np.full(n_classes, 1 / n_classes)
    few_bright, few_dim = np.r_[even[1:], 0.05], np.r_[0.05, even[1:]]
    return [even, few_bright / few_bright.sum(), few_dim / few_dim.sum()]


def _split(
    intensity: Float[np.ndarray, " atom"], shares: Float[np.ndarray, " class"]
) -> Float[np.ndarray, "atom class"]:
    """Assign columns to classes by rank."""
    rank = np.argsort(np.argsort(intensity, kind="stable"), kind="stable") / len(intensity)
    label = np.minimum((rank[:, None] >= shares.cumsum()[:-1]).sum(axis=1), len(shares) - 1)
    return np.eye(len(shares))[label]
