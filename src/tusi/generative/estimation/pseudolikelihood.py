"""Pseudolikelihood of the couplings: no simulation to find it, and a start for all that is better."""

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import CalibrationWarning, InputError
from tusi.generative.estimation.estimate import Composition, CouplingEstimate, EstimationMethod, Progress
from tusi.generative.estimation.latent import Image, compile_images
from tusi.generative.estimation.observation import Observation
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.likelihood import invert
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.plan import SamplingPlan

PRIOR_WIDTH = 3.0
"""Standard deviation (kT) of the weak normal prior that keeps couplings finite in perfect order."""

FIELD_PRIOR_WIDTH = 10.0
"""The same for chemical potentials."""

Z95 = 1.959963984540054


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pseudolikelihood(EstimationMethod):
    """Maximise the product of the conditional probabilities of each site's species given its surroundings.

    A multinomial regression for any number of species and any clusters, by Newton steps with a very weak prior. It is
    consistent, and less efficient than the likelihood the closer to a phase transition. The covariance is Godambe's,
    `J^-1 H J^-1`, with H the covariance of the score over arrangements simulated at the estimate.

    Attributes
    ----------
    n_replicas
        Simulated arrangements per image behind the covariance.
    spacing
        Sweeps between two of them.

    References
    ----------
    J. Besag, J. R. Stat. Soc. B 36, 192 (1974).
    V. P. Godambe, Ann. Math. Stat. 31, 1208 (1960).

    Examples
    --------
    >>> Pseudolikelihood().n_replicas
    200
    """

    n_replicas: int = 200
    spacing: int = 20

    def __post_init__(self) -> None:
        if self.n_replicas < 20 or self.spacing < 1:
            raise InputError("n_replicas", expected="at least 20", got=f"{self.n_replicas}, {self.spacing}")

    def estimate(
        self,
        observations: tuple[Observation, ...],
        model: LatticeModel,
        *,
        rng: np.random.Generator,
        composition: Composition,
        progress: Progress,
    ) -> CouplingEstimate:
        """Estimate the couplings; sites next to unseen ones are left out, uncertain labels taken as they look.

        Warns
        -----
        CalibrationWarning
            Labels are uncertain, which pulls the couplings towards zero.
        """
        images, notes = compile_images(observations, model, composition=composition)
        progress("maximising the pseudolikelihood")
        fit = maximise_pseudolikelihood(images)
        if any((~image.settled & image.inner).any() for image in images):
            notes = (*notes, "sites next to unseen ones were left out")
        if any((image.settled & (image.probability.max(axis=1) < 1)).any() for image in images):
            note = "labels are uncertain, which pulls the pseudolikelihood's couplings towards zero; use the likelihood"
            warnings.warn(CalibrationWarning(note), stacklevel=3)
            notes = (*notes, note)
        progress("simulating its scores")
        scores = np.sum([self.scores(image, fit, number=k, rng=rng) for k, image in enumerate(images)], axis=0)
        inverse = invert(fit.information)
        covariance = inverse @ np.cov(scores.T, ddof=1).reshape(inverse.shape) @ inverse
        n = len(model.terms)
        error = np.sqrt(np.diag(covariance)[:n])
        value = fit.value
        return CouplingEstimate(
            model=model.name,
            equation=model.equation(),
            parameters=model.parameters,
            value=value,
            covariance=covariance[:n, :n],
            interval=np.column_stack([value - Z95 * error, value + Z95 * error]),
            monte_carlo_error=np.zeros(n),
            converged=fit.converged,
            n_rounds=0,
            effective_sample_size=np.nan,
            r_hat=np.nan,
            log_likelihood_gain=np.nan,
            method=repr(self),
            notes=notes,
            n_sites=sum(int(image.settled.sum()) for image in images),
        )

    def scores(
        self, image: Image, fit: "PseudolikelihoodFit", *, number: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "replica all"]:
        """Return scores of one image's couplings and fields at simulated arrangements."""
        local = image.local(fit.value, fit.fields[number])
        plan = SamplingPlan(
            n_samples=-(-self.n_replicas // 4), n_chains=4, burn_in=100, spacing=self.spacing, keep_species=True,
            start=image.starts(4, rng=rng),
        )  # fmt: skip
        species = draw_samples(image.system, local, rng=rng, plan=plan).species
        rows = [site_scores(image, one, local).sum(axis=0) for one in species.reshape(-1, image.system.n_sites)]
        return np.array(rows[: self.n_replicas]) @ embed(image, number, (len(fit.value), fit.fields.size)).T


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PseudolikelihoodFit:
    """Couplings that maximise the pseudolikelihood.

    Attributes
    ----------
    value
        Couplings, in kT.
    fields
        Chemical potentials of each image, in kT.
    log_pseudolikelihood
        At the maximum.
    information
        Minus the Hessian with respect to couplings, then the fields image by image.
    converged
        Whether the last step was negligible.
    """

    value: Float[np.ndarray, " parameter"]
    fields: Float[np.ndarray, "image field"]
    log_pseudolikelihood: float
    information: Float[np.ndarray, "all all"]
    converged: bool


def maximise_pseudolikelihood(
    images: Sequence[Image], species: Sequence[Int[np.ndarray, " site"]] | None = None
) -> PseudolikelihoodFit:
    """Regress the species of each settled site on its surroundings, by Newton steps with a very weak prior.

    Parameters
    ----------
    images
        Compiled images.
    species
        Arrangement of each; the most likely one by default.
    """
    n_shared, n_fields = images[0].n_shared, images[0].n_fields
    species = species or [image.likely for image in images]
    designs = [_design(image, one) for image, one in zip(images, species, strict=True)]
    size = (n_shared, n_fields * len(images))
    maps = [embed(image, k, size) for k, image in enumerate(images)]
    precision = np.repeat([PRIOR_WIDTH**-2.0, FIELD_PRIOR_WIDTH**-2.0], size)
    solution, converged = np.zeros(sum(size)), False
    for _ in range(60):
        value, gradient, information = 0.0, -precision * solution, np.zeros((len(solution), len(solution)))
        for (design, offset, held), onto in zip(designs, maps, strict=True):
            level, slope, curvature = _regression(design, offset, held, onto.T @ solution)
            value, gradient = value + level, gradient + onto @ slope
            information += onto @ curvature @ onto.T
        if converged:
            break
        step = np.linalg.solve(information + np.diag(precision), gradient)
        solution = solution + step / max(1.0, np.abs(step).max() / 2.0)
        converged = bool(np.abs(step).max() < 1e-8)
    return PseudolikelihoodFit(
        value=solution[:n_shared],
        fields=solution[n_shared:].reshape(len(images), n_fields),
        log_pseudolikelihood=float(value),
        information=information,
        converged=converged,
    )


def site_scores(
    image: Image, species: Int[np.ndarray, " site"], couplings: Float[np.ndarray, " local"]
) -> Float[np.ndarray, "chosen local"]:
    """Return each settled site's part of the gradient, by the image's own couplings."""
    design, offset, held = _design(image, species)
    probability = _probability(design @ couplings + offset)
    return np.take_along_axis(design, held[:, None, None], axis=1)[:, 0] - np.einsum("ns,nsk->nk", probability, design)


def embed(image: Image, number: int, size: tuple[int, int]) -> Float[np.ndarray, "all local"]:
    """Return the matrix whose transpose takes all parameters to the image's own couplings."""
    n_shared, n_all_fields = size
    onto = np.zeros((n_shared + n_all_fields, n_shared + image.n_fields))
    onto[:n_shared, :n_shared] = image.ratio * np.eye(n_shared)
    first = n_shared + number * image.n_fields
    onto[first : first + image.n_fields, n_shared:] = np.eye(image.n_fields)
    return onto


def _design(image: Image, species: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return minus the statistics that each species would add, fixed log-weights, and the species that is there."""
    chosen = np.flatnonzero(image.settled)
    design = -image.system.site_statistics(np.asarray(species, dtype=np.int8), chosen)
    return design, image.system.log_weight[chosen], np.asarray(species, dtype=np.int64)[chosen]


def _probability(logit: np.ndarray) -> np.ndarray:
    weight = np.exp(logit - logit.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True)


def _regression(
    design: np.ndarray, offset: np.ndarray, held: np.ndarray, couplings: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return value, gradient and minus the Hessian of the log-pseudolikelihood of one image."""
    probability = _probability(design @ couplings + offset)
    mean = np.einsum("ns,nsk->nk", probability, design)
    there = np.take_along_axis(design, held[:, None, None], axis=1)[:, 0]
    away = (design - mean[:, None]) * np.sqrt(probability)[:, :, None]
    flat = away.reshape(-1, design.shape[2])
    value = np.log(np.take_along_axis(probability, held[:, None], axis=1) + 1e-300).sum()
    return float(value), (there - mean).sum(axis=0), flat.T @ flat
