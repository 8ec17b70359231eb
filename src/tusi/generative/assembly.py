"""From fits and replicas to the tables of a comparison."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from scipy.special import chdtrc

from tusi.data.graph import SiteGraph
from tusi.generative.bootstrap import ModelOutcome
from tusi.generative.clusters import centre_composition, cluster_histogram, random_probability
from tusi.generative.labels import most_likely_labels
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.models import embedding
from tusi.generative.nested import nested_score
from tusi.generative.permutation import Permutations, random_distance, score_p_value
from tusi.generative.predictive import PREDICTED, predicted_statistics, two_sided_p_value
from tusi.generative.results import HamiltonianComparison, HamiltonianFit, NestedTest
from tusi.generative.surface import distance_at, minimise_distance
from tusi.generative.verdict import judge
from tusi.generative.window import Window
from tusi.inference.criteria import distance_information_criterion, naive_goodness_of_fit
from tusi.inference.resampling import quantile_band, resampling_p_value
from tusi.inference.statistical_distance import pooled_squared_distance
from tusi.numerics.symmetry import RingClasses, ring_classes

EDGE_SHARE = 0.2
"""Share of replicas at the edge of the histogram surfaces above which a p-value of a distance gain is not given."""


CLOSE = 9.0
"""Squared distance in standard errors within which two couplings' likelihoods are compared on the same samples."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Gathered:
    """Everything that was computed before the tables are made; see `fit_hamiltonians`."""

    graphs: tuple[SiteGraph, ...]
    species: tuple[str, str]
    models: tuple[LatticeModel, ...]
    windows: tuple[Window, ...]
    draws: tuple[Int[np.ndarray, "draw site"], ...]
    histogram: Int[np.ndarray, "draw image class"]
    informative: tuple[int, ...]
    temperature: float | None
    n_bootstrap: int
    permutations: Permutations | None = None
    outcomes: dict[str, ModelOutcome] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> RingClasses:
        """Symmetry classes of the rings."""
        return ring_classes(self.windows[0].n_ring)

    @property
    def n_clusters(self) -> Int[np.ndarray, " image"]:
        """Complete clusters of each image."""
        return self.histogram.sum(axis=2)[0]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Distances:
    """Squared distances of one model: of the draws of the labels, of the most likely labels, and of the replicas."""

    draws: Float[np.ndarray, "draw image"]
    tested: Float[np.ndarray, "one image"]
    replicas: Float[np.ndarray, "replica image"]


def assemble(gathered: Gathered) -> HamiltonianComparison:
    """Return the comparison with all its tables and its verdict."""
    distances = [_distances(gathered, model) for model in gathered.models]
    composition = centre_composition(gathered.histogram, gathered.classes)
    null_low, null_high = _null_band(gathered)
    fits = tuple(_fit(gathered, model, each) for model, each in zip(gathered.models, distances, strict=True))
    return judge(
        HamiltonianComparison(
            image_names=tuple(graph.title for graph in gathered.graphs),
            models=tuple(model.name for model in gathered.models),
            fits=fits,
            nested_tests=_nested_tests(gathered, fits),
            class_labels=gathered.classes.labels(gathered.species),
            species=gathered.species,
            n_sites=np.array([window.n_sites for window in gathered.windows]),
            n_free_sites=np.array([window.free.sum() for window in gathered.windows]),
            n_clusters=gathered.n_clusters,
            composition=composition.mean(axis=0),
            composition_interval=np.stack(quantile_band(composition), axis=-1),
            statistical_distance=np.stack([np.median(each.draws, axis=0) for each in distances]),
            statistical_distance_interval=np.stack(
                [np.stack(quantile_band(each.draws), axis=-1) for each in distances]
            ),
            naive_p=np.stack([_naive(gathered, each) for each in distances]),
            calibrated_p=np.stack([_calibrated(each) for each in distances]),
            observed=gathered.histogram.mean(axis=0),
            expected=np.stack([_expected(gathered, model) for model in gathered.models]),
            null_low=null_low,
            null_high=null_high,
            predictive_labels=PREDICTED,
            predictive_p=np.stack([_predictive_p(gathered, model) for model in gathered.models]),
            ranking=(),
            search_failed=False,
            explained=(),
            verdict=(),
            warnings=gathered.notes,
            temperature=gathered.temperature,
            n_permutations=0 if gathered.permutations is None else len(gathered.permutations.histogram),
            n_bootstrap=gathered.n_bootstrap,
            n_imputations=len(gathered.draws[0]),
        )
    )


