"""How noisy an image is, from the image alone: the spectrum of its noise, then the noise's growth with the signal."""

import warnings

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.fft import irfft2, rfft2

from tusi.data import NoiseModel, check_image
from tusi.errors import CalibrationWarning, ScarceDataWarning
from tusi.imaging.clipping import continue_clipped
from tusi.imaging.spectrum import (
    ROUNDING,
    NoiseSpectrum,
    fit_spectrum,
    frequencies,
    mean_spot_width,
    noise_sector,
    radial_power,
)

LEAST_SIDE = 48
"""Images with a shorter side hold too few spatial frequencies for a spectrum, in pixels."""

_SIGNAL_MARGIN = 1.15
_WEAK_SMOOTHING, _WHITE_BAND, _HIGHEST = 0.3, 0.2, 0.5
_LEAST_FREQUENCIES = 100
_LEAST_TRANSFER = 0.1
_OUTLIER = 15.0
_STRONG = 8.0
_STEEPEST = 0.9
_LEAST_READ = 0.01


def estimate_noise(grid: xr.DataArray) -> NoiseModel:
    """Estimate the noise of one image from that image.

    The median power spectrum is split into diffuse signal, noise behind a Gaussian filter, and rounding; the filter
    gives `correlation_area`. Where noise prevails, the squared band-passed image is then regressed on the local mean,
    rebuilt from the frequencies at which the signal stands far above the noise. Assumes that noise was white before
    one isotropic filter, that structure fades faster with frequency than noise, and that variance is linear in the
    mean. Frequencies next to the slow axis are left out, so line jitter is not taken for noise. Offset and read
    variance cannot both be told from one image: a positive intercept becomes read variance, a negative one offset.
    A filter wider than the spots themselves leaves little to tell noise from structure by: the variance may then be
    wrong by a factor of two, and where the noise is also very weak it is overestimated.

    Parameters
    ----------
    grid
        One image, counts or any linear scale, or a display. Clipped pixels of a display are continued smoothly first.

    Returns
    -------
    NoiseModel
        Variance of a pixel as the image holds it, rounding included, and the correlation area.

    Raises
    ------
    InputError
        The grid is not one finite image.

    Warns
    -----
    ScarceDataWarning
        The image is constant, or shorter than 48 pixels; what is returned rests on neighbouring pixels alone.
    CalibrationWarning
        The image was filtered so strongly that noise cannot be told from structure.

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> counts = np.random.default_rng(0).poisson(50.0, size=(128, 128)).astype(float)
    >>> noise = estimate_noise(make_grid(3.0 * counts))
    >>> bool(abs(noise.variance(np.array(150.0)) / 450 - 1) < 0.1)
    True
    """
    check_image(grid)
    image = np.asarray(grid.values, dtype=np.float64)
    step = rounding_step(image)
    if np.ptp(image) == 0:
        return _scarce((step or 1.0) ** 2 * ROUNDING, "the image is constant")
    if min(image.shape) < LEAST_SIDE:
        variance = float(np.median(np.diff(image, axis=1) ** 2)) / (2 * 0.4549)
        return _scarce(max(variance, step**2 * ROUNDING, np.ptp(image) ** 2 * 1e-12), "the image is small")
    image = continue_clipped(image)
    fast_axis = str(grid.attrs.get("fast_axis", "x"))
    spectrum = fit_spectrum(
        radial_power(image, fast_axis=fast_axis),
        spot_width=mean_spot_width(image),
        step=step,
        brightness=float(image.mean() - image.min()),
    )
    return _noise_model(image, spectrum, fast_axis=fast_axis, step=step)


def rounding_step(image: Float[np.ndarray, "y x"]) -> float:
    """Return the step of which all values are whole multiples apart from a constant; 0 where there is none.

    Examples
    --------
    >>> rounding_step(np.array([[0.5, 1.0], [3.0, 1.5]])), rounding_step(np.array([[0.0, 1.0], [np.pi, 3.0]]))
    (0.5, 0.0)
    """
    values = np.unique(image)
    if len(values) < 2:
        return 0.0
    step = float(np.diff(values).min())
    multiple = (values - values[0]) / step
    exact = np.abs(multiple - np.rint(multiple)).max() < 1e-3
    return step if exact and multiple[-1] < 2**17 else 0.0


