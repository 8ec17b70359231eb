"""What fitted couplings predict of an image: histograms with bands, predictive p-values, leave-one-image-out."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.generative.estimation.estimate import EstimationMethod, estimate_couplings
from tusi.generative.estimation.histograms import ClusterHistogram, Counter, Statistic
from tusi.generative.estimation.observation import Observation
from tusi.generative.lattice.compilation import lattice_system
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.lattice.sites import LatticeSites
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.exchange import Exchange
from tusi.generative.montecarlo.plan import SamplingPlan
from tusi.generative.prediction.conditions import Conditions, FittedModel, arrangements_of, fitted_model
from tusi.generative.prediction.mixture import mixture_of
from tusi.generative.prediction.refits import SimulatedImages
from tusi.generative.prediction.simulation import best_sampler
from tusi.inference.statistical_distance import statistical_distance

REACH = 1.8
"""Distance of the outer simulations from the centre of the posterior, in standard errors."""

DOUBT = 0.98
"""Mean probability of the likeliest species below which labels are too uncertain to be compared as they are."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForecastPlan:
    """How carefully an image is predicted.

    Attributes
    ----------
    n_samples, n_chains, burn_in, spacing
        Of each simulation: at the centre of the posterior, and on either side of it along each of its axes.
    n_draws
        Draws of the couplings.
    """

    n_samples: int = 300
    n_chains: int = 2
    burn_in: int = 50
    spacing: int = 2
    n_draws: int = 100


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Forecast(Record):
    """A histogram predicted and, where there is an image, observed.

    Attributes
    ----------
    name
        Name of the image.
    labels
        Names of the bins.
    expected
        Predicted counts.
    band
        Band that holds 95 % of each predicted count: couplings and the finite window.
    observed
        Observed counts.
    squared_distance
        Squared statistical distance of observed and expected.
    p_value
        Probability that an image of the model is at least as far from its prediction.
    effective_sample_size
        Independent-sample equivalent of the weighted simulations.
    own
        Whether the image took part in the fit; the p-value allows for it.
    """

    format_name: ClassVar[str] = "forecast"
    row: ClassVar[str] = "bin"

    name: str
    labels: tuple[str, ...]
    expected: Float[np.ndarray, " bin"] = array("bin")
    band: Float[np.ndarray, "bin 2"] = array("bin", "bound")
    observed: Float[np.ndarray, " bin"] = array("bin")
    squared_distance: float
    p_value: float
    effective_sample_size: float
    own: bool


