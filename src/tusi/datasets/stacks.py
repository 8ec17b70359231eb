"""Stacks of frames, and pairs scanned at different angles, whose distortion, drift and jitter are known."""

import dataclasses

import numpy as np
import xarray as xr
from jaxtyping import Float

from tusi.data import Atoms, NoiseModel, make_grid
from tusi.datasets.localisation import PATTERNS, Disorder, Pattern
from tusi.errors import InputError
from tusi.imaging.fields import SmoothField
from tusi.numerics.scanned_spots import add_scanned_spots

PEAK_FRACTION, BACKGROUND_FRACTION = 0.1, 0.01
"""Share of the electrons that a column of amplitude one sends to the detector at its peak, and between columns."""

ROUNDS = 12
"""Fixed-point steps that find where a column appears."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StackRecipe:
    """A stack of frames of one specimen, or a set of frames scanned at different angles.

    Attributes
    ----------
    lattice
        One of `tusi.datasets.PATTERNS` by name, or a pattern.
    turn
        Rotation of the lattice against the axes of the reference, in degrees.
    scan_angles
        Angle of each frame's fast axis, in degrees from x towards y; its length is the number of frames.
    shape
        Rows and columns of each frame.
    dose
        Electrons per pixel of one frame.
    disorder
        What makes the columns differ.
    jump
        Standard deviation of each frame's rigid displacement, in pixels.
    drift
        (y, x) motion of the specimen while one frame is scanned, in pixels; it goes on from frame to frame.
    wander
        Root mean square of a smooth motion in the time of one frame, in pixels; a displacement that depends on the row.
    wander_rows
        Rows over which the wandering keeps its value.
    distortion
        Root mean square of a smooth displacement of each frame that depends on row and column, in pixels.
    correlation_length
        Distance over which that displacement keeps its value, in pixels.
    line_jitter
        Root mean square displacement of a row along the fast axis, in pixels.
    """

    lattice: str | Pattern = "square"
    turn: float = 7.0
    scan_angles: tuple[float, ...] = (0.0,) * 8
    shape: tuple[int, int] = (256, 256)
    dose: float = 300.0
    disorder: Disorder = Disorder()
    jump: float = 0.0
    drift: tuple[float, float] = (0.0, 0.0)
    wander: float = 0.0
    wander_rows: float = 60.0
    distortion: float = 0.0
    correlation_length: float = 120.0
    line_jitter: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.lattice, str) and self.lattice not in PATTERNS:
            raise InputError("lattice", expected=f"one of {', '.join(PATTERNS)}, or a Pattern", got=repr(self.lattice))
        if not (np.isfinite(self.dose) and self.dose > 0):
            raise InputError("dose", expected="electrons per pixel above zero", got=str(self.dose))
        if not self.scan_angles:
            raise InputError("scan_angles", expected="one angle for each frame", got="none")

    @property
    def pattern(self) -> Pattern:
        """The lattice, turned."""
        pattern = PATTERNS[self.lattice] if isinstance(self.lattice, str) else self.lattice
        vectors = np.array(pattern.vectors) @ rotation(self.turn).T
        return dataclasses.replace(pattern, vectors=tuple(tuple(float(c) for c in vector) for vector in vectors))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedStack:
    """Frames with the truth behind them.

    Attributes
    ----------
    movie
        The frames (frame, y, x), in electrons, without pixel size.
    scan_angles
        Angle of each frame's fast axis, in degrees.
    truth
        Columns of the specimen, in pixels of the undistorted reference; those inside its borders.
    displacement
        For each frame and column of `truth`, (y, x) in the reference's axes from where an undistorted scan would have
        recorded the column's pixel to where the column is; line jitter is not in it.
    row_shift
        Displacement of each row along the fast axis, in pixels.
    width
        Standard deviation of the spots, in pixels.
    background
        Electrons between the spots in one frame.
    noise
        The noise model of one frame.
    """

    movie: xr.DataArray
    scan_angles: tuple[float, ...]
    truth: Atoms
    displacement: Float[np.ndarray, "frame atom 2"]
    row_shift: Float[np.ndarray, "frame row"]
    width: float
    background: float
    noise: NoiseModel

    @property
    def shared_position(self) -> Float[np.ndarray, "atom 2"]:
        """Where the mean of all frames shows each column: no comparison of frames alone can do better."""
        return self.truth.position - self.displacement.mean(axis=0)


@dataclasses.dataclass(frozen=True, eq=False)
class _Motion:
    """Displacement of one frame, as a function of the scan's pixel."""

    shift: np.ndarray
    drift: np.ndarray
    fields: tuple[tuple[float, SmoothField], ...]
    wander: tuple[tuple[float, SmoothField], ...]
    shape: tuple[int, int]

    def at(self, pixel: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, "point 2"]:
        """Return the displacement at these (row, column)."""
        time = np.stack([pixel[:, 0], np.zeros(len(pixel))], axis=1)
        moved = self.shift + self.drift * (pixel[:, :1] / self.shape[0] - 0.5)
        for places, fields in ((pixel, self.fields), (time, self.wander)):
            for axis, (size, field) in enumerate(fields):
                if size > 0:
                    moved[:, axis] += size * field.at(places)
        return moved

    def on_grid(self) -> Float[np.ndarray, "row column 2"]:
        """Return the displacement at every pixel."""
        rows = np.stack([np.arange(self.shape[0]), np.zeros(self.shape[0])], axis=1)
        still = dataclasses.replace(self, fields=tuple((0.0, field) for _, field in self.fields))
        moved = np.repeat(still.at(rows)[:, None], self.shape[1], axis=1)
        for axis, (size, field) in enumerate(self.fields):
            if size > 0:
                moved[..., axis] += size * field.on_grid(self.shape)
        return moved


def rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    """Return the matrix that turns (row, column) of a scan at this angle, in degrees, into (y, x).

    Examples
    --------
    >>> rotation(90.0).round(6).tolist()
    [[0.0, 1.0], [-1.0, 0.0]]
    """
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return np.array([[c, s], [-s, c]])


def simulate_stack(recipe: StackRecipe, *, rng: np.random.Generator) -> SimulatedStack:
    """Simulate the frames of a recipe.

    Every pixel is evaluated where drift, distortion and jitter put the probe, and its count is Poisson. Drift goes on
    from frame to frame without a pause; the reference is what the specimen shows in the middle of the series.
    Wandering, distortion, jumps and jitter are drawn anew for each frame.

    Parameters
    ----------
    recipe
        Specimen and scan.
    rng
        Draws everything that is random.

    Returns
    -------
    SimulatedStack
        Frames and truth.

    Examples
    --------
    >>> recipe = StackRecipe(scan_angles=(0.0, 90.0), shape=(64, 64), drift=(2.0, -1.0))
    >>> pair = simulate_stack(recipe, rng=np.random.default_rng(0))
    >>> pair.movie.shape, pair.displacement.shape[0]
    ((2, 64, 64), 2)
    """
    position, amplitude, width = _specimen(recipe, rng)
    inside = ((position > -0.5) & (position < np.array(recipe.shape) - 0.5)).all(axis=1)
    n_frames = len(recipe.scan_angles)
    frames, displacement, shifts = [], [], []
    for frame, angle in enumerate(recipe.scan_angles):
        motion = _motion(recipe, frame - 0.5 * (n_frames - 1), rng)
        row_shift = rng.normal(scale=recipe.line_jitter, size=recipe.shape[0])
        seen, moved = _appearance(position, motion, rotation(angle), recipe.shape)
        mean = _expected(recipe, (position, amplitude, width, seen), (motion, row_shift, rotation(angle)))
        frames.append(rng.poisson(mean).astype(np.float64))
        displacement.append(moved[inside])
        shifts.append(row_shift)
    atoms = Atoms.at(position[inside], length_unit="pixel")
    return SimulatedStack(
        movie=_movie(np.array(frames), recipe.scan_angles),
        scan_angles=recipe.scan_angles,
        truth=dataclasses.replace(
            atoms, intensity=2 * np.pi * width[inside] ** 2 * amplitude[inside] * recipe.dose * PEAK_FRACTION
        ),
        displacement=np.array(displacement),
        row_shift=np.array(shifts),
        width=recipe.pattern.width,
        background=recipe.dose * BACKGROUND_FRACTION,
        noise=NoiseModel(),
    )


