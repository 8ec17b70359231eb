"""Is there an atom at these places: presence probabilities where a lattice says that one should be."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.spatial import cKDTree

from tusi.data import check_image, length_unit_of, pixel_size_of
from tusi.errors import InputError
from tusi.finding.model import SpotModel, start_model
from tusi.finding.presence import PresenceTest, glare, inflation_map, look_up, matched_residual, presence_probability
from tusi.finding.result import Finding
from tusi.numerics.spots import weigh

REACH = 1.0
"""An atom may be this many widths away from the place where it is expected."""


def test_presence(
    grid: xr.DataArray,
    position: Float[np.ndarray, "site 2"],
    *,
    finding: Finding,
    presence: PresenceTest = PresenceTest(),  # noqa: B008, PT028
) -> Float[np.ndarray, " site"]:
    """Return the probability that there is an atom within a spot width of each given position.

    A position near a found atom has that atom's probability. Elsewhere one more spot is fitted to what the finding
    left over, and the gain in likelihood is weighed against the cost of its amplitude and of its place within a spot
    width. Assumes that everything else in the image was found.

    Parameters
    ----------
    grid
        The image in which `finding` was made.
    position
        (y, x) of the places, in the grid's length unit.
    finding
        What `find_atoms` returned for this image.
    presence
        How wrong the spot shape may be.

    Returns
    -------
    Array of shape (site,)
        Presence probabilities; NaN outside the image.

    Raises
    ------
    InputError
        The finding belongs to another image.

    References
    ----------
    .. [1] J. Fatermans, S. Van Aert, A. J. den Dekker, "The maximum a posteriori probability rule for atom column
       detection from HAADF STEM images", Ultramicroscopy 201, 81 (2019).

    Examples
    --------
    >>> from tusi.datasets import localisation_world
    >>> from tusi.finding import find_atoms
    >>> world = localisation_world("square", dose=1000, rng=np.random.default_rng(0), shape=(96, 96))
    >>> finding = find_atoms(world.grid, noise=world.noise)
    >>> places = np.stack([world.truth.position[7], world.truth.position[7] + 8.0])
    >>> test_presence(world.grid, places, finding=finding).round(1).tolist()
    [1.0, 0.0]
    """
    check_image(grid)
    if finding.background.shape != grid.shape or finding.atoms.length_unit != length_unit_of(grid):
        raise InputError(
            "finding", expected=f"that of this image of shape {grid.shape}", got=str(finding.background.shape)
        )
    scale = pixel_size_of(grid)
    origin = np.array([float(grid.coords["y"][0]), float(grid.coords["x"][0])])
    place = (np.asarray(position, dtype=np.float64).reshape(-1, 2) - origin) / scale
    if not len(finding.atoms):
        return np.zeros(len(place))
    model = _model_of(grid, finding, (finding.atoms.position - origin) / scale)
    probability = _in_residual(model, finding, place, presence)
    distance, nearest = cKDTree(model.position).query(place)
    taken = distance <= REACH * model.width
    probability[taken] = finding.atoms.presence_probability[nearest[taken]]
    outside = ((place < -0.5) | (place > np.array(grid.shape) - 0.5)).any(axis=1)
    return np.where(outside, np.nan, probability)


test_presence.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def _model_of(grid: xr.DataArray, finding: Finding, position: Float[np.ndarray, "atom 2"]) -> SpotModel:
    """Return the model that a finding describes."""
    image = np.ascontiguousarray(grid.values, dtype=np.float64)
    amplitude = finding.atoms.intensity / (2 * np.pi * finding.spot_width**2)
    return start_model(image, finding.noise, position=position, amplitude=amplitude, width=finding.spot_width)


def _in_residual(
    model: SpotModel, finding: Finding, place: Float[np.ndarray, "site 2"], presence: PresenceTest
) -> Float[np.ndarray, " site"]:
    """Return the probability of one more spot near each place."""
    fitted = model.render() + finding.background.values
    residual, weight = np.empty_like(fitted), np.empty_like(fitted)
    weigh(model.image, fitted, model.noise, residual, weight)
    tiles = inflation_map(model, (residual, weight), correlation_area=model.correlation_area)
    z, information = matched_residual(model, residual, weight)
    reach = int(np.ceil(REACH * model.width))
    steps = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T
    steps = steps[np.hypot(*steps.T) <= REACH * model.width]
    last = np.array(model.image.shape) - 1
    near = np.clip(np.rint(place[:, None]).astype(np.int64) + steps, 0, last)
    best = np.argmax(z[near[..., 0], near[..., 1]], axis=1)
    pixel = near[np.arange(len(place)), best]
    rows = tuple(pixel.T)
    variance = look_up(tiles, z.shape, pixel) / information[rows]
    variance += (presence.shape_error * glare(pixel, model, exclude_self=False)) ** 2
    return presence_probability(
        z[rows] / np.sqrt(information[rows]),
        variance,
        width=model.width,
        density=1 / (np.pi * (REACH * model.width) ** 2),
        brightest=2 * float(np.quantile(model.amplitude, 0.95)),
    )