def _distances(gathered: Gathered, model: LatticeModel) -> Distances:
    """Collect the squared distances of one model; images that say nothing have distance zero."""
    n_draws, n_images, _ = gathered.histogram.shape
    empty = np.zeros((0, n_images))
    if not model.terms:
        draws = random_distance(gathered.histogram, gathered.classes.n_ring)
        known = gathered.permutations
        replicas = empty if known is None else random_distance(known.histogram, gathered.classes.n_ring)
        tested = random_distance(_labelled_histogram(gathered), gathered.classes.n_ring)
        return Distances(draws=draws, tested=tested, replicas=replicas)
    outcome = gathered.outcomes.get(model.name)
    if outcome is None:
        return Distances(draws=np.full((n_draws, n_images), np.nan), tested=empty, replicas=empty)
    draws = np.maximum(_spread(outcome.distance.squared, gathered) + _offset(gathered, model), 0.0)
    return Distances(
        draws=draws,
        tested=_spread(outcome.labelled_distance.squared, gathered),
        replicas=_spread(outcome.replica_distance.squared, gathered),
    )


def _labels(gathered: Gathered) -> list[np.ndarray]:
    """Return the most likely labels of each image, as one arrangement."""
    return [most_likely_labels(window)[None] for window in gathered.windows]


def _labelled_histogram(gathered: Gathered) -> np.ndarray:
    """Return the class counts of the most likely labels."""
    pairs = zip(gathered.windows, _labels(gathered), strict=True)
    return np.stack([cluster_histogram(window, labels, gathered.classes) for window, labels in pairs], axis=1)


def _labelled_statistics(gathered: Gathered, model: LatticeModel) -> np.ndarray:
    """Return T of the most likely labels, summed over images."""
    pairs = zip(gathered.windows, _labels(gathered), strict=True)
    return np.sum([window.only(model).statistics(model, labels) for window, labels in pairs], axis=0)


def _offset(gathered: Gathered, model: LatticeModel) -> np.ndarray | float:
    """Return what makes this model's simulated histograms agree with those of the largest model that it contains.

    Both describe the same couplings there, so a difference is simulation noise; without it nested models compare on
    equal terms, down to the random alloy, whose histogram is exact.
    """
    inside = [other for other in gathered.models if embedding(other, model) is not None]
    if not inside:
        return 0.0
    smaller = max(inside, key=lambda other: len(other.terms))
    below, matrix = gathered.outcomes.get(smaller.name), embedding(smaller, model)
    histogram = gathered.histogram[:, list(gathered.informative)]
    couplings = np.zeros((len(histogram), 0)) if below is None else below.distance.value
    there = distance_at(
        gathered.outcomes[model.name].surfaces,
        histogram,
        centre_composition(histogram, gathered.classes),
        couplings @ matrix.T,  # type: ignore[union-attr]
    )
    return np.nan_to_num(_distances(gathered, smaller).draws - _spread(there, gathered))


def _spread(values: np.ndarray, gathered: Gathered) -> np.ndarray:
    """Put the columns of the informative images in their places among all images."""
    out = np.zeros((len(values), len(gathered.windows)))
    out[:, list(gathered.informative)] = values
    return out


def _naive(gathered: Gathered, distances: Distances) -> np.ndarray:
    """Return the uncalibrated p-value of each image."""
    median = np.median(distances.draws, axis=0)
    free = len(gathered.classes) - 1
    return np.array(
        [
            naive_goodness_of_fit(float(s2), int(n), degrees_of_freedom=free)
            for s2, n in zip(median, gathered.n_clusters, strict=True)
        ]
    )


def _calibrated(distances: Distances) -> np.ndarray:
    """Return the calibrated p-value of each image."""
    columns = zip(distances.tested.T, distances.replicas.T, strict=True)
    return np.array([_p_value(tested, replicas) for tested, replicas in columns])


def _p_value(tested: np.ndarray, replicas: np.ndarray) -> float:
    """Return the p-value of the one labelling that is tested; NaN without it or without replicas."""
    return resampling_p_value(float(tested[0]), replicas) if len(tested) else float("nan")


