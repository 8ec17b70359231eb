"""What restoration returns."""

import dataclasses
from typing import ClassVar

import numpy as np
import xarray as xr
from jaxtyping import Float

from tusi.data import Atoms, NoiseModel, pixel_size_of
from tusi.errors import InputError
from tusi.finding.restoration.displacement import ScanDisplacement
from tusi.finding.restoration.lattice_hops import DOUBTFUL
from tusi.finding.restoration.reference import Reference
from tusi.finding.restoration.scan import covered_by_all
from tusi.finding.restoration.solving import Solution
from tusi.finding.result import Finding

ONE_FRAME = "one frame cannot tell strain from drift"
COMMON = (
    "what all frames have in common cannot be seen by comparing them: a distortion of the scan that repeats in every "
    "frame, and the drift within a frame, remain in the mean image"
)
PAIRED = (
    "drift is told from strain because the slow axes differ; a distortion of the scan that turns with it and is the "
    "same in every image is not"
)
HOPS = (
    "frames may lie a lattice vector away from where they belong: their cells look too much alike to tell "
    "(`displacement.hop_probability`)"
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Restoration:
    """The mean of all frames, each put where it belongs, and what is known about where that is.

    Attributes
    ----------
    image
        The mean where every used frame was seen, in the frames' signal units; its coordinates are those of the first
        frame (of the mean frame, for a stack).
    noise
        The noise of that image, for `find_atoms`.
    displacement
        Where each frame's pixels were recorded, with covariance.
    resolved
        Whether drift is resolved by different scan angles, or the frames were only compared with their mean.
    warnings
        What a reader should know before trusting this.
    """

    format_name: ClassVar[str] = "restoration"

    image: xr.DataArray
    noise: NoiseModel
    displacement: ScanDisplacement
    resolved: bool
    warnings: tuple[str, ...] = ()

    def with_registration(self, finding: Finding) -> Atoms:
        """Return the atoms found in `image` with the uncertainty of the restoration added to their covariance.

        The line jitter that `find_atoms` saw in the image is part of what is added here, and is not counted twice.

        Parameters
        ----------
        finding
            What `find_atoms` made of `image`.
        """
        atoms, scale = finding.atoms, pixel_size_of(self.image)
        if not len(atoms):
            return atoms
        added = self.registration_covariance(atoms.position, width=finding.spot_width)
        seen = finding.line_jitter**2 * mean_of_rows(finding.spot_width) * scale**2
        added[:, 1, 1] = np.maximum(added[:, 1, 1] - seen, 0.0)
        return dataclasses.replace(atoms, covariance=atoms.covariance + added)

    def registration_covariance(
        self, position: Float[np.ndarray, "point 2"], *, width: float
    ) -> Float[np.ndarray, "point 2 2"]:
        """Return the covariance that the restoration adds to points of `image`, in its length unit squared.

        Where scan angles resolve the drift it is the covariance of the mean displacement of all frames. In a stack the
        frames' errors cancel in the mean, whose smooth distortion is the reference by definition; what remains is the
        mean of all frames' shifts of a row, which no comparison of frames can see: its variance follows from that of
        the shifts against the mean.

        Parameters
        ----------
        position
            (y, x), in the length unit of `image`.
        width
            Standard deviation of the spots, in pixels.
        """
        total, scale = np.zeros((len(position), 2, 2)), pixel_size_of(self.image)
        used = np.flatnonzero(self.displacement.flags == 0)
        shares = self.displacement.dose[used] / self.displacement.dose[used].sum()
        if not self.resolved:
            share = float((shares**2).sum())
            common = share / (1 - share) * self.displacement.row_deviation**2 * mean_of_rows(width)
            total[:, 1, 1] = common * scale**2
            return total
        for frame, share in zip(used, shares, strict=True):
            pixel = self.displacement.to_frame(int(frame), position / scale)
            total += share**2 * self.displacement.to_reference(int(frame), pixel, width=width)[1]
        return total * scale**2


def mean_of_rows(width: float) -> float:
    """Return the variance of a spot's position along the rows when rows of unit variance shift independently.

    Each row counts by its share of the squared spot, whose profile is a Gaussian of `width` / sqrt(2), in pixels.

    Examples
    --------
    >>> round(mean_of_rows(2.5) ** 0.5, 2)
    0.4
    """
    return float(min(1.0 / (np.sqrt(2 * np.pi) * width), 1.0)) if width > 0 else 1.0


def finish(solution: Solution, grid: xr.DataArray, *, noise: NoiseModel, displacement: ScanDisplacement) -> Restoration:
    """Assemble the result from the last pass; `grid` is a frame whose coordinates the image takes."""
    reference, dose = solution.reference, float(displacement.dose[solution.used].sum())
    rows, columns = covered_by_all(reference.coverage, int(solution.used.sum()))
    if rows.stop == rows.start or columns.stop == columns.start:
        raise InputError(
            "movie",
            expected="an area that all frames show",
            got="none",
            then="Restore fewer frames at a time: the specimen drifted out of the field of view.",
        )
    image = grid.isel(y=rows, x=columns).copy(data=reference.image[rows, columns])
    resolved = len(np.unique(displacement.scan_angle[solution.used] % 180.0)) > 1
    notes = (PAIRED if resolved else COMMON,)
    if not solution.converged:
        notes += ("the displacements still moved when it was stopped",)
    if not solution.used.all():
        notes += (f"{int((~solution.used).sum())} of {len(solution.used)} frames do not agree with the others",)
    n_doubtful = int((displacement.hop_probability > DOUBTFUL).sum())
    if n_doubtful:
        notes += (f"{n_doubtful} of {len(solution.used)} {HOPS}",)
    return Restoration(
        image=image,
        noise=_noise_of_mean(noise, reference, dose),
        displacement=displacement,
        resolved=resolved,
        warnings=notes,
    )


def _noise_of_mean(noise: NoiseModel, reference: Reference, dose: float) -> NoiseModel:
    """Return the noise of a pixel of the mean image; interpolation trades variance for correlation."""
    left = min(reference.noise_left, 1.0)
    return NoiseModel(
        gain=noise.gain * left / dose,
        offset=noise.offset,
        read_variance=noise.read_variance * left / dose,
        correlation_area=noise.correlation_area / left,
    )
