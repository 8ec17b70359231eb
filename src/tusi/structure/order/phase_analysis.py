"""Geometric phase analysis: strain from the local phase of two lattice fringes of an image, with its error."""

import dataclasses

import numpy as np
import xarray as xr
from jaxtyping import Complex, Float
from scipy import fft, ndimage

from tusi.data import Descriptors, NoiseModel, check_image, length_unit_of, pixel_size_of
from tusi.errors import InputError
from tusi.imaging import estimate_noise
from tusi.structure.order.strains import FROM_GRADIENT, STRAIN_NAMES

MARGIN = 2.0
"""Pixels closer to the edge than this many widths are NaN: half of what they average over is missing."""

WEAKEST = 0.2
"""Pixels where a fringe is weaker than this share of its median amplitude are NaN."""

HIGHEST = 2
PADDING = 4.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GeometricPhase:
    """Strain of an image, pixel by pixel.

    Attributes
    ----------
    strain
        Channels strain_yy, strain_xx, strain_xy and rotation (rad), on the image's grid; NaN near the edge.
    standard_error
        Of each, from the noise of the pixels.
    fringes
        The two wave vectors (y, x) that were used, in cycles per length unit.
    width
        Standard deviation of the Gaussian that is averaged over, in the length unit.
    """

    strain: xr.DataArray
    standard_error: xr.DataArray
    fringes: Float[np.ndarray, "2 2"]
    width: float

    def at(self, position: Float[np.ndarray, "place 2"]) -> Descriptors:
        """Return strain and errors at these places (y, x), interpolated; columns as in `strain` of atoms."""
        scale = pixel_size_of(self.strain)
        origin = np.array([float(self.strain.coords[axis][0]) for axis in ("y", "x")])
        pixel = ((np.asarray(position, float) - origin) / scale).T
        columns = {}
        for name in STRAIN_NAMES:
            value, error = (
                ndimage.map_coordinates(grid.sel(channel=name).values, pixel, order=1, cval=np.nan)
                for grid in (self.strain, self.standard_error)
            )
            columns[name] = (value, error, "rad" if name == "rotation" else "1")
        return Descriptors.of(np.asarray(position, float), columns, length_unit=length_unit_of(self.strain))


