"""Simulated adatoms on a surface with several types of site: images at equilibrium and movies, of known energies."""

import dataclasses
import functools

import numba
import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import expm

from tusi.errors import InputError
from tusi.generative.estimation.adatom_data import AdatomImages, AdatomMovies, Jumps, SiteCounts
from tusi.generative.estimation.occupation import draw_occupation
from tusi.units import BOLTZMANN


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdatomSurface:
    """Types of adsorption site on a square cell, and how adatoms jump between them.

    A cell has a hollow site, two bridges and a top site. Adatoms jump between a hollow and its four bridges, and
    between a bridge and its two top sites, with the rate `attempt exp(-(saddle - energy)/kT)` for each free target.

    Attributes
    ----------
    shape
        Cells of the periodic surface.
    energies
        Energies of hollow, bridge and top sites, in eV.
    saddles
        Energies of the saddles hollow-bridge and bridge-top, in eV, on the same scale.
    attempt
        Attempt frequency, in 1/s.

    Examples
    --------
    >>> AdatomSurface().jumps.barriers(np.array([0.0, 0.03, 0.06]), np.array([0.42, 0.45])).round(3).tolist()
    [0.42, 0.39, 0.42, 0.39]
    """

    shape: tuple[int, int] = (16, 16)
    energies: tuple[float, float, float] = (0.0, 0.03, 0.06)
    saddles: tuple[float, float] = (0.42, 0.45)
    attempt: float = 1e12

    @property
    def site_types(self) -> tuple[str, str, str]:
        """Names of the types of site."""
        return ("hollow", "bridge", "top")

    @property
    def jumps(self) -> Jumps:
        """The kinds of jump: hollow to bridge and back, bridge to top and back."""
        return Jumps(site_types=self.site_types, pairs=(("hollow", "bridge"), ("bridge", "top")))

    @property
    def n_sites(self) -> Int[np.ndarray, " type"]:
        """Sites of each type."""
        return np.array([1, 2, 1]) * self.shape[0] * self.shape[1]

    def rates(self, temperature: float) -> Float[np.ndarray, " kind"]:
        """Return the rate of each kind of jump to one free target, in 1/s.

        Parameters
        ----------
        temperature
            In K.
        """
        barriers = self.jumps.barriers(np.array(self.energies), np.array(self.saddles))
        return self.attempt * np.exp(-barriers / (BOLTZMANN * temperature))


