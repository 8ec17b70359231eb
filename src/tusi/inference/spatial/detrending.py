"""What hidden smooth fields could have put into all variables alike, taken out by one linear map for all of them."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy import fft, linalg, ndimage

from tusi.errors import InputError
from tusi.inference.spatial.effective import centred
from tusi.inference.spatial.layout import Layout

TREND_DEGREE = 4
"""Polynomials that a high-pass takes off beside its cosines, which alone cannot follow a slope across the border."""

ROWS_PER_TERM = 8
"""Rows that an image must have for each term of these polynomials; smaller images get fewer."""

NOTHING = 1e-9
"""Share of a variable's largest value below which what is left of it is rounding."""

DYNAMIC_RANGE = 3e-5
"""Power, in that of the strongest wave, below which waves are not raised: below it they are leakage at borders."""

ABOVE_FLOOR = 10.0
"""Power, in that of the weakest waves, below which waves are not raised and count less: they may be noise."""

FULLNESS = 0.98
"""Share of an image's raster that must hold rows before its waves are evened out: gaps leak more than borders do."""

UNCORRELATED = 2.0
"""Correlated cells to a sample below which borders need no care."""

BORDER = 1.5
"""Rows this near to a border go, in widths of the Gaussian whose smoothing would make the same correlation."""

BLUR = 2.0
"""Waves over which a spectrum is averaged."""

