"""Is there an atom at these places: presence probabilities where a lattice says that one should be."""

import dataclasses

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from scipy.special import expit, logsumexp

from tusi.data import check_image, length_unit_of, pixel_size_of
from tusi.errors import InputError
from tusi.finding.model import SpotModel, start_model
from tusi.finding.presence import (
    PresenceTest,
    glare,
    inflation_map,
    look_up,
    residual_candidates,
)
from tusi.finding.result import Finding
from tusi.numerics.spots import sweep_spots

REACH = 1.0
"""An atom may be this many widths away from the place where it is expected."""

N_STEPS = 5
"""Places across the circle in which an atom may be."""

PATCH, NEIGHBOURS, CORE = 6.0, 4.5, 3.5
"""Half side of the patch in which a site is judged, distance within which found spots are fitted anew, and distance
within which one more spot is seen, in widths."""

N_LIKE, N_NEW = 16, 24
"""Amplitudes that stand for those found, and for any other."""

SMALLEST_SHARE = 0.1
"""No neighbour's amplitude is taken to be smaller than this share of the typical one's."""

SMALL_GROWTH = 1e-4
"""Below this relative growth of the variance its expansion is used."""

N_SWEEPS = 4
"""How often spots at the border that no atom explains are fitted before sites are judged."""


