"""What finding returns."""

import dataclasses
from typing import ClassVar

import xarray as xr

from tusi.data import Atoms, NoiseModel


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Finding:
    """Atoms of one image, and everything else that the fit learned about it.

    Attributes
    ----------
    atoms
        Atoms in the grid's length unit.
    spot_width
        Width (standard deviation) of the spot's core, pixel; NaN where nothing was found.
    background
        The fitted background on the image's grid, signal units.
    noise
        The noise model that was used.
    line_jitter
        Root mean square shift of the scan lines along the fast axis, pixel; zero where it is below the noise.
    reduced_chi_square
        Mean squared residual in units of the noise, without what the line jitter explains; 1 for a perfect model.
    warnings
        What a reader should know before trusting this.
    """

    format_name: ClassVar[str] = "finding"

    atoms: Atoms
    spot_width: float
    background: xr.DataArray
    noise: NoiseModel
    line_jitter: float
    reduced_chi_square: float
    warnings: tuple[str, ...] = ()
