"""Frames of a movie where they belong, computed when they are asked for."""

import numpy as np
import xarray as xr

from tusi.errors import InputError
from tusi.finding.restoration.result import Restoration


def restore_frames(movie: xr.DataArray, restoration: Restoration) -> xr.DataArray:
    """Return every frame resampled onto the grid of the restored image, lazily.

    Each frame is moved by its own displacement and row shifts, with cubic splines, and brought to the common dose and
    background. Nothing is computed before it is asked for, frame by frame, so that a long movie never is in memory.

    Parameters
    ----------
    movie
        The frames that were restored, (frame, y, x).
    restoration
        What `register_stack` or `correct_scan_pair` made of them.

    Returns
    -------
    xarray.DataArray
        A Dask-backed movie on the whole reference grid; NaN where a frame did not see it.

    Raises
    ------
    InputError
        The movie does not have the restored frames' number and shape.

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> from tusi.finding.restoration import Rigid, register_stack, stack_frames
    >>> from tusi.data import NoiseModel
    >>> y, x = np.mgrid[:64, :64]
    >>> spots = [100 * np.exp(-((y - 30 - k) ** 2 + (x - 31) ** 2) / 18.0) for k in (0.0, 0.5)]
    >>> movie = stack_frames([make_grid(spot) for spot in spots])
    >>> noise = NoiseModel(gain=0.0, read_variance=1.0)
    >>> restored = restore_frames(movie, register_stack(movie, registration=Rigid(), noise=noise))
    >>> bool(abs(restored[0] - restored[1]).max() < 0.5)
    True
    """
    import dask.array as da  # noqa: PLC0415

    displacement = restoration.displacement
    if movie.shape != (len(displacement), *displacement.shape):
        raise InputError("movie", expected=f"{len(displacement)} frames {displacement.shape}", got=str(movie.shape))

    def resampled(block: np.ndarray, block_info: dict) -> np.ndarray:
        """Return the frame of one chunk."""
        frame = block_info[0]["array-location"][0][0]
        return displacement.scan(frame).resample(np.ascontiguousarray(block[0], dtype=np.float64))[0][None]

    frames = da.asarray(movie.data).rechunk((1, -1, -1))
    return movie.copy(data=frames.map_blocks(resampled, dtype=np.float64, meta=np.empty((0, 0, 0))))
