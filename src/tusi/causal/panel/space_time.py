"""Frames of a movie as one block of space and time: a row is as near to the same site a frame ago as to a neighbour."""

import dataclasses
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy import fft

from tusi.inference.spatial import Centring, Detrended, Detrending, Layout


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpaceTime(Detrending):
    """Detrending frame by frame, after which rows of different frames are compared at every lag in time too.

    Tests and evidence that take a `Detrending` count effective samples from the pairs of rows at each lag. With this
    one, lags run in space and time, so fields that change slowly count as few samples. The images of the table are the
    frames, equally far apart in time. Frames are laid side by side in one raster, so far from each other that every
    lag of that raster is one lag in space and one in time.

    Attributes
    ----------
    detrending
        What is taken out of each frame first; its mean, unless something else is given.

    Examples
    --------
    >>> movie = Layout.grid((3, 4), n_images=5)
    >>> block = SpaceTime()(np.arange(60.0)[:, None], movie).layout
    >>> block.n_images, block.shape(0)
    (1, (3, 32))
    """

    detrending: Detrending = dataclasses.field(default_factory=Centring)

    def __call__(self, value: Float[np.ndarray, "row variable"], layout: Layout) -> Detrended:
        """Return the values without the frames' trends, and one block of space and time."""
        detrended = self.detrending(value, layout)
        frame = detrended.layout.image
        gain = np.asarray(detrended.noise_gain)[frame].mean()
        cell = layout.cell[detrended.kept]
        block = Layout(cell=side_by_side(cell, frame), image=np.zeros_like(frame), step=layout.step)
        return dataclasses.replace(detrended, layout=block, noise_gain=(float(gain),))


@dataclasses.dataclass(frozen=True, eq=False)
class FrameLags:
    """Pairs of rows of the same frame at each lag in space, those of all frames together.

    What autocovariances say of a sum of products where one of the two fields is new in every frame: pairs of different
    frames then add noise only.

    Attributes
    ----------
    layout
        Where the rows lie; its images are the frames, with cells that are the same places in all.

    Examples
    --------
    >>> lags = FrameLags(Layout.grid((1, 2), n_images=3))
    >>> lags.sums(np.array([1.0, 2.0, 0.0, 1.0, 3.0, 1.0])).round(9)
    array([[16.,  5.,  5.]])
    """

    layout: Layout

    @cached_property
    def _shape(self) -> tuple[int, int]:
        rows, columns = self.layout.cell.max(axis=0) + 1
        return int(rows), int(columns)

    @cached_property
    def share(self) -> Float[np.ndarray, "lag_y lag_x"]:
        """One over the number of pairs at each lag; zero where there is none."""
        count = np.rint(self.sums(np.ones(len(self.layout))))
        return np.divide(1.0, count, out=np.zeros_like(count), where=count > 0)

    def sums(self, values: Float[np.ndarray, " row"]) -> Float[np.ndarray, "lag_y lag_x"]:
        """Return the sum over all pairs of rows at each lag of the product of their values; lags run cyclically.

        Parameters
        ----------
        values
            One for each row.
        """
        padded = tuple(fft.next_fast_len(2 * side - 1, True) for side in self._shape)
        power = np.zeros((padded[0], padded[1] // 2 + 1))
        for frame in range(self.layout.n_images):
            raster, rows = np.zeros(self._shape), self.layout.rows(frame)
            np.add.at(raster, tuple(self.layout.cell[rows].T), values[rows])
            power += np.abs(fft.rfft2(raster, padded)) ** 2
        return fft.irfft2(power, padded)

    def variance_of_products(
        self, first: Float[np.ndarray, "lag_y lag_x"], second: Float[np.ndarray, "lag_y lag_x"]
    ) -> float:
        """Return the variance of the sum over rows of the product of two independent fields.

        Parameters
        ----------
        first, second
            Lag sums of each field.
        """
        return float(np.einsum("ij,ij,ij->", first, second, self.share))


def side_by_side(cell: Int[np.ndarray, "row 2"], frame: Int[np.ndarray, " row"]) -> Int[np.ndarray, "row 2"]:
    """Return cells of one raster in which the lag between two rows tells their lag in space and in time.

    Parameters
    ----------
    cell
        In each frame's raster.
    frame
        Number of each row's frame.

    Examples
    --------
    >>> side_by_side(np.array([[0, 0], [0, 1], [0, 0]]), np.array([0, 0, 1])).tolist()
    [[0, 0], [0, 1], [0, 3]]
    """
    width = 2 * int(cell[:, 1].max(initial=0)) + 1
    return np.stack([cell[:, 0], cell[:, 1] + width * frame], axis=1)
