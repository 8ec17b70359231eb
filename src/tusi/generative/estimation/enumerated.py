"""The exact likelihood of the couplings of small systems, by enumeration: what sampled surfaces are checked against."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.generative.lattice.exact import Enumeration
from tusi.generative.reweighting import Pool


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EnumeratedSurface:
    """The exact log-likelihood of couplings, for systems so small that all their states can be listed.

    Attributes
    ----------
    pool
        All values that the statistics take, with the number of states that have them.
    """

    pool: Pool

    def log_likelihood(
        self, couplings: Float[np.ndarray, " parameter"]
    ) -> tuple[float, Float[np.ndarray, " parameter"], Float[np.ndarray, "parameter parameter"]]:
        """Return the log-likelihood, its gradient and minus its Hessian."""
        return self.pool.log_likelihood(couplings)

    def effective_sample_size(self, couplings: Float[np.ndarray, " parameter"]) -> Float[np.ndarray, " segment"]:  # noqa: ARG002
        """Return infinity for every segment: nothing is sampled."""
        return np.full(len(self.pool.start), np.inf)


def enumerated_surface(
    states: Enumeration,
    observed: Float[np.ndarray, "image parameter"],
    *,
    given: Sequence[Enumeration] = (),
) -> EnumeratedSurface:
    """Return the exact likelihood of images of one small system.

    Parameters
    ----------
    states
        All states of the system.
    observed
        Statistics of each image whose species are certain.
    given
        For each image whose species are not: all states, weighted by the likelihood of what was seen.

    Returns
    -------
    EnumeratedSurface
        The sum of the images' log-likelihoods.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, enumerate_states, ising, lattice_system, periodic_sites
    >>> states = enumerate_states(lattice_system(ising(field=False), periodic_sites(SQUARE, (3, 3))))
    >>> surface = enumerated_surface(states, np.array([[-2.0]]))
    >>> value, gradient, information = surface.log_likelihood(np.array([0.0]))
    >>> round(float(value / np.log(2)), 3), gradient.round(3).tolist(), information.round(3).tolist()
    (-9.0, [2.0], [[18.0]])
    """
    observed = np.asarray(observed, dtype=np.float64)
    n_parameters = states.statistics.shape[1]
    if observed.ndim != 2 or observed.shape[1] != n_parameters:
        raise InputError("observed", expected=f"rows of {n_parameters} statistics", got=f"shape {observed.shape}")
    parts = [_distinct(one) for one in (states, *given)]
    n_images = len(observed) + len(given)
    total = observed.sum(axis=0) / max(n_images, 1)
    lengths = [len(weight) for _, weight in parts]
    return EnumeratedSurface(
        pool=Pool(
            statistics=np.concatenate([rows for rows, _ in parts]),
            log_weight=np.concatenate([weight for _, weight in parts]),
            multiplicity=np.ones(sum(lengths)),
            start=np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
            observed=np.vstack([total, np.zeros((len(given), n_parameters))]),
            weight=np.array([float(n_images), *[-1.0] * len(given)]),
        )
    )


def _distinct(states: Enumeration) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct statistics of the states and the logarithm of the total weight of each."""
    rows, place = np.unique(states.statistics, axis=0, return_inverse=True)
    highest = states.log_weight.max()
    total = np.bincount(place.ravel(), weights=np.exp(states.log_weight - highest), minlength=len(rows))
    return rows[total > 0], np.log(total[total > 0]) + highest
