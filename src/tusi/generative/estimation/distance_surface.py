"""The statistical distance between images and a model as a smooth function of the couplings, from pooled samples."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.estimation.counting import Counter, Statistic
from tusi.generative.estimation.estimate import Composition
from tusi.generative.estimation.latent import Image, compile_images
from tusi.generative.estimation.observation import Observation
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.exchange import Exchange
from tusi.generative.montecarlo.heat_bath import HeatBath
from tusi.generative.montecarlo.plan import SamplingPlan
from tusi.generative.montecarlo.samples import Samples
from tusi.generative.reweighting import pool_of
from tusi.inference.statistical_distance import statistical_distance

CHUNK = 100
"""Couplings at which samples are weighted together."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """One image's histogram, and how to simulate what the image would show of a model.

    Attributes
    ----------
    image
        The compiled image.
    counter
        Counts the clusters of which the image says something.
    observed
        The image's histogram, of its most likely labels.
    size
        Clusters in each bin's block.
    channel
        P(label | species) of the labels that are doubtful; None where all are certain.
    canonical
        Whether the composition is kept.
    """

    image: Image
    counter: Counter
    observed: Float[np.ndarray, " bin"]
    size: Float[np.ndarray, " bin"]
    channel: Float[np.ndarray, "species label"] | None
    canonical: bool

    def simulate(
        self, couplings: Float[np.ndarray, " parameter"], *, plan: SamplingPlan, rng: np.random.Generator
    ) -> tuple[Samples, Int[np.ndarray, "sample bin"]]:
        """Return samples of the model on the image's own sites, and the histograms that the image would show."""
        system = self.image.system
        plan = dataclasses.replace(plan, keep_species=True, start=self.image.starts(plan.n_chains, rng=rng))
        local = self.image.local(couplings, np.zeros(self.image.n_fields))
        sampler = Exchange() if self.canonical else HeatBath()
        samples = draw_samples(system, local, sampler=sampler, plan=plan, rng=rng)
        return samples, self.counter.count(self._labels(samples.species.reshape(-1, system.n_sites), rng))

    def _labels(self, species: Int[np.ndarray, "sample site"], rng: np.random.Generator) -> np.ndarray:
        """Return the labels that the image would give to these species; those at its border are as observed."""
        if self.channel is None:
            return species
        draw = rng.random(species.shape, dtype=np.float32)
        labels = (draw[..., None] > np.cumsum(self.channel, axis=1)[species][..., :-1]).sum(axis=-1)
        return np.where(self.image.inner, labels, self.image.likely).astype(np.int8)


