"""From an image to atoms with uncertainty: detect, refine, decide what is there, state how well it is known."""

import dataclasses
import warnings

import numpy as np
import scipy.ndimage as ndimage
import xarray as xr
from jaxtyping import Float
from scipy.spatial import cKDTree

from tusi.data import AtomFlag, Atoms, NoiseModel, check_image, length_unit_of, pixel_size_of
from tusi.finding.detection import LaplacianOfGaussian, detect, estimate_width
from tusi.finding.model import SpotModel, start_model
from tusi.finding.presence import PresenceTest, inflation_map, presence_of, residual_candidates
from tusi.finding.refinement import JointRefinement, fit_background, refine, sweep
from tusi.finding.result import Finding
from tusi.finding.uncertainty import LARGE_MISFIT, Uncertainty, amplitude_variance, state_uncertainty

MERGE = 0.8
"""Two spots closer than this many widths are one."""

OUTSIDE = 2.0
"""Spots may be centred this many widths outside the image; they are fitted and not returned."""

REDETECT = 0.25
"""Detection is repeated when the fitted width differs from the assumed one by more than this fraction."""

BRIGHT = 0.5
"""A pass is repeated although it added nothing when a candidate exceeded this fraction of the median amplitude."""

N_ROUGH = 3
"""Steps of refinement before it is known which atoms are there."""

MOST_DETECTIONS = 3
"""Detection is repeated at most so often."""

EDGE_WIDTHS, OVERLAP_WIDTHS = 2.0, 2.0
"""Atoms closer than this many widths to the image's edge, or to each other, are flagged."""

STILL_MOVING, STILL_WIDTHS = 0.3, 0.01
"""Atoms are flagged when their last step exceeds so many of their standard errors, and of the spot's widths."""

FILTERED, DARKEST_SHARE = 2.0, 0.3
"""Beyond this correlation area an image counts as filtered, and its darkest pixels have this share of the variance."""

POOR_FIT_FACTOR, POOR_FIT_SPREADS = 3.0, 8.0
"""Atoms are flagged whose misfit exceeds the median by this factor, and by so many spreads of all atoms' misfits."""


def find_atoms(
    grid: xr.DataArray,
    *,
    noise: NoiseModel | None = None,
    detector: LaplacianOfGaussian = LaplacianOfGaussian(),  # noqa: B008
    refinement: JointRefinement = JointRefinement(),  # noqa: B008
    presence: PresenceTest = PresenceTest(),  # noqa: B008
) -> Finding:
    """Find bright atomic columns in an image and fit them all together.

    Candidates are maxima of the Laplacian of Gaussian at the scale of the spots. Overlapping two-dimensional Gaussians
    of one common width on a slowly varying background are then fitted to all pixels by maximum likelihood under the
    noise model. Candidates from the residual are added, and spots dropped, by model selection. The covariance of each
    position is the inverse joint Fisher information, widened for correlated noise and misfit, plus the scan noise that
    the residual shows along the fast axis. Assumes bright columns on a darker background: invert dark-contrast images
    first.

    Parameters
    ----------
    grid
        One image with dimensions (y, x), in any linear signal unit. `attrs["fast_axis"]` names the scan direction.
    noise
        The noise of its pixels; `None` to estimate it from the image.
    detector
        How candidates are detected.
    refinement
        How positions are refined.
    presence
        How it is decided that an atom is there.

    Returns
    -------
    Finding
        Atoms in the grid's length unit, with background, noise, spot width and line jitter. An image without spots
        gives an empty table and a warning in `Finding.warnings`.

    Raises
    ------
    InputError
        The grid is not one finite image with square pixels.

    References
    ----------
    .. [1] J. Fatermans, S. Van Aert, A. J. den Dekker, "The maximum a posteriori probability rule for atom column
       detection from HAADF STEM images", Ultramicroscopy 201, 81 (2019).
    .. [2] A. De Backer et al., "StatSTEM: an efficient approach for accurate and precise model-based quantification of
       atomic resolution electron microscopy images", Ultramicroscopy 171, 104 (2016).

    Examples
    --------
    >>> from tusi.data import make_grid
    >>> y, x = np.mgrid[:64, :64]
    >>> spot = 100 * np.exp(-((y - 30.25) ** 2 + (x - 31.5) ** 2) / (2 * 3.0**2))
    >>> found = find_atoms(make_grid(spot), noise=NoiseModel(gain=0.0, read_variance=1.0))
    >>> found.atoms.position.round(2).tolist(), round(found.spot_width, 2)
    ([[30.25, 31.5]], 3.0)
    """
    check_image(grid)
    image = np.ascontiguousarray(grid.values, dtype=np.float64)
    along_y = grid.attrs.get("fast_axis", "x") == "y"
    if along_y:
        image = np.ascontiguousarray(image.T)
    if image.size == 0 or image.min() == image.max():
        return _nothing(grid, noise or NoiseModel(), image, "the image is constant: no atoms")
    notes: tuple[str, ...] = ()
    if noise is None:
        noise, notes = _estimate_noise(grid)
        noise = _without_certain_pixels(noise, image)
    model, movement, tiles = _fit(image, noise, (detector, refinement, presence))
    if not len(model.position):
        return _nothing(grid, noise, model.background().T if along_y else model.background(), "no atoms found", notes)
    residual, weight, _ = model.weigh()
    known = state_uncertainty(model, residual, weight)
    if known.noise > LARGE_MISFIT:
        movement = _fit_misfit(model, residual, weight, refinement)
        residual, weight, _ = model.weigh()
        known = state_uncertainty(model, residual, weight, misfit=known.noise)
        notes += (f"the spot model misses the image by {np.sqrt(known.noise):.1f} times the noise",)
    probability = presence_of(model, known.fisher_covariance[:, 2, 2], tiles, presence=presence)
    flags = _flags(model, known, movement)
    return _finding(grid, model, (known, probability, flags), noise=noise, notes=notes)


