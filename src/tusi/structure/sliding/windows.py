"""Where windows lie on an image, and how they fade towards their borders."""

import dataclasses
import functools

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.signal import get_window

from tusi.data import check_image
from tusi.errors import InputError

_LEAST_SIZE, _PERIODS = 4, 8
_SMALLEST_DEFAULT, _LARGEST_FRACTION = 24, 4
_N_ANGLES, _N_OFFSETS, _N_SHARES = 8, 256, 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlidingWindows:
    """Windows of one size on a regular grid of places, all wholly inside the image.

    Attributes
    ----------
    size
        Height and width of a window, in pixels; one number for square windows.
    step
        Distance between neighbouring windows along y and x, in pixels; half the size by default.
    taper
        Window function: any name that `scipy.signal.get_window` knows, as "hann", or "boxcar" for none.

    Examples
    --------
    >>> windows = SlidingWindows(size=(8, 16))
    >>> windows.step, windows.counts((32, 64))
    ((4, 8), (7, 7))
    """

    size: tuple[int, int] | int = 32
    step: tuple[int, int] | int | None = None
    taper: str = "hann"

    def __post_init__(self) -> None:
        size = _pair("size", self.size)
        step = _pair("step", self.step) if self.step is not None else (max(size[0] // 2, 1), max(size[1] // 2, 1))
        if min(size) < _LEAST_SIZE:
            raise InputError("size", expected=f"at least {_LEAST_SIZE} pixels along each side", got=str(size))
        if min(step) < 1:
            raise InputError("step", expected="at least 1 pixel", got=str(step))
        try:
            get_window(self.taper, 8)
        except ValueError:
            raise InputError("taper", expected="a name of a window function, as 'hann'", got=repr(self.taper)) from None
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "step", step)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a window, in pixels."""
        return _pair("size", self.size)

    @property
    def strides(self) -> tuple[int, int]:
        """Distance between neighbouring windows along y and x, in pixels."""
        return _pair("step", self.step)

    @functools.cached_property
    def weight(self) -> Float[np.ndarray, "y x"]:
        """The window function: the product of one along y and one along x, periodic in the window's size."""
        along_y, along_x = (get_window(self.taper, n, fftbins=True) for n in self.shape)
        return along_y[:, None] * along_x

    def counts(self, image_shape: tuple[int, int]) -> tuple[int, int]:
        """Return how many windows fit along y and x.

        Raises
        ------
        InputError
            A window is larger than the image.
        """
        if any(n < size for n, size in zip(image_shape, self.shape, strict=True)):
            raise InputError(
                "size", expected=f"windows inside the image of {image_shape[0]} x {image_shape[1]} pixels",
                got=f"{self.shape[0]} x {self.shape[1]}", then="Take smaller windows.",
            )  # fmt: skip
        n_y, n_x = ((n - size) // step + 1 for n, size, step in zip(image_shape, self.shape, self.strides, strict=True))
        return n_y, n_x

    def centres(self, grid: xr.DataArray) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, " column"]]:
        """Return y and x of the windows' centres, in the grid's length unit."""
        n_y, n_x = self.counts((grid.sizes["y"], grid.sizes["x"]))
        places = []
        for dim, n, size, step in zip(("y", "x"), (n_y, n_x), self.shape, self.strides, strict=True):
            along = grid.coords[dim].values
            first = step * np.arange(n)
            places.append((along[first] + along[first + size - 1]) / 2)
        return places[0], places[1]

    @property
    def shared_power(self) -> float:
        """Windows per independent window: the sum, over all neighbours, of the correlation of noisy powers.

        Two windows share pixels, each with the fourth power of the window function as its weight in a power.
        """
        return float(np.prod([self._shared(axis) for axis in (0, 1)]))

    @functools.cached_property
    def interface_shares(self) -> Float[np.ndarray, " quantile"]:
        """Share of one of two phases in a window that a straight interface crosses: quantiles, evenly from 0 to 1.

        The interface lies in any direction and at any place; every pixel counts with its squared weight, as in a power.
        Small shares are common, because windows fade towards their borders.
        """
        y, x = np.indices(self.shape)
        squared = (self.weight**2).ravel() / (self.weight**2).sum()
        diagonal, shares = float(np.hypot(*self.shape)), []
        for angle in np.pi * (np.arange(_N_ANGLES) + 0.5) / (2 * _N_ANGLES):
            along = (y * np.cos(angle) + x * np.sin(angle)).ravel()
            order = np.argsort(along)
            places = np.arange(along.min(), along.max(), diagonal / _N_OFFSETS)
            shares.append(np.interp(places, along[order], np.cumsum(squared[order])))
        found = np.quantile(np.concatenate(shares), np.linspace(0.0, 1.0, _N_SHARES + 1))
        found = 0.5 * (found + 1.0 - found[::-1])
        return np.concatenate([[0.0], found[1:-1], [1.0]])

    def _shared(self, axis: int) -> float:
        size, step = self.shape[axis], self.strides[axis]
        squared = get_window(self.taper, size, fftbins=True) ** 2
        lags = np.arange(step, size, step)
        return 1.0 + 2.0 * sum(float(squared[lag:] @ squared[: size - lag]) for lag in lags) / float(squared @ squared)


def windows_for(grid: xr.DataArray) -> SlidingWindows:
    """Return windows of about eight periods of the image's strongest modulation, overlapping by half.

    The period is that of the highest peak in the power spectrum of the whole image, shorter than an eighth of its side.
    The windows have at least 24 pixels along each side and at most a quarter of the image's shorter side.

    Parameters
    ----------
    grid
        One image.

    Returns
    -------
    SlidingWindows
        Square windows with a Hann window function.

    Raises
    ------
    InputError
        Not one image of finite values.

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> y, x = np.mgrid[:256, :256]
    >>> windows_for(make_grid(np.cos(2 * np.pi * x / 6.0))).shape
    (48, 48)
    """
    image = np.asarray(check_image(grid).values, dtype=np.float64)
    side = min(image.shape)
    if side < 2 * _LEAST_SIZE:
        raise InputError("grid", expected=f"at least {2 * _LEAST_SIZE} pixels along each side", got=str(image.shape))
    weight = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])
    power = np.abs(np.fft.rfft2((image - image.mean()) * weight)) ** 2
    frequency = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1]))
    power[frequency < 8.0 / side] = 0.0
    strongest = float(frequency.ravel()[power.argmax()])
    wanted = _PERIODS / strongest if power.max() > 0 else _SMALLEST_DEFAULT
    size = int(np.clip(2 * round(wanted / 2), _SMALLEST_DEFAULT, max(side // _LARGEST_FRACTION, _LEAST_SIZE)))
    return SlidingWindows(size=size)


def _pair(name: str, value: tuple[int, int] | int | None) -> tuple[int, int]:
    """Return one or two whole numbers as two."""
    values = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(values) != 2 or any(not isinstance(one, int | np.integer) for one in values):
        raise InputError(name, expected="one or two whole numbers", got=str(value))
    return int(values[0]), int(values[1])  # pyright: ignore[reportArgumentType]
