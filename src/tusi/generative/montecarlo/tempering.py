"""Parallel tempering: hotter copies of the system carry arrangements over barriers too high for one temperature."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo.heat_bath import HeatBath
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan
from tusi.generative.montecarlo.samples import Samples


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tempering(Sampler):
    """Run the system at several strengths of its couplings and let neighbouring rungs exchange arrangements.

    Every rung multiplies the couplings, never the fixed weights `log_weight`: what a site may hold and what an image
    shows of it stays as it is. A step is one step of the inner sampler on every rung, then the exchange of neighbours
    (even pairs in one step, odd pairs in the next) by the Metropolis rule. The samples are those of the full couplings,
    rung 1; `temper` returns all of them.

    Attributes
    ----------
    ladder
        Factors of the couplings from 1 downwards, or how many to place in geometric order between 1 and `hottest`.
    hottest
        Smallest factor where `ladder` is a number.
    inner
        Moves on each rung; its stationary distribution must be the Boltzmann weight.

    Raises
    ------
    InputError
        The ladder does not begin at 1 and fall.

    References
    ----------
    K. Hukushima and K. Nemoto, *J. Phys. Soc. Jpn.* 65, 1604 (1996).

    Examples
    --------
    >>> Tempering(ladder=3, hottest=0.25).factors
    (1.0, 0.5, 0.25)
    """

    ladder: int | tuple[float, ...] = 8
    hottest: float = 0.2
    inner: Sampler = HeatBath()

    def __post_init__(self) -> None:
        factors = np.array(self.factors)
        if len(factors) < 2 or factors[0] != 1.0 or not (np.diff(factors) < 0).all() or not factors[-1] >= 0.0:
            raise InputError(
                "ladder",
                expected="at least two factors that begin with 1 and fall, none below 0",
                got=str(self.ladder) if not isinstance(self.ladder, int) else f"{self.ladder} down to {self.hottest}",
            )

    @property
    def factors(self) -> tuple[float, ...]:
        """What multiplies the couplings on each rung."""
        if not isinstance(self.ladder, int):
            return tuple(float(factor) for factor in self.ladder)
        if self.ladder < 2 or not 0.0 < self.hottest < 1.0:
            return ()
        return tuple(float(factor) for factor in self.hottest ** (np.arange(self.ladder) / (self.ladder - 1)))

    def run(
        self,
        system: LatticeSystem,
        couplings: Float[np.ndarray, " parameter"],
        *,
        plan: SamplingPlan,
        rng: np.random.Generator,
    ) -> Samples:
        """Return the samples at the full couplings; their `acceptance` is the mean of the exchanges between rungs."""
        rungs = temper(system, couplings, rng=rng, sampler=self, plan=plan)
        return dataclasses.replace(rungs.samples[0], acceptance=float(rungs.swaps.mean()))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Rungs:
    """What `temper` returns.

    Attributes
    ----------
    factors
        What multiplied the couplings on each rung.
    samples
        Samples of each rung.
    swaps
        Fraction of exchanges between each rung and the next that were accepted: near 0, the ladder has a gap.
    """

    factors: tuple[float, ...]
    samples: tuple[Samples, ...]
    swaps: Float[np.ndarray, " gap"]


def temper(
    system: LatticeSystem,
    couplings: Float[np.ndarray, " parameter"],
    *,
    rng: np.random.Generator,
    sampler: Tempering | None = None,
    plan: SamplingPlan | None = None,
) -> Rungs:
    """Run parallel tempering and return the samples of every rung.

    Each chain is a ladder of its own, independent of the others. Energies in the exchange are those of the couplings
    alone, since the fixed weights are the same on all rungs.

    Parameters
    ----------
    system
        Sites, interactions and what is clamped.
    couplings
        w of the first rung, in kT.
    rng
        The only source of randomness.
    sampler
        The ladder and the moves on it.
    plan
        How many ladders and samples, and where they start.

    Returns
    -------
    Rungs
        Samples of each rung and how often neighbours exchanged.

    Raises
    ------
    InputError
        The plan's start does not fit the system.

    References
    ----------
    K. Hukushima and K. Nemoto, *J. Phys. Soc. Jpn.* 65, 1604 (1996).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    >>> system = lattice_system(ising(field=False), periodic_sites(SQUARE, (4, 4)))
    >>> rungs = temper(system, np.array([1.0]), rng=np.random.default_rng(1), plan=SamplingPlan(n_samples=50))
    >>> len(rungs.samples), bool(rungs.swaps.min() > 0.2)
    (8, True)
    """
    sampler, plan = sampler or Tempering(), plan or SamplingPlan()
    factors, weights = np.array(sampler.factors), np.asarray(couplings, dtype=np.float64)
    n_rungs, n_chains = len(factors), plan.n_chains
    state = np.stack([plan.first_arrangements(system, rng=rng) for _ in factors])
    statistics = np.empty((n_rungs, n_chains, plan.n_samples, len(system.parameters)))
    species = np.empty((n_rungs, n_chains, plan.n_samples if plan.keep_species else 0, system.n_sites), dtype=np.int8)
    here = np.empty((n_rungs, n_chains, len(system.parameters)))
    accepted, moved = np.zeros((n_rungs - 1, 2)), np.zeros(n_rungs)
    inner = sampler.inner
    if inner == HeatBath():
        inner = HeatBath(method="clusters")  # tables would be made anew for every single sweep
    for step in range(plan.n_steps):
        for rung, factor in enumerate(factors):
            one = SamplingPlan(n_samples=1, n_chains=n_chains, burn_in=0, start=state[rung])
            drawn = inner.run(system, factor * weights, plan=one, rng=rng)
            state[rung], here[rung] = drawn.final, drawn.statistics[:, 0]
            moved[rung] += drawn.acceptance / plan.n_steps
        for low in range(step % 2, n_rungs - 1, 2):
            gain = (factors[low] - factors[low + 1]) * ((here[low] - here[low + 1]) @ weights)
            swapped = np.log1p(-rng.random(n_chains)) < gain
            for both in (state, here):
                both[low : low + 2, swapped] = both[low : low + 2, swapped][::-1]
            accepted[low] += (swapped.sum(), n_chains)
        row, left = divmod(step + 1 - plan.burn_in, plan.spacing)
        if row > 0 and left == 0:
            statistics[:, :, row - 1] = here
            if plan.keep_species:
                species[:, :, row - 1] = state
    return Rungs(
        factors=sampler.factors,
        samples=tuple(
            Samples(statistics=statistics[k], species=species[k], final=state[k], acceptance=float(moved[k]))
            for k in range(n_rungs)
        ),
        swaps=accepted[:, 0] / np.maximum(accepted[:, 1], 1),
    )