def test_presence(
    grid: xr.DataArray,
    position: Float[np.ndarray, "site 2"],
    *,
    finding: Finding,
    presence: PresenceTest = PresenceTest(),  # noqa: B008, PT028
) -> Float[np.ndarray, " site"]:
    """Return the probability that there is an atom within a spot width of each given position.

    A position near a found atom has that atom's probability. Elsewhere a column and none are as likely beforehand, and
    the likelihood of what the finding left over is averaged over the column's place within a spot width and over its
    amplitude: like one of those found, or, with the probability that the next of n + 1 is of a new kind, anything up to
    twice the brightest. What stands out elsewhere, as the tails of atoms outside the image do, is fitted first.

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
    outside = ((place < -0.5) | (place > np.array(grid.shape) - 0.5)).any(axis=1)
    distance, nearest = cKDTree(model.position).query(place)
    free = ~outside & (distance > REACH * model.width)
    probability = np.where(outside, np.nan, finding.atoms.presence_probability[nearest])
    if free.any():
        probability[free] = _in_residual(model, place[free], presence)
    return probability


test_presence.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def _model_of(grid: xr.DataArray, finding: Finding, position: Float[np.ndarray, "atom 2"]) -> SpotModel:
    """Return the model that a finding describes."""
    image = np.ascontiguousarray(grid.values, dtype=np.float64)
    amplitude = finding.atoms.intensity / (2 * np.pi * finding.spot_width**2)
    model = start_model(image, finding.noise, position=position, amplitude=amplitude, width=finding.spot_width)
    model.nodes = np.linalg.pinv(model.along_y) @ finding.background.values @ np.linalg.pinv(model.along_x).T
    return model


def _in_residual(
    model: SpotModel, place: Float[np.ndarray, "site 2"], presence: PresenceTest
) -> Float[np.ndarray, " site"]:
    """Return the probability of one more spot near each place."""
    levels = _levels(model.amplitude)
    tiles = _explain_border(model, place, presence)
    residual, weight, _ = model.weigh()
    doubt = look_up(tiles, model.image.shape, place)
    unlike = presence.shape_error * glare(place, model, exclude_self=False)
    tree = cKDTree(model.position)
    steps = np.stack(np.meshgrid(*(np.linspace(-REACH, REACH, N_STEPS),) * 2), axis=-1).reshape(-1, 2) * model.width
    steps = steps[np.hypot(*steps.T) <= 1.001 * REACH * model.width]
    odds = np.zeros(len(place))
    for site, middle in enumerate(place):
        half = np.rint(PATCH * model.width)
        low = np.maximum(np.rint(middle) - half, 0).astype(np.int64)
        high = np.minimum(np.rint(middle) + half + 1, model.image.shape).astype(np.int64)
        if (low < high).all():
            patch = _Patch(
                pixel=np.mgrid[low[0] : high[0], low[1] : high[1]].reshape(2, -1).T,
                residual=residual[low[0] : high[0], low[1] : high[1]].ravel(),
                weight=weight[low[0] : high[0], low[1] : high[1]].ravel(),
                near=np.array(tree.query_ball_point(middle, NEIGHBOURS * model.width), dtype=np.int64),
            )
            odds[site] = _log_odds(model, patch, middle + steps, (levels, doubt[site], unlike[site]))
    return expit(odds)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Patch:
    """The surroundings of a site: pixels, what the model leaves of them, their weights, and rows of the spots there."""

    pixel: Int[np.ndarray, "pixel 2"]
    residual: Float[np.ndarray, " pixel"]
    weight: Float[np.ndarray, " pixel"]
    near: Int[np.ndarray, " spot"]


def _levels(found: Float[np.ndarray, " atom"]) -> tuple[Float[np.ndarray, " level"], Float[np.ndarray, " level"]]:
    """Return amplitudes that one more spot may have, and the logarithms of their prior probabilities."""
    like = np.quantile(found, (np.arange(N_LIKE) + 0.5) / N_LIKE)
    root = (np.arange(N_NEW) + 0.5) / N_NEW
    new = 2 * float(np.quantile(found, 0.95)) * root**2
    share = 1 / (len(found) + 1)
    chance = np.concatenate([np.full(N_LIKE, (1 - share) / N_LIKE), share * root / root.sum()])
    return np.concatenate([like, new]), np.log(chance)


def _log_odds(
    model: SpotModel,
    patch: _Patch,
    places: Float[np.ndarray, "place 2"],
    rules: tuple[tuple[Float[np.ndarray, " level"], Float[np.ndarray, " level"]], float, float],
) -> float:
    """Return the log-odds of one more spot in a patch, averaged over its places and amplitudes.

    The quasi-likelihood is that of a variance that grows with the signal, exact for counts. Neighbours may have moved
    towards an atom that was not found: what moving them gains counts on both sides. `rules` are the
    amplitudes, the variance of the residual over that of the noise, and the error of amplitudes by the spots' shape.
    """
    (levels, chance), doubt, unlike = rules
    seen = patch.weight > 0
    pixel, residual, weight = patch.pixel[seen], patch.residual[seen], patch.weight[seen]
    spot, middle = (_spots(pixel, one, model.width) for one in (places, places.mean(axis=0)[None]))
    slopes, prior = _freedom(model, patch.near, pixel)
    inner = np.hypot(*(pixel - places.mean(axis=0)).T) <= CORE * model.width
    gain = np.empty((len(levels), len(places)))
    unmoved = _gain_by_moving(slopes, prior, residual[:, None], weight)[0]
    for row, level in enumerate(levels):
        raised = 1 / (1 / weight + model.noise[0] * level * middle[:, 0])
        gain[row] = _quasi_likelihood(residual[inner], weight[inner], level * spot[inner], model.noise[0])
        gain[row] += _gain_by_moving(slopes, prior, residual[:, None] - level * spot, raised) - unmoved
        gain[row] /= doubt + unlike**2 * (raised @ spot**2)
    return float(logsumexp(gain + chance[:, None]) - np.log(len(places)))


def _freedom(
    model: SpotModel, near: Int[np.ndarray, " spot"], pixel: Int[np.ndarray, "pixel 2"]
) -> tuple[Float[np.ndarray, "pixel parameter"], Float[np.ndarray, " parameter"]]:
    """Return how the image changes with amplitudes and positions of spots, and how precisely these are known before.

    A spot that took up a missed neighbour is wrong by up to its amplitude and about half a width.
    """
    spot = _spots(pixel, model.position[near], model.width)
    slope = spot * model.amplitude[near] / model.width**2
    away = pixel[:, None] - model.position[near]
    slopes = np.concatenate([spot, slope * away[..., 0], slope * away[..., 1]], axis=1)
    precision = np.repeat([1.0, (2 / model.width) ** 2], [len(near), 2 * len(near)])
    precision[: len(near)] /= np.maximum(model.amplitude[near], SMALLEST_SHARE * model.typical_amplitude) ** 2
    return slopes, precision


def _gain_by_moving(
    slopes: Float[np.ndarray, "pixel parameter"],
    precision: Float[np.ndarray, " parameter"],
    residual: Float[np.ndarray, "pixel place"],
    weight: Float[np.ndarray, " pixel"],
) -> Float[np.ndarray, " place"]:
    """Return how much the likelihood gains where parameters move to their best values, to second order."""
    weighted = slopes.T * weight
    score = weighted @ residual
    return 0.5 * (score * np.linalg.solve(weighted @ slopes + np.diag(precision), score)).sum(axis=0)


def _spots(
    pixel: Int[np.ndarray, "pixel 2"], position: Float[np.ndarray, "spot 2"], width: float
) -> Float[np.ndarray, "pixel spot"]:
    """Return the signal of spots of unit amplitude."""
    square = (pixel[:, None, 0] - position[:, 0]) ** 2 + (pixel[:, None, 1] - position[:, 1]) ** 2
    return np.exp(-0.5 * square / width**2)


def _quasi_likelihood(
    residual: Float[np.ndarray, " pixel"],
    weight: Float[np.ndarray, " pixel"],
    added: Float[np.ndarray, "pixel place"],
    gain: float,
) -> Float[np.ndarray, " place"]:
    """Return the gain in log-likelihood by an added signal where the variance grows by `gain` times the signal."""
    growth = gain * added * weight[:, None]
    small = growth < SMALL_GROWTH
    safe = np.where(small, 1.0, growth)
    logarithm = np.log1p(safe)
    first = np.where(small, 1 - growth / 2, logarithm / safe)
    second = np.where(small, 0.5 - growth / 3, (safe - logarithm) / safe**2)
    return (weight[:, None] * added * (residual[:, None] * first - added * second)).sum(axis=0)


def _explain_border(
    model: SpotModel, place: Float[np.ndarray, "site 2"], presence: PresenceTest
) -> Float[np.ndarray, "tile_y tile_x"]:
    """Add to the model the atoms outside the image; return the variance of what is left, tile by tile.

    They are in no table, but their tails reach into the image, where they stand out at its border.
    """
    residual, weight, _ = model.weigh()
    tiles = inflation_map(model, (residual, weight), correlation_area=model.correlation_area)
    position, amplitude = residual_candidates(model, (residual, weight), tiles, presence=presence)
    last = np.array(model.image.shape) - 1
    border = ((position < REACH * model.width) | (position > last - REACH * model.width)).any(axis=1)
    added = border & (cKDTree(place).query(position)[0] > REACH * model.width)
    n_found = len(model.position)
    model.add(position[added], amplitude[added])
    _, _, width, reach = model.spots
    outside = model.position[n_found:], model.amplitude[n_found:], width, reach
    for _ in range(N_SWEEPS):
        sweep_spots(model.image, model.render(), model.noise, outside, model.ridge)
    return tiles
