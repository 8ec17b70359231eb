"""Simulations of one crystal at one field or composition: enough of them, where they are needed."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.execution import Executor, Progress
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan
from tusi.generative.prediction.conditions import Conditions, FittedModel
from tusi.generative.prediction.measurement import Measurement
from tusi.generative.prediction.mixture import Mixture, divergence, mixture_of
from tusi.generative.prediction.simulation import NodeJob, NodeSamples, best_sampler, run_node

APART = 6.0
"""Jeffreys' divergence of neighbouring temperatures above which more are simulated between them."""

MOST_BETWEEN, MOST_ROUNDS = 4, 6
"""Temperatures that are put between two neighbours at once, and how often."""

CENTRAL_REPEATS = 50
"""Resamplings behind the Monte Carlo error."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Simulator:
    """What the simulations of a phase diagram have in common.

    Attributes
    ----------
    posterior, conditions
        What is asked for.
    sampling
        Length of each simulation.
    sampler
        The moves; the best ones for the system where it is None.
    executor, progress
        Where simulations run, and who is told.
    """

    posterior: FittedModel
    conditions: Conditions
    sampling: SamplingPlan
    sampler: Sampler | None
    executor: Executor
    progress: Progress | None = None

    def couplings(
        self, draws: Float[np.ndarray, "draw parameter"], ratios: Float[np.ndarray, " temperature"], *, level: int
    ) -> Float[np.ndarray, "draw temperature parameter"]:
        """Return the couplings in kT for each draw and temperature at one level."""
        shift = self.conditions.shift(self.posterior.model, self.conditions.levels[level])
        return (draws[:, None] + shift) / ratios[None, :, None]

    def run(
        self,
        measurement: Measurement,
        couplings: Float[np.ndarray, "node parameter"],
        *,
        level: int,
        rng: np.random.Generator,
        species: bool = False,
    ) -> list[NodeSamples]:
        """Simulate at each of these couplings."""
        kept = bool(self.conditions.compositions)
        job = NodeJob(
            measurement=measurement,
            couplings=couplings[0],
            sampler=self.sampler or best_sampler(measurement.system, conserved=kept),
            plan=self.sampling,
            fraction=self.conditions.levels[level] if kept else None,
            species=species,
        )
        jobs = [dataclasses.replace(job, couplings=u) for u in couplings]
        return self.executor.map(run_node, jobs, rng=rng, progress=self.progress)


@dataclasses.dataclass(kw_only=True, eq=False)
class NodePool:
    """All simulations of one crystal at one level, added to until they are enough.

    Attributes
    ----------
    simulator, measurement, level
        What is simulated.
    nodes, found
        Couplings of each simulation, and what it found.
    """

    simulator: Simulator
    measurement: Measurement
    level: int
    nodes: list[np.ndarray] = dataclasses.field(default_factory=list)
    found: list[NodeSamples] = dataclasses.field(default_factory=list)

    def add(self, couplings: Float[np.ndarray, "node parameter"], *, rng: np.random.Generator) -> list[NodeSamples]:
        """Simulate at further couplings."""
        new = self.simulator.run(self.measurement, couplings, level=self.level, rng=rng)
        self.nodes += list(couplings)
        self.found += new
        return new

    def add_temperatures(self, ratios: Float[np.ndarray, " temperature"], *, rng: np.random.Generator) -> None:
        """Simulate the central couplings at these temperatures, and between them until neighbours overlap."""
        inverse, means = np.empty(0), np.empty((0, len(self.simulator.posterior.value)))
        new = 1.0 / np.asarray(ratios)
        for _ in range(MOST_ROUNDS):
            found = self.add(self.central(1.0 / new), rng=rng)
            inverse = np.append(inverse, new)
            means = np.vstack([means, [part.statistics.mean(axis=(0, 1)) for part in found]])
            order = np.argsort(inverse)
            inverse, means = inverse[order], means[order]
            at = self.central(1.0 / inverse)
            apart = np.maximum(divergence((at[:-1], at[1:]), (means[:-1], means[1:])), 0.0)
            missing = np.minimum(np.ceil(np.sqrt(apart / APART)).astype(int) - 1, MOST_BETWEEN)
            new = np.array([
                inverse[k] + (inverse[k + 1] - inverse[k]) * (i + 1) / (n + 1)
                for k, n in enumerate(missing)
                for i in range(max(n, 0))
            ])  # fmt: skip
            if not len(new):
                break

    def central(self, ratios: Float[np.ndarray, " temperature"]) -> Float[np.ndarray, "temperature parameter"]:
        """Return the central couplings at these temperatures."""
        return self.simulator.couplings(self.simulator.posterior.value[None], ratios, level=self.level)[0]

    def mixture(self) -> Mixture:
        """Return all samples as one weighted mixture."""
        return mixture_of(
            np.array(self.nodes),
            [part.statistics for part in self.found],
            [part.columns for part in self.found],
            inefficiency=[part.inefficiency for part in self.found],
        )

    def mean_statistics(self, ratio: float) -> Float[np.ndarray, " parameter"]:
        """Return the mean sufficient statistics at the central couplings at a temperature."""
        couplings = self.central(np.array([ratio]))
        return self.mixture().averages(couplings)[0][0, : couplings.shape[1]]

    def observables(self, ratios: Float[np.ndarray, " temperature"]) -> Float[np.ndarray, "temperature observable"]:
        """Return the observables at the central couplings."""
        couplings = self.central(ratios)
        return self.measurement.derive(self.mixture().averages(couplings)[0], couplings, ratios)

    def reach(
        self,
        draws: Float[np.ndarray, "draw parameter"],
        ratios: Float[np.ndarray, " temperature"],
        *,
        least: tuple[float, int],
        rng: np.random.Generator,
    ) -> None:
        """Simulate where the samples are worth least to the draws, until they are worth enough or rounds are spent."""
        worth_enough, rounds = least
        if not len(draws):
            return
        targets = self.simulator.couplings(draws, ratios, level=self.level)
        for _ in range(rounds):
            worth = self.mixture().averages(targets.reshape(-1, targets.shape[2]))[1][:, 0].reshape(targets.shape[:2])
            poor = worth.min(axis=0) < worth_enough
            at = np.flatnonzero(poor & (np.cumsum(poor) % 3 == 1))
            if not len(at):
                return
            self.add(targets[worth[:, at].argmin(axis=0), at], rng=rng)

    def evaluate(
        self,
        draws: Float[np.ndarray, "draw parameter"],
        ratios: Float[np.ndarray, " temperature"],
        *,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return observables, their Monte Carlo error, observables of the draws, and effective sample sizes."""
        mixture, central = self.mixture(), self.central(ratios)
        mean, size = mixture.averages(central)
        value = self.measurement.derive(mean, central, ratios)
        multiplicity = mixture.multiplicities(len(draws), rng=rng)
        targets = self.simulator.couplings(draws, ratios, level=self.level)
        certain = bool((draws == self.simulator.posterior.value).all())
        each, repeats, least = [], [], size[:, 1]
        for number, (target, weight) in enumerate(zip(targets, multiplicity, strict=True)):
            each.append(self._derived(mixture, target, ratios, weight))
            if not certain:
                least = np.minimum(least, mixture.averages(target)[1][:, 1])
                if number < CENTRAL_REPEATS:
                    repeats.append(self._derived(mixture, central, ratios, weight))
        return value, np.std(repeats or each, axis=0, ddof=1), np.array(each), least

    def _derived(self, mixture: Mixture, target: np.ndarray, ratios: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return self.measurement.derive(mixture.averages(target, multiplicity=weight)[0], target, ratios)