def _scarce(variance: float, reason: str) -> NoiseModel:
    """Warn, and return signal-independent noise."""
    text = f"noise cannot be measured: {reason}; a signal-independent variance of {variance:.3g} is used"
    warnings.warn(text, ScarceDataWarning, stacklevel=3)
    return NoiseModel(gain=0.0, read_variance=max(variance, np.finfo(float).tiny))


def _noise_model(
    image: Float[np.ndarray, "y x"], spectrum: NoiseSpectrum, *, fast_axis: str, step: float
) -> NoiseModel:
    """Return the noise model of a pixel from the spectrum and the growth of the noise with the signal."""
    y, x = np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)
    radius = np.hypot(y, x)
    passed = float((spectrum.transfer(radius) ** 2).mean())
    rounding = float(spectrum.rounding(radius).mean())
    variance = spectrum.white * passed + rounding
    slope, darkest = _variance_slope(image, spectrum, fast_axis=fast_axis)
    mean = float(image.mean())
    steepest = _STEEPEST * spectrum.white / max(mean - darkest, 1e-9 * float(np.ptp(image)))
    slope = float(np.clip(slope, 0.0, steepest)) * passed
    intercept = variance - slope * mean
    area = float((spectrum.white + spectrum.rounding(np.zeros(()))) / variance)
    if step > 0 and spectrum.white * passed < 0.5 * step**2 * ROUNDING and spectrum.signal_frequency > 0.1:
        warnings.warn(
            "noise cannot be told from structure in this filtered display; its noise may be underestimated",
            CalibrationWarning,
            stacklevel=3,
        )
    offset = -intercept / slope if slope > 0 and intercept < rounding else 0.0
    return NoiseModel(
        gain=slope,
        offset=offset if slope > 0 else 0.0,
        read_variance=max(intercept, rounding, _LEAST_READ * variance),
        correlation_area=max(area, 1.0),
    )


def _variance_slope(image: Float[np.ndarray, "y x"], spectrum: NoiseSpectrum, *, fast_axis: str) -> tuple[float, float]:
    """Return how fast the unfiltered noise's variance grows with the mean signal, and the darkest mean signal."""
    shape = image.shape
    mean = float(image.mean())
    radius = np.hypot(*frequencies(shape))
    transform = rfft2(image - mean)
    periodic = transform - rfft2(_jump_component(image - mean))
    power = np.abs(periodic) ** 2 / image.size
    filtered, rounding, transfer = spectrum.filtered(radius), spectrum.rounding(radius), spectrum.transfer(radius)
    lowest = _SIGNAL_MARGIN * spectrum.signal_frequency
    if spectrum.smoothing < _WEAK_SMOOTHING:
        lowest = max(lowest, _WHITE_BAND)
    band = noise_sector(shape, fast_axis) & (radius > lowest) & (radius < _HIGHEST) & (filtered > 2 * rounding)
    band &= power < _OUTLIER * (filtered + rounding)
    if band.sum() < _LEAST_FREQUENCIES:
        return 0.0, mean
    squared = irfft2(np.where(band, periodic, 0), shape) ** 2
    footprint = irfft2(np.where(band, transfer, 0), shape) ** 2
    strong = (np.abs(transform) ** 2 / image.size > _STRONG * (filtered + rounding)) & (transfer > _LEAST_TRANSFER)
    regressor = irfft2(np.where(strong, rfft2(footprint) * transform / transfer, 0), shape)
    variation = float((regressor**2).sum())
    darkest = mean + float(np.percentile(regressor, 1)) / float(footprint.sum())
    return (float((squared * regressor).sum()) / variation if variation > 0 else 0.0), darkest


def _jump_component(image: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "y x"]:
    """Return the smooth image that carries the jumps between opposite borders (Moisan 2011); the rest is periodic."""
    jump = np.zeros(image.shape)
    jump[0] += image[-1] - image[0]
    jump[-1] -= image[-1] - image[0]
    jump[:, 0] += image[:, -1] - image[:, 0]
    jump[:, -1] -= image[:, -1] - image[:, 0]
    y, x = frequencies(image.shape)
    laplacian = 2 * np.cos(2 * np.pi * y) + 2 * np.cos(2 * np.pi * x) - 4
    laplacian[0, 0] = 1
    transform = rfft2(jump) / laplacian
    transform[0, 0] = 0
    return irfft2(transform, image.shape)
