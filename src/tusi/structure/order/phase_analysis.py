"""Geometric phase analysis: strain from the local phase of two lattice fringes of an image, with its error."""

import dataclasses

import numpy as np
import xarray as xr
from jaxtyping import Bool, Complex, Float
from scipy import fft, ndimage
from scipy.special import ndtr

from tusi.data import Descriptors, NoiseModel, check_image, length_unit_of, pixel_size_of
from tusi.errors import InputError
from tusi.imaging import estimate_noise
from tusi.structure.order.strains import FROM_GRADIENT, STRAIN_NAMES

MARGIN = 3.0
"""Pixels closer to the edge than this many widths are NaN: a cut Gaussian lets other fringes through."""

WEAKEST = 0.2
"""Pixels where a fringe is weaker than this share of its median amplitude are NaN."""

HIGHEST = 2
PADDING = 4.0

POOL = 3.0
"""Widths over which the loss by smoothing is averaged."""

NOISE_OF_LOSS = 1.0 + 1.0 / 4.0 - 8.0 / 9.0
"""Variance of a strain map less its average over the same Gaussian again, over that of the map, from white noise."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GeometricPhase:
    """Strain of an image, pixel by pixel.

    Attributes
    ----------
    strain
        Channels strain_yy, strain_xx, strain_xy and rotation (rad), on the image's grid; NaN near the edge.
    standard_error
        Of each, from the noise of the pixels and from smoothing.
    smoothing
        Estimate of how much the average over the Gaussian takes from the strain where it bends; root mean square over
        three widths, so that it does not vanish where the field happens to be straight.
    resolved
        Where no component has lost more to smoothing than its error from noise.
    fringes
        The two wave vectors (y, x) that were used, in cycles per length unit.
    width
        Standard deviation of the Gaussian that is averaged over, in the length unit.
    """

    strain: xr.DataArray
    standard_error: xr.DataArray
    smoothing: xr.DataArray
    resolved: xr.DataArray
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

    The two strongest independent fringes of the reference lattice are taken out of the image as plane waves of their
    mean frequency. What is left is averaged over a Gaussian; the gradient of its phase is the local frequency. The
    strain is that of the map from the reference to the image (du/dX), as from atoms, not of its inverse. Everything is
    linear in the image before the phase is taken, so noise passes through to first order, also where it is stronger on
    bright columns. Errors of neighbouring pixels are alike over the width of the Gaussian. Strain that bends within the
    Gaussian is smoothed: averaging it once more says by how much, and that much is added to the error, in quadrature.
    That is low by a third for waves as short as seven widths, which `resolved` leaves out. The shift of whole scan
    lines is not in the noise of a pixel, nor in these errors.

    Parameters
    ----------
    grid
        One image.
    vectors
        Lattice vectors of the reference as rows (y, x), in the grid's length unit, turned as the crystal is.
    width
        Standard deviation of the Gaussian, in the length unit; `None` takes the mean length of the vectors.
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
    image -= image.mean()
    reference = _fringes(window, image, scale * np.linalg.inv(vectors).T)
    waves = np.array([wave + window.mean_shift(image, wave) for wave in reference])
    strength, slope = (np.array(part) for part in zip(*(window.average(image, wave) for wave in waves), strict=True))
    size = np.abs(strength)
    good = (size > WEAKEST * np.median(size, axis=(1, 2), keepdims=True)).all(axis=0)
    strength = np.where(size > 0, strength, 1.0)
    local = waves[:, :, None, None] + (slope / strength[:, None]).imag / (2 * np.pi)
    gradient = np.linalg.inv(np.where(good, local, waves[:, :, None, None]).transpose(2, 3, 0, 1)) @ reference
    value = np.einsum("dij,yxij->dyx", FROM_GRADIENT, gradient - np.eye(2))
    back = np.linalg.inv(waves)
    sums = -np.einsum("dij,ia,lj->dal", FROM_GRADIENT, back, back @ reference) / (2 * np.pi)
    error = np.sqrt(_variance(window, variance, (waves, strength), sums))
    margin = int(np.ceil(MARGIN * width / scale))
    good = good & ndimage.binary_erosion(np.ones(image.shape, bool), iterations=margin)
    lost = _smoothing(value, error, good, width / scale)
    resolved = good & (lost <= error).all(axis=0)
    value[:, ~good] = error[:, ~good] = lost[:, ~good] = np.nan
    return GeometricPhase(
        strain=_channels(grid, value, "strain"),
        standard_error=_channels(grid, np.hypot(error, lost), "standard error of strain"),
        smoothing=_channels(grid, lost, "loss by smoothing"),
        resolved=grid.copy(data=resolved).rename("resolved"),
        fringes=reference / scale,
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

    def mean_shift(self, values: Float[np.ndarray, "y x"], wave: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2"]:
        """Return the mean frequency of a fringe less that of the wave, weighted with the fringe's power."""
        strength, slope = self.average(values, wave)
        power = max(float((np.abs(strength) ** 2).sum()), np.finfo(float).tiny)
        return np.imag(strength.conj() * slope).sum(axis=(1, 2)) / (2 * np.pi * power)

    def average(
        self, values: Float[np.ndarray, "y x"], wave: Float[np.ndarray, "2"]
    ) -> tuple[Complex[np.ndarray, "y x"], Complex[np.ndarray, "axis y x"]]:
        """Return the local amplitude of a wave and its gradient, per pixel."""
        smooth = self.carried(values, wave) * self.gaussian(self.width)
        slope = [
            self.back(2j * np.pi * frequency * smooth) / spread
            for frequency, spread in zip(self.frequency, self.spread, strict=True)
        ]
        return self.back(smooth), np.array(slope)

    @property
    def spread(self) -> tuple[Float[np.ndarray, "y 1"], Float[np.ndarray, " x"]]:
        """Variance along y and x of the Gaussian inside the frame, over that of the whole: cut, it sees less slope."""
        found = []
        for n in self.shape:
            low, high = ((end - np.arange(n)) / self.width for end in (-0.5, n - 0.5))
            below, above = (end * np.exp(-0.5 * end**2) / np.sqrt(2 * np.pi) for end in (low, high))
            found.append(1.0 + (below - above) / (ndtr(high) - ndtr(low)))
        return found[0][:, None], found[1]

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
        along_y, along_x = self.spread
        return np.array([[yy / along_y**2, yx / (along_y * along_x)], [yx / (along_y * along_x), xx / along_x**2]])


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


