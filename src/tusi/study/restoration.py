"""`restore`: from frames as the microscope wrote them to one image that can be analysed, and what was done to it."""

import dataclasses
import json
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
import xarray as xr
from jaxtyping import Float

from tusi.data import length_unit_of, pixel_size_of
from tusi.data.storage import write_atomically
from tusi.errors import InputError
from tusi.execution import Progress
from tusi.finding.restoration import (
    NonRigid,
    Restoration,
    Rigid,
    RowJitter,
    correct_scan_pair,
    estimate_row_jitter,
    register_stack,
    stack_frames,
)
from tusi.io import read
from tusi.study.analysis import InputFile
from tusi.study.provenance import describe_inputs, versions
from tusi.units import ANGSTROM

IMAGE_SUFFIXES = (".tif", ".tiff", ".nc")
"""What a restored image can be written as."""

SAME_DIRECTION = 1.0
"""Scan angles that differ by less than this many degrees are one direction."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RestorationOptions:
    """Choices of `restore`; the defaults ask nothing for a movie or for one image.

    Attributes
    ----------
    non_rigid
        Whether frames of a movie are warped smoothly and row by row, or shifted as a whole.
    scan_angles
        Angle of the fast axis of each file, in degrees, from x towards y; `None` takes what the files state.
    pixel_size
        Side of a pixel, in angstrom; `None` takes what the files declare.
    dataset
        Path of the data inside files that hold several.
    """

    non_rigid: bool = False
    scan_angles: tuple[float, ...] | None = None
    pixel_size: float | None = None
    dataset: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RestoredImage:
    """One image, and how it came from the frames.

    Attributes
    ----------
    before
        The first frame as it was read.
    after
        The restored image.
    restoration
        Displacement of every frame; `None` where one image was given.
    row_jitter
        Shift of every row; `None` where several frames were given.
    files
        The inputs.
    options
        What was asked.
    """

    before: xr.DataArray
    after: xr.DataArray
    restoration: Restoration | None
    row_jitter: RowJitter | None
    files: tuple[InputFile, ...]
    options: RestorationOptions

    @property
    def shift(self) -> Float[np.ndarray, "frame 2"]:
        """Mean displacement (y, x) of each frame, in pixels; nothing for one image."""
        if self.restoration is None:
            return np.empty((0, 2))
        displacement = self.restoration.displacement
        fields = [displacement.scan(frame).displacement for frame in range(len(displacement))]
        return np.array([field.reshape(2, -1).mean(axis=1) for field in fields])

    @property
    def verdict(self) -> tuple[str, ...]:
        """What was done and what it cannot do, in sentences."""
        if self.restoration is None:
            assert self.row_jitter is not None
            return (
                f"Rows were moved back by {self.row_jitter.deviation:.2f} px (root mean square).",
                "One frame cannot tell strain from drift: both stretch and shear it, and that is left as it was. A "
                "movie, or a second image with another scan angle, can tell.",
            )
        displacement = self.restoration.displacement
        used = displacement.flags == 0
        moved = float(np.ptp(self.shift[used], axis=0).max())
        if self.restoration.resolved:
            first = f"Drift removed from {used.sum()} images of different scan angles"
        else:
            first = f"{used.sum()} of {len(used)} frames registered and averaged; they lay up to {moved:.3g} px apart"
        notes = (f"{text[:1].upper()}{text[1:]}" for text in self.restoration.warnings)
        return tuple(f"{sentence}." for sentence in (first, *notes))

    @property
    def history(self) -> str:
        """What was done, as JSON: inputs with their hashes, options, versions, sentences."""
        return json.dumps(
            {
                "inputs": [dataclasses.asdict(file) for file in self.files],
                "options": dataclasses.asdict(self.options),
                "versions": dict(versions()),
                "done": self.verdict,
            }
        )


def restore(
    paths: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    options: RestorationOptions | None = None,
    progress: Progress | None = None,
) -> RestoredImage:
    """Make one image from a movie, from images with different scan angles, or from one image.

    The frames of a movie, or images with one scan angle, are registered and averaged. Images with different scan angles
    are freed from drift. In one image the rows are moved back to where the columns are straight; whether it is strained
    or drifted it cannot tell.

    Parameters
    ----------
    paths
        A file with one movie or image, or several files with an image each.
    options
        Choices.
    progress
        Told of each pass through the frames.

    Returns
    -------
    RestoredImage
        The image beside the first frame, and all that was done.

    Raises
    ------
    InputError
        A file cannot be read, has other dimensions, or the scan angles of several files are not known.

    Warns
    -----
    CalibrationWarning
        Frames were left out, or the displacements still moved at the end.

    Examples
    --------
    >>> restore("missing.tiff")
    Traceback (most recent call last):
    tusi.errors.InputError: `paths`: expected a file; got 'missing.tiff', which does not exist.
    """
    options = options or RestorationOptions()
    given = (paths,) if isinstance(paths, str | os.PathLike) else tuple(paths)
    files = describe_inputs(tuple(os.fspath(path) for path in given))
    grids = _read(files, options)
    restoration, jitter = None, None
    first = grids[0] if grids[0].ndim == 2 else grids[0].isel(frame=0, drop=True)
    if len(grids) > 1 and _directions(grids, options.scan_angles) > 1:
        angles = _angles(grids, options.scan_angles)
        restoration = correct_scan_pair(grids, scan_angles=angles, progress=progress)
    elif len(grids) > 1 or grids[0].ndim == 3:
        movie = stack_frames(grids) if len(grids) > 1 else grids[0]
        registration = NonRigid() if options.non_rigid else Rigid()
        restoration = register_stack(movie, registration=registration, progress=progress)
    else:
        jitter = estimate_row_jitter(first)
    after = restoration.image if restoration is not None else jitter.undo(first) if jitter is not None else first
    return RestoredImage(
        before=first, after=after, restoration=restoration, row_jitter=jitter, files=files, options=options
    )


def _read(files: Sequence[InputFile], options: RestorationOptions) -> list[xr.DataArray]:
    """Open the files: one movie, one image, or several images."""
    grids = [read(file.path, pixel_size=options.pixel_size, dataset=options.dataset) for file in files]
    wanted = (("y", "x"),) if len(grids) > 1 else (("y", "x"), ("frame", "y", "x"))
    for file, grid in zip(files, grids, strict=True):
        if grid.dims not in wanted:
            raise InputError(
                "paths",
                expected="one movie (frame, y, x), one image (y, x), or several images",
                got=f"{file.path!r} with dimensions {tuple(map(str, grid.dims))}",
            )
    return grids


def write_restored(restored: RestoredImage, path: str | os.PathLike) -> Path:
    """Write the restored image as TIFF or netCDF with its pixel size and history, all or nothing.

    Parameters
    ----------
    restored
        What `restore` returned.
    path
        Name that ends in .tif, .tiff or .nc; an existing file is replaced. `tusi.read` reads it.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    InputError
        The name ends otherwise, or is that of an input.

    Examples
    --------
    >>> write_restored(restore("movie.tiff"), "restored.tiff")  # doctest: +SKIP
    """
    path = check_target(path, inputs=[file.path for file in restored.files])
    suffix = path.suffix.lower()
    image = restored.after.astype(np.float32)
    if suffix == ".nc":
        kept = {key: value for key, value in image.attrs.items() if isinstance(value, str | int | float)}
        image.attrs = {**kept, "history": restored.history}
        return write_atomically(path, bytes(image.rename("image").to_netcdf(engine="h5netcdf")))
    content, scaled = BytesIO(), length_unit_of(image) == ANGSTROM
    per_unit = 1 / pixel_size_of(image) if scaled else 1.0
    tifffile.imwrite(
        content,
        image.values,
        imagej=True,
        resolution=(per_unit, per_unit),
        resolutionunit=1,
        metadata={"unit": "angstrom" if scaled else "pixel", "tusi": restored.history},
    )
    return write_atomically(path, content.getvalue())


def check_target(path: str | os.PathLike, *, inputs: Sequence[str | os.PathLike]) -> Path:
    """Return where a restored image goes, or say why it cannot go there.

    Parameters
    ----------
    path
        Name of the file.
    inputs
        Files that must not be replaced.

    Raises
    ------
    InputError
        The name has another ending, its folder does not exist, or it is the name of an input.

    Examples
    --------
    >>> check_target("movie.tiff", inputs=["movie.tiff"])
    Traceback (most recent call last):
    tusi.errors.InputError: `out`: expected another file than the inputs; got 'movie.tiff'.
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise InputError("out", expected=f"a name ending in {', '.join(IMAGE_SUFFIXES)}", got=repr(str(path)))
    if not path.parent.is_dir():
        raise InputError("out", expected="a file in a folder that exists", got=repr(str(path)))
    if path.resolve() in [Path(own).resolve() for own in inputs]:
        raise InputError("out", expected="another file than the inputs", got=repr(str(path)))
    return path


def _angles(grids: Sequence[xr.DataArray], given: tuple[float, ...] | None) -> tuple[float, ...]:
    """Return the scan angle of each image, as given or as the files state it."""
    stated = [grid.attrs.get("scan_angle") for grid in grids] if given is None else list(given)
    if len(stated) != len(grids) or any(angle is None for angle in stated):
        raise InputError(
            "scan_angles",
            expected=f"{len(grids)} angles, one for each file",
            got=f"{len(stated)}" if given is not None else "files that do not state them",
            then="Give them: `--scan-angles 0,90`; equal angles average the images.",
        )
    return tuple(float(angle) for angle in stated if angle is not None)


def _directions(grids: Sequence[xr.DataArray], given: tuple[float, ...] | None) -> int:
    """Return in how many directions the images were scanned."""
    angles = np.array(_angles(grids, given))
    apart = np.abs((angles - angles[0] + 90.0) % 180.0 - 90.0)
    return 1 if apart.max() < SAME_DIRECTION else 2
