"""Gaussian processes over composition and temperature whose mean and kernel come from a fitted lattice model.

A measured value is the model's prediction, plus what the uncertain couplings would change of it, plus a smooth
discrepancy of the model, plus noise. Where the model is right the discrepancy is weighed down; where it lacks a term
the discrepancy takes over, so that intervals stay honest between the measured conditions.
"""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.generative.prediction.thermodynamic_mean import ThermodynamicMean

AMPLITUDES = np.array([0.0, *np.geomspace(0.1, 4.0, 7)])
"""Standard deviations of the discrepancy that are weighed, in units of the spread that the values have."""

NO_DISCREPANCY = 0.25
"""Prior probability that the model lacks nothing; the other amplitudes share the rest alike."""

LENGTHS = np.geomspace(0.3, 3.0, 5)
"""Correlation lengths of the discrepancy that are weighed, in units of the range of each axis."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ProcessPrediction(Record):
    """An observable at unmeasured conditions.

    Attributes
    ----------
    condition
        Composition and temperature.
    mean, standard_deviation
        Of the true value there.
    interval
        95 % interval.
    model_mean
        What the fitted model alone predicts.
    model_standard_deviation
        Its uncertainty from the couplings alone.
    discrepancy
        Posterior mean of what the model lacks.
    """

    format_name: ClassVar[str] = "process-prediction"
    row: ClassVar[str] = "point"

    condition: Float[np.ndarray, "point axis"] = array("point", "axis")
    mean: Float[np.ndarray, " point"] = array("point")
    standard_deviation: Float[np.ndarray, " point"] = array("point")
    interval: Float[np.ndarray, "point 2"] = array("point", "bound")
    model_mean: Float[np.ndarray, " point"] = array("point")
    model_standard_deviation: Float[np.ndarray, " point"] = array("point")
    discrepancy: Float[np.ndarray, " point"] = array("point")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ThermodynamicProcess:
    """A Gaussian process conditioned on measured values; hyperparameters are weighed, not chosen.

    Attributes
    ----------
    model
        Mean function and its dependence on the couplings.
    condition, value, variance
        What was measured, with the variance of its noise.
    mean, slope
        The model's prediction there and its slope along the posterior of the couplings.
    hyperparameter
        Amplitude of the discrepancy and its length along each axis, per combination.
    weight
        Posterior probability of each combination.
    """

    model: ThermodynamicMean
    condition: Float[np.ndarray, "point axis"]
    value: Float[np.ndarray, " point"]
    variance: Float[np.ndarray, " point"]
    mean: Float[np.ndarray, " point"]
    slope: Float[np.ndarray, "point direction"]
    hyperparameter: Float[np.ndarray, "combination hyperparameter"]
    weight: Float[np.ndarray, " combination"]

    @property
    def amplitude(self) -> float:
        """Posterior root mean square of the discrepancy's standard deviation, in the unit of the values."""
        return float(np.sqrt(self.weight @ self.hyperparameter[:, 0] ** 2))

    @property
    def no_discrepancy_probability(self) -> float:
        """Posterior probability that the model lacks nothing; `NO_DISCREPANCY` before the data."""
        return float(self.weight[self.hyperparameter[:, 0] == 0].sum())

    def predict(self, condition: Float[np.ndarray, "point axis"], *, rng: np.random.Generator) -> ProcessPrediction:
        """Return the observable at unmeasured conditions.

        Parameters
        ----------
        condition
            Composition and temperature.
        rng
            Source of randomness of the model's simulation.
        """
        mean, slope = self.model.predict(condition, rng=rng)
        scale = _axis_scale(self.condition)
        measured = np.concatenate([self.condition / scale, self.slope], axis=1)
        wanted = np.concatenate([condition / scale, slope], axis=1)
        each, spread, lacking = _conditioned(
            self.hyperparameter, measured, (self.value - self.mean, self.variance), wanted
        )
        centre = self.weight @ each
        variance = self.weight @ (spread + each**2) - centre**2
        return ProcessPrediction(
            condition=condition,
            mean=mean + centre,
            standard_deviation=np.sqrt(variance),
            interval=mean[:, None] + _mixture_interval(self.weight, each, np.sqrt(spread)),
            model_mean=mean,
            model_standard_deviation=np.sqrt((slope**2).sum(axis=1)),
            discrepancy=self.weight @ lacking,
        )


