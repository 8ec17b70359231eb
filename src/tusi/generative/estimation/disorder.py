"""Quenched bond disorder: what it does to a clean fit, and whether images show it.

To second order in the spread of the exchanges one image of a sample has the probability of a *clean* magnet whose
exchange is `K - u sigma^2` (u the mean product of neighbours): one image cannot tell disorder from a weaker exchange.
Several images of the same sample can, because the same bonds are strong in all of them.
"""

import dataclasses

import numpy as np
from jaxtyping import Int
from scipy.special import ndtri

from tusi.errors import InputError
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.plan import SamplingPlan
from tusi.inference import resampling_p_value

N_CHAINS, N_ROUNDS, LARGEST_STEP = 8, 12, 0.15


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CleanFit:
    """The exchange of a magnet that is taken to be clean.

    Attributes
    ----------
    value, standard_error, interval
        Exchange J/kT, its standard error if the magnet is clean, and its 95 % interval.
    alignment
        Mean product of neighbouring spins in the images.
    converged
        Whether the last step was small beside the standard error.
    """

    value: float
    standard_error: float
    interval: tuple[float, float]
    alignment: float
    converged: bool

    def corrected(self, spread: float) -> float:
        """Return the mean exchange if the exchanges scatter: `K + u sigma^2`, to second order in the spread.

        Parameters
        ----------
        spread
            Standard deviation of the exchanges, in kT.
        """
        return self.value + self.alignment * spread**2


