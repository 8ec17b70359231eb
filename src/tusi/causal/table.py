"""The table that causal questions are asked of: variables on atoms, cells or windows of one or several images."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from tusi.data import Descriptors
from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.inference.spatial import Layout


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CausalTable(Record):
    """Complete rows of named variables, with where each lies and how well each value is known.

    Attributes
    ----------
    value
        One column for each of `names`; finite.
    error_covariance
        Covariance of the measurement errors of a row's values, in the product of their units; zero where a value is
        exact or its error is not known.
    position
        (y, x) within the row's image, in one unit throughout.
    cell
        Raster cell of the row (`Layout`).
    image
        Number of the image, 0, 1, ... without gaps.
    step
        Side of a raster cell.
    names, units
        Of the variables.
    image_names
        Of the images.
    n_dropped
        Rows that were left out because a value was missing.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = CausalTable.of({"x": rng.standard_normal(12), "y": np.arange(12.0)}, layout=Layout.grid((3, 4)))
    >>> table.n_variables, len(table), table.between
    (2, 12, ())
    """

    format_name: ClassVar[str] = "causal-table"
    row: ClassVar[str] = "row"

    value: Float[np.ndarray, "row variable"] = array("row", "variable")
    error_covariance: Float[np.ndarray, "row variable variable"] = array("row", "variable", "variable_")
    position: Float[np.ndarray, "row 2"] = array("row", "axis")
    cell: Int[np.ndarray, "row 2"] = array("row", "axis", dtype=np.int64)
    image: Int[np.ndarray, " row"] = array("row", dtype=np.int64)
    step: float
    names: tuple[str, ...]
    units: tuple[str, ...]
    image_names: tuple[str, ...]
    n_dropped: int = 0

    def _check(self) -> None:
        n_variables = self.value.shape[1]
        for name in ("names", "units"):
            if len(getattr(self, name)) != n_variables:
                raise InputError(name, expected=f"one for each of {n_variables} columns", got=str(getattr(self, name)))
        if len(set(self.names)) != n_variables:
            raise InputError("names", expected="names that differ", got=", ".join(self.names))
        if not np.isfinite(self.value).all() or not np.isfinite(self.error_covariance).all():
            raise InputError(
                "value", expected="finite values and errors", got="NaN", then="`CausalTable.of` drops such rows."
            )
        n_images = len(np.unique(self.image))
        if len(self.image_names) != n_images:
            raise InputError("image_names", expected=f"one for each of {n_images} images", got=str(self.image_names))

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Float[np.ndarray, " row"]],
        *,
        layout: Layout,
        error: Mapping[str, float | Float[np.ndarray, " row"]] | None = None,
        units: Mapping[str, str] | None = None,
        image_names: Sequence[str] = (),
    ) -> "CausalTable":
        """Return the table of these columns; rows with a missing value are dropped and counted.

        Parameters
        ----------
        columns
            Values of each variable, each in its unit.
        layout
            Where the rows lie.
        error
            Standard error of each value, or one for the column, in the column's unit; errors are taken as independent.
        units
            Unit of each variable; "1" where not given.
        image_names
            Names of the images; their numbers when not given.

        Raises
        ------
        InputError
            Columns are not as long as the layout, or no row is complete.
        """
        names = tuple(columns)
        for name, column in columns.items():
            if np.shape(column) != (len(layout),):
                raise InputError(
                    f"columns[{name!r}]", expected=f"{len(layout)} values", got=f"shape {np.shape(column)}"
                )
        value = np.stack([np.asarray(column, dtype=np.float64) for column in columns.values()], axis=1)
        variance = np.zeros((*value.shape, len(names)))
        for name, sigma in (error or {}).items():
            if name not in names:
                raise InputError("error", expected=f"one of {', '.join(names)}", got=repr(name))
            place = names.index(name)
            variance[:, place, place] = np.broadcast_to(np.asarray(sigma, dtype=np.float64), len(value)) ** 2
        return cls._complete(
            (value, variance), layout, layout.cell * layout.step, names,
            tuple((units or {}).get(name, "1") for name in names), tuple(image_names),
        )  # fmt: skip

    @classmethod
    def of_descriptors(
        cls, tables: Sequence[Descriptors], *, layout: Layout | None = None, image_names: Sequence[str] = ()
    ) -> "CausalTable":
        """Return the table of all columns of descriptors whose rows are the same atoms, cells or windows.

        Errors of one descriptor table keep their covariance; those of different tables are taken as independent.

        Parameters
        ----------
        tables
            Descriptor tables with equal rows.
        layout
            Where the rows lie; taken from their positions when not given.
        image_names
            Names of the images.

        Raises
        ------
        InputError
            Rows differ, a name occurs twice, or no row is complete.
        """
        if not tables:
            raise InputError("tables", expected="at least one table of descriptors", got="none")
        first = tables[0]
        for table in tables[1:]:
            if len(table) != len(first) or not np.array_equal(table.image, first.image):
                raise InputError("tables", expected=f"the same {len(first)} rows in each", got=f"{len(table)} rows")
        names = tuple(name for table in tables for name in table.names)
        value = np.concatenate([table.value for table in tables], axis=1)
        covariance = np.zeros((*value.shape, len(names)))
        start = 0
        for table in tables:
            stop = start + len(table.names)
            covariance[:, start:stop, start:stop] = np.nan_to_num(table.covariance)
            start = stop
        return cls._complete(
            (value, covariance), layout or Layout.of_positions(first.position, first.image), first.position, names,
            tuple(unit for table in tables for unit in table.units), tuple(image_names),
        )  # fmt: skip

    @classmethod
    def _complete(
        cls, values: tuple[np.ndarray, np.ndarray], layout: Layout, position: np.ndarray, names: tuple[str, ...],
        units: tuple[str, ...], image_names: tuple[str, ...],
    ) -> "CausalTable":  # fmt: skip
        value, covariance = values
        kept = np.isfinite(value).all(axis=1)
        if not kept.any():
            raise InputError("columns", expected="at least one row in which every value is known", got="none")
        present, image = np.unique(layout.image[kept], return_inverse=True)
        named = image_names or tuple(str(k) for k in range(layout.n_images))
        if len(named) != layout.n_images:
            raise InputError("image_names", expected=f"{layout.n_images} names", got=str(len(named)))
        return cls(
            value=value[kept],
            error_covariance=np.nan_to_num(covariance[kept]),
            position=np.asarray(position, dtype=np.float64)[kept],
            cell=layout.cell[kept],
            image=image.reshape(-1),
            step=layout.step,
            names=names,
            units=units,
            image_names=tuple(named[k] for k in present),
            n_dropped=int((~kept).sum()),
        )

    @property
    def layout(self) -> Layout:
        """Where the rows lie."""
        return Layout(cell=self.cell, image=self.image, step=self.step)

    @property
    def n_variables(self) -> int:
        """Number of variables."""
        return len(self.names)

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.image_names)

    @property
    def between(self) -> tuple[str, ...]:
        """Variables that are the same everywhere in an image: they have as many samples as there are images."""
        if self.n_images < 2:
            return ()
        spread = np.max([np.ptp(self.value[self.image == k], axis=0) for k in range(self.n_images)], axis=0)
        return tuple(name for name, width in zip(self.names, spread, strict=True) if width == 0)

    def number(self, name: str) -> int:
        """Return the column of a variable."""
        if name not in self.names:
            raise InputError("name", expected=f"one of {', '.join(self.names)}", got=repr(name))
        return self.names.index(name)

    def column(self, name: str) -> Float[np.ndarray, " row"]:
        """Return the values of a variable."""
        return self.value[:, self.number(name)]

    def select(self, names: Sequence[str]) -> "CausalTable":
        """Return the table with these variables, in this order."""
        places = [self.number(name) for name in names]
        return dataclasses.replace(
            self,
            value=self.value[:, places],
            error_covariance=self.error_covariance[:, places][:, :, places],
            names=tuple(names),
            units=tuple(self.units[place] for place in places),
        )

    def with_columns(
        self, columns: Mapping[str, Float[np.ndarray, " row"]], *, units: Mapping[str, str] | None = None
    ) -> "CausalTable":
        """Return the table with more variables, taken as exact.

        Parameters
        ----------
        columns
            Values of each, one a row, finite.
        units
            Unit of each; "1" where not given.
        """
        n_old, added = self.n_variables, np.stack([np.asarray(column, float) for column in columns.values()], axis=1)
        covariance = np.zeros((len(self), n_old + added.shape[1], n_old + added.shape[1]))
        covariance[:, :n_old, :n_old] = self.error_covariance
        return dataclasses.replace(
            self,
            value=np.concatenate([self.value, added], axis=1),
            error_covariance=covariance,
            names=(*self.names, *columns),
            units=(*self.units, *((units or {}).get(name, "1") for name in columns)),
        )

    def replace_values(self, value: Float[np.ndarray, "row variable"]) -> "CausalTable":
        """Return the table with other values of the same variables: standardised, detrended, surrogate."""
        return dataclasses.replace(self, value=value)
