"""What is believed of a distortion before the atoms are seen, and the waves in which it is written."""

import dataclasses

import numpy as np
from jaxtyping import Float

from tusi.errors import InputError

MARGIN = 0.35
"""The waves live in a box that is larger than the window by this share of its side at each end."""

RESOLUTION = 1.4
"""Waves along a side, in units of the side over the correlation length."""

MOST_SCAN = 240
"""Waves of the scan part at most."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistortionPrior:
    """A Gaussian process with two parts: a smooth field of both coordinates, and a function of the slow axis alone.

    The second part is what drift and slow vibration do to a raster scan: all atoms that are passed at the same time
    move together. Amplitudes and correlation lengths are found by their marginal likelihood, within these bounds.

    Attributes
    ----------
    shortest, longest
        Bounds of the correlation length of the field, in units of the lattice spacing and of the window's side.
    shortest_scan
        Shortest correlation length of the scan part, in lattice spacings; 0 leaves this part out.
    most_waves
        Waves along each side of the field at most: the cost grows with their fourth power.

    Examples
    --------
    >>> DistortionPrior(shortest_scan=0)
    DistortionPrior(shortest=3.0, longest=2.0, shortest_scan=0, most_waves=16)
    """

    shortest: float = 3.0
    longest: float = 2.0
    shortest_scan: float = 1.0
    most_waves: int = 16

    def __post_init__(self) -> None:
        for name in ("shortest", "longest"):
            if not getattr(self, name) > 0:
                raise InputError(name, expected="a positive length", got=str(getattr(self, name)))
        if self.shortest_scan < 0:
            raise InputError("shortest_scan", expected="0 or a positive length", got=str(self.shortest_scan))
        if self.most_waves < 2:
            raise InputError("most_waves", expected="at least 2", got=str(self.most_waves))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Waves:
    """Standing waves in a box around a window: a basis in which a stationary process has independent coefficients.

    Attributes
    ----------
    origin, side
        Corner and sides (y, x) of the box.
    n_field
        Waves of the field along each axis.
    n_scan
        Waves of the scan part; 0 without it.
    affine
        What is taken from each wave, in units of (1, y, x), so that it has no uniform part on the atoms of the window:
        that part belongs to the lattice.

    References
    ----------
    A. Solin and S. Sarkka, Stat. Comput. 30, 419 (2020).
    """

    origin: Float[np.ndarray, " 2"]
    side: Float[np.ndarray, " 2"]
    n_field: tuple[int, int]
    n_scan: int
    affine: Float[np.ndarray, "3 wave"]

    @classmethod
    def around(cls, position: Float[np.ndarray, "atom 2"], *, spacing: float, prior: DistortionPrior) -> "Waves":
        """Return the waves that can hold a process of the shortest correlation length on these atoms."""
        low, high = position.min(axis=0), position.max(axis=0)
        extent = np.maximum(high - low, spacing)
        side = extent * (1 + 2 * MARGIN)
        shortest = prior.shortest * spacing
        field = np.clip(np.ceil(side * RESOLUTION / shortest), 2, prior.most_waves).astype(int)
        scan = int(np.ceil(side[0] * RESOLUTION / (prior.shortest_scan * spacing))) if prior.shortest_scan else 0
        n_field, n_scan = (int(field[0]), int(field[1])), min(scan, MOST_SCAN)
        whole = cls(
            origin=low - MARGIN * extent, side=side, n_field=n_field, n_scan=n_scan,
            affine=np.zeros((3, n_field[0] * n_field[1] + n_scan)),
        )  # fmt: skip
        affine = np.linalg.lstsq(whole.uniform(position), whole.at(position), rcond=None)[0]
        return dataclasses.replace(whole, affine=affine)

    def at(self, position: Float[np.ndarray, "atom 2"]) -> Float[np.ndarray, "atom wave"]:
        """Return every wave at these places: the field's first, then those of the scan."""
        place = (position - self.origin) / self.side
        tall, wide = (
            np.sqrt(2.0 / side) * np.sin(np.pi * place[:, axis, None] * np.arange(1, n + 1))
            for axis, (side, n) in enumerate(zip(self.side, self.n_field, strict=True))
        )
        field = (tall[:, :, None] * wide[:, None, :]).reshape(len(position), -1)
        scan = np.sqrt(2.0 / self.side[0]) * np.sin(np.pi * place[:, :1] * np.arange(1, self.n_scan + 1))
        return np.concatenate([field, scan], axis=1) - self.uniform(position) @ self.affine

    def uniform(self, position: Float[np.ndarray, "atom 2"]) -> Float[np.ndarray, "atom 3"]:
        """Return 1, y and x at these places, counted from the corner of the box."""
        return np.concatenate([np.ones((len(position), 1)), position - self.origin], axis=1)

    def log_variances(
        self, parameters: Float[np.ndarray, " parameter"]
    ) -> tuple[Float[np.ndarray, " wave"], Float[np.ndarray, "wave parameter"]]:
        """Return the logarithm of each coefficient's prior variance and its slope in the parameters' logarithms.

        Parameters are (amplitude, length) of the field and of the scan part. The field has squared-exponential, the
        scan part Matern-3/2 covariance: drift is continuous, but rough.
        """
        amplitude, length = parameters[:2]
        tall, wide = (np.pi * np.arange(1, n + 1) / side for side, n in zip(self.side, self.n_field, strict=True))
        square = (tall[:, None] ** 2 + wide**2).ravel() * length**2
        field = np.log(2 * np.pi * (amplitude * length) ** 2) - 0.5 * square
        slopes = np.zeros((len(field) + self.n_scan, len(parameters)))
        slopes[: len(field), 0], slopes[: len(field), 1] = 2.0, 2.0 - square
        if not self.n_scan:
            return field, slopes
        amplitude, length = parameters[2:4]
        rate = np.sqrt(3.0) / length
        share = rate**2 / (rate**2 + (np.pi * np.arange(1, self.n_scan + 1) / self.side[0]) ** 2)
        scan = np.log(4 * amplitude**2 / rate) + 2 * np.log(share)
        slopes[len(field) :, 2], slopes[len(field) :, 3] = 2.0, 4 * share - 3.0
        return np.concatenate([field, scan]), slopes
