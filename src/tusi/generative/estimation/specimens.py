"""Specimens: pieces of crystal of which an image shows some sites and a wide-area measurement the mean composition."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Float, Int

from tusi.errors import InputError
from tusi.generative.estimation.histograms import Counter
from tusi.generative.lattice.sites import LatticeSites
from tusi.generative.lattice.system import LatticeSystem


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class MacroscopicProfile:
    """Mean fractions of one species in groups of sites, as a wide-area measurement gives them.

    Linear functionals of one-body statistics with Gaussian errors: any model whose sites fall into groups (layers,
    sublattices, grains) can be fitted with them.

    Attributes
    ----------
    groups
        Group of each site, from 0; -1 where no reading depends on the site.
    species
        Number of the species whose fraction is measured.
    value, covariance
        The readings, and the covariance of their errors.
    response
        What each reading takes of each group's fraction: the depth resolution of a spectroscopy. One reading per
        group by default.

    Examples
    --------
    >>> profile = MacroscopicProfile(
    ...     groups=np.array([0, 0, 1, 1]), species=1, value=np.array([0.5, 0.25]), covariance=np.diag([0.01, 0.01])
    ... )
    >>> profile.readings(np.array([0.5, 0.25])).tolist()
    [0.5, 0.25]
    """

    groups: Int[np.ndarray, " site"]
    species: int
    value: Float[np.ndarray, " reading"]
    covariance: Float[np.ndarray, "reading reading"]
    response: Float[np.ndarray, "reading group"] | None = None

    def __post_init__(self) -> None:
        n = len(self.value)
        matrix = np.asarray(self.covariance)
        finite = np.isfinite(self.value).all() and np.isfinite(matrix).all()
        if matrix.shape != (n, n) or not finite or (np.linalg.eigvalsh(matrix) <= 0).any():
            raise InputError("covariance", expected=f"a positive definite {n} x {n} matrix", got=str(matrix.shape))
        if self.groups.max(initial=-1) < 0 or np.bincount(self.groups[self.groups >= 0]).min() == 0:
            raise InputError("groups", expected="numbers from 0, each of them in use", got=str(np.unique(self.groups)))
        expected = (n, self.n_groups)
        if (self.response is None and n != self.n_groups) or (
            self.response is not None and self.response.shape != expected
        ):
            raise InputError(
                "value", expected=f"a reading of each of {self.n_groups} groups, or a response", got=str(n)
            )

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.groups.max()) + 1

    @functools.cached_property
    def size(self) -> Float[np.ndarray, " group"]:
        """Sites of each group."""
        return np.bincount(self.groups[self.groups >= 0], minlength=self.n_groups).astype(float)

    def readings(self, fraction: Float[np.ndarray, "*batch group"]) -> Float[np.ndarray, "*batch reading"]:
        """Return what would be read without errors at these fractions of the groups."""
        return fraction if self.response is None else fraction @ self.response.T

    def counts(self, species: Int[np.ndarray, "*replica site"]) -> Float[np.ndarray, "*replica group"]:
        """Return the sites of each group that hold the species."""
        chosen = (species == self.species).reshape(-1, species.shape[-1])
        out = np.stack([chosen[:, self.groups == g].sum(axis=1) for g in range(self.n_groups)], axis=1)
        return out.reshape(*species.shape[:-1], self.n_groups).astype(float)


def depth_groups(sites: LatticeSites) -> Int[np.ndarray, " site"]:
    """Return the layer of each site of a slab, from 0 at the top.

    Parameters
    ----------
    sites
        Sites in space, the last coordinate pointing out of the surface.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, periodic_sites, slab
    >>> crystal = slab(SQUARE, labels=("surface", "bulk"), spacing=1.0)
    >>> depth_groups(periodic_sites(crystal, (2, 3))).tolist()
    [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    """
    height = np.round(sites.positions[:, -1], 6)
    return np.searchsorted(np.unique(-height), -height)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Specimen:
    """A piece of crystal: what an image shows of it, and what a wide-area measurement says of it.

    Attributes
    ----------
    system
        The model on the piece's sites.
    species
        Species of the sites that were seen; anything elsewhere.
    seen
        Sites whose species the image shows. All others are summed over.
    composition
        Sites of each species in the whole piece, where it is known and kept; None where the model's own fields say it.
    profile
        The wide-area measurement, of this piece's kind of crystal.
    histogram
        Clusters of seen sites whose classes the field's statistical distance compares.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    >>> system = lattice_system(ising(), periodic_sites(SQUARE, (4, 4)))
    >>> specimen = Specimen(system=system, species=np.zeros(16, dtype=np.int8), seen=np.arange(16) < 8)
    >>> int(specimen.clamped.free.sum())
    8
    """

    system: LatticeSystem
    species: Int[np.ndarray, " site"]
    seen: Bool[np.ndarray, " site"]
    composition: tuple[int, ...] | None = None
    profile: MacroscopicProfile | None = None
    histogram: Counter | None = None

    def __post_init__(self) -> None:
        n = self.system.n_sites
        if self.species.shape != (n,) or self.seen.shape != (n,):
            raise InputError("seen", expected=f"one entry for each of {n} sites", got=str(self.seen.shape))
        counts = np.bincount(self.species[self.seen], minlength=self.system.n_species)
        if self.composition is not None and (sum(self.composition) != n or (counts > self.composition).any()):
            raise InputError(
                "composition",
                expected=f"counts that add up to {n} sites and hold the seen ones",
                got=str(self.composition),
            )
        if self.profile is not None and len(self.profile.groups) != n:
            raise InputError("profile", expected=f"a group for each of {n} sites", got=str(len(self.profile.groups)))

    @property
    def clamped(self) -> LatticeSystem:
        """The system with the seen sites held."""
        return self.system.with_free(self.system.free & ~self.seen)

    def start(self, n_chains: int, *, rng: np.random.Generator, clamp: bool) -> Int[np.ndarray, "chain site"]:
        """Return arrangements with the right composition, the seen sites as seen if they are clamped."""
        if self.composition is None:
            start = self.system.random_arrangement(n_chains, rng=rng)
        else:
            held = self.seen if clamp else np.zeros(len(self.seen), dtype=bool)
            counts = np.array(self.composition) - np.bincount(self.species[held], minlength=len(self.composition))
            rest = np.repeat(np.arange(len(counts)), counts).astype(np.int8)
            start = np.zeros((n_chains, len(held)), dtype=np.int8)
            start[:, ~held] = np.stack([rng.permutation(rest) for _ in range(n_chains)])
        if clamp:
            start[:, self.seen] = self.species[self.seen]
        return start
