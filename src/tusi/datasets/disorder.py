"""Simulated Ising magnets with quenched bond disorder: snapshots of one sample whose exchanges all differ."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.lattice.compilation import lattice_system
from tusi.generative.lattice.crystal import SQUARE
from tusi.generative.lattice.named import ising
from tusi.generative.lattice.sites import periodic_sites, window_sites
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.plan import SamplingPlan

CRITICAL_COUPLING = float(np.log1p(np.sqrt(2.0)) / 2)
"""J/kT at the transition of the clean square lattice."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DisorderRecipe:
    """An Ising magnet on the square lattice with exchanges drawn from a normal law and then left as they are.

    Attributes
    ----------
    shape
        Sites of the periodic crystal along its sides.
    window
        Sites that the images show; the whole crystal by default.
    temperature
        In units of the clean transition temperature.
    spread
        Standard deviation of the exchanges over their mean.
    n_snapshots
        Images of the same sample.
    burn_in, spacing
        Sweeps before the first image and between two images.

    Examples
    --------
    >>> round(DisorderRecipe(temperature=2.0).coupling, 4)
    0.2203
    """

    shape: tuple[int, int] = (32, 32)
    window: tuple[int, int] | None = None
    temperature: float = 1.5
    spread: float = 0.3
    n_snapshots: int = 1
    burn_in: int = 400
    spacing: int = 40

    def __post_init__(self) -> None:
        if not (0 < self.temperature < np.inf and 0 <= self.spread < np.inf):
            raise InputError(
                "recipe",
                expected="a temperature above 0 and a spread not below 0",
                got=f"{self.temperature}, {self.spread}",
            )
        if self.window is not None and any(w > n for w, n in zip(self.window, self.shape, strict=True)):
            raise InputError("window", expected=f"at most {self.shape}", got=str(self.window))

    @property
    def coupling(self) -> float:
        """Mean exchange J/kT."""
        return CRITICAL_COUPLING / self.temperature


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedDisorder:
    """Snapshots of a sample with bond disorder, and the truth.

    Attributes
    ----------
    recipe
        How it was made.
    system
        The clean model on the sites that were seen.
    species
        Arrangement of each snapshot, 0 for down and 1 for up.
    bonds
        True exchange J_ij/kT of each of the system's clusters.
    """

    recipe: DisorderRecipe
    system: LatticeSystem
    species: Int[np.ndarray, "snapshot site"]
    bonds: Float[np.ndarray, " bond"]


def simulate_bond_disorder(recipe: DisorderRecipe, *, rng: np.random.Generator) -> SimulatedDisorder:
    """Return snapshots of one sample whose exchanges are quenched at random.

    A heat bath brings the sample to equilibrium at its temperature; snapshots are some sweeps apart. A window is cut
    from the periodic crystal, and its border sites are clamped in the system that is returned.

    Parameters
    ----------
    recipe
        Sizes, temperature and disorder.
    rng
        Source of randomness.

    References
    ----------
    S. M. P. Valleti, L. Vlcek, M. Ziatdinov, R. K. Vasudevan, S. V. Kalinin, arXiv:1909.09244.

    Examples
    --------
    >>> world = simulate_bond_disorder(DisorderRecipe(shape=(8, 8), n_snapshots=3), rng=np.random.default_rng(1))
    >>> world.species.shape, world.bonds.shape
    ((3, 64), (128,))
    """
    model, sites = ising(field=False), periodic_sites(SQUARE, recipe.shape)
    clean = lattice_system(model, sites)
    factor = 1.0 + recipe.spread * rng.standard_normal(len(clean.members))
    quenched = lattice_system(model, sites, disorder=factor)
    plan = SamplingPlan(
        n_samples=recipe.n_snapshots, n_chains=1, burn_in=recipe.burn_in, spacing=recipe.spacing, keep_species=True
    )
    species = draw_samples(quenched, np.array([recipe.coupling]), rng=rng, plan=plan).species[0]
    bonds = recipe.coupling * factor
    if recipe.window is None:
        return SimulatedDisorder(recipe=recipe, system=clean, species=species, bonds=bonds)
    inside = window_sites(SQUARE, recipe.window)
    whole = sites.find(inside.index)
    window = lattice_system(model, inside)
    number = {frozenset(pair): k for k, pair in enumerate(clean.members.tolist())}
    kept = [number[frozenset(pair)] for pair in whole[window.members].tolist()]
    return SimulatedDisorder(recipe=recipe, system=window, species=species[:, whole], bonds=bonds[kept])
