"""What predictions start from: couplings with their uncertainty, and the conditions that are asked about."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from tusi.errors import InputError
from tusi.generative.lattice.crystal import Crystal
from tusi.generative.lattice.model import LatticeModel
from tusi.generative.lattice.system import LatticeSystem


@runtime_checkable
class Estimated(Protocol):
    """What a fit of couplings must tell."""

    @property
    def value(self) -> Float[np.ndarray, " parameter"]:
        """Couplings, in kT."""
        ...

    @property
    def covariance(self) -> Float[np.ndarray, "parameter parameter"]:
        """Their covariance."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FittedModel:
    """A model with what is known of its couplings, in kT at the reference temperature.

    Attributes
    ----------
    model
        The Hamiltonian.
    value
        Couplings.
    covariance
        Their covariance; zero where they are taken as known.
    draws
        Draws of the posterior where it is not normal; drawn from `value` and `covariance` by default.

    Examples
    --------
    >>> from tusi.generative.lattice import ising
    >>> model = ising(field=False)
    >>> posterior = FittedModel(model=model, value=np.array([0.4]), covariance=np.array([[1e-4]]))
    >>> posterior.sample(3, rng=np.random.default_rng(1)).round(3).ravel().tolist()
    [0.403, 0.408, 0.403]
    """

    model: LatticeModel
    value: Float[np.ndarray, " parameter"]
    covariance: Float[np.ndarray, "parameter parameter"]
    draws: Float[np.ndarray, "draw parameter"] | None = None

    def __post_init__(self) -> None:
        value = self.model.check_couplings(self.value)
        covariance = np.atleast_2d(np.asarray(self.covariance, dtype=np.float64))
        n = len(value)
        if covariance.shape != (n, n) or not np.isfinite(covariance).all():
            raise InputError("covariance", expected=f"a finite {n} x {n} matrix", got=f"shape {covariance.shape}")
        scale = max(float(np.trace(covariance)), 1e-300)
        if not np.allclose(covariance, covariance.T) or np.linalg.eigvalsh(covariance).min(initial=0) < -1e-9 * scale:
            raise InputError(
                "covariance", expected="a symmetric matrix without negative eigenvalues", got=str(covariance)
            )
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "covariance", covariance)
        if self.draws is not None:
            draws = np.asarray(self.draws, dtype=np.float64)
            if draws.ndim != 2 or draws.shape[1] != n or len(draws) < 2 or not np.isfinite(draws).all():
                raise InputError("draws", expected=f"at least two finite rows of {n} couplings", got=str(draws.shape))
            object.__setattr__(self, "draws", draws)

    def sample(self, n: int, *, rng: np.random.Generator) -> Float[np.ndarray, "draw parameter"]:
        """Return draws of the couplings."""
        if self.draws is not None:
            return self.draws[rng.permutation(len(self.draws))[:n] if n <= len(self.draws) else rng.integers(
                len(self.draws), size=n)]  # fmt: skip
        return self.value + rng.standard_normal((n, len(self.value))) @ self.factor.T

    @property
    def factor(self) -> Float[np.ndarray, "parameter parameter"]:
        """A square root L of the covariance, L L^T."""
        size, direction = np.linalg.eigh(self.covariance)
        return direction * np.sqrt(np.maximum(size, 0.0))

    def with_model(self, model: LatticeModel) -> "FittedModel":
        """Return the posterior of a model with more terms, whose additional couplings are zero and known."""
        place = [model.parameters.index(name) for name in self.model.parameters]
        n = len(model.parameters)
        value, covariance = np.zeros(n), np.zeros((n, n))
        value[place] = self.value
        covariance[np.ix_(place, place)] = self.covariance
        draws = None
        if self.draws is not None:
            draws = np.zeros((len(self.draws), n))
            draws[:, place] = self.draws
        return FittedModel(model=model, value=value, covariance=covariance, draws=draws)


