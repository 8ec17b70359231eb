"""Where a scan put the pixels of its frames: drift over the rows, and displacement fields as arrows."""

import numpy as np
from matplotlib.axes import Axes

from tusi.finding.restoration import ScanDisplacement
from tusi.plot.palette import CLASSES

N_ARROWS = 12
"""Arrows along each side of a frame."""


def draw_scan_drift(axes: Axes, displacement: ScanDisplacement) -> Axes:
    """Draw each frame's displacement over its rows, with 95 % bands: solid along y, dashed along x.

    The displacement is that of the middle column, without the shifts of single rows.

    Parameters
    ----------
    axes
        Where to draw.
    displacement
        `Restoration.displacement`.
    """
    rows = np.arange(displacement.shape[0], dtype=np.float64)
    middle = np.stack([rows, np.full_like(rows, 0.5 * (displacement.shape[1] - 1))], axis=1)
    n = displacement.coefficient.shape[2]
    for frame in np.flatnonzero(displacement.flags == 0):
        scan = displacement.scan(int(frame))
        basis = scan.model.basis_at(middle)
        colour = CLASSES[frame % len(CLASSES)]
        for axis, style in enumerate(("-", "--")):
            block = slice(axis * n, (axis + 1) * n)
            error = 1.96 * np.sqrt(np.einsum("rf,fg,rg->r", basis, displacement.covariance[frame][block, block], basis))
            value = basis @ scan.coefficient[axis]
            label = f"{displacement.scan_angle[frame]:g}°, {'yx'[axis]}"
            axes.plot(rows, value, style, color=colour, linewidth=1.2, label=label)
            axes.fill_between(rows, value - error, value + error, color=colour, alpha=0.25, linewidth=0)
    axes.set_xlabel("row")
    axes.set_ylabel("displacement, px")
    return axes


def draw_displacement_field(axes: Axes, displacement: ScanDisplacement, *, frame: int, magnification: float) -> Axes:
    """Draw arrows from where a frame's pixels should have been to where they were.

    Parameters
    ----------
    axes
        Where to draw; its unit is the pixel.
    displacement
        `Restoration.displacement`.
    frame
        Number of the frame.
    magnification
        Length of an arrow over the displacement.
    """
    field = displacement.scan(frame).displacement
    step = max(1, min(displacement.shape) // N_ARROWS)
    y, x = (axis[step // 2 :: step, step // 2 :: step] for axis in np.indices(displacement.shape))
    sampled = field[:, step // 2 :: step, step // 2 :: step]
    axes.quiver(
        x,
        y,
        sampled[1],
        sampled[0],
        angles="xy",
        scale_units="xy",
        scale=1 / magnification,
        color=CLASSES[0],
        width=0.004,
    )
    axes.set_xlim(-0.5, displacement.shape[1] - 0.5)
    axes.set_ylim(displacement.shape[0] - 0.5, -0.5)
    axes.set_aspect("equal")
    return axes
