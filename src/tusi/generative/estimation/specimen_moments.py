"""Monte Carlo moments of specimens: the score and the information of what was seen, and the rounds that use them."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.generative.estimation.specimens import MacroscopicProfile, Specimen
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.exchange import Exchange
from tusi.generative.montecarlo.heat_bath import HeatBath
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan
from tusi.generative.montecarlo.samples import Samples

LONGEST_STEP = 0.6
"""Largest change of a coupling in one round, in kT."""

CLOSE = 0.3
"""Step, in standard errors, below which a fit has converged."""

ROUGH = 4.0
"""Newton decrement up to which a larger one than before may be noise; beyond it the step was too long."""

FLOOR = 1e-4
"""Least information in any direction, as a fraction of that of a fully seen crystal."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointSettings:
    """How carefully micro and macro data are fitted.

    Attributes
    ----------
    n_samples
        Samples of each specimen and ensemble in the last round; a quarter of them before.
    n_chains
        Chains that share them.
    burn_in
        Steps before the first sample of a round, which goes on from the round before.
    max_rounds
        Rounds of sampling and Newton steps before the fit counts as not converged.
    confidence
        Confidence of the intervals.
    """

    n_samples: int = 4000
    n_chains: int = 4
    burn_in: int = 60
    max_rounds: int = 20
    confidence: float = 0.95