def _fit(gathered: Gathered, model: LatticeModel, distances: Distances) -> HamiltonianFit:
    """Return one model's row of the table."""
    n_clusters = gathered.n_clusters
    pooled = pooled_squared_distance(distances.draws, n_clusters)
    total = float(np.median(pooled))
    low, high = quantile_band(pooled)
    outcome = gathered.outcomes.get(model.name)
    n_terms = len(model.terms)
    calibrated = _p_value(
        pooled_squared_distance(distances.tested, n_clusters), pooled_squared_distance(distances.replicas, n_clusters)
    )
    gain = _gain(gathered, model)
    common = {
        "model": model.name,
        "equation": model.equation(gathered.species),
        "parameters": model.parameters,
        "statistical_distance": total,
        "statistical_distance_interval": (float(low), float(high)),
        "naive_p": naive_goodness_of_fit(
            total, int(n_clusters.sum()), degrees_of_freedom=(len(gathered.classes) - 1) * len(n_clusters)
        ),
        "calibrated_p": calibrated,
        "bic": distance_information_criterion(total, int(n_clusters.sum()), n_parameters=n_terms),
        "log_likelihood_gain": float(gain),
        "gain_naive_p": 1.0 if not n_terms else float(chdtrc(n_terms, max(2 * gain, 0.0))),
        "gain_calibrated_p": 1.0 if not n_terms else _gain_p(gathered, model),
    }
    if outcome is None:
        return _unfitted(common, n_terms, clic=np.nan if n_terms else _random_clic(gathered))
    error = np.sqrt(np.diag(outcome.fitted.covariance))
    correlation = outcome.fitted.covariance / np.outer(error, error) - np.eye(n_terms)
    return HamiltonianFit(
        **common,
        value=outcome.fitted.value,
        covariance=outcome.fitted.covariance,
        interval=outcome.fitted.interval,
        monte_carlo_error=np.sqrt(np.diag(outcome.fitted.fit.monte_carlo_covariance)),
        p_value=outcome.fitted.zero_p if n_terms > 1 else np.array([common["gain_calibrated_p"]]),
        distance_value=np.median(outcome.distance.value, axis=0),
        converged=outcome.fitted.fit.converged,
        n_iterations=outcome.fitted.fit.n_rounds,
        effective_sample_size=float(outcome.fitted.fit.effective_sample_size.min()),
        clic=outcome.clic,
        collinearity=float(np.abs(correlation).max()),
    )


def _unfitted(common: dict, n_terms: int, *, clic: float) -> HamiltonianFit:
    """Return the row of a model without couplings, or of one that the images say nothing of."""
    unknown = np.full(n_terms, np.nan)
    return HamiltonianFit(
        **common,
        value=unknown,
        covariance=np.full((n_terms, n_terms), np.nan),
        interval=np.full((n_terms, 2), np.nan),
        monte_carlo_error=unknown,
        p_value=unknown,
        distance_value=unknown,
        converged=not n_terms,
        n_iterations=0,
        effective_sample_size=0.0,
        clic=clic,
        collinearity=0.0,
    )


def _random_clic(gathered: Gathered) -> float:
    """Return the criterion of the random alloy: its pseudolikelihood has the compositions as only parameters."""
    total = 0.0
    labels = _labels(gathered)
    for k in gathered.informative:
        counted = labels[k][0, gathered.windows[k].free]
        x = counted.mean()
        total += len(counted) * (x * np.log(x) + (1 - x) * np.log1p(-x)) if 0 < x < 1 else 0.0
    return -2.0 * total


def _gain(gathered: Gathered, model: LatticeModel) -> float:
    """Return the log-likelihood gain over "random": a nested model's plus what is added to it, where that is close."""
    outcome = gathered.outcomes.get(model.name)
    if outcome is None:
        return np.nan if model.terms else 0.0
    fit = outcome.fitted.fit
    for smaller in gathered.models:
        inner, matrix = gathered.outcomes.get(smaller.name), embedding(smaller, model)
        if inner is not None and matrix is not None and smaller.terms and len(gathered.draws[0]) == 1:
            start = matrix @ inner.fitted.value
            if (fit.value - start) @ fit.information @ (fit.value - start) < CLOSE:
                added = fit.pool.log_likelihood(fit.value)[0] - fit.pool.log_likelihood(start)[0]
                return inner.gain + float(added)
    return outcome.gain


def _gain_p(gathered: Gathered, model: LatticeModel) -> float:
    """Return the permutation p-value of the score of a model's couplings."""
    if gathered.permutations is None:
        return float("nan")
    null = gathered.permutations.statistics[gathered.models.index(model)].sum(axis=1)
    return score_p_value(
        (_labelled_statistics(gathered, model), _labelled_histogram(gathered)),
        (null, gathered.permutations.free_histogram),
        n_ring=gathered.classes.n_ring,
    )


