"""Exact answers to check everything else with: all states of small systems, and Onsager's solution."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ellipe, ellipk, logsumexp

from tusi.errors import InputError
from tusi.generative.lattice.system import LatticeSystem

MOST_STATES = 2**21
"""Largest number of states that is enumerated."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Enumeration:
    """Every state that the free sites of a system can take, the clamped ones as they are.

    Attributes
    ----------
    species
        The states.
    statistics
        Their sufficient statistics.
    log_weight
        Sum of the fixed log-weights of each state.
    """

    species: Int[np.ndarray, "state site"]
    statistics: Float[np.ndarray, "state parameter"]
    log_weight: Float[np.ndarray, " state"]

    def log_partition(self, couplings: Float[np.ndarray, " parameter"]) -> float:
        """Return ln Z at these couplings, in kT."""
        return float(logsumexp(self.log_weight - self.statistics @ couplings))

    def probability(self, couplings: Float[np.ndarray, " parameter"]) -> Float[np.ndarray, " state"]:
        """Return the probability of each state."""
        return np.exp(self.log_weight - self.statistics @ couplings - self.log_partition(couplings))

    def mean(self, couplings: Float[np.ndarray, " parameter"]) -> Float[np.ndarray, " parameter"]:
        """Return E[T]."""
        return self.probability(couplings) @ self.statistics

    def covariance(self, couplings: Float[np.ndarray, " parameter"]) -> Float[np.ndarray, "parameter parameter"]:
        """Return Cov(T), which is the Fisher information of the couplings."""
        probability = self.probability(couplings)
        centred = self.statistics - probability @ self.statistics
        return (centred * probability[:, None]).T @ centred

    def only(self, keep: np.ndarray) -> "Enumeration":
        """Return some of the states, e.g. those of one composition."""
        return Enumeration(
            species=self.species[keep], statistics=self.statistics[keep], log_weight=self.log_weight[keep]
        )


def enumerate_states(system: LatticeSystem, *, clamped: Int[np.ndarray, " site"] | None = None) -> Enumeration:
    """Return every state of a small system.

    Parameters
    ----------
    system
        At most about two million states.
    clamped
        Species of the sites that are not free; needed where there are any.

    Raises
    ------
    InputError
        There are too many states, or clamped sites without species.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    >>> states = enumerate_states(lattice_system(ising(field=False), periodic_sites(SQUARE, (3, 3))))
    >>> len(states.species), float(round(states.log_partition(np.array([0.0])) / np.log(2), 6))
    (512, 9.0)
    """
    free = np.flatnonzero(system.free)
    options = [np.flatnonzero(system.allowed[site]) for site in free]
    n_states = float(np.prod([float(len(option)) for option in options]))
    if n_states > MOST_STATES:
        raise InputError("system", expected=f"at most {MOST_STATES} states", got=f"{n_states:.3g}")
    if clamped is None and len(free) < system.n_sites:
        raise InputError("clamped", expected="the species of the sites that are not free", got="none")
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*options, indexing="ij")], axis=1) if options else [[]]
    species = np.zeros((int(n_states), system.n_sites), dtype=np.int8)
    if clamped is not None:
        species[:] = clamped
    species[:, free] = grid
    fixed = system.log_weight[np.arange(system.n_sites), species.astype(np.int64)][:, free].sum(axis=1)
    return Enumeration(species=species, statistics=system.statistics(species), log_weight=fixed)


def onsager_energy(coupling: Float[np.ndarray, "*batch"] | float) -> Float[np.ndarray, "*batch"]:
    """Return the mean of `sum_NN s_i s_j` per site of the infinite square Ising model without field.

    Parameters
    ----------
    coupling
        K = J/kT, positive.

    References
    ----------
    L. Onsager, Phys. Rev. 65, 117 (1944).

    Examples
    --------
    >>> round(float(onsager_energy(0.3)), 5)
    0.7045
    """
    k = np.asarray(coupling, dtype=np.float64)
    modulus, complement = _moduli(k)
    return np.asarray(1 / np.tanh(2 * k) * (1 + 2 / np.pi * complement * ellipk(modulus**2)))


def onsager_specific_heat(coupling: Float[np.ndarray, "*batch"] | float) -> Float[np.ndarray, "*batch"]:
    """Return the specific heat per site (in k_B) of the infinite square Ising model without field.

    Parameters
    ----------
    coupling
        K = J/kT, positive.

    References
    ----------
    L. Onsager, Phys. Rev. 65, 117 (1944).

    Examples
    --------
    >>> round(float(400 / onsager_specific_heat(np.log(1 + np.sqrt(2)) / 2 / 2)), -1)
    3230.0
    """
    k = np.asarray(coupling, dtype=np.float64)
    modulus, complement = _moduli(k)
    first, second = ellipk(modulus**2), ellipe(modulus**2)
    bracket = first - second - (1 - np.tanh(2 * k) ** 2) * (np.pi / 2 + complement * first)
    return np.asarray(4 / np.pi * (k / np.tanh(2 * k)) ** 2 * bracket)


def _moduli(k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the modulus of the elliptic integrals and Onsager's k'."""
    return np.asarray(2 * np.sinh(2 * k) / np.cosh(2 * k) ** 2), np.asarray(2 * np.tanh(2 * k) ** 2 - 1)
