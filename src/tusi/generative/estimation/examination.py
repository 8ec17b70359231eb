"""Does a fitted Hamiltonian explain the images? Tests against replicas of the images, refitted as the images were."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.special import chdtrc

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.generative.estimation.histograms import ClusterHistogram, Statistic
from tusi.generative.estimation.observation import Observation
from tusi.generative.estimation.replicas import Replicas, ReplicaSettings, draw_replicas
from tusi.generative.lattice.compilation import lattice_system
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.lattice.motifs import PairShell
from tusi.generative.lattice.sites import LatticeSites

PREDICTED_SHELLS = (1, 2, 3, 4)
"""Pair correlations that are predicted where the model does not fit them."""

RANK_TOLERANCE = 1e-6
"""Share of the largest variance below which a direction counts as none."""

TINY = 1e-9


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FitExamination(Record):
    """How well one fitted model explains the images.

    Attributes
    ----------
    model
        Name of the model.
    distance
        Squared statistical distance of each image's cluster histogram from the model's at the refitted couplings.
    distance_p
        Calibrated p-value of each image's distance.
    pooled_distance, pooled_p
        `sum_k (N_k/N) s_k^2` and its calibrated p-value.
    naive_p
        `chi2.sf(4 N S^2, classes - images)`, in use in the literature and not calibrated.
    predicted
        Statistics that were not fitted.
    predicted_p
        Two-sided p-value of each under the model.
    n_replicas
        Replicas behind the p-values.
    """

    format_name: ClassVar[str] = "fit-examination"
    row: ClassVar[str] = "image"

    model: str
    distance: Float[np.ndarray, " image"] = array("image")
    distance_p: Float[np.ndarray, " image"] = array("image")
    pooled_distance: float
    pooled_p: float
    naive_p: float
    predicted: tuple[str, ...]
    predicted_p: Float[np.ndarray, " statistic"] = array("statistic")
    n_replicas: int


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ScoreTest(Record):
    """Whether a larger model explains more than the one that it contains.

    Attributes
    ----------
    smaller, larger
        The two models.
    statistic
        Score statistic: to first order twice the gain in log-likelihood.
    n_parameters
        Couplings that the larger model has more.
    naive_p
        From the chi-square distribution.
    calibrated_p
        From replicas of the smaller model, refitted.
    """

    format_name: ClassVar[str] = "score-test"

    smaller: str
    larger: str
    statistic: float
    n_parameters: int
    naive_p: float
    calibrated_p: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Counted:
    """What was counted on the images (row 0) and on their replicas; the first axis is the replica."""

    composition: np.ndarray
    fitted: np.ndarray
    response: np.ndarray
    histogram: tuple[np.ndarray, ...]
    pairs: np.ndarray
    larger: tuple[np.ndarray, ...]


def examine_fit(  # noqa: PLR0913
    observations: Sequence[Observation],
    model: LatticeModel,
    couplings: Float[np.ndarray, " parameter"],
    *,
    rng: np.random.Generator,
    larger: Sequence[LatticeModel] = (),
    own_composition: bool = True,
    statistic: Statistic | None = None,
    settings: ReplicaSettings | None = None,
) -> tuple[FitExamination, tuple[ScoreTest, ...]]:
    """Test a fitted Hamiltonian against replicas of the images.

    Replicas are drawn at the fitted couplings on the images' own sites, given their borders and compositions, and
    labelled with the images' own rate of errors. Each replica is refitted, to first order, by the response of every
    statistic to the couplings, which the replicas themselves give; so is the image, which takes part in all averages.
    Image and replicas are then exchangeable if the model is right, and a p-value is the image's rank among them.

    Parameters
    ----------
    observations
        The images.
    model, couplings
        The Hamiltonian and its estimated couplings, in kT.
    rng
        Source of randomness.
    larger
        Models that contain this one: what they add is tested by its score.
    own_composition
        Whether each image keeps its composition, as in the fit.
    statistic
        Histogram behind the distance; symmetry classes of a site and its neighbours by default.
    settings
        Number of replicas.

    Returns
    -------
    tuple of FitExamination and ScoreTest
        Goodness of fit, and a test for each larger model.

    Raises
    ------
    InputError
        No image, or couplings that do not fit the model.

    References
    ----------
    A. C. Davison and D. V. Hinkley, *Bootstrap Methods and their Application* (1997), ch. 4.

    Examples
    --------
    >>> from tusi.generative.estimation import observe
    >>> from tusi.generative.lattice import SQUARE, ising, window_sites
    >>> rng = np.random.default_rng(0)
    >>> image = observe(window_sites(SQUARE, (14, 14)), rng.integers(0, 2, 196))
    >>> fit, _ = examine_fit([image], ising(field=False), np.array([0.0]), rng=rng)
    >>> 0 < fit.pooled_p <= 1
    True
    """
    images = tuple(image.widened(model.n_species) for image in observations)
    if not images:
        raise InputError("observations", expected="at least one image", got="none")
    couplings = model.check_couplings(couplings)
    settings = settings or ReplicaSettings()
    reach = (model, *larger)
    replicas = [
        draw_replicas(image, model, couplings, own_composition=own_composition, reach=reach, settings=settings, rng=rng)
        for image in images
    ]
    counted = _count(images, replicas, model, larger, statistic or ClusterHistogram())
    shift = _refit(counted)
    tests = [_score_test(counted, shift, number, (model, other)) for number, other in enumerate(larger)]
    distances, sizes = _distances(counted, shift)
    pooled = distances @ sizes / sizes.sum()
    predicted, predicted_p = _predictions(counted, shift)
    examination = FitExamination(
        model=model.name,
        distance=distances[0],
        distance_p=np.array([_rank(column) for column in distances.T]),
        pooled_distance=float(pooled[0]),
        pooled_p=_rank(pooled),
        naive_p=float(chdtrc(max(_n_classes(counted) - len(images), 1), 4 * sizes.sum() * pooled[0])),
        predicted=predicted,
        predicted_p=predicted_p,
        n_replicas=settings.n_replicas,
    )
    return examination, tuple(tests)


def _count(
    images: Sequence[Observation],
    replicas: Sequence[Replicas],
    model: LatticeModel,
    larger: Sequence[LatticeModel],
    statistic: Statistic,
) -> _Counted:
    """Count everything on images and replicas; statistics of the couplings are summed over the images."""
    fitted, response = 0.0, 0.0
    compositions = []
    pairs: np.ndarray | float = 0.0
    more: list[np.ndarray | float] = [0.0] * len(larger)
    histograms = []
    for image, drawn in zip(images, replicas, strict=True):
        visible = dataclasses.replace(image.sites, occupied=image.informed)
        ratio = image.temperature_ratio
        shown = drawn.labels[:, image.informed]
        compositions.extend((shown == species).sum(axis=1) for species in range(1, model.n_species))
        fitted = fitted + ratio * lattice_system(model, visible).statistics(drawn.labels)
        response = response + ratio * lattice_system(model, image.sites).statistics(drawn.truth)
        for k, other in enumerate(larger):
            more[k] = more[k] + ratio * lattice_system(other, visible).statistics(drawn.labels)
        histograms.append(statistic.counter(visible, model.species).count(drawn.labels).astype(float))
        pairs = pairs + _unlike_pairs(visible, drawn.labels)
    return _Counted(
        composition=np.stack(compositions, axis=1).astype(float),
        fitted=np.asarray(fitted),
        response=np.asarray(response),
        histogram=tuple(histograms),
        pairs=np.asarray(pairs, dtype=float),
        larger=tuple(np.asarray(values) for values in more),
    )


def _refit(counted: _Counted) -> np.ndarray:
    """Return by how much a refit moves the couplings of each row: T is linear in them with slope -Cov(T, T)."""
    if not counted.fitted.shape[1]:
        return np.zeros((len(counted.fitted), 0))
    fitted = counted.fitted - _at_composition(counted.fitted, counted)
    slope = _covariance(fitted, counted.response)
    return -fitted @ np.linalg.pinv(slope, rcond=RANK_TOLERANCE).T


def _expected(values: np.ndarray, counted: _Counted, shift: np.ndarray) -> np.ndarray:
    """Return the mean of a statistic at the couplings that each row is refitted with."""
    mean = _at_composition(values, counted)
    return mean - shift @ _covariance(counted.response, values - mean)


def _at_composition(values: np.ndarray, counted: _Counted) -> np.ndarray:
    """Return the mean of a statistic among rows that show as many atoms of each species.

    Where labels err, replicas do not all show the image's composition; what a statistic owes to that says nothing of
    the couplings and is taken out by regression.
    """
    deviation = counted.composition - counted.composition.mean(axis=0)
    variance = _covariance(deviation, deviation)
    effect = np.linalg.pinv(variance, rcond=RANK_TOLERANCE) @ _covariance(deviation, values)
    return values.mean(axis=0) + deviation @ effect


def _distances(counted: _Counted, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared distance of every row of every image from what it expects, and the clusters of each image."""
    columns, sizes = [], []
    for histogram in counted.histogram:
        expected = np.maximum(_expected(histogram, counted, shift), TINY)
        expected /= expected.sum(axis=1, keepdims=True)
        size = max(histogram[0].sum(), 1.0)
        overlap = np.sqrt(histogram / size * expected).sum(axis=1)
        columns.append(np.arccos(np.clip(overlap, 0.0, 1.0)) ** 2)
        sizes.append(histogram[0].sum())
    return np.stack(columns, axis=1), np.array(sizes)