def _estimate_noise(grid: xr.DataArray) -> tuple[NoiseModel, tuple[str, ...]]:
    """Estimate the noise from the image; return it with what the estimate warned of."""
    from tusi.imaging import estimate_noise  # noqa: PLC0415

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        noise = estimate_noise(grid)
    for warning in caught:
        warnings.warn(warning.message, stacklevel=3)
    return noise, tuple(str(warning.message) for warning in caught)


def _without_certain_pixels(noise: NoiseModel, image: Float[np.ndarray, "y x"]) -> NoiseModel:
    """Return the noise with a floor where the image was filtered: a dark pixel holds its neighbours' noise too.

    The pixel variance then no longer follows the pixel's own mean, and pixels near the offset would rule the fit.
    """
    if noise.correlation_area < FILTERED:
        return noise
    floor = DARKEST_SHARE * float(noise.variance(image).mean())
    return dataclasses.replace(noise, read_variance=max(noise.read_variance, floor))


def _fit(
    image: Float[np.ndarray, "y x"],
    noise: NoiseModel,
    options: tuple[LaplacianOfGaussian, JointRefinement, PresenceTest],
) -> tuple[SpotModel, np.ndarray, Float[np.ndarray, "tile_y tile_x"]]:
    """Detect, refine and select; return the model, each spot's last movement, and the residual's variance by tile."""
    detector, refinement, presence = options
    rough = dataclasses.replace(refinement, max_iterations=min(N_ROUGH, refinement.max_iterations), tolerance=0.3)
    model = _first_model(image, noise, (detector, refinement, rough, presence))
    noise_alone = np.full((1, 1), noise.correlation_area)
    for _ in range(presence.max_passes):
        residual, weight, _ = model.weigh()
        position, amplitude = residual_candidates(model, (residual, weight), noise_alone, presence=presence)
        before = len(model.position)
        if not len(position):
            break
        model.add(position, amplitude)
        sweep(model, refinement.n_sweeps)
        _drop(model, noise_alone, presence)
        refine(model, rough)
        _drop(model, noise_alone, presence)
        if len(model.position) <= before and amplitude.max() < BRIGHT * model.typical_amplitude:
            break
    movement = refine(model, refinement)
    residual, weight, _ = model.weigh()
    tiles = inflation_map(model, (residual, weight), correlation_area=noise.correlation_area)
    if _drop(model, tiles, presence):
        movement = refine(model, refinement)
    return model, movement, tiles


def _fit_misfit(model: SpotModel, residual: np.ndarray, weight: np.ndarray, refinement: JointRefinement) -> np.ndarray:
    """Refine again with the misfit counted as noise, so that dark pixels do not rule; return the last movement."""
    squared = np.multiply(residual, residual, out=model.buffer("misfit"))
    excess = float(squared[weight > 0].mean() - (1 / weight[weight > 0]).mean())
    model.noise = model.noise + np.array([0.0, 0.0, 1.0, 1.0, 0.0]) * max(excess, 0.0)
    return refine(model, refinement)


def _first_model(
    image: Float[np.ndarray, "y x"],
    noise: NoiseModel,
    options: tuple[LaplacianOfGaussian, JointRefinement, JointRefinement, PresenceTest],
) -> SpotModel:
    """Detect and roughly refine, again where the fitted width asks for another scale."""
    detector, refinement, rough, presence = options
    width = detector.width or estimate_width(image)
    tiles = np.full((1, 1), noise.correlation_area)
    model = start_model(image, noise, position=np.zeros((0, 2)), amplitude=np.zeros(0), width=width)
    for _ in range(MOST_DETECTIONS):
        found = detect(image, noise, detector, width=width)
        model = start_model(image, noise, position=found.position, amplitude=found.amplitude, width=width)
        fit_background(model)
        fit_background(model)
        sweep(model, refinement.n_sweeps)
        _drop(model, tiles, presence)
        refine(model, rough)
        if abs(model.width / width - 1) < REDETECT:
            break
        width = model.width
    return model


