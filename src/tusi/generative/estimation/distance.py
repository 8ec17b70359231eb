"""The field's estimator: couplings at which a model's histogram is nearest to the images', with its true error."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.generative.estimation.counting import Statistic
from tusi.generative.estimation.distance_surface import DistanceSurface, Target, distance_surface, targets_of
from tusi.generative.estimation.estimate import Composition, CouplingEstimate, EstimationMethod, Progress
from tusi.generative.estimation.histograms import ClusterHistogram
from tusi.generative.estimation.observation import Observation
from tusi.generative.estimation.pseudolikelihood import maximise_pseudolikelihood
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.likelihood import COUPLING_LIMIT, invert, star
from tusi.generative.montecarlo.plan import SamplingPlan

Z95 = 1.959963984540054

REACH = 9.0
"""Squared distance from the centre, in standard errors, up to which pooled samples are trusted."""

LONGEST_STEP = 0.5
"""Longest step of a coupling (kT) before the samples are drawn anew."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MinimumDistance(EstimationMethod):
    """Minimise the pooled squared statistical distance `S^2 = sum_k (N_k / N) s_k^2` between images and model.

    `s = arccos sum sqrt(p q)` compares an image's histogram with the mean histogram of the model on the same sites,
    with the border and (for compositions of their own) the number of atoms as observed. The mean is simulated with so
    many samples that it adds nothing to the noise of the data, and is a smooth function of the couplings by
    reweighting; no counts of a random alloy are added. Doubtful labels: the model's species are mislabelled as often
    as the image's before they are counted.

    The covariance is that of the estimator over images that the model would make, `J^-1 Cov(g) J^-1` with g the
    gradient of S^2 for simulated histograms and J the derivative of its mean. Clusters overlap and are correlated:
    `exp(-2 N S^2)` is not a likelihood and its width is not an error.

    Attributes
    ----------
    statistic
        What is compared: `ClusterHistogram()` or `PairDistribution()`.
    n_model_samples
        Simulated arrangements per image behind the model's histogram, in the last round.
    spacing, burn_in
        Monte Carlo steps between two of them, and before the first.
    remove_bias
        Rare classes pull the minimum of S^2 to one side even for the true model. With this, the gradient is set equal
        to its mean over the model's own histograms and not to zero.
    max_rounds
        Rounds of simulation before the fit is reported as not converged.

    References
    ----------
    L. Vlcek, A. A. Chialvo, J. Chem. Phys. 143, 144110 (2015).
    L. Vlcek, A. Maksov, M. Pan, R. K. Vasudevan, S. V. Kalinin, ACS Nano 11, 10313 (2017).
    R. Beran, Ann. Stat. 5, 445 (1977).

    Examples
    --------
    >>> MinimumDistance(n_model_samples=500).statistic
    ClusterHistogram(n_shells=1)
    """

    statistic: Statistic = ClusterHistogram()
    n_model_samples: int = 1500
    spacing: int = 2
    burn_in: int = 100
    remove_bias: bool = True
    max_rounds: int = 10

    def __post_init__(self) -> None:
        for name, least in (("n_model_samples", 100), ("spacing", 1), ("burn_in", 0), ("max_rounds", 2)):
            if getattr(self, name) < least:
                raise InputError(name, expected=f"at least {least}", got=str(getattr(self, name)))

    def estimate(
        self,
        observations: tuple[Observation, ...],
        model: LatticeModel,
        *,
        rng: np.random.Generator,
        composition: Composition,
        progress: Progress,
    ) -> CouplingEstimate:
        """Estimate the couplings from checked observations."""
        targets, notes = targets_of(observations, model, statistic=self.statistic, composition=composition)
        fit = self.minimise(targets, rng=rng, progress=progress)
        if not fit.converged:
            notes = (*notes, "the search for the minimum did not converge")
        if np.any(np.abs(fit.value) >= COUPLING_LIMIT):
            notes = (*notes, "the distance falls towards infinite couplings")
        unseen = sum(float(t.observed[p.histogram.max(axis=0) == 0].sum()) for t, p in fit.parts)
        if unseen:
            notes = (*notes, f"{unseen:.0f} clusters are of classes that the fitted model never made")
        error = np.sqrt(np.diag(fit.covariance))
        size = fit.surface.effective_sample_size(fit.value)
        return CouplingEstimate(
            model=model.name,
            equation=model.equation(),
            parameters=model.parameters,
            value=fit.value,
            covariance=fit.covariance,
            interval=np.column_stack([fit.value - Z95 * error, fit.value + Z95 * error]),
            monte_carlo_error=error / np.sqrt(1.0 + size),
            converged=fit.converged,
            n_rounds=fit.n_rounds,
            effective_sample_size=size,
            r_hat=max(pool.r_hat for pool in fit.surface.pools),
            log_likelihood_gain=np.nan,
            method=repr(self),
            notes=notes,
            n_sites=sum(int(target.image.inner.sum()) for target in targets),
        )

    def minimise(self, targets: Sequence[Target], *, rng: np.random.Generator, progress: Progress) -> "DistanceMinimum":
        """Return the minimum of the distance, from rounds of simulation and Newton steps."""
        value = np.clip(maximise_pseudolikelihood([t.image for t in targets]).value, -COUPLING_LIMIT, COUPLING_LIMIT)
        for n_rounds in range(1, self.max_rounds + 1):
            surface = distance_surface(targets, value[None], plan=self._plan(4, 1), rng=rng)
            gradient, hessian = surface.gradient(value)
            covariance = _sandwich(hessian, surface.pulls(value, at=value)[1])
            step = -invert(hessian) @ gradient
            near = bool(step @ invert(covariance) @ step < 1.0)
            progress(f"round {n_rounds}: S^2 = {surface.squared(value):.5f}")
            value = np.clip(value + step / max(1.0, np.abs(step).max() / LONGEST_STEP), -COUPLING_LIMIT, COUPLING_LIMIT)
            if near or n_rounds == self.max_rounds - 1:
                break
        nodes = star(value, invert(covariance))
        surface = distance_surface(targets, nodes, plan=self._plan(1, len(nodes)), rng=rng)
        best, inside = _descend(surface, value, covariance)
        hessian, pull, spread = _expected(surface, best, covariance)
        covariance = _sandwich(hessian, spread)
        size = surface.effective_sample_size(best)
        return DistanceMinimum(
            minimum=best,
            value=np.clip(best + self.remove_bias * (invert(hessian) @ pull), -COUPLING_LIMIT, COUPLING_LIMIT),
            covariance=covariance * (1.0 + 1.0 / size),
            surface=surface,
            converged=near and inside and bool((np.abs(best) < COUPLING_LIMIT).all()),
            n_rounds=n_rounds + 1,
        )

    def _plan(self, reduction: int, n_nodes: int) -> SamplingPlan:
        """Return the chains of one node, two of them."""
        n_samples = max(self.n_model_samples // (2 * reduction * n_nodes), 50)
        return SamplingPlan(n_samples=n_samples, n_chains=2, burn_in=self.burn_in, spacing=self.spacing)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DistanceMinimum:
    """Where the distance is smallest, and what the estimate makes of it.

    Attributes
    ----------
    minimum
        Couplings of least S^2, in kT.
    value
        The estimate: the same, with the bias of rare classes removed where that was asked for.
    covariance
        Covariance of the estimate.
    surface
        The distance around it.
    converged, n_rounds
        Whether the search ended where it should, and rounds of simulation.
    """

    minimum: Float[np.ndarray, " parameter"]
    value: Float[np.ndarray, " parameter"]
    covariance: Float[np.ndarray, "parameter parameter"]
    surface: DistanceSurface
    converged: bool
    n_rounds: int

    @property
    def parts(self) -> tuple:
        """Target and samples of each image."""
        return tuple(zip(self.surface.targets, self.surface.pools, strict=True))


def _descend(surface: DistanceSurface, start: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the minimum of S^2 within reach of the samples, and whether it lies inside."""
    value, level, metric = start, surface.squared(start), invert(covariance)
    for _ in range(30):
        gradient, hessian = surface.gradient(value)
        step = -invert(hessian) @ gradient
        for scale in 0.5 ** np.arange(12):
            trial = np.clip(value + scale * step, -COUPLING_LIMIT, COUPLING_LIMIT)
            away = trial - start
            lower = surface.squared(trial)
            if lower <= level and away @ metric @ away <= REACH:
                break
        else:
            away = value - start
            return value, bool(away @ metric @ away < 0.8 * REACH)
        moved = trial - value
        value, level = trial, lower
        if moved @ metric @ moved < 1e-8:
            break
    return value, True


def _expected(
    surface: DistanceSurface, couplings: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the derivative of the mean gradient of `2 N S^2`, that mean, and the gradient's covariance."""
    pull, spread = surface.pulls(couplings, at=couplings)
    size, direction = np.linalg.eigh(covariance)
    width = 0.3 * np.sqrt(np.maximum(size, 0.0))
    rises = []
    for step in (direction * width).T:
        ends = [surface.pulls(couplings + sign * step, at=couplings)[0] for sign in (0.5, -0.5)]
        rises.append(ends[0] - ends[1])
    hessian = np.array(rises).T @ (direction / np.maximum(width, 1e-300)).T
    hessian = (hessian + hessian.T) / 2
    if np.linalg.eigvalsh(hessian).min() <= 0:
        hessian = surface.gradient(couplings)[1]
    return hessian, pull, spread


def _sandwich(hessian: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return `J^-1 Cov(g) J^-1`."""
    inverse = invert(hessian)
    return inverse @ spread @ inverse