def simulate_adatom_images(
    surface: AdatomSurface, *, temperatures: Float[np.ndarray, " image"], n_adatoms: int, rng: np.random.Generator
) -> AdatomImages:
    """Return images at equilibrium: how many adatoms each type of site holds.

    Exact draws from the canonical ensemble in which a site holds at most one adatom.

    Parameters
    ----------
    surface
        Sites and energies.
    temperatures
        Temperature of each image, in K.
    n_adatoms
        Adatoms in each image.
    rng
        Source of randomness.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> images = simulate_adatom_images(AdatomSurface(), temperatures=np.array([200.0, 300.0]), n_adatoms=50, rng=rng)
    >>> images.counts.sum(axis=1).tolist()
    [50, 50]
    """
    temperatures = np.asarray(temperatures, dtype=float)
    n_sites = np.tile(surface.n_sites, (len(temperatures), 1))
    log_weight = -np.array(surface.energies) / (BOLTZMANN * temperatures[:, None])
    total = np.full(len(temperatures), n_adatoms)
    counts = draw_occupation(n_sites, log_weight, total=total, rng=rng)
    return AdatomImages(
        site_types=surface.site_types, temperature=temperatures, counts=counts, n_sites=n_sites, exclusion=True
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovieRecipe:
    """A series of movies, one at each temperature.

    Attributes
    ----------
    temperatures
        In K.
    n_adatoms
        Adatoms on the surface.
    n_hops
        Hops after which each movie ends: colder movies last longer.
    missed
        Chance that a hop is not detected.

    Examples
    --------
    >>> MovieRecipe(n_hops=100).temperatures
    (160.0, 180.0, 200.0, 220.0)
    """

    temperatures: tuple[float, ...] = (160.0, 180.0, 200.0, 220.0)
    n_adatoms: int = 20
    n_hops: int = 1000
    missed: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.missed < 1 or min(self.n_adatoms, self.n_hops) < 1 or min(self.temperatures) <= 0:
            raise InputError("recipe", expected="temperatures, adatoms and hops above 0", got=repr(self))


def simulate_adatom_movies(surface: AdatomSurface, recipe: MovieRecipe, *, rng: np.random.Generator) -> AdatomMovies:
    """Return movies as counts of hops and the times for which they could have happened.

    Kinetic Monte Carlo in continuous time, without rejections, with at most one adatom on a site, from an arrangement
    at equilibrium.

    Parameters
    ----------
    surface
        Sites, energies and saddles.
    recipe
        Temperatures, adatoms and length.
    rng
        Source of randomness.

    References
    ----------
    D. T. Gillespie, J. Phys. Chem. 81, 2340 (1977).

    Examples
    --------
    >>> movies = simulate_adatom_movies(AdatomSurface(), MovieRecipe(n_hops=50), rng=np.random.default_rng(1))
    >>> movies.hops.sum(axis=1).tolist()
    [50, 50, 50, 50]
    """
    hops, exposure = [], []
    neighbours, kinds = _jump_table(surface.shape)
    for temperature in recipe.temperatures:
        start = _place_adatoms(surface, temperature, recipe.n_adatoms, rng)
        seed = rng.integers(0, 2**64, dtype=np.uint64)
        counted, times = _jump(start, (neighbours, kinds), surface.rates(temperature), recipe.n_hops, seed)
        hops.append(rng.binomial(counted, 1 - recipe.missed))
        exposure.append(times)
    return AdatomMovies(
        jumps=surface.jumps,
        temperature=np.array(recipe.temperatures),
        hops=np.array(hops),
        exposure=np.array(exposure),
        detection=1 - recipe.missed,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameRecipe:
    """A series of movies of one adatom, seen in frames that may miss it.

    Attributes
    ----------
    temperatures
        In K.
    frame_time
        Time between frames at each temperature, in s.
    n_frames
        Frames of each movie.
    missed
        Chance that a frame does not show the adatom.

    Examples
    --------
    >>> FrameRecipe().n_frames
    2000
    """

    temperatures: tuple[float, ...] = (160.0, 180.0, 200.0)
    frame_time: tuple[float, ...] = (3.0, 0.1, 0.008)
    n_frames: int = 2000
    missed: float = 0.05


def simulate_adatom_frames(surface: AdatomSurface, recipe: FrameRecipe, *, rng: np.random.Generator) -> SiteCounts:
    """Return how often an adatom on one type of site is found on another after a gap of some frames.

    A lone adatom's type of site is a Markov process in continuous time, observed at the frames that show the adatom.

    Parameters
    ----------
    surface
        Energies and saddles.
    recipe
        Temperatures, times and frames.
    rng
        Source of randomness.

    Examples
    --------
    >>> frames = simulate_adatom_frames(AdatomSurface(), FrameRecipe(n_frames=100), rng=np.random.default_rng(1))
    >>> frames.transitions.shape[1:]
    (3, 3)
    """
    temperature, gap, transitions = [], [], []
    for kelvin, time in zip(recipe.temperatures, recipe.frame_time, strict=True):
        generator = surface.jumps.generator(surface.rates(kelvin), degeneracy=SITE_NEIGHBOURS)
        step = np.cumsum(expm(generator * time), axis=1)
        state, path = 0, np.empty(recipe.n_frames, dtype=np.int64)
        for frame, uniform in enumerate(rng.random(recipe.n_frames)):
            state = min(int(np.searchsorted(step[state], uniform)), 2)
            path[frame] = state
        shown = np.flatnonzero(rng.random(recipe.n_frames) >= recipe.missed)
        waited = np.diff(shown)
        for frames in np.unique(waited):
            chosen = np.flatnonzero(waited == frames)
            table = np.zeros((3, 3), dtype=np.int64)
            np.add.at(table, (path[shown[chosen]], path[shown[chosen + 1]]), 1)
            temperature.append(kelvin)
            gap.append(frames * time)
            transitions.append(table)
    return SiteCounts(
        jumps=surface.jumps,
        degeneracy=SITE_NEIGHBOURS,
        temperature=np.array(temperature),
        gap=np.array(gap),
        transitions=np.array(transitions),
    )


SITE_NEIGHBOURS = (4.0, 2.0, 2.0, 4.0)
"""Targets of each kind of jump: bridges of a hollow, hollows of a bridge, tops of a bridge, bridges of a top."""


def _place_adatoms(surface: AdatomSurface, temperature: float, n_adatoms: int, rng: np.random.Generator) -> np.ndarray:
    """Return occupied sites at equilibrium."""
    log_weight = -np.array(surface.energies)[None] / (BOLTZMANN * temperature)
    counts = draw_occupation(surface.n_sites[None], log_weight, total=np.array([n_adatoms]), rng=rng)[0]
    first = np.concatenate([[0], np.cumsum(surface.n_sites)])
    chosen = [rng.choice(n, k, replace=False) + f for n, k, f in zip(surface.n_sites, counts, first[:-1], strict=True)]
    return np.concatenate(chosen).astype(np.int64)


@functools.lru_cache(maxsize=8)
def _jump_table(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets of each site and the kind of jump; hollows first, then bridges, then tops; -1 for none."""
    height, width = shape
    n = height * width
    cell = np.arange(n).reshape(shape)
    hollow, across, along, top = cell, n + cell, 2 * n + cell, 3 * n + cell
    neighbours, kinds = np.full((4 * n, 4), -1), np.full((4 * n, 4), -1)
    above, left = functools.partial(np.roll, shift=1, axis=0), functools.partial(np.roll, shift=1, axis=1)
    below, right = functools.partial(np.roll, shift=-1, axis=0), functools.partial(np.roll, shift=-1, axis=1)
    links = [
        (hollow, (across, left(across), along, above(along)), (0, 0, 0, 0)),
        (across, (hollow, right(hollow), top, above(top)), (1, 1, 2, 2)),
        (along, (hollow, below(hollow), top, left(top)), (1, 1, 2, 2)),
        (top, (across, below(across), along, right(along)), (3, 3, 3, 3)),
    ]
    for site, targets, kind in links:
        for k, target in enumerate(targets):
            neighbours[site.ravel(), k] = target.ravel()
            kinds[site.ravel(), k] = kind[k]
    return neighbours, kinds


@numba.njit(cache=True, nogil=True)
def _jump(where, table, rates, n_hops, seed):
    """Let adatoms jump; return the jumps of each kind and the time for which each kind had a free target."""
    neighbours, kinds = table
    occupied = np.zeros(len(neighbours), dtype=np.bool_)
    occupied[where] = True
    hops = np.zeros(len(rates), dtype=np.int64)
    exposure = np.zeros(len(rates))
    open_targets = np.zeros(len(rates))
    bits = seed
    for _ in range(n_hops):
        open_targets[:] = 0.0
        for site in where:
            for k in range(neighbours.shape[1]):
                if not occupied[neighbours[site, k]]:
                    open_targets[kinds[site, k]] += 1.0
        total = np.sum(open_targets * rates)
        bits, first = _uniform(bits)
        bits, second = _uniform(bits)
        exposure += open_targets * (-np.log(1.0 - first) / total)
        target = second * total
        mover, goal, kind = 0, 0, 0
        for atom in range(len(where)):
            for k in range(neighbours.shape[1]):
                if target >= 0.0 and not occupied[neighbours[where[atom], k]]:
                    mover, goal, kind = atom, neighbours[where[atom], k], kinds[where[atom], k]
                    target -= rates[kind]
        occupied[where[mover]] = False
        occupied[goal] = True
        where[mover] = goal
        hops[kind] += 1
    return hops, exposure


@numba.njit(cache=True, nogil=True, inline="always")
def _uniform(bits):
    """Return the next state of a SplitMix64 stream and a number in [0, 1)."""
    bits += np.uint64(0x9E3779B97F4A7C15)
    mixed = bits
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return bits, np.float64(mixed >> np.uint64(11)) * 2.0**-53
