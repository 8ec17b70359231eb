"""Is there an atom at all: presence probabilities, and candidates that the fit left in the residual."""

import dataclasses

import numpy as np
import scipy.ndimage as ndimage
from jaxtyping import Float, Real
from scipy.spatial import cKDTree
from scipy.special import expit

from tusi.finding.model import SpotModel
from tusi.numerics.peaks import local_maxima, subpixel_peaks

TILE_WIDTHS = 30.0
"""Side of the tiles in which the fit's own misfit is measured, in spot widths."""


RIPPLE, RIPPLE_WIDTHS = 0.5, 6.0
"""A residual peak weaker than this fraction of another within so many widths waits until that one is fitted."""

GLARE_WIDTHS = 4.0
"""Distance over which the glare of a bright spot fades, in spot widths."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PresenceTest:
    """An atom is present where it raises the likelihood by more than its parameters cost.

    The cost (Occam factor) is the ratio of prior to posterior volume of one amplitude and two coordinates: amplitudes
    are uniform up to twice the brightest columns, positions uniform at the density of atoms found.

    Attributes
    ----------
    threshold
        Atoms with a smaller presence probability are dropped.
    max_passes
        How often candidates from the residual are tried.
    significance
        Smallest residual peak that is tried, in standard deviations of the residual.
    shape_error
        How wrong the common spot shape may be: the amplitude of a faint spot is uncertain by this fraction of its
        brightest neighbour, so that tails and ripples of bright columns are not taken for faint ones.
    """

    threshold: float = 0.5
    max_passes: int = 4
    significance: float = 3.5
    shape_error: float = 0.03


def presence_probability(
    amplitude: Float[np.ndarray, " atom"],
    variance: Float[np.ndarray, " atom"],
    *,
    width: float,
    density: float,
    brightest: float,
) -> Float[np.ndarray, " atom"]:
    """Return the posterior probability that a spot is there, by Laplace's approximation.

    Parameters
    ----------
    amplitude, variance
        Fitted amplitude (signal units) and its marginal variance.
    width
        Spot width, pixel.
    density
        Prior number of spots per pixel squared.
    brightest
        Upper end of the uniform prior on amplitudes, signal units.
    """
    deviation = np.sqrt(np.minimum(variance, 1e12 * brightest**2))
    z = np.clip(amplitude / deviation, 1e-3, 1e3)
    prior_over_posterior = np.log(np.maximum(brightest / (np.sqrt(2 * np.pi) * deviation), 1.0))
    area_over_posterior = np.log(np.maximum(z**2 / (2 * np.pi * width**2 * density), 1.0))
    return expit(0.5 * z**2 - prior_over_posterior - area_over_posterior)


def matched_residual(
    model: SpotModel, residual: Float[np.ndarray, "y x"], weight: Float[np.ndarray, "y x"]
) -> tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"]]:
    """Return the best amplitude of one more spot at every pixel, in its standard deviations, and its information."""
    width = model.width
    misfit = np.multiply(weight, residual, out=model.buffer("misfit"))
    response = ndimage.gaussian_filter(misfit, width, mode="constant", output=model.buffer("derivative"))
    response *= 2 * np.pi * width**2
    information = ndimage.gaussian_filter(weight, width / np.sqrt(2), mode="constant", output=model.buffer("weighted"))
    information *= np.pi * width**2
    np.maximum(information, np.finfo(np.float64).tiny, out=information)
    response /= np.sqrt(information, out=misfit)
    return response, information


def inflation_map(
    model: SpotModel, images: tuple[np.ndarray, np.ndarray], *, correlation_area: float
) -> Float[np.ndarray, "tile_y tile_x"]:
    """Return, tile by tile, the variance of the matched residual, by its median; at least that of the noise.

    A column must stand out of what the model leaves over around it, be that noise or the misfit of the spot's shape.
    Meaningful once all columns are in the model: those that are not would count as misfit. `images` are the residual
    and the inverse variance of every pixel.
    """
    significance, _ = matched_residual(model, *images)
    side = max(int(TILE_WIDTHS * model.width), 8)
    n_tiles = [max(1, size // side) for size in significance.shape]
    rows = np.array_split(np.arange(significance.shape[0]), n_tiles[0])
    columns = np.array_split(np.arange(significance.shape[1]), n_tiles[1])
    medians = [[np.median(np.abs(significance[r[0] : r[-1] + 1, c[0] : c[-1] + 1])) for c in columns] for r in rows]
    return np.maximum((1.4826 * np.array(medians)) ** 2, correlation_area)


def look_up(tiles: Float[np.ndarray, "tile_y tile_x"], shape: tuple[int, ...], position: np.ndarray) -> np.ndarray:
    """Return the value of the tile in which each position lies."""
    tile = (position + 0.5) / np.array(shape) * np.array(tiles.shape)
    row, column = np.clip(tile.astype(np.int64), 0, np.array(tiles.shape) - 1).T
    return tiles[row, column]


def glare(
    position: Real[np.ndarray, "atom 2"], model: SpotModel, *, exclude_self: bool = True
) -> Float[np.ndarray, " atom"]:
    """Return the amplitude of each position's brightest neighbour, fading out over a few widths."""
    reach = GLARE_WIDTHS * model.width
    brightest = np.zeros(len(position))
    if not len(model.position) or not len(position):
        return brightest
    near = cKDTree(position).sparse_distance_matrix(cKDTree(model.position), 3 * reach, output_type="ndarray")
    if exclude_self:
        near = near[near["i"] != near["j"]]
    np.maximum.at(brightest, near["i"], model.amplitude[near["j"]] * np.exp(-0.5 * (near["v"] / reach) ** 2))
    return brightest