def _smoothing(
    value: Float[np.ndarray, "4 y x"], error: Float[np.ndarray, "4 y x"], good: Bool[np.ndarray, "y x"], width: float
) -> Float[np.ndarray, "4 y x"]:
    """Return what the Gaussian average takes from maps, from what the same average takes from them once more.

    Noise's own share is taken away. Beyond the good pixels maps go on as at the nearest one, and beyond the frame by
    odd reflection, so that a slope is no loss.
    """
    lost = np.zeros(value.shape)
    if not good.any():
        return lost
    rows, columns = (np.flatnonzero(good.any(axis=axis)) for axis in (1, 0))
    inner = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    nearest = ndimage.distance_transform_edt(~good[inner], return_distances=False, return_indices=True)
    pad = [min(int(np.ceil(4 * width)), n - 1) for n in good[inner].shape]
    for one, its_error, result in zip(value, error, lost, strict=True):
        known = one[inner][tuple(nearest)]
        padded = np.pad(known, [(n, n) for n in pad], mode="reflect", reflect_type="odd")
        twice = ndimage.gaussian_filter(padded, width, mode="nearest")
        taken = known - twice[pad[0] : pad[0] + known.shape[0], pad[1] : pad[1] + known.shape[1]]
        excess = taken**2 - NOISE_OF_LOSS * its_error[inner][tuple(nearest)] ** 2
        result[inner] = np.sqrt(np.maximum(ndimage.gaussian_filter(excess, POOL * width, mode="reflect"), 0.0))
    return lost


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
