"""What all samplers share: how many samples to draw, where chains start, and the interface of a sampler."""

import abc
import dataclasses

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo.samples import Samples


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SamplingPlan:
    """How many samples to draw and what to keep.

    A step is the sampler's own: one sweep of a heat bath, as many attempted exchanges as there are free sites.

    Attributes
    ----------
    n_samples
        Samples of each chain.
    n_chains
        Independent chains.
    burn_in
        Steps before the first sample's own steps; nothing is kept of them.
    spacing
        Steps between two samples.
    keep_species
        Whether to return the arrangements too.
    start
        Arrangements that the chains start from, one for each or one for all; independent sites where it is None.

    Examples
    --------
    >>> SamplingPlan(n_samples=50, n_chains=2).n_steps
    250
    """

    n_samples: int = 1000
    n_chains: int = 4
    burn_in: int = 200
    spacing: int = 1
    keep_species: bool = False
    start: Int[np.ndarray, "*chain site"] | None = None

    def __post_init__(self) -> None:
        for name, least in (("n_samples", 1), ("n_chains", 1), ("burn_in", 0), ("spacing", 1)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise InputError(name, expected=f"a whole number, at least {least}", got=repr(value))

    @property
    def n_steps(self) -> int:
        """Steps of each chain."""
        return self.burn_in + self.n_samples * self.spacing

    def first_arrangements(self, system: LatticeSystem, *, rng: np.random.Generator) -> Int[np.ndarray, "chain site"]:
        """Return the checked arrangement that each chain starts from, in an array of its own.

        Parameters
        ----------
        system
            Where the arrangements live.
        rng
            Source of the independent sites where the plan has no start.

        Returns
        -------
        Int[np.ndarray, "chain site"]
            int8, contiguous.

        Raises
        ------
        InputError
            If the start has another shape, an unknown species, or one that its free site may not hold; or if there is
            none although a clamped site's species is open.
        """
        if self.start is None:
            n_open = int((system.allowed.sum(axis=1) > 1)[~system.free].sum())
            if n_open:
                raise InputError(
                    "start",
                    expected="an arrangement, which says what the clamped sites hold",
                    got=f"none, with {n_open} clamped sites whose species is open",
                    then="Give the plan a start.",
                )
            return np.ascontiguousarray(system.random_arrangement(self.n_chains, rng=rng), dtype=np.int8)
        start = np.asarray(self.start)
        if (
            start.ndim not in (1, 2)
            or start.shape[-1] != system.n_sites
            or (start.ndim == 2 and len(start) not in (1, self.n_chains))
        ):
            raise InputError(
                "start",
                expected=f"an array of {self.n_chains} chains x {system.n_sites} sites, or of one chain",
                got=f"shape {start.shape}",
            )
        if start.dtype.kind not in "iub" or start.min() < 0 or start.max() >= system.n_species:
            raise InputError("start", expected=f"whole numbers from 0 to {system.n_species - 1}", got="others")
        chains = np.array(np.broadcast_to(start, (self.n_chains, system.n_sites)), dtype=np.int8, order="C")
        if not system.allowed[np.arange(system.n_sites), chains][:, system.free].all():
            raise InputError("start", expected="species that their free sites may hold", got="barred ones")
        return chains


class Sampler(abc.ABC):
    """A way to draw arrangements from `exp(-E/kT)`; each is a frozen object that holds its own choices."""

    @abc.abstractmethod
    def run(
        self,
        system: LatticeSystem,
        couplings: Float[np.ndarray, " parameter"],
        *,
        plan: SamplingPlan,
        rng: np.random.Generator,
    ) -> Samples:
        """Draw the samples of a plan; `draw_samples` has checked the couplings.

        Parameters
        ----------
        system
            Sites, interactions and what is clamped.
        couplings
            w, in kT.
        plan
            How many chains and samples.
        rng
            The only source of randomness.

        Returns
        -------
        Samples
            Exactly as many as planned.
        """


def chain_seeds(n_chains: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return a 64-bit seed for the stream of each chain."""
    return rng.integers(0, 2**64, size=n_chains, dtype=np.uint64)
