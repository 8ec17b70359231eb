"""What each further site of an image tells about the couplings, and the errors to expect from so many sites."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.estimation.estimate import CouplingEstimate
from tusi.generative.lattice.compilation import lattice_system
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.lattice.sites import LatticeSites
from tusi.generative.lattice.system import LatticeSystem
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.exchange import Exchange
from tusi.generative.montecarlo.plan import Sampler, SamplingPlan

N_BLOCKS = 5
"""Blocks of each chain whose disagreement gives the error of an information."""

UNKNOWN = 1e-10
"""Smallest share of the largest information that counts as any."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Condition:
    """Where structures are simulated to see what they would tell: a piece of crystal, a composition, a temperature.

    Attributes
    ----------
    sites
        A periodic piece of crystal, wider than the correlations reach; the information of each of its sites counts.
    composition
        Fraction of each species, kept fixed; None where the model's fields say it.
    temperature_ratio
        Reference temperature over the condition's: all couplings are multiplied by it.
    sampler
        The moves; a heat bath, or exchanges where the composition is fixed.
    plan
        How many arrangements are drawn.
    name
        What to call it.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, periodic_sites
    >>> print(Condition(sites=periodic_sites(SQUARE, (8, 8)), composition=(0.75, 0.25), temperature_ratio=0.5))
    composition 0.75, 0.25, T = 2 x reference
    """

    sites: LatticeSites
    composition: tuple[float, ...] | None = None
    temperature_ratio: float = 1.0
    sampler: Sampler | None = None
    plan: SamplingPlan = SamplingPlan(n_samples=2000, n_chains=4, burn_in=200)
    name: str = ""

    def __post_init__(self) -> None:
        if not np.isfinite(self.temperature_ratio) or self.temperature_ratio <= 0:
            raise InputError("temperature_ratio", expected="a positive number", got=str(self.temperature_ratio))
        if self.composition is not None:
            fractions = np.asarray(self.composition, dtype=np.float64)
            if not np.isfinite(fractions).all() or fractions.min() < 0 or abs(fractions.sum() - 1) > 1e-6:
                raise InputError("composition", expected="fractions that sum to 1", got=str(self.composition))

    def __str__(self) -> str:
        if self.name:
            return self.name
        fractions = "" if self.composition is None else f"composition {', '.join(f'{x:.3g}' for x in self.composition)}"
        parts = [fractions, f"T = {1 / self.temperature_ratio:.4g} x reference"]
        return ", ".join(part for part in parts if part)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StatisticsAt:
    """Statistics of arrangements drawn at one condition, for one model or several.

    Attributes
    ----------
    statistics
        Of all models, one after the other.
    owner
        Number of the model that each column belongs to.
    n_sites
        Random sites.
    """

    statistics: Float[np.ndarray, "chain sample column"]
    owner: Int[np.ndarray, " column"]
    n_sites: int

    @property
    def covariance(self) -> Float[np.ndarray, "column column"]:
        """Covariance of the statistics per site."""
        return _covariance(self.statistics.reshape(-1, self.statistics.shape[2])) / self.n_sites

    @property
    def blocks(self) -> Float[np.ndarray, "block column column"]:
        """The same covariance from each block of each chain, about the common mean."""
        centred = self.statistics - self.statistics.mean(axis=(0, 1))
        length = centred.shape[1] // N_BLOCKS
        parts = centred[:, : length * N_BLOCKS].reshape(-1, length, centred.shape[2])
        return np.einsum("bsi,bsj->bij", parts, parts) / (length * self.n_sites)