def geometric_phase(
    grid: xr.DataArray,
    *,
    vectors: Float[np.ndarray, "2 2"],
    width: float | None = None,
    noise: NoiseModel | None = None,
) -> GeometricPhase:
    """Measure strain and rotation from the phases of two lattice fringes.

    The image is multiplied by exp(-2 pi i g . r) for the two strongest independent fringes g of the reference lattice
    and averaged over a Gaussian; the gradient of the phase that is left gives the displacement's gradient. Everything
    is linear in the image before the phase is taken, so noise passes through exactly to first order, also where it is
    stronger on bright columns. Errors of neighbouring pixels are alike over the width of the Gaussian. The shift of
    whole scan lines is not in the noise of a pixel, nor in these errors.

    Parameters
    ----------
    grid
        One image.
    vectors
        Lattice vectors of the reference as rows (y, x), in the grid's length unit, turned as the crystal is.
    width
        Standard deviation of the Gaussian, in the length unit; `None` takes the mean length of the vectors. Strain on
        shorter scales is smoothed.
    noise
        Noise of a pixel; `None` estimates it from the image.

    Returns
    -------
    GeometricPhase
        Maps of strain and of its standard error.

    Raises
    ------
    InputError
        The grid is not one finite image, the vectors are no lattice, or the width is not positive.

    References
    ----------
    .. [1] M. J. Hytch, E. Snoeck, R. Kilaas, "Quantitative measurement of displacement and strain fields from HREM
       micrographs", Ultramicroscopy 74, 131 (1998).

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> y, x = np.mgrid[:96, :96]
    >>> image = 100 + 50 * np.cos(2 * np.pi * x / 8.08) + 50 * np.cos(2 * np.pi * y / 8)
    >>> map = geometric_phase(make_grid(image), vectors=8.0 * np.eye(2), noise=NoiseModel(gain=1.0))
    >>> round(float(map.strain.sel(channel="strain_xx").values[48, 48]), 3)
    0.01
    """
    check_image(grid)
    vectors = np.asarray(vectors, float)
    if vectors.shape != (2, 2) or not np.isfinite(vectors).all() or np.linalg.det(vectors) == 0:
        raise InputError("vectors", expected="two independent lattice vectors (y, x)", got=str(vectors.tolist()))
    scale = pixel_size_of(grid)
    width = float(np.linalg.norm(vectors, axis=1).mean()) if width is None else width
    if not width / scale >= 1:
        raise InputError("width", expected=f"at least a pixel, {scale:g}", got=str(width))
    noise = estimate_noise(grid) if noise is None else noise
    image = grid.values.astype(np.float64)
    window = _Window.of(image.shape, width / scale)
    variance = noise.variance(image) * noise.correlation_area
    waves = _fringes(window, image - image.mean(), scale * np.linalg.inv(vectors).T)
    slopes, strength, good = [], [], np.ones(image.shape, bool)
    for wave in waves:
        mean, slope = window.average(image - image.mean(), wave)
        size = np.abs(mean)
        good &= size > WEAKEST * np.median(size)
        mean = np.where(size > 0, mean, 1.0)
        slopes.append((slope / mean).imag)
        strength.append(mean)
    dual = np.linalg.inv(waves).T
    sums = -np.einsum("dij,ai->daj", FROM_GRADIENT, dual) / (2 * np.pi)
    error = np.sqrt(_variance(window, variance, (waves, np.array(strength)), sums))
    margin = int(np.ceil(MARGIN * width / scale))
    good &= ndimage.binary_erosion(np.ones(image.shape, bool), iterations=margin) if margin else True
    value = np.einsum("daj,ajyx->dyx", sums, np.array(slopes))
    value[:, ~good] = error[:, ~good] = np.nan
    return GeometricPhase(
        strain=_channels(grid, value, "strain"),
        standard_error=_channels(grid, error, "standard error of strain"),
        fringes=waves / scale,
        width=width,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Window:
    """A Gaussian average in the frame of an image, zero outside of it, done by Fourier transform; lengths in pixels."""

    shape: tuple[int, int]
    width: float
    padded: tuple[int, int]
    frequency: tuple[Float[np.ndarray, "y 1"], Float[np.ndarray, " x"]]

    @classmethod
    def of(cls, shape: tuple[int, ...], width: float) -> "_Window":
        rows, columns = (fft.next_fast_len(int(n + PADDING * width)) for n in shape)
        frequency = (np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns))
        return cls(shape=(shape[0], shape[1]), width=width, padded=(rows, columns), frequency=frequency)

    def carried(self, values: Float[np.ndarray, "y x"], wave: Float[np.ndarray, "2"]) -> Complex[np.ndarray, "v u"]:
        """Return the transform of the values with a wave taken out."""
        y, x = np.arange(self.shape[0])[:, None], np.arange(self.shape[1])
        return fft.fft2(values * (np.exp(-2j * np.pi * wave[0] * y) * np.exp(-2j * np.pi * wave[1] * x)), self.padded)

    def back(self, transform: Complex[np.ndarray, "v u"]) -> Complex[np.ndarray, "y x"]:
        """Return the inverse transform inside the image."""
        return fft.ifft2(transform)[: self.shape[0], : self.shape[1]]

    def gaussian(self, width: float) -> Float[np.ndarray, "v u"]:
        """Return the transform of a Gaussian of this width."""
        v, u = self.frequency
        return np.exp(-2 * np.pi**2 * width**2 * v**2) * np.exp(-2 * np.pi**2 * width**2 * u**2)

    def average(
        self, values: Float[np.ndarray, "y x"], wave: Float[np.ndarray, "2"]
    ) -> tuple[Complex[np.ndarray, "y x"], Complex[np.ndarray, "axis y x"]]:
        """Return the local amplitude of a wave and its gradient, per pixel."""
        smooth = self.carried(values, wave) * self.gaussian(self.width)
        slope = [self.back(2j * np.pi * frequency * smooth) for frequency in self.frequency]
        return self.back(smooth), np.array(slope)

    def noise(
        self, variance: Float[np.ndarray, "y x"], wave: Float[np.ndarray, "2"]
    ) -> Complex[np.ndarray, "axis axis y x"]:
        """Return the sums of a variance times a wave with the products of the Gaussian's derivatives."""
        v, u = self.frequency
        carried = self.carried(variance, wave) * self.gaussian(self.width / np.sqrt(2)) / (4 * np.pi * self.width**2)
        level = 1 / (2 * self.width**2)
        yy = self.back(carried * (level - np.pi**2 * v**2))
        xx = self.back(carried * (level - np.pi**2 * u**2))
        yx = self.back(carried * (-(np.pi**2) * v * u))
        return np.array([[yy, yx], [yx, xx]])