def _score_test(
    counted: _Counted, shift: np.ndarray, number: int, models: tuple[LatticeModel, LatticeModel]
) -> ScoreTest:
    """Test what a larger model's statistics still hold after the refit."""
    smaller, larger = models
    values = counted.larger[number]
    residual = values - _expected(values, counted, shift)
    covariance = residual.T @ residual / (len(residual) - 1)
    size, direction = np.linalg.eigh(covariance)
    n_more = len(larger.terms) - len(smaller.terms)
    keep = np.argsort(size)[::-1][:n_more]
    keep = keep[size[keep] > RANK_TOLERANCE * max(np.trace(_covariance(values, values)), TINY)]
    statistic = ((residual @ direction[:, keep]) ** 2 / size[keep]).sum(axis=1)
    return ScoreTest(
        smaller=smaller.name,
        larger=larger.name,
        statistic=float(statistic[0]),
        n_parameters=len(keep),
        naive_p=float(chdtrc(max(len(keep), 1), statistic[0])),
        calibrated_p=_rank(statistic),
    )


def _predictions(counted: _Counted, shift: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Test the pair counts that the couplings do not fix already."""
    residual = counted.pairs - _expected(counted.pairs, counted, shift)
    spread = counted.pairs.std(axis=0)
    free = residual.std(axis=0) > 1e-3 * np.maximum(spread, TINY)
    free &= spread > 0
    labels = np.array([f"unlike pairs of shell {shell}" for shell in PREDICTED_SHELLS])
    values = [2 * min(_rank(column), _rank(-column)) for column in residual[:, free].T]
    return tuple(str(label) for label in labels[free]), np.minimum(np.array(values, dtype=float), 1.0)


def _unlike_pairs(sites: LatticeSites, labels: np.ndarray) -> np.ndarray:
    """Return the number of unlike pairs of each shell in every row."""
    counts = []
    for shell in PREDICTED_SHELLS:
        found = np.concatenate([sites.clusters(orbit)[0] for orbit in PairShell(shell=shell).orbits(sites.crystal)])
        found = found[sites.occupied[found].all(axis=1)]
        counts.append((labels[:, found[:, 0]] != labels[:, found[:, 1]]).sum(axis=1))
    return np.stack(counts, axis=1).astype(float)


def _covariance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the covariance of two sets of statistics over image and replicas."""
    return (first - first.mean(axis=0)).T @ (second - second.mean(axis=0)) / (len(first) - 1)


def _n_classes(counted: _Counted) -> int:
    """Return how many classes the histograms have together."""
    return sum(histogram.shape[1] for histogram in counted.histogram)


def _rank(values: np.ndarray) -> float:
    """Return the share of rows whose value is at least the image's, the image among them."""
    return float((values >= values[0] - TINY).mean())
