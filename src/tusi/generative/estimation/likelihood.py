"""Maximum likelihood of the couplings, from Monte Carlo moments."""

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from tusi.errors import IdentifiabilityWarning, InputError
from tusi.generative.estimation.ascent import climb, interval_of
from tusi.generative.estimation.elimination import LEAST_SHARE, inverse_information
from tusi.generative.estimation.estimate import Composition, CouplingEstimate, EstimationMethod, Progress
from tusi.generative.estimation.gain import log_likelihood_gain
from tusi.generative.estimation.independent import independent_fields
from tusi.generative.estimation.latent import Image, compile_images
from tusi.generative.estimation.observation import Observation
from tusi.generative.estimation.pseudolikelihood import FIELD_PRIOR_WIDTH, maximise_pseudolikelihood
from tusi.generative.estimation.surface import (
    Level,
    LikelihoodSurface,
    Starts,
    SurfaceSampling,
    final_arrangements,
    information_at_centre,
    sample_surface_at,
    star_nodes,
)
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.likelihood import COUPLING_LIMIT, invert
from tusi.generative.montecarlo.plan import Sampler

FEWEST_SETTLED = 20
"""Settled sites for each coupling from which the pseudolikelihood gives a start."""

MOST_PROFILED = 4
"""Couplings up to which intervals are those of the likelihood ratio; beyond, those of the curvature."""

LATENT_SAMPLES = 2000
"""Samples at least around the maximum where species are latent: intervals lean on the difference of two simulations."""

CENTRED = 0.1
"""Squared distance, in standard errors, of the maximum from the couplings that the last round was centred on."""

UNBOUNDED = 4.0
"""Standard error (kT) beyond which a coupling is said not to be identified."""

