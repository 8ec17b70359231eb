"""The law of the exchanges of a magnet with bond disorder, from many snapshots of the same sample."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.estimation.disorder import check_snapshots
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.plan import SamplingPlan

FEWEST_SNAPSHOTS = 10
"""Snapshots below which no exchange of a single bond is estimated."""

FEWEST_REPLICAS, REPLICA_SWEEPS = 10, 80
"""Replicas below which no bias is estimated, and sweeps after which a replica has forgotten where it started."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DisorderFit:
    """The law of the exchanges of a magnet with bond disorder.

    Attributes
    ----------
    mean, mean_error
        Mean exchange in kT and its standard error.
    variance, variance_error
        Variance of the exchanges, the errors of the single bonds taken out, and its standard error; a variance within
        two errors of zero is no disorder resolved.
    bond, bond_error
        Exchange of each bond and its standard error; NaN where no random site looks at it.
    n_snapshots
        Snapshots used.
    """

    mean: float
    mean_error: float
    variance: float
    variance_error: float
    bond: Float[np.ndarray, " bond"]
    bond_error: Float[np.ndarray, " bond"]
    n_snapshots: int

    @property
    def spread(self) -> float:
        """Standard deviation of the exchanges, in kT; 0 where the variance is not positive."""
        return float(np.sqrt(max(self.variance, 0.0)))

    @property
    def spread_error(self) -> float:
        """Standard error of the spread, by propagation; infinite where the spread is 0."""
        return self.variance_error / (2 * self.spread) if self.spread else float("inf")


def fit_bond_disorder(
    system: LatticeSystem,
    species: Int[np.ndarray, "snapshot site"],
    *,
    rng: np.random.Generator | None = None,
    n_replicas: int = 0,
) -> DisorderFit:
    """Return mean and spread of the exchanges of a sample from many snapshots of it, and every bond's exchange.

    The probability of a spin given its neighbours is logistic in their bonds: each site gives its bonds a regression
    over the snapshots (bias-reduced by Firth's penalty), and a bond takes the mean of its two ends. The variance of
    the errors, both ends' dependence included, is estimated from the snapshots and subtracted from that of the bonds.
    With fewer than a few hundred snapshots what is left of both estimates' bias is of the order of the errors:
    replicas with the fitted law, on the same sites and with as many snapshots, remove it, and their scatter then
    gives the errors. Assumes independent snapshots of the same sample and normal exchanges.

    Parameters
    ----------
    system
        An Ising model without a field, compiled with equal bonds.
    species
        Snapshots; a hundred or more for a spread of a third of the exchange.
    rng
        Source of randomness of the replicas.
    n_replicas
        Replicas; none by default, 30 are enough.

    Returns
    -------
    DisorderFit
        In kT.

    Raises
    ------
    InputError
        Too few snapshots.

    References
    ----------
    D. Firth, Biometrika 80, 27 (1993); R. DerSimonian and N. Laird, Control. Clin. Trials 7, 177 (1986).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    >>> system = lattice_system(ising(field=False), periodic_sites(SQUARE, (8, 8)))
    >>> rng = np.random.default_rng(1)
    >>> plan = SamplingPlan(n_samples=100, n_chains=1, spacing=10, keep_species=True)
    >>> species = draw_samples(system, np.array([0.25]), rng=rng, plan=plan).species[0]
    >>> fit = fit_bond_disorder(system, species)
    >>> bool(abs(fit.mean - 0.25) < 3 * fit.mean_error), bool(abs(fit.variance) < 3 * fit.variance_error)
    (True, True)
    """
    species = check_snapshots(system, species)
    if len(species) < FEWEST_SNAPSHOTS:
        raise InputError(
            "species",
            expected=f"at least {FEWEST_SNAPSHOTS} snapshots for the exchange of every bond",
            got=str(len(species)),
            then="Use `detect_bond_disorder`, or image the same area more often.",
        )
    fit = _law_of(system, species)
    if not n_replicas:
        return fit
    if rng is None or n_replicas < FEWEST_REPLICAS:
        raise InputError("rng", expected=f"a generator, and at least {FEWEST_REPLICAS} replicas", got=str(n_replicas))
    again = [_law_of(system, _disordered(system, species, fit, rng)) for _ in range(n_replicas)]
    means, variances = np.array([one.mean for one in again]), np.array([one.variance for one in again])
    noise = np.sqrt(1 + 1 / n_replicas)
    return dataclasses.replace(
        fit,
        mean=2 * fit.mean - float(means.mean()),
        mean_error=float(means.std(ddof=1) * noise),
        variance=fit.variance + fit.spread**2 - float(variances.mean()),
        variance_error=float(variances.std(ddof=1) * noise),
    )


