"""The forward model of the microscope: from columns to counts to what the file holds."""

import dataclasses

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from tusi.data import NoiseModel, make_grid
from tusi.errors import InputError
from tusi.imaging.fields import SmoothField
from tusi.imaging.scene import Scene

DISPLAY_BITS = "display_bits"
"""Attribute of a grid that was rounded to a display; the finding stages then allow for rounding and clipping."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detector:
    """How detected electrons become numbers: `gain * electrons + offset + read noise`.

    Attributes
    ----------
    gain
        Signal units per detected electron.
    offset
        Signal without electrons, in signal units.
    read_variance
        Variance of the electronic noise, in signal units squared.
    """

    gain: float = 1.0
    offset: float = 0.0
    read_variance: float = 0.0

    def __post_init__(self) -> None:
        if not (self.gain > 0 and self.read_variance >= 0 and np.isfinite(self.offset)):
            raise InputError("detector", expected="gain > 0, read_variance >= 0, a finite offset", got=repr(self))

    @property
    def noise(self) -> NoiseModel:
        """The noise model of an image from this detector, before any display."""
        return NoiseModel(gain=self.gain, offset=self.offset, read_variance=self.read_variance)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Display:
    """What is done to an image before it is stored as a picture: low-pass filter, clip, round.

    Attributes
    ----------
    smoothing
        Standard deviation of a Gaussian filter, in pixels; 0 for none.
    clipping
        Percentiles of the image that become black and white.
    bits
        Bits of the grey levels.
    """

    smoothing: float = 0.0
    clipping: tuple[float, float] = (0.1, 99.9)
    bits: int = 8

    def __post_init__(self) -> None:
        if self.smoothing < 0 or not 0 <= self.clipping[0] < self.clipping[1] <= 100 or not 1 <= self.bits <= 16:
            raise InputError(
                "display", expected="smoothing >= 0, two ascending percentiles, 1 to 16 bits", got=repr(self)
            )

    def __call__(self, image: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "y x"]:
        """Return the grey levels, whole numbers from 0 to 2**bits - 1."""
        smooth = gaussian_filter(image, self.smoothing) if self.smoothing > 0 else image
        black, white = np.percentile(smooth, self.clipping)
        levels = 2**self.bits - 1
        return np.clip(np.rint((smooth - black) * (levels / max(white - black, np.finfo(float).tiny))), 0, levels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contamination:
    """Smooth random additions: a film that scatters, and a thickness that scales every column.

    Attributes
    ----------
    background
        Root mean square of the added background, as a fraction of the peak height of a column of amplitude 1.
    intensity
        Root mean square of the relative change of all columns.
    correlation_length
        Distance over which both keep their value, in pixels.
    """

    background: float = 0.0
    intensity: float = 0.0
    correlation_length: float = 150.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Acquisition:
    """How one image is taken.

    Attributes
    ----------
    dose
        Electrons per pixel.
    peak_fraction
        Fraction of the dose that a column of amplitude 1 sends to the detector at its peak.
    background_fraction
        Fraction of the dose that reaches the detector between columns.
    blur
        Standard deviation by which the finite source widens every spot, in pixels; a column's integral is kept.
    line_jitter
        Root mean square displacement of a row along the fast axis x, in pixels, independent between rows.
    contamination
        Smooth additions.
    detector
        How electrons become numbers.
    display
        What was done to make a picture; `None` when the detector's numbers are stored.
    pixel_size
        Side of a pixel, in angstrom; `None` when unknown.

    Examples
    --------
    >>> acquisition = Acquisition(dose=300, line_jitter=0.2, detector=Detector(gain=2.0))
    >>> acquisition.detector.noise.gain
    2.0
    """

    dose: float
    peak_fraction: float = 0.1
    background_fraction: float = 0.01
    blur: float = 0.0
    line_jitter: float = 0.0
    contamination: Contamination = Contamination()
    detector: Detector = Detector()
    display: Display | None = None
    pixel_size: float | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.dose) and self.dose > 0):
            raise InputError("dose", expected="electrons per pixel above zero", got=str(self.dose))
        for name in ("peak_fraction", "background_fraction", "blur", "line_jitter"):
            if not getattr(self, name) >= 0:
                raise InputError(name, expected="a number >= 0", got=str(getattr(self, name)))


def acquire(scene: Scene, acquisition: Acquisition, *, rng: np.random.Generator) -> xr.DataArray:
    """Take an image of a scene.

    Counts are Poisson with mean `dose (background_fraction + peak_fraction sum_i a_i exp(-r_i^2 / 2 s_i^2))`, each row
    sampled where line jitter put it; the detector scales them and adds read noise; a display filters, clips and rounds.

    Parameters
    ----------
    scene
        The columns, in pixels of the image.
    acquisition
        Dose, blur, jitter, contamination, detector, display.
    rng
        Draws jitter, contamination, counts and read noise.

    Returns
    -------
    xarray.DataArray
        A grid (y, x); `attrs["display_bits"]` is set where a display was made.

    Examples
    --------
    >>> scene = Scene(position=[[8.0, 8.0]], amplitude=[1.0], width=[2.0], shape=(16, 16))
    >>> acquire(scene, Acquisition(dose=100), rng=np.random.default_rng(1)).shape
    (16, 16)
    """
    detector = acquisition.detector
    counts = rng.poisson(expected_counts(scene, acquisition, rng=rng)).astype(np.float64)
    signal = detector.gain * counts + detector.offset
    if detector.read_variance > 0:
        signal += rng.normal(scale=np.sqrt(detector.read_variance), size=signal.shape)
    if acquisition.display is not None:
        signal = acquisition.display(signal)
    grid = make_grid(signal, pixel_size=acquisition.pixel_size)
    if acquisition.display is not None:
        grid.attrs[DISPLAY_BITS] = acquisition.display.bits
    return grid


def expected_counts(scene: Scene, acquisition: Acquisition, *, rng: np.random.Generator) -> Float[np.ndarray, "y x"]:
    """Return the mean number of electrons in each pixel; jitter and contamination are drawn from `rng`."""
    contamination = acquisition.contamination
    amplitude = scene.amplitude
    if contamination.intensity > 0:
        field = SmoothField.draw(contamination.correlation_length, rng=rng)
        amplitude = amplitude * np.maximum(1 + contamination.intensity * field.at(scene.position), 0)
    width = np.hypot(scene.width, acquisition.blur)
    shift = rng.normal(scale=acquisition.line_jitter, size=scene.shape[0]) if acquisition.line_jitter > 0 else None
    blurred = dataclasses.replace(scene, amplitude=amplitude * (scene.width / width) ** 2, width=width)
    fraction = acquisition.background_fraction + acquisition.peak_fraction * blurred.render(shift)
    if contamination.background > 0:
        field = SmoothField.draw(contamination.correlation_length, rng=rng)
        fraction += acquisition.peak_fraction * contamination.background * field.on_grid(scene.shape)
    return acquisition.dose * np.maximum(fraction, 0)
