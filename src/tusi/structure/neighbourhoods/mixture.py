"""Classes of neighbourhoods: normals in the space of scores, a chance of each slot to be empty, and a wide rest."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from tusi.numerics.noisy_mixture import expectation_step

SURE_ERROR = 1.0
"""Variance of a score up to which a row helps to start a fit."""

N_STARTS, START_STEPS = 6, 8
GAP_WEIGHTS = (0.0, 1.0, 4.0)
"""What an empty slot weighs against a score of one in the starts, in turn."""

MOST_STEPS, TOLERANCE = 150, 0.02
OUTLIER_WIDTH = 3.0
"""Width of the rest that belongs to no class, in standard deviations of all rows together."""

EXPECTED_SPREAD = 0.25
"""Variance of the scores in a class, beyond known errors, that is expected where a class has few rows."""

SLOT_PRIOR = 0.5
"""Weight of Jeffreys's prior for the chance of a slot to be empty."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MixtureData:
    """What classes are found from.

    Attributes
    ----------
    score, error
        Scores of each row and their covariance.
    empty
        Whether a slot is empty though its place is in view.
    seen
        Whether the place of a slot is in view.
    """

    score: Float[np.ndarray, "row dimension"]
    error: Float[np.ndarray, "row dimension dimension"]
    empty: Bool[np.ndarray, "row slot"]
    seen: Bool[np.ndarray, "row slot"]

    def rows(self, rows: np.ndarray) -> "MixtureData":
        """Return some of the rows."""
        return MixtureData(score=self.score[rows], error=self.error[rows], empty=self.empty[rows], seen=self.seen[rows])


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ClassMixture:
    """A fitted mixture; its last class is the rest, wide, around the mean of all.

    Attributes
    ----------
    fraction
        Share of each class, the rest last.
    mean, spread
        Mean score of each class, and covariance of the scores in it without their errors.
    empty
        Chance of each slot to be empty.
    probability
        Probability of each class for each row.
    log_likelihood
        At the fit, the prior of the spreads included.
    shared_spread
        Whether all classes have the same spread.
    """

    fraction: Float[np.ndarray, " class"]
    mean: Float[np.ndarray, "class dimension"]
    spread: Float[np.ndarray, "class dimension dimension"]
    empty: Float[np.ndarray, "class slot"]
    probability: Float[np.ndarray, "row class"]
    log_likelihood: float
    shared_spread: bool

    @property
    def n_classes(self) -> int:
        """Number of classes, the rest not among them."""
        return len(self.fraction) - 1

    def n_parameters(self, data: MixtureData) -> int:
        """Return the number of free parameters; slots that are never empty have none."""
        n_dimensions = self.mean.shape[1]
        n_slots = int(data.empty.any(axis=0).sum())
        of_spreads = n_dimensions * (n_dimensions + 1) // 2 * (1 if self.shared_spread else self.n_classes)
        return self.n_classes * (n_dimensions + n_slots + 1) + of_spreads

    def probabilities_of(self, data: MixtureData) -> Float[np.ndarray, "row class"]:
        """Return the class probabilities of other rows under this mixture."""
        return _expect(data, self)[0]

    def residual(self, data: MixtureData) -> Float[np.ndarray, "row dimension"]:
        """Return what the classes leave of each row's score, in units of what they expect."""
        left = np.zeros_like(data.score)
        for k in range(self.n_classes):
            root = np.linalg.cholesky(self.spread[k] + data.error)
            whitened = np.linalg.solve(root, (data.score - self.mean[k])[..., None])[..., 0]
            left += self.probability[:, k, None] * whitened
        return left


def fit_mixture(
    data: MixtureData,
    *,
    n_classes: int,
    shared_spread: bool,
    rng: np.random.Generator,
    smaller: ClassMixture | None = None,
) -> ClassMixture:
    """Fit a mixture with this many classes by expectation-maximisation, the best of several starts.

    Parameters
    ----------
    data
        Scores and filled slots.
    n_classes
        How many classes, besides the rest.
    shared_spread
        Whether all classes have the same spread: fewer parameters, where there are few rows or many classes.
    rng
        Draws the starts.
    smaller
        A fit with one class less; one start makes a class of its rest.
    """
    n_starts = N_STARTS if n_classes > 1 else 1
    looks = [np.concatenate([data.score, GAP_WEIGHTS[k % 3] * data.empty], axis=1) for k in range(n_starts)]
    starts = [_start(data, look, n_classes=n_classes, shared_spread=shared_spread, rng=rng) for look in looks]
    if smaller is not None and smaller.n_classes == n_classes - 1:
        starts.append(_rest_as_class(data, smaller))
    tried = [_maximise(data, start, START_STEPS) for start in starts]
    return _maximise(data, max(tried, key=lambda fit: fit.log_likelihood), MOST_STEPS)


def _rest_as_class(data: MixtureData, fit: ClassMixture) -> ClassMixture:
    """Give nine tenths of the rest to a class of its own."""
    rest = fit.probability[:, -1:]
    probability = np.concatenate([fit.probability[:, :-1], 0.9 * rest, 0.1 * rest], axis=1)
    probability = (probability + 1e-6) / (probability + 1e-6).sum(axis=1, keepdims=True)
    likely = rest[:, 0] >= min(0.5, float(np.max(rest)))
    mean = np.median(data.score[likely], axis=0)
    return ClassMixture(
        fraction=probability.mean(axis=0),
        mean=np.concatenate([fit.mean[:-1], mean[None], fit.mean[-1:]]),
        spread=np.concatenate([fit.spread[:-1], fit.spread[:-1].mean(axis=0)[None], fit.spread[-1:]]),
        empty=_empty_chances(data, probability),
        probability=probability,
        log_likelihood=-np.inf,
        shared_spread=fit.shared_spread,
    )


