"""From an image to atoms with uncertainty: detect, refine, decide what is there, state how well it is known."""

import dataclasses

import numpy as np
import xarray as xr
from jaxtyping import Float

from tusi.data import AtomFlag, Atoms, NoiseModel, check_image, length_unit_of, pixel_size_of
from tusi.errors import InputError
from tusi.finding.detection import LaplacianOfGaussian, detect, estimate_width
from tusi.finding.model import SpotModel, noise_parameters, start_model
from tusi.finding.presence import PresenceTest, glare, inflation_map, look_up, matched_residual, presence_probability, residual_candidates
from tusi.finding.equations import normal_equations
from tusi.finding.refinement import JointRefinement, fit_background, refine, sweep
from tusi.finding.result import Finding
from tusi.numerics.local_inverse import local_inverse, neighbour_table

MERGE = 0.8
"""Two spots closer than this many widths are one."""

REDETECT = 0.25
"""Detection is repeated when the fitted width differs from the assumed one by more than this fraction."""


def find_atoms(
    grid: xr.DataArray,
    *,
    noise: NoiseModel | None = None,
    detector: LaplacianOfGaussian = LaplacianOfGaussian(),  # noqa: B008
    refinement: JointRefinement = JointRefinement(),  # noqa: B008
    presence: PresenceTest = PresenceTest(),  # noqa: B008
) -> Finding:
    """Find bright atomic columns and fit them all together."""
    check_image(grid)
    image = np.ascontiguousarray(grid.values, dtype=np.float64)
    if noise is None:
        from tusi.imaging import estimate_noise  # noqa: PLC0415

        noise = estimate_noise(grid)
    model = _fit(image, noise, (detector, refinement, presence))
    return _finding(grid, model, noise, presence)


def marginal_covariance(model: SpotModel) -> Float[np.ndarray, "atom 3 3"]:
    """Return the covariance of (y, x, amplitude) of every spot, neighbours free, for independent pixels."""
    residual, weight, _ = model.weigh()
    equations = normal_equations(model, residual, weight)
    table = neighbour_table(equations.pairs, len(model.position))
    nothing = np.zeros((len(model.position), 3, 0))
    first = np.zeros(len(model.position), dtype=np.int64)
    covariance, _ = local_inverse(equations.own, equations.blocks, table, nothing, first)
    return covariance


def _fit(image, noise, options):
    detector, refinement, presence = options
    rough = dataclasses.replace(refinement, max_iterations=min(4, refinement.max_iterations), tolerance=0.3)
    width = detector.width or estimate_width(image)
    for _ in range(3):
        candidates = detect(image, noise, detector, width=width)
        model = start_model(
            image,
            noise_parameters(noise, image),
            position=candidates.position,
            amplitude=candidates.amplitude,
            width=width,
        )
        fit_background(model)
        sweep(model, refinement.n_sweeps)
        _drop(model, noise, presence)
        refine(model, rough)
        _drop(model, noise, presence)
        if abs(model.width / width - 1) < REDETECT:
            break
        width = model.width
    for _ in range(presence.max_passes):
        position, amplitude = residual_candidates(
            model, presence=presence, correlation_area=noise.correlation_area
        )
        before = len(model.position)
        if not len(position):
            break
        model.add(position, amplitude)
        sweep(model, refinement.n_sweeps)
        _drop(model, noise, presence)
        refine(model, rough)
        _drop(model, noise, presence)
        if len(model.position) <= before + 0.002 * before:
            break
    refine(model, refinement)
    return model


def presence_of(model: SpotModel, noise: NoiseModel, presence: PresenceTest) -> np.ndarray:
    covariance = marginal_covariance(model)
    residual, weight, _ = model.weigh()
    z, _ = matched_residual(model, residual, weight)
    tiles = inflation_map(z, width=model.width, correlation_area=noise.correlation_area)
    variance = covariance[:, 2, 2] * look_up(tiles, z.shape, model.position)
    variance = variance + (presence.shape_error * glare(model.position, model)) ** 2
    variance = np.where(np.isfinite(variance), variance, np.inf)
    return presence_probability(
        model.amplitude,
        variance,
        width=model.width,
        density=max(len(model.position), 1) / model.image.size,
        brightest=2 * float(np.quantile(model.amplitude, 0.95)) if len(model.amplitude) else 1.0,
    )


def _drop(model, noise, presence):
    inside = ((model.position > -0.5) & (model.position < np.array(model.image.shape) - 0.5)).all(axis=1)
    model.keep(inside)
    if not len(model.position):
        return
    from scipy.spatial import cKDTree
    pairs = cKDTree(model.position).query_pairs(MERGE * model.width, output_type="ndarray")
    weaker = np.where(model.amplitude[pairs[:, 0]] < model.amplitude[pairs[:, 1]], pairs[:, 0], pairs[:, 1])
    keep = np.ones(len(model.position), bool); keep[weaker] = False
    model.keep(keep)
    if not len(model.position):
        return
    model.keep(presence_of(model, noise, presence) >= presence.threshold)


def _finding(grid, model, noise, presence):
    n = len(model.position)
    scale = pixel_size_of(grid)
    origin = np.array([float(grid.coords["y"][0]), float(grid.coords["x"][0])])
    residual, weight, chi_square = model.weigh()
    chi = chi_square / model.image.size
    covariance = marginal_covariance(model) * max(chi, 1.0) * noise.correlation_area
    flags = np.zeros(n, dtype=np.int64)
    edge = ((model.position < 2 * model.width) | (model.position > np.array(model.image.shape) - 1 - 2 * model.width)).any(axis=1)
    flags[edge] |= int(AtomFlag.EDGE)
    atoms = Atoms(
        position=model.position * scale + origin,
        covariance=covariance[:, :2, :2] * scale**2,
        intensity=model.amplitude * model.area,
        intensity_variance=covariance[:, 2, 2] * model.area**2,
        presence_probability=presence_of(model, noise, presence),
        species_probability=np.empty((n, 0)),
        flags=flags, image=np.zeros(n), frame=np.zeros(n),
        length_unit=length_unit_of(grid),
    )
    return Finding(atoms=atoms, spot_width=model.width, background=grid.copy(data=model.background()), noise=noise,
        line_jitter=0.0, reduced_chi_square=chi)
