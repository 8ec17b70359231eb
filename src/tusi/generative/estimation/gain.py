"""How much more likely the images are with couplings than without."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tusi.generative.estimation.independent import independent_fields
from tusi.generative.estimation.latent import Image
from tusi.generative.estimation.surface import sampler_of
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan

N_QUADRATURE = 6
"""Gauss-Legendre nodes along the line from no couplings to the fit."""


def log_likelihood_gain(
    images: Sequence[Image],
    fit: tuple[Float[np.ndarray, " parameter"], Sequence[Float[np.ndarray, " field"]]],
    *,
    rng: np.random.Generator,
    n_samples: int,
    sampler: Sampler | None = None,
) -> tuple[float, float]:
    """Return the log-likelihood of couplings above that of none, in nats, and its Monte Carlo error.

    Integrates the gradient along the straight line from no couplings (each image at its best composition) to the fit,
    by Gauss-Legendre quadrature.

    Parameters
    ----------
    images
        Compiled images.
    fit
        Couplings and each image's chemical potentials, in kT.
    rng
        Source of randomness.
    n_samples
        Samples per image over all nodes.
    sampler
        The moves.
    """
    position, weight = np.polynomial.legendre.leggauss(N_QUADRATURE)
    n_each = max(5, n_samples // (4 * N_QUADRATURE))
    couplings, all_fields = fit
    gain, variance = 0.0, 0.0
    for image, fields in zip(images, all_fields, strict=True):
        first = image.local(np.zeros(image.n_shared), independent_fields(image))
        line = image.local(couplings, fields) - first
        systems = [image.system, *([image.evidence] if image.evidence is not None else [])]
        starts = [image.starts(4, rng=rng) for _ in systems]
        for fraction, share in zip((position + 1) / 2, weight / 2, strict=True):
            for number, (system, sign) in enumerate(zip(systems, (1.0, -1.0), strict=False)):
                plan = SamplingPlan(n_samples=n_each, n_chains=4, burn_in=30, spacing=3, start=starts[number])
                samples = draw_samples(
                    system, first + fraction * line, rng=rng, sampler=sampler_of(image, sampler), plan=plan
                )
                starts[number] = samples.final
                gain += sign * share * samples.mean @ line
                size = samples.effective_sample_size.min()
                variance += share**2 * (line @ samples.covariance @ line) / size
            if image.evidence is None:
                gain -= share * image.observed @ line
    return float(gain), float(np.sqrt(variance))
