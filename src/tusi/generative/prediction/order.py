"""Order parameters: how uniform an arrangement is, or how strong its wave at the wave vector of the order."""

import abc
import dataclasses
from fractions import Fraction

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.lattice.sites import LatticeSites
from tusi.generative.lattice.symmetry import operations

ALIKE = 0.7
"""Share of the strongest wave's intensity from which another one at the same wave vector belongs to the order too."""

EQUIVALENT = 0.4
"""Share of the strongest uniform fluctuation from which another one says that all species are equivalent."""


class OrderParameter(abc.ABC):
    """A vector that is linear in the arrangement; its length is the order parameter."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What a table calls it."""

    @property
    @abc.abstractmethod
    def period(self) -> int:
        """Cells after which the order repeats; a periodic cell must be a multiple of it."""

    @abc.abstractmethod
    def weights(self, sites: LatticeSites, n_species: int) -> Float[np.ndarray, "component site species"]:
        """Return what each species on each site adds to each component."""

    def measure(
        self, species: Int[np.ndarray, "replica site"], sites: LatticeSites, *, n_species: int
    ) -> Float[np.ndarray, " replica"]:
        """Return the order parameter of each arrangement, at most about 1."""
        weights = self.weights(sites, n_species)
        vector = np.zeros((len(species), len(weights)))
        for s in range(n_species):
            vector += (species == s).astype(np.float64) @ weights[:, :, s].T
        return np.sqrt((vector**2).sum(axis=1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniformOrder(OrderParameter):
    """One species everywhere: the magnetisation of two species, the order parameter of Potts for more.

    Each species is a corner of a regular simplex around the origin; the vector is the mean corner, so its length is 1
    where all sites agree and 0 where all species are as many.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, periodic_sites
    >>> up = np.ones((1, 16), dtype=np.int8)
    >>> float(UniformOrder().measure(up, periodic_sites(SQUARE, (4, 4)), n_species=2)[0])
    1.0
    """

    @property
    def name(self) -> str:
        """Uniform order."""
        return "uniform"

    @property
    def period(self) -> int:
        """Any cell fits."""
        return 1

    def weights(self, sites: LatticeSites, n_species: int) -> Float[np.ndarray, "component site species"]:
        """Return the simplex corners over the number of sites."""
        centred = np.eye(n_species) - 1.0 / n_species
        corners = np.linalg.svd(centred)[2][: n_species - 1] * np.sqrt(n_species / (n_species - 1))
        return np.repeat(corners[:, None, :], len(sites), axis=1) / len(sites)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WaveOrder(OrderParameter):
    """A composition wave: staggered, sublattice and stripe orders.

    The components are the real and imaginary parts of `sum_i f(b_i, s_i) exp(-2 pi i q.n_i) / N` for each wave vector
    q of the star and each mode f over the sites of the cell and the species.

    Attributes
    ----------
    wave_vectors
        q in units of the reciprocal lattice vectors.
    modes
        For each wave vector its modes, each with a row of numbers for every site of the cell.
    """

    wave_vectors: tuple[tuple[float, ...], ...]
    modes: tuple[tuple[tuple[tuple[complex, ...], ...], ...], ...]

    @property
    def name(self) -> str:
        """The wave vector."""
        parts = (str(Fraction(q).limit_denominator(24)) for q in self.wave_vectors[0])
        return f"wave ({', '.join(parts)})"

    @property
    def period(self) -> int:
        """Smallest number of cells that holds whole waves in every direction."""
        fractions = [Fraction(q).limit_denominator(24).denominator for vector in self.wave_vectors for q in vector]
        return int(np.lcm.reduce(fractions))

    def weights(self, sites: LatticeSites, n_species: int) -> Float[np.ndarray, "component site species"]:  # noqa: ARG002
        """Return the real and imaginary parts of every wave."""
        if any(n % self.period for n in sites.period):
            raise InputError(
                "sizes", expected=f"multiples of {self.period}, so that the order fits", got=str(sites.period)
            )
        rows = []
        for vector, modes in zip(self.wave_vectors, self.modes, strict=True):
            phase = np.exp(-2j * np.pi * (sites.index[:, :-1] @ np.array(vector)))
            for mode in modes:
                value = np.array(mode)[sites.index[:, -1]] * phase[:, None]
                rows += [np.real(value), np.imag(value)]
        return np.array(rows) / len(sites)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeparationOrder(OrderParameter):
    """Phase separation at a kept composition: the longest waves that the periodic crystal holds, along all directions.

    They grow with the crystal where the species part, and vanish where they mix; those of the composition itself say
    nothing, since it is kept.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, periodic_sites
    >>> halves = (np.arange(64) // 32).reshape(1, 64)
    >>> float(SeparationOrder().measure(halves, periodic_sites(SQUARE, (8, 8)), n_species=2)[0].round(3))
    0.653
    """

    @property
    def name(self) -> str:
        """Phase separation."""
        return "phase separation"

    @property
    def period(self) -> int:
        """Any cell fits."""
        return 1

    def weights(self, sites: LatticeSites, n_species: int) -> Float[np.ndarray, "component site species"]:
        """Return the real and imaginary parts of the longest waves."""
        longest = np.zeros(sites.crystal.n_translations)
        longest[0] = 1.0 / sites.period[0]
        corners = UniformOrder().weights(sites, n_species)
        phase = np.array([2 * np.pi * (sites.index[:, :-1] @ vector) for vector in _star(longest, sites)])
        waves = np.concatenate([np.cos(phase), np.sin(phase)])
        return (waves[:, None, :, None] * corners[None]).reshape(-1, len(sites), n_species)


def find_order(
    species: Int[np.ndarray, "replica site"], sites: LatticeSites, *, n_species: int, conserved: bool = False
) -> OrderParameter:
    """Return the order that arrangements tend to: the strongest composition wave and all its symmetry images.

    The structure factor, a matrix over the sites of the cell and the species at each wave vector that the periodic cell
    allows, is averaged over the arrangements; its largest eigenvalue names the wave vector and the mode. It is found
    above the transition as well as below.

    Parameters
    ----------
    species
        Arrangements on a periodic cell, best at temperatures around the transition; 12 cells along each direction
        hold most orders.
    sites
        The sites of the periodic cell.
    n_species
        Species of the model.
    conserved
        Whether the composition is kept, so that the uniform wave says nothing.

    Returns
    -------
    OrderParameter
        Uniform order, or a wave; phase separation where the composition is kept and the longest waves are strongest.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, periodic_sites
    >>> sites = periodic_sites(SQUARE, (4, 4))
    >>> checkerboard = (sites.index[:, :2].sum(axis=1) % 2).astype(np.int8)
    >>> find_order(checkerboard[None], sites, n_species=2).name
    'wave (1/2, 1/2)'
    """
    intensity = structure_factor(species, sites, n_species=n_species)
    n_axes = sites.crystal.n_translations
    size, mode = np.linalg.eigh(intensity)
    strongest = size[..., -1].copy()
    if conserved:
        strongest[(0,) * n_axes] = 0.0
    best = np.unravel_index(np.argmax(strongest), strongest.shape)
    shape = np.array(sites.period)
    if not any(best):
        leading = mode[best][:, -1].reshape(sites.crystal.n_basis, n_species)
        several = n_species == 2 or size[best][-2] >= EQUIVALENT * size[best][-1]
        if several and np.allclose(leading, leading.mean(axis=0), atol=0.2 * np.abs(leading).max()):
            return UniformOrder()
    if conserved and any(best) and np.minimum(best, shape - np.array(best)).max() <= 1:
        return SeparationOrder()
    star = _star(np.array(best) / shape, sites)
    places = (np.rint(np.array(star) * shape).astype(int) % shape).tolist()
    modes = tuple(_modes(size, mode, tuple(place), (sites, n_species)) for place in places)
    return WaveOrder(wave_vectors=tuple(tuple(float(x) for x in q) for q in star), modes=modes)


def structure_factor(species: Int[np.ndarray, "replica site"], sites: LatticeSites, *, n_species: int) -> np.ndarray:
    """Return the structure factor per site: a matrix over (site of the cell, species) at each wave vector.

    Waves of the difference from the mean composition of sites with the same label.

    Parameters
    ----------
    species
        Arrangements.
    sites
        A whole periodic cell.
    n_species
        Species of the model.

    Raises
    ------
    InputError
        The sites are not a whole periodic cell.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, periodic_sites
    >>> stripes = np.arange(16).reshape(1, 16) % 2
    >>> found = structure_factor(stripes, periodic_sites(SQUARE, (4, 4)), n_species=2)
    >>> found.shape, float(found[0, 2, 0, 0].real)
    ((4, 4, 2, 2), 4.0)
    """
    if not all(sites.period) or len(sites) != np.prod(sites.period) * sites.crystal.n_basis:
        raise InputError("sites", expected="a whole periodic cell", got=f"period {sites.period}")
    n_axes = sites.crystal.n_translations
    order = np.lexsort(sites.index.T[::-1])
    grid = species[:, order].reshape(len(species), *sites.period, sites.crystal.n_basis)
    field = (grid[..., None] == np.arange(n_species)).astype(np.float64)
    labels = np.array(sites.crystal.labels)
    for label in set(sites.crystal.labels):
        alike = labels == label
        field[..., alike, :] -= field[..., alike, :].mean(axis=tuple(range(n_axes + 2)))
    wave = np.fft.fftn(field, axes=tuple(range(1, n_axes + 1)))
    wave = wave.reshape(len(species), *sites.period, -1)
    return np.einsum("r...i,r...j->...ij", wave, wave.conj()) / (len(species) * len(sites))


def _star(vector: np.ndarray, sites: LatticeSites) -> list[np.ndarray]:
    """Return the wave vectors that symmetry makes of one, one of each pair q, -q."""
    star: dict[tuple, np.ndarray] = {}
    for operation in operations(sites.crystal):
        image = np.linalg.solve(operation.cell.astype(float), vector)
        keys = [tuple(np.round(sign * image % 1.0, 6) % 1.0) for sign in (1, -1)]
        if not any(key in star for key in keys):
            star[keys[0]] = np.array(keys[0])
    return list(star.values())


def _modes(size: np.ndarray, mode: np.ndarray, place: tuple[int, ...], plan: tuple[LatticeSites, int]) -> tuple:
    """Return the strong modes at one wave vector, scaled so that none exceeds 1 on any site."""
    sites, n_species = plan
    strong = np.flatnonzero(size[place] >= ALIKE * size[place][-1])[::-1]
    found = []
    for k in strong:
        values = mode[place][:, k].conj().reshape(sites.crystal.n_basis, n_species)
        values = values / np.abs(values).max(axis=1).mean()
        found.append(tuple(tuple(complex(x) for x in row) for row in values))
    return tuple(found)
