"""What is seen of adatoms: images at equilibrium, movies that catch every hop, and movies in frames.

Each kind of data gives its log-likelihood, score and Fisher information for one set of parameters, its misfit, and
replicas of itself under the fitted law.
"""

import abc
import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import expm, expm_frechet
from scipy.special import gammaln, xlogy

from tusi.errors import InputError
from tusi.generative.estimation.occupation import draw_occupation, occupation_moments
from tusi.units import BOLTZMANN

LEAST_PROBABILITY = 1e-300
MOST_JUMPS = 9.0
"""Logarithm of the jumps of one kind between two frames beyond which nothing changes any more."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Jumps:
    """The kinds of jump between types of site: each pair there and back.

    Attributes
    ----------
    site_types
        Names of the types of site; the first one's energy is zero.
    pairs
        Types that an adatom jumps between, each pair once.

    Examples
    --------
    >>> Jumps(site_types=("hollow", "bridge"), pairs=(("hollow", "bridge"),)).kinds
    (('hollow', 'bridge'), ('bridge', 'hollow'))
    """

    site_types: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        unknown = {name for pair in self.pairs for name in pair} - set(self.site_types)
        if unknown or len({frozenset(pair) for pair in self.pairs}) != len(self.pairs) or not self.pairs:
            raise InputError("pairs", expected=f"each pair of {self.site_types} at most once", got=str(self.pairs))

    @property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        """From and to of each kind of jump, in the order of all arrays."""
        return tuple(kind for a, b in self.pairs for kind in ((a, b), (b, a)))

    @property
    def ends(self) -> Int[np.ndarray, "kind 2"]:
        """Numbers of the types that each kind of jump starts and ends on."""
        return np.array([[self.site_types.index(name) for name in kind] for kind in self.kinds])

    def barriers(
        self, energies: Float[np.ndarray, " type"], saddles: Float[np.ndarray, " pair"]
    ) -> Float[np.ndarray, " kind"]:
        """Return the barrier of each kind of jump: its saddle's energy less that of the site it starts from."""
        return np.repeat(saddles, 2) - np.asarray(energies)[self.ends[:, 0]]

    def generator(
        self, rates: Float[np.ndarray, " kind"], *, degeneracy: tuple[float, ...]
    ) -> Float[np.ndarray, "type type"]:
        """Return the generator of a lone adatom's type of site: rate from (row) to (column)."""
        matrix = np.zeros((len(self.site_types),) * 2)
        for (a, b), rate, n in zip(self.ends, rates, degeneracy, strict=True):
            if a != b:
                matrix[a, b] += n * rate
        return matrix - np.diag(matrix.sum(axis=1))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """How the parameters enter: site energies, log attempt frequencies and barriers as linear maps of them.

    Attributes
    ----------
    names
        Names of the parameters.
    energy
        Site energies from the parameters, in eV.
    attempt, barrier
        Logarithm of the attempt frequency (1/s) and barrier (eV) of each kind of jump.
    """

    names: tuple[str, ...]
    energy: Float[np.ndarray, "type parameter"]
    attempt: Float[np.ndarray, "kind parameter"]
    barrier: Float[np.ndarray, "kind parameter"]

    def log_rate_slope(self, temperature: Float[np.ndarray, " row"]) -> Float[np.ndarray, "row kind parameter"]:
        """Return what log rates change by with each parameter; they are linear."""
        return self.attempt - self.barrier / (BOLTZMANN * temperature[:, None, None])


Evaluation = tuple[float, np.ndarray, np.ndarray]
"""Log-likelihood, its gradient, and the expected information."""