def fit_thermodynamic_process(
    condition: Float[np.ndarray, "point axis"],
    value: Float[np.ndarray, " point"],
    *,
    variance: Float[np.ndarray, " point"],
    model: ThermodynamicMean,
    rng: np.random.Generator,
) -> ThermodynamicProcess:
    """Condition a Gaussian process with a fitted model inside on measured values of an observable.

    The kernel is `J Cov(w) J^T`, what the uncertain couplings add, plus a squared exponential over the conditions for
    what the model lacks, plus the given noise. Amplitude and lengths of the discrepancy are weighed by marginal
    likelihood over a grid, a quarter of the prior on no discrepancy: with three or four points there is nothing to
    optimise, and an average over what is possible keeps intervals honest.

    Parameters
    ----------
    condition
        Composition (fraction of species 1) and temperature of each measurement.
    value
        Measured observable.
    variance
        Variance of its noise, e.g. from the finite window.
    model
        The fitted model's prediction; values that the couplings were fitted to may be among `value` if their noise is
        independent, else the couplings' uncertainty is counted as too small.
    rng
        Source of randomness of the model's simulation.

    Returns
    -------
    ThermodynamicProcess
        Predicts at other conditions.

    Raises
    ------
    InputError
        Arrays that do not fit, or a variance that is not positive.

    References
    ----------
    C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (MIT Press, 2006).
    M. C. Kennedy and A. O'Hagan, J. R. Stat. Soc. B 63, 425 (2001).

    Examples
    --------
    >>> from tusi.generative.lattice import SQUARE, ising
    >>> from tusi.generative.prediction import FittedModel, SimulatedMean
    >>> fitted = FittedModel(model=ising(field=False), value=np.array([0.2]), covariance=np.array([[1e-4]]))
    >>> model = SimulatedMean(fitted=fitted, crystal=SQUARE, size=8)
    >>> measured = np.array([[0.3, 1.0], [0.5, 1.0], [0.7, 1.0]])
    >>> rng = np.random.default_rng(1)
    >>> process = fit_thermodynamic_process(
    ...     measured, np.array([0.17, 0.2, 0.18]), variance=np.full(3, 0.02**2), model=model, rng=rng
    ... )
    >>> prediction = process.predict(np.array([[0.4, 1.0]]), rng=rng)
    >>> bool(0.1 < prediction.mean[0] < 0.3)
    True
    """
    condition = np.asarray(condition, dtype=np.float64)
    value, variance = np.asarray(value, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    n = len(condition)
    if value.shape != (n,) or not np.isfinite(value).all() or n < 2:
        raise InputError("value", expected=f"{n} finite numbers, at least two", got=f"shape {value.shape}")
    if variance.shape != (n,) or not np.isfinite(variance).all() or not (variance > 0).all():
        raise InputError("variance", expected=f"{n} positive numbers", got=str(variance))
    mean, slope = model.predict(condition, rng=rng)
    spread = float(np.sqrt(np.mean((value - value.mean()) ** 2) + np.mean(variance) + np.mean((value - mean) ** 2)))
    lengths = np.stack([axis.ravel() for axis in np.meshgrid(*(LENGTHS,) * condition.shape[1])], axis=1)
    rows = [np.concatenate([[0.0], np.ones(condition.shape[1])])]
    rows += [np.concatenate([[amplitude * spread], length]) for amplitude in AMPLITUDES[1:] for length in lengths]
    hyperparameter = np.array(rows)
    prior = np.full(len(rows), (1.0 - NO_DISCREPANCY) / (len(rows) - 1))
    prior[0] = NO_DISCREPANCY
    scaled = np.concatenate([condition / _axis_scale(condition), slope], axis=1)
    log_weight = _evidence(hyperparameter, scaled, value - mean, variance) + np.log(prior)
    weight = np.exp(log_weight - log_weight.max())
    return ThermodynamicProcess(
        model=model,
        condition=condition,
        value=value,
        variance=variance,
        mean=mean,
        slope=slope,
        hyperparameter=hyperparameter,
        weight=weight / weight.sum(),
    )


def _axis_scale(condition: np.ndarray) -> np.ndarray:
    """Return the range of each axis; that of an axis along which nothing varies is its own size."""
    extent = np.ptp(condition, axis=0)
    return np.where(extent > 0, extent, np.maximum(np.abs(condition[0]), 1e-6))


def _evidence(hyperparameter: np.ndarray, rows: np.ndarray, residual: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the log marginal likelihood of each combination of hyperparameters."""
    import jax

    with jax.enable_x64(True):
        evidence, _ = _compiled(hyperparameter.shape[1] - 1)
        return np.array(evidence(hyperparameter, rows, residual, variance))


def _conditioned(
    hyperparameter: np.ndarray, rows: np.ndarray, data: tuple[np.ndarray, np.ndarray], wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean and variance at the wanted rows, and the discrepancy's mean, for each combination."""
    import jax

    with jax.enable_x64(True):
        _, condition = _compiled(hyperparameter.shape[1] - 1)
        found = condition(hyperparameter, rows, *data, wanted)
    mean, variance, lacking = (np.array(part) for part in found)
    return mean, np.maximum(variance, 0.0), lacking


@functools.cache
def _compiled(n_axes: int):
    """Return the compiled evidence and conditioning for all combinations at once."""
    import jax
    import tinygp

    first: Any = slice(0, n_axes)
    rest: Any = slice(n_axes, None)

    def process(parameter, rows, variance):
        scaled = tinygp.transforms.Linear(1.0 / parameter[1:], tinygp.kernels.ExpSquared())
        discrepancy = parameter[0] ** 2 * tinygp.transforms.Subspace(first, scaled)
        couplings = tinygp.transforms.Subspace(rest, tinygp.kernels.DotProduct())
        return tinygp.GaussianProcess(discrepancy + couplings, rows, diag=variance), discrepancy

    def evidence(parameter, rows, residual, variance):
        return process(parameter, rows, variance)[0].log_probability(residual)

    def conditioned(parameter, rows, residual, variance, wanted):
        whole, discrepancy = process(parameter, rows, variance)
        found = whole.condition(residual, wanted).gp
        return found.loc, found.variance, whole.condition(residual, wanted, kernel=discrepancy).gp.loc

    over = (0, None, None, None)
    return jax.jit(jax.vmap(evidence, in_axes=over)), jax.jit(jax.vmap(conditioned, in_axes=(*over, None)))


def _mixture_interval(weight: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return the 2.5 and 97.5 % points of a mixture of normal distributions at each place."""
    from scipy.special import ndtr

    low = (mean - 8 * deviation).min(axis=0)
    high = (mean + 8 * deviation).max(axis=0)
    bounds = []
    for probability in (0.025, 0.975):
        a, b = low.copy(), high.copy()
        for _ in range(60):
            middle = (a + b) / 2
            below = weight @ ndtr((middle - mean) / np.maximum(deviation, 1e-300))
            a, b = np.where(below < probability, middle, a), np.where(below < probability, b, middle)
        bounds.append((a + b) / 2)
    return np.stack(bounds, axis=-1)