def fitted_model(model: LatticeModel, estimate: Estimated) -> FittedModel:
    """Return what a fit says of a model's couplings, as predictions need it.

    Parameters
    ----------
    model
        The fitted Hamiltonian.
    estimate
        Its couplings and their covariance, and `draws` of the posterior where the fit has them.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from tusi.generative.lattice import ising
    >>> fit = SimpleNamespace(value=np.array([0.3]), covariance=np.array([[0.01]]))
    >>> fitted_model(ising(field=False), fit).value.tolist()
    [0.3]
    """
    draws = getattr(estimate, "draws", None)
    return FittedModel(model=model, value=estimate.value, covariance=estimate.covariance, draws=draws)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditions:
    """A grid of temperatures, and of fields or compositions.

    Attributes
    ----------
    crystal
        The crystal whose periodic cells are simulated.
    temperatures
        Temperatures, ascending: relative to the one at which the couplings are known, or in K if that is given.
    reference_temperature
        Temperature (K) at which the couplings are known; temperatures are relative where it is None.
    field
        Coupling that the fields are added to, e.g. "h".
    fields
        Fields, in kT at the reference temperature.
    compositions
        Fractions of species 1 of two, kept while sampling; the composition is free where there are none.

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE
    >>> Conditions(crystal=SQUARE, temperatures=(300.0, 600.0), reference_temperature=300.0).ratios.tolist()
    [1.0, 2.0]
    """

    crystal: Crystal
    temperatures: tuple[float, ...]
    reference_temperature: float | None = None
    field: str | None = None
    fields: tuple[float, ...] = ()
    compositions: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("temperatures", "fields", "compositions"):
            values = tuple(float(v) for v in getattr(self, name))
            if not np.isfinite(values).all() or (np.diff(values) <= 0).any():
                raise InputError(name, expected="finite numbers in ascending order", got=str(values))
            object.__setattr__(self, name, values)
        if len(self.temperatures) < 1 or self.temperatures[0] <= 0:
            raise InputError("temperatures", expected="positive temperatures", got=str(self.temperatures))
        if self.reference_temperature is not None and not self.reference_temperature > 0:
            raise InputError("reference_temperature", expected="a positive number, in K", got="another")
        if self.fields and self.compositions:
            raise InputError("compositions", expected="either fields or compositions", got="both")
        if self.compositions and not (self.compositions[0] > 0 and self.compositions[-1] < 1):
            raise InputError("compositions", expected="fractions between 0 and 1", got=str(self.compositions))
        if self.fields and not self.field:
            raise InputError("field", expected="the name of the coupling that the fields are added to", got="none")

    @property
    def ratios(self) -> Float[np.ndarray, " temperature"]:
        """Temperatures relative to the reference."""
        return np.array(self.temperatures) / (self.reference_temperature or 1.0)

    @property
    def axis(self) -> str:
        """Name of the second axis: "field" or "composition"; empty where there is none."""
        return "composition" if self.compositions else "field" if self.fields else ""

    @property
    def levels(self) -> tuple[float, ...]:
        """Values along the second axis; one zero where there is none."""
        return self.compositions or self.fields or (0.0,)

    def shift(self, model: LatticeModel, level: float) -> Float[np.ndarray, " parameter"]:
        """Return what a value of the second axis adds to the couplings at the reference temperature."""
        added = np.zeros(len(model.parameters))
        if self.fields:
            if self.field not in model.parameters:
                raise InputError("field", expected=f"a coupling among {model.parameters}", got=repr(self.field))
            added[model.parameters.index(self.field)] = level
        return added


def arrangements_of(
    system: LatticeSystem, fraction: float, *, n_replicas: int, rng: np.random.Generator
) -> Int[np.ndarray, "replica site"]:
    """Return random arrangements of two species that hold this fraction of species 1, rounded to whole sites."""
    if system.n_species != 2 or not system.allowed.all():
        raise InputError(
            "compositions", expected="a model of two species that may sit anywhere", got=f"{system.n_species} species"
        )
    n = round(fraction * system.n_sites)
    first = (np.arange(system.n_sites) < n).astype(np.int8)
    return np.stack([rng.permutation(first) for _ in range(n_replicas)])
