"""All pairs of rows at each lag: autocovariances and what they say of a sum of products, by zero-padded FFT."""

import dataclasses
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy import fft

from tusi.errors import InputError
from tusi.inference.spatial.layout import Layout

REACH = 0.87
"""Longest lag that is used, in sides of the raster: the few pairs beyond it add more noise than knowledge."""

LagSums = tuple[Float[np.ndarray, "_ _"], ...]
"""For each image, the sum of products of two columns over all pairs of rows at each lag (y, x); lags run cyclically."""


@dataclasses.dataclass(frozen=True, eq=False)
class PairLags:
    """Pairs of rows of a layout, sorted by lag; pairs of different images do not count.

    Attributes
    ----------
    layout
        Where the rows lie.

    Examples
    --------
    >>> lags = PairLags(Layout.grid((1, 3)))
    >>> np.round(lags.sums(np.array([1.0, 2.0, 3.0]))[0][0, :3], 12)
    array([14.,  8.,  3.])
    """

    layout: Layout

    @cached_property
    def _padded(self) -> tuple[tuple[int, int], ...]:
        shapes = (self.layout.shape(image) for image in range(self.layout.n_images))
        return tuple(
            (fft.next_fast_len(2 * rows - 1, True), fft.next_fast_len(2 * columns - 1, True))
            for rows, columns in shapes
        )

    @cached_property
    def share(self) -> LagSums:
        """One over the number of pairs at each lag; zero where there is none, or beyond the reach."""
        out = []
        for image, sums in enumerate(self.sums(np.ones(len(self.layout)))):
            count = np.rint(sums)
            y, x = (fft.fftfreq(n, 1 / n) / side for n, side in zip(count.shape, self.layout.shape(image), strict=True))
            used = (count > 0) & (y[:, None] ** 2 + x[None, :] ** 2 <= REACH**2)
            out.append(np.divide(1.0, count, out=np.zeros_like(count), where=used))
        return tuple(out)

    @cached_property
    def n_lags(self) -> int:
        """Number of lags that are used, in all images."""
        return sum(int(np.count_nonzero(share)) for share in self.share)

    def sums(self, values: Float[np.ndarray, " row"], others: Float[np.ndarray, " row"] | None = None) -> LagSums:
        """Return the sum over all pairs of rows at each lag of the product of their values.

        Parameters
        ----------
        values
            One for each row.
        others
            Values of the second row of a pair; `values` when not given.
        """
        if values.shape != (len(self.layout),):
            raise InputError("values", expected=f"one for each of {len(self.layout)} rows", got=f"shape {values.shape}")
        out = []
        for image, shape in enumerate(self._padded):
            first = fft.rfft2(self.layout.raster(values, image), shape)
            second = first if others is None else fft.rfft2(self.layout.raster(others, image), shape)
            out.append(fft.irfft2(first.conj() * second, shape))
        return tuple(out)

    def variance_of_products(self, first: LagSums, second: LagSums) -> float:
        """Return the variance of the sum over rows of the product of two independent fields.

        Parameters
        ----------
        first, second
            Lag sums of each field about its mean.
        """
        return float(
            sum(
                np.einsum("ij,ij,ij->", one, other, share)
                for one, other, share in zip(first, second, self.share, strict=True)
            )
        )
