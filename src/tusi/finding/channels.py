"""How much of another signal each column gives: elemental maps, bright field, or phase recorded in the same scan."""

import dataclasses

import numpy as np
import scipy.sparse as sparse
import xarray as xr
from jaxtyping import Float
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from tusi.data import Atoms, check_image, length_unit_of, pixel_size_of
from tusi.errors import InputError
from tusi.finding.model import CUTOFF, NODE_SPACING
from tusi.numerics.normal_equations import hat_matrix

FAINTEST = 1e-9
"""Information added to each unknown, in that of one spot, so that spots outside the image stay finite."""


def measure_channel(channel: xr.DataArray, atoms: Atoms, *, spot_width: float) -> Atoms:
    """Measure the intensity of columns that are known from one image in another channel of the same scan.

    One round spot of the same width at every column, and a slowly varying background, are fitted to all pixels of the
    channel together by linear least squares; positions stay as they are. The error is that of pixels with independent
    noise of one variance, taken from the residual. Intensities may come out negative where a column gives no signal.

    Parameters
    ----------
    channel
        The other signal on the same pixels as the image in which the columns were found.
    atoms
        The columns, in the grid's length unit.
    spot_width
        Width (standard deviation) of a column in this channel, pixel: that of the image, or more where the signal is
        delocalised.

    Returns
    -------
    Atoms
        The same columns with `intensity` and `intensity_variance` of this channel, in its signal unit x pixel^2.

    Raises
    ------
    InputError
        The channel is not one finite image with square pixels, has another length unit, or the width is not positive.

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> y, x = np.mgrid[:32, :64]
    >>> first, second = (np.exp(-((y - 16) ** 2 + (x - at) ** 2) / 8) for at in (24, 30))
    >>> atoms = Atoms.at(np.array([[16.0, 24.0], [16.0, 30.0]]), length_unit="pixel")
    >>> measured = measure_channel(make_grid(3 * first + second + 5), atoms, spot_width=2.0)
    >>> (measured.intensity / (2 * np.pi * 2.0**2)).round(3).tolist()
    [3.0, 1.0]
    """
    check_image(channel)
    if length_unit_of(channel) != atoms.length_unit:
        raise InputError("channel", expected=f"lengths in {atoms.length_unit}", got=length_unit_of(channel))
    if not spot_width > 0:
        raise InputError("spot_width", expected="a positive width in pixels", got=str(spot_width))
    origin = np.array([float(channel.coords["y"][0]), float(channel.coords["x"][0])])
    place = (atoms.position - origin) / pixel_size_of(channel)
    image = np.asarray(channel.values, dtype=np.float64)
    design = sparse.hstack([_spots(place, image.shape, spot_width), _background(image.shape, spot_width)]).tocsc()
    information = (design.T @ design).tocsc()
    own = np.pi * spot_width**2
    solved = splu(information + FAINTEST * own * sparse.eye_array(information.shape[0], format="csc"))
    unknown = solved.solve(design.T @ image.ravel())
    residual = image.ravel() - design @ unknown
    variance = float(residual @ residual) / max(image.size - len(unknown), 1)
    area = 2 * np.pi * spot_width**2
    relative = _relative_variance(place, information[: len(place), : len(place)].tocsr(), spot_width)
    return dataclasses.replace(
        atoms, intensity=unknown[: len(place)] * area, intensity_variance=relative * variance * area**2
    )


def _spots(place: Float[np.ndarray, "atom 2"], shape: tuple[int, int], width: float) -> sparse.coo_array:
    """Return the image of each spot of unit amplitude, one column each."""
    reach = int(np.ceil(CUTOFF * width))
    step = np.arange(-reach, reach + 1)
    pixel = np.rint(place).astype(np.int64)[:, :, None] + step
    value = np.exp(-0.5 * ((pixel - place[:, :, None]) / width) ** 2)
    value *= (pixel >= 0) & (pixel < np.array(shape)[:, None])
    row = np.clip(pixel[:, 0], 0, shape[0] - 1)[:, :, None] * shape[1] + np.clip(pixel[:, 1], 0, shape[1] - 1)[:, None]
    spot = value[:, 0, :, None] * value[:, 1, None, :]
    column = np.broadcast_to(np.arange(len(place))[:, None, None], spot.shape)
    seen = spot > 0
    return sparse.coo_array((spot[seen], (row[seen], column[seen])), shape=(shape[0] * shape[1], len(place)))


def _background(shape: tuple[int, int], width: float) -> sparse.coo_array:
    """Return what each node of a slowly varying background adds to the pixels, one column each."""
    along = [hat_matrix(size, max(2, int((size - 1) / (NODE_SPACING * width)) + 1)) for size in shape]
    return sparse.kron(sparse.csr_array(along[0]), sparse.csr_array(along[1])).tocoo()


def _relative_variance(
    place: Float[np.ndarray, "atom 2"], information: sparse.csr_array, width: float
) -> Float[np.ndarray, " atom"]:
    """Return the variance of each amplitude with its neighbours' free, for pixels of unit variance."""
    variance = np.full(len(place), np.nan)
    for atom, near in enumerate(cKDTree(place).query_ball_point(place, 2 * CUTOFF * width)):
        block = information[near][:, near].toarray()
        own = near.index(atom)
        if block[own, own] > 0:
            block += FAINTEST * block[own, own] * np.eye(len(near))
            variance[atom] = np.linalg.inv(block)[own, own]
    return variance
