"""How noisy a pixel is: the one noise model that every likelihood uses."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseModel:
    """Variance of a pixel as a function of its mean: `gain * max(mean - offset, 0) + read_variance`.

    Attributes
    ----------
    gain
        Signal units per detected electron; 1 for counts.
    offset
        Signal level without electrons, in signal units.
    read_variance
        Variance that does not depend on the signal, in signal units squared.
    correlation_area
        Pixels per independent sample of the noise: 1 for white noise, more where the image was smoothed or resampled.
        A covariance from independent pixels is too small by this factor when the spots are wider than the correlation.

    Examples
    --------
    >>> NoiseModel(gain=2.0, offset=10.0, read_variance=3.0).variance(np.array([10.0, 15.0])).tolist()
    [3.0, 13.0]
    """

    gain: float = 1.0
    offset: float = 0.0
    read_variance: float = 0.0
    correlation_area: float = 1.0

    def __post_init__(self) -> None:
        for name in ("gain", "read_variance"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise InputError(name, expected="a finite number >= 0", got=str(value))
        if self.gain == 0 and self.read_variance == 0:
            raise InputError("gain", expected="gain or read_variance above zero", got="a noise-free model")
        if not self.correlation_area >= 1:
            raise InputError("correlation_area", expected="at least 1 pixel", got=str(self.correlation_area))

    def variance(self, mean: Float[np.ndarray, "*pixel"]) -> Float[np.ndarray, "*pixel"]:
        """Return the variance of pixels with this mean signal, in signal units squared."""
        return self.gain * np.maximum(mean - self.offset, 0.0) + self.read_variance
