"""Atoms with uncertainty: what finding returns and every later stage refers to."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.units import LENGTH_UNITS


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Atoms(Record):
    """Atomic columns, one row each; several images and frames can share a table.

    Attributes
    ----------
    position
        (y, x) of each column, in `length_unit`.
    covariance
        Covariance of the position, in `length_unit` squared; NaN where it is not known.
    intensity
        Column intensity: the integral of the fitted spot over the image plane, in signal units x pixel^2.
    intensity_variance
        Variance of `intensity`, in its unit squared.
    presence_probability
        Probability that there is a column here at all.
    species_probability
        Probability of each of `species`; NaN rows where it was not inferred; no columns before species are.
    flags
        Bits of `tusi.data.flags.AtomFlag`.
    image, frame
        Number of the image, and of the frame in it, to which the row belongs.
    species
        Names of the species, in the order of the columns of `species_probability`.
    length_unit
        "angstrom", or "pixel" where the image has no scale.

    Examples
    --------
    >>> atoms = Atoms.at(np.array([[1.0, 2.0], [3.0, 4.0]]), length_unit="pixel")
    >>> len(atoms), len(atoms[atoms.position[:, 0] > 2])
    (2, 1)
    """

    format_name: ClassVar[str] = "atoms"
    row: ClassVar[str] = "atom"

    position: Float[np.ndarray, "atom 2"] = array("atom", "axis")
    covariance: Float[np.ndarray, "atom 2 2"] = array("atom", "axis", "axis_")
    intensity: Float[np.ndarray, " atom"] = array("atom")
    intensity_variance: Float[np.ndarray, " atom"] = array("atom")
    presence_probability: Float[np.ndarray, " atom"] = array("atom")
    species_probability: Float[np.ndarray, "atom species"] = array("atom", "species_")
    flags: Int[np.ndarray, " atom"] = array("atom", dtype=np.int64)
    image: Int[np.ndarray, " atom"] = array("atom", dtype=np.int64)
    frame: Int[np.ndarray, " atom"] = array("atom", dtype=np.int64)
    species: tuple[str, ...] = ()
    length_unit: str

    def _check(self) -> None:
        if self.position.shape[1] != 2:
            raise InputError("position", expected="two columns (y, x)", got=f"shape {self.position.shape}")
        if self.length_unit not in LENGTH_UNITS:
            raise InputError("length_unit", expected=f"one of {LENGTH_UNITS}", got=repr(self.length_unit))
        if self.species_probability.shape[1] != len(self.species):
            raise InputError(
                "species_probability",
                expected=f"one column for each of {self.species}",
                got=f"{self.species_probability.shape[1]} columns",
            )

    @classmethod
    def at(
        cls, position: Float[np.ndarray, "atom 2"], *, length_unit: str, intensity: np.ndarray | None = None
    ) -> "Atoms":
        """Return atoms of which only the positions (and perhaps the intensities) are known.

        Parameters
        ----------
        position
            (y, x), in `length_unit`.
        length_unit
            "angstrom" or "pixel".
        intensity
            Column intensities, in signal units x pixel^2; NaN when not given.
        """
        n_atoms = len(position)
        unknown = np.full(n_atoms, np.nan)
        return cls(
            position=position,
            covariance=np.full((n_atoms, 2, 2), np.nan),
            intensity=unknown if intensity is None else intensity,
            intensity_variance=unknown,
            presence_probability=np.ones(n_atoms),
            species_probability=np.empty((n_atoms, 0)),
            flags=np.zeros(n_atoms),
            image=np.zeros(n_atoms),
            frame=np.zeros(n_atoms),
            length_unit=length_unit,
        )