def residual_candidates(
    model: SpotModel,
    images: tuple[np.ndarray, np.ndarray],
    tiles: Float[np.ndarray, "tile_y tile_x"],
    *,
    presence: PresenceTest,
) -> tuple[Float[np.ndarray, "candidate 2"], Float[np.ndarray, " candidate"]]:
    """Return the significant maxima of the residual and their amplitudes.

    `images` are the residual and the inverse variance of every pixel, `tiles` the residual's variance tile by tile.
    """
    z, information = matched_residual(model, *images)
    peaks = local_maxima(z, presence.significance * np.sqrt(tiles.min()))
    rows = tuple(peaks.T)
    shape_part = (presence.shape_error * glare(peaks, model, exclude_self=False)) ** 2 * information[rows]
    strong = z[rows] > presence.significance * np.sqrt(look_up(tiles, z.shape, peaks) + shape_part)
    peaks = _without_ripples(peaks[strong], z[rows][strong], RIPPLE_WIDTHS * model.width)
    rows = tuple(peaks.T)
    return subpixel_peaks(z, peaks), z[rows] / np.sqrt(information[rows])


def _without_ripples(peaks: np.ndarray, z: Float[np.ndarray, " peak"], reach: float) -> np.ndarray:
    """Return the peaks without those that a much stronger one has nearby: its neighbours moved towards the gap."""
    if len(peaks) < 2:
        return peaks
    first, second = cKDTree(peaks).query_pairs(reach, output_type="ndarray").T
    keep = np.ones(len(peaks), dtype=np.bool_)
    keep[first[z[first] < RIPPLE * z[second]]] = False
    keep[second[z[second] < RIPPLE * z[first]]] = False
    return peaks[keep]


def presence_of(
    model: SpotModel,
    amplitude_variance: Float[np.ndarray, " atom"],
    tiles: Float[np.ndarray, "tile_y tile_x"],
    *,
    presence: PresenceTest,
) -> Float[np.ndarray, " atom"]:
    """Return the presence probability of every spot of a model; zero where its variance is not finite."""
    if not len(model.position):
        return np.zeros(0)
    variance = amplitude_variance * look_up(tiles, model.image.shape, model.position)
    variance = variance + (presence.shape_error * glare(model.position, model)) ** 2
    return presence_probability(
        model.amplitude,
        np.where(np.isfinite(variance), variance, np.inf),
        width=model.width,
        density=len(model.position) / model.image.size,
        brightest=2 * float(np.quantile(model.amplitude, 0.95)),
    )
