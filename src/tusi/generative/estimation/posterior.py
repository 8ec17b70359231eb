"""The posterior of the couplings from images, priors and chains: one call, and a method of `estimate_couplings`."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tusi.errors import InputError
from tusi.generative.estimation.coupling_posterior import CouplingPosterior, PosteriorSettings
from tusi.generative.estimation.estimate import Composition, CouplingEstimate, EstimationMethod, Progress
from tusi.generative.estimation.growing_surface import GrowingSurface, growing_surface
from tusi.generative.estimation.latent import Image, compile_images
from tusi.generative.estimation.observation import Observation
from tusi.generative.estimation.prior import JointPrior, Priors
from tusi.generative.estimation.pseudolikelihood import maximise_pseudolikelihood
from tusi.generative.estimation.surface import star_nodes
from tusi.generative.estimation.surface_sampling import sample_surface
from tusi.generative.lattice.model import LatticeModel

FURTHEST = 3.0
"""Distance from the prior's mean, in standard deviations of the prior, at which the first samples are drawn at most."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Posterior(EstimationMethod):
    """Draw from the posterior of the couplings and report its mean, covariance and central 95 % interval.

    Attributes
    ----------
    priors
        Beliefs before the images; a standard normal for each coupling by default.
    settings
        How long the chains are, and how well the likelihood must be known.

    Examples
    --------
    >>> Posterior().settings.n_samples
    4000
    """

    priors: Priors = Priors()
    settings: PosteriorSettings = PosteriorSettings()

    def estimate(
        self,
        observations: tuple[Observation, ...],
        model: LatticeModel,
        *,
        rng: np.random.Generator,
        composition: Composition,
        progress: Progress,
    ) -> CouplingEstimate:
        """Estimate the couplings by the mean of the posterior."""
        images, notes = compile_images(observations, model, composition=composition)
        progress("sampling the posterior")
        drawn = _sample_images(images, self.priors.of(model.parameters), rng=rng, settings=self.settings)
        return CouplingEstimate(
            model=model.name,
            equation=model.equation(),
            parameters=model.parameters,
            value=drawn.mean,
            covariance=drawn.covariance + np.diag(drawn.surface_error**2),
            interval=drawn.interval(),
            monte_carlo_error=drawn.monte_carlo_error,
            converged=drawn.converged,
            n_rounds=drawn.n_rounds,
            effective_sample_size=float(drawn.effective_sample_size.min()),
            r_hat=float(drawn.r_hat.max()),
            log_likelihood_gain=np.nan,
            method=repr(self),
            notes=(*notes, *drawn.notes),
            n_sites=sum(int(image.inner.sum()) for image in images),
        )


def sample_posterior(
    observations: Observation | Sequence[Observation],
    model: LatticeModel,
    *,
    rng: np.random.Generator,
    priors: Priors | None = None,
    composition: Composition = "own",
    settings: PosteriorSettings | None = None,
) -> CouplingPosterior:
    """Draw couplings from their posterior given all images.

    The log-likelihood is a surface reweighted from Monte Carlo samples. Metropolis chains run on it; where it rests on
    too few samples at their draws it is sampled there, and they run again. Windows are conditioned on their borders.
    With compositions of their own, the likelihood is that of the arrangement given the composition.

    Parameters
    ----------
    observations
        One image or several.
    model
        The Hamiltonian.
    rng
        The only source of randomness.
    priors
        Beliefs before the images, in kT; a standard normal for each coupling where it is None.
    composition
        "own": each image has its own chemical potentials; "model": only the model's field terms set compositions.
    settings
        How long the chains are, and how well the likelihood must be known.

    Returns
    -------
    CouplingPosterior
        Draws, mean, covariance, intervals, and how far to trust them.

    Raises
    ------
    InputError
        No image, a model without couplings, or priors of couplings that it does not have.

    References
    ----------
    C. J. Geyer and E. A. Thompson, *J. R. Stat. Soc. B* 54, 657 (1992).
    I. Murray, Z. Ghahramani, D. J. C. MacKay, *Proc. UAI* 22, 359 (2006), for the problem and an exact, slow answer.

    Examples
    --------
    >>> from tusi.generative.estimation import observe
    >>> from tusi.generative.lattice import SQUARE, ising, periodic_sites
    >>> rng = np.random.default_rng(1)
    >>> image = observe(periodic_sites(SQUARE, (12, 12)), rng.integers(0, 2, 144))
    >>> posterior = sample_posterior(image, ising(field=False), rng=rng, composition="model")
    >>> bool(abs(posterior.mean[0]) < 0.25), bool(0.04 < np.sqrt(posterior.covariance[0, 0]) < 0.08)
    (True, True)
    """
    images = (observations,) if isinstance(observations, Observation) else tuple(observations)
    if not images or not model.terms:
        raise InputError("observations", expected="images, and a model with couplings", got=f"{len(images)}, {model}")
    wide = [image.widened(model.n_species) for image in images]
    compiled, notes = compile_images(wide, model, composition=composition)
    prior = (priors or Priors()).of(model.parameters)
    drawn = _sample_images(compiled, prior, rng=rng, settings=settings or PosteriorSettings())
    return dataclasses.replace(drawn, notes=(*notes, *drawn.notes))


def _sample_images(
    images: Sequence[Image], prior: JointPrior, *, rng: np.random.Generator, settings: PosteriorSettings
) -> CouplingPosterior:
    """Draw from the posterior of compiled images, starting from the pseudolikelihood."""
    start = maximise_pseudolikelihood(images)
    n = len(prior.parameters)
    precision = np.linalg.inv(prior.covariance)
    information = start.information[:n, :n] + precision
    width = np.sqrt(np.diag(prior.covariance))
    value = np.linalg.solve(information, start.information[:n, :n] @ start.value + precision @ prior.mean)
    value = np.clip(value, prior.mean - FURTHEST * width, prior.mean + FURTHEST * width)
    value = np.clip(value, *prior.bounds)
    nodes = np.clip(star_nodes(value, information), *prior.bounds)
    surface = growing_surface(images, nodes, fields=list(start.fields), rng=rng, sampling=settings.sampling)

    def extend(places: np.ndarray) -> GrowingSurface:
        nonlocal surface
        surface = surface.extended(places, rng=rng)
        return surface

    return sample_surface(surface, prior, rng=rng, extend=extend, settings=settings)
