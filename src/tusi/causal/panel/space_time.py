"""Frames of a movie as one block of space and time: a row is as near to the same site a frame ago as to a neighbour."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

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
        block = Layout(
            cell=side_by_side(detrended.layout.cell, frame), image=np.zeros_like(frame), step=detrended.layout.step
        )
        return dataclasses.replace(detrended, layout=block, noise_gain=(float(gain),))


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