class Chains:
    """The Markov chains of one specimen, which go on from round to round: the whole piece, and with seen sites held."""

    def __init__(self, specimen: Specimen, settings: JointSettings, *, clamp: bool, rng: np.random.Generator) -> None:
        self.specimen, self.settings = specimen, settings
        self.sampler: Sampler = HeatBath() if specimen.composition is None else Exchange()
        self.whole = with_counts(specimen.system, specimen.profile)
        self.held = self.whole.with_free(specimen.clamped.free) if clamp and specimen.seen.any() else None
        self.whole_start = specimen.start(settings.n_chains, rng=rng, clamp=False)
        self.held_start = specimen.start(settings.n_chains, rng=rng, clamp=True)

    def draw(self, value: np.ndarray, n_samples: int, *, rng: np.random.Generator) -> tuple[Samples, Samples | None]:
        """Return samples of the whole piece and of the piece with the seen sites held (None where that is moot)."""
        keep = self.held is None and self.specimen.histogram is not None
        whole = self._run(self.whole, value, (n_samples, self.whole_start, keep), rng)
        self.whole_start = whole.final
        if self.held is None or not self.held.free.any():
            return whole, None
        held = self._run(self.held, value, (n_samples, self.held_start, False), rng)
        self.held_start = held.final
        return whole, held

    def _run(self, system: LatticeSystem, value: np.ndarray, run: tuple, rng: np.random.Generator) -> Samples:
        n_samples, start, keep = run
        plan = SamplingPlan(
            n_samples=max(n_samples // self.settings.n_chains, 8),
            n_chains=self.settings.n_chains,
            burn_in=self.settings.burn_in,
            start=start,
            keep_species=keep,
        )
        couplings = np.pad(value, (0, len(system.parameters) - len(value)))
        return draw_samples(system, couplings, rng=rng, sampler=self.sampler, plan=plan)


def with_counts(system: LatticeSystem, profile: MacroscopicProfile | None) -> LatticeSystem:
    """Return the system with the profile's counts among its statistics; their couplings are zero."""
    if profile is None:
        return system
    site = np.flatnonzero(profile.groups >= 0)
    n_codes, n_old = system.table.shape[1:]
    members = np.full((len(site), system.members.shape[1]), system.n_sites, dtype=np.int64)
    members[:, 0] = site
    table = np.zeros((len(system.table) + profile.n_groups, n_codes, n_old + profile.n_groups))
    table[: len(system.table), :, :n_old] = system.table
    group = np.arange(profile.n_groups)
    table[len(system.table) + group, profile.species, n_old + group] = 1.0
    return dataclasses.replace(
        system,
        parameters=(*system.parameters, *(f"group {g}" for g in group)),
        members=np.concatenate([system.members, members]),
        kind=np.concatenate([system.kind, len(system.table) + profile.groups[site]]),
        weight=np.concatenate([system.weight, np.ones(len(site))]),
        table=table,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EvidenceShare:
    """What one specimen adds to the log-likelihood at some couplings.

    Attributes
    ----------
    score
        Gradient of its log-likelihood.
    micro, macro
        Information of what was seen and of the profile.
    scale
        Information if every site were seen.
    noise
        Covariance of the score from the finite number of samples.
    residual, slope, precision
        The profile's residuals, what they change by with the couplings, and the inverse covariance of its errors.
    """

    score: Float[np.ndarray, " parameter"]
    micro: Float[np.ndarray, "parameter parameter"]
    macro: Float[np.ndarray, "parameter parameter"]
    scale: Float[np.ndarray, "parameter parameter"]
    noise: Float[np.ndarray, "parameter parameter"]
    residual: Float[np.ndarray, " reading"]
    slope: Float[np.ndarray, "reading parameter"]
    precision: Float[np.ndarray, "reading reading"]

    @property
    def n_readings(self) -> int:
        """Readings of the profile."""
        return len(self.residual)

    def chi_square(self, step: np.ndarray) -> float:
        """Return the misfit of the profile after a small step of the couplings."""
        residual = self.residual - self.slope @ step
        return float(residual @ self.precision @ residual)


def evidence_share(specimen: Specimen, drawn: tuple[Samples, Samples | None]) -> EvidenceShare:
    """Return the score and the information of one specimen from its samples."""
    whole, held = drawn
    n = len(specimen.system.parameters)
    slope, residual, precision, reading = _profile_slope(specimen.profile, whole, n)
    see = float(specimen.seen.any())
    weigh = np.concatenate([see * np.eye(n), -(slope.T @ precision @ reading)], axis=1)
    noise = weigh @ whole.covariance @ weigh.T / whole.effective_sample_size.min()
    seen_mean, seen_covariance = np.zeros(n), np.zeros((n, n))
    if held is not None:
        seen_mean, seen_covariance = held.mean[:n], held.covariance[:n, :n]
        noise = noise + seen_covariance / held.effective_sample_size[:n].min()
    elif see:
        seen_mean = specimen.system.statistics(specimen.species)
    scale = whole.covariance[:n, :n]
    return EvidenceShare(
        score=see * (whole.mean[:n] - seen_mean) + slope.T @ precision @ residual,
        micro=see * (scale - seen_covariance),
        macro=slope.T @ precision @ slope,
        scale=see * scale,
        noise=noise,
        residual=residual,
        slope=slope,
        precision=precision,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DistanceShare:
    """What one specimen adds to the weighted squared distance at some couplings.

    Attributes
    ----------
    score, curvature
        Minus half the gradient, and half the Gauss-Newton Hessian.
    scatter
        Covariance of the score over repeated observations.
    squared
        Squared statistical distance of the histogram and of the profile; NaN where there is none.
    """

    score: Float[np.ndarray, " parameter"]
    curvature: Float[np.ndarray, "parameter parameter"]
    scatter: Float[np.ndarray, "parameter parameter"]
    squared: tuple[float, float]


def distance_share(specimen: Specimen, drawn: tuple[Samples, Samples | None], weight: np.ndarray) -> DistanceShare:
    """Return the gradient and the curvature of one specimen's distances from its samples."""
    whole, _ = drawn
    n = len(specimen.system.parameters)
    statistics = whole.statistics.reshape(-1, whole.statistics.shape[-1])
    sums, squared = [np.zeros(n), np.zeros((n, n)), np.zeros((n, n))], [np.nan, np.nan]
    if specimen.histogram is not None:
        counts = specimen.histogram.count(whole.species.reshape(-1, specimen.system.n_sites)).astype(float)
        seen = specimen.histogram.count(specimen.species).astype(float)
        n_clusters = seen.sum()
        joint = np.cov(np.concatenate([statistics[:, :n], counts], axis=1), rowvar=False)
        slope, scatter = -joint[n:, :n] / n_clusters, joint[n:, n:] / n_clusters**2
        squared[0] = _add(sums, (counts.mean(axis=0) / n_clusters, seen / n_clusters, slope, scatter), weight[0])
    profile = specimen.profile
    if profile is not None:
        slope, residual, _, _ = _profile_slope(profile, whole, n)
        there = profile.value - residual
        size = there.sum()
        share = (np.eye(len(there)) - np.outer(there / size, np.ones(len(there)))) / size
        value = np.maximum(profile.value, 0.0) / np.maximum(profile.value, 0.0).sum()
        squared[1] = _add(sums, (there / size, value, share @ slope, share @ profile.covariance @ share.T), weight[1])
    return DistanceShare(score=sums[0], curvature=sums[1], scatter=sums[2], squared=(squared[0], squared[1]))


def _add(sums: list, histograms: tuple, weight: float) -> float:
    """Add the gradient, curvature and scatter of one histogram's squared distance, and return the distance."""
    model, seen, slope, scatter = histograms
    used = model > 0
    root = np.sqrt(model[used])
    change = slope[used] / (2 * root[:, None])
    lever = change / (2 * root[:, None])
    sums[0] += weight * change.T @ (np.sqrt(seen[used]) - root)
    sums[1] += weight * change.T @ change
    sums[2] += weight**2 * lever.T @ scatter[np.ix_(used, used)] @ lever
    return float(np.arccos(min(np.sqrt(model * seen).sum(), 1.0)) ** 2)


def _profile_slope(profile: MacroscopicProfile | None, whole: Samples, n: int) -> tuple[np.ndarray, ...]:
    """Return the slope of a profile's readings, its residuals, its precision, and the readings' own slope in counts."""
    if profile is None:
        return np.zeros((0, n)), np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0))
    reading = np.diag(1 / profile.size) if profile.response is None else profile.response / profile.size
    slope = -reading @ whole.covariance[n:, :n]
    return slope, profile.value - reading @ whole.mean[n:], np.linalg.inv(profile.covariance), reading


def total(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Return the sum of arrays of one shape."""
    return np.sum(list(parts), axis=0)


def positive(
    information: Float[np.ndarray, "parameter parameter"], scale: Float[np.ndarray, "parameter parameter"] | None = None
) -> Float[np.ndarray, "parameter parameter"]:
    """Return the nearest information that is positive in every direction, measured by a positive definite scale."""
    scale = information if scale is None else scale
    if not scale.any():
        return information
    root = np.linalg.cholesky(scale + 1e-9 * np.trace(scale) * np.eye(len(scale)))
    inverse = np.linalg.inv(root)
    size, direction = np.linalg.eigh(inverse @ information @ inverse.T)
    return root @ (direction * np.maximum(size, FLOOR)) @ direction.T @ root.T


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Ended:
    """Where the rounds ended: couplings, the information and the shares of the last round, and its step."""

    value: Float[np.ndarray, " parameter"]
    information: Float[np.ndarray, "parameter parameter"]
    parts: list
    step: Float[np.ndarray, " parameter"]
    converged: bool
    n_rounds: int


def ascend(
    evaluate: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray, list[Any]]],
    value: Float[np.ndarray, " parameter"],
    settings: JointSettings,
) -> Ended:
    """Take Newton steps on fresh samples until they are small, then on many samples until they are small again.

    Parameters
    ----------
    evaluate
        Score, information and their shares at given couplings from a number of samples.
    value
        Couplings to start from.
    settings
        How carefully.
    """
    last, before, taken, best = False, value, np.zeros(len(value)), np.inf
    for rounds in range(1, settings.max_rounds + 1):
        score, information, parts = evaluate(value, settings.n_samples if last else settings.n_samples // 4)
        if np.linalg.matrix_rank(information) < len(value):
            raise InputError(
                "specimens",
                expected="data that depend on every coupling",
                got="a combination of couplings that nothing depends on",
                then="See more sites, or add a profile.",
            )
        step = np.linalg.solve(information, score)
        decrement = float(step @ information @ step)
        if decrement > max(best, ROUGH) and rounds < settings.max_rounds:
            taken = taken / 3
            value = before + taken
            continue
        small = decrement < CLOSE**2 * len(value)
        taken = step * min(1.0, LONGEST_STEP / max(float(np.abs(step).max()), 1e-12))
        before, value, best = value, value + taken, decrement
        if last and small:
            break
        last = last or small or rounds == settings.max_rounds - 1
    return Ended(
        value=value, information=information, parts=parts, step=taken, converged=last and small, n_rounds=rounds
    )
