"""Interference: what neighbours do to a site, as variables of their own (means over a neighbourhood)."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from scipy import sparse
from scipy.spatial import KDTree

from tusi.causal.table import CausalTable
from tusi.errors import InputError

SQUARE = ((0, 1), (1, 0), (0, -1), (-1, 0))
"""Steps to the four nearest sites of a square lattice."""


class Neighbourhood(ABC):
    """Which rows of the same image lie around a row; a row is never its own neighbour."""

    least_share: float

    @abstractmethod
    def pairs(self, table: CausalTable) -> Int[np.ndarray, "pair 2"]:
        """Return (row, neighbour) for every neighbour of every row.

        Parameters
        ----------
        table
            The rows.
        """

    @abstractmethod
    def full_size(self, count: Int[np.ndarray, " row"]) -> float:
        """Return how many neighbours a row has far from borders.

        Parameters
        ----------
        count
            Neighbours of each row.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatticeSteps(Neighbourhood):
    """The sites at given steps along the lattice.

    Attributes
    ----------
    steps
        (rows, columns) of the lattice index to each neighbour; for a triangular lattice also (1, -1) and (-1, 1).
    least_share
        Share of these sites that must be there: rows with fewer, such as those at borders, are left out.

    Examples
    --------
    >>> from tusi.inference.spatial import Layout
    >>> table = CausalTable.of({"x": np.arange(9.0)}, layout=Layout.grid((3, 3)))
    >>> with_neighbour_means(table, ("x",), neighbourhood=LatticeSteps(), least_rows=1).value
    array([[4., 4.]])
    """

    steps: tuple[tuple[int, int], ...] = SQUARE
    least_share: float = 1.0

    def __post_init__(self) -> None:
        if not self.steps or (0, 0) in self.steps or len(set(self.steps)) != len(self.steps):
            raise InputError("steps", expected="different steps, none of them to the site itself", got=str(self.steps))
        _check_share(self.least_share)

    def pairs(self, table: CausalTable) -> Int[np.ndarray, "pair 2"]:
        """Return (row, neighbour) for every neighbour of every row."""
        found = []
        for image in range(table.n_images):
            rows, cell = table.layout.rows(image), table.cell[table.layout.rows(image)]
            place = np.full(table.layout.shape(image), -1, dtype=np.int64)
            place[cell[:, 0], cell[:, 1]] = rows
            if len(np.unique(cell, axis=0)) < len(cell):
                raise InputError(
                    "table", expected="one row in each cell", got="several", then="Use `WithinRadius` off a lattice."
                )
            for step in self.steps:
                goal = cell + np.array(step, dtype=np.int64)
                inside = ((goal >= 0) & (goal < place.shape)).all(axis=1)
                neighbour = place[goal[inside, 0], goal[inside, 1]]
                found.append(np.stack([rows[inside], neighbour], axis=1)[neighbour >= 0])
        return np.concatenate(found)

    def full_size(self, count: Int[np.ndarray, " row"]) -> float:  # noqa: ARG002
        """Return the number of steps."""
        return float(len(self.steps))


@dataclasses.dataclass(frozen=True, kw_only=True)
class WithinRadius(Neighbourhood):
    """All rows of the image that lie within a distance.

    Attributes
    ----------
    radius
        In the unit of the table's positions.
    least_share
        Share of the usual number of neighbours (upper quartile) that a row must have; at borders it is about half.

    Examples
    --------
    >>> from tusi.inference.spatial import Layout
    >>> table = CausalTable.of({"x": np.arange(25.0)}, layout=Layout.grid((5, 5)))
    >>> around = with_neighbour_means(table, ("x",), neighbourhood=WithinRadius(radius=1.1), least_rows=1)
    >>> len(around), around.n_dropped
    (9, 16)
    """

    radius: float
    least_share: float = 0.8

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise InputError("radius", expected="a positive length", got=str(self.radius))
        _check_share(self.least_share)

    def pairs(self, table: CausalTable) -> Int[np.ndarray, "pair 2"]:
        """Return (row, neighbour) for every neighbour of every row."""
        found = [np.empty((0, 2), dtype=np.int64)]
        for image in range(table.n_images):
            rows = table.layout.rows(image)
            near = KDTree(table.position[rows]).query_pairs(self.radius, output_type="ndarray")
            found += [rows[near], rows[near[:, ::-1]]]
        return np.concatenate(found)

    def full_size(self, count: Int[np.ndarray, " row"]) -> float:
        """Return the upper quartile."""
        return float(np.quantile(count, 0.75))