class AdatomData(abc.ABC):
    """Data about adatoms that a fit can use."""

    temperature: Float[np.ndarray, " row"]

    @property
    @abc.abstractmethod
    def types(self) -> tuple[str, ...]:
        """Names of the types of site."""

    @abc.abstractmethod
    def evaluate(self, layout: Layout, theta: Float[np.ndarray, " parameter"]) -> Evaluation:
        """Return the log-likelihood, its gradient and the expected information."""

    @abc.abstractmethod
    def rough(self, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
        """Return rows of a linear regression that starts the fit: slopes and values, weighted by their precision."""

    @abc.abstractmethod
    def misfit(self, layout: Layout, theta: Float[np.ndarray, " parameter"]) -> tuple[float, int]:
        """Return the misfit, about a chi-square, and the number of independent cells."""

    @abc.abstractmethod
    def resample(
        self, layout: Layout, theta: Float[np.ndarray, " parameter"], *, rng: np.random.Generator
    ) -> "AdatomData":
        """Return a replica of the data under these parameters."""

    def _check(self, name: str, counts: np.ndarray, shape: tuple[int, ...]) -> None:
        if np.shape(counts) != shape or not np.isfinite(counts).all() or (np.asarray(counts) < 0).any():
            raise InputError(name, expected=f"numbers not below 0 of shape {shape}", got=str(np.shape(counts)))
        if not (np.isfinite(self.temperature) & (self.temperature > 0)).all():
            raise InputError("temperature", expected="kelvin above zero", got=str(self.temperature))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AdatomImages(AdatomData):
    """Images at equilibrium: how many adatoms sit on each type of site.

    Attributes
    ----------
    site_types
        Names of the types; the first one's energy is zero.
    temperature
        Of each image, in K.
    counts
        Adatoms on each type of site.
    n_sites
        Sites of each type in the image.
    exclusion
        Whether a site holds at most one adatom, which matters once a type of site fills up: the counts given their
        sum then follow Fisher's noncentral hypergeometric law, and a multinomial one otherwise.

    Examples
    --------
    >>> images = AdatomImages(
    ...     site_types=("hollow", "bridge"),
    ...     temperature=np.array([300.0]),
    ...     counts=np.array([[90, 10]]),
    ...     n_sites=np.array([[1000, 2000]]),
    ... )
    >>> images.exclusion
    True
    """

    site_types: tuple[str, ...]
    temperature: Float[np.ndarray, " image"]
    counts: Int[np.ndarray, "image type"]
    n_sites: Int[np.ndarray, "image type"]
    exclusion: bool = True

    def __post_init__(self) -> None:
        self._check("counts", self.counts, (len(self.temperature), len(self.site_types)))
        self._check("n_sites", self.n_sites, (len(self.temperature), len(self.site_types)))
        if (self.n_sites < 1).any() or (self.exclusion and (self.counts > self.n_sites).any()):
            raise InputError("n_sites", expected="at least one site, and one for every adatom", got=str(self.n_sites))

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the types of site."""
        return self.site_types

    def _log_weight(self, layout: Layout, theta: np.ndarray) -> np.ndarray:
        return -(layout.energy @ theta) / (BOLTZMANN * self.temperature[:, None])

    def _moments(self, layout: Layout, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        weight = self._log_weight(layout, theta)
        if self.exclusion:
            return occupation_moments(self.n_sites, weight, total=self.counts.sum(axis=1))
        exponent = np.log(self.n_sites) + weight
        highest = exponent.max(axis=1)
        each = np.exp(exponent - highest[:, None])
        share, n = each / each.sum(axis=1, keepdims=True), self.counts.sum(axis=1)
        covariance = n[:, None, None] * (np.eye(share.shape[1]) * share[:, None] - share[:, :, None] * share[:, None])
        return n * (highest + np.log(each.sum(axis=1))), n[:, None] * share, covariance

    def evaluate(self, layout: Layout, theta: np.ndarray) -> Evaluation:
        """Return the log-likelihood, its gradient and the expected information."""
        log_partition, mean, covariance = self._moments(layout, theta)
        slope = -layout.energy / (BOLTZMANN * self.temperature[:, None, None])
        value = (self.counts * self._log_weight(layout, theta)).sum() - log_partition.sum()
        score = np.einsum("it,itp->p", self.counts - mean, slope)
        return float(value), score, np.einsum("itp,itu,iuq->pq", slope, covariance, slope)

    def rough(self, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
        """Return the log-odds of each type against the first."""
        slope = -(layout.energy[1:] - layout.energy[:1]) / (BOLTZMANN * self.temperature[:, None, None])
        odds = np.log((self.counts + 0.5) / (self.n_sites - (self.counts if self.exclusion else 0) + 0.5))
        weight = np.sqrt(np.minimum(self.counts[:, 1:], self.counts[:, :1]) + 0.5)
        return (weight[..., None] * slope).reshape(-1, len(layout.names)), (
            weight * (odds[:, 1:] - odds[:, :1])
        ).ravel()

    def misfit(self, layout: Layout, theta: np.ndarray) -> tuple[float, int]:
        """Return Pearson's chi-square and the number of independent cells."""
        _, mean, covariance = self._moments(layout, theta)
        away = (self.counts - mean)[:, 1:]
        inverse = np.linalg.pinv(covariance[:, 1:, 1:], hermitian=True)
        return float(np.einsum("it,itu,iu->", away, inverse, away)), away.size

    def resample(self, layout: Layout, theta: np.ndarray, *, rng: np.random.Generator) -> "AdatomImages":
        """Return images with as many adatoms under these parameters."""
        weight, total = self._log_weight(layout, theta), self.counts.sum(axis=1)
        if self.exclusion:
            counts = draw_occupation(self.n_sites, weight, total=total, rng=rng)
        else:
            _, mean, _ = self._moments(layout, theta)
            counts = rng.multinomial(total, mean / np.maximum(total, 1)[:, None])
        return dataclasses.replace(self, counts=counts)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AdatomMovies(AdatomData):
    """Movies so fast that every hop is seen alone: hops of each kind, and the times in which they could happen.

    Attributes
    ----------
    jumps
        The kinds of jump.
    temperature
        Of each movie, in K.
    hops
        Hops of each kind.
    exposure
        Time that adatoms spent where such a hop starts, times the free sites it could have ended on, in s.
    detection
        Chance that a hop is noticed, the same for all or by kind.

    Examples
    --------
    >>> jumps = Jumps(site_types=("hollow", "bridge"), pairs=(("hollow", "bridge"),))
    >>> movies = AdatomMovies(
    ...     jumps=jumps, temperature=np.array([200.0]), hops=np.array([[5, 6]]), exposure=np.array([[10.0, 1.0]])
    ... )
    >>> movies.types
    ('hollow', 'bridge')
    """

    jumps: Jumps
    temperature: Float[np.ndarray, " movie"]
    hops: Int[np.ndarray, "movie kind"]
    exposure: Float[np.ndarray, "movie kind"]
    detection: float | Float[np.ndarray, " kind"] = 1.0

    def __post_init__(self) -> None:
        shape = (len(self.temperature), len(self.jumps.kinds))
        self._check("hops", self.hops, shape)
        self._check("exposure", self.exposure, shape)
        if ((self.exposure == 0) & (self.hops > 0)).any():
            raise InputError("exposure", expected="time where there are hops", got="none")
        if not ((np.asarray(self.detection) > 0) & (np.asarray(self.detection) <= 1)).all():
            raise InputError("detection", expected="chances above 0, at most 1", got=str(self.detection))

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the types of site."""
        return self.jumps.site_types

    def _expected(self, layout: Layout, theta: np.ndarray) -> np.ndarray:
        rate = np.exp(np.clip(layout.log_rate_slope(self.temperature) @ theta, -600, 600))
        return rate * self.exposure * self.detection

    def evaluate(self, layout: Layout, theta: np.ndarray) -> Evaluation:
        """Return the Poisson log-likelihood, its gradient and the information."""
        slope, mean = layout.log_rate_slope(self.temperature), self._expected(layout, theta)
        value = (xlogy(self.hops, np.maximum(mean, LEAST_PROBABILITY)) - mean - gammaln(self.hops + 1)).sum()
        score = np.einsum("mk,mkp->p", self.hops - mean, slope)
        return float(value), score, np.einsum("mkp,mk,mkq->pq", slope, mean, slope)

    def rough(self, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
        """Return the logarithms of the observed rates."""
        used = self.exposure > 0
        seen = np.log((self.hops + 0.5)[used] / (self.exposure * self.detection)[used])
        weight = np.sqrt(self.hops[used] + 0.5)
        return weight[:, None] * layout.log_rate_slope(self.temperature)[used], weight * seen

    def misfit(self, layout: Layout, theta: np.ndarray) -> tuple[float, int]:
        """Return the deviance, whose law is the same for movies of a given length or number of hops, and the cells."""
        mean, used = self._expected(layout, theta), self.exposure > 0
        hops, mean = self.hops[used], np.maximum(mean[used], LEAST_PROBABILITY)
        return float(2 * (xlogy(hops, hops / mean) - hops + mean).sum()), int(used.sum())

    def resample(self, layout: Layout, theta: np.ndarray, *, rng: np.random.Generator) -> "AdatomMovies":
        """Return movies with the same exposures under these parameters."""
        return dataclasses.replace(self, hops=rng.poisson(self._expected(layout, theta)))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SiteCounts(AdatomData):
    """Movies in frames: on which type of site an adatom is found some time after it was found on another.

    An adatom may jump several times between two frames, and a frame may miss it: the gap is then longer. Assumes that
    the adatoms are far from each other, so that a lone adatom's type of site is a Markov process.

    Attributes
    ----------
    jumps
        The kinds of jump.
    degeneracy
        Sites that each kind of jump can end on.
    temperature, gap
        Temperature (K) and time between the two looks (s) of each table.
    transitions
        Adatoms first on one type of site (row) and then on another (column).
    """

    jumps: Jumps
    degeneracy: tuple[float, ...]
    temperature: Float[np.ndarray, " table"]
    gap: Float[np.ndarray, " table"]
    transitions: Int[np.ndarray, "table type type"]

    def __post_init__(self) -> None:
        n = len(self.jumps.site_types)
        self._check("transitions", self.transitions, (len(self.temperature), n, n))
        self._check("gap", self.gap, (len(self.temperature),))
        if len(self.degeneracy) != len(self.jumps.kinds) or (self.gap <= 0).any():
            raise InputError("gap", expected="times above 0, and a degeneracy for each kind of jump", got=str(self.gap))

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the types of site."""
        return self.jumps.site_types

    def _generators(self, layout: Layout, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the generators times the gaps, and what they change by with each parameter."""
        slope = layout.log_rate_slope(self.temperature)
        rate = np.exp(np.clip(slope @ theta + np.log(self.gap)[:, None], -600, MOST_JUMPS))
        unit = self._unit_generators
        return np.einsum("mk,kab->mab", rate, unit), np.einsum("mk,mkp,kab->mpab", rate, slope, unit)

    @functools.cached_property
    def _unit_generators(self) -> np.ndarray:
        """Return the generator of each kind of jump at unit rate."""
        rows = np.eye(len(self.jumps.kinds))
        return np.array([self.jumps.generator(row, degeneracy=self.degeneracy) for row in rows])

    def _chances(self, layout: Layout, theta: np.ndarray) -> np.ndarray:
        chances = np.array([expm(one) for one in self._generators(layout, theta)[0]])
        return np.maximum(chances, LEAST_PROBABILITY)

    def evaluate(self, layout: Layout, theta: np.ndarray) -> Evaluation:
        """Return the log-likelihood of the process seen at these times, its gradient and the information."""
        generators, slopes = self._generators(layout, theta)
        value, score = 0.0, np.zeros(len(theta))
        information = np.zeros((len(theta), len(theta)))
        for generator, slope, table in zip(generators, slopes, self.transitions, strict=True):
            chance = np.maximum(expm(generator), LEAST_PROBABILITY)
            change = np.array([expm_frechet(generator, one, compute_expm=False) for one in slope])
            value += float(xlogy(table, chance).sum())
            score += np.einsum("ab,pab->p", table / chance, change)
            information += np.einsum("pab,qab,ab->pq", change, change, table.sum(axis=1, keepdims=True) / chance)
        return value, score, information

    def rough(self, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
        """Return the logarithms of the rates as if no adatom jumped twice."""
        slope = layout.log_rate_slope(self.temperature)
        ends, n = self.jumps.ends, self.transitions.sum(axis=2)
        moved = self.transitions[:, ends[:, 0], ends[:, 1]]
        used = (ends[:, 0] != ends[:, 1]) & (n[:, ends[:, 0]] > 0)
        rate = (moved + 0.5) / (np.maximum(n[:, ends[:, 0]], 1) * self.gap[:, None] * np.array(self.degeneracy))
        weight = np.sqrt(moved[used] + 0.5)
        return weight[:, None] * slope[used], weight * np.log(rate[used])

    def misfit(self, layout: Layout, theta: np.ndarray) -> tuple[float, int]:
        """Return Pearson's chi-square and the number of independent cells."""
        expected = self._chances(layout, theta) * self.transitions.sum(axis=2, keepdims=True)
        used = expected > 0
        chi_square = ((self.transitions - expected)[used] ** 2 / expected[used]).sum()
        return float(chi_square), int((self.transitions.sum(axis=2) > 0).sum()) * (len(self.types) - 1)

    def resample(self, layout: Layout, theta: np.ndarray, *, rng: np.random.Generator) -> "SiteCounts":
        """Return as many looks under these parameters."""
        chance = self._chances(layout, theta)
        chance /= chance.sum(axis=2, keepdims=True)
        return dataclasses.replace(self, transitions=rng.multinomial(self.transitions.sum(axis=2), chance))