def _start(
    data: MixtureData,
    feature: Float[np.ndarray, "row feature"],
    *,
    n_classes: int,
    shared_spread: bool,
    rng: np.random.Generator,
) -> ClassMixture:
    """Draw class centres far from each other and give each row to the nearest."""
    n_dimensions = data.score.shape[1]
    sure = _sure_rows(data.error)
    known = feature[sure]
    centre = np.empty((n_classes, feature.shape[1]))
    centre[0] = feature[rng.choice(sure)]
    gap = np.full(len(sure), np.inf)
    for k in range(1, n_classes):
        gap = np.minimum(gap, ((known - centre[k - 1]) ** 2).sum(axis=1))
        chance = gap / gap.sum() if gap.sum() > 0 else np.full(len(gap), 1 / len(gap))
        centre[k] = feature[rng.choice(sure, p=chance)]
    for _ in range(4):
        owner = np.argmin((centre**2).sum(axis=1) - 2 * feature @ centre.T, axis=1)
        owned = (owner[sure] == np.arange(n_classes)[:, None]).astype(float)
        n_owned = owned.sum(axis=1, keepdims=True)
        centre = np.where(n_owned > 0, owned @ known / np.maximum(n_owned, 1), centre)
    total = np.cov(data.score[sure].T).reshape(n_dimensions, n_dimensions)
    near = (np.arange(n_classes) == owner[:, None]) * 0.98
    probability = np.concatenate([near, np.full((len(feature), 1), 0.02)], axis=1)
    probability = (probability + 1e-3) / (1 + 1e-3 * (n_classes + 1))
    spread = np.stack([total / n_classes**2] * n_classes + [OUTLIER_WIDTH**2 * total])
    mean = np.concatenate([centre[:, :n_dimensions], data.score[sure].mean(axis=0)[None]])
    return ClassMixture(
        fraction=probability.mean(axis=0),
        mean=mean,
        spread=spread,
        empty=_empty_chances(data, probability),
        probability=probability,
        log_likelihood=-np.inf,
        shared_spread=shared_spread,
    )


def _sure_rows(error: Float[np.ndarray, "row dimension dimension"]) -> Int[np.ndarray, " sure"]:
    """Return the rows whose scores are known well, at least half of them: those that miss few neighbours."""
    size = np.trace(error, axis1=1, axis2=2)
    return np.flatnonzero(size <= max(float(np.median(size)), SURE_ERROR * error.shape[1]))


def _maximise(data: MixtureData, fit: ClassMixture, n_steps: int) -> ClassMixture:
    """Alternate expectation and maximisation; the rest keeps its place and width."""
    for _ in range(n_steps):
        probability, first, second, log_likelihood = _expect(data, fit)
        count = np.maximum(probability.sum(axis=0), 1e-9)
        mean = first / count[:, None]
        spread = _spreads(second - count[:, None, None] * mean[:, :, None] * mean[:, None, :], count, fit.shared_spread)
        mean[-1], spread[-1] = fit.mean[-1], fit.spread[-1]
        done = log_likelihood - fit.log_likelihood < TOLERANCE
        fit = ClassMixture(
            fraction=count / count.sum(),
            mean=mean,
            spread=spread,
            empty=_empty_chances(data, probability),
            probability=probability,
            log_likelihood=log_likelihood,
            shared_spread=fit.shared_spread,
        )
        if done:
            break
    return fit


def _spreads(
    scatter: Float[np.ndarray, "class dimension dimension"], count: Float[np.ndarray, " class"], shared: bool
) -> Float[np.ndarray, "class dimension dimension"]:
    """Return the most probable spreads of the classes, of each its own or of all but the rest the same."""
    n_dimensions = scatter.shape[1]
    weight = n_dimensions + 2
    if shared:
        total = scatter.copy()
        total[:] = scatter[:-1].sum(axis=0)
        scatter, count = total, np.full(len(count), count[:-1].sum())
    return (scatter + weight * EXPECTED_SPREAD * np.eye(n_dimensions)) / (count + weight)[:, None, None]


def _expect(data: MixtureData, fit: ClassMixture) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    chance = fit.empty.T
    filled = (data.seen & ~data.empty).astype(float)
    log_weight = data.empty @ np.log(chance) + filled @ np.log1p(-chance) + np.log(fit.fraction)
    probability = np.empty(log_weight.shape)
    first, second = np.empty_like(fit.mean), np.empty_like(fit.spread)
    log_likelihood = expectation_step(
        (data.score, data.error, log_weight), (fit.mean, fit.spread), (probability, first, second)
    )
    return (
        probability,
        first,
        second,
        float(log_likelihood) + _log_prior(fit.spread[:1] if fit.shared_spread else fit.spread[:-1]),
    )


def _log_prior(spread: Float[np.ndarray, "class dimension dimension"]) -> float:
    """Return the log-density of the spreads, zero at its mode."""
    n_dimensions = spread.shape[1]
    if not n_dimensions:
        return 0.0
    ratio = np.linalg.eigvalsh(spread) / EXPECTED_SPREAD
    return float(-0.5 * (n_dimensions + 2) * (np.log(ratio) + 1 / ratio - 1).sum())


def _empty_chances(data: MixtureData, probability: Float[np.ndarray, "row class"]) -> Float[np.ndarray, "class slot"]:
    """Return the chance of each slot to be empty in each class; the rest has that of all rows."""
    weight = probability.copy()
    weight[:, -1] = 1.0
    n_empty, n_seen = weight.T @ data.empty, weight.T @ data.seen
    return (n_empty + SLOT_PRIOR) / (n_seen + 2 * SLOT_PRIOR)
