"""Where samples lie: in which image, and in which cell of a raster, so that all pairs at a lag are one Fourier sum."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from tusi.data.record import Record, array
from tusi.errors import InputError

FINENESS = 2
"""Cells to a typical distance between neighbours, where samples do not lie on a lattice."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Layout(Record):
    """Rows of a table by image and raster cell.

    Two rows are as far from each other as their cells; rows of different images are never compared. Cells without a row
    are simply not there (a vacancy, the outside of a region), and several rows may share one.

    Attributes
    ----------
    cell
        (row, column) of the raster, counted from zero within each image.
    image
        Number of the image, 0 to `n_images` - 1 without gaps.
    step
        Side of a cell along (y, x) of the raster, in the table's length unit or in lattice steps.

    Examples
    --------
    >>> Layout.grid((3, 4)).shape(0), len(Layout.grid((3, 4), n_images=2))
    ((3, 4), 24)
    """

    format_name: ClassVar[str] = "layout"
    row: ClassVar[str] = "row"

    cell: Int[np.ndarray, "row 2"] = array("row", "axis", dtype=np.int64)
    image: Int[np.ndarray, " row"] = array("row", dtype=np.int64)
    step: float = 1.0

    def _check(self) -> None:
        if len(self) and (self.cell.min() < 0 or set(np.unique(self.image)) != set(range(self.n_images))):
            raise InputError("image", expected="cells from 0 on, and images 0, 1, ... without gaps", got="others")
        if not self.step > 0:
            raise InputError("step", expected="a positive length", got=str(self.step))

    @classmethod
    def grid(cls, shape: tuple[int, int], *, n_images: int = 1) -> "Layout":
        """Return full rectangular grids, in row-major order, image after image.

        Parameters
        ----------
        shape
            Rows and columns of each.
        n_images
            How many of them.
        """
        cell = np.indices(shape).reshape(2, -1).T
        return cls(cell=np.tile(cell, (n_images, 1)), image=np.repeat(np.arange(n_images), len(cell)))

    @classmethod
    def of_lattice(cls, index: Int[np.ndarray, "row 2"], image: Int[np.ndarray, " row"] | None = None) -> "Layout":
        """Return the layout of sites whose lattice indices are known.

        Parameters
        ----------
        index
            (row, column) of the lattice; may be negative.
        image
            Any number for each image; one image when not given.
        """
        number = _numbered(image, len(index))
        cell = np.asarray(index, dtype=np.int64).copy()
        for k in range(number.max(initial=-1) + 1):
            cell[number == k] -= cell[number == k].min(axis=0)
        return cls(cell=cell, image=number)

    @classmethod
    def of_positions(
        cls, position: Float[np.ndarray, "row 2"], image: Int[np.ndarray, " row"] | None = None
    ) -> "Layout":
        """Return the layout of scattered samples: cells are half the median distance to the nearest neighbour.

        Parameters
        ----------
        position
            (y, x), in any one unit.
        image
            Any number for each image; one image when not given.

        Raises
        ------
        InputError
            A position is not finite.
        """
        position = np.asarray(position, dtype=np.float64)
        if not np.isfinite(position).all():
            raise InputError("position", expected="finite positions", got="NaN or infinite ones")
        number = _numbered(image, len(position))
        step = spacing_of(position, number) / FINENESS
        cell = np.zeros((len(position), 2), dtype=np.int64)
        for k in range(number.max(initial=-1) + 1):
            own = position[number == k]
            cell[number == k] = np.floor((own - own.min(axis=0)) / step + 0.5).astype(np.int64)
        return cls(cell=cell, image=number, step=step)

    @property
    def n_images(self) -> int:
        """Number of images."""
        return int(self.image.max(initial=-1)) + 1

    def rows(self, image: int) -> Int[np.ndarray, " row"]:
        """Return the rows of one image."""
        return np.flatnonzero(self.image == image)

    def shape(self, image: int) -> tuple[int, int]:
        """Return the rows and columns of the raster that one image needs."""
        high = self.cell[self.image == image].max(axis=0)
        return int(high[0]) + 1, int(high[1]) + 1

    def raster(self, values: Float[np.ndarray, "row *more"], image: int) -> Float[np.ndarray, "y x *more"]:
        """Return the sum of the rows' values in each cell of one image's raster.

        Parameters
        ----------
        values
            One value, or several, for each row of the whole layout.
        image
            Number of the image.
        """
        own = self.rows(image)
        out = np.zeros((*self.shape(image), *values.shape[1:]))
        np.add.at(out, (self.cell[own, 0], self.cell[own, 1]), values[own])
        return out


def spacing_of(position: Float[np.ndarray, "row 2"], image: Int[np.ndarray, " row"]) -> float:
    """Return the median distance to the nearest other place in the same image.

    Parameters
    ----------
    position
        (y, x), in any one unit.
    image
        Number of the image of each row, from 0 on.

    Returns
    -------
    float
        In the unit of the positions; that of one cell, `FINENESS`, where no image has two places.
    """
    images = [position[image == k] for k in range(image.max(initial=-1) + 1)]
    nearest = [KDTree(own).query(own, k=2)[0][:, 1] for own in images if len(own) > 1]
    nearest = np.concatenate(nearest) if nearest else np.zeros(1)
    return float(np.median(nearest[nearest > 0])) if (nearest > 0).any() else float(FINENESS)


def _numbered(image: np.ndarray | None, n_rows: int) -> np.ndarray:
    """Return images numbered 0, 1, ... in ascending order of the numbers given."""
    if image is None:
        return np.zeros(n_rows, dtype=np.int64)
    if len(image) != n_rows:
        raise InputError("image", expected=f"one number for each of {n_rows} rows", got=str(len(image)))
    return np.unique(image, return_inverse=True)[1].reshape(-1)
