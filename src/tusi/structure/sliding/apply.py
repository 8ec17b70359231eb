"""A transform of every window, block by block: lazily as one labelled grid, or one block after the other."""

from collections.abc import Callable, Iterator
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from tusi.data import check_grid, length_unit_of, pixel_size_of
from tusi.errors import InputError
from tusi.structure.sliding.transforms import FourierTransform, Transform
from tusi.structure.sliding.windows import SlidingWindows

BLOCK_BYTES = 2**23
"""Most memory that the windows of one block take, as 64-bit numbers."""

Span = tuple[int, int]


def sliding_fft(
    grid: xr.DataArray, windows: SlidingWindows = SlidingWindows(), *, part: str = "amplitude"
) -> xr.DataArray:
    """Return the Fourier transform of every window, lazily.

    Parameters
    ----------
    grid
        One image, in memory or Dask-backed.
    windows
        Size, step and window function.
    part
        "amplitude", "power" or "complex".

    Returns
    -------
    xarray.DataArray
        Dask-backed, dimensions (y, x, ky, kx): the windows' centres in the grid's length unit, and frequencies in
        cycles per length unit. Nothing is computed before its values are asked for, then block by block.

    Raises
    ------
    InputError
        Not one image, or windows larger than it.

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> y, x = np.mgrid[:32, :64]
    >>> local = sliding_fft(make_grid(np.cos(2 * np.pi * x / 4.0)), SlidingWindows(size=(8, 16)))
    >>> local.sizes["y"], local.sizes["x"], float(local.kx[int(local[0, 0].sum("ky").values.argmax())])
    (7, 7, -0.25)
    """
    return sliding_transform(grid, windows, transform=FourierTransform(part=part))


def sliding_transform(
    grid: xr.DataArray,
    windows: SlidingWindows = SlidingWindows(),
    *,
    transform: Transform | Callable[[Float[np.ndarray, "window y x"]], np.ndarray],
) -> xr.DataArray:
    """Return a transform of every window, lazily.

    Parameters
    ----------
    grid
        One image, in memory or Dask-backed.
    windows
        Size, step and window function.
    transform
        What to do with the windows: a `Transform`, or a function that takes windows (window, y, x), without their mean
        and faded out by the window function, and returns an array with a row for each.

    Returns
    -------
    xarray.DataArray
        Dask-backed, dimensions (y, x) of the windows' centres followed by those of the transform.

    Raises
    ------
    InputError
        Not one image, windows larger than it, or a function that does not return a row for each window.

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> grid = make_grid(np.random.default_rng(1).random((20, 30)))
    >>> sliding_transform(grid, SlidingWindows(size=10), transform=lambda w: np.abs(w).max(axis=(1, 2))).shape
    (3, 5)
    """
    chosen = _chosen(transform)
    counts, image = _checked(grid, windows)
    axes = chosen.axes(windows.shape, step=pixel_size_of(grid), unit=length_unit_of(grid))
    inner = tuple(len(values) for values, _ in axes.values())
    rows, columns = _spans(counts, windows)
    blocks = [[_lazy_block(image, windows, chosen, (row, column), inner) for column in columns] for row in rows]
    values = da.concatenate([da.concatenate(line, axis=1) for line in blocks], axis=0)
    unit = length_unit_of(grid)
    coordinates = {
        dim: xr.DataArray(place, dims=dim, attrs={"units": unit})
        for dim, place in zip(("y", "x"), windows.centres(grid), strict=True)
    }
    coordinates |= {name: xr.DataArray(at, dims=name, attrs={"units": of}) for name, (at, of) in axes.items()}
    return xr.DataArray(values, coords=coordinates, dims=("y", "x", *axes), name=f"sliding {grid.name or 'image'}")


