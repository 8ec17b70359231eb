"""The probability of a mean cell under a structure of given symmetry: Gaussian integrals, in closed form."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve

from tusi.structure.symmetry.mean_cells import MeanCell
from tusi.structure.symmetry.strata import CellFamily
from tusi.structure.symmetry.structures import distortion_covariance


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scatter:
    """How observed cells scatter about an invariant one: measurement errors, and displacements where there are any.

    Attributes
    ----------
    factor
        Cholesky factor of the covariance.
    log_determinant
        Log determinant of the covariance over that of the measurement errors.
    degrees_of_freedom
        Of the estimate of the covariance's scale.
    """

    factor: tuple
    log_determinant: float
    degrees_of_freedom: float

    def log_fit(self, family: CellFamily) -> float:
        """Return the log density of the cell under the best-fitting structure, relative to a perfect fit."""
        square, _ = self._fit(family)
        return self._log_density(square, _n_fixed(family))

    def misfit(self, family: CellFamily) -> float:
        """Return the chi-square of the best-fitting structure."""
        return self._fit(family)[0]

    def log_evidence(self, family: CellFamily) -> float:
        """Return the log probability of the cell, relative to a perfect fit of a structure without any freedom.

        Every free coordinate has a normal prior about its fitted value, of the height of the even one: as long as the
        data fix the coordinate this is the even prior, and where they do not the integral ends at one.
        """
        square, log_occam = self._occam(family)
        return self._log_density(square, _n_fixed(family)) + log_occam - 0.5 * self.log_determinant

    def expected_log_evidence(self, family: CellFamily) -> float:
        """Return the mean of the log probability over repeated measurements, if the cell at hand is the true one."""
        square, log_occam = self._occam(family)
        return -0.5 * (square + _n_fixed(family)) + log_occam - 0.5 * self.log_determinant

    def _occam(self, family: CellFamily) -> tuple[float, float]:
        """Return chi-square, and the log of the share of the prior's freedom that the data leave."""
        square, information = self._fit(family)
        prior = 2 * math.pi * family.density.T @ family.density
        return square, float(0.5 * (np.linalg.slogdet(prior)[1] - np.linalg.slogdet(information + prior)[1]))

    def _fit(self, family: CellFamily) -> tuple[float, Float[np.ndarray, "free free"]]:
        """Return the chi-square of the best fit, and the information on the free coordinates."""
        directions, residual = family.directions, -family.point
        weighted = cho_solve(self.factor, directions, check_finite=False)
        information = directions.T @ weighted
        gradient = weighted.T @ residual
        square = residual @ cho_solve(self.factor, residual, check_finite=False)
        return float(max(square - gradient @ np.linalg.solve(information, gradient), 0.0)), information

    def _log_density(self, square: float, n_fixed: int) -> float:
        """Return the log density of a misfit: normal, or Student's where the variance was estimated."""
        if math.isinf(self.degrees_of_freedom):
            return -0.5 * square
        total = self.degrees_of_freedom + n_fixed
        return -0.5 * total * math.log1p(square / self.degrees_of_freedom)


def _n_fixed(family: CellFamily) -> int:
    return len(family.point) - family.directions.shape[1]


def measured(cell: MeanCell) -> Scatter:
    """Return the scatter of a cell about its true structure."""
    factor = cho_factor(cell.covariance, lower=True, check_finite=False)
    return Scatter(factor=factor, log_determinant=0.0, degrees_of_freedom=cell.degrees_of_freedom)


def distorted(cell: MeanCell, kept: CellFamily, *, scale: float) -> Scatter:
    """Return the scatter of a cell about a parent that was distorted in the ways that keep a group.

    Parameters
    ----------
    cell
        The mean cell.
    kept
        Structures of the group that the distortion keeps.
    scale
        Standard deviation of the displacements, in the unit of the cell.
    """
    unit = distortion_covariance(cell.vectors, len(cell))
    precision = kept.directions.T @ np.linalg.solve(unit, kept.directions)
    spread = kept.directions @ np.linalg.solve(precision, kept.directions.T)
    total = cell.covariance + scale**2 * (spread + spread.T) / 2
    factor = cho_factor(total, lower=True, check_finite=False)
    own = cho_factor(cell.covariance, lower=True, check_finite=False)
    ratio = 2 * (np.log(np.diag(factor[0])).sum() - np.log(np.diag(own[0])).sum())
    return Scatter(factor=factor, log_determinant=float(ratio), degrees_of_freedom=cell.degrees_of_freedom)
