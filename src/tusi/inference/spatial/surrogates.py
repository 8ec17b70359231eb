"""Fields with the same spatial structure that chance would give: shifted on a torus, or of random phases."""

import numpy as np
from jaxtyping import Float, Int
from scipy import fft, stats
from scipy.ndimage import distance_transform_edt

from tusi.errors import InputError
from tusi.inference.spatial.layout import Layout


def torus_shifts(layout: Layout, *, n: int, rng: np.random.Generator) -> Int[np.ndarray, "surrogate row"]:
    """Return, for random shifts, the row whose value each row takes.

    Each image is closed to a torus and shifted by its own random lag, not zero; a row takes the value of the row that
    is nearest to where it came from. Every shift keeps the structure of a field but for the seam, so among shifts of
    one of two independent fields no statistic is likelier than another to be the largest. Exact for periodic fields,
    close to it for windows of several correlation lengths.

    Parameters
    ----------
    layout
        Where the rows lie.
    n
        How many shifts.
    rng
        Source of randomness.

    Examples
    --------
    >>> grid = Layout.grid((4, 5))
    >>> shifted = torus_shifts(grid, n=3, rng=np.random.default_rng(0))
    >>> shifted.shape, bool((np.sort(shifted, axis=1) == np.arange(20)).all())
    ((3, 20), True)
    """
    if n < 1 or min(np.prod(layout.shape(image)) for image in range(layout.n_images)) < 2:
        raise InputError("n", expected="at least one surrogate, and two cells in each image", got=str(n))
    out = np.empty((n, len(layout)), dtype=np.int64)
    for image in range(layout.n_images):
        rows, shape = layout.rows(image), np.array(layout.shape(image))
        twice = np.tile(_nearest_rows(layout, image), (2, 2))
        place = layout.cell[rows] @ (twice.shape[1], 1)
        lag = rng.integers(1, shape.prod(), size=n)
        for number, (down, right) in enumerate(zip(*np.divmod(lag, shape[1]), strict=True)):
            out[number, rows] = twice.ravel()[place + down * twice.shape[1] + right]
    return out


def phase_surrogates(
    values: Float[np.ndarray, "row *more"], *, layout: Layout, n: int, rng: np.random.Generator, adjust: bool = True
) -> Float[np.ndarray, "surrogate row *more"]:
    """Return fields of the same spectrum and random phases.

    The field is padded with its mean to twice its sides, so that borders do not meet; all its columns get the same
    random phases, which keeps their spectra and the coherence between them. Cells without a row take the value of the
    nearest one.

    Parameters
    ----------
    values
        One or several columns, in any units.
    layout
        Where the rows lie.
    n
        How many surrogates.
    rng
        Source of randomness.
    adjust
        Whether surrogates have exactly the values of the field: phases are drawn for its normal scores, and the values
        are put back in order of rank. Needed where tails are heavy.

    References
    ----------
    J. Theiler et al., Physica D 58, 77 (1992); D. Prichard, J. Theiler, Phys. Rev. Lett. 73, 951 (1994).

    Examples
    --------
    >>> field = np.random.default_rng(0).standard_t(3, 64)
    >>> one, two = phase_surrogates(field, layout=Layout.grid((8, 8)), n=2, rng=np.random.default_rng(1))
    >>> bool((np.sort(one) == np.sort(field)).all()), bool((one == two).all())
    (True, False)
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape[:1] != (len(layout),) or not np.isfinite(values).all():
        raise InputError("values", expected=f"finite values of {len(layout)} rows", got=f"shape {values.shape} or NaN")
    columns = values.reshape(len(layout), -1)
    out = np.empty((n, *columns.shape))
    for image in range(layout.n_images):
        rows = layout.rows(image)
        own = columns[rows]
        drawn = _rephased(_scores(own) if adjust else own, (layout, image), n, rng)
        if adjust:
            order = np.argsort(np.argsort(drawn, axis=1), axis=1)
            drawn = np.take_along_axis(np.broadcast_to(np.sort(own, axis=0), drawn.shape), order, axis=1)
        out[:, rows] = drawn
    return out.reshape(n, *values.shape)


def _rephased(
    own: np.ndarray, place: tuple[Layout, int], n: int, rng: np.random.Generator
) -> Float[np.ndarray, "surrogate row column"]:
    """Return columns of one image with random phases, the same for all."""
    layout, image = place
    rows, shape = layout.rows(image), layout.shape(image)
    position = np.searchsorted(rows, _nearest_rows(layout, image))
    mean = own.mean(axis=0)
    padded = tuple(fft.next_fast_len(2 * side, True) for side in shape)
    waves = fft.rfft2((own - mean)[position], padded, axes=(0, 1))
    loudness = np.sqrt(np.prod(padded) / np.prod(shape))
    cell = layout.cell[rows]
    out = np.empty((n, *own.shape))
    for number in range(n):
        noise = fft.rfft2(rng.standard_normal(padded))
        phase = noise / np.maximum(np.abs(noise), np.finfo(float).tiny)
        field = fft.irfft2(waves * phase[:, :, None], padded, axes=(0, 1))
        out[number] = mean + loudness * field[cell[:, 0], cell[:, 1]]
    return out


def _nearest_rows(layout: Layout, image: int) -> Int[np.ndarray, "y x"]:
    """Return the nearest row of one image to each cell of its raster."""
    rows = layout.rows(image)
    cell = layout.cell[rows]
    raster = np.full(layout.shape(image), -1, dtype=np.int64)
    raster[cell[:, 0], cell[:, 1]] = rows
    y, x = distance_transform_edt(raster < 0, return_distances=False, return_indices=True)
    return raster[y, x]


def _scores(values: np.ndarray) -> np.ndarray:
    """Return normal scores of each column."""
    return stats.norm.ppf((stats.rankdata(values, axis=0) - 0.5) / len(values))