Z95 = 1.959963984540054


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaximumLikelihood(EstimationMethod):
    """Maximise the likelihood: make the mean of the statistics equal to what was seen, by Newton on simulated moments.

    It starts from the pseudolikelihood. Each round simulates at the current couplings and climbs the reweighted
    log-likelihood as far as its effective sample size allows. When a round moves less than a standard error, the last
    ones simulate on either side of the maximum too, until the Monte Carlo error is a small enough part of the standard
    error. Borders of windows are conditioned on. So is each image's own composition where all species are certain: it
    then needs no nuisance parameters. Where some are not, its chemical potentials are maximised over and eliminated
    from the information by Schur's complement. Uncertain or unseen species are latent:
    the gradient is `E[T | evidence] - E[T]`, the information `Cov(T) - Cov(T | evidence)`. Intervals are those of the
    likelihood ratio for up to four couplings without such potentials, else those of the curvature.

    Attributes
    ----------
    monte_carlo_share
        Largest Monte Carlo error, in standard errors: .1 costs 1 % of the efficiency.
    max_rounds
        Rounds before the fit is reported as not converged.
    max_samples
        Most samples at one set of couplings per image.
    n_gain_samples
        Samples per image for the log-likelihood gain over no couplings; 0 leaves it out.
    sampler
        The moves: a heat bath where it is None, or exchanges where the composition is conditioned on.

    References
    ----------
    C. J. Geyer and E. A. Thompson, J. R. Stat. Soc. B 54, 657 (1992).
    T. A. Louis, J. R. Stat. Soc. B 44, 226 (1982).

    Examples
    --------
    >>> MaximumLikelihood(monte_carlo_share=0.05).max_rounds
    12
    """

    monte_carlo_share: float = 0.08
    max_rounds: int = 12
    max_samples: int = 40_000
    n_gain_samples: int = 600
    sampler: Sampler | None = None

    def __post_init__(self) -> None:
        if not 0.005 <= self.monte_carlo_share <= 1.0:
            raise InputError("monte_carlo_share", expected="0.005 to 1", got=str(self.monte_carlo_share))
        if self.max_rounds < 1 or self.max_samples < 400 or self.n_gain_samples < 0:
            raise InputError("max_rounds", expected="at least 1 round and 400 samples", got=f"{self.max_rounds}")

    def estimate(
        self,
        observations: tuple[Observation, ...],
        model: LatticeModel,
        *,
        rng: np.random.Generator,
        composition: Composition,
        progress: Progress,
    ) -> CouplingEstimate:
        """Estimate the couplings.

        Warns
        -----
        IdentifiabilityWarning
            The images cannot tell some couplings or combinations of them.
        """
        images, notes = compile_images(observations, model, composition=composition, conserve=True)
        if images[0].conserved:
            starting, _ = compile_images(observations, model, composition=composition)
        else:
            starting = images
        fit = self.fit(images, start=start_of(starting), rng=rng, progress=progress)
        error = np.sqrt(np.diag(fit.covariance))
        interval = np.column_stack([fit.value - Z95 * error, fit.value + Z95 * error])
        if fit.converged and len(fit.surface.nodes) > 1 and not images[0].n_fields:
            interval = interval_of(fit.surface, fit.value, interval)
        interval[_unbounded(fit)] = (-np.inf, np.inf)
        gain, gain_error = np.nan, np.nan
        if self.n_gain_samples:
            progress("integrating the likelihood from no couplings")
            gain, gain_error = log_likelihood_gain(
                images, (fit.value, fit.level.fields), rng=rng, n_samples=self.n_gain_samples, sampler=self.sampler
            )
        return CouplingEstimate(
            model=model.name,
            equation=model.equation(),
            parameters=model.parameters,
            value=fit.value,
            covariance=fit.covariance,
            interval=interval,
            monte_carlo_error=np.sqrt(np.diag(fit.noise)),
            converged=fit.converged,
            n_rounds=fit.n_rounds,
            effective_sample_size=fit.effective_sample_size,
            r_hat=fit.r_hat,
            log_likelihood_gain=gain,
            log_likelihood_gain_error=gain_error,
            method=repr(self),
            notes=(*notes, *_doubts(fit, model.parameters)),
            n_sites=sum(int(image.inner.sum()) for image in images),
        )

    def fit(
        self,
        images: Sequence[Image],
        *,
        start: tuple[Float[np.ndarray, " parameter"], Sequence[Float[np.ndarray, " field"]]],
        rng: np.random.Generator,
        progress: Progress,
    ) -> "LikelihoodFit":
        """Return the maximum for compiled images, starting from these couplings and chemical potentials."""
        value, fields = start
        fields = [own[: image.n_fields] for own, image in zip(fields, images, strict=True)]
        sampling = SurfaceSampling(n_samples=400, sampler=self.sampler)
        starts: Starts | None = None
        near, rounds = False, 0
        nodes = value[None]
        while True:
            rounds += 1
            surface = sample_surface_at(images, nodes, fields, rng=rng, sampling=sampling, starts=starts)
            moved = climb(surface, value)
            level = surface.level(moved)
            inverse, share = inverse_information(level.information, level.complete, least=_least(surface))
            shift = moved - value
            distance = float(shift @ np.linalg.solve(inverse, shift))
            within = distance < 1.0 and _field_shift(surface, level) < 2.0
            noise = _noise(surface, level, moved, inverse)
            part = float(np.sqrt(np.max(np.diag(noise) / np.diag(inverse))))
            value, fields, starts = moved, level.fields, final_arrangements(surface)
            progress(f"round {rounds}: Monte Carlo error {part:.2f} standard errors")
            enough = part <= self.monte_carlo_share or sampling.n_samples >= self.max_samples
            settled = within and near and enough and distance < CENTRED
            if settled or rounds == self.max_rounds:
                break
            near = near or within
            around = near and len(value) <= MOST_PROFILED
            nodes = star_nodes(value, np.linalg.inv(inverse), complete=level.complete) if around else value[None]
            sampling = self._longer(sampling, surface, (part, near, len(nodes)))
        frozen = _bounds(information_at_centre(surface))
        bounded = bool((frozen < UNBOUNDED**2).all() and (np.abs(value) < 0.99 * COUPLING_LIMIT).all())
        return LikelihoodFit(
            value=value,
            covariance=inverse + noise if bounded else inverse + noise + np.diag(frozen),
            noise=noise,
            surface=surface,
            level=level,
            share=share,
            converged=settled and bounded,
            n_rounds=rounds,
            effective_sample_size=float(surface.sizes(value, level.fields).min()),
            r_hat=max(one.r_hat for one in surface.images),
        )

    def _longer(
        self, sampling: SurfaceSampling, surface: LikelihoodSurface, state: tuple[float, bool, int]
    ) -> SurfaceSampling:
        """Return how to sample next: as many as the wanted error takes, about as far apart as they forget."""
        part, near, n_nodes = state
        slowest = max(float(1.0 / one.efficiency(np.eye(one.image.n_shared)).min()) for one in surface.images)
        sweeps = slowest * sampling.spacing
        spacing = int(np.clip(round(sweeps / 3), 1, 50))
        n_samples = sampling.n_samples
        if near:
            growth = np.clip(1.2 * (part / self.monte_carlo_share) ** 2, 0.2, 20.0)
            same = sampling.n_samples * sampling.spacing * len(surface.nodes) / (spacing * min(n_nodes, 3))
            least = LATENT_SAMPLES if _latent(surface) else 200
            n_samples = int(np.clip(growth * same, least, self.max_samples))
        return dataclasses.replace(
            sampling, n_samples=n_samples, spacing=spacing, burn_in=int(np.clip(3 * sweeps, 20, 500))
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LikelihoodFit:
    """The maximum of the likelihood.

    Attributes
    ----------
    value
        Couplings, in kT.
    covariance
        Inverse information, and the Monte Carlo covariance.
    noise
        Covariance of the value from the finite number of samples.
    surface
        The log-likelihood around it.
    level
        The likelihood at the maximum.
    share
        Information over that of complete data, in the information's own directions.
    converged, n_rounds, effective_sample_size, r_hat
        As in `CouplingEstimate`.
    """

    value: Float[np.ndarray, " parameter"]
    covariance: Float[np.ndarray, "parameter parameter"]
    noise: Float[np.ndarray, "parameter parameter"]
    surface: LikelihoodSurface
    level: Level
    share: Float[np.ndarray, " direction"]
    converged: bool
    n_rounds: int
    effective_sample_size: float
    r_hat: float


def start_of(images: Sequence[Image]) -> tuple[np.ndarray, Sequence[np.ndarray]]:
    """Return the pseudolikelihood's couplings and fields, or none where too few sites tell."""
    n_shared = images[0].n_shared
    if sum(int(image.settled.sum()) for image in images) < FEWEST_SETTLED * n_shared:
        return np.zeros(n_shared), [independent_fields(image) for image in images]
    fit = maximise_pseudolikelihood(images)
    limit = 0.9 * COUPLING_LIMIT
    return np.clip(fit.value, -limit, limit), list(np.clip(fit.fields, -FIELD_PRIOR_WIDTH, FIELD_PRIOR_WIDTH))


def _field_shift(surface: LikelihoodSurface, level: Level) -> float:
    """Return the square of how far the chemical potentials moved, in standard errors; the worst image's."""
    worst = 0.0
    for one, fields in zip(surface.images, level.fields, strict=True):
        moved, n = fields - one.fields, one.image.n_shared
        worst = max(worst, float(moved @ one.samples[0].covariance[n:, n:] @ moved))
    return worst


def _bounds(information: Float[np.ndarray, "parameter parameter"]) -> Float[np.ndarray, " parameter"]:
    """Return the variances that this information allows."""
    return np.diag(invert(information))


def _unbounded(fit: LikelihoodFit) -> Bool[np.ndarray, " parameter"]:
    """Return the couplings that the images do not bound."""
    return (np.sqrt(np.diag(fit.covariance)) > UNBOUNDED) | (np.abs(fit.value) >= 0.99 * COUPLING_LIMIT)


def _latent(surface: LikelihoodSurface) -> bool:
    """Return whether any image has sites whose species are uncertain or unseen."""
    return any(one.image.evidence is not None for one in surface.images)


def _least(surface: LikelihoodSurface) -> float:
    """Return the smallest part of complete information that these samples can tell from none, at most a fifth."""
    if not _latent(surface):
        return 1e-6
    sizes = surface.effective_sample_size(surface.centre)
    return float(min(2.0 * np.sqrt(4.0 / sizes.min()), 0.2)) / 2.0


def _noise(surface: LikelihoodSurface, level: Level, couplings: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Return the covariance of the maximum that is left from the finite number of samples."""
    n = len(couplings)
    total = np.zeros((n, n))
    for one, fields in zip(surface.images, level.fields, strict=True):
        local = one.image.local(couplings, fields)
        _, _, covariance = one.pool.moments(local)
        sizes = one.pool.effective_sample_size(local) * one.efficiency(inverse)
        inform = np.tensordot(one.pool.weight, covariance, axes=1)
        onto = one.image.ratio * np.eye(n, len(local))
        if one.image.n_fields:
            own = inverse_information(inform[n:, n:], covariance[0][n:, n:], least=LEAST_SHARE)[0]
            onto[:, n:] = -one.image.ratio * inform[:n, n:] @ own
        for each, size in zip(covariance, sizes, strict=True):
            total += onto @ each @ onto.T / size
    return inverse @ total @ inverse


def _doubts(fit: LikelihoodFit, parameters: Sequence[str]) -> list[str]:
    """Return, and warn of, what the images cannot tell."""
    notes = []
    vague = [name for name, is_vague in zip(parameters, _unbounded(fit), strict=True) if is_vague]
    if vague:
        notes.append(f"the images do not bound {', '.join(vague)}")
    if fit.share.min() < _least(fit.surface):
        notes.append("what is unseen leaves some combination of the couplings without information")
    for note in notes:
        warnings.warn(IdentifiabilityWarning(note), stacklevel=4)
    if not fit.converged:
        notes.append(f"not converged after {fit.n_rounds} rounds")
    if fit.r_hat > 1.1:
        notes.append(f"chains disagree (R-hat {fit.r_hat:.2f})")
    return notes