def statistics_at(
    models: Sequence[LatticeModel],
    couplings: Float[np.ndarray, " parameter"],
    *,
    condition: Condition,
    rng: np.random.Generator,
) -> StatisticsAt:
    """Draw arrangements of the first model at a condition and count what all models count.

    Parameters
    ----------
    models
        The model that is true, then others on the same species.
    couplings
        Couplings of the first model, in kT of the reference temperature.
    condition
        Where.
    rng
        Source of randomness.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, periodic_sites
    >>> where = Condition(sites=periodic_sites(SQUARE, (12, 12)))
    >>> drawn = statistics_at([ising(field=False)], np.array([0.0]), condition=where, rng=np.random.default_rng(1))
    >>> bool(abs(drawn.covariance[0, 0] - 2) < 0.2)
    True
    """
    systems = [lattice_system(model, condition.sites, reach=models) for model in models]
    weights = condition.temperature_ratio * models[0].check_couplings(couplings) if models[0].terms else np.zeros(0)
    plan = dataclasses.replace(condition.plan, keep_species=len(models) > 1)
    sampler = condition.sampler
    if condition.composition is not None:
        plan = dataclasses.replace(plan, start=_arrangements(systems[0], condition, rng))
        sampler = sampler or Exchange()
    samples = draw_samples(systems[0], weights, rng=rng, sampler=sampler, plan=plan)
    counted = [samples.statistics, *(system.statistics(samples.species) for system in systems[1:])]
    return StatisticsAt(
        statistics=np.concatenate(counted, axis=2),
        owner=np.repeat(np.arange(len(models)), [one.shape[2] for one in counted]),
        n_sites=int(systems[0].free.sum()),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ExpectedError:
    """Smallest standard errors that any estimator can have, by the number of sites.

    Attributes
    ----------
    parameters, couplings
        Names of the couplings, and where the information was computed, in kT.
    information
        Fisher information of one site.
    information_error
        Its standard error from the finite number of samples.
    n_sites
        Numbers of sites.
    standard_error
        Of each coupling, in kT; infinite where sites tell nothing.
    """

    parameters: tuple[str, ...]
    couplings: Float[np.ndarray, " parameter"]
    information: Float[np.ndarray, "parameter parameter"]
    information_error: Float[np.ndarray, "parameter parameter"]
    n_sites: Float[np.ndarray, " number"]
    standard_error: Float[np.ndarray, "number parameter"]

    @property
    def reliable(self) -> bool:
        """Whether the samples agree on each coupling's information to a tenth; chains that do not mix fail this."""
        return bool((np.diag(self.information_error) <= 0.1 * np.diag(self.information)).all())

    @property
    def correlation(self) -> Float[np.ndarray, "parameter parameter"]:
        """Correlation of the errors of the couplings."""
        covariance = _inverse(self.information)
        width = np.sqrt(np.diag(covariance))
        return covariance / np.outer(width, width)

    def at(self, n_sites: float) -> Float[np.ndarray, " parameter"]:
        """Return the standard errors to expect from so many sites."""
        return np.sqrt(np.diag(_inverse(self.information)) / n_sites)

    def sites_for(self, relative: float = 0.05) -> Float[np.ndarray, " parameter"]:
        """Return how many sites give each coupling this relative error; infinite for couplings of zero."""
        if relative <= 0:
            raise InputError("relative", expected="a positive fraction", got=str(relative))
        with np.errstate(divide="ignore"):
            return np.diag(_inverse(self.information)) / (relative * self.couplings) ** 2


def expected_error(
    model: LatticeModel,
    couplings: Float[np.ndarray, " parameter"],
    *,
    condition: Condition,
    rng: np.random.Generator,
    n_sites: Sequence[float] = (100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000),
) -> ExpectedError:
    """Return the standard errors of the couplings to expect from so many sites.

    The Fisher information of the couplings is the covariance of their statistics; it grows in proportion to the sites
    once the image is wider than the correlations. Maximum likelihood reaches it.

    Parameters
    ----------
    model
        The Hamiltonian.
    couplings
        About what the couplings are, in kT of the reference temperature.
    condition
        Crystal, composition and temperature of the images to come.
    rng
        Source of randomness.
    n_sites
        Numbers of random sites.

    Returns
    -------
    ExpectedError
        Errors by number of sites, and the sites for a wanted error.

    Raises
    ------
    InputError
        A number of sites that is not positive, or couplings that do not fit the model.

    References
    ----------
    L. Onsager, Phys. Rev. 65, 117 (1944), for the square Ising model, where the information is the specific heat.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising, periodic_sites
    >>> where = Condition(sites=periodic_sites(SQUARE, (16, 16)))
    >>> found = expected_error(ising(field=False), np.array([0.1]), condition=where, rng=np.random.default_rng(1))
    >>> bool(15000 < found.sites_for(0.05)[0] < 21000)
    True
    """
    numbers = np.asarray(n_sites, dtype=np.float64)
    if not model.terms:
        raise InputError("model", expected="at least one coupling", got=model.name)
    if numbers.ndim != 1 or not (numbers > 0).all():
        raise InputError("n_sites", expected="positive numbers of sites", got=str(n_sites))
    drawn = statistics_at([model], couplings, condition=condition, rng=rng)
    squared = condition.temperature_ratio**2
    information, blocks = squared * drawn.covariance, squared * drawn.blocks
    variance = np.diag(_inverse(information))
    return ExpectedError(
        parameters=model.parameters,
        couplings=model.check_couplings(couplings),
        information=information,
        information_error=blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks)),
        n_sites=numbers,
        standard_error=np.sqrt(variance / numbers[:, None]),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ErrorAgainstSites:
    """Errors that estimates reached as images arrived, beside the smallest possible ones.

    Attributes
    ----------
    parameters
        Names of the couplings.
    n_sites
        Random sites of each estimate.
    obtained, expected
        Standard errors, in kT.
    """

    parameters: tuple[str, ...]
    n_sites: Float[np.ndarray, " estimate"]
    obtained: Float[np.ndarray, "estimate parameter"]
    expected: Float[np.ndarray, "estimate parameter"]

    @property
    def ratio(self) -> Float[np.ndarray, "estimate parameter"]:
        """Obtained over expected error: 1 at the limit, more where labels or borders cost information."""
        return self.obtained / self.expected

    def sites_for(self, error: float) -> Float[np.ndarray, " parameter"]:
        """Return how many sites will give this error, in kT, if the errors go on as the last estimate's."""
        return self.n_sites[-1] * (self.obtained[-1] / error) ** 2

    def __str__(self) -> str:
        last = ", ".join(
            f"{name} +- {now:.3g} kT ({now / best:.2f} x the limit)"
            for name, now, best in zip(self.parameters, self.obtained[-1], self.expected[-1], strict=True)
        )
        return f"{self.n_sites[-1]:.0f} sites: {last}"


