"""Regression of displacements on waves: marginal likelihood, the best amplitudes and lengths, and the posterior."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float
from scipy import linalg, optimize
from threadpoolctl import threadpool_limits

from tusi.structure.distortion.prior import DistortionPrior, Waves

FLOOR = 1e-9
"""Smallest prior variance of a coefficient, in units of the largest: keeps every solution finite."""

STARTS, MOST_STEPS = (0.35, 0.65), 60
"""Where the search begins between the bounds of the parameters' logarithms, and its steps at most."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Displacements:
    """What one axis offers to the regression.

    Attributes
    ----------
    waves
        Each wave at each atom.
    fixed
        Functions of unknown amplitude: offsets of the lattice and its vectors. Nothing is believed of them before.
    value
        Displacement of each atom, one column for each frame.
    variance
        Variance of each value that is known from finding.
    """

    waves: Float[np.ndarray, "atom wave"]
    fixed: Float[np.ndarray, "atom fixed"]
    value: Float[np.ndarray, "atom frame"]
    variance: Float[np.ndarray, " atom"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AxisPosterior:
    """Posterior of one axis: coefficients of waves and fixed functions, for the best amplitudes and lengths."""

    parameters: Float[np.ndarray, " parameter"]
    disorder: float
    mean: Float[np.ndarray, "coefficient frame"]
    covariance: Float[np.ndarray, "coefficient coefficient"]
    log_evidence: float


def regress(data: Displacements, waves: Waves, *, spacing: float, prior: DistortionPrior) -> AxisPosterior:
    """Return the posterior at the amplitudes, lengths and disorder of largest marginal likelihood.

    The disorder is a variance beyond that of finding which every atom has by itself.
    """
    spread = float(np.sqrt(np.mean(_residual(data.value, data.fixed) ** 2))) or 1.0
    side = float(waves.side.max())
    least = 1e-3 * max(float(np.sqrt(np.median(data.variance))), 1e-3 * spread)
    shortest, scan = prior.shortest * spacing, prior.shortest_scan * spacing
    bounds = [(least, 10 * spread), (shortest, max(prior.longest * side, 2 * shortest))]
    if waves.n_scan:
        bounds += [(least, 10 * spread), (scan, max(prior.longest * side, 2 * scan))]
    bounds.append((least, 2 * spread))
    low, high = np.log(np.array(bounds)).T
    evidence = _Evidence(data=data, waves=waves)
    starts = [low + share * (high - low) for share in STARTS]
    with threadpool_limits(limits=1):
        runs = [
            optimize.minimize(
                evidence, start, jac=True, method="L-BFGS-B", bounds=list(zip(low, high, strict=True)),
                options={"maxiter": MOST_STEPS, "ftol": 1e-7},
            )
            for start in starts
        ]  # fmt: skip
    best = min(runs, key=lambda run: run.fun)
    parameters = np.exp(best.x)
    solved = evidence.solve(parameters)
    return AxisPosterior(
        parameters=parameters[:-1],
        disorder=float(parameters[-1]),
        mean=solved.mean,
        covariance=solved.covariance,
        log_evidence=-float(best.fun),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Solved:
    """Posterior of the coefficients for given parameters."""

    mean: Float[np.ndarray, "coefficient frame"]
    covariance: Float[np.ndarray, "coefficient coefficient"]
    log_determinant: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Evidence:
    """Minus the log marginal likelihood and its gradient, as a function of the logarithms of the parameters."""

    data: Displacements
    waves: Waves

    @functools.cached_property
    def design(self) -> Float[np.ndarray, "atom coefficient"]:
        return np.concatenate([self.data.waves, self.data.fixed], axis=1)

    def solve(self, parameters: Float[np.ndarray, " parameter"]) -> _Solved:
        """Return the posterior of the coefficients."""
        design = self.design
        precision = np.zeros(design.shape[1])
        precision[: len(self.waves.affine[0])] = 1.0 / self._variances(parameters)[0]
        weighted = design / (self.data.variance + parameters[-1] ** 2)[:, None]
        factor = linalg.cho_factor(design.T @ weighted + np.diag(precision))
        covariance = linalg.cho_solve(factor, np.eye(design.shape[1]))
        return _Solved(
            mean=covariance @ (weighted.T @ self.data.value),
            covariance=covariance,
            log_determinant=2 * float(np.log(np.diag(factor[0])).sum()),
        )

    def _variances(
        self, parameters: Float[np.ndarray, " parameter"]
    ) -> tuple[Float[np.ndarray, " wave"], Float[np.ndarray, "wave slope"]]:
        """Return prior variances, none far below the largest, and the slopes of their logarithms."""
        logarithm, slopes = self.waves.log_variances(parameters[:-1])
        floor = logarithm.max() + np.log(FLOOR)
        kept = logarithm > floor
        return np.exp(np.where(kept, logarithm, floor)), np.where(kept[:, None], slopes, 0.0)

    def __call__(self, logarithm: Float[np.ndarray, " parameter"]) -> tuple[float, Float[np.ndarray, " parameter"]]:
        parameters = np.exp(logarithm)
        solved = self.solve(parameters)
        prior, slopes = self._variances(parameters)
        n_waves, n_frames = len(prior), self.data.value.shape[1]
        variance = self.data.variance + parameters[-1] ** 2
        design = self.design
        residual = ((self.data.value - design @ solved.mean) ** 2).sum(axis=1)
        size = (solved.mean[:n_waves] ** 2).sum(axis=1)
        fit = (residual / variance).sum() + (size / prior).sum()
        penalty = solved.log_determinant + np.log(prior).sum() + np.log(variance).sum()
        leverage = np.einsum("ac,cd,ad->a", design, solved.covariance, design, optimize=True)
        known = n_frames * (1 - np.diag(solved.covariance)[:n_waves] / prior) - size / prior
        by_disorder = (n_frames * (variance - leverage) - residual) / variance**2
        slope = np.append(0.5 * known @ slopes, (by_disorder * parameters[-1] ** 2).sum())
        return 0.5 * float(fit + n_frames * penalty), slope


def _residual(value: Float[np.ndarray, "atom frame"], fixed: Float[np.ndarray, "atom fixed"]) -> np.ndarray:
    """Return what the fixed functions leave."""
    return value - fixed @ np.linalg.lstsq(fixed, value, rcond=None)[0] if fixed.shape[1] else value
