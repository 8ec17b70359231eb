"""Where the scan put each pixel of each frame, with its covariance."""

import dataclasses
import enum
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from tusi.data.record import Record, array
from tusi.errors import InputError
from tusi.finding.restoration.scan import FrameScan, ScanModel


class FrameFlag(enum.IntFlag):
    """Bits of `ScanDisplacement.flags`; only frames without bits are part of the mean."""

    CONSTANT = 1
    NO_OVERLAP = 2
    POOR_FIT = 4


def turn_of(angle: float) -> Float[np.ndarray, "2 2"]:
    """Return the matrix that turns (row, column) of a scan into (y, x) of the reference.

    The fast axis points along (sin, cos) of the angle in (y, x), the slow axis along (cos, -sin).

    Parameters
    ----------
    angle
        From x towards y, in degrees.

    Examples
    --------
    >>> (turn_of(90.0) @ [0.0, 1.0]).round(6).tolist()
    [1.0, 0.0]
    """
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return np.array([[c, s], [-s, c]])


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ScanDisplacement(Record):
    """Displacement of every pixel of every frame, as coefficients of splines and a shift of each row.

    The pixel p = (row, column) of a frame shows the reference's point `turn (p - c) + c + d(p) + row_shift e`, where c
    is the middle of the image, `turn` the rotation by the scan angle, d the splines, and e the fast axis; in pixels.

    Attributes
    ----------
    coefficient
        Of the splines along y and x of the reference.
    covariance
        Of the coefficients along y, then x.
    row_shift
        Shift of each row along the fast axis.
    row_variance
        Variance of each row's shift where the coefficients are known.
    response
        How much the estimate of each row's shift falls with each coefficient.
    scan_angle
        Angle of the fast axis, in degrees from x towards y.
    dose, background
        Each frame is `background + dose * mean image`; the doses' mean is one.
    reduced_chi_square
        Mean squared residual of each frame over its expected variance.
    hop_probability
        That the frame lies where it looks alike but does not belong, a lattice vector or several away.
    flags
        Bits of `FrameFlag`.
    shape
        Rows and columns of each frame.
    n_intervals
        Spline intervals along rows and columns.
    deviation, row_deviation
        Root mean square of the coefficients, and of the rows' shifts, that all frames together call for.
    """

    format_name: ClassVar[str] = "scan_displacement"
    row: ClassVar[str] = "frame"

    coefficient: Float[np.ndarray, "frame 2 function"] = array("frame", "axis", "function")
    covariance: Float[np.ndarray, "frame parameter parameter_"] = array("frame", "parameter", "parameter_")
    row_shift: Float[np.ndarray, "frame scan_row"] = array("frame", "scan_row")
    row_variance: Float[np.ndarray, "frame scan_row"] = array("frame", "scan_row")
    response: Float[np.ndarray, "frame scan_row parameter"] = array("frame", "scan_row", "parameter", dtype=np.float32)
    scan_angle: Float[np.ndarray, " frame"] = array("frame")
    dose: Float[np.ndarray, " frame"] = array("frame")
    background: Float[np.ndarray, " frame"] = array("frame")
    reduced_chi_square: Float[np.ndarray, " frame"] = array("frame")
    hop_probability: Float[np.ndarray, " frame"] = array("frame")
    flags: Int[np.ndarray, " frame"] = array("frame", dtype=np.int64)
    shape: tuple[int, int]
    n_intervals: tuple[int, int]
    deviation: float
    row_deviation: float

    def scan(self, frame: int) -> FrameScan:
        """Return the scan of one frame.

        Raises
        ------
        InputError
            There is no such frame.
        """
        if not 0 <= frame < len(self):
            raise InputError("frame", expected=f"a number from 0 to {len(self) - 1}", got=str(frame))
        return FrameScan(
            model=ScanModel.over(self.shape, self.n_intervals),
            turn=turn_of(float(self.scan_angle[frame])),
            coefficient=self.coefficient[frame],
            row_shift=self.row_shift[frame],
            dose=float(self.dose[frame]),
            background=float(self.background[frame]),
        )

    def to_reference(
        self, frame: int, pixel: Float[np.ndarray, "point 2"], *, width: float = 0.0
    ) -> tuple[Float[np.ndarray, "point 2"], Float[np.ndarray, "point 2 2"]]:
        """Return where on the reference a frame's points lie, and the covariance that the restoration adds.

        Parameters
        ----------
        frame
            Number of the frame.
        pixel
            (row, column) in that frame, in pixels.
        width
            Standard deviation of the spot at each point: a spot takes the mean shift of the rows across it, in pixels.

        Returns
        -------
        position, covariance
            (y, x) on the reference's grid, and the covariance of the displacement, in pixels.
        """
        scan = self.scan(frame)
        weight = self._row_weights(pixel[:, 0], width)
        basis = scan.model.basis_at(pixel)
        centre = 0.5 * (np.array(self.shape) - 1)
        moved = pixel - centre
        moved[:, 1] += weight @ scan.row_shift
        position = moved @ scan.turn.T + centre + basis @ scan.coefficient.T
        n = basis.shape[1]
        smooth = np.zeros((len(pixel), 2, 2 * n))
        smooth[:, 0, :n] = smooth[:, 1, n:] = basis
        fast = scan.fast_axis
        smooth -= fast[:, None] * (weight @ self.response[frame])[:, None, :]
        covariance = smooth @ self.covariance[frame] @ smooth.transpose(0, 2, 1)
        covariance += ((weight**2) @ self.row_variance[frame])[:, None, None] * np.outer(fast, fast)
        return position, covariance

    def to_frame(self, frame: int, position: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, "point 2"]:
        """Return the (row, column) at which a frame shows points of the reference, without the shifts of rows."""
        scan = self.scan(frame)
        centre = 0.5 * (np.array(self.shape) - 1)
        moved = np.zeros_like(position)
        for _ in range(8):
            pixel = (position - centre - moved) @ scan.turn + centre
            moved = scan.model.basis_at(pixel) @ scan.coefficient.T
        return pixel

    def _row_weights(self, row: Float[np.ndarray, " point"], width: float) -> Float[np.ndarray, "point scan_row"]:
        """Return the share of each row in the position of a spot: its squared profile, or the nearest row."""
        distance = np.arange(self.shape[0]) - row[:, None]
        exponent = -(distance**2) / max(width, 0.3) ** 2
        weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        return weight / weight.sum(axis=1, keepdims=True)
