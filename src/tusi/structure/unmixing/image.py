"""An image in windows, each unmixed into phases: maps, what each phase looks like, and what it explains."""

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.fft as fft
import xarray as xr
from jaxtyping import Float, Int

from tusi.data import Descriptors, check_image, length_unit_of, pixel_size_of
from tusi.errors import InputError
from tusi.structure.sliding.apply import transform_blocks
from tusi.structure.sliding.windows import SlidingWindows, windows_for
from tusi.structure.unmixing.bayesian import BayesianMixture, BayesianUnmixing, unmix_bayesian
from tusi.structure.unmixing.noise import FeatureNoise
from tusi.structure.unmixing.tiles import PowerSpectra, WindowPower, measure_spots

MIXING = 0.3
"""Relative error of the power of spots as a measure of area in windows over an interface; measured by simulation."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ImageUnmixing:
    """Phases of an image, from the local spectra of its windows.

    Attributes
    ----------
    windows
        Size, step and window function.
    mixture
        End members and abundances; windows row by row over the image, features are the spots.
    y, x
        Centres of the windows, in the image's length unit.
    spectrum
        Mean power spectrum of the windows inside each end member, noise floor taken away, frequency zero in the middle.
    spot
        Number of the spot (a feature of `mixture`) that each frequency belongs to, -1 for none.
    noise_deviation
        Standard deviation of a pixel's noise, in signal units.
    pixel_size
        Side of a pixel, in the length unit.
    length_unit
        "angstrom" or "pixel".
    """

    windows: SlidingWindows
    mixture: BayesianMixture
    y: Float[np.ndarray, " row"]
    x: Float[np.ndarray, " column"]
    spectrum: Float[np.ndarray, "end_member ky kx"]
    spot: Int[np.ndarray, "ky kx"]
    noise_deviation: float
    pixel_size: float
    length_unit: str

    @property
    def shape(self) -> tuple[int, int]:
        """Windows along y and x."""
        return len(self.y), len(self.x)

    def maps(self) -> xr.Dataset:
        """Return abundances, ends of intervals, and what each window is, as maps over the windows' centres."""
        mixture = self.mixture
        stacked = {"abundance": mixture.abundance, "low": mixture.low, "high": mixture.high}
        flat = {"inside": mixture.inside, "inside_probability": mixture.inside_probability, "misfit": mixture.misfit}
        variables = {name: (("y", "x", "end_member"), one.reshape(*self.shape, -1)) for name, one in stacked.items()}
        variables |= {name: (("y", "x"), one.reshape(self.shape)) for name, one in flat.items()}
        unit = {"units": self.length_unit}
        return xr.Dataset(variables, coords={"y": ("y", self.y, unit), "x": ("x", self.x, unit)})

    def descriptors(self, *, image: int = 0) -> Descriptors:
        """Return the abundances as a table with covariances, one row for each window.

        Parameters
        ----------
        image
            Number of the image.
        """
        n = self.mixture.n_end_members
        position = np.stack(np.meshgrid(self.y, self.x, indexing="ij"), axis=-1).reshape(-1, 2)
        return Descriptors(
            position=position, value=self.mixture.abundance, covariance=self.mixture.covariance,
            atom=np.full(len(position), -1), image=np.full(len(position), image),
            names=tuple(f"abundance_{k + 1}" for k in range(n)), units=("1",) * n, length_unit=self.length_unit,
        )  # fmt: skip

    def filtered(self, grid: xr.DataArray, end_member: int) -> xr.DataArray:
        """Return what one end member explains of the image: its spots alone, in the windows' own transforms.

        A spot passes by the end member's share of the power of all end members there. Windows are faded out,
        filtered, and added where they overlap.

        Parameters
        ----------
        grid
            The image.
        end_member
            Number of the end member.
        """
        if not 0 <= end_member < self.mixture.n_end_members:
            raise InputError("end_member", expected=f"0 to {self.mixture.n_end_members - 1}", got=str(end_member))
        return filter_image(grid, self.windows, mask=self._mask(end_member))

    def _mask(self, end_member: int) -> Float[np.ndarray, "ky kx"]:
        """Return the factor for each frequency, zero in the middle, the same for opposite ones."""
        power = np.maximum(self.mixture.end_member, 0.0)
        share = power[end_member] / np.maximum(power.sum(axis=0), 1e-300)
        mask = np.where(self.spot >= 0, np.append(share, 0.0)[self.spot], 0.0)
        opposite = np.roll(mask[::-1, ::-1], tuple((n + 1) % 2 for n in mask.shape), axis=(0, 1))
        return np.maximum(mask, opposite)


