"""Parts of an image that take part in an analysis, as people type them: `y0:y1,x0:x1` in pixels."""

import dataclasses
import re
from pathlib import PurePath

import numpy as np
from jaxtyping import Bool, Float

from tusi.errors import InputError

_PATTERN = re.compile(r"(?:(?P<name>.+)=)?(?P<y0>\d*):(?P<y1>\d*),(?P<x0>\d*):(?P<x1>\d*)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Region:
    """A rectangle of pixels, half-open like a Python slice: pixel y belongs to it if `y0 <= y < y1`.

    Attributes
    ----------
    y0, y1, x0, x1
        Limits in pixels from the image's first pixel; `None` is the image's own limit.
    name
        File name (with or without its ending) of the image that it is for; empty for every image.

    Examples
    --------
    >>> Region.parse("re05.tiff=40:680,0:700")
    Region(y0=40, y1=680, x0=0, x1=700, name='re05.tiff')
    """

    y0: int | None = None
    y1: int | None = None
    x0: int | None = None
    x1: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        for low, high, axis in ((self.y0, self.y1, "y"), (self.x0, self.x1, "x")):
            if high is not None and high <= (low or 0):
                raise InputError("region", expected=f"{axis}0 < {axis}1", got=f"{low or 0}:{high}")

    def __str__(self) -> str:
        limits = ["" if value is None else str(value) for value in (self.y0, self.y1, self.x0, self.x1)]
        return f"{self.name}=" * bool(self.name) + "{}:{},{}:{}".format(*limits)

    @classmethod
    def parse(cls, text: str) -> "Region":
        """Read `y0:y1,x0:x1`, with `NAME=` before it when it is for one image.

        Raises
        ------
        InputError
            The text is something else.
        """
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise InputError(
                "region",
                expected="y0:y1,x0:x1 in pixels, with NAME= before it for one image",
                got=repr(text),
                then="For example --region 40:680,0:700 or --region re05=40:680,0:700.",
            )
        limits = {key: int(match[key]) if match[key] else None for key in ("y0", "y1", "x0", "x1")}
        return cls(**limits, name=match["name"] or "")

    def holds(
        self, position: Float[np.ndarray, "atom 2"], *, pixel_size: float, margin: float = 0.0
    ) -> Bool[np.ndarray, " atom"]:
        """Return which positions lie inside.

        Parameters
        ----------
        position
            (y, x) from the centre of the image's first pixel, in the unit of `pixel_size`.
        pixel_size
            Side of a pixel.
        margin
            How far outside still counts, in pixels.
        """
        pixel = position / pixel_size + 0.5
        inside = np.ones(len(position), bool)
        for axis, low, high in ((0, self.y0, self.y1), (1, self.x0, self.x1)):
            if low is not None:
                inside &= pixel[:, axis] >= low - margin
            if high is not None:
                inside &= pixel[:, axis] < high + margin
        return inside


def region_for(path: str, regions: tuple[Region, ...]) -> Region | None:
    """Return the region that an image has: its own, or else the one for every image.

    Examples
    --------
    >>> region_for("images/re05.tiff", (Region.parse("re05=0:9,0:9"), Region.parse("0:5,0:5"))).y1
    9
    """
    file = PurePath(path)
    own = [region for region in regions if region.name in (file.name, file.stem)]
    every = [region for region in regions if not region.name]
    return next(iter(own + every), None)


def check_regions(paths: tuple[str, ...], regions: tuple[Region, ...]) -> None:
    """Raise `InputError` when a region names no image, or an image has more than one."""
    names = {name for path in paths for name in (PurePath(path).name, PurePath(path).stem)}
    for region in regions:
        if region.name and region.name not in names:
            raise InputError(
                "region", expected=f"the name of an image ({', '.join(sorted(names))})", got=repr(region.name)
            )
    given = [region.name for region in regions]
    for path in paths:
        own = sum(given.count(name) for name in {PurePath(path).name, PurePath(path).stem})
        if own > 1 or given.count("") > 1:
            raise InputError("region", expected=f"one region for {PurePath(path).name!r}", got="several")