def _law_of(system: LatticeSystem, species: np.ndarray) -> DisorderFit:
    """Return the law of the exchanges from the regressions of all sites."""
    bond_of, value, influence = _regress(system, species)
    n_bonds = len(system.members)
    ends = np.bincount(bond_of, minlength=n_bonds)
    used = ends > 0
    bond = np.full(n_bonds, np.nan)
    bond[used] = (np.bincount(bond_of, value, minlength=n_bonds) / np.maximum(ends, 1))[used]
    moved = np.zeros((n_bonds, len(species)))
    np.add.at(moved, bond_of, influence)
    moved = moved[used] / ends[used, None]
    error = np.full(n_bonds, np.nan)
    error[used] = np.sqrt((moved**2).sum(axis=1))
    mean = float(bond[used].mean())
    excess = (bond[used] - mean) ** 2 - error[used] ** 2
    variance = float(excess.sum() / (used.sum() - 1)) if used.sum() > 1 else float("nan")
    noise = float((moved.mean(axis=0) ** 2).sum())
    return DisorderFit(
        mean=mean,
        mean_error=float(np.sqrt(noise + max(variance, 0.0) / used.sum())),
        variance=variance,
        variance_error=_touching_error(system.members[used], excess - excess.mean(), system.n_sites),
        bond=bond,
        bond_error=error,
        n_snapshots=len(species),
    )


def _disordered(
    system: LatticeSystem, species: np.ndarray, fit: DisorderFit, rng: np.random.Generator
) -> Int[np.ndarray, "snapshot site"]:
    """Return as many snapshots, with the same borders, of a sample with new exchanges of the fitted law."""
    exchange = fit.mean + fit.spread * rng.standard_normal(len(system.members))
    sample = dataclasses.replace(system, weight=exchange)
    plan = SamplingPlan(n_samples=1, n_chains=len(species), burn_in=REPLICA_SWEEPS, start=species)
    return draw_samples(sample, np.ones(1), rng=rng, plan=plan).final


def _regress(system: LatticeSystem, species: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each end of a bond at a random site, the bond, its exchange, and each snapshot's influence on it."""
    near, sites = system.incidence, np.flatnonzero(system.free)
    counts = near.start[sites + 1] - near.start[sites]
    width = int(counts.max())
    slot = near.start[sites][:, None] + np.arange(width)
    real = np.arange(width) < counts[:, None]
    slot = np.where(real, slot, 0)
    spin = 2.0 * species - 1
    x = 2.0 * np.where(real[:, :, None], spin.T[near.others[slot, 0]], 0.0)
    up = spin.T[sites] > 0
    pad = np.eye(width) * ~real[:, :, None]
    value = np.zeros(real.shape)
    for _ in range(25):
        chance = 1 / (1 + np.exp(-np.einsum("izt,iz->it", x, value)))
        weight = chance * (1 - chance)
        inverse = np.linalg.inv(np.einsum("izt,it,iyt->izy", x, weight, x) + pad)
        lever = weight * np.einsum("izt,izy,iyt->it", x, inverse, x)
        score = np.einsum("izt,it->iz", x, up - chance + lever * (0.5 - chance))
        step = np.clip(np.einsum("izy,iy->iz", inverse, score), -1.0, 1.0)
        value += step
        if np.abs(step).max() < 1e-6:
            break
    residual = (up - chance) / np.sqrt(1 - np.minimum(lever, 0.9))
    influence = np.einsum("izy,iyt->izt", inverse, x * residual[:, None])
    return near.cluster[slot][real], value[real], influence[real]


def _touching_error(members: np.ndarray, excess: np.ndarray, n_sites: int) -> float:
    """Return the standard error of a mean over bonds whose values depend on each other where bonds touch."""
    at_site = np.bincount(members[:, 0], excess, n_sites) + np.bincount(members[:, 1], excess, n_sites)
    return float(np.sqrt(max((at_site**2).sum() - (excess**2).sum(), (excess**2).sum())) / len(excess))
