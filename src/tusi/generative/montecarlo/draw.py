"""The one call that draws samples, whatever the sampler."""

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo.heat_bath import HeatBath
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan
from tusi.generative.montecarlo.samples import Samples


def draw_samples(
    system: LatticeSystem,
    couplings: Float[np.ndarray, " parameter"],
    *,
    rng: np.random.Generator,
    sampler: Sampler | None = None,
    plan: SamplingPlan | None = None,
) -> Samples:
    """Draw arrangements of a lattice system from `exp(-E/kT)`.

    Markov chains whose stationary distribution is the Boltzmann weight of the free sites, given the clamped ones. How
    soon they forget their start is for the caller to judge by `Samples.r_hat` and `Samples.effective_sample_size`.

    Parameters
    ----------
    system
        Sites, interactions and what is clamped.
    couplings
        w, in kT, one for each of `system.parameters`.
    rng
        The only source of randomness; each chain has a stream of its own.
    sampler
        The moves: a heat bath where it is None.
    plan
        How many chains and samples, and where they start.

    Returns
    -------
    Samples
        Statistics of exactly the planned samples, perhaps the arrangements, and the quality of the chains.

    Raises
    ------
    InputError
        If the couplings do not fit the system or are not finite, if no site is free, or if the plan's start does not
        fit the system.

    References
    ----------
    S. Geman and D. Geman, *IEEE Trans. Pattern Anal. Mach. Intell.* 6, 721 (1984).

    Examples
    --------
    A ring of 8 sites with a coupling that favours like neighbours:

    >>> from tusi.generative.lattice.system import LatticeSystem
    >>> ring = LatticeSystem(
    ...     parameters=("unlike",),
    ...     n_species=2,
    ...     members=np.column_stack([np.arange(8), (np.arange(8) + 1) % 8]),
    ...     kind=np.zeros(8, dtype=int),
    ...     weight=np.ones(8),
    ...     table=np.array([0.0, 1.0, 1.0, 0.0]).reshape(1, 4, 1),
    ...     log_weight=np.zeros((8, 2)),
    ...     free=np.ones(8, dtype=bool),
    ... )
    >>> samples = draw_samples(ring, np.array([0.5]), rng=np.random.default_rng(1))
    >>> samples.statistics.shape
    (4, 1000, 1)
    >>> unlike = 1 / (1 + np.exp(0.5))
    >>> bool(abs(samples.mean[0] / 8 - unlike) < 0.02)
    True
    """
    weights = np.atleast_1d(np.asarray(couplings, dtype=np.float64))
    if weights.shape != (len(system.parameters),):
        raise InputError(
            "couplings", expected=f"one for each of {', '.join(system.parameters)}", got=f"shape {weights.shape}"
        )
    if not np.isfinite(weights).all():
        raise InputError("couplings", expected="finite numbers, in kT", got=str(weights))
    if not system.free.any():
        raise InputError(
            "system", expected="at least one free site", got="none", then="Free some with `system.with_free`."
        )
    return (sampler or HeatBath()).run(system, weights, plan=plan or SamplingPlan(), rng=rng)