def _specimen(recipe: StackRecipe, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw positions, amplitudes and widths of the columns, well beyond what any frame can see."""
    pattern, disorder = recipe.pattern, recipe.disorder
    total_drift = max(map(abs, recipe.drift)) * len(recipe.scan_angles)
    reach = 5 * (recipe.jump + recipe.wander + recipe.distortion) + total_drift + 7 * pattern.width
    reach += 0.25 * max(recipe.shape)
    origin = rng.uniform(size=2) @ np.array(pattern.vectors)
    sites = pattern.positions(recipe.shape, margin=reach, origin=origin)
    sites = sites[rng.random(len(sites)) >= disorder.vacancy_fraction]
    dopant = rng.random(len(sites)) < disorder.dopant_fraction
    amplitude = (1 + disorder.amplitude_spread * rng.normal(size=len(sites))) * np.where(
        dopant, disorder.dopant_amplitude, 1.0
    )
    position = sites + rng.normal(scale=disorder.displacement, size=sites.shape)
    return position, amplitude, np.full(len(sites), pattern.width)


def _motion(recipe: StackRecipe, time: float, rng: np.random.Generator) -> _Motion:
    """Draw the motion of the frame whose middle is this many frames from the middle of the series."""
    drift = np.array(recipe.drift, dtype=np.float64)
    draw = SmoothField.draw
    return _Motion(
        shift=recipe.jump * rng.normal(size=2) + drift * time,
        drift=drift,
        fields=tuple((recipe.distortion, draw(recipe.correlation_length, rng=rng)) for _ in range(2)),
        wander=tuple((recipe.wander, draw(recipe.wander_rows, rng=rng)) for _ in range(2)),
        shape=recipe.shape,
    )


def _appearance(
    position: Float[np.ndarray, "atom 2"], motion: _Motion, turn: Float[np.ndarray, "2 2"], shape: tuple[int, int]
) -> tuple[Float[np.ndarray, "atom 2"], Float[np.ndarray, "atom 2"]]:
    """Return the (row, column) at which each column appears without jitter, and its displacement there."""
    centre = 0.5 * (np.array(shape) - 1)
    moved = np.zeros_like(position)
    for _ in range(ROUNDS):
        seen = (position - centre - moved) @ turn + centre
        moved = motion.at(seen)
    return seen, moved


def _expected(
    recipe: StackRecipe,
    spots: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    scan: tuple[_Motion, np.ndarray, np.ndarray],
) -> Float[np.ndarray, "row column"]:
    """Return the mean number of electrons in each pixel of one frame."""
    motion, row_shift, turn = scan
    centre = 0.5 * (np.array(recipe.shape) - 1)
    pixel = np.moveaxis(np.indices(recipe.shape, dtype=np.float64), 0, -1)
    jittered = pixel - centre
    jittered[..., 1] += row_shift[:, None]
    place = np.moveaxis(jittered @ turn.T + centre + motion.on_grid(), -1, 0)
    image = np.zeros(recipe.shape)
    add_scanned_spots(image, np.ascontiguousarray(place), spots, float(np.abs(row_shift).max()))
    return recipe.dose * (BACKGROUND_FRACTION + PEAK_FRACTION * image)


def _movie(frames: Float[np.ndarray, "frame y x"], angles: tuple[float, ...]) -> xr.DataArray:
    """Wrap the frames as a grid."""
    first = make_grid(frames[0])
    coordinates = {"frame": xr.DataArray(np.arange(len(frames)), dims="frame", attrs={"units": "1"})}
    attributes = {"fast_axis": "x"} | ({"scan_angle": angles[0]} if len(set(angles)) == 1 else {})
    return xr.DataArray(
        frames,
        dims=("frame", "y", "x"),
        coords={**coordinates, "y": first.coords["y"], "x": first.coords["x"]},
        name="movie",
        attrs=attributes,
    )
