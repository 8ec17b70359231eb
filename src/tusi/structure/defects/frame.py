"""Where a crystal's sites are, read from nearby atoms alone: no count from afar that a dislocation could mislead."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Complex, Float, Int
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from tusi.data import Lattice

REACH = 2.5
"""Where the Gaussian neighbourhood is cut off, in standard deviations."""

WIDTH = 1.2
"""Standard deviation of the neighbourhood, in roots of the area per site: it holds about 18 sites."""

N_ROUNDS = 3
"""How often basis sites and waves are found from each other."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CrystalFrame:
    """The local phase of a crystal's two fundamental waves, basis sites taken out.

    An atom at r on basis site b adds exp(2 pi i (g . r - b)) to the wave of the reciprocal vector g; the
    Gaussian-weighted mean over a neighbourhood has modulus one in a perfect crystal and winds around a dislocation.

    Attributes
    ----------
    atom
        Rows of the crystal's atoms in `Atoms`.
    position
        Their (y, x).
    phasor
        What each atom adds to the two waves.
    basis_site
        Number of the basis site to which each atom is nearest.
    vectors
        Lattice vectors as rows (y, x).
    basis
        Basis sites in units of the vectors.
    width
        Standard deviation of the Gaussian neighbourhood, in the unit of the positions.
    """

    atom: Int[np.ndarray, " atom"]
    position: Float[np.ndarray, "atom 2"]
    phasor: Complex[np.ndarray, "atom 2"]
    basis_site: Int[np.ndarray, " atom"]
    vectors: Float[np.ndarray, "2 2"]
    basis: Float[np.ndarray, "basis 2"]
    width: float

    @property
    def spacing(self) -> float:
        """The shorter lattice vector's length."""
        return float(np.linalg.norm(self.vectors, axis=1).min())

    @property
    def site_spacing(self) -> float:
        """The shortest distance between sites."""
        steps = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], indexing="ij"), axis=-1).reshape(-1, 1, 1, 2)
        apart = np.linalg.norm((self.basis[:, None] - self.basis + steps) @ self.vectors, axis=-1)
        return float(apart[apart > 1e-6 * self.spacing].min())

    @property
    def area_per_site(self) -> float:
        """Area of the cell over the number of its sites."""
        return abs(float(np.linalg.det(self.vectors))) / len(self.basis)

    def weights(
        self, place: Float[np.ndarray, "place 2"], *, leave_out: Int[np.ndarray, " place"] | None = None
    ) -> csr_matrix:
        """Return the Gaussian weight of every atom at each place; `leave_out` names one atom to ignore at each."""
        return gaussian_weights(place, self.position, width=self.width, leave_out=leave_out)

    def wave(
        self, place: Float[np.ndarray, "place 2"], *, leave_out: Int[np.ndarray, " place"] | None = None
    ) -> Complex[np.ndarray, "place 2"]:
        """Return the local mean of both waves at each place; zero where no atom is near."""
        return self.wave_and_share(place, leave_out=leave_out)[0]

    def wave_and_share(
        self, place: Float[np.ndarray, "place 2"], *, leave_out: Int[np.ndarray, " place"] | None = None
    ) -> tuple[Complex[np.ndarray, "place 2"], Float[np.ndarray, " place"]]:
        """Return the waves, and what share of one atom's variance the sites that they tell have; infinite for none."""
        weight = self.weights(place, leave_out=leave_out)
        total = np.asarray(weight.sum(axis=1)).ravel()
        squares = np.asarray(weight.multiply(weight).sum(axis=1)).ravel()
        share = np.where(total > 0, squares / np.maximum(total, 1e-150) ** 2, np.inf)
        return local_mean(weight, self.phasor), share

    def miss(
        self, place: Float[np.ndarray, "place 2"], wave: Complex[np.ndarray, "place 2"]
    ) -> tuple[Float[np.ndarray, "place 2"], Int[np.ndarray, " place"]]:
        """Return the vector from the nearest local site to each place, and which basis site that is."""
        return miss_of(place, wave, self.vectors, self.basis)


def gaussian_weights(
    place: Float[np.ndarray, "place 2"],
    position: Float[np.ndarray, "atom 2"],
    *,
    width: float,
    leave_out: Int[np.ndarray, " place"] | None = None,
) -> csr_matrix:
    """Return the Gaussian weight of every atom at each place, cut off at `REACH` widths.

    Parameters
    ----------
    place
        (y, x) of the places.
    position
        (y, x) of the atoms.
    width
        Standard deviation of the neighbourhood, in the unit of the positions.
    leave_out
        One atom to ignore at each place.
    """
    near = cKDTree(place).sparse_distance_matrix(cKDTree(position), REACH * width, output_type="ndarray")
    if leave_out is not None:
        near = near[leave_out[near["i"]] != near["j"]]
    value = np.exp(-0.5 * (near["v"] / width) ** 2)
    return csr_matrix((value, (near["i"], near["j"])), shape=(len(place), len(position)))


def local_mean(weight: csr_matrix, phasor: Complex[np.ndarray, "atom *wave"]) -> Complex[np.ndarray, "place *wave"]:
    """Return the weighted mean of what the atoms add to each wave; zero at places without atoms."""
    total = np.maximum(np.asarray(weight.sum(axis=1)), 1e-150)
    return (weight @ phasor) / total.reshape(-1, *(1,) * (phasor.ndim - 1))