def error_against_sites(estimates: Sequence[CouplingEstimate], *, expected: ExpectedError) -> ErrorAgainstSites:
    """Put the errors of estimates from more and more images beside those to expect.

    Parameters
    ----------
    estimates
        Estimates of one model, in the order in which the images came.
    expected
        The limit, of the same model.

    Returns
    -------
    ErrorAgainstSites
        Both curves, and how many sites a wanted error takes.

    Raises
    ------
    InputError
        No estimates, or couplings of another model.

    Examples
    --------
    >>> from tusi.generative.estimation import Pseudolikelihood, estimate_couplings, observe
    >>> from tusi.generative.lattice import SQUARE, ising, periodic_sites
    >>> rng = np.random.default_rng(1)
    >>> model, sites = ising(field=False), periodic_sites(SQUARE, (20, 20))
    >>> images = [observe(sites, rng.integers(0, 2, 400)) for _ in range(4)]
    >>> fits = [
    ...     estimate_couplings(images[:n], model, rng=rng, method=Pseudolikelihood(), composition="model")
    ...     for n in (1, 2, 4)
    ... ]
    >>> limit = expected_error(model, np.zeros(1), condition=Condition(sites=sites), rng=rng)
    >>> bool(np.all(abs(error_against_sites(fits, expected=limit).ratio - 1) < 0.25))
    True
    """
    if not estimates or any(one.parameters != expected.parameters for one in estimates):
        raise InputError(
            "estimates", expected=f"at least one, of {expected.parameters}", got=f"{len(estimates)}, or another model's"
        )
    n_sites = np.array([float(one.n_sites) for one in estimates])
    return ErrorAgainstSites(
        parameters=expected.parameters,
        n_sites=n_sites,
        obtained=np.stack([one.standard_error for one in estimates]),
        expected=np.stack([expected.at(n) for n in n_sites]),
    )


def _arrangements(system: LatticeSystem, condition: Condition, rng: np.random.Generator) -> np.ndarray:
    """Return random arrangements of the condition's composition, one for each chain."""
    fractions = np.asarray(condition.composition, dtype=np.float64)
    if len(fractions) != system.n_species:
        raise InputError("composition", expected=f"{system.n_species} fractions", got=str(condition.composition))
    ends = np.round(np.cumsum(fractions) * system.n_sites).astype(np.int64)
    species = np.searchsorted(ends, np.arange(system.n_sites), side="right").astype(np.int8)
    return np.stack([rng.permutation(species) for _ in range(condition.plan.n_chains)])


def _covariance(rows: np.ndarray) -> np.ndarray:
    """Return the covariance of rows about their mean."""
    centred = rows - rows.mean(axis=0)
    return centred.T @ centred / len(rows)


def _inverse(information: np.ndarray) -> np.ndarray:
    """Return the inverse; infinite variances where a direction has no information."""
    size, direction = np.linalg.eigh(information)
    known = size > UNKNOWN * max(size.max(initial=0.0), 1e-300)
    inverse = (direction[:, known] / size[known]) @ direction[:, known].T
    blind = (np.abs(direction[:, ~known]) > 1e-6).any(axis=1)
    inverse[np.diag_indices_from(inverse)] += np.where(blind, np.inf, 0.0)
    return inverse