def with_neighbour_means(
    table: CausalTable, names: Sequence[str], *, neighbourhood: Neighbourhood, least_rows: int = 8
) -> CausalTable:
    """Return a table with the mean of variables over each row's neighbours, as "neighbours' NAME".

    Where neighbours act on a site, rows do not answer to their own causes alone, and the effect of a site's own value
    is mistaken for theirs unless both stand in the table. Errors of measurement are propagated as independent from row
    to row: the mean of k neighbours has one k-th of their variance. Rows of which too many neighbours are missing are
    left out and counted in `n_dropped`. `interference` says whether a site and its neighbours can be told apart.

    Parameters
    ----------
    table
        The variables.
    names
        Those to be averaged.
    neighbourhood
        Who is whose neighbour.
    least_rows
        Rows that must be left.

    Raises
    ------
    InputError
        Nearly all rows lack neighbours.

    References
    ----------
    M. G. Hudgens and M. E. Halloran, J. Am. Stat. Assoc. 103, 832 (2008), for interference.

    Examples
    --------
    >>> from tusi.causal.independence import PartialCorrelation
    >>> from tusi.datasets.causal_fields import FieldRecipe
    >>> from tusi.datasets.causal_images import interfering_fields
    >>> table = interfering_fields(0.0, 0.5, FieldRecipe(smoothing=1.0), rng=np.random.default_rng(0))
    >>> around = with_neighbour_means(table, ("x",), neighbourhood=LatticeSteps())
    >>> around.names, len(table) - len(around)
    (('x', 'y', "neighbours' x"), 252)
    >>> test = PartialCorrelation().prepare(around)
    >>> test.ask(0, 1).p_value < 0.01, test.ask(0, 1, (2,)).p_value < 0.01, test.ask(1, 2, (0,)).p_value < 0.01
    (True, False, True)
    """
    places = [table.number(name) for name in names]
    pairs = neighbourhood.pairs(table)
    count = np.bincount(pairs[:, 0], minlength=len(table))
    kept = (count > 0) & (count >= neighbourhood.least_share * neighbourhood.full_size(count) - 1e-9)
    if kept.sum() < least_rows:
        raise InputError(
            "neighbourhood", expected=f"enough neighbours for {least_rows} rows", got=f"{kept.sum()} such rows",
            then="Take a larger radius, other steps or a smaller `least_share`.",
        )  # fmt: skip
    weight = sparse.csr_matrix(
        (1.0 / count[pairs[:, 0]], (pairs[:, 0], pairs[:, 1])), shape=(len(table), len(table))
    )[kept]  # fmt: skip
    means = weight @ table.value[:, places]
    error = table.error_covariance[:, places][:, :, places].reshape(len(table), -1)
    around = rows_of(table, np.flatnonzero(kept)).with_columns(
        {neighbours_of(name): column for name, column in zip(names, means.T, strict=True)},
        units={neighbours_of(name): table.units[place] for name, place in zip(names, places, strict=True)},
    )
    covariance = around.error_covariance.copy()
    n_old = table.n_variables
    covariance[:, n_old:, n_old:] = (weight.multiply(weight) @ error).reshape(-1, len(places), len(places))
    return dataclasses.replace(around, error_covariance=covariance)


def neighbours_of(name: str) -> str:
    """Return the name of the column that holds the neighbours' mean of a variable.

    Parameters
    ----------
    name
        Of the variable.
    """
    return f"neighbours' {name}"


def rows_of(table: CausalTable, rows: Int[np.ndarray, " kept"]) -> CausalTable:
    """Return some rows of a table; images without a row go, and the others are counted anew.

    Parameters
    ----------
    table
        All rows.
    rows
        Those to keep.
    """
    present, image = np.unique(table.image[rows], return_inverse=True)
    return CausalTable(
        value=table.value[rows],
        error_covariance=table.error_covariance[rows],
        position=table.position[rows],
        cell=table.cell[rows],
        image=image.reshape(-1),
        step=table.step,
        names=table.names,
        units=table.units,
        image_names=tuple(table.image_names[k] for k in present),
        n_dropped=table.n_dropped + len(table) - len(rows),
    )


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise InputError("least_share", expected="between 0 and 1", got=str(share))
