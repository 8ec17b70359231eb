"""A mixture of normal classes of column intensity under a slowly varying factor: fit, evidence, posterior sample.

The intensity of column j is g(r_j) (mu_k + class spread) + measurement noise for its unknown class k. The factor g is a
polynomial of low degree in the position with mean one: thickness, tilt, focus. Arrays in, arrays out; species and
sublattices are `tusi.structure.species`.
"""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

_ITERATIONS = 200
_TOLERANCE = 1e-6


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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """A fitted mixture.

    Attributes
    ----------
    fraction, mean, deviation
        Weight, mean and standard deviation (measurement noise removed) of each class, dimmest class first.
    coefficient
        Coefficients of the factor's polynomial terms (the constant one is fixed to 1).
    responsibility
        Probability of each class for each column, at the fitted parameters.
    log_posterior
        Log-likelihood plus log-prior at the fit.
    """

    fraction: Float[np.ndarray, " class"]
    mean: Float[np.ndarray, " class"]
    deviation: Float[np.ndarray, " class"]
    coefficient: Float[np.ndarray, " term"]
    responsibility: Float[np.ndarray, "atom class"]
    log_posterior: float

    @property
    def n_parameters(self) -> int:
        """Free parameters: three per class less the sum rule of the fractions, and the factor's terms."""
        return 3 * len(self.mean) - 1 + len(self.coefficient)

    @property
    def log_evidence(self) -> float:
        """Schwarz's approximation of the log-evidence."""
        return self.log_posterior - 0.5 * self.n_parameters * float(np.log(len(self.responsibility)))


def polynomial_terms(position: Float[np.ndarray, "atom 2"], degree: int) -> Float[np.ndarray, "atom term"]:
    """Return products of Legendre polynomials up to a total degree, constant excluded, each with mean zero.

    Examples
    --------
    >>> polynomial_terms(np.random.default_rng(0).random((9, 2)), 2).shape
    (9, 5)
    """
    low, high = position.min(axis=0), position.max(axis=0)
    scaled = 2 * (position - low) / np.maximum(high - low, 1e-12) - 1
    rows, columns = (np.polynomial.legendre.legvander(scaled[:, axis], degree) for axis in (0, 1))
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i) if i + j]
    if not powers:
        return np.empty((len(position), 0))
    terms = np.stack([rows[:, i] * columns[:, j] for i, j in powers], axis=1)
    return terms - terms.mean(axis=0)


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
        terms = polynomial_terms(position, degree)
        if 4 * terms.shape[1] > len(intensity):
            break
        found = [_maximise(intensity, variance, terms, start=start, prior=prior) for start in starts]
        found.sort(key=lambda fit: -fit.log_posterior)
        starts = [fit.responsibility for fit in found[:2]]
        pooled = np.sqrt((found[0].fraction * (found[0].deviation / found[0].mean) ** 2).sum())
        shared = dataclasses.replace(prior, relative_spread=(float(pooled), prior.shared_spread))
        fits.append(_maximise(intensity, variance, terms, start=starts[0], prior=shared))
    return fits


def factor(mixture: Mixture, terms: Float[np.ndarray, "atom term"]) -> Float[np.ndarray, " atom"]:
    """Return the slowly varying factor at each column; its mean is one."""
    return np.maximum(1.0 + terms @ mixture.coefficient, 0.1)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MixtureSample:
    """Posterior averages over the parameters of a mixture: what a column's class is when they are uncertain too.

    Attributes
    ----------
    probability
        Posterior probability of each class for each column.
    observed_fraction
        Sampled share of the columns in each class: the composition of this window.
    mean
        Sampled class means.
    """

    probability: Float[np.ndarray, "atom class"]
    observed_fraction: Float[np.ndarray, "draw class"]
    mean: Float[np.ndarray, "draw class"]


