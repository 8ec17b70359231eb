"""Smooth random fields: what contamination, slow distortion and uneven thickness are drawn from."""

import dataclasses

import numpy as np
from jaxtyping import Float

N_WAVES = 32
"""Plane waves in one field; its values are nearly Gaussian."""


@dataclasses.dataclass(frozen=True, eq=False)
class SmoothField:
    """A random field of mean zero and mean square one (over draws), made of long plane waves.

    The waves' vectors are normal with standard deviation 1 / `correlation_length`, so that the field's covariance is
    exp(-r^2 / 2 `correlation_length`^2); it can be evaluated anywhere.
    """

    wavevector: Float[np.ndarray, "wave 2"]
    phase: Float[np.ndarray, " wave"]

    @classmethod
    def draw(cls, correlation_length: float, *, rng: np.random.Generator) -> "SmoothField":
        """Draw a field; the length is in the unit in which positions will be given."""
        return cls(rng.normal(size=(N_WAVES, 2)) / correlation_length, rng.uniform(0, 2 * np.pi, N_WAVES))

    def at(self, position: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, " point"]:
        """Return the field at these (y, x)."""
        return np.cos(position @ self.wavevector.T + self.phase).sum(axis=1) * np.sqrt(2 / N_WAVES)

    def on_grid(self, shape: tuple[int, int]) -> Float[np.ndarray, "y x"]:
        """Return the field at every pixel centre of an image of this shape."""
        rows = np.exp(1j * np.arange(shape[0])[:, None] * self.wavevector[:, 0])
        columns = np.exp(1j * (np.arange(shape[1])[:, None] * self.wavevector[:, 1] + self.phase))
        return np.real(rows @ columns.T) * np.sqrt(2 / N_WAVES)