def targets_of(
    observations: Sequence[Observation], model: LatticeModel, *, statistic: Statistic, composition: Composition
) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    """Return what each image shows of a statistic, and notes on images that are left out.

    Raises
    ------
    InputError
        No image has a complete cluster with a random site.
    """
    images, notes = compile_images(observations, model, composition=composition)
    told = [o for o in observations if composition == "model" or _n_present(o) > 1]
    targets = []
    for image, observation in zip(images, told, strict=True):
        counter = statistic.counter(observation.sites, model.species).only(observation.informed)
        random = np.append(image.inner, False)[counter.members].any(axis=1)
        if not random.any():
            notes = (*notes, f"{image.name} has no complete cluster with a random site")
            continue
        observed = counter.count(image.likely).astype(np.float64)
        total = np.bincount(counter.block, weights=observed)
        targets.append(
            Target(
                image=image,
                counter=counter,
                observed=observed,
                size=total[counter.block],
                channel=_channel(image, observation),
                canonical=composition == "own",
            )
        )
    if not targets:
        raise InputError(
            "observations",
            expected="a complete cluster with a random site in some image",
            got="none",
            then="Use larger windows, or a statistic of smaller clusters.",
        )
    return tuple(targets), notes


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HistogramPool:
    """Samples of one image's histogram and sufficient statistics, drawn at several couplings.

    Attributes
    ----------
    statistics
        Sufficient statistics times the image's temperature ratio, so that they go with the shared couplings.
    histogram
        The histogram of each sample.
    log_weight
        Log-probability of each sample over that in the mixture of all couplings.
    independence
        Independent samples that each sample is worth.
    r_hat
        Agreement of the chains.
    """

    statistics: Float[np.ndarray, "sample parameter"]
    histogram: Float[np.ndarray, "sample bin"]
    log_weight: Float[np.ndarray, " sample"]
    independence: Float[np.ndarray, " sample"]
    r_hat: float

    def probability(self, couplings: Float[np.ndarray, "*batch parameter"]) -> Float[np.ndarray, "*batch sample"]:
        """Return the weight of each sample at these couplings."""
        exponent = self.log_weight - couplings @ self.statistics.T
        exponent -= exponent.max(axis=-1, keepdims=True)
        weight = np.exp(exponent, out=exponent)
        weight /= weight.sum(axis=-1, keepdims=True)
        return weight

    def mean(
        self, couplings: Float[np.ndarray, " parameter"]
    ) -> tuple[Float[np.ndarray, " bin"], Float[np.ndarray, "bin parameter"]]:
        """Return the model's histogram and its derivatives: `dE[h]/dw = -Cov(h, T)`."""
        weight = self.probability(couplings)
        mean = weight @ self.histogram
        away = (self.statistics - weight @ self.statistics) * weight[:, None]
        return mean, -self.histogram.T @ away


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DistanceSurface:
    """The pooled squared distance `S^2 = sum_k (N_k / N) s_k^2` of all images around some couplings.

    Attributes
    ----------
    targets
        What the images show.
    pools
        Samples of the model, image by image.
    """

    targets: tuple[Target, ...]
    pools: tuple[HistogramPool, ...]

    @functools.cached_property
    def n_clusters(self) -> float:
        """Clusters of all images and blocks."""
        return float(sum(target.observed.sum() for target in self.targets))

    def squared(self, couplings: Float[np.ndarray, " parameter"]) -> float:
        """Return S^2 at these couplings."""
        return float(self.evaluate(couplings[None])[0][0])

    def evaluate(
        self, couplings: Float[np.ndarray, "place parameter"]
    ) -> tuple[Float[np.ndarray, " place"], Float[np.ndarray, " place"]]:
        """Return S^2 at many couplings, and the independent samples behind it in the image that has fewest."""
        total, size = np.zeros(len(couplings)), np.full(len(couplings), np.inf)
        for target, pool in zip(self.targets, self.pools, strict=True):
            n_each = np.bincount(target.counter.block, weights=target.observed)
            for some in np.array_split(np.arange(len(couplings)), len(couplings) // CHUNK + 1):
                weight = pool.probability(couplings[some])
                angle = self._angles(target, target.observed, weight @ pool.histogram)
                total[some] += np.nan_to_num(angle) ** 2 @ n_each
                size[some] = np.minimum(size[some], 1.0 / (weight**2 @ (1.0 / pool.independence)))
        return total / self.n_clusters, size

    def gradient(
        self, couplings: Float[np.ndarray, " parameter"]
    ) -> tuple[Float[np.ndarray, " parameter"], Float[np.ndarray, "parameter parameter"]]:
        """Return gradient and approximate Hessian of `2 N S^2`, whose scale is that of a log-likelihood."""
        n = len(couplings)
        gradient, hessian = np.zeros(n), np.zeros((n, n))
        for target, pool in zip(self.targets, self.pools, strict=True):
            mean, slope = pool.mean(couplings)
            gradient += self._pull(target, target.observed[None], mean, slope)[0]
            hessian += slope.T @ (slope * _inverse(mean)[:, None])
        return gradient, hessian

    def pulls(
        self, couplings: Float[np.ndarray, " parameter"], *, at: Float[np.ndarray, " parameter"]
    ) -> tuple[Float[np.ndarray, " parameter"], Float[np.ndarray, "parameter parameter"]]:
        """Return mean and covariance of the gradient at `couplings` over histograms that the model draws at `at`."""
        n = len(couplings)
        total, covariance = np.zeros(n), np.zeros((n, n))
        for target, pool in zip(self.targets, self.pools, strict=True):
            weight = pool.probability(at)
            each = self._pull(target, pool.histogram, *pool.mean(couplings))
            mean = weight @ each
            away = each - mean
            total += mean
            covariance += away.T @ (away * weight[:, None]) / max(1.0 - weight @ weight, 1e-3)
        return total, covariance

    def effective_sample_size(self, couplings: Float[np.ndarray, " parameter"]) -> float:
        """Return the independent samples behind the histogram of the image that has fewest."""
        return float(self.evaluate(couplings[None])[1][0])

    def _pull(self, target: Target, histogram: np.ndarray, mean: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Return the gradient of `2 N S^2` of one image for each of several histograms."""
        ratio = np.sqrt(histogram) * np.sqrt(_inverse(mean))
        angle = self._angles(target, histogram, mean)
        sharp = (1.0 / np.sinc(np.minimum(angle, 3.0) / np.pi))[:, target.counter.block]
        return -2.0 * (ratio * np.nan_to_num(sharp, nan=1.0)) @ slope

    @staticmethod
    def _angles(target: Target, histogram: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return the statistical distance of each block."""
        blocks = [target.counter.block == k for k in range(int(target.counter.block.max()) + 1)]
        return np.stack([statistical_distance(histogram[..., b], mean[..., b]) for b in blocks], axis=-1)


def distance_surface(
    targets: Sequence[Target],
    nodes: Float[np.ndarray, "node parameter"],
    *,
    plan: SamplingPlan,
    rng: np.random.Generator,
) -> DistanceSurface:
    """Sample every image at every node and pool the samples.

    Parameters
    ----------
    targets
        What the images show.
    nodes
        Couplings to sample at, in kT; they must overlap.
    plan
        Chains at each node.
    rng
        Source of randomness.
    """
    pools = []
    for target in targets:
        n_shared, ratio = target.image.n_shared, target.image.ratio
        drawn = [target.simulate(node, plan=plan, rng=rng) for node in nodes]
        statistics = np.stack([samples.statistics[..., :n_shared].reshape(-1, n_shared) for samples, _ in drawn])
        statistics *= ratio
        pool = pool_of([(nodes, statistics)], observed=np.zeros((1, n_shared)), weight=np.ones(1))
        flat = statistics.reshape(-1, n_shared)
        row = np.unique(flat, axis=0, return_inverse=True)[1].ravel()
        n_samples = statistics.shape[1]
        sizes = [float(samples.effective_sample_size[:n_shared].min()) for samples, _ in drawn]
        pools.append(
            HistogramPool(
                statistics=flat - flat.mean(axis=0),
                histogram=np.concatenate([histogram for _, histogram in drawn]).astype(np.float64),
                log_weight=pool.log_weight[row] - np.log(pool.multiplicity[row]),
                independence=np.repeat(sizes, n_samples) / n_samples,
                r_hat=max(float(s.r_hat[:n_shared].max()) for s, _ in drawn),
            )
        )
    return DistanceSurface(targets=tuple(targets), pools=tuple(pools))


def _inverse(mean: np.ndarray) -> np.ndarray:
    """Return one over a mean count; 0 where the model never made such a cluster."""
    return np.divide(1.0, mean, out=np.zeros_like(mean), where=mean > 0)


def _channel(image: Image, observation: Observation) -> np.ndarray | None:
    """Return how labels come about from species, averaged over the image; None where all are certain."""
    informed = observation.informed & image.inner
    if (observation.certain | ~informed).all():
        return None
    rows, label = image.probability[informed], image.likely[informed]
    n = rows.shape[1]
    joint = np.stack([rows[label == k].sum(axis=0) for k in range(n)], axis=1)
    total = joint.sum(axis=1, keepdims=True)
    return np.where(total > 0, joint / np.maximum(total, 1e-300), np.eye(n))


def _n_present(observation: Observation) -> int:
    """Return how many species an image may hold."""
    return int((observation.species_probability[observation.informed].max(axis=0) > 0).sum())
