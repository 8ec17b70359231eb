"""Simulated segregation at the surface of La5/8Ca3/8MnO3: two surface images and a depth profile, of known energies."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.estimation.histograms import ClusterHistogram, Counter
from tusi.generative.estimation.specimens import MacroscopicProfile, Specimen, depth_groups
from tusi.generative.lattice.compilation import lattice_system
from tusi.generative.lattice.crystal import SQUARE, slab
from tusi.generative.lattice.named import segregation
from tusi.generative.lattice.sites import LatticeSites, periodic_sites, window_sites
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.exchange import Exchange
from tusi.generative.montecarlo.plan import SamplingPlan
from tusi.units import BOLTZMANN

KJ_PER_MOL = 1.0 / 96.48533212
"""eV per kJ/mol."""

SEGREGATION_ENERGIES = (1.65, 6.28, -7.57)
"""w_CL, w_LL and w_LO as published, in kJ/mol."""


def kt_in_kj_per_mol(temperature: float) -> float:
    """Return kT in kJ/mol.

    Parameters
    ----------
    temperature
        In K.

    Examples
    --------
    >>> round(kt_in_kj_per_mol(1050.0), 3)
    8.73
    """
    if not 0 < temperature < np.inf:
        raise InputError("temperature", expected="kelvin above zero", got=str(temperature))
    return BOLTZMANN * temperature / KJ_PER_MOL


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegregationRecipe:
    """A film of La and Ca on the A sites of a perovskite, quenched from its growth temperature.

    Attributes
    ----------
    shape
        Cells of the periodic slab along its two sides.
    n_layers
        A-site layers of the slab, the surface included.
    calcium
        Fraction of Ca in the whole slab, which exchanges keep.
    temperature
        Temperature at which the arrangement froze, in K.
    energies
        w_CL, w_LL, w_LO, in kJ/mol.
    window
        Cells of the surface that the image shows; the whole surface by default.
    profile_error
        Standard error of the fraction of Ca in each layer, from the wide-area measurement.
    profiled
        Whether the surface without and that with oxygen were profiled.

    Examples
    --------
    >>> SegregationRecipe().couplings.round(3).tolist()
    [0.189, 0.719, -0.867]
    """

    shape: tuple[int, int] = (16, 16)
    n_layers: int = 6
    calcium: float = 0.375
    temperature: float = 1050.0
    energies: tuple[float, float, float] = SEGREGATION_ENERGIES
    window: tuple[int, int] | None = None
    profile_error: float = 0.01
    profiled: tuple[bool, bool] = (True, False)

    def __post_init__(self) -> None:
        if not 0 < self.calcium < 1 or self.n_layers < 2 or self.profile_error <= 0:
            raise InputError(
                "recipe",
                expected="a fraction of Ca between 0 and 1, at least two layers, and a profile error above 0",
                got=f"{self.calcium}, {self.n_layers} and {self.profile_error}",
            )
        if self.window is not None and any(w > n for w, n in zip(self.window, self.shape, strict=True)):
            raise InputError("window", expected=f"at most {self.shape}", got=str(self.window))

    @property
    def couplings(self) -> Float[np.ndarray, " parameter"]:
        """The energies in kT."""
        return np.array(self.energies) / kt_in_kj_per_mol(self.temperature)

    @property
    def composition(self) -> tuple[int, int]:
        """Sites of the slab that hold La and Ca."""
        n = self.shape[0] * self.shape[1] * self.n_layers
        return n - round(self.calcium * n), round(self.calcium * n)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedSegregation:
    """What was measured on a simulated film, and the truth.

    Attributes
    ----------
    recipe
        How it was made.
    specimens
        The surface without and with oxygen: what the images show of them, their histograms, and depth profiles.
    arrangements
        The whole slabs.
    profiles
        True mean fraction of Ca in each layer of each slab.
    """

    recipe: SegregationRecipe
    specimens: tuple[Specimen, Specimen]
    arrangements: Int[np.ndarray, "specimen site"]
    profiles: Float[np.ndarray, "specimen layer"]

    def without_profiles(self) -> tuple[Specimen, ...]:
        """Return the specimens as the images alone show them."""
        return tuple(dataclasses.replace(one, profile=None) for one in self.specimens)


def simulate_segregation(recipe: SegregationRecipe, *, rng: np.random.Generator) -> SimulatedSegregation:
    """Return two surface images and the depth profiles of a film of known energies.

    Canonical exchanges at the recipe's temperature bring two slabs to equilibrium, one bare and one with oxygen above
    every surface site. The images show the species of the surface layer, or of a window of it, and nothing below. A
    depth profile is the true mean profile with Gaussian errors, as from an area far wider than an image.

    Parameters
    ----------
    recipe
        Sizes, temperature and energies.
    rng
        Source of randomness.

    Returns
    -------
    SimulatedSegregation
        Specimens ready to be fitted, with the truth beside them.

    References
    ----------
    L. Vlcek, R. K. Vasudevan, S. Jesse, S. V. Kalinin, J. Chem. Theory Comput. 13, 5179 (2017).

    Examples
    --------
    >>> world = simulate_segregation(SegregationRecipe(shape=(8, 8), n_layers=4), rng=np.random.default_rng(1))
    >>> [int(specimen.seen.sum()) for specimen in world.specimens]
    [64, 64]
    """
    specimens, arrangements, profiles = [], [], []
    for label, profiled in zip(("surface", "oxygen"), recipe.profiled, strict=True):
        sites = slab_sites(recipe, label)
        system = lattice_system(segregation(surface=("surface", "oxygen")), sites)
        truth = true_profile(recipe, label)
        start = rng.permutation(np.repeat(np.array([0, 1], dtype=np.int8), recipe.composition))
        plan = SamplingPlan(n_samples=1, n_chains=1, burn_in=200, start=start)
        species = draw_samples(system, recipe.couplings, rng=rng, sampler=Exchange(), plan=plan).final[0]
        groups = depth_groups(sites)
        top = np.flatnonzero(groups == 0)
        error = np.full(recipe.n_layers, recipe.profile_error)
        profile = MacroscopicProfile(
            groups=groups,
            species=1,
            value=truth + error * rng.standard_normal(len(error)),
            covariance=np.diag(error**2),
        )
        seen = np.zeros(len(sites), dtype=bool)
        inside = (sites.index[top, :2] < (recipe.window or recipe.shape)).all(axis=1)
        seen[top[inside]] = True
        specimens.append(
            Specimen(
                system=system,
                species=np.where(seen, species, 0).astype(np.int8),
                seen=seen,
                composition=recipe.composition,
                profile=profile if profiled else None,
                histogram=_surface_histogram(recipe, top[inside]),
            )
        )
        arrangements.append(species)
        profiles.append(truth)
    return SimulatedSegregation(
        recipe=recipe,
        specimens=(specimens[0], specimens[1]),
        arrangements=np.stack(arrangements),
        profiles=np.stack(profiles),
    )


def slab_sites(recipe: SegregationRecipe, label: str) -> LatticeSites:
    """Return the sites of a slab whose top layer has this label.

    Parameters
    ----------
    recipe
        Sizes.
    label
        "surface" without oxygen, "oxygen" with it.

    Examples
    --------
    >>> len(slab_sites(SegregationRecipe(shape=(4, 5), n_layers=3), "oxygen"))
    60
    """
    crystal = slab(SQUARE, labels=(label, *("bulk",) * (recipe.n_layers - 1)), spacing=1.0)
    return periodic_sites(crystal, recipe.shape)


@functools.lru_cache(maxsize=16)
def true_profile(recipe: SegregationRecipe, label: str) -> Float[np.ndarray, " layer"]:
    """Return the mean fraction of Ca in each layer at equilibrium, from a long run of its own fixed seed.

    Parameters
    ----------
    recipe
        Sizes, temperature and energies.
    label
        "surface" without oxygen, "oxygen" with it.

    Examples
    --------
    >>> recipe = SegregationRecipe(shape=(8, 8), n_layers=4)
    >>> bool(true_profile(recipe, "surface")[0] > 0.4)
    True
    """
    sites = slab_sites(recipe, label)
    system = lattice_system(segregation(surface=("surface", "oxygen")), sites)
    start = np.repeat(np.array([0, 1], dtype=np.int8), recipe.composition)
    plan = SamplingPlan(n_samples=max(1_600_000 // len(sites), 500), n_chains=2, start=start, keep_species=True)
    rng = np.random.default_rng(20170901)
    drawn = draw_samples(system, recipe.couplings, rng=rng, sampler=Exchange(), plan=plan).species
    mean = drawn.mean(axis=(0, 1))
    groups = depth_groups(sites)
    return np.bincount(groups, mean) / np.bincount(groups)


def _surface_histogram(recipe: SegregationRecipe, seen: np.ndarray) -> Counter:
    """Return what counts the five-site environments of the seen surface sites."""
    if recipe.window is None:
        plane = periodic_sites(SQUARE, recipe.shape)
    else:
        plane = window_sites(SQUARE, recipe.window)
    counter = ClusterHistogram().counter(plane, ("La", "Ca"))
    return dataclasses.replace(counter, members=np.where(counter.members >= 0, seen[counter.members], -1))