def miss_of(
    place: Float[np.ndarray, "place 2"],
    wave: Complex[np.ndarray, "place 2"],
    vectors: Float[np.ndarray, "2 2"],
    basis: Float[np.ndarray, "basis 2"],
) -> tuple[Float[np.ndarray, "place 2"], Int[np.ndarray, " place"]]:
    """Return the vector from the nearest site to each place where the waves have these phases, and the basis site."""
    coordinate = place @ np.linalg.inv(vectors) - np.angle(wave) / (2 * np.pi)
    difference = coordinate[:, None] - basis
    difference = (difference - np.rint(difference)) @ vectors
    nearest = np.linalg.norm(difference, axis=2).argmin(axis=1)
    return difference[np.arange(len(place)), nearest], nearest


def crystal_frame(
    position: Float[np.ndarray, "atom 2"],
    *,
    atom: Int[np.ndarray, " member"],
    basis_site: Int[np.ndarray, " member"],
    cell: tuple[Float[np.ndarray, "2 2"], Float[np.ndarray, "basis 2"]],
    width: float,
) -> CrystalFrame:
    """Return the frame of one crystal.

    Parameters
    ----------
    position
        (y, x) of all atoms of the image.
    atom
        Rows of those in the crystal.
    basis_site
        Basis site of each as far as it is known; -1 where it is not.
    cell
        Lattice vectors, and basis sites in their units.
    width
        Standard deviation of the neighbourhood, in roots of the area per site.
    """
    vectors, basis = cell
    here = position[atom]
    forward = here @ np.linalg.inv(vectors)
    site, known = basis_site.copy(), basis_site >= 0
    scale = width * float(np.sqrt(abs(np.linalg.det(vectors)) / len(basis)))
    for _ in range(N_ROUNDS):
        phasor = np.where(known[:, None], np.exp(2j * np.pi * (forward - basis[site])), 0.0)
        frame = CrystalFrame(
            atom=atom, position=here, phasor=phasor, basis_site=site, vectors=vectors, basis=basis, width=scale
        )
        missed, site = frame.miss(here, frame.wave(here))
        known = np.linalg.norm(missed, axis=1) < 0.35 * frame.site_spacing
    return dataclasses.replace(
        frame, basis_site=site, phasor=np.where(known[:, None], np.exp(2j * np.pi * (forward - basis[site])), 0.0)
    )


def domain_frame(
    position: Float[np.ndarray, "atom 2"],
    lattice: Lattice,
    *,
    domain: int,
    atom: Int[np.ndarray, " member"],
    width: float = WIDTH,
) -> CrystalFrame:
    """Return the frame of one domain of a lattice; the basis sites of atoms that are not on its sites are not known.

    Parameters
    ----------
    position
        (y, x) of all atoms of the image.
    lattice
        The lattice.
    domain
        Which domain.
    atom
        Rows of the atoms that belong to the crystal.
    width
        Standard deviation of the neighbourhood, in roots of the area per site.
    """
    basis_site = np.full(len(position), -1)
    own = (lattice.atom >= 0) & (lattice.domain == domain)
    basis = np.unique(lattice.index[lattice.domain == domain, 2])
    basis_site[lattice.atom[own]] = np.searchsorted(basis, lattice.index[own, 2])
    cell = lattice.vectors[domain], lattice.basis[basis]
    return crystal_frame(position, atom=atom, basis_site=basis_site[atom], cell=cell, width=width)


def scatter_of(frame: CrystalFrame) -> float:
    """Return the standard deviation of a crystal's atoms about their sites along one axis.

    Each atom is compared with the site that its neighbours tell, whose own error is taken out. Half of the squared
    distances of a round normal lie below 2 ln 2 times its variance: a few atoms off their sites hardly matter.

    Parameters
    ----------
    frame
        The crystal.
    """
    wave, share = frame.wave_and_share(frame.position, leave_out=np.arange(len(frame.position)))
    missed, _ = frame.miss(frame.position, wave)
    square = (missed**2).sum(axis=1) / (1 + share)
    square = square[(square < (0.5 * frame.site_spacing) ** 2) & (share < 0.5)]
    least = 1e-3 * frame.spacing
    return max(float(np.sqrt(np.median(square) / (2 * np.log(2)))), least) if len(square) else least


def surrounded(
    place: Float[np.ndarray, "place 2"], position: Float[np.ndarray, "atom 2"], *, reach: float
) -> Bool[np.ndarray, " place"]:
    """Return which places have atoms on every side within this reach: none of eight directions is bare."""
    near = cKDTree(place).sparse_distance_matrix(cKDTree(position), reach, output_type="ndarray")
    near = near[near["v"] > 1e-9]
    step = position[near["j"]] - place[near["i"]]
    bearing = np.arctan2(step[:, 0], step[:, 1])
    covered = np.zeros((len(place), 8), bool)
    for k in range(8):
        turn = np.angle(np.exp(1j * (bearing - k * np.pi / 4)))
        covered[near["i"][np.abs(turn) < np.pi / 3], k] = True
    return covered.min(axis=1)
