"""What is known about atoms, cells or windows: one row each, a named value with its covariance in each column."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.units import LENGTH_UNITS


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Descriptors(Record):
    """Local quantities with their errors: strain, polarisation, order parameters, compositions, abundances.

    A value that could not be had (an atom at the border, a neighbour that is missing) is NaN, and so are its variances.
    Rows of several images can share a table.

    Attributes
    ----------
    position
        (y, x) of the atom, cell or window, in `length_unit`.
    value
        One column for each of `names`.
    covariance
        Covariance of the values of a row, in the product of their units; NaN where it is not known.
    atom
        Row of the atom in the image's `Atoms` to which the row belongs; -1 where it belongs to none.
    image
        Number of the image.
    names
        What the columns are, as in "strain_yy".
    units
        Unit of each column; "1" for a plain number.
    length_unit
        "angstrom" or "pixel".

    Examples
    --------
    >>> table = Descriptors.of(np.zeros((3, 2)), {"tilt": ([0.1, 0.2, 0.3], 0.01, "rad")}, length_unit="pixel")
    >>> table.column("tilt").tolist(), table.standard_error("tilt").tolist()
    ([0.1, 0.2, 0.3], [0.01, 0.01, 0.01])
    """

    format_name: ClassVar[str] = "descriptors"
    row: ClassVar[str] = "row"

    position: Float[np.ndarray, "row 2"] = array("row", "axis")
    value: Float[np.ndarray, "row descriptor"] = array("row", "descriptor")
    covariance: Float[np.ndarray, "row descriptor descriptor"] = array("row", "descriptor", "descriptor_")
    atom: Int[np.ndarray, " row"] = array("row", dtype=np.int64)
    image: Int[np.ndarray, " row"] = array("row", dtype=np.int64)
    names: tuple[str, ...]
    units: tuple[str, ...]
    length_unit: str

    def _check(self) -> None:
        n_columns = self.value.shape[1]
        for name in ("names", "units"):
            if len(getattr(self, name)) != n_columns:
                raise InputError(
                    name, expected=f"one for each of {n_columns} columns", got=str(len(getattr(self, name)))
                )
        if len(set(self.names)) != n_columns:
            raise InputError("names", expected="names that differ", got=", ".join(self.names))
        if self.position.shape[1] != 2:
            raise InputError("position", expected="two columns (y, x)", got=f"shape {self.position.shape}")
        if self.length_unit not in LENGTH_UNITS:
            raise InputError("length_unit", expected=f"one of {LENGTH_UNITS}", got=repr(self.length_unit))

    @classmethod
    def of(
        cls,
        position: Float[np.ndarray, "row 2"],
        columns: dict[str, tuple[Sequence[float], float | Sequence[float], str]],
        *,
        length_unit: str,
        atom: Int[np.ndarray, " row"] | None = None,
        image: int = 0,
    ) -> "Descriptors":
        """Return a table whose columns err independently of each other.

        Parameters
        ----------
        position
            (y, x), in `length_unit`.
        columns
            For each name: values, standard errors (one, or one a row), unit.
        length_unit
            "angstrom" or "pixel".
        atom
            Rows of the atoms; -1 when not given.
        image
            Number of the image.
        """
        n_rows = len(position)
        value = np.stack([np.broadcast_to(np.asarray(v, float), n_rows) for v, _, _ in columns.values()], axis=1)
        error = np.stack([np.broadcast_to(np.asarray(e, float), n_rows) for _, e, _ in columns.values()], axis=1)
        error = np.where(np.isfinite(value), error, np.nan)
        return cls(
            position=position,
            value=value,
            covariance=error[:, :, None] ** 2 * np.eye(len(columns)),
            atom=np.full(n_rows, -1) if atom is None else atom,
            image=np.full(n_rows, image),
            names=tuple(columns),
            units=tuple(unit for _, _, unit in columns.values()),
            length_unit=length_unit,
        )

    def _number(self, name: str) -> int:
        if name not in self.names:
            raise InputError("name", expected=f"one of {', '.join(self.names)}", got=repr(name))
        return self.names.index(name)

    def column(self, name: str) -> Float[np.ndarray, " row"]:
        """Return the values of one descriptor."""
        return self.value[:, self._number(name)]

    def unit(self, name: str) -> str:
        """Return the unit of one descriptor."""
        return self.units[self._number(name)]

    def standard_error(self, name: str) -> Float[np.ndarray, " row"]:
        """Return the standard errors of one descriptor, in its unit."""
        number = self._number(name)
        return np.sqrt(self.covariance[:, number, number])

    def select(self, names: Sequence[str]) -> "Descriptors":
        """Return the table with these columns, in this order."""
        places = [self._number(name) for name in names]
        return dataclasses.replace(
            self,
            value=self.value[:, places],
            covariance=self.covariance[:, places][:, :, places],
            names=tuple(names),
            units=tuple(self.units[place] for place in places),
        )
