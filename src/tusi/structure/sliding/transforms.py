"""What is done to each window: Fourier, Radon, structure tensor; the class to derive one's own from."""

import dataclasses
from abc import ABC, abstractmethod

import numpy as np
import scipy.fft as fft
from jaxtyping import Float, Num
from scipy.ndimage import map_coordinates

from tusi.errors import InputError

Axis = tuple[np.ndarray, str]
"""Coordinates along a dimension and their unit."""

_PARTS = ("amplitude", "power", "complex")


class Transform(ABC):
    """A transform of windows, all at once; derive from it and give `axes` and `apply`.

    Examples
    --------
    >>> class Contrast(Transform):
    ...     def axes(self, shape, *, step, unit):
    ...         return {}
    ...
    ...     def apply(self, patches, weight):
    ...         return patches.std(axis=(1, 2))
    """

    dtype: type = np.float64

    @abstractmethod
    def axes(self, shape: tuple[int, int], *, step: float, unit: str) -> dict[str, Axis]:
        """Return the dimensions of one window's result: name, coordinates, unit.

        Parameters
        ----------
        shape
            Height and width of a window, in pixels.
        step
            Side of a pixel.
        unit
            Unit of `step`.
        """

    @abstractmethod
    def apply(self, patches: Float[np.ndarray, "window y x"], weight: Float[np.ndarray, "y x"]) -> np.ndarray:
        """Return the result for each window.

        Parameters
        ----------
        patches
            Windows of the image as they are, in signal units.
        weight
            Window function, 1 or less.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class FourierTransform(Transform):
    """The discrete Fourier transform of each window, frequency zero in the middle.

    The mean under the window function is taken away before the window is faded out, so that the brightness does not
    leak into the low frequencies. The magnitude of a crystal's peak does not change when the window moves, as long as
    its neighbours lie more than the width of the window function's spectrum away (two steps of frequency for "hann").

    Attributes
    ----------
    part
        "amplitude" (the magnitude), "power" (its square) or "complex". The phase of "complex" is that at each window's
        own corner.

    Examples
    --------
    >>> patches = np.random.default_rng(1).standard_normal((1, 8, 6))
    >>> power = FourierTransform(part="power").apply(patches, np.ones((8, 6)))[0]
    >>> bool(np.isclose(power.sum() / power.size, ((patches - patches.mean()) ** 2).sum()))
    True
    """

    part: str = "amplitude"

    def __post_init__(self) -> None:
        if self.part not in _PARTS:
            raise InputError("part", expected=f"one of {', '.join(_PARTS)}", got=repr(self.part))

    @property
    def dtype(self) -> type:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Type of the values."""
        return np.complex128 if self.part == "complex" else np.float64

    def axes(self, shape: tuple[int, int], *, step: float, unit: str) -> dict[str, Axis]:
        """Return the frequencies `ky` and `kx`, in cycles per length unit."""
        return {
            name: (fft.fftshift(fft.fftfreq(n, step)), f"1/{unit}") for name, n in zip(("ky", "kx"), shape, strict=True)
        }

    def apply(self, patches: Float[np.ndarray, "window y x"], weight: Float[np.ndarray, "y x"]) -> np.ndarray:
        """Return the spectrum of each window."""
        found = fft.fftshift(fft.fft2(faded(patches, weight)), axes=(1, 2))
        if self.part == "complex":
            return found
        power = found.real**2 + found.imag**2
        return power if self.part == "power" else np.sqrt(power)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RadonTransform(Transform):
    """Mean of each window along lines: one profile for each direction, through the disc inside the window.

    Lines are sampled with cubic splines. A line has the angle `angle` from the x axis towards the y axis and the
    distance `offset` from the centre.

    Attributes
    ----------
    n_angles
        Directions, evenly from 0 up to 180 degrees.

    Examples
    --------
    >>> stripes = np.cos(2 * np.pi * np.arange(16) / 4)[None, :, None] * np.ones((1, 16, 16))
    >>> profiles = RadonTransform(n_angles=4).apply(stripes, np.ones((16, 16)))[0]
    >>> int(profiles.std(axis=1).argmax())
    0
    """

    n_angles: int = 36

    def __post_init__(self) -> None:
        if self.n_angles < 1:
            raise InputError("n_angles", expected="at least one direction", got=str(self.n_angles))

    def axes(self, shape: tuple[int, int], *, step: float, unit: str) -> dict[str, Axis]:
        """Return `angle` in degrees and `offset` in the length unit."""
        n = min(shape)
        return {
            "angle": (180.0 * np.arange(self.n_angles) / self.n_angles, "degree"),
            "offset": ((np.arange(n) - (n - 1) / 2) * step, unit),
        }

    def apply(self, patches: Float[np.ndarray, "window y x"], weight: Float[np.ndarray, "y x"]) -> np.ndarray:
        """Return the profiles of each window."""
        n = min(weight.shape)
        along = np.arange(n) - (n - 1) / 2
        inside = np.hypot(along[:, None], along) <= n / 2
        angle = np.pi * np.arange(self.n_angles)[:, None, None] / self.n_angles
        offset, place = along[:, None], along
        y = (weight.shape[0] - 1) / 2 + offset * np.cos(angle) + place * np.sin(angle)
        x = (weight.shape[1] - 1) / 2 - offset * np.sin(angle) + place * np.cos(angle)
        centred = _centred(patches, weight)
        lines = np.stack([map_coordinates(one, (y, x), order=3, mode="nearest") for one in centred])
        shares = inside * map_coordinates(weight, (y, x), order=1, mode="nearest")
        total = shares.sum(axis=-1)
        return (lines * shares).sum(axis=-1) / np.where(total > 0, total, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StructureTensor(Transform):
    """Products of the gradient's components, averaged over each window: yy, yx, xx, per pixel squared.

    The eigenvector of the smaller eigenvalue is the direction along which the image changes least.

    Examples
    --------
    >>> ramp = np.arange(8.0)[None, None, :] * np.ones((1, 8, 8))
    >>> StructureTensor().apply(ramp, np.ones((8, 8)))[0].tolist()
    [0.0, 0.0, 1.0]
    """

    def axes(self, shape: tuple[int, int], *, step: float, unit: str) -> dict[str, Axis]:  # noqa: ARG002
        """Return `component`: yy, yx, xx."""
        return {"component": (np.array(["yy", "yx", "xx"]), "1")}

    def apply(self, patches: Float[np.ndarray, "window y x"], weight: Float[np.ndarray, "y x"]) -> np.ndarray:
        """Return the three components for each window."""
        along_y, along_x = np.gradient(patches, axis=(1, 2))
        pairs = ((along_y, along_y), (along_y, along_x), (along_x, along_x))
        return np.stack([np.einsum("wyx,wyx,yx->w", a, b, weight) for a, b in pairs], axis=1) / weight.sum()


def faded(patches: Num[np.ndarray, "window y x"], weight: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "window y x"]:
    """Return the windows without their mean under the window function, faded out by it.

    Examples
    --------
    >>> faded(np.ones((1, 4, 4)), np.ones((4, 4))).any().item()
    False
    """
    return _centred(patches, weight) * weight


def _centred(patches: Num[np.ndarray, "window y x"], weight: Float[np.ndarray, "y x"]) -> np.ndarray:
    """Return the windows without their mean under the window function."""
    mean = np.einsum("wyx,yx->w", patches, weight) / weight.sum()
    return patches - mean[:, None, None]
