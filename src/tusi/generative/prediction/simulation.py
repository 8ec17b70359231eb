"""One simulation of a phase diagram: a system at given couplings, and what was measured on it."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo.cluster_moves import SwendsenWang
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.exchange import Exchange
from tusi.generative.montecarlo.heat_bath import HeatBath
from tusi.generative.montecarlo.pairs import pair_form
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan
from tusi.generative.prediction.conditions import arrangements_of
from tusi.generative.prediction.measurement import Measurement


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NodeJob:
    """A simulation to be run.

    Attributes
    ----------
    measurement
        The system and what to measure on it.
    couplings
        In kT.
    sampler, plan
        How to sample.
    fraction
        Fraction of species 1 that is kept; None where the composition is free.
    species
        Whether to return the arrangements.
    """

    measurement: Measurement
    couplings: Float[np.ndarray, " parameter"]
    sampler: Sampler
    plan: SamplingPlan
    fraction: float | None = None
    species: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NodeSamples:
    """What a simulation found.

    Attributes
    ----------
    statistics, columns
        Sufficient statistics, and what is averaged.
    species
        The arrangements, none where they were not asked for.
    inefficiency
        Correlated samples that are worth an independent one: of the slowest statistic or of the order parameter.
    """

    statistics: Float[np.ndarray, "chain sample parameter"]
    columns: Float[np.ndarray, "chain sample column"]
    species: Int[np.ndarray, "replica site"]
    inefficiency: float


def run_node(job: NodeJob, rng: np.random.Generator) -> NodeSamples:
    """Run a simulation."""
    system, plan = job.measurement.system, job.plan
    if job.fraction is not None:
        start = arrangements_of(system, job.fraction, n_replicas=plan.n_chains, rng=rng)
        plan = dataclasses.replace(plan, start=start)
    samples = draw_samples(system, job.couplings, rng=rng, sampler=job.sampler, plan=plan)
    flat = samples.species.reshape(-1, system.n_sites)
    rows = samples.statistics.reshape(len(flat), -1)
    columns = job.measurement.columns(flat, rows).reshape(*samples.statistics.shape[:2], -1)
    length = columns[:, :, job.measurement.length_column(rows.shape[1])]
    slowest = dataclasses.replace(samples, statistics=np.dstack([samples.statistics, length]))
    return NodeSamples(
        statistics=samples.statistics,
        columns=columns,
        species=flat if job.species else flat[:0],
        inefficiency=max(1.0, len(rows) / float(slowest.effective_sample_size.min())),
    )


def best_sampler(system: LatticeSystem, *, conserved: bool) -> Sampler:
    """Return exchanges to keep the composition, cluster moves where no term ties three sites, else a heat bath."""
    if conserved:
        return Exchange()
    try:
        pair_form(system, sampler="cluster moves")
    except InputError:
        return HeatBath()
    return SwendsenWang()
