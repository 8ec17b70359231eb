"""A fitted distortion: its value with its error anywhere in the window, and atoms freed from it."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from tusi.data import Atoms
from tusi.data.record import Record, array
from tusi.structure.distortion.prior import Waves

N_STEPS = 3
"""Steps from the place where an atom is seen to the place where it is; each is more exact by the distortion's slope."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Distortion(Record):
    """How far the scan put atoms from where they are, as a posterior over smooth functions.

    One frame cannot tell strain from drift: whatever varies slowly is in here, be it the microscope's or the crystal's,
    and the lattice's own vectors hold any uniform part of it. Two frames at different scan angles can tell.

    Attributes
    ----------
    origin, side
        Corner and sides (y, x) of the box in which the waves live, in `length_unit`.
    affine
        The uniform part of each wave on the atoms, which is taken from it.
    coefficient
        Mean coefficient of each wave for each axis, then of (1, y, x): the uniform part, which is zero where it belongs
        to a lattice.
    covariance
        Covariance of the coefficients, for each axis.
    amplitude, correlation_length
        Standard deviation and correlation length of the smooth field, for each axis.
    scan_amplitude, scan_length
        The same for the part that depends on the slow axis alone; NaN without it.
    disorder
        Standard deviation beyond the errors of finding by which each atom is displaced by itself, for each axis.
    log_evidence
        Logarithm of the marginal likelihood, both axes together.
    n_field, n_scan
        Waves of the field along each axis, and of the scan part.
    length_unit
        "angstrom" or "pixel".
    """

    format_name: ClassVar[str] = "distortion"
    row: ClassVar[str] = "axis"

    origin: Float[np.ndarray, " 2"] = array("corner")
    side: Float[np.ndarray, " 2"] = array("corner")
    affine: Float[np.ndarray, "3 wave"] = array("uniform", "wave")
    coefficient: Float[np.ndarray, "2 coefficient"] = array("axis", "coefficient_")
    covariance: Float[np.ndarray, "2 coefficient coefficient"] = array("axis", "coefficient_", "coefficient__")
    amplitude: Float[np.ndarray, " 2"] = array("axis")
    correlation_length: Float[np.ndarray, " 2"] = array("axis")
    scan_amplitude: Float[np.ndarray, " 2"] = array("axis")
    scan_length: Float[np.ndarray, " 2"] = array("axis")
    disorder: Float[np.ndarray, " 2"] = array("axis")
    log_evidence: float
    n_field: tuple[int, int]
    n_scan: int
    length_unit: str

    @property
    def waves(self) -> Waves:
        """The basis."""
        return Waves(origin=self.origin, side=self.side, n_field=self.n_field, n_scan=self.n_scan, affine=self.affine)

    def at(
        self, position: Float[np.ndarray, "place 2"]
    ) -> tuple[Float[np.ndarray, "place 2"], Float[np.ndarray, "place 2 2"]]:
        """Return how far the scan displaces what truly is at these places, (y, x), and the covariance of that.

        Parameters
        ----------
        position
            True (y, x), in `length_unit`; inside the window of the atoms, or not far outside of it.
        """
        place = np.asarray(position, float)
        design = np.concatenate([self.waves.at(place), self.waves.uniform(place)], axis=1)
        value = design @ self.coefficient.T
        variance = np.stack([((design @ one) * design).sum(axis=1) for one in self.covariance], axis=1)
        return value, np.maximum(variance, 0.0)[:, :, None] * np.eye(2)

    def correct(self, atoms: Atoms) -> Atoms:
        """Return the atoms without the distortion; its uncertainty is added to their covariance.

        Errors of the distortion are shared by neighbours: differences between near atoms are surer than these
        covariances say.

        Parameters
        ----------
        atoms
            Atoms of the same frame, in `length_unit`.
        """
        seen = np.nan_to_num(atoms.position)
        true = seen
        for _ in range(N_STEPS):
            value, covariance = self.at(true)
            true = seen - value
        return dataclasses.replace(
            atoms,
            position=np.where(np.isnan(atoms.position), np.nan, true),
            covariance=atoms.covariance + covariance,
        )