def fit_clean_exchange(
    system: LatticeSystem, species: Int[np.ndarray, "snapshot site"], *, rng: np.random.Generator, n_samples: int = 4000
) -> CleanFit:
    """Return the exchange that snapshots support if all bonds are equal.

    Maximum likelihood: Newton steps on Monte Carlo moments, each snapshot with its own clamped border.

    Parameters
    ----------
    system
        An Ising model without a field, compiled with equal bonds.
    species
        Snapshots that are independent of each other, 0 for down and 1 for up.
    rng
        Source of randomness.
    n_samples
        Monte Carlo samples in the last round, over all snapshots.

    Returns
    -------
    CleanFit
        In kT.

    Raises
    ------
    InputError
        The system is not an Ising model without a field, or the snapshots do not fit it.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    >>> system = lattice_system(ising(field=False), periodic_sites(SQUARE, (16, 16)))
    >>> rng = np.random.default_rng(1)
    >>> species = draw_samples(system, np.array([0.25]), rng=rng).final
    >>> fit = fit_clean_exchange(system, species, rng=rng)
    >>> bool(abs(fit.value - 0.25) < 3 * fit.standard_error)
    True
    """
    species = check_snapshots(system, species)
    observed = system.statistics(species).sum()
    value, last, start = _start(system, species), False, _tile(species, N_CHAINS)
    copies = len(start) / len(species)
    for number in range(N_ROUNDS):
        per_chain = max((n_samples if last else n_samples // 4) // len(start), 4)
        plan = SamplingPlan(n_samples=per_chain, n_chains=len(start), burn_in=20, spacing=2, start=start)
        samples = draw_samples(system, np.array([value]), rng=rng, plan=plan)
        start = samples.final
        mean = samples.statistics.mean(axis=1).sum() / copies
        information = samples.statistics[..., 0].var(axis=1, ddof=1).sum() / copies
        step = float(np.clip((mean - observed) / information, -LARGEST_STEP, LARGEST_STEP))
        value += step
        small = step**2 * information < 0.25
        if last or number == N_ROUNDS - 1:
            break
        last = small or number == N_ROUNDS - 2
    noise = 1 / samples.effective_sample_size[0] * len(species) if np.isfinite(information) else 0.0
    error = float(np.sqrt((1 + noise) / information))
    half = float(ndtri(0.975)) * error
    return CleanFit(
        value=value,
        standard_error=error,
        interval=(value - half, value + half),
        alignment=float(_products(system, species).mean()),
        converged=bool(last and small),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DisorderTest:
    """Whether snapshots of one sample show that its bonds differ.

    Attributes
    ----------
    statistic, expected, deviation
        Mean over bonds of the squared sum of their deviations from the mean alignment, and what a clean magnet gives.
    p_value
        Chance of a larger statistic in a clean magnet.
    n_replicas
        Clean replicas behind it.
    clean
        The clean magnet's fit.
    """

    statistic: float
    expected: float
    deviation: float
    p_value: float
    n_replicas: int
    clean: CleanFit


def detect_bond_disorder(
    system: LatticeSystem,
    species: Int[np.ndarray, "snapshot site"],
    *,
    rng: np.random.Generator,
    n_replicas: int = 199,
    spacing: int = 10,
) -> DisorderTest:
    """Test whether the bonds of a magnet differ, from snapshots of the same sample.

    The score statistic for the variance of the exchanges, which no other test of small disorder beats: with
    d = s_i s_j - u of a bond in one snapshot, the mean over bonds of (sum over snapshots of d)^2. Its distribution
    comes from clean magnets at the fitted exchange with the same borders. Assumes snapshots so far apart in time that
    they are independent: frames of a movie that follow closely look like disorder.

    Parameters
    ----------
    system
        An Ising model without a field, compiled with equal bonds.
    species
        At least two snapshots of the same sample.
    rng
        Source of randomness.
    n_replicas
        Clean replicas of all snapshots.
    spacing
        Sweeps between replicas.

    Returns
    -------
    DisorderTest
        With a calibrated p-value.

    Raises
    ------
    InputError
        Fewer than two snapshots, which cannot show disorder.

    References
    ----------
    C. R. Rao, Proc. Cambridge Philos. Soc. 44, 50 (1948).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    >>> system = lattice_system(ising(field=False), periodic_sites(SQUARE, (12, 12)))
    >>> rng = np.random.default_rng(1)
    >>> species = draw_samples(system, np.array([0.25]), rng=rng).final
    >>> bool(detect_bond_disorder(system, species, rng=rng).p_value > 0.01)
    True
    """
    species = check_snapshots(system, species)
    if len(species) < 2:
        raise InputError(
            "species",
            expected="at least two snapshots of the same sample",
            got="one, in which disorder looks like a weaker exchange",
            then="Image the same area again after it has rearranged.",
        )
    clean = fit_clean_exchange(system, species, rng=rng)
    plan = SamplingPlan(
        n_samples=n_replicas, n_chains=len(species), burn_in=spacing, spacing=spacing, start=species, keep_species=True
    )
    drawn = draw_samples(system, np.array([clean.value]), rng=rng, plan=plan).species
    replicas = np.array([_score(_products(system, drawn[:, k])) for k in range(n_replicas)])
    statistic = _score(_products(system, species))
    return DisorderTest(
        statistic=statistic,
        expected=float(replicas.mean()),
        deviation=float(replicas.std(ddof=1)),
        p_value=resampling_p_value(statistic, replicas),
        n_replicas=n_replicas,
        clean=clean,
    )


def check_snapshots(system: LatticeSystem, species: np.ndarray) -> np.ndarray:
    """Return the snapshots, or say why the system or they do not fit."""
    pairs = system.members.shape[1] == 2 and (system.members < system.n_sites).all()
    spins = pairs and np.array_equal(system.table[:, :, 0], np.tile([-1.0, 1.0, 1.0, -1.0], (len(system.table), 1)))
    if len(system.parameters) != 1 or not spins:
        raise InputError(
            "system", expected="an Ising model of one exchange without a field", got=str(system.parameters)
        )
    species = np.atleast_2d(species)
    if species.shape[1] != system.n_sites or not np.isin(species, (0, 1)).all():
        raise InputError("species", expected=f"0 or 1 on {system.n_sites} sites", got=str(species.shape))
    return species.astype(np.int8)


def _products(system: LatticeSystem, species: np.ndarray) -> np.ndarray:
    """Return the product of the two spins of each bond that has a random end, in each snapshot."""
    free = system.free[system.members].any(axis=1)
    spin = (2 * species - 1).astype(np.int8)
    return spin[:, system.members[free, 0]] * spin[:, system.members[free, 1]]


def _score(products: np.ndarray) -> float:
    """Return the score statistic of the exchanges' variance."""
    total = products.sum(axis=0, dtype=np.int64)
    return float(np.mean((total - total.mean()) ** 2))


def _start(system: LatticeSystem, species: np.ndarray) -> float:
    """Return a start: the exchange at which each spin's mean given its neighbours is right, all bonds equal."""
    sites = np.flatnonzero(system.free)
    field = -system.site_statistics(species, sites)[:, :, 1, 0].ravel()
    spin = 2.0 * species[:, sites].ravel() - 1
    value = 0.0
    for _ in range(30):
        away = np.tanh(field * value)
        value += float((field * (spin - away)).sum() / (field**2 * (1 - away**2)).sum().clip(1e-9))
        value = float(np.clip(value, -0.8, 0.8))
    return value


def _tile(species: np.ndarray, n_chains: int) -> np.ndarray:
    """Return each snapshot as often as it takes to have this many chains."""
    return np.tile(species, (-(-n_chains // len(species)), 1))
