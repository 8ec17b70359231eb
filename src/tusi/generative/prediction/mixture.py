"""Averages at couplings between those that were sampled: all samples of one system as one weighted mixture."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtrit

NEWTON, TOLERANCE, FLOOR = 50, 1e-7, 1e-9
"""Newton steps for the free energies of the nodes, the relative imbalance at which they stop, and the least curvature
per sample along which they step."""

CHUNK = 4_000_000
"""Weights that are computed at a time."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """Samples drawn at several couplings (nodes), weighted to any couplings in between.

    The multistate Bennett acceptance ratio: a sample's weight at couplings u is `exp(-u.T)` over its density in the
    mixture of all nodes. Rows belong to blocks, one piece of one chain of every node each. Blocks with random
    multiplicities give the error of any average, autocorrelation included; the free energies of the nodes answer to
    the multiplicities (one Newton step), since they are as uncertain as the averages.

    Attributes
    ----------
    statistics
        Sufficient statistics.
    columns
        What is averaged.
    inefficiency
        Correlated samples that are worth an independent one, for each row.
    block
        Number of each row's block.
    log_mixture
        Logarithm of each row's density in the mixture, up to a constant.
    membership
        Probability that each row comes from each node.
    response
        What free energies change by for an imbalance of the memberships.

    References
    ----------
    M. R. Shirts and J. D. Chodera, J. Chem. Phys. 129, 124105 (2008).
    """

    statistics: Float[np.ndarray, "row parameter"]
    columns: Float[np.ndarray, "row column"]
    inefficiency: Float[np.ndarray, " row"]
    block: Int[np.ndarray, " row"]
    log_mixture: Float[np.ndarray, " row"]
    membership: Float[np.ndarray, "row node"]
    response: Float[np.ndarray, "node node"]

    def multiplicities(self, n: int, *, rng: np.random.Generator) -> Float[np.ndarray, "draw block"]:
        """Return random weights of the blocks whose spread is that of the error, with a mean of 1.

        They are Dirichlet weights, as wide as Student's t makes an interval from so few blocks.
        """
        n_blocks = int(self.block.max()) + 1
        inflation = n_blocks / (n_blocks - 1) * (stdtrit(n_blocks - 1, 0.975) / 1.96) ** 2
        shape = ((n_blocks - 1) / inflation - 1.0) / n_blocks
        return rng.dirichlet(np.full(n_blocks, shape), size=n) * n_blocks

    def averages(
        self,
        couplings: Float[np.ndarray, "target parameter"],
        *,
        multiplicity: Float[np.ndarray, " block"] | None = None,
    ) -> tuple[Float[np.ndarray, "target column"], Float[np.ndarray, "target 2"]]:
        """Return averages of the columns, and the effective sample size without and with autocorrelation."""
        log_row = -self.log_mixture
        if multiplicity is not None:
            log_row = self._answered(multiplicity)
        mean, size = np.empty((len(couplings), self.columns.shape[1])), np.empty((len(couplings), 2))
        step = max(1, CHUNK // len(self.statistics))
        for first in range(0, len(couplings), step):
            chosen = slice(first, first + step)
            exponent = log_row - couplings[chosen] @ self.statistics.T
            weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
            weight /= weight.sum(axis=1, keepdims=True)
            mean[chosen] = weight @ self.columns
            weight *= weight
            size[chosen] = 1.0 / np.column_stack([weight.sum(axis=1), weight @ self.inefficiency])
        return mean, size

    def _answered(self, multiplicity: np.ndarray) -> np.ndarray:
        """Return the logarithm of what each row counts before it is weighted, for blocks of these multiplicities."""
        share = multiplicity[self.block]
        counts = self.membership.sum(axis=0) * share.mean()
        change = np.clip(-self.response @ (share @ self.membership - counts), -20.0, 20.0)
        with np.errstate(divide="ignore"):
            return np.log(share) - self.log_mixture - np.log(self.membership @ np.exp(change))


def mixture_of(
    nodes: Float[np.ndarray, "node parameter"],
    statistics: Sequence[Float[np.ndarray, "chain sample parameter"]],
    columns: Sequence[Float[np.ndarray, "chain sample column"]],
    *,
    inefficiency: Sequence[float] | None = None,
    pieces: int = 5,
) -> Mixture:
    """Combine the samples of several nodes, all of as many chains and samples.

    Parameters
    ----------
    nodes
        Couplings of each node.
    statistics, columns
        Of each node: sufficient statistics, and what is averaged.
    inefficiency
        Of each node; 1 where they are independent samples.
    pieces
        Blocks that each chain is cut into.
    """
    n_chains, n_samples, n_parameters = statistics[0].shape
    piece = np.minimum(np.arange(n_samples) * pieces // n_samples, pieces - 1)
    block = (np.arange(n_chains)[:, None] * (piece.max() + 1) + piece).ravel()
    rows = np.concatenate([drawn.reshape(-1, n_parameters) for drawn in statistics])
    n = n_chains * n_samples
    exponent = np.log(n) - rows @ nodes.T + _first_free_energies(nodes, statistics)
    log_mixture, membership, response = _balanced(exponent, float(n))
    return Mixture(
        statistics=rows,
        columns=np.concatenate([measured.reshape(n, -1) for measured in columns]),
        inefficiency=np.repeat(np.ones(len(nodes)) if inefficiency is None else np.asarray(inefficiency), n),
        block=np.tile(block, len(nodes)),
        log_mixture=log_mixture,
        membership=membership,
        response=response,
    )


def divergence(
    couplings: tuple[np.ndarray, np.ndarray], means: tuple[np.ndarray, np.ndarray]
) -> Float[np.ndarray, "..."]:
    """Return Jeffreys' divergence of two nodes from their couplings and mean statistics.

    It is the squared distance of their mean energies in standard deviations where these are normal.
    """
    return -((couplings[1] - couplings[0]) * (means[1] - means[0])).sum(axis=-1)


def _first_free_energies(nodes: np.ndarray, statistics: Sequence[np.ndarray]) -> np.ndarray:
    """Integrate the mean statistics along a tree of near neighbours."""
    means = np.array([drawn.mean(axis=(0, 1)) for drawn in statistics])
    apart = np.maximum(divergence((nodes[:, None], nodes[None]), (means[:, None], means[None])), 0.0)
    free, known = np.zeros(len(nodes)), [0]
    while len(known) < len(nodes):
        left = np.setdiff1d(np.arange(len(nodes)), known)
        i, j = np.unravel_index(apart[known][:, left].argmin(), (len(known), len(left)))
        here, there = known[int(i)], int(left[j])
        free[there] = free[here] + (nodes[there] - nodes[here]) @ (means[there] + means[here]) / 2.0
        known.append(there)
    return free


def _balanced(exponent: np.ndarray, n: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log-densities, memberships and response at the free energies that give every node its samples."""
    free = np.zeros(exponent.shape[1])
    level, log_density, membership = _objective(exponent, free, n)
    for _ in range(NEWTON):
        gradient = membership.sum(axis=0) - n
        response = _response(membership)
        if np.abs(gradient).max() < TOLERANCE * n:
            break
        step, scale = -response @ gradient, 1.0
        step *= min(1.0, 5.0 / np.abs(step).max())
        while scale > 1e-6:
            found = _objective(exponent, free + scale * step, n)
            if found[0] <= level:
                break
            scale /= 2
        else:
            break
        free = free + scale * step
        level, log_density, membership = found
    return log_density, membership, _response(membership)


def _objective(exponent: np.ndarray, free: np.ndarray, n: float) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the convex function whose minimum the free energies are, log-densities and memberships."""
    membership = exponent + free
    highest = membership.max(axis=1, keepdims=True)
    np.exp(membership - highest, out=membership)
    total = membership.sum(axis=1, keepdims=True)
    membership /= total
    log_density = (np.log(total) + highest).ravel()
    return float(log_density.sum() - n * free.sum()), log_density, membership


def _response(membership: np.ndarray) -> np.ndarray:
    """Return the inverse curvature, without directions along which nothing overlaps."""
    curvature = np.diag(membership.sum(axis=0)) - membership.T @ membership
    size, direction = np.linalg.eigh(curvature)
    kept = size > FLOOR * len(membership)
    return (direction[:, kept] / size[kept]) @ direction[:, kept].T
