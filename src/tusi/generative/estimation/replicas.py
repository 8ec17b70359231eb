"""Images as a fitted model would make them, and what is counted on each: the yardstick of every test of a fit."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tusi.generative.estimation.observation import Observation
from tusi.generative.lattice.compilation import lattice_system
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.montecarlo import Exchange, HeatBath, SamplingPlan, draw_samples
from tusi.generative.sampling import autocorrelation_time

N_STARTS = 8
"""Chains for each image, from different draws of its labels."""

PILOT = 400
"""Samples of the run that tells how far apart independent replicas are."""

MOST_SPACING = 400
"""Steps between replicas at most."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ReplicaSettings:
    """How many replicas are drawn, and how.

    Attributes
    ----------
    n_replicas
        Replicas of the images.
    burn_in
        Steps before the first one.
    """

    n_replicas: int = 499
    burn_in: int = 100


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Replicas:
    """Arrangements of one image under a model, and as they would be labelled; row 0 is the image itself.

    Attributes
    ----------
    truth
        Species of every site; in row 0 a draw from what is known of the image.
    labels
        Most likely species as an image like this one would show them; row 0 is what it did show.
    """

    truth: Int[np.ndarray, "replica site"]
    labels: Int[np.ndarray, "replica site"]


def draw_replicas(  # noqa: PLR0913
    observation: Observation,
    model: LatticeModel,
    couplings: Float[np.ndarray, " parameter"],
    *,
    own_composition: bool,
    reach: Sequence[LatticeModel],
    settings: ReplicaSettings,
    rng: np.random.Generator,
) -> Replicas:
    """Draw replicas of one image at these couplings, with its border, its composition and its errors of labelling.

    With a composition of its own, atoms are exchanged at the composition of the image's labels (of several draws of
    them where they are uncertain); otherwise every site finds its species by a heat bath.

    Parameters
    ----------
    observation
        The image.
    model, couplings
        The Hamiltonian, in kT of the reference temperature.
    own_composition
        Whether the image's composition is kept.
    reach
        Models that decide together which sites are random.
    settings
        How many.
    rng
        Source of randomness.
    """
    system = lattice_system(model, observation.sites, reach=reach)
    starts = draw_labels(observation, N_STARTS, rng=rng)
    scaled = couplings * observation.temperature_ratio
    sampler = Exchange() if own_composition else HeatBath()
    pilot = draw_samples(
        system, scaled, rng=rng, sampler=sampler,
        plan=SamplingPlan(n_samples=PILOT, n_chains=1, burn_in=settings.burn_in, start=starts[:1]),
    )  # fmt: skip
    times = [autocorrelation_time(series) for series in pilot.statistics[0].T]
    n_each = -(-settings.n_replicas // N_STARTS)
    samples = draw_samples(
        system, scaled, rng=rng, sampler=sampler,
        plan=SamplingPlan(
            n_samples=n_each, n_chains=N_STARTS, burn_in=settings.burn_in, keep_species=True, start=starts,
            spacing=int(min(np.ceil(2 * max(times, default=1.0)), MOST_SPACING)),
        ),
    )  # fmt: skip
    drawn = samples.species.swapaxes(0, 1).reshape(-1, system.n_sites)[: settings.n_replicas]
    return Replicas(
        truth=np.concatenate([starts[:1], drawn]),
        labels=np.concatenate([shown_labels(observation)[None], mislabelled(observation, drawn, rng=rng)]),
    )


def draw_labels(observation: Observation, n_draws: int, *, rng: np.random.Generator) -> Int[np.ndarray, "draw site"]:
    """Draw the species of every site without regard to its neighbours; vacancies hold species 0."""
    probability = observation.independent
    bounds = np.cumsum(probability, axis=1)
    uniform = rng.random((n_draws, len(probability), 1)) * bounds[:, -1:]
    species = (uniform >= bounds[None, :, :-1]).sum(axis=-1)
    return np.where(observation.sites.occupied, species, 0).astype(np.int8)


def shown_labels(observation: Observation) -> Int[np.ndarray, " site"]:
    """Return the most likely species of every site; 0 on vacancies."""
    return np.where(observation.sites.occupied, observation.independent.argmax(axis=1), 0).astype(np.int8)


def mislabelled(
    observation: Observation, species: Int[np.ndarray, "replica site"], *, rng: np.random.Generator
) -> Int[np.ndarray, "replica site"]:
    """Return arrangements as they would be labelled, each species mistaken as often as the image's labels state."""
    probability = observation.species_probability[observation.informed]
    called = probability.argmax(axis=1)
    n = observation.n_species
    confusion = np.stack([probability[called == c].sum(axis=0) for c in range(n)], axis=1) + 1e-300 * np.eye(n)
    bounds = np.cumsum(confusion / confusion.sum(axis=1, keepdims=True), axis=1)
    uniform = rng.random(species.shape)
    labels = (uniform[..., None] >= bounds[species.astype(np.int64)][..., :-1]).sum(axis=-1)
    return np.where(observation.informed, labels, 0).astype(np.int8)
