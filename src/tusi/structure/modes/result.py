"""Statistical normal modes as a table: shapes, p-values, and the score of every neighbourhood along each."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from tusi.data.record import Record, array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NormalModes(Record):
    """Modes in the order of their strength, of which the first `n_significant` are more than chance.

    Attributes
    ----------
    score
        Amplitude of each neighbourhood along each mode, in standard deviations of the noise.
    score_error
        Standard error of each score.
    position
        (y, x) of each centre, in `length_unit`.
    centre
        Row of each centre in the `Atoms` of its image.
    image
        Number of the image in the order in which they were given.
    eigenvalue
        Variance along every direction of the whitened neighbourhoods, largest first: 1 where there is noise alone.
    null_eigenvalue
        95th percentile of the largest eigenvalue where there is no (further) mode, for each tested mode.
    p_value
        Probability that noise alone makes so large an eigenvalue, for each tested mode.
    shape
        Each mode at one standard deviation of its amplitude, in `unit`: displacement of each slot's neighbour against
        the centre, or change of its composition.
    reference
        Ideal vector of each slot, (y, x).
    components
        What the last axis of `shape` is: "y" and "x", or names of species.
    disorder
        Standard deviation of independent displacements, estimated along each axis; 0 where none are allowed for.
    level
        Level of the test.
    unit, length_unit
        Unit of `shape`, and of the positions.
    """

    format_name: ClassVar[str] = "normal-modes"
    row: ClassVar[str] = "neighbourhood"

    score: Float[np.ndarray, "neighbourhood mode"] = array("neighbourhood", "mode")
    score_error: Float[np.ndarray, "neighbourhood mode"] = array("neighbourhood", "mode")
    position: Float[np.ndarray, "neighbourhood 2"] = array("neighbourhood", "axis")
    centre: Int[np.ndarray, " neighbourhood"] = array("neighbourhood", dtype=np.int64)
    image: Int[np.ndarray, " neighbourhood"] = array("neighbourhood", dtype=np.int64)
    eigenvalue: Float[np.ndarray, " direction"] = array("direction")
    null_eigenvalue: Float[np.ndarray, " mode"] = array("mode")
    p_value: Float[np.ndarray, " mode"] = array("mode")
    shape: Float[np.ndarray, "mode slot component"] = array("mode", "slot", "component")
    reference: Float[np.ndarray, "slot 2"] = array("slot", "axis")
    components: tuple[str, ...]
    disorder: float = 0.0
    level: float
    unit: str
    length_unit: str

    @classmethod
    def none(
        cls,
        reference: Float[np.ndarray, "slot 2"],
        components: tuple[str, ...],
        *,
        level: float,
        unit: str,
        length_unit: str,
    ) -> "NormalModes":
        """Return the result where there are too few neighbourhoods: no rows, no modes.

        Parameters
        ----------
        reference
            Ideal vector of each slot, (y, x), in `length_unit`.
        components
            What the last axis of `shape` would be.
        level
            Level of the test.
        unit, length_unit
            Units of `shape`, and of the positions.
        """
        nothing = np.empty(0)
        return cls(
            score=np.empty((0, 0)),
            score_error=np.empty((0, 0)),
            position=np.empty((0, 2)),
            centre=np.empty(0, np.int64),
            image=np.empty(0, np.int64),
            eigenvalue=nothing,
            null_eigenvalue=nothing,
            p_value=nothing,
            shape=np.empty((0, len(reference), len(components))),
            reference=reference,
            components=components,
            level=level,
            unit=unit,
            length_unit=length_unit,
        )

    @property
    def n_significant(self) -> int:
        """How many modes stand before the first whose p-value exceeds the level."""
        passed = self.p_value <= self.level
        return int(len(passed) if passed.all() else passed.argmin())

    @property
    def amplitude(self) -> Float[np.ndarray, " mode"]:
        """Root mean square of each shape over slots and components, in `unit`."""
        return np.sqrt(np.mean(self.shape**2, axis=(1, 2)))
