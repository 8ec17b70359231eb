"""How frames may be displaced: as a whole, smoothly over the image, or as a function of the time of the scan."""

import dataclasses

from tusi.errors import InputError


def _above_zero(name: str, value: float) -> None:
    if not value > 0:
        raise InputError(name, expected="a number of pixels above zero", got=str(value))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rigid:
    """Each frame is displaced as a whole.

    Attributes
    ----------
    row_jitter
        Whether each row also has its own displacement along the fast axis.

    Examples
    --------
    >>> Rigid()
    Rigid(row_jitter=False)
    """

    row_jitter: bool = False

    def n_intervals(self, shape: tuple[int, int]) -> tuple[int, int]:  # noqa: ARG002
        """Return the number of spline intervals along y and x: none, the displacement is one constant."""
        return 0, 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class NonRigid:
    """Each frame has a smooth displacement field: cubic B-splines whose size is learned from all frames.

    Attributes
    ----------
    spacing
        Distance between the nodes of the splines, in pixels; shorter than what the displacement keeps its value over.
    row_jitter
        Whether each row also has its own displacement along the fast axis.

    Examples
    --------
    >>> NonRigid(spacing=32.0).n_intervals((256, 128))
    (8, 4)
    """

    spacing: float = 64.0
    row_jitter: bool = True

    def __post_init__(self) -> None:
        _above_zero("spacing", self.spacing)

    def n_intervals(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the number of spline intervals along y and x."""
        return max(1, round(shape[0] / self.spacing)), max(1, round(shape[1] / self.spacing))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScanDrift:
    """The specimen moves while it is scanned: the displacement depends on the row alone, that is on time.

    Attributes
    ----------
    spacing
        Distance between the nodes of the splines, in rows.
    row_jitter
        Whether each row also has its own displacement along the fast axis.
    most_drift
        Largest steady drift that is looked for, in pixels per row.

    Examples
    --------
    >>> ScanDrift().n_intervals((256, 256))
    (16, 0)
    """

    spacing: float = 16.0
    row_jitter: bool = True
    most_drift: float = 0.06

    def __post_init__(self) -> None:
        _above_zero("spacing", self.spacing)
        if not 0 <= self.most_drift < 0.5:
            raise InputError("most_drift", expected="from 0 to 0.5 pixels per row", got=str(self.most_drift))

    def n_intervals(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the number of spline intervals along the slow axis, and none along the fast one."""
        return max(1, round(shape[0] / self.spacing)), 0