def _variance(
    window: _Window,
    variance: Float[np.ndarray, "y x"],
    fringes: tuple[Float[np.ndarray, "2 2"], Complex[np.ndarray, "2 y x"]],
    sums: Float[np.ndarray, "4 2 2"],
) -> Float[np.ndarray, "4 y x"]:
    """Return the variance of strain and rotation from that of the pixels."""
    waves, strength = fringes
    total = np.zeros((len(sums), *window.shape))
    for a in range(2):
        for b in range(a, 2):
            twice = 1 if a == b else 2
            product = strength[a] * strength[b]
            same = window.noise(variance, waves[a] - waves[b]) / (strength[a] * strength[b].conj())
            opposite = window.noise(variance, waves[a] + waves[b]) / product
            covariance = 0.5 * (same - opposite).real
            total += twice * np.einsum("dj,dk,jkyx->dyx", sums[:, a], sums[:, b], covariance)
    return np.maximum(total, 0.0)


def _fringes(
    window: _Window, image: Float[np.ndarray, "y x"], reciprocal: Float[np.ndarray, "2 2"]
) -> Float[np.ndarray, "2 2"]:
    """Return the two strongest independent fringes among low multiples of the reciprocal vectors, cycles per pixel."""
    span = np.arange(-HIGHEST, HIGHEST + 1)
    order = np.stack(np.meshgrid(span, span, indexing="ij"), axis=-1).reshape(-1, 2)
    order = order[(order[:, 0] > 0) | ((order[:, 0] == 0) & (order[:, 1] > 0))]
    waves = order @ reciprocal
    inside = np.abs(waves).max(axis=1) < 0.5
    order, waves = order[inside], waves[inside]
    power = np.abs(fft.fft2(image * np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1]), window.padded))
    near = np.rint(waves * np.array(window.padded)).astype(int)
    reach = max(2, int(np.ceil(max(window.padded) / (2 * np.pi * window.width))))
    strength = ndimage.maximum_filter(power, 2 * reach + 1, mode="wrap")[tuple((near % np.array(window.padded)).T)]
    ranked = np.argsort(-strength, kind="stable")
    for other in ranked[1:]:
        if np.linalg.det(order[[ranked[0], other]]):
            return waves[[ranked[0], other]]
    raise InputError("vectors", expected="fringes longer than two pixels", got="none", then="Use a finer image.")


def _channels(grid: xr.DataArray, values: Float[np.ndarray, "4 y x"], name: str) -> xr.DataArray:
    """Return maps as channels on the grid of an image."""
    channel = xr.DataArray(list(STRAIN_NAMES), dims="channel", attrs={"units": ""})
    coords = {"channel": channel, "y": grid.coords["y"], "x": grid.coords["x"]}
    return xr.DataArray(values, dims=("channel", "y", "x"), coords=coords, name=name)
