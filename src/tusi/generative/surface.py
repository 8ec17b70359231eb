"""A model's cluster histogram as a smooth function of its couplings, and the couplings that fit a histogram best."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from tusi.generative.clusters import cluster_histogram, finite_random_probability, random_probability
from tusi.generative.crystal import periodic_graph
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.likelihood import invert
from tusi.generative.sampling import SamplerSettings, sample
from tusi.generative.window import condition
from tusi.inference.statistical_distance import statistical_distance
from tusi.numerics.symmetry import RingClasses, ring_classes

CRYSTAL_WIDTH = 30
"""Rows and columns of the periodic crystal from which a model's histogram is taken."""

LEAST_COUNT = 30
"""Clusters of a class that must have been sampled; rarer classes keep their probability in the random alloy."""

REACH, WIDEST = 2.5, 0.5
"""Reach of a surface along each principal direction: this many standard errors, at most this many kT."""

OVERREACH = 1.2
"""Distance from the centre, in units of the reach, up to which a surface is still asked for a value."""

DEGREE = 3
"""Degree of the polynomial in the couplings."""

MOST_LOG_RATIO = 50.0

TINY = 1e-300


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HistogramSurface:
    """Class probabilities of a model around some couplings: their logarithm is a cubic polynomial.

    It is fitted to probabilities and their derivatives (covariances with T) sampled on a periodic crystal at the
    centre and on either side of it. The ratio to the random alloy is simulated and the random alloy itself is exact,
    so there is no rounding of the composition.

    Attributes
    ----------
    centre, scale
        Couplings are `centre + scale @ u`, in kT, with |u| <= 1.
    composition
        Fraction of the counted species.
    coefficient
        Polynomial coefficients of the log-ratio to the random alloy.
    classes
        Symmetry classes.
    """

    centre: Float[np.ndarray, " parameter"]
    scale: Float[np.ndarray, "parameter parameter"]
    composition: float
    coefficient: Float[np.ndarray, "monomial class"]
    classes: RingClasses

    def probability(
        self,
        place: Float[np.ndarray, "*batch parameter"],
        composition: Float[np.ndarray, "*batch"] | float | None = None,
    ) -> Float[np.ndarray, "*batch class"]:
        """Return the class probabilities at `centre + scale @ place`, at this composition or one close to it."""
        composition = self.composition if composition is None else composition
        log_ratio = _monomials(place)[0] @ self.coefficient
        weight = random_probability(np.asarray(composition), self.classes) * _safe_exp(log_ratio)
        return weight / weight.sum(axis=-1, keepdims=True)