def predict_histogram(
    fitted: FittedModel,
    observation: Observation,
    *,
    rng: np.random.Generator,
    statistic: Statistic | None = None,
    use: Literal["held out", "own"] = "held out",
    plan: ForecastPlan | None = None,
) -> Forecast:
    """Predict an image's histogram from couplings that were fitted elsewhere, and say how surprising the image is.

    The window's own composition and its border are given; everything else is drawn from the model by exchanges, at
    couplings over the posterior. The p-value is the probability that an arrangement so drawn lies at least as far (in
    statistical distance) from the mean histogram. An image that took part in the fit has pulled the couplings towards
    itself: "own" refits every simulated image along, and compares each with its own fit.

    Parameters
    ----------
    fitted
        Model and couplings, in kT at the reference temperature.
    observation
        The image: its sites, species and temperature.
    rng
        Source of randomness.
    statistic
        Which histogram: environments of nearest neighbours by default.
    use
        Whether the image took part in the fit.
    plan
        How carefully.

    Returns
    -------
    Forecast
        Expected and observed counts, bands and the p-value.

    Raises
    ------
    InputError
        Species are unseen or too uncertain, or no complete cluster lies in the window.

    References
    ----------
    A. Gelman, X.-L. Meng and H. Stern, Statistica Sinica 6, 733 (1996).

    Examples
    --------
    >>> from tusi.generative.estimation import observe
    >>> from tusi.generative.lattice import SQUARE, ising, window_sites
    >>> rng = np.random.default_rng(1)
    >>> image = observe(window_sites(SQUARE, (12, 12)), rng.integers(0, 2, 144))
    >>> fitted = FittedModel(model=ising(field=False), value=np.array([0.0]), covariance=np.array([[0.001]]))
    >>> bool(0.0 < predict_histogram(fitted, image, rng=rng).p_value <= 1.0)
    True
    """
    plan = plan or ForecastPlan()
    species = _certain_species(observation)
    model = fitted.model
    statistic = statistic or ClusterHistogram()
    system = lattice_system(model, observation.sites)
    counter = statistic.counter(observation.sites, model.species).only(observation.sites.occupied)
    if not len(counter.members):
        raise InputError("observation", expected="a window with complete clusters", got=f"{len(species)} sites")
    world = _simulate(fitted, system, counter, (species, observation.temperature_ratio, plan), rng)
    observed = counter.count(species[None])[0].astype(np.float64)
    if use == "held out":
        weight, expected = world.predictive(fitted.sample(plan.n_draws, rng=rng) * observation.temperature_ratio)
        each = np.broadcast_to(expected, world.counts.shape)
    else:
        weight, expected, each = world.refitted(fitted, observation.temperature_ratio, rng)
    distance = statistical_distance(observed, expected) ** 2
    drawn = statistical_distance(world.counts, each) ** 2
    size = 1.0 / float((weight**2).sum())
    p_value = (1.0 + size * float(weight @ (drawn >= distance - 1e-12))) / (1.0 + size)
    return Forecast(
        name=observation.name,
        labels=counter.labels,
        expected=expected,
        band=_weighted_band(world.counts, weight),
        observed=observed,
        squared_distance=float(distance),
        p_value=p_value,
        effective_sample_size=size,
        own=use == "own",
    )


def leave_one_out(
    observations: Sequence[Observation],
    model: LatticeModel,
    *,
    rng: np.random.Generator,
    statistic: Statistic | None = None,
    method: EstimationMethod | None = None,
    plan: ForecastPlan | None = None,
) -> tuple[Forecast, ...]:
    """Predict every image from couplings that were fitted to the others.

    Parameters
    ----------
    observations
        At least two images.
    model
        The Hamiltonian.
    rng
        Source of randomness.
    statistic
        Which histogram.
    method
        How couplings are fitted; maximum likelihood by default.
    plan
        How carefully images are predicted.

    Returns
    -------
    tuple[Forecast, ...]
        In the order of the images.

    Raises
    ------
    InputError
        There are fewer than two images.

    Examples
    --------
    >>> from tusi.generative.estimation import Pseudolikelihood, observe
    >>> from tusi.generative.lattice import SQUARE, ising, window_sites
    >>> rng = np.random.default_rng(1)
    >>> images = [observe(window_sites(SQUARE, (12, 12)), rng.integers(0, 2, 144)) for _ in range(3)]
    >>> len(leave_one_out(images, ising(field=False), rng=rng, method=Pseudolikelihood()))
    3
    """
    if len(observations) < 2:
        raise InputError("observations", expected="at least two images", got=str(len(observations)))
    forecasts = []
    for k, held_out in enumerate(observations):
        others = [image for i, image in enumerate(observations) if i != k]
        fit = estimate_couplings(others, model, rng=rng, method=method)
        forecasts.append(predict_histogram(fitted_model(model, fit), held_out, rng=rng, statistic=statistic, plan=plan))
    return tuple(forecasts)


