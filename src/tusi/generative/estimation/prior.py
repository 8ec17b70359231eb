"""What is believed of the couplings before the images are seen, in kT."""

import abc
import dataclasses
import types
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError


def _check(name: str, value: float, *, positive: bool = False) -> None:
    """Make sure that a number of a prior is finite, and positive where it must be."""
    if not np.isfinite(value) or (positive and value <= 0):
        raise InputError(name, expected="a positive finite number" if positive else "a finite number", got=str(value))


class Prior(abc.ABC):
    """The density of one coupling before the data; each is a frozen object that holds its own numbers, in kT."""

    @property
    @abc.abstractmethod
    def mean_and_deviation(self) -> tuple[float, float]:
        """Mean and standard deviation."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Ends of the interval outside of which the density is zero."""
        return (-np.inf, np.inf)

    @abc.abstractmethod
    def log_density(self, value: Float[np.ndarray, "*batch"] | float) -> Float[np.ndarray, "*batch"]:
        """Return the normalised log density; -inf outside the bounds."""

    @abc.abstractmethod
    def gradient(self, value: Float[np.ndarray, "*batch"] | float) -> Float[np.ndarray, "*batch"]:
        """Return the derivative of the log density, 0 where it has none."""

    @abc.abstractmethod
    def sample(self, n_draws: int, *, rng: np.random.Generator) -> Float[np.ndarray, " draw"]:
        """Return independent draws."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalPrior(Prior):
    """A Gaussian.

    Attributes
    ----------
    mean, width
        Mean and standard deviation, in kT.

    Examples
    --------
    >>> round(float(NormalPrior(width=2.0).log_density(2.0)), 4)
    -2.1121
    """

    mean: float = 0.0
    width: float = 1.0

    def __post_init__(self) -> None:
        _check("mean", self.mean)
        _check("width", self.width, positive=True)

    @property
    def mean_and_deviation(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        return self.mean, self.width

    def log_density(self, value: Float[np.ndarray, "*batch"] | float) -> Float[np.ndarray, "*batch"]:
        """Return the normalised log density."""
        scaled = (np.asarray(value, dtype=np.float64) - self.mean) / self.width
        return np.asarray(-0.5 * scaled**2 - np.log(self.width * np.sqrt(2 * np.pi)))

    def gradient(self, value: Float[np.ndarray, "*batch"] | float) -> Float[np.ndarray, "*batch"]:
        """Return the derivative of the log density."""
        return np.asarray((self.mean - np.asarray(value, dtype=np.float64)) / self.width**2)

    def sample(self, n_draws: int, *, rng: np.random.Generator) -> Float[np.ndarray, " draw"]:
        """Return independent draws."""
        return rng.normal(self.mean, self.width, size=n_draws)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaplacePrior(Prior):
    """A double exponential: most couplings near the mean, a few far away.

    Attributes
    ----------
    mean, width
        Mean, and mean absolute distance from it, in kT.

    Examples
    --------
    >>> round(float(LaplacePrior(width=0.5).log_density(1.0)), 4)
    -2.0
    """

    mean: float = 0.0
    width: float = 1.0

    def __post_init__(self) -> None:
        _check("mean", self.mean)
        _check("width", self.width, positive=True)

    @property
    def mean_and_deviation(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        return self.mean, float(np.sqrt(2.0) * self.width)

    def log_density(self, value: Float[np.ndarray, "*batch"] | float) -> Float[np.ndarray, "*batch"]:
        """Return the normalised log density."""
        distance = np.abs(np.asarray(value, dtype=np.float64) - self.mean)
        return np.asarray(-distance / self.width - np.log(2 * self.width))

    def gradient(self, value: Float[np.ndarray, "*batch"] | float) -> Float[np.ndarray, "*batch"]:
        """Return the derivative of the log density."""
        return np.asarray(np.sign(self.mean - np.asarray(value, dtype=np.float64)) / self.width)

    def sample(self, n_draws: int, *, rng: np.random.Generator) -> Float[np.ndarray, " draw"]:
        """Return independent draws."""
        return rng.laplace(self.mean, self.width, size=n_draws)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniformPrior(Prior):
    """The same density between two bounds, none outside.

    Attributes
    ----------
    low, high
        Bounds, in kT.

    Examples
    --------
    >>> UniformPrior(low=0.0, high=2.0).log_density(np.array([1.0, 3.0])).round(4).tolist()
    [-0.6931, -inf]
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check("low", self.low)
        _check("high", self.high)
        if self.high <= self.low:
            raise InputError("high", expected=f"more than low = {self.low}", got=str(self.high))

    @property
    def mean_and_deviation(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        return (self.low + self.high) / 2, float((self.high - self.low) / np.sqrt(12.0))

    @property
    def bounds(self) -> tuple[float, float]:
        """Ends of the interval outside of which the density is zero."""
        return (self.low, self.high)

    def log_density(self, value: Float[np.ndarray, "*batch"] | float) -> Float[np.ndarray, "*batch"]:
        """Return the normalised log density."""
        value = np.asarray(value, dtype=np.float64)
        return np.where((value >= self.low) & (value <= self.high), -np.log(self.high - self.low), -np.inf)

    def gradient(self, value: Float[np.ndarray, "*batch"] | float) -> Float[np.ndarray, "*batch"]:
        """Return the derivative of the log density."""
        return np.zeros_like(np.asarray(value, dtype=np.float64))

    def sample(self, n_draws: int, *, rng: np.random.Generator) -> Float[np.ndarray, " draw"]:
        """Return independent draws."""
        return rng.uniform(self.low, self.high, size=n_draws)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Priors:
    """Independent priors of all couplings of a model, by name.

    Attributes
    ----------
    by_name
        Priors of the couplings that have their own.
    default
        The prior of all others.

    Examples
    --------
    >>> priors = Priors(by_name={"K": UniformPrior(low=0.0, high=0.5)})
    >>> priors.of(["K", "h"]).log_density(np.array([0.1, 0.0])).round(4).tolist()
    -0.2258
    """

    by_name: Mapping[str, Prior] = dataclasses.field(default_factory=dict)
    default: Prior = NormalPrior()

    def __post_init__(self) -> None:
        for name, prior in (*self.by_name.items(), ("default", self.default)):
            if not isinstance(prior, Prior):
                raise InputError("by_name", expected="a prior such as NormalPrior()", got=f"{prior!r} for {name}")
        object.__setattr__(self, "by_name", types.MappingProxyType(dict(self.by_name)))

    def __repr__(self) -> str:
        return f"Priors(by_name={dict(self.by_name)!r}, default={self.default!r})"

    def __reduce__(self) -> tuple:
        """Survive the journey between worker processes."""
        return (_rebuild, (dict(self.by_name), self.default))

    def of(self, parameters: Sequence[str]) -> "JointPrior":
        """Return the joint prior of these couplings, in this order.

        Raises
        ------
        InputError
            A coupling that has its own prior is not among them.
        """
        unknown = sorted(set(self.by_name) - set(parameters))
        if unknown:
            raise InputError("by_name", expected=f"names among {tuple(parameters)}", got=", ".join(unknown))
        return JointPrior(
            parameters=tuple(parameters), marginals=tuple(self.by_name.get(name, self.default) for name in parameters)
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointPrior:
    """The product of one prior for each coupling.

    Attributes
    ----------
    parameters
        Names of the couplings.
    marginals
        Their priors.

    Examples
    --------
    >>> JointPrior(parameters=("K",), marginals=(NormalPrior(width=2.0),)).gradient(np.array([1.0])).tolist()
    [-0.25]
    """

    parameters: tuple[str, ...]
    marginals: tuple[Prior, ...]

    @property
    def mean(self) -> Float[np.ndarray, " parameter"]:
        """Mean of each coupling, in kT."""
        return np.array([prior.mean_and_deviation[0] for prior in self.marginals])

    @property
    def covariance(self) -> Float[np.ndarray, "parameter parameter"]:
        """Covariance of the couplings, in kT squared."""
        return np.diag([prior.mean_and_deviation[1] ** 2 for prior in self.marginals])

    @property
    def bounds(self) -> Float[np.ndarray, "2 parameter"]:
        """Lowest and highest value of each coupling, in kT."""
        return np.array([prior.bounds for prior in self.marginals]).reshape(-1, 2).T

    def log_density(self, couplings: Float[np.ndarray, "*batch parameter"]) -> Float[np.ndarray, "*batch"]:
        """Return the normalised log density."""
        columns = np.moveaxis(np.asarray(couplings, dtype=np.float64), -1, 0)
        parts = [prior.log_density(x) for prior, x in zip(self.marginals, columns, strict=True)]
        return np.asarray(np.sum(parts, axis=0))

    def gradient(self, couplings: Float[np.ndarray, "*batch parameter"]) -> Float[np.ndarray, "*batch parameter"]:
        """Return the gradient of the log density."""
        columns = np.moveaxis(np.asarray(couplings, dtype=np.float64), -1, 0)
        return np.stack([prior.gradient(x) for prior, x in zip(self.marginals, columns, strict=True)], axis=-1)

    def sample(self, n_draws: int, *, rng: np.random.Generator) -> Float[np.ndarray, "draw parameter"]:
        """Return independent draws."""
        return np.stack([prior.sample(n_draws, rng=rng) for prior in self.marginals], axis=-1)


def _rebuild(by_name: dict[str, Prior], default: Prior) -> Priors:
    return Priors(by_name=by_name, default=default)
