"""What a fitted model predicts of an observable at any composition and temperature, and how it depends on couplings."""

import abc
import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError
from tusi.generative.lattice.compilation import lattice_system
from tusi.generative.lattice.crystal import Crystal
from tusi.generative.lattice.sites import periodic_sites
from tusi.generative.montecarlo.draw import draw_samples
from tusi.generative.montecarlo.exchange import Exchange
from tusi.generative.montecarlo.plan import SamplingPlan
from tusi.generative.prediction.conditions import FittedModel, arrangements_of
from tusi.generative.prediction.measurement import Measurement
from tusi.generative.prediction.order import UniformOrder


class ThermodynamicMean(abc.ABC):
    """A prior mean over conditions with its dependence on uncertain couplings."""

    @abc.abstractmethod
    def predict(
        self, conditions: Float[np.ndarray, "point axis"], *, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, "point direction"]]:
        """Return the mean at each condition, and what a standard error along each axis of the posterior adds to it.

        Parameters
        ----------
        conditions
            Composition and temperature.
        rng
            Source of randomness.
        """


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedMean(ThermodynamicMean):
    """An observable of a fitted model, by simulation at each (composition, temperature).

    Canonical Monte Carlo of a periodic crystal; the slope along the couplings is the covariance of the observable with
    the sufficient statistics, `d<O>/dw_k = -<O T_k>_c / t`, to first order in the couplings' error.

    Attributes
    ----------
    fitted
        Model and couplings, in kT at the reference temperature.
    crystal
        The crystal.
    observable
        "energy" per site in kT at the reference temperature, or "short-range order k".
    size
        Cells along each direction.
    plan
        Length of the simulations.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising
    >>> fitted = FittedModel(model=ising(field=False), value=np.array([0.2]), covariance=np.array([[1e-4]]))
    >>> mean = SimulatedMean(fitted=fitted, crystal=SQUARE, observable="short-range order 1", size=8)
    >>> value, slope = mean.predict(np.array([[0.5, 1.0]]), rng=np.random.default_rng(1))
    >>> bool(0.15 < value[0] < 0.3), slope.shape
    (True, (1, 1))
    """

    fitted: FittedModel
    crystal: Crystal
    observable: str = "short-range order 1"
    size: int = 24
    plan: SamplingPlan = SamplingPlan(n_samples=400, n_chains=4, burn_in=100, spacing=1, keep_species=True)

    def __post_init__(self) -> None:
        kind, _, shell = self.observable.rpartition(" ")
        if self.observable != "energy" and not (kind == "short-range order" and shell.isdigit() and int(shell) > 0):
            raise InputError("observable", expected='"energy" or "short-range order k"', got=repr(self.observable))

    def predict(
        self, conditions: Float[np.ndarray, "point axis"], *, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, "point direction"]]:
        """Return the mean at each condition, and what a standard error along each axis of the posterior adds to it."""
        _check_conditions(conditions)
        shells = 0 if self.observable == "energy" else int(self.observable.split()[-1])
        sites = periodic_sites(self.crystal, (self.size,) * self.crystal.n_translations)
        system = lattice_system(self.fitted.model, sites)
        measurement = Measurement(
            system=system, sites=sites, species=self.fitted.model.species, order=UniformOrder(), shells=shells
        )
        plan = dataclasses.replace(self.plan, keep_species=True)
        value, slope = [], []
        for fraction, ratio in conditions:
            start = arrangements_of(system, fraction, n_replicas=plan.n_chains, rng=rng)
            couplings = self.fitted.value / ratio
            samples = draw_samples(
                system, couplings, rng=rng, sampler=Exchange(), plan=dataclasses.replace(plan, start=start)
            )
            rows = samples.statistics.reshape(-1, len(couplings))
            if shells:
                column = measurement.columns(samples.species.reshape(len(rows), -1), rows)[:, -1]
                held = float(start[0].mean())
                series = 1.0 - column / (2.0 * held * (1.0 - held))
            else:
                series = rows @ self.fitted.value / system.n_sites
            response = -((series - series.mean()) @ (rows - rows.mean(axis=0))) / (len(rows) * ratio)
            if not shells:
                response = response + rows.mean(axis=0) / system.n_sites
            value.append(series.mean())
            slope.append(response @ self.fitted.factor)
        return np.array(value), np.array(slope)


def _check_conditions(conditions: np.ndarray) -> None:
    if conditions.ndim != 2 or conditions.shape[1] != 2 or not np.isfinite(conditions).all():
        raise InputError("conditions", expected="rows of composition and temperature", got=str(np.shape(conditions)))
    if ((conditions[:, 0] <= 0) | (conditions[:, 0] >= 1) | (conditions[:, 1] <= 0)).any():
        raise InputError(
            "conditions",
            expected="compositions between 0 and 1 and positive temperatures",
            got=str(conditions.tolist()),
        )
