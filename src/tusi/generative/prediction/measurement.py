"""What is measured on arrangements: energy, specific heat, composition, order, susceptibility, short-range order."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.generative.lattice.motifs import PairShell
from tusi.generative.lattice.sites import LatticeSites
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo.samples import Samples
from tusi.generative.prediction.order import OrderParameter, UniformOrder


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ObservableTable(Record):
    """Observables at one set of couplings.

    Attributes
    ----------
    names
        What each row is; `measurement` explains them.
    value
        Estimates.
    standard_error
        Their standard errors, from the effective sample size.
    effective_sample_size
        Independent samples behind each.
    """

    format_name: ClassVar[str] = "lattice-observables"
    row: ClassVar[str] = "observable"

    names: tuple[str, ...]
    value: Float[np.ndarray, " observable"] = array("observable")
    standard_error: Float[np.ndarray, " observable"] = array("observable")
    effective_sample_size: Float[np.ndarray, " observable"] = array("observable")

    def __getitem__(self, rows: object) -> "ObservableTable":
        raise TypeError("ask an ObservableTable for an observable by name: `of(name)`")

    def of(self, name: str) -> tuple[float, float]:
        """Return an observable with its standard error."""
        if name not in self.names:
            raise InputError("name", expected=f"one of {', '.join(self.names)}", got=repr(name))
        k = self.names.index(name)
        return float(self.value[k]), float(self.standard_error[k])


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Measurement:
    """What is averaged over arrangements, and how averages become observables.

    With N sites and couplings u in kT at the temperature ratio t:

    - energy: `t u.<T>/N`, per site, in kT at the reference temperature;
    - specific heat: `Var(u.T)/N`, per site, in k_B;
    - composition X: fraction of each species but the first;
    - order: mean length of the order parameter m;
    - susceptibility: `N (<m^2> - <m>^2)`, per site, times kT;
    - Binder cumulant: `1 - <m^4>/(3 <m^2>^2)`;
    - short-range order k: `1 - P(unlike)/(1 - sum_s x_s^2)` for the pairs of shell k, which is Warren-Cowley's
      parameter for two species: 0 at random, positive where like sites attract.

    Attributes
    ----------
    system, sites
        The system, on a periodic cell.
    species
        Names of the species.
    order
        The order parameter.
    shells
        Shells of the short-range order.
    """

    system: LatticeSystem
    sites: LatticeSites
    species: tuple[str, ...]
    order: OrderParameter = UniformOrder()
    shells: int = 2

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the observables."""
        return (
            "energy",
            "specific heat",
            *(f"composition {name}" for name in self.species[1:]),
            "order",
            "susceptibility",
            "Binder cumulant",
            *(f"short-range order {k + 1}" for k in range(self.shells)),
        )

    def columns(
        self, species: Int[np.ndarray, "replica site"], statistics: Float[np.ndarray, "replica parameter"]
    ) -> Float[np.ndarray, "replica column"]:
        """Return what is averaged, for each arrangement."""
        upper = np.triu_indices(statistics.shape[1])
        length = self.order.measure(species, self.sites, n_species=len(self.species))
        present = [(species == s).mean(axis=1) for s in range(1, len(self.species))]
        unlike = [(species[:, a] != species[:, b]).mean(axis=1) for a, b in self._pairs()]
        products = statistics[:, upper[0]] * statistics[:, upper[1]]
        scalar = [*present, length, length**2, length**4, *unlike]
        return np.column_stack([statistics, products, *scalar])

    def length_column(self, n_parameters: int) -> int:
        """Return the number of the column that holds the length of the order parameter."""
        return n_parameters + n_parameters * (n_parameters + 1) // 2 + len(self.species) - 1

    def derive(
        self,
        mean: Float[np.ndarray, "*batch column"],
        couplings: Float[np.ndarray, "*batch parameter"],
        ratio: np.ndarray,
    ) -> Float[np.ndarray, "*batch observable"]:
        """Return the observables from averages of the columns."""
        n, k = self.system.n_sites, couplings.shape[-1]
        upper = np.triu_indices(k)
        n_products, q = len(upper[0]), len(self.species)
        statistic = mean[..., :k]
        energy = (couplings * statistic).sum(axis=-1)
        factor = np.where(upper[0] == upper[1], 1.0, 2.0) * couplings[..., upper[0]] * couplings[..., upper[1]]
        variance = (factor * mean[..., k : k + n_products]).sum(axis=-1) - energy**2
        rest = mean[..., k + n_products :]
        present, first, second, fourth = rest[..., : q - 1], *(rest[..., q - 1 + i] for i in range(3))
        random = 1.0 - (present**2).sum(axis=-1) - (1.0 - present.sum(axis=-1)) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            binder = 1.0 - fourth / (3.0 * second**2)
            alike = 1.0 - rest[..., q + 2 :] / random[..., None]
        heads = [np.asarray(ratio) * energy / n, np.maximum(variance, 0.0) / n]
        tails = [first, n * np.maximum(second - first**2, 0.0), binder]
        return np.concatenate([np.stack(heads, axis=-1), present, np.stack(tails, axis=-1), alike], axis=-1)

    def _pairs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the pairs of each shell."""
        found = []
        for shell in range(1, self.shells + 1):
            orbits = PairShell(shell=shell).orbits(self.sites.crystal)
            pairs = np.concatenate([self.sites.clusters(orbit)[0] for orbit in orbits])
            found.append((pairs[:, 0], pairs[:, 1]))
        return found


def observables(
    samples: Samples, measurement: Measurement, *, couplings: Float[np.ndarray, " parameter"], ratio: float = 1.0
) -> ObservableTable:
    """Return the observables of sampled arrangements with standard errors.

    Averages over all chains. The error of a function of averages is that of its influence on each sample, divided by
    the root of the effective sample size of that influence.

    Parameters
    ----------
    samples
        Samples whose arrangements were kept (`SamplingPlan(keep_species=True)`).
    measurement
        What to measure.
    couplings
        Couplings that were sampled, in kT.
    ratio
        Temperature relative to the one that energies are given at.

    Returns
    -------
    ObservableTable
        One row per observable.

    Raises
    ------
    InputError
        No arrangements were kept.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, lattice_system, periodic_sites
    >>> from tusi.generative.montecarlo import SamplingPlan, draw_samples
    >>> model, sites = ising(field=False), periodic_sites(SQUARE, (8, 8))
    >>> system = lattice_system(model, sites)
    >>> plan = SamplingPlan(n_samples=200, keep_species=True)
    >>> samples = draw_samples(system, np.array([0.3]), rng=np.random.default_rng(1), plan=plan)
    >>> table = observables(
    ...     samples, Measurement(system=system, sites=sites, species=model.species), couplings=np.array([0.3])
    ... )
    >>> value, error = table.of("energy")
    >>> bool(abs(value + 0.3 * 0.7045) < 5 * error + 0.01)
    True
    """
    n_chains, n_samples = samples.statistics.shape[:2]
    if samples.species.shape[1] != n_samples:
        raise InputError(
            "samples", expected="samples with arrangements", got="none kept", then="Set keep_species=True in the plan."
        )
    n = n_chains * n_samples
    column = measurement.columns(
        samples.species.reshape(n, -1), samples.statistics.reshape(n, samples.statistics.shape[2])
    )
    mean, spread = column.mean(axis=0), column.std(axis=0)
    step = 1e-3 * np.where(spread > 0, spread, 1.0)
    nearby = np.concatenate([mean + np.diag(step), mean - np.diag(step)])
    weights = np.broadcast_to(np.asarray(couplings, dtype=np.float64), (len(nearby), len(couplings)))
    both = measurement.derive(nearby, weights, np.full(len(nearby), ratio))
    slope = (both[: len(mean)] - both[len(mean) :]) / (2 * step[:, None])
    influence = np.nan_to_num((column - mean) @ slope).reshape(n_chains, n_samples, -1)
    chains = Samples(statistics=influence, species=samples.species[:, :0], final=samples.final, acceptance=1.0)
    return ObservableTable(
        names=measurement.names,
        value=measurement.derive(mean, np.asarray(couplings, dtype=np.float64), np.asarray(ratio)),
        standard_error=chains.standard_error,
        effective_sample_size=chains.effective_sample_size,
    )