def unmix_image(
    grid: xr.DataArray,
    *,
    rng: np.random.Generator,
    windows: SlidingWindows | None = None,
    settings: BayesianUnmixing = BayesianUnmixing(),
    progress: Callable[[int, int], None] | None = None,
) -> ImageUnmixing:
    """Find the phases of an image and how much of each lies in every window.

    Features are the powers of the spots of each window's spectrum, above the noise floor: inside a phase they do not
    change when the window moves, and over an interface they mix by area, within some per cent (the window function
    enters squared). See `unmix_bayesian` for the unmixing. Windows over an interface are flagged, as their abundances
    also carry the error of linear mixing. Phases whose spots lie within two steps of frequency of each other look
    alike: larger windows tell them apart. A window should hold four periods or more of the largest cell.

    Parameters
    ----------
    grid
        One image; Dask-backed images are read block by block.
    rng
        Source of randomness.
    windows
        Size, step and window function; by default of eight periods, overlapping by half (`windows_for`).
    settings
        Numbers of end members to choose from, and the level of the intervals.
    progress
        Told of (steps done, steps in all).

    Returns
    -------
    ImageUnmixing
        Abundances, end members, and what each window is.

    Raises
    ------
    InputError
        Not one finite image, fewer than eight windows, or no spots in any spectrum.

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> rng = np.random.default_rng(1)
    >>> y, x = np.mgrid[:128, :128]
    >>> wave = np.where(x < 64, np.cos(2 * np.pi * x / 6.0), np.cos(2 * np.pi * y / 5.0))
    >>> found = unmix_image(
    ...     make_grid(wave + 0.3 * rng.standard_normal(wave.shape)), rng=rng, windows=SlidingWindows(size=32)
    ... )
    >>> found.mixture.n_end_members, found.maps().inside[0, [0, 3, 6]].values.tolist()
    (2, [0, -1, 1])
    """
    check_image(grid)
    if float(grid.min()) == float(grid.max()):
        raise InputError("grid", expected="an image with contrast", got="the same value in every pixel")
    windows = windows_for(grid) if windows is None else windows
    spectra = measure_spots(grid, windows)
    if progress is not None:
        progress(1, 3)
    if spectra.power.shape[1] == 0:
        raise InputError("grid", expected="an image with periodic structure", got="no spot above the noise",
                         then="Try larger windows.")  # fmt: skip
    noise = FeatureNoise(constant=spectra.constant, slope=spectra.slope, scale=spectra.noise_scale, mixing=MIXING)
    mixture = unmix_bayesian(
        spectra.power, rng=rng, settings=settings, noise=noise,
        shared=windows.shared_power, edge_shares=windows.interface_shares,
    )  # fmt: skip
    if progress is not None:
        progress(2, 3)
    y, x = windows.centres(grid)
    result = ImageUnmixing(
        windows=windows, mixture=mixture, y=y, x=x, spectrum=_spectra(grid, windows, mixture, spectra),
        spot=spectra.spot, noise_deviation=spectra.noise_deviation, pixel_size=pixel_size_of(grid),
        length_unit=length_unit_of(grid),
    )  # fmt: skip
    if progress is not None:
        progress(3, 3)
    return result


def filter_image(grid: xr.DataArray, windows: SlidingWindows, *, mask: Float[np.ndarray, "ky kx"]) -> xr.DataArray:
    """Return the image with a factor on each frequency of its windows, by overlap and add.

    Parameters
    ----------
    grid
        One image.
    windows
        Size, step and window function; the steps must let windows overlap.
    mask
        Factor for each frequency of a window, zero in the middle, the same for opposite frequencies.

    Returns
    -------
    xarray.DataArray
        An image of the same shape, without its mean.

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> x = np.arange(64) * np.ones((64, 1))
    >>> wave = np.cos(2 * np.pi * x / 4)
    >>> windows = SlidingWindows(size=16)
    >>> both = filter_image(make_grid(wave + 5.0), windows, mask=np.ones((16, 16)))
    >>> bool(np.abs(both.values - wave).max() < 1e-9)
    True
    """
    if mask.shape != windows.shape:
        raise InputError("mask", expected=f"shape {windows.shape}", got=str(mask.shape))
    pad = [(size, size + step) for size, step in zip(windows.shape, windows.strides, strict=True)]
    image = np.pad(np.asarray(grid.values, dtype=np.float64), pad, mode="reflect")
    image = image - grid.values.mean()
    total, weight = np.zeros(image.shape), np.zeros(image.shape)
    factor = fft.ifftshift(mask)
    counts = windows.counts((image.shape[0], image.shape[1]))
    height, width = windows.shape
    for row in range(counts[0]):
        top = row * windows.strides[0]
        lefts = windows.strides[1] * np.arange(counts[1])
        patches = np.stack([image[top : top + height, left : left + width] for left in lefts])
        passed = fft.ifft2(fft.fft2(patches * windows.weight) * factor).real * windows.weight
        for left, patch in zip(lefts, passed, strict=True):
            total[top : top + height, left : left + width] += patch
            weight[top : top + height, left : left + width] += windows.weight**2
    inner = tuple(slice(before, before + n) for (before, _), n in zip(pad, grid.shape, strict=True))
    values = total[inner] / np.maximum(weight[inner], 1e-12)
    return grid.copy(data=values)


def _spectra(
    grid: xr.DataArray, windows: SlidingWindows, mixture: BayesianMixture, spectra: PowerSpectra
) -> Float[np.ndarray, "end_member ky kx"]:
    """Return the mean spectrum of the windows inside each end member, noise floor taken away."""
    member = (mixture.inside[:, None] == np.arange(mixture.n_end_members)).astype(float)
    total = np.zeros((mixture.n_end_members, windows.weight.size))
    for number, block in transform_blocks(grid, windows, transform=WindowPower()):
        total += member[number].T @ block
    mean = total / np.maximum(member.sum(axis=0), 1.0)[:, None]
    return np.maximum(mean.reshape(-1, *windows.shape) - spectra.floor, 0.0)
