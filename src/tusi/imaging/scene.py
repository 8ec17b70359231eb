"""What stands before the microscope: columns of atoms as Gaussian spots, and how slow motion displaces them."""

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.imaging.fields import SmoothField
from tusi.numerics.rendering import add_spots


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scene(Record):
    """Atomic columns as isotropic Gaussian spots in the frame of an image; columns may lie outside it.

    Attributes
    ----------
    position
        (y, x) of each column, in pixels; pixel centres are whole numbers.
    amplitude
        Peak height of each spot; 1 is the height that `Acquisition.peak_fraction` refers to.
    width
        Standard deviation of each spot, in pixels.
    shape
        Rows and columns of the image.

    Examples
    --------
    >>> scene = Scene(position=[[2.0, 3.0]], amplitude=[1.0], width=[1.5], shape=(5, 7))
    >>> float(scene.render()[2, 3])
    1.0
    """

    format_name: ClassVar[str] = "scene"
    row: ClassVar[str] = "column"

    position: Float[np.ndarray, "column 2"] = array("column", "axis")
    amplitude: Float[np.ndarray, " column"] = array("column")
    width: Float[np.ndarray, " column"] = array("column")
    shape: tuple[int, int]

    def _check(self) -> None:
        if self.position.shape[1] != 2:
            raise InputError("position", expected="two columns (y, x)", got=f"shape {self.position.shape}")
        if len(self) and not (self.width > 0).all():
            raise InputError("width", expected="numbers above zero", got=f"a least width of {self.width.min():g}")
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise InputError("shape", expected="two numbers of pixels", got=str(self.shape))

    @property
    def inside(self) -> np.ndarray:
        """For each column, whether its centre lies inside the image."""
        upper = np.array(self.shape) - 0.5
        return np.all((self.position >= -0.5) & (self.position < upper), axis=1)

    def render(self, row_shift: Float[np.ndarray, " y"] | None = None) -> Float[np.ndarray, "y x"]:
        """Return the sum of the spots at pixel centres; see `render_spots`."""
        return render_spots(self.position, self.amplitude, width=self.width, shape=self.shape, row_shift=row_shift)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distortion:
    """Motion that is slow compared with the time spent on one column: it moves columns but keeps their shape.

    Attributes
    ----------
    drift
        (y, x) displacement of the specimen per scanned row, in pixels per row.
    amplitude
        Root mean square of a smooth random displacement along each axis, in pixels.
    correlation_length
        Distance over which the smooth displacement keeps its value, in pixels.
    """

    drift: tuple[float, float] = (0.0, 0.0)
    amplitude: float = 0.0
    correlation_length: float = 300.0

    def __post_init__(self) -> None:
        if not max(abs(component) for component in self.drift) < 1:
            raise InputError("drift", expected="less than one pixel per row", got=str(self.drift))
        if self.amplitude < 0 or not self.correlation_length > 0:
            raise InputError(
                "distortion",
                expected="amplitude >= 0 and correlation_length > 0",
                got=f"{self.amplitude:g} and {self.correlation_length:g}",
            )


def distort(scene: Scene, distortion: Distortion, *, rng: np.random.Generator) -> Scene:
    """Move the columns as drift and slow distortion do.

    A column that stands at row y when the scan begins is met at row y / (1 - drift_y), displaced by drift times that
    row. The smooth displacement is a Gaussian random field; both are taken as constant across one column.

    Parameters
    ----------
    scene
        The columns without distortion, in pixels.
    distortion
        What moves them.
    rng
        Draws the smooth displacement.

    Returns
    -------
    Scene
        The same columns where the image shows them.

    Examples
    --------
    >>> scene = Scene(position=[[100.0, 50.0]], amplitude=[1.0], width=[2.0], shape=(128, 128))
    >>> moved = distort(scene, Distortion(drift=(0.0, 0.01)), rng=np.random.default_rng(0))
    >>> moved.position.tolist()
    [[100.0, 51.0]]
    """
    row = scene.position[:, 0] / (1.0 - distortion.drift[0])
    position = np.stack([row, scene.position[:, 1] + distortion.drift[1] * row], axis=1)
    if distortion.amplitude > 0:
        for axis in range(2):
            field = SmoothField.draw(distortion.correlation_length, rng=rng)
            position[:, axis] += distortion.amplitude * field.at(scene.position)
    return dataclasses.replace(scene, position=position)


def render_spots(
    position: Float[np.ndarray, "spot 2"],
    amplitude: Float[np.ndarray, " spot"],
    *,
    width: float | Float[np.ndarray, " spot"],
    shape: tuple[int, int],
    row_shift: Float[np.ndarray, " y"] | None = None,
) -> Float[np.ndarray, "y x"]:
    """Return the sum of isotropic Gaussian spots at pixel centres.

    Each spot is `amplitude exp(-r^2 / 2 width^2)`, cut off at 6.5 widths, where it is below 1e-9 of its peak. A shifted
    row is evaluated at the shifted coordinate, not interpolated, so that line jitter is exact.

    Parameters
    ----------
    position
        (y, x) of each spot, in pixels; may lie outside the image.
    amplitude
        Peak height of each spot, in signal units.
    width
        Standard deviation, in pixels: one for all spots or one each.
    shape
        Rows and columns of the image.
    row_shift
        For each row, how far along x from its nominal place it samples the scene, in pixels.

    Returns
    -------
    Float[np.ndarray, "y x"]
        The image, in signal units.

    Raises
    ------
    InputError
        A width is not above zero, or the numbers of positions, amplitudes, widths or rows do not agree.

    Examples
    --------
    >>> image = render_spots(np.array([[1.0, 1.0]]), np.array([2.0]), width=1.0, shape=(3, 3))
    >>> round(float(image[1, 0] / image[1, 1]), 4)
    0.6065
    """
    centre = np.array(position, dtype=np.float64).reshape(-1, 2)
    n_spots = len(centre)
    try:
        heights = np.array(np.broadcast_to(np.asarray(amplitude, dtype=np.float64), n_spots))
        widths = np.array(np.broadcast_to(np.asarray(width, dtype=np.float64), n_spots))
        shifts = np.zeros(shape[0]) if row_shift is None else np.asarray(row_shift, dtype=np.float64)
        shifts = np.array(np.broadcast_to(shifts, shape[0]))
    except ValueError as error:
        raise InputError(
            "position", expected="one amplitude and width for each, one shift for each row", got=str(error)
        ) from None
    if n_spots and not (widths > 0).all():
        raise InputError("width", expected="numbers of pixels above zero", got=f"{widths.min():g}")
    image = np.zeros(shape)
    add_spots(image, centre, heights, widths, shifts)
    return image
