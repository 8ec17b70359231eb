"""The frames of a movie, read one after the other and never all at once."""

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from tusi.data import NoiseModel, check_grid, pixel_size_of
from tusi.errors import InputError
from tusi.execution import Progress
from tusi.imaging import estimate_noise

LEAST_SIDE = 16
"""Frames with a shorter side hold too little to compare, in pixels."""

MOST_READS = 80
"""So often each frame is read, as far as progress is told; it usually ends earlier."""

FRAME = "frame"


class FrameSource:
    """A movie whose frames can be read in order, again and again; a Dask-backed one is read chunk by chunk."""

    def __init__(self, movie: xr.DataArray, *, progress: Progress | None = None) -> None:
        check_grid(movie)
        if movie.dims != (FRAME, "y", "x"):
            raise InputError(
                "movie",
                expected="dimensions (frame, y, x)",
                got=str(movie.dims),
                then="Select one channel, or stack images along a dimension `frame`.",
            )
        if movie.sizes[FRAME] < 2:
            raise InputError(
                "movie",
                expected="two frames or more",
                got=str(movie.sizes[FRAME]),
                then="One frame cannot tell strain from drift; `estimate_row_jitter` works on one.",
            )
        if min(movie.sizes["y"], movie.sizes["x"]) < LEAST_SIDE:
            raise InputError(
                "movie", expected=f"frames of {LEAST_SIDE} pixels or more a side", got=str(movie.shape[1:])
            )
        pixel_size_of(movie.isel({FRAME: 0}))
        self.movie, self._progress, self._n_read = movie, progress, 0

    def __len__(self) -> int:
        return self.movie.sizes[FRAME]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of each frame."""
        return self.movie.sizes["y"], self.movie.sizes["x"]

    @property
    def along_y(self) -> bool:
        """Whether the probe scans its lines along y."""
        return self.movie.attrs.get("fast_axis", "x") == "y"

    def __iter__(self) -> Iterator[Float[np.ndarray, "row column"]]:
        chunks = self.movie.chunks[0] if self.movie.chunks else (1,) * len(self)
        first = 0
        for size in chunks:
            block = np.asarray(self.movie.isel({FRAME: slice(first, first + size)}).values)
            for image in block:
                yield np.ascontiguousarray(image, dtype=np.float64)
                self._tell()
            first += size

    def _tell(self) -> None:
        """Tell of one more frame that was dealt with."""
        self._n_read += 1
        if self._progress is not None:
            most = MOST_READS * len(self)
            self._progress(min(self._n_read, most), most)

    def check_values(self) -> list[int]:
        """Return the frames that are constant; NaN, or nothing but constant frames, is an error."""
        constant = []
        for number, image in enumerate(self):
            n_bad = int(np.count_nonzero(~np.isfinite(image)))
            if n_bad:
                raise InputError(
                    "movie",
                    expected="finite values",
                    got=f"{n_bad} NaN or infinite pixels in frame {number}",
                    then="Fill or crop them first.",
                )
            if image.min() == image.max():
                constant.append(number)
        if len(self) - len(constant) < 2:
            raise InputError(
                "movie", expected="two frames that are not constant", got=f"{len(constant)} constant of {len(self)}"
            )
        return constant

    def noise(self, skipped: Sequence[int]) -> NoiseModel:
        """Return the noise of the frame in the middle of those that are not skipped."""
        usable = [frame for frame in range(len(self)) if frame not in skipped]
        return estimate_noise(self.movie.isel({FRAME: usable[len(usable) // 2]}).compute())


def stack_frames(images: Sequence[xr.DataArray] | xr.DataArray) -> xr.DataArray:
    """Return images of one shape and pixel size as one movie.

    Raises
    ------
    InputError
        Their shapes or pixel sizes differ.
    """
    if isinstance(images, xr.DataArray):
        return images
    if len(images) < 2:
        raise InputError("images", expected="two images or more", got=str(len(images)))
    first = check_grid(images[0])
    for image in images[1:]:
        check_grid(image)
        if image.dims != first.dims or image.shape != first.shape:
            raise InputError("images", expected=f"shape {first.shape}", got=str(image.shape))
        if not np.isclose(pixel_size_of(image), pixel_size_of(first), rtol=1e-3):
            raise InputError("images", expected="one pixel size", got=f"{pixel_size_of(image):g}", then="Resample.")
    frame = xr.DataArray(np.arange(len(images)), dims=FRAME, attrs={"units": "1"})
    coordinates = {FRAME: frame, "y": first.coords["y"], "x": first.coords["x"]}
    values = np.stack([np.asarray(image.values, dtype=np.float64) for image in images])
    return xr.DataArray(values, dims=(FRAME, "y", "x"), coords=coordinates, name=first.name, attrs=first.attrs)
