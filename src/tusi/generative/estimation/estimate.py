"""One call from images to couplings, whatever the method, and what it returns."""

import abc
import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError, ScarceDataWarning
from tusi.generative.estimation.observation import Observation
from tusi.generative.lattice.model import LatticeModel

Composition = Literal["own", "model"]
"""Whose the chemical potentials are: each image's own, or the model's."""

Progress = Callable[[str], None]
"""Told in words how far a calculation is."""

FEWEST_SITES = 10
"""Random sites for each coupling below which an estimate is not to be trusted."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CouplingEstimate:
    """Couplings of one Hamiltonian with what is known of their error.

    Attributes
    ----------
    model
        Name of the model.
    equation
        Its energy.
    parameters
        Names of the couplings.
    value
        Couplings, in kT (of the reference temperature).
    covariance
        Their covariance, Monte Carlo error included.
    interval
        95 % interval of each; infinite where the data do not bound it.
    monte_carlo_error
        Part of the standard error that longer simulation would remove.
    converged
        Whether the iterations ended where they should.
    n_rounds
        Rounds of simulation.
    effective_sample_size, r_hat
        Independent samples behind the moments, and agreement of the chains; NaN where nothing was simulated.
    log_likelihood_gain
        Log-likelihood above that of no couplings, in nats; NaN where the method has none.
    log_likelihood_gain_error
        Its Monte Carlo error.
    method
        The method as code.
    notes
        What to know before trusting the numbers.
    n_sites
        Random sites of all images.
    """

    model: str
    equation: str
    parameters: tuple[str, ...]
    value: Float[np.ndarray, " parameter"]
    covariance: Float[np.ndarray, "parameter parameter"]
    interval: Float[np.ndarray, "parameter 2"]
    monte_carlo_error: Float[np.ndarray, " parameter"]
    converged: bool
    n_rounds: int
    effective_sample_size: float
    r_hat: float
    log_likelihood_gain: float
    method: str
    notes: tuple[str, ...]
    n_sites: int
    log_likelihood_gain_error: float = np.nan

    @property
    def standard_error(self) -> Float[np.ndarray, " parameter"]:
        """Standard error of each coupling."""
        return np.sqrt(np.diag(self.covariance))

    def __str__(self) -> str:
        rows = [
            f"{name} = {value:.4f} +- {error:.4f}  [{low:.4f}, {high:.4f}]"
            for name, value, error, (low, high) in zip(
                self.parameters, self.value, self.standard_error, self.interval, strict=True
            )
        ]
        return "\n".join([self.equation, *rows, *self.notes])


class EstimationMethod(abc.ABC):
    """A way to estimate couplings; each is a frozen object that holds its own choices."""

    @abc.abstractmethod
    def estimate(
        self,
        observations: tuple[Observation, ...],
        model: LatticeModel,
        *,
        rng: np.random.Generator,
        composition: Composition,
        progress: Progress,
    ) -> CouplingEstimate:
        """Estimate the couplings from checked observations.

        Parameters
        ----------
        observations
            Images, all with the model's species.
        model
            The Hamiltonian.
        rng
            The only source of randomness.
        composition
            Whether each image has chemical potentials of its own.
        progress
            Told in words how far it is.
        """


def estimate_couplings(
    observations: Observation | Sequence[Observation],
    model: LatticeModel,
    *,
    rng: np.random.Generator,
    method: EstimationMethod | None = None,
    composition: Composition = "own",
    progress: Progress | None = None,
) -> CouplingEstimate:
    """Estimate one set of couplings from all images.

    Borders of windows are conditioned on. With compositions of their own, images have chemical potentials as nuisance
    parameters beside the couplings that they share, and only the couplings are reported.

    Parameters
    ----------
    observations
        One image or several.
    model
        The Hamiltonian.
    rng
        The only source of randomness.
    method
        How: `MaximumLikelihood()` where it is None.
    composition
        "own": each image has its own chemical potentials; "model": only the model's field terms set compositions.
    progress
        Told in words how far it is.

    Returns
    -------
    CouplingEstimate
        Couplings in kT, covariance, intervals, and how far the simulation can be trusted.

    Raises
    ------
    InputError
        No image, a model without couplings, species that do not match, or a field that no image could tell from its
        own chemical potentials.

    References
    ----------
    C. J. Geyer and E. A. Thompson, J. R. Stat. Soc. B 54, 657 (1992).

    Examples
    --------
    >>> from tusi.generative.estimation import Pseudolikelihood, observe
    >>> from tusi.generative.lattice import SQUARE, ising, periodic_sites
    >>> rng = np.random.default_rng(1)
    >>> image = observe(periodic_sites(SQUARE, (20, 20)), rng.integers(0, 2, 400))
    >>> fit = estimate_couplings(image, ising(field=False), rng=rng, method=Pseudolikelihood())
    >>> bool(abs(fit.value[0]) < 4 * fit.standard_error[0])
    True
    """
    images = (observations,) if isinstance(observations, Observation) else tuple(observations)
    if not images or not all(isinstance(image, Observation) for image in images):
        raise InputError("observations", expected="at least one `Observation`", got=f"{len(images)} objects")
    if not model.terms:
        raise InputError("model", expected="at least one coupling", got=f"{model.name} without any")
    if composition not in ("own", "model"):
        raise InputError("composition", expected='"own" or "model"', got=repr(composition))
    images = tuple(image.widened(model.n_species) for image in images)
    if method is None:
        from tusi.generative.estimation.likelihood import MaximumLikelihood

        method = MaximumLikelihood()
    result = method.estimate(images, model, rng=rng, composition=composition, progress=progress or (lambda _: None))
    if result.n_sites < FEWEST_SITES * len(result.parameters):
        note = f"{result.n_sites} random sites are too few for {len(result.parameters)} couplings"
        warnings.warn(ScarceDataWarning(note), stacklevel=2)
        result = dataclasses.replace(result, notes=(*result.notes, note))
    return result
