"""Draws from the posterior of the couplings, what they say, and how far to trust them."""

import dataclasses
import functools
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.generative.estimation.prior import JointPrior
from tusi.generative.estimation.surface import SurfaceSampling
from tusi.generative.montecarlo.samples import Samples


@runtime_checkable
class CouplingSurface(Protocol):
    """A log-likelihood of the couplings, and how well it is known."""

    def log_likelihood(
        self, couplings: Float[np.ndarray, " parameter"]
    ) -> tuple[float, Float[np.ndarray, " parameter"], Float[np.ndarray, "parameter parameter"]]:
        """Return the log-likelihood up to a constant, its gradient and minus its Hessian."""
        ...

    def effective_sample_size(self, couplings: Float[np.ndarray, " parameter"]) -> Float[np.ndarray, " segment"]:
        """Return the independent samples that each of its partition functions rests on there."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class PosteriorSettings:
    """How long the chains are, and how well the surface must know where they go.

    Attributes
    ----------
    n_samples, n_chains, n_warm_up
        Samples kept of each chain, chains, and steps in which they learn their proposals.
    least_effective_size
        Independent samples of the surface that are enough at a coupling.
    n_checked, inside
        Draws at which the surface is asked, and the fraction at which it must know enough.
    max_rounds
        Times that the chains run, with the surface extended in between, before the posterior is said to be unsure.
    sampling
        How the surface is sampled at each coupling.
    """

    n_samples: int = 4000
    n_chains: int = 4
    n_warm_up: int = 1200
    least_effective_size: float = 200.0
    n_checked: int = 80
    inside: float = 0.975
    max_rounds: int = 10
    sampling: SurfaceSampling = SurfaceSampling()

    def __post_init__(self) -> None:
        for name, least in (("n_samples", 4), ("n_chains", 2), ("n_warm_up", 40), ("n_checked", 1), ("max_rounds", 1)):
            if not isinstance(getattr(self, name), int | np.integer) or getattr(self, name) < least:
                raise InputError(
                    name, expected=f"a whole number, at least {least}", got=repr(getattr(self, name))
                )  # fmt: skip
        if not 0 < self.inside <= 1:
            raise InputError("inside", expected="a fraction above 0", got=str(self.inside))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CouplingPosterior:
    """Draws from the posterior of the couplings, in kT, and how far to trust them.

    Attributes
    ----------
    prior
        What was believed before; it names the couplings.
    surface
        The log-likelihood that was used.
    draws
        Couplings.
    log_posterior
        Log prior plus log-likelihood of each draw, the latter up to the surface's constant.
    acceptance
        Fraction of the proposals that were accepted.
    surface_effective_size
        Independent samples that the surface rests on at checked draws, the least over its partition functions.
    surface_error
        Standard error of the posterior mean from the finite number of samples behind the surface.
    surface_width_ratio
        Standard deviation by each part of the surface's samples over that by all of them; empty if it has no parts.
    converged
        Whether the surface knew enough where the draws lie, and all chains agree.
    n_rounds
        Times that the chains ran.
    notes
        What to know before the numbers are used.
    """

    prior: JointPrior
    surface: CouplingSurface
    draws: Float[np.ndarray, "chain sample parameter"]
    log_posterior: Float[np.ndarray, "chain sample"]
    acceptance: float
    surface_effective_size: Float[np.ndarray, " checked"]
    surface_error: Float[np.ndarray, " parameter"]
    surface_width_ratio: Float[np.ndarray, "part parameter"]
    converged: bool
    n_rounds: int
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the couplings."""
        return self.prior.parameters

    @property
    def flat(self) -> Float[np.ndarray, "draw parameter"]:
        """The draws of all chains."""
        return self.draws.reshape(-1, self.draws.shape[2])

    @property
    def mean(self) -> Float[np.ndarray, " parameter"]:
        """Posterior mean."""
        return self.flat.mean(axis=0)

    @property
    def covariance(self) -> Float[np.ndarray, "parameter parameter"]:
        """Posterior covariance."""
        return np.atleast_2d(np.cov(self.flat.T))

    @functools.cached_property
    def effective_sample_size(self) -> Float[np.ndarray, " parameter"]:
        """Independent draws that would give the mean the same error."""
        return self._chains.effective_sample_size

    @functools.cached_property
    def r_hat(self) -> Float[np.ndarray, " parameter"]:
        """Pooled over within-chain standard deviation: 1 where all chains agree."""
        return self._chains.r_hat

    @property
    def monte_carlo_error(self) -> Float[np.ndarray, " parameter"]:
        """Standard error of the mean, from the chains and from the surface."""
        return np.sqrt(np.diag(self.covariance) / self.effective_sample_size + self.surface_error**2)

    def quantile(self, probability: Float[np.ndarray, " level"] | float) -> Float[np.ndarray, "*level parameter"]:
        """Return quantiles of each coupling."""
        return np.quantile(self.flat, probability, axis=0)

    def interval(self, level: float = 0.95) -> Float[np.ndarray, "parameter 2"]:
        """Return the central credible interval of each coupling.

        Raises
        ------
        InputError
            The level is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise InputError("level", expected="a probability between 0 and 1", got=str(level))
        return self.quantile(np.array([(1 - level) / 2, (1 + level) / 2])).T

    @functools.cached_property
    def _chains(self) -> Samples:
        kept, final = (np.zeros(shape, dtype=np.int8) for shape in ((len(self.draws), 0, 0), (len(self.draws), 0)))
        return Samples(statistics=self.draws, species=kept, final=final, acceptance=self.acceptance)
