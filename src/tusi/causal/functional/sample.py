"""A table made ready for searches by shape: one linear map for all variables, unit variance, errors in these units."""

import dataclasses
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy import fft

from tusi.causal.measurement import believable_error, mean_error
from tusi.causal.table import CausalTable
from tusi.errors import InputError
from tusi.inference.spatial import Detrending, Layout, PairLags
from tusi.inference.spatial.lags import LagSums

N_BLOCKS = 25
"""Blocks of all images that are left out one after another to see how sure a number is."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Detrended variables in standard deviations.

    Attributes
    ----------
    value
        One row per variable: mean zero, variance one.
    error
        Mean covariance of the measurement errors.
    scale
        Standard deviation of each variable after detrending, in its unit.
    layout
        Where the values lie.
    """

    value: Float[np.ndarray, "variable row"]
    error: Float[np.ndarray, "variable variable"]
    scale: Float[np.ndarray, " variable"]
    layout: Layout

    @classmethod
    def of(cls, table: CausalTable, detrending: Detrending) -> "Sample":
        """Return the sample of a table.

        Parameters
        ----------
        table
            At least two variables that vary within the images.
        detrending
            The linear map that is applied first.
        """
        if table.n_variables < 2:
            raise InputError("table", expected="at least two variables", got=", ".join(table.names))
        left = detrending(table.value, table.layout)
        scale = left.value.std(axis=0)
        flat = scale <= 1e-9 * np.abs(table.value).max(axis=0, initial=0.0)
        if flat.any():
            raise InputError(
                "table", expected="variables that vary within the images",
                got=f"constant {', '.join(name for name, one in zip(table.names, flat, strict=True) if one)}",
                then="Leave them out, or choose `Centring(within=False)` to compare images.",
            )  # fmt: skip
        value = np.ascontiguousarray((left.value / scale).T)
        error = mean_error(table, left) / np.outer(scale, scale)
        covariance = value @ value.T / value.shape[1]
        if np.linalg.eigvalsh(covariance)[0] < 1e-10:
            raise InputError(
                "table", expected="variables of which none follows from the others", got="one that does",
                then="Leave it out; `causal.lint` names such columns.",
            )  # fmt: skip
        return cls(value=value, error=believable_error(error, covariance), scale=scale, layout=left.layout)

    @cached_property
    def lags(self) -> PairLags:
        """Pairs of rows by lag."""
        return PairLags(self.layout)

    @cached_property
    def covariance(self) -> Float[np.ndarray, "variable variable"]:
        """Covariance of the values as measured."""
        return self.value @ self.value.T / self.value.shape[1]

    @cached_property
    def _waves(self) -> tuple[np.ndarray, ...]:
        """Transform of each variable in each image, padded."""
        return tuple(
            fft.rfft2(self.layout.raster(self.value.T, image), share.shape, axes=(0, 1))
            for image, share in enumerate(self.lags.share)
        )

    def lag_sums(self, combination: Float[np.ndarray, " variable"]) -> LagSums:
        """Return the lag sums of a linear combination of the variables.

        Parameters
        ----------
        combination
            Coefficient of each variable.
        """
        return tuple(
            fft.irfft2(np.abs(waves @ combination) ** 2, share.shape)
            for waves, share in zip(self._waves, self.lags.share, strict=True)
        )

    @cached_property
    def block(self) -> Int[np.ndarray, " row"]:
        """Number of the block in which each row lies: bands of equal number along y, each cut along x."""
        layout = self.layout
        side = max(int(np.ceil(np.sqrt(N_BLOCKS / layout.n_images))), 2)
        out = np.empty(len(layout), dtype=np.int64)
        for image in range(layout.n_images):
            rows = layout.rows(image)
            bands = np.array_split(rows[np.lexsort(layout.cell[rows].T[::-1])], side)
            for number, band in enumerate(bands):
                for place, part in enumerate(
                    np.array_split(band[np.argsort(layout.cell[band, 1], kind="stable")], side)
                ):
                    out[part] = (image * side + number) * side + place
        return out
