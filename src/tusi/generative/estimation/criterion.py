"""The composite-likelihood information criterion of any lattice model."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tusi.generative.estimation.estimate import Composition
from tusi.generative.estimation.latent import compile_images
from tusi.generative.estimation.observation import Observation
from tusi.generative.estimation.pseudolikelihood import Pseudolikelihood, maximise_pseudolikelihood
from tusi.generative.lattice.compilation import lattice_system
from tusi.generative.lattice.model import LatticeModel
from tusi.inference.criteria import composite_information_criterion


def composite_criterion(
    observations: Sequence[Observation],
    model: LatticeModel,
    *,
    rng: np.random.Generator,
    composition: Composition = "own",
    reach: Sequence[LatticeModel] = (),
) -> float:
    """Return CLIC, `-2 pl + 2 tr(J H^-1)`, at the maximum of the pseudolikelihood pl; smaller is better.

    J is the covariance of the score over arrangements simulated at the estimate, H minus the Hessian. It holds where
    neighbouring sites depend on each other, which the plain count of parameters of AIC does not. It ranks models and
    rejects none: read it beside the tests of `examine_fit`.

    Parameters
    ----------
    observations
        The images; uncertain labels are taken as they look.
    model
        The Hamiltonian, perhaps without couplings.
    rng
        Source of randomness.
    composition
        Whether each image has chemical potentials of its own.
    reach
        Models that it is compared with: only sites that all of them can judge are counted.

    References
    ----------
    C. Varin and P. Vidoni, Biometrika 92, 519 (2005).

    Examples
    --------
    >>> from tusi.generative.estimation import observe
    >>> from tusi.generative.lattice import SQUARE, ising, periodic_sites
    >>> rng = np.random.default_rng(1)
    >>> image = observe(periodic_sites(SQUARE, (12, 12)), rng.integers(0, 2, 144))
    >>> bool(190 < composite_criterion([image], ising(field=False), rng=rng) < 210)
    True
    """
    images, _ = compile_images(tuple(observations), model, composition=composition)
    judged = {
        one.name or f"image {k}": lattice_system(model, one.sites, reach=reach).free
        for k, one in enumerate(observations)
    }
    images = tuple(dataclasses.replace(image, inner=image.inner & judged[image.name]) for image in images)
    fit = maximise_pseudolikelihood(images)
    method = Pseudolikelihood()
    scores = np.sum([method.scores(image, fit, number=k, rng=rng) for k, image in enumerate(images)], axis=0)
    return composite_information_criterion(
        fit.log_pseudolikelihood,
        score_covariance=np.atleast_2d(np.cov(scores.T, ddof=1)),
        information=fit.information,
    )
