"""How samples are drawn for a likelihood surface."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from tusi.errors import InputError
from tusi.generative.estimation.latent import Image
from tusi.generative.montecarlo.exchange import Exchange
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SurfaceSampling:
    """How samples are drawn for a surface.

    Attributes
    ----------
    n_samples
        Samples at each node, over all chains.
    n_chains
        Chains.
    burn_in
        Sweeps before samples are kept; as many again at nodes beside the centre.
    spacing
        Sweeps between samples.
    sampler
        The moves: a heat bath where it is None, or exchanges where the composition is conditioned on.
    """

    n_samples: int = 1000
    n_chains: int = 4
    burn_in: int = 50
    spacing: int = 2
    sampler: Sampler | None = None

    def __post_init__(self) -> None:
        if self.n_samples < 4 * self.n_chains or min(self.n_chains, self.burn_in, self.spacing) < 1:
            raise InputError("n_samples", expected="at least four for each chain", got=str(self.n_samples))

    def plan(self, start: Int[np.ndarray, "chain site"]) -> SamplingPlan:
        """Return the plan of one node."""
        return SamplingPlan(
            n_samples=-(-self.n_samples // self.n_chains), n_chains=self.n_chains, burn_in=self.burn_in,
            spacing=self.spacing, start=start,
        )  # fmt: skip


Starts = Sequence[tuple[Int[np.ndarray, "chain site"], ...]]
"""Where the chains of each image start, for the system and for it given the evidence."""


def sampler_of(image: Image, given: Sampler | None) -> Sampler | None:
    """Return the moves for one image: exchanges where its composition is conditioned on."""
    return given or (Exchange() if image.conserved else None)