def transform_blocks(
    grid: xr.DataArray, windows: SlidingWindows, *, transform: Transform
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield numbers of windows, row by row over the image, and their transforms, a block at a time.

    Parameters
    ----------
    grid
        One image, in memory or Dask-backed.
    windows
        Size, step and window function.
    transform
        What to do with them.

    Yields
    ------
    tuple
        Numbers of the block's windows, and the transform's result for each of them.

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> grid = make_grid(np.random.default_rng(1).random((20, 30)))
    >>> blocks = transform_blocks(grid, SlidingWindows(size=10), transform=FourierTransform())
    >>> [result.shape for _, result in blocks]
    [(15, 10, 10)]
    """
    counts, image = _checked(grid, windows)
    number = np.arange(counts[0] * counts[1]).reshape(counts)
    rows, columns = _spans(counts, windows)
    for row in rows:
        for column in columns:
            part = np.asarray(_part(image, windows, (row, column)))
            result = _block(part, windows, transform)
            yield number[slice(*row), slice(*column)].ravel(), result.reshape(-1, *result.shape[2:])


class _Function(Transform):
    """A function of the user."""

    def __init__(self, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self.function = function

    def axes(self, shape: tuple[int, int], *, step: float, unit: str) -> dict[str, Any]:  # noqa: ARG002
        """Return a dimension for each axis of the function's result."""
        found = np.asarray(self.apply(np.zeros((1, *shape)), np.ones(shape)))
        return {f"feature_{axis}": (np.arange(n), "1") for axis, n in enumerate(found.shape[1:])}

    def apply(self, patches: Float[np.ndarray, "window y x"], weight: Float[np.ndarray, "y x"]) -> np.ndarray:
        """Return what the function returns."""
        mean = np.einsum("wyx,yx->w", patches, weight) / weight.sum()
        found = np.asarray(self.function((patches - mean[:, None, None]) * weight))
        if found.ndim < 1 or len(found) != len(patches):
            raise InputError(
                "transform", expected=f"a function that returns a row for each of {len(patches)} windows",
                got=f"an array of shape {found.shape}",
            )  # fmt: skip
        return found


def _chosen(transform: Any) -> Transform:
    if isinstance(transform, Transform):
        return transform
    if not callable(transform):
        raise InputError("transform", expected="a Transform or a function", got=repr(transform))
    return _Function(transform)  # pyright: ignore[reportArgumentType]


def _checked(grid: xr.DataArray, windows: SlidingWindows) -> tuple[tuple[int, int], Any]:
    """Return how many windows there are, and the image's array."""
    check_grid(grid)
    if grid.dims != ("y", "x"):
        raise InputError(
            "grid", expected="one image with dimensions (y, x)", got=str(grid.dims),
            then="Select one, e.g. `grid.isel(frame=0)`.",
        )  # fmt: skip
    pixel_size_of(grid)
    return windows.counts((grid.sizes["y"], grid.sizes["x"])), grid.data


def _spans(counts: tuple[int, int], windows: SlidingWindows) -> tuple[list[Span], list[Span]]:
    """Return first and last row, and first and last column, of the blocks."""
    most = max(BLOCK_BYTES // (8 * windows.shape[0] * windows.shape[1]), 1)
    n_columns = min(counts[1], most)
    n_rows = min(counts[0], max(most // n_columns, 1))
    return tuple(
        [(first, min(first + n, count)) for first in range(0, count, n)]
        for count, n in zip(counts, (n_rows, n_columns), strict=True)
    )  # pyright: ignore[reportReturnType]


def _part(image: Any, windows: SlidingWindows, spans: tuple[Span, Span]) -> Any:
    """Return the part of the image that these rows and columns of windows see."""
    y, x = (
        slice(first * step, (last - 1) * step + size)
        for (first, last), step, size in zip(spans, windows.strides, windows.shape, strict=True)
    )
    return image[y, x]


def _block(part: np.ndarray, windows: SlidingWindows, transform: Transform) -> np.ndarray:
    """Return the transform of all windows inside a part of the image, as rows and columns."""
    views = sliding_window_view(np.asarray(part, dtype=np.float64), windows.shape)
    views = views[:: windows.strides[0], :: windows.strides[1]]
    found = np.asarray(transform.apply(views.reshape(-1, *windows.shape), windows.weight))
    return found.reshape(*views.shape[:2], *found.shape[1:])


def _lazy_block(
    image: Any, windows: SlidingWindows, transform: Transform, spans: tuple[Span, Span], inner: tuple[int, ...]
) -> da.Array:
    """Return one block as a Dask array of one chunk."""
    part = da.asarray(_part(image, windows, spans)).rechunk(-1)
    shape = tuple(last - first for first, last in spans) + inner
    return da.map_blocks(
        _block, part, windows, transform, dtype=transform.dtype, drop_axis=[0, 1], new_axis=list(range(len(shape))),
        chunks=tuple((n,) for n in shape), meta=np.empty((0,) * len(shape), dtype=transform.dtype),
    )  # fmt: skip