def sample_mixture(
    mixture: Mixture,
    corrected: Float[np.ndarray, " atom"],
    variance: Float[np.ndarray, " atom"],
    *,
    prior: MixturePrior,
    rng: np.random.Generator,
    n_draws: int = 600,
) -> MixtureSample:
    """Average over the posterior of fractions, means and deviations by Gibbs sampling, the factor held fixed.

    Deviations are drawn by a random-walk Metropolis step on their logarithm, as the measurement variance differs from
    column to column. The first fifth of the draws is discarded.

    Parameters
    ----------
    mixture
        The fitted mixture, from which the chain starts.
    corrected, variance
        Intensities divided by the slowly varying factor, and their measurement variances.
    prior
        The prior of the fit.
    rng
        Source of randomness.
    n_draws
        Length of the chain.

    Returns
    -------
    MixtureSample
        Averages and draws.
    """
    n_classes, n_burn = len(mixture.mean), n_draws // 5
    mean, deviation, fraction = mixture.mean.copy(), mixture.deviation.copy(), mixture.fraction.copy()
    probability = np.zeros((len(corrected), n_classes))
    fractions, means = np.empty((n_draws, n_classes)), np.empty((n_draws, n_classes))
    for draw in range(n_draws):
        responsibility = _responsibility(corrected, variance, fraction, mean, deviation)[0]
        label = (responsibility.cumsum(axis=1) < rng.random(len(corrected))[:, None]).sum(axis=1)
        label = np.minimum(label, n_classes - 1)
        counts = np.bincount(label, minlength=n_classes)
        fraction = rng.dirichlet(counts + prior.concentration)
        for k in range(n_classes):
            mean[k], deviation[k] = _draw_class(
                corrected[label == k], variance[label == k], mean, deviation, prior=prior, k=k, rng=rng
            )
        fractions[draw], means[draw] = counts / len(corrected), mean
        if draw >= n_burn:
            probability += responsibility
    probability /= n_draws - n_burn
    return MixtureSample(probability=probability, observed_fraction=fractions[n_burn:], mean=means[n_burn:])


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


def _maximise(
    intensity: Float[np.ndarray, " atom"],
    variance: Float[np.ndarray, " atom"],
    terms: Float[np.ndarray, "atom term"],
    *,
    start: Float[np.ndarray, "atom class"],
    prior: MixturePrior,
) -> Mixture:
    """Alternate between class probabilities and parameters until the log-posterior stands still."""
    responsibility, coefficient = start, np.zeros(terms.shape[1])
    deviation = np.full(start.shape[1], np.std(intensity) + 1e-12)
    previous = -np.inf
    for _ in range(_ITERATIONS):
        gain = np.maximum(1.0 + terms @ coefficient, 0.1)
        corrected, corrected_variance = intensity / gain, variance / gain**2
        fraction, mean, deviation = _parameters(corrected, corrected_variance, responsibility, deviation, prior=prior)
        responsibility, log_likelihood = _responsibility(corrected, corrected_variance, fraction, mean, deviation)
        log_posterior = log_likelihood - np.log(gain).sum() + _log_prior(fraction, mean, deviation, prior)
        if abs(log_posterior - previous) < _TOLERANCE * abs(log_posterior):
            break
        previous = log_posterior
        if terms.shape[1]:
            coefficient = _coefficient(intensity, variance, terms, responsibility, mean=mean, deviation=deviation)
    order = np.argsort(mean, kind="stable")
    return Mixture(
        fraction=fraction[order],
        mean=mean[order],
        deviation=deviation[order],
        coefficient=coefficient,
        responsibility=responsibility[:, order],
        log_posterior=float(log_posterior),
    )


