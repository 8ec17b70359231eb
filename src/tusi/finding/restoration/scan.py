"""Where a scan put the pixels of one frame: a rotation, a smooth displacement, and a shift of each row."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from tusi.numerics.tensor_splines import TensorSplines, spline_matrix
from tusi.numerics.warping import remaining_noise, sample, sample_moved, scan_places, shift_rows, spline_coefficients

SMOOTH_NODES = 1.0
"""Distance, in nodes, over which the splines' coefficients are expected to keep their value."""


@dataclasses.dataclass(frozen=True, eq=False)
class ScanModel:
    """What all frames of one size have in common: the splines of the displacement, and how smooth they are."""

    splines: TensorSplines
    smoothness: Float[np.ndarray, "function function_"]
    shape: tuple[int, int]
    n_intervals: tuple[int, int]

    @classmethod
    def over(cls, shape: tuple[int, int], n_intervals: tuple[int, int]) -> "ScanModel":
        """Return the model with so many spline intervals along y and x."""
        splines = TensorSplines.over(shape, n_intervals)
        return cls(splines, splines.smoothness(SMOOTH_NODES), shape, n_intervals)

    @property
    def n_functions(self) -> int:
        """Number of spline functions of each axis."""
        return self.splines.n_functions

    def basis_at(self, pixel: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, "point function"]:
        """Return every function at these (row, column)."""
        y, x = (
            spline_matrix(pixel[:, axis], size=self.shape[axis], n_intervals=self.n_intervals[axis]) for axis in (0, 1)
        )
        return (y[:, :, None] * x[:, None, :]).reshape(len(pixel), -1)

    def collocation_points(self) -> Float[np.ndarray, "function 2"]:
        """Return one (row, column) for each function, at which values fix the coefficients."""
        axes = []
        for size, n in zip(self.shape, self.n_intervals, strict=True):
            inner = np.arange(-1, n + 2) * (size - 1) / max(n, 1)
            inner[[0, -1]] = (size - 1) / (3.0 * max(n, 1)), (size - 1) * (1 - 1 / (3.0 * max(n, 1)))
            axes.append(np.sort(inner) if n else np.array([0.5 * (size - 1)]))
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)


@dataclasses.dataclass(frozen=True, eq=False)
class FrameScan:
    """Where one frame's pixels were recorded, and how bright it is.

    Attributes
    ----------
    model
        What it shares with the other frames.
    turn
        Rotation from (row, column) into the reference's (y, x).
    coefficient
        Of the displacement along y and x of the reference, in pixels.
    row_shift
        Displacement of each row along the fast axis, in pixels.
    dose, background
        The frame is `background + dose * reference`.
    """

    model: ScanModel
    turn: Float[np.ndarray, "2 2"]
    coefficient: Float[np.ndarray, "2 function"]
    row_shift: Float[np.ndarray, " row"]
    dose: float = 1.0
    background: float = 0.0

    @classmethod
    def at_rest(cls, model: ScanModel, turn: Float[np.ndarray, "2 2"], shift: Float[np.ndarray, " 2"]) -> "FrameScan":
        """Return a frame that is displaced as a whole."""
        coefficient = np.repeat(np.asarray(shift, dtype=np.float64)[:, None], model.n_functions, axis=1)
        return cls(model, turn, coefficient, np.zeros(model.shape[0]))

    @property
    def displacement(self) -> Float[np.ndarray, "2 row column"]:
        """The smooth displacement of every pixel, without the shifts of rows."""
        return np.stack([self.model.splines.field(c) for c in self.coefficient])

    @property
    def fast_axis(self) -> Float[np.ndarray, " 2"]:
        """(y, x) direction along which rows are shifted."""
        return self.turn[:, 1]

    @property
    def moved_as_a_whole(self) -> bool:
        """Whether all pixels are displaced alike."""
        still = not self.row_shift.any() and bool((self.turn == np.eye(2)).all())
        return self.model.n_functions == 1 and still

    def places(self) -> Float[np.ndarray, "2 row column"]:
        """Return where on the reference every pixel was recorded, in the reference's pixels."""
        shape = self.model.shape
        row = np.arange(shape[0])[:, None] - 0.5 * (shape[0] - 1)
        column = np.arange(shape[1])[None, :] - 0.5 * (shape[1] - 1) + self.row_shift[:, None]
        place = self.displacement
        for axis in range(2):
            place[axis] += self.turn[axis, 0] * row + self.turn[axis, 1] * column + 0.5 * (shape[axis] - 1)
        return place

    def resample(self, image: Float[np.ndarray, "row column"]) -> tuple[Float[np.ndarray, "y x"], float]:
        """Return the frame as the reference shows it (NaN where it was not seen), and what is left of white noise."""
        if self.moved_as_a_whole:
            move = -self.coefficient[:, 0]
            moved = sample_moved(spline_coefficients(image), move)
            left = float(np.prod(remaining_noise(move % 1))) if np.isfinite(moved).any() else 1.0
            return (moved - self.background) / self.dose, left
        shifted = shift_rows(image, self.row_shift) if self.row_shift.any() else image
        place = scan_places(self.displacement, self.turn, self.model.shape)
        margin = float(np.ceil(np.abs(self.row_shift).max()))
        place[:, ~((place[1] >= margin) & (place[1] <= image.shape[1] - 1 - margin))] = np.nan
        coefficient = spline_coefficients(shifted)
        out = np.empty((3, *self.model.shape))
        sample(coefficient, coefficient, place, out)
        seen = np.isfinite(out[0])
        left = np.mean(remaining_noise(place[0][seen] % 1) * remaining_noise(place[1][seen] % 1)) if seen.any() else 1.0
        if self.row_shift.any():
            left *= np.mean(remaining_noise(self.row_shift % 1))
        return (out[0] - self.background) / self.dose, float(left)


def covered_by_all(coverage: Float[np.ndarray, "y x"], n_frames: float) -> tuple[slice, slice]:
    """Return the rows and columns of a large rectangle that every frame covers; empty slices where there is none."""
    covered: Bool[np.ndarray, "y x"] = coverage > n_frames - 0.5
    low, high = np.array([0, 0]), np.array(covered.shape)
    while (high > low).all():
        inside = covered[low[0] : high[0], low[1] : high[1]]
        sides = np.array([inside[0].mean(), inside[-1].mean(), inside[:, 0].mean(), inside[:, -1].mean()])
        worst = int(sides.argmin())
        if sides[worst] == 1.0:
            return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
        if worst % 2 == 0:
            low[worst // 2] += 1
        else:
            high[worst // 2] -= 1
    return slice(0, 0), slice(0, 0)