def sample_at(
    fitted: FittedModel,
    sites: LatticeSites,
    *,
    conditions: Conditions,
    rng: np.random.Generator,
    n_draws: int = 4,
    n_sweeps: int = 300,
) -> Int[np.ndarray, "temperature level draw site"]:
    """Return arrangements at conditions that nobody measured, each at couplings of its own from the posterior.

    Parameters
    ----------
    fitted
        Model and couplings, in kT at the reference temperature.
    sites
        A periodic cell; cut windows out of it.
    conditions
        Temperatures, and fields or compositions.
    rng
        Source of randomness.
    n_draws
        Arrangements at each condition.
    n_sweeps
        Sampler steps from a random start.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, periodic_sites
    >>> fitted = FittedModel(model=ising(field=False), value=np.array([0.3]), covariance=np.array([[0.001]]))
    >>> conditions = Conditions(crystal=SQUARE, temperatures=(1.0, 2.0), compositions=(0.25,))
    >>> rng = np.random.default_rng(1)
    >>> found = sample_at(fitted, periodic_sites(SQUARE, (8, 8)), conditions=conditions, rng=rng)
    >>> found.shape, float(found.mean())
    ((2, 1, 4, 64), 0.25)
    """
    system = lattice_system(fitted.model, sites)
    kept = bool(conditions.compositions)
    shape = (len(conditions.ratios), len(conditions.levels), n_draws, system.n_sites)
    out = np.empty(shape, dtype=np.int8)
    sampler = best_sampler(system, conserved=kept)
    for i, ratio in enumerate(conditions.ratios):
        for j, level in enumerate(conditions.levels):
            for k, draw in enumerate(fitted.sample(n_draws, rng=rng)):
                start = arrangements_of(system, level, n_replicas=1, rng=rng) if kept else None
                sampling = SamplingPlan(n_samples=1, n_chains=1, burn_in=n_sweeps, start=start)
                couplings = (draw + conditions.shift(fitted.model, level)) / ratio
                out[i, j, k] = draw_samples(system, couplings, rng=rng, sampler=sampler, plan=sampling).final[0]
    return out


def _simulate(
    fitted: FittedModel, system: LatticeSystem, counter: Counter,
    how: tuple[np.ndarray, float, ForecastPlan], rng: np.random.Generator,
) -> SimulatedImages:  # fmt: skip
    """Simulate the window at the centre of the posterior and on either side of it."""
    species, ratio, plan = how
    axes = fitted.factor.T
    axes = axes[np.linalg.norm(axes, axis=1) > 0]
    nodes = np.vstack([fitted.value[None], fitted.value + REACH * axes, fitted.value - REACH * axes]) * ratio
    sampling = SamplingPlan(
        n_samples=plan.n_samples, n_chains=plan.n_chains, burn_in=plan.burn_in, spacing=plan.spacing,
        keep_species=True, start=species,
    )  # fmt: skip
    statistics, counts = [], []
    for node in nodes:
        samples = draw_samples(system, node, rng=rng, sampler=Exchange(), plan=sampling)
        statistics.append(samples.statistics)
        flat = samples.species.reshape(-1, system.n_sites)
        counts.append(counter.count(flat).astype(np.float64).reshape(*samples.statistics.shape[:2], -1))
    mixture = mixture_of(nodes, statistics, counts, pieces=1)
    return SimulatedImages(
        nodes=nodes, statistics=mixture.statistics, counts=mixture.columns, log_mixture=mixture.log_mixture
    )


def _certain_species(observation: Observation) -> np.ndarray:
    """Return the likeliest species of each site, or say that they are not known well enough."""
    informed = observation.informed
    if not observation.seen[observation.sites.occupied].all():
        raise InputError("observation", expected="an image in which every site was seen", got="unseen sites")
    sure = observation.species_probability[informed].max(axis=1).mean()
    if sure < DOUBT:
        raise InputError(
            "observation", expected=f"labels that are {DOUBT:.0%} certain on average", got=f"{sure:.1%}",
            then="Histograms of uncertain labels would be compared with those of certain ones.",
        )  # fmt: skip
    species = np.zeros(len(observation.sites), dtype=np.int8)
    species[informed] = observation.species_probability[informed].argmax(axis=1)
    return species


def _weighted_band(counts: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the weighted 2.5 and 97.5 % quantiles of every count."""
    band = np.empty((counts.shape[1], 2))
    for k, column in enumerate(counts.T):
        order = np.argsort(column, kind="stable")
        below = np.cumsum(weight[order])
        band[k] = column[order[np.minimum(np.searchsorted(below, (0.025, 0.975)), len(order) - 1)]]
    return band