def _parameters(
    corrected: Float[np.ndarray, " atom"],
    variance: Float[np.ndarray, " atom"],
    responsibility: Float[np.ndarray, "atom class"],
    deviation: Float[np.ndarray, " class"],
    *,
    prior: MixturePrior,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maximise over fractions, means and deviations, the class probabilities being given."""
    count = responsibility.sum(axis=0)
    fraction = (count + prior.concentration) / (count + prior.concentration).sum()
    precision = responsibility / (deviation**2 + variance[:, None])
    mean = (precision * corrected[:, None]).sum(axis=0) / np.maximum(precision.sum(axis=0), 1e-300)
    order = np.argsort(mean, kind="stable")
    mean[order] = _pull_ratios(mean[order], (1 / np.maximum(precision.sum(axis=0), 1e-300))[order], prior)
    excess = (responsibility * ((corrected[:, None] - mean) ** 2 - variance[:, None])).sum(axis=0)
    spread, weight = prior.relative_spread
    expected = (spread * np.abs(mean)) ** 2
    floor = (0.1 * spread * np.abs(mean)) ** 2
    return fraction, mean, np.sqrt(np.maximum((excess + weight * expected) / (count + weight), floor))


def _pull_ratios(
    mean: Float[np.ndarray, " class"], mean_variance: Float[np.ndarray, " class"], prior: MixturePrior
) -> Float[np.ndarray, " class"]:
    """Move the means of classes that few columns support toward the expected ratio to their better-known neighbour."""
    mean = mean.copy()
    for k in range(len(mean) - 1):
        low, high = mean[k], mean[k + 1]
        if low <= 0 or high <= 0:
            continue
        expected, width = prior.log_ratio
        relative = mean_variance[k : k + 2] / np.array([low, high]) ** 2
        miss = np.log(high / low) - expected
        step = miss / (relative.sum() + width**2)
        mean[k] *= np.exp(np.clip(relative[0] * step, -0.5, 0.5))
        mean[k + 1] *= np.exp(np.clip(-relative[1] * step, -0.5, 0.5))
    return mean


def _responsibility(
    corrected: Float[np.ndarray, " atom"],
    variance: Float[np.ndarray, " atom"],
    fraction: Float[np.ndarray, " class"],
    mean: Float[np.ndarray, " class"],
    deviation: Float[np.ndarray, " class"],
) -> tuple[Float[np.ndarray, "atom class"], float]:
    """Return the class probabilities and the log-likelihood."""
    total = deviation**2 + variance[:, None]
    log_density = np.log(fraction) - 0.5 * (np.log(2 * np.pi * total) + (corrected[:, None] - mean) ** 2 / total)
    log_sum = logsumexp(log_density, axis=1, keepdims=True)
    return np.exp(log_density - log_sum), float(log_sum.sum())


def _log_prior(
    fraction: Float[np.ndarray, " class"],
    mean: Float[np.ndarray, " class"],
    deviation: Float[np.ndarray, " class"],
    prior: MixturePrior,
) -> float:
    spread, weight = prior.relative_spread
    ratio = (spread * np.abs(mean) / deviation) ** 2
    value = prior.concentration * np.log(fraction).sum() + (0.5 * weight * (np.log(ratio) - ratio + 1.0)).sum()
    ordered = np.sort(mean)
    if len(mean) > 1 and ordered[0] > 0:
        expected, width = prior.log_ratio
        value -= 0.5 * (((np.diff(np.log(ordered)) - expected) / width) ** 2).sum()
    return float(value)


def _coefficient(
    intensity: Float[np.ndarray, " atom"],
    variance: Float[np.ndarray, " atom"],
    terms: Float[np.ndarray, "atom term"],
    responsibility: Float[np.ndarray, "atom class"],
    *,
    mean: Float[np.ndarray, " class"],
    deviation: Float[np.ndarray, " class"],
) -> Float[np.ndarray, " term"]:
    """Solve the weighted least-squares problem of the factor, the classes being given, with a weak ridge."""
    precision = responsibility / (deviation**2 + variance[:, None])
    curvature = (precision * mean**2).sum(axis=1)
    pull = (precision * mean * (intensity[:, None] - mean)).sum(axis=1)
    normal = terms.T @ (curvature[:, None] * terms)
    return np.linalg.solve(normal + 1e-6 * np.trace(normal) * np.eye(len(normal)), terms.T @ pull)


def _draw_class(
    corrected: Float[np.ndarray, " member"],
    variance: Float[np.ndarray, " member"],
    mean: Float[np.ndarray, " class"],
    deviation: Float[np.ndarray, " class"],
    *,
    prior: MixturePrior,
    k: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Draw the mean and the deviation of one class by Metropolis steps at their conditional scale."""
    spread, weight = prior.relative_spread

    def log_density(centre: float, width: float) -> float:
        trial = mean.copy()
        trial[k] = centre
        if (np.diff(trial) <= 0).any() or centre <= 0:
            return -np.inf
        total = width**2 + variance
        value = -0.5 * (np.log(total) + (corrected - centre) ** 2 / total).sum()
        ratio = (spread * centre / width) ** 2
        value += 0.5 * weight * (np.log(ratio) - ratio)
        expected, ratio_width = prior.log_ratio
        return float(value - 0.5 * (((np.diff(np.log(trial)) - expected) / ratio_width) ** 2).sum())

    centre, width = float(mean[k]), float(deviation[k])
    current = log_density(centre, width)
    scale = width / np.sqrt(len(corrected) + 1.0)
    relative = 1.0 / np.sqrt(2.0 * (len(corrected) + weight))
    for _ in range(3):
        proposal = centre + 1.7 * scale * rng.standard_normal(), width * np.exp(1.7 * relative * rng.standard_normal())
        value = log_density(*proposal)
        if np.log(rng.random()) < value - current + np.log(proposal[1] / width):
            centre, width, current = float(proposal[0]), float(proposal[1]), value
    return centre, width
