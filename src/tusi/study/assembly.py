"""From the results of an image's steps to the object that is stored and drawn."""

import dataclasses

import numpy as np
import xarray as xr

from tusi.data import length_unit_of, pixel_size_of
from tusi.finding import Finding
from tusi.study.analysis import ImageAnalysis
from tusi.study.capture import StepResult
from tusi.study.steps import ImageTask, implied_pixel_size

LARGEST_STORED = 4096 * 4096
"""Pixels above which an image is kept by hash and path alone."""

_WHOLE = ("uint8", "uint16", "int16")


def image_analysis(task: ImageTask, outcomes: dict[str, StepResult]) -> ImageAnalysis:
    """Put together what the steps made of one image."""
    value = {name: result.value for name, result in outcomes.items()}
    grid = value.get("read")
    registration = value.get("register")
    failed = next(((name, result.error) for name, result in outcomes.items() if result.error), ("", ""))
    said = dict.fromkeys(text for result in outcomes.values() for _, text in result.warnings)
    lattice = registration.lattice if registration is not None else None
    return ImageAnalysis(
        file=task.file,
        grid=compact(grid) if grid is not None and grid.size <= LARGEST_STORED else None,
        pixel_size=pixel_size_of(grid) if grid is not None else 1.0,
        length_unit=length_unit_of(grid) if grid is not None else "pixel",
        implied_pixel_size=implied_pixel_size(lattice, task.options.lattice_constant, pixel_size_of(grid))
        if lattice is not None and grid is not None
        else None,
        region=task.region,
        finding=_light(value.get("find")),
        lattice=lattice,
        species=value.get("species"),
        graph=value.get("graph"),
        failed_step=failed[0],
        error=failed[1],
        warnings=tuple(said),
    )


def compact(grid: xr.DataArray) -> xr.DataArray:
    """Return the grid in the smallest type that holds every value, or in float32.

    Examples
    --------
    >>> compact(xr.DataArray(np.array([[0.0, 255.0]]))).dtype
    dtype('uint8')
    """
    values = grid.values
    if np.isfinite(values).all():
        for kind in _WHOLE:
            limits = np.iinfo(kind)
            if values.min() >= limits.min and values.max() <= limits.max and not np.any(values % 1):
                return grid.copy(data=values.astype(kind))
    return grid.copy(data=values.astype(np.float32))


def _light(finding: Finding | None) -> Finding | None:
    """Return the finding with its background in single precision, coarser for images too large to be stored."""
    if finding is None:
        return None
    background = finding.background
    factor = int(np.ceil(np.sqrt(background.size / LARGEST_STORED)))
    if factor > 1:
        background = background.isel(y=slice(None, None, factor), x=slice(None, None, factor))
    return dataclasses.replace(finding, background=background.astype(np.float32))