FILLING = 0.8
"""Cells over which the rows around an empty cell are averaged."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detrended:
    """Values after detrending; rows near borders may have gone.

    Attributes
    ----------
    value
        Of the rows that are left.
    layout
        Where they lie.
    kept
        Which rows of the old layout they are.
    freedom
        Number of degrees of freedom that were taken out, beyond one mean.
    noise_gain
        For each image, by how much the variance of white noise has grown.
    """

    value: Float[np.ndarray, "kept variable"]
    layout: Layout
    kept: Int[np.ndarray, " kept"]
    freedom: int
    noise_gain: tuple[float, ...]


class Detrending(ABC):
    """A linear map, the same for all variables, so that linear relations between them stay what they are."""

    @abstractmethod
    def __call__(self, value: Float[np.ndarray, "row variable"], layout: Layout) -> Detrended:
        """Return the values without trend.

        Parameters
        ----------
        value
            Columns of a table.
        layout
            Where its rows lie.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Centring(Detrending):
    """Only the mean is taken off.

    Attributes
    ----------
    within
        The mean of each image, or that of all rows.

    Examples
    --------
    >>> Centring()(np.array([[1.0], [2.0], [6.0]]), Layout.grid((1, 3))).value.T
    array([[-2., -1.,  3.]])
    """

    within: bool = True

    def __call__(self, value: Float[np.ndarray, "row variable"], layout: Layout) -> Detrended:
        """Return the values about their mean."""
        centring = "image" if self.within else "common"
        out = np.stack([centred(column, layout=layout, centring=centring) for column in value.T], axis=1)
        out[:, out.std(axis=0) <= NOTHING * np.abs(value).max(axis=0)] = 0.0
        freedom = layout.n_images - 1 if self.within else 0
        return Detrended(
            value=out, layout=layout, kept=np.arange(len(layout)), freedom=freedom, noise_gain=(1.0,) * layout.n_images
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Polynomial(Detrending):
    """The least-squares polynomial of each image is taken off: a plane for tilt, a quadratic for a bent specimen.

    Attributes
    ----------
    degree
        1 to 4, in y and x together.

    Examples
    --------
    >>> grid = Layout.grid((8, 9))
    >>> plane = 2.0 * grid.cell[:, :1] - grid.cell[:, 1:]
    >>> left = Polynomial(degree=1)(plane, grid)
    >>> left.freedom, bool(np.abs(left.value).max() < 1e-10)
    (2, True)
    """

    degree: int = 2

    def __post_init__(self) -> None:
        if self.degree not in range(1, 5):
            raise InputError("degree", expected="1, 2, 3 or 4", got=str(self.degree))

    def __call__(self, value: Float[np.ndarray, "row variable"], layout: Layout) -> Detrended:
        """Return the values without their polynomials."""
        return _projected(value, layout, lambda image: _monomials(layout, image, self.degree))


@dataclasses.dataclass(frozen=True, kw_only=True)
class HighPass(Detrending):
    """All waves longer than a scale are taken off each image, and polynomials of degree 4 with them.

    By least squares on the rows that there are, so borders do not wrap around and missing cells do no harm.

    Attributes
    ----------
    scale
        Shortest wavelength that is taken off, in mean distances between rows.

    Examples
    --------
    >>> grid = Layout.grid((32, 32))
    >>> slow = np.sin(grid.cell[:, :1] / 12.0)
    >>> left = HighPass(scale=32.0)(slow, grid)
    >>> left.freedom, bool(np.abs(left.value).max() < 0.02)
    (19, True)
    """

    scale: float = 32.0

    def __post_init__(self) -> None:
        if not self.scale > 2:
            raise InputError("scale", expected="more than two distances between rows", got=str(self.scale))

    def __call__(self, value: Float[np.ndarray, "row variable"], layout: Layout) -> Detrended:
        """Return the values without their long waves."""
        return _projected(value, layout, lambda image: _long_waves(layout, image, self.scale))


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptiveHighPass(Detrending):
    """`HighPass`, and the waves that are left are evened out as far as the table itself allows.

    Smooth fields are few independent samples because few waves carry their variance. Divided by the root of the mean
    spectrum of all variables, every wave counts alike that stands above the border's leakage, and well above the
    weakest waves, which may be noise and count less. This is generalised least squares, and what is left of a hidden
    smooth field counts as little as its few waves. The spectrum at a wave comes from the waves around it and not from
    itself, so that a wave does not decide what it counts. Rows near a border go (one and a half widths of the fields'
    smoothing). Images with more than a few gaps in their raster, such as scattered atoms, are only high-passed.

    Attributes
    ----------
    scale
        Shortest wavelength that is taken off, in mean distances between rows.

    References
    ----------
    A. C. Aitken, Proc. R. Soc. Edinburgh 55, 42 (1936).

    Examples
    --------
    >>> grid = Layout.grid((48, 48))
    >>> rough = np.random.default_rng(0).standard_normal((48, 48))
    >>> smooth = ndimage.gaussian_filter(rough, 2.0).reshape(-1, 1)
    >>> left = AdaptiveHighPass()(smooth, grid)
    >>> neighbours = [np.corrcoef(one[:-1, 0], one[1:, 0])[0, 1] for one in (smooth, left.value)]
    >>> len(left.layout) < len(grid), bool(neighbours[1] < neighbours[0])
    (True, True)
    """

    scale: float = 32.0

    def __call__(self, value: Float[np.ndarray, "row variable"], layout: Layout) -> Detrended:
        """Return the values without their long waves, the others evened out."""
        passed = HighPass(scale=self.scale)(value, layout)
        kept, gain, out = np.zeros(len(layout), dtype=bool), [], passed.value.copy()
        for image in range(layout.n_images):
            rows = layout.rows(image)
            if len(rows) < FULLNESS * np.prod(layout.shape(image)) or not out[rows].any():
                kept[rows] = True
                gain.append(passed.noise_gain[image])
                continue
            evened, inside, growth = _evened(passed.value[rows], layout.cell[rows], _cut(layout, image, self.scale))
            out[rows] = evened
            kept[rows] = inside
            gain.append(growth)
        left = np.flatnonzero(kept)
        inner = Layout.of_lattice(layout.cell[left], layout.image[left])
        reduced = dataclasses.replace(inner, step=layout.step)
        centre = Centring()(out[left], reduced)
        return dataclasses.replace(centre, kept=left, freedom=passed.freedom, noise_gain=tuple(gain))


def _projected(value: np.ndarray, layout: Layout, basis_of: Callable[[int], np.ndarray]) -> Detrended:
    """Return values less their least-squares fit by a basis in each image."""
    out, freedom, gain = np.array(value, dtype=np.float64), -1, []
    for image in range(layout.n_images):
        rows = layout.rows(image)
        left, right, _ = linalg.qr(basis_of(image), mode="economic", pivoting=True)
        size = np.abs(np.diagonal(right))
        left = left[:, : len(size)][:, size > 1e-7 * size[0]]
        largest = np.abs(out[rows]).max(axis=0)
        residual = out[rows] - left @ (left.T @ out[rows])
        out[rows] = np.where(residual.std(axis=0) > NOTHING * largest, residual, 0.0)
        freedom += left.shape[1]
        gain.append(1.0 - left.shape[1] / len(rows))
    return Detrended(value=out, layout=layout, kept=np.arange(len(layout)), freedom=freedom, noise_gain=tuple(gain))


def _monomials(layout: Layout, image: int, degree: int) -> Float[np.ndarray, "row term"]:
    """Return products of Legendre polynomials up to a total degree on the raster of an image."""
    cell, shape = layout.cell[layout.rows(image)], layout.shape(image)
    y, x = (2 * cell[:, axis] / max(shape[axis] - 1, 1) - 1 for axis in range(2))
    terms = np.polynomial.legendre.legvander2d(y, x, [degree, degree]).reshape(len(cell), degree + 1, degree + 1)
    order = np.add.outer(np.arange(degree + 1), np.arange(degree + 1))
    return terms[:, order <= degree]


def _long_waves(layout: Layout, image: int, scale: float) -> Float[np.ndarray, "row wave"]:
    """Return cosines longer than a scale on the raster of an image, and polynomials."""
    cell, shape = layout.cell[layout.rows(image)], layout.shape(image)
    long = np.argwhere(~_short(shape, _cut(layout, image, scale)))
    y, x = (
        np.cos(np.pi * np.outer(np.arange(side) + 0.5, wave) / side) for side, wave in zip(shape, long.T, strict=True)
    )
    waves = y[cell[:, 0]] * x[cell[:, 1]]
    affordable = [k for k in range(TREND_DEGREE + 1) if (k + 1) * (k + 2) // 2 <= max(1, len(cell) // ROWS_PER_TERM)]
    return np.concatenate([waves, _monomials(layout, image, affordable[-1])], axis=1)


def _cut(layout: Layout, image: int, scale: float) -> float:
    """Return a scale in cells rather than in mean distances between rows."""
    return scale * np.sqrt(np.prod(layout.shape(image)) / len(layout.rows(image)))


def _short(shape: tuple[int, int], cut: float) -> np.ndarray:
    """Return which cosines of a raster are shorter than a number of cells."""
    y, x = (np.arange(n) / (2 * n) for n in shape)
    return np.hypot(y[:, None], x[None, :]) * cut > 1


def _evened(value: np.ndarray, cell: np.ndarray, cut: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return values with evened spectrum, which of them lie inside, and the growth of white noise there."""
    raster = _filled(value, cell)
    shape = raster.shape[:2]
    waves = fft.dctn(raster, axes=(0, 1), norm="ortho")
    short = _short(shape, cut)
    power = _mean_power(waves, short)
    power /= power.max()
    floor = ABOVE_FLOOR * np.quantile(power[short], 0.05)
    square = short * power / ((power + max(DYNAMIC_RANGE, floor)) * (power + floor + np.finfo(float).tiny))
    out = fft.idctn(waves * np.sqrt(square)[:, :, None], axes=(0, 1), norm="ortho")
    correlated = power.size * (power**2).sum() / power.sum() ** 2
    border = np.ceil(BORDER * np.sqrt(correlated / (2 * np.pi))) if correlated > UNCORRELATED else 0
    border = min(border, min(shape) // 5)
    inside = np.minimum(cell, np.array(shape) - 1 - cell).min(axis=1) >= border
    y, x = (fft.idct(np.eye(side), axis=0, norm="ortho") ** 2 for side in shape)
    growth = (y @ square @ x.T)[cell[inside, 0], cell[inside, 1]].mean()
    return out[cell[:, 0], cell[:, 1]], inside, float(growth)


def _filled(value: np.ndarray, cell: np.ndarray) -> Float[np.ndarray, "y x variable"]:
    """Return rasters of values; cells without a row take the weighted mean of the rows around them."""
    shape = cell.max(axis=0) + 1
    raster, present = np.zeros((*shape, value.shape[1])), np.zeros(shape)
    np.add.at(raster, (cell[:, 0], cell[:, 1]), value)
    np.add.at(present, (cell[:, 0], cell[:, 1]), 1.0)
    raster /= np.maximum(present, 1.0)[:, :, None]
    empty = present == 0
    if empty.any():
        weight = ndimage.gaussian_filter((~empty).astype(float), FILLING, mode="nearest")
        mean = ndimage.gaussian_filter(raster, (FILLING, FILLING, 0), mode="nearest") / (weight + 1e-6)[:, :, None]
        raster[empty] = mean[empty]
    return raster


def _mean_power(waves: np.ndarray, short: np.ndarray) -> Float[np.ndarray, "y x"]:
    """Return the power of short waves, in the mean of the variables, as the waves around each have it."""
    square = waves[:, :, waves.any(axis=(0, 1))] ** 2
    power = (square / square.sum(axis=(0, 1))).mean(axis=2)
    logarithm = short * np.log(power + power.max() * 1e-12)
    weight, total = (_around(field) for field in (short.astype(float), logarithm))
    return short * np.exp(total / np.maximum(weight, 1e-9))


def _around(field: np.ndarray) -> np.ndarray:
    """Return the weighted sum over the entries around each, without itself."""
    y, x = (np.diagonal(ndimage.gaussian_filter1d(np.eye(side), BLUR, axis=0, mode="reflect")) for side in field.shape)
    return ndimage.gaussian_filter(field, BLUR, mode="reflect") - np.outer(y, x) * field
