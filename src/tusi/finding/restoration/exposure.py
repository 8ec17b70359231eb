"""How many electrons made an image, and what lies between its columns."""

import dataclasses

import numpy as np
import xarray as xr

from tusi.data import NoiseModel, check_image
from tusi.finding.find import find_atoms


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Exposure:
    """Dose and background of one image.

    Attributes
    ----------
    electrons
        Detected electrons per pixel, on average; infinite where the noise does not grow with the signal.
    background
        The level between the columns on the image's grid, in signal units.
    noise
        The noise model from which the electrons follow.
    """

    electrons: float
    background: xr.DataArray
    noise: NoiseModel


def estimate_exposure(grid: xr.DataArray, *, noise: NoiseModel | None = None) -> Exposure:
    """Estimate the detected electrons per pixel from the noise, and the background from the fit of all columns.

    Shot noise of n electrons has variance n, so that the growth of the noise with the signal is the gain, and the mean
    signal over the gain is the dose that was detected. Assumes Poisson noise: a display that was filtered or stretched
    after the recording has another gain than its detector, and the dose is then that of an equally noisy image. One
    image does not tell the detector's offset well: without `noise` the dose may be wrong by a quarter.

    Parameters
    ----------
    grid
        One image.
    noise
        Its noise; `None` to estimate it from the image.

    Returns
    -------
    Exposure
        Electrons, background, noise.

    Raises
    ------
    InputError
        The grid is not one finite image.

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> y, x = np.mgrid[:96, :96]
    >>> spots = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 18.0) for a in (20, 48, 76) for b in (20, 48, 76))
    >>> counts = np.random.default_rng(0).poisson(20 + 100 * spots).astype(float)
    >>> exposure = estimate_exposure(make_grid(2 * counts), noise=NoiseModel(gain=2.0))
    >>> round(exposure.electrons), round(float(exposure.background.mean()))
    (26, 40)
    """
    check_image(grid)
    finding = find_atoms(grid, noise=noise)
    gain, offset = finding.noise.gain * finding.noise.correlation_area, finding.noise.offset
    mean = float(grid.values.mean()) - offset
    return Exposure(electrons=mean / gain if gain > 0 else np.inf, background=finding.background, noise=finding.noise)