def _drop(model: SpotModel, tiles: Float[np.ndarray, "tile_y tile_x"], presence: PresenceTest) -> int:
    """Drop spots that left the image, fell together, or are unlikely; return how many."""
    before = len(model.position)
    margin = OUTSIDE * model.width
    inside = (model.position > -margin) & (model.position < np.array(model.image.shape) - 1 + margin)
    model.keep(np.all(inside, axis=1))
    if len(model.position) > 1:
        pairs = cKDTree(model.position).query_pairs(MERGE * model.width, output_type="ndarray")
        first_weaker = model.amplitude[pairs[:, 0]] < model.amplitude[pairs[:, 1]]
        keep = np.ones(len(model.position), dtype=np.bool_)
        keep[np.where(first_weaker, pairs[:, 0], pairs[:, 1])] = False
        model.keep(keep)
    if len(model.position):
        _, weight, _ = model.weigh()
        variance = amplitude_variance(model, weight)
        model.keep(presence_of(model, variance, tiles, presence=presence) >= presence.threshold)
    return before - len(model.position)


def _flags(model: SpotModel, known: Uncertainty, movement: Float[np.ndarray, " atom"]) -> np.ndarray:
    """Return the flags of every spot."""
    position, width = model.position, model.width
    flags = np.zeros(len(position), dtype=np.int64)
    last = np.array(model.image.shape) - 1
    edge = ((position < EDGE_WIDTHS * width) | (position > last - EDGE_WIDTHS * width)).any(axis=1)
    flags[edge] |= int(AtomFlag.EDGE)
    if len(position) > 1:
        nearest = cKDTree(position).query(position, k=2)[0][:, 1]
        flags[nearest < OVERLAP_WIDTHS * width] |= int(AtomFlag.OVERLAPPING)
    typical = np.median(known.misfit)
    spread = 1.4826 * np.median(np.abs(known.misfit - typical))
    poor = known.misfit > np.maximum(POOR_FIT_FACTOR * typical, typical + POOR_FIT_SPREADS * spread)
    flags[poor] |= int(AtomFlag.POOR_FIT)
    saturation = model.noise[4]
    if np.isfinite(saturation):
        near = ndimage.maximum_filter(model.image >= saturation, size=2 * round(width) + 1)
        pixel = np.clip(np.rint(position).astype(np.int64), 0, last)
        flags[near[tuple(pixel.T)]] |= int(AtomFlag.SATURATED)
    deviation = np.sqrt(np.trace(known.covariance[:, :2, :2], axis1=1, axis2=2))
    flags[movement > np.maximum(STILL_MOVING * deviation, STILL_WIDTHS * width)] |= int(AtomFlag.NOT_CONVERGED)
    return flags


def _nothing(
    grid: xr.DataArray, noise: NoiseModel, background: np.ndarray, why: str, notes: tuple[str, ...] = ()
) -> Finding:
    """Return a finding without atoms."""
    return Finding(
        atoms=Atoms.at(np.empty((0, 2)), length_unit=length_unit_of(grid)),
        spot_width=float("nan"),
        background=grid.copy(data=background if background.shape == grid.shape else background.T),
        noise=noise,
        line_jitter=0.0,
        reduced_chi_square=float("nan"),
        warnings=(*notes, why),
    )


def _finding(
    grid: xr.DataArray,
    model: SpotModel,
    rows: tuple[Uncertainty, np.ndarray, np.ndarray],
    *,
    noise: NoiseModel,
    notes: tuple[str, ...],
) -> Finding:
    """Convert from pixels to the grid's unit, and from a horizontal fast axis to the grid's."""
    known, probability, flags = rows
    scale = pixel_size_of(grid)
    axes = [1, 0] if grid.attrs.get("fast_axis", "x") == "y" else [0, 1]
    last = np.array(model.image.shape) - 0.5
    inside = ((model.position >= -0.5) & (model.position < last)).all(axis=1)
    position = model.position[inside][:, axes]
    covariance = known.covariance[inside][:, axes][:, :, axes]
    order = np.lexsort((position[:, 1], position[:, 0]))
    n_atoms = len(order)
    origin = np.array([float(grid.coords["y"][0]), float(grid.coords["x"][0])])
    background = model.background()
    atoms = Atoms(
        position=position[order] * scale + origin,
        covariance=covariance[order] * scale**2,
        intensity=model.amplitude[inside][order] * model.area,
        intensity_variance=known.covariance[inside][order, 2, 2] * model.area**2,
        presence_probability=probability[inside][order],
        species_probability=np.empty((n_atoms, 0)),
        flags=flags[inside][order],
        image=np.zeros(n_atoms),
        frame=np.zeros(n_atoms),
        length_unit=length_unit_of(grid),
    )
    return Finding(
        atoms=atoms,
        spot_width=model.width,
        background=grid.copy(data=background.T if axes[0] else background),
        noise=noise,
        line_jitter=known.line_jitter,
        reduced_chi_square=known.noise,
        warnings=notes,
    )
