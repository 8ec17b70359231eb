"""Exact tests of "random at this composition": the atoms of each image are dealt out again."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from tusi.generative.clusters import centre_composition, cluster_histogram, random_probability
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.predictive import predicted_statistics
from tusi.generative.window import Window
from tusi.inference.resampling import resampling_p_value
from tusi.inference.statistical_distance import pooled_squared_distance, statistical_distance
from tusi.numerics.symmetry import ring_classes

N_CHUNKS = 8
"""Pieces into which the permutations are cut for parallel work, whatever the number of workers."""

SAME = 1e-9
"""Relative difference below which two scores are the same one, summed in another order."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PermutationJob:
    """Some of the permutations of all images.

    Attributes
    ----------
    windows, species
        One per image; species per draw of the labels and site.
    models
        Models whose statistics are wanted.
    n_permutations
        How many.
    """

    windows: tuple[Window, ...]
    species: tuple[Int[np.ndarray, "draw site"], ...]
    models: tuple[LatticeModel, ...]
    n_permutations: int


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Permutations:
    """Statistics of permuted images.

    Attributes
    ----------
    histogram
        Class counts when all atoms of an image are permuted.
    statistics, free_histogram
        When the atoms of the free sites are permuted and the border stays: T per model, and class counts.
    predicted
        Statistics named in `tusi.generative.predictive.PREDICTED` when all atoms of an image are permuted.
    """

    histogram: Int[np.ndarray, "replica image class"]
    statistics: tuple[Float[np.ndarray, "replica image _"], ...]
    free_histogram: Int[np.ndarray, "replica image class"]
    predicted: Float[np.ndarray, "replica image statistic"]


def permute(job: PermutationJob, rng: np.random.Generator) -> Permutations:
    """Deal out the atoms of each image again and count; replicas take the draws of the labels in turn."""
    histograms, free_histograms, predicted = [], [], []
    statistics: list[list[np.ndarray]] = [[] for _ in job.models]
    for window, draws in zip(job.windows, job.species, strict=True):
        chosen = draws[np.arange(job.n_permutations) % len(draws)]
        everywhere = _shuffled(chosen, window.occupied, rng)
        histograms.append(cluster_histogram(window, everywhere, ring_classes(window.n_ring)))
        predicted.append(predicted_statistics(window, everywhere))
        inner = _shuffled(chosen, window.free, rng)
        free_histograms.append(cluster_histogram(window, inner, ring_classes(window.n_ring)))
        for values, model in zip(statistics, job.models, strict=True):
            values.append(window.only(model).statistics(model, inner))
    return Permutations(
        histogram=np.stack(histograms, axis=1),
        statistics=tuple(np.stack(values, axis=1) for values in statistics),
        free_histogram=np.stack(free_histograms, axis=1),
        predicted=np.stack(predicted, axis=1),
    )


def gather(parts: list[Permutations]) -> Permutations:
    """Put the pieces together."""
    return Permutations(
        histogram=np.concatenate([part.histogram for part in parts]),
        statistics=tuple(np.concatenate(values) for values in zip(*(part.statistics for part in parts), strict=True)),
        free_histogram=np.concatenate([part.free_histogram for part in parts]),
        predicted=np.concatenate([part.predicted for part in parts]),
    )


def random_distance(histogram: Int[np.ndarray, "*batch class"], n_ring: int) -> Float[np.ndarray, "*batch"]:
    """Return the squared statistical distance from the random alloy of the composition of the clusters' centres."""
    classes = ring_classes(n_ring)
    expected = random_probability(centre_composition(histogram, classes), classes)
    return np.asarray(np.nan_to_num(statistical_distance(histogram, expected)) ** 2)


def score_statistic(
    statistics: Float[np.ndarray, "case parameter"], null: Float[np.ndarray, "replica parameter"]
) -> Float[np.ndarray, " case"]:
    """Return the squared distance of T (summed over images) from its mean under the null, in units of its covariance.

    It is the score test of the couplings against none: twice the log-likelihood gain, to leading order.
    """
    away = statistics - null.mean(axis=0)
    inverse = np.linalg.pinv(np.atleast_2d(np.cov(null, rowvar=False)), rcond=1e-8, hermitian=True)
    return np.einsum("ck,kl,cl->c", away, inverse, away)


def score_p_value(
    observed: tuple[Float[np.ndarray, "one parameter"], Int[np.ndarray, "one image class"]],
    null: tuple[Float[np.ndarray, "replica parameter"], Int[np.ndarray, "replica image class"]],
    *,
    n_ring: int,
) -> float:
    """Return the permutation p-value of the score; of equal scores the larger statistical distance is the more extreme.

    A dilute image has few possible numbers of pairs: were every tie called as extreme as the data, a true "random"
    would be rejected half as often as stated. Any order of the arrangements in which the observed one takes its place
    like all others keeps the test exact, and the distance from "random" leaves hardly a tie.

    Parameters
    ----------
    observed, null
        Statistics T summed over images, and class counts per image; of the data, and with free sites permuted.
    n_ring
        Coordination of the lattice.

    References
    ----------
    B. Phipson and G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9, 39 (2010).
    """
    both = np.concatenate([null[0], observed[0]])
    score, null_score = score_statistic(observed[0], both)[0], score_statistic(null[0], both)
    tie = SAME * max(1.0, abs(score))
    distance, null_distance = (_pooled_distance(histogram, n_ring) for _, histogram in (observed, null))
    in_order = np.where(null_score > score + tie, np.inf, np.where(null_score < score - tie, -np.inf, null_distance))
    return resampling_p_value(float(distance[0]), in_order)


def _pooled_distance(histogram: Int[np.ndarray, "replica image class"], n_ring: int) -> Float[np.ndarray, " replica"]:
    """Return the squared distances from "random", each image weighted by its clusters."""
    return pooled_squared_distance(random_distance(histogram, n_ring), histogram[0].sum(axis=1))


def _shuffled(species: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a copy in which each row is permuted on these sites."""
    out = species.copy()
    out[:, where] = rng.permuted(species[:, where], axis=1)
    return out