def _nested_tests(gathered: Gathered, fits: tuple[HamiltonianFit, ...]) -> tuple[NestedTest, ...]:
    """Return a test for every pair of nested models."""
    tests = []
    named = dict(zip(gathered.models, fits, strict=True))
    for smaller in gathered.models:
        larger_models = [model for model in gathered.models if embedding(smaller, model) is not None]
        for place, larger in enumerate(larger_models):
            if gathered.outcomes.get(larger.name) is not None:
                statistic, p_value = _nested_score(gathered, smaller, larger, place)
                more = len(larger.terms) - len(smaller.terms)
                tests.append(
                    NestedTest(
                        smaller=smaller.name,
                        larger=larger.name,
                        statistic=statistic,
                        n_parameters=more,
                        naive_p=float(chdtrc(more, statistic)),
                        calibrated_p=p_value,
                        distance_gain=named[smaller].statistical_distance - named[larger].statistical_distance,
                        distance_gain_p=_distance_gain_p(gathered, smaller, larger),
                    )
                )
    return tuple(tests)


def _nested_score(gathered: Gathered, smaller: LatticeModel, larger: LatticeModel, place: int) -> tuple[float, float]:
    """Return the score statistic of what the larger model adds, and its p-value from replicas of the smaller."""
    outcome = gathered.outcomes.get(smaller.name)
    if outcome is None:
        null = gathered.permutations.statistics[gathered.models.index(larger)].sum(axis=1)  # type: ignore[union-attr]
        scores, _ = nested_score(_labelled_statistics(gathered, larger), null, smaller=smaller, larger=larger)
        return float(np.median(scores)), _gain_p(gathered, larger)
    replicas = outcome.replicas
    scores, null_scores = nested_score(
        replicas.observed_statistics[place], replicas.statistics[place], smaller=smaller, larger=larger
    )
    return float(np.median(scores)), _p_value(scores, null_scores)


def _distance_gain_p(gathered: Gathered, smaller: LatticeModel, larger: LatticeModel) -> float:
    """Return the p-value of the decrease of the pooled distance, from replicas of the smaller model."""
    inside = list(gathered.informative)
    surfaces = gathered.outcomes[larger.name].surfaces
    outcome = gathered.outcomes.get(smaller.name)
    share = gathered.n_clusters[inside] / gathered.n_clusters[inside].sum()
    if outcome is None:
        histogram = gathered.permutations.histogram[:, inside]  # type: ignore[union-attr]
        before = random_distance(histogram, gathered.classes.n_ring) @ share
        first = random_distance(_labelled_histogram(gathered)[:, inside], gathered.classes.n_ring) @ share
    else:
        histogram, before = outcome.replicas.histogram, outcome.replica_distance.pooled
        first = outcome.labelled_distance.pooled
    after = minimise_distance(surfaces, histogram, centre_composition(histogram, gathered.classes))
    if after.at_edge.mean() > EDGE_SHARE:
        return float("nan")
    return _p_value(first - gathered.outcomes[larger.name].labelled_distance.pooled, before - after.pooled)


def _expected(gathered: Gathered, model: LatticeModel) -> np.ndarray:
    """Return the class counts that a model expects in each image."""
    composition = centre_composition(gathered.histogram, gathered.classes).mean(axis=0)
    probability = random_probability(np.nan_to_num(composition), gathered.classes)
    outcome = gathered.outcomes.get(model.name)
    if outcome is not None:
        place = np.median(outcome.distance.value, axis=0) - outcome.surfaces[0].centre
        unit = np.linalg.lstsq(outcome.surfaces[0].scale, place, rcond=None)[0]
        for k, surface in zip(gathered.informative, outcome.surfaces, strict=True):
            probability[k] = surface.probability(unit)
    return probability * gathered.n_clusters[:, None]


def _predictive_p(gathered: Gathered, model: LatticeModel) -> np.ndarray:
    """Return the posterior-predictive p-values of the statistics that were not fitted."""
    outcome = gathered.outcomes.get(model.name)
    if outcome is not None:
        return two_sided_p_value(outcome.replicas.observed_predicted, outcome.replicas.predicted)
    if model.terms or gathered.permutations is None:
        return np.full(len(PREDICTED), np.nan)
    pairs = zip(gathered.windows, _labels(gathered), strict=True)
    observed = np.stack([predicted_statistics(window, labels) for window, labels in pairs], axis=1)
    return two_sided_p_value(observed, gathered.permutations.predicted)


def _null_band(gathered: Gathered) -> tuple[np.ndarray, np.ndarray]:
    """Return the band that holds 95 % of random arrangements."""
    if gathered.permutations is None:
        return gathered.histogram.min(axis=0).astype(float), gathered.histogram.max(axis=0).astype(float)
    return quantile_band(gathered.permutations.histogram)
