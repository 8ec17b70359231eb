"""One model on all images: fit, intervals, cluster histograms, and replicas of the images under the fit."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.special import chdtrc

from tusi.generative.clusters import centre_composition, cluster_histogram
from tusi.generative.labels import draw_labels_given, mislabel, most_likely_labels
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.likelihood import (
    COUPLING_LIMIT,
    Evidence,
    FitSettings,
    LikelihoodFit,
    invert,
    log_likelihood_gain,
    maximise_likelihood,
    profile_interval,
)
from tusi.generative.predictive import predicted_statistics
from tusi.generative.pseudolikelihood import maximise_pseudolikelihood, pseudolikelihood_scores
from tusi.generative.sampling import sample
from tusi.generative.surface import DistanceFit, HistogramSurface, histogram_surface, minimise_distance
from tusi.generative.window import Window
from tusi.inference.criteria import composite_information_criterion
from tusi.numerics.symmetry import ring_classes

N_LABEL_PASSES, N_AVERAGED = 4, 3
"""Times that the labels are drawn again at the couplings just fitted, and how many of the last ones are averaged."""

MOST_MISSING, TINY = 0.7, 1e-12
"""Share of the information that labels may miss before the passes over them are no longer sped up in full."""

N_RECENTRES, MOST_AT_EDGE = 2, 0.05
"""Times that the histogram surfaces are moved when more than this share of the best distances lie at their edge."""

N_SCORE_REPLICAS = 200
"""Replicas behind the covariance of the pseudolikelihood's score."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ModelJob:
    """A model and what it is fitted to.

    Attributes
    ----------
    model, larger
        The model, and the models that contain it.
    windows, species
        One per image; species per draw from the labels' own probabilities, and site.
    histogram
        Class counts of many draws of the labels (one where they are certain).
    n_imputations, n_bootstrap
        Draws of the labels in the likelihood, and replicas.
    settings
        How carefully the likelihood is maximised.
    """

    model: LatticeModel
    larger: tuple[LatticeModel, ...]
    windows: tuple[Window, ...]
    species: tuple[Int[np.ndarray, "draw site"], ...]
    histogram: Int[np.ndarray, "draw image class"]
    n_imputations: int
    n_bootstrap: int
    settings: FitSettings


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FittedCouplings:
    """Couplings with label uncertainty.

    Attributes
    ----------
    value
        Couplings, in kT.
    fit
        Complete-data likelihood fit at the last draws of the labels.
    evidence
        Those draws.
    covariance, interval, zero_p
        Covariance of the couplings, their intervals, and the p-value of each being zero with the others free.
    missing_share
        Largest share of the information on any combination of the couplings that uncertain labels take away.
    """

    value: Float[np.ndarray, " parameter"]
    fit: LikelihoodFit
    evidence: Evidence
    covariance: Float[np.ndarray, "parameter parameter"]
    interval: Float[np.ndarray, "parameter 2"]
    zero_p: Float[np.ndarray, " parameter"]
    missing_share: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Replicas:
    """Images drawn from a fitted model, given the borders and the compositions.

    Attributes
    ----------
    histogram
        Class counts.
    statistics
        T of each larger model, summed over images.
    observed_statistics
        The same for the data with their most likely labels (one row).
    observed_histogram
        Class counts of the data with their most likely labels (one row).
    predicted, observed_predicted
        Statistics that were not fitted, of the replicas and of the data.
    """

    histogram: Int[np.ndarray, "replica image class"]
    statistics: tuple[Float[np.ndarray, "replica _"], ...]
    observed_statistics: tuple[Float[np.ndarray, "one _"], ...]
    observed_histogram: Int[np.ndarray, "one image class"]
    predicted: Float[np.ndarray, "replica image statistic"]
    observed_predicted: Float[np.ndarray, "one image statistic"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ModelOutcome:
    """What a job gives.

    Attributes
    ----------
    fitted
        Couplings with their uncertainty.
    gain
        Log-likelihood above no coupling, in nats.
    clic
        Composite-likelihood information criterion.
    surfaces
        Histogram surfaces, one per image.
    distance
        Distance fits of the draws of the labels.
    replicas, replica_distance, labelled_distance
        Replicas, their distance fits, and that of the data with their most likely labels.
    """

    fitted: FittedCouplings
    gain: float
    clic: float
    surfaces: tuple[HistogramSurface, ...]
    distance: DistanceFit
    replicas: Replicas
    replica_distance: DistanceFit
    labelled_distance: DistanceFit


def run_model(job: ModelJob, rng: np.random.Generator) -> ModelOutcome:
    """Fit one model to all images and draw its replicas."""
    fitted = fit_labels(job, rng)
    evidence = fitted.evidence
    gain, _ = log_likelihood_gain(evidence, job.model, fitted.value, rng=rng, settings=job.settings)
    classes = ring_classes(job.windows[0].n_ring)
    composition = centre_composition(job.histogram, classes)
    surfaces, distance = _surfaces(job, fitted, composition, rng)
    replicas = replicate(job, evidence, fitted.value, rng)
    return ModelOutcome(
        fitted=fitted,
        gain=gain,
        clic=_clic(job, fitted.value, rng),
        surfaces=surfaces,
        distance=distance,
        replicas=replicas,
        replica_distance=minimise_distance(
            surfaces, replicas.histogram, centre_composition(replicas.histogram, classes)
        ),
        labelled_distance=minimise_distance(
            surfaces, replicas.observed_histogram, centre_composition(replicas.observed_histogram, classes)
        ),
    )


def fit_labels(job: ModelJob, rng: np.random.Generator) -> FittedCouplings:
    """Fit the couplings and state their uncertainty, that of the labels included.

    With uncertain labels the likelihood averages over draws of them, and they are drawn again from their posterior at
    each new fit (Monte Carlo EM); the covariance of the scores between draws is the information that the labels'
    uncertainty took away.

    References
    ----------
    G. C. G. Wei and M. A. Tanner, J. Am. Stat. Assoc. 85, 699 (1990).
    T. A. Louis, J. R. Stat. Soc. B 44, 226 (1982).
    """
    species = tuple(draws[: job.n_imputations] for draws in job.species)
    evidence = Evidence(windows=job.windows, species=species)
    fit = maximise_likelihood(evidence, job.model, rng=rng, settings=job.settings)
    missing = _missing_information(evidence, fit)
    place, ends, losses = _accelerated(fit, missing, np.zeros_like(fit.value)), [], []
    for _ in range(N_LABEL_PASSES if job.n_imputations > 1 else 0):
        couplings = np.tile(np.clip(place, -COUPLING_LIMIT, COUPLING_LIMIT), (job.n_imputations, 1))
        species = tuple(draw_labels_given(window, job.model, couplings, rng=rng) for window in job.windows)
        evidence = Evidence(windows=job.windows, species=species)
        fit = maximise_likelihood(evidence, job.model, rng=rng, start=fit.value, settings=job.settings)
        losses.append(_missing_information(evidence, fit))
        missing = np.mean(losses[-N_AVERAGED:], axis=0)
        place = _accelerated(fit, missing, place)
        ends.append(place)
    value = np.mean(ends[-N_AVERAGED:], axis=0) if ends else fit.value
    complete = invert(fit.information)
    covariance = invert(fit.information - missing) + fit.monte_carlo_covariance
    covariance = covariance + complete @ missing @ complete / evidence.n_draws
    widening = np.sqrt(np.diag(covariance) / np.diag(complete))
    return FittedCouplings(
        value=value,
        fit=fit,
        evidence=evidence,
        covariance=covariance,
        interval=_intervals(fit, widening, job.settings.confidence) + (value - fit.value)[:, None],
        zero_p=chdtrc(1, value**2 / np.diag(covariance)),
        missing_share=float(np.linalg.eigvals(complete @ missing).real.max()),
    )


def _missing_information(evidence: Evidence, fit: LikelihoodFit) -> np.ndarray:
    """Return the covariance of the complete-data score between draws of the labels (Louis)."""
    if evidence.n_draws == 1:
        return np.zeros_like(fit.information)
    _, mean, _ = fit.pool.moments(fit.value)
    scores = (mean - fit.pool.observed).reshape(len(evidence.windows), evidence.n_draws, -1).sum(axis=0)
    return np.cov(scores, rowvar=False).reshape(fit.information.shape)


def _accelerated(fit: LikelihoodFit, missing: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return where the passes over the labels will end: each closes the observed share of the way that is left.

    `before` are the couplings at which the labels were drawn (none, at first).
    """
    share = invert(fit.information) @ missing
    share = share * min(1.0, MOST_MISSING / max(float(np.linalg.norm(share, 2)), TINY))
    return before + np.linalg.solve(np.eye(len(before)) - share, fit.value - before)


def _intervals(fit: LikelihoodFit, widening: np.ndarray, confidence: float) -> np.ndarray:
    """Return the profile intervals, widened about the fit for label uncertainty."""
    bounds = np.array([profile_interval(fit, k, confidence=confidence) for k in range(len(fit.value))])
    return fit.value[:, None] + (bounds.reshape(-1, 2) - fit.value[:, None]) * widening[:, None]


def _surfaces(
    job: ModelJob, fitted: FittedCouplings, composition: np.ndarray, rng: np.random.Generator
) -> tuple[tuple[HistogramSurface, ...], DistanceFit]:
    """Return histogram surfaces that hold the best distance well inside, and the distance fits of the data."""
    mean = np.nan_to_num(composition.mean(axis=0))

    def around(centre: np.ndarray) -> tuple[tuple[HistogramSurface, ...], DistanceFit]:
        surfaces = tuple(
            histogram_surface(
                job.model, centre=centre, information=fitted.fit.information, composition=x, n_ring=window.n_ring,
                n_samples=job.settings.n_crystal_samples, rng=rng,
            )
            for x, window in zip(mean, job.windows, strict=True)
        )  # fmt: skip
        return surfaces, minimise_distance(surfaces, job.histogram, composition)

    surfaces, distance = around(fitted.value)
    for _ in range(N_RECENTRES):
        if distance.at_edge.mean() < MOST_AT_EDGE:
            break
        surfaces, distance = around(np.median(distance.value, axis=0))
    return surfaces, distance


def replicate(job: ModelJob, evidence: Evidence, couplings: np.ndarray, rng: np.random.Generator) -> Replicas:
    """Draw replicas of all images and label them as the data are labelled.

    Each draw of the labels lends its border and composition to its share of the replicas. The most likely labels of
    the data are compared with replicas that are mislabelled at the rates that the data's probabilities state.
    """
    share = -(-job.n_bootstrap // evidence.n_draws)
    spread_out = dataclasses.replace(job.settings.sampler, spacing=4.0)
    replicas, labels = [], []
    for window, draws in zip(job.windows, evidence.species, strict=True):
        chains = [
            sample(
                window, job.model, couplings=couplings, species=species, n_samples=share, rng=rng, keep_species=True,
                settings=spread_out,
            ).species
            for species in draws
        ]  # fmt: skip
        replicas.append(mislabel(window, np.concatenate(chains), rng=rng))
        labels.append(most_likely_labels(window)[None])
    return Replicas(
        histogram=_histograms(job.windows, replicas),
        statistics=tuple(_totals(job.windows, model, replicas) for model in job.larger),
        observed_statistics=tuple(_totals(job.windows, model, labels) for model in job.larger),
        observed_histogram=_histograms(job.windows, labels),
        predicted=_predicted(job.windows, replicas),
        observed_predicted=_predicted(job.windows, labels),
    )


def _histograms(windows: Sequence[Window], species: Sequence[np.ndarray]) -> np.ndarray:
    """Return the class counts of each arrangement of each image."""
    pairs = zip(windows, species, strict=True)
    return np.stack([cluster_histogram(window, one, ring_classes(window.n_ring)) for window, one in pairs], axis=1)


def _totals(windows: Sequence[Window], model: LatticeModel, species: Sequence[np.ndarray]) -> np.ndarray:
    """Return the statistics of a model for each arrangement, summed over images."""
    pairs = zip(windows, species, strict=True)
    return np.sum([window.only(model).statistics(model, one) for window, one in pairs], axis=0)


def _predicted(windows: Sequence[Window], species: Sequence[np.ndarray]) -> np.ndarray:
    """Return the statistics that were not fitted for each arrangement of each image."""
    return np.stack([predicted_statistics(window, one) for window, one in zip(windows, species, strict=True)], axis=1)


def _clic(job: ModelJob, couplings: np.ndarray, rng: np.random.Generator) -> float:
    """Return the composite-likelihood information criterion of the pseudolikelihood."""
    first = [most_likely_labels(window) for window in job.windows]
    narrow = [window.only(job.model) for window in job.windows]
    fit = maximise_pseudolikelihood(narrow, job.model, first)
    replicas = [
        sample(
            window, job.model, couplings=couplings, species=species, n_samples=N_SCORE_REPLICAS, rng=rng,
            keep_species=True, settings=job.settings.sampler,
        ).species
        for window, species in zip(narrow, first, strict=True)
    ]  # fmt: skip
    scores = pseudolikelihood_scores(fit, narrow, job.model, replicas)
    return composite_information_criterion(
        fit.log_pseudolikelihood, score_covariance=np.cov(scores, rowvar=False), information=fit.information
    )