def histogram_surface(  # noqa: PLR0913
    model: LatticeModel,
    *,
    centre: Float[np.ndarray, " parameter"],
    information: Float[np.ndarray, "parameter parameter"],
    composition: float,
    n_ring: int,
    n_samples: int,
    rng: np.random.Generator,
) -> HistogramSurface:
    """Return the class probabilities of a model around these couplings, from chains on a periodic crystal.

    Parameters
    ----------
    model
        The Hamiltonian.
    centre, information
        Couplings in kT, and the information that says how far around them the surface must reach.
    composition
        Fraction of the counted species.
    n_ring
        Coordination of the lattice.
    n_samples
        Arrangements of the crystal over all nodes.
    rng
        Source of randomness.
    """
    classes = ring_classes(n_ring)
    size, direction = np.linalg.eigh(invert(information))
    scale = direction * np.minimum(REACH * np.sqrt(np.maximum(size, 0.0)), WIDEST)
    n_terms = len(centre)
    places = np.concatenate([np.zeros((1, n_terms)), np.eye(n_terms), -np.eye(n_terms)])
    nodes = [
        _node(model, centre + scale @ place, composition, (classes, n_samples // len(places)), rng) for place in places
    ]
    usable = np.all([common for _, _, common in nodes], axis=0)
    targets, rows = [], []
    for place, (log_ratio, slope, _) in zip(places, nodes, strict=True):
        values, derivatives = _monomials(place)
        rows.append(np.vstack([values, derivatives]))
        targets.append(np.vstack([log_ratio, scale.T @ slope.T]))
    coefficient = np.linalg.lstsq(np.concatenate(rows), np.where(usable, np.concatenate(targets), 0.0), rcond=None)[0]
    return HistogramSurface(
        centre=np.asarray(centre, float), scale=scale, composition=composition, coefficient=coefficient, classes=classes
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DistanceFit:
    """Couplings that minimise the pooled statistical distance, for each replica.

    Attributes
    ----------
    value
        Couplings, in kT.
    squared
        Squared distance of each image at these couplings.
    pooled
        Pooled squared distance.
    at_edge
        Whether the minimum lies at the edge of what the surfaces cover.
    """

    value: Float[np.ndarray, "replica parameter"]
    squared: Float[np.ndarray, "replica image"]
    pooled: Float[np.ndarray, " replica"]
    at_edge: Bool[np.ndarray, " replica"]


def minimise_distance(
    surfaces: Sequence[HistogramSurface],
    histogram: Int[np.ndarray, "replica image class"],
    composition: Float[np.ndarray, "replica image"],
) -> DistanceFit:
    """Fit the couplings of each replica by the pooled squared statistical distance.

    Newton steps with numerical derivatives in the surfaces' own coordinates, kept inside what they cover.

    Parameters
    ----------
    surfaces
        One per image, with common centre and scale.
    histogram
        Class counts per replica and image.
    composition
        Fraction of the counted species at the centres of these clusters.
    """
    n_replicas, n_terms = len(histogram), len(surfaces[0].centre)
    share = histogram.sum(axis=(0, 2)) / max(histogram.sum(), 1)
    squared = _squared_distances(surfaces, histogram, composition)
    place = np.zeros((n_replicas, n_terms))
    level = squared(place) @ share
    for _ in range(12):
        level_before = level.sum()
        gradient, curvature = _derivatives(lambda u: squared(u) @ share, place, level)
        size, direction = np.linalg.eigh(curvature)
        inverse = np.einsum("rij,rj,rkj->rik", direction, 1.0 / np.maximum(np.abs(size), 1e-6), direction)
        step = -np.einsum("rij,rj->ri", inverse, gradient)
        step /= np.maximum(1.0, np.abs(step).max(axis=1, keepdims=True) / 0.5)
        for scale in (1.0, 0.3, 0.05):
            trial = np.clip(place + scale * step, -1.0, 1.0)
            value = squared(trial) @ share
            better = value < level
            place = np.where(better[:, None], trial, place)
            level = np.where(better, value, level)
            step = np.where(better[:, None], 0.0, step)
        if level_before - level.sum() < 1e-9 * n_replicas:
            break
    each = squared(place)
    return DistanceFit(
        value=surfaces[0].centre + place @ surfaces[0].scale.T,
        squared=each,
        pooled=each @ share,
        at_edge=np.any(np.abs(place) >= 1.0 - 1e-9, axis=1),
    )


def distance_at(
    surfaces: Sequence[HistogramSurface],
    histogram: Int[np.ndarray, "replica image class"],
    composition: Float[np.ndarray, "replica image"],
    couplings: Float[np.ndarray, "replica parameter"],
) -> Float[np.ndarray, "replica image"]:
    """Return the squared distances at given couplings (kT); NaN where the surfaces do not reach."""
    place = np.linalg.solve(surfaces[0].scale, (couplings - surfaces[0].centre).T).T
    inside = np.abs(place).max(axis=1, keepdims=True, initial=0.0) <= OVERREACH
    return np.where(inside, _squared_distances(surfaces, histogram, composition)(place), np.nan)


def _squared_distances(
    surfaces: Sequence[HistogramSurface], histogram: np.ndarray, composition: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from places on the surfaces to squared distances of each replica and image."""
    random = [random_probability(composition[:, k], surface.classes) for k, surface in enumerate(surfaces)]

    def squared(place: np.ndarray) -> np.ndarray:
        values = _monomials(place)[0]
        angles = [
            statistical_distance(histogram[:, k], random[k] * _safe_exp(values @ surface.coefficient))
            for k, surface in enumerate(surfaces)
        ]
        return np.nan_to_num(np.stack(angles, axis=-1)) ** 2

    return squared


def _safe_exp(log_ratio: np.ndarray) -> np.ndarray:
    """Return the exponential of a log-ratio, bounded where a surface is asked far from where it was sampled."""
    return np.exp(np.clip(log_ratio, -MOST_LOG_RATIO, MOST_LOG_RATIO))


def _node(
    model: LatticeModel,
    couplings: np.ndarray,
    composition: float,
    plan: tuple[RingClasses, int],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the log-ratio of each class to the random alloy, its derivatives, and which classes were seen enough."""
    classes, n_samples = plan
    window = condition(periodic_graph((CRYSTAL_WIDTH, CRYSTAL_WIDTH), n_ring=classes.n_ring), [model])
    n_counted = round(composition * window.n_sites)
    species = (np.arange(window.n_sites) < n_counted).astype(np.int8)
    chain = sample(
        window, model, couplings=couplings, species=species, n_samples=n_samples, rng=rng,
        keep_species=True, settings=SamplerSettings(spacing=1.0, burn_in=60),
    )  # fmt: skip
    counts = cluster_histogram(window, chain.species, classes).astype(float)
    mean = counts.mean(axis=0)
    common = mean * len(counts) >= LEAST_COUNT
    exact = finite_random_probability(window.n_sites, n_counted, classes)
    log_ratio = np.where(common, np.log((mean / window.n_sites + TINY) / (exact + TINY)), 0.0)
    away = chain.statistics - chain.statistics.mean(axis=0)
    slope = -(counts.T @ away) / len(counts) / np.where(common, mean, np.inf)[:, None]
    return log_ratio, slope, common


def _monomials(place: Float[np.ndarray, "*batch parameter"]) -> tuple[np.ndarray, np.ndarray]:
    """Return all monomials up to the degree, and (for a single place) their derivatives by each coordinate."""
    n_terms = place.shape[-1]
    powers = [p for p in itertools.product(range(DEGREE + 1), repeat=n_terms) if sum(p) <= DEGREE]
    powers = np.array(powers)
    values = np.prod(place[..., None, :] ** powers, axis=-1)
    derivatives = np.zeros((n_terms, len(powers)))
    if place.ndim == 1:
        for axis in range(n_terms):
            lower = powers - np.eye(n_terms, dtype=int)[axis]
            factor = np.prod(place ** np.maximum(lower, 0), axis=-1)
            derivatives[axis] = powers[:, axis] * factor
    return values, derivatives


def _derivatives(
    function: Callable[[np.ndarray], np.ndarray], place: np.ndarray, level: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return gradient and curvature of a function of each replica's place, by central differences."""
    n_terms, width = place.shape[1], 0.02
    steps = width * np.eye(n_terms)
    up = [function(place + step) for step in steps]
    down = [function(place - step) for step in steps]
    gradient = np.stack([(u - d) / (2 * width) for u, d in zip(up, down, strict=True)], axis=-1)
    curvature = np.empty((len(place), n_terms, n_terms))
    for j, k in itertools.product(range(n_terms), repeat=2):
        if j == k:
            curvature[:, j, j] = (up[j] - 2 * level + down[j]) / width**2
        else:
            both = function(place + steps[j] + steps[k])
            curvature[:, j, k] = (both - up[j] - up[k] + level) / width**2
    return gradient, curvature
