"""Column intensities before and after the slowly varying factor is divided out, with the classes fitted to them."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from tusi.plot.canvas import tidy
from tusi.plot.palette import CLASSES, INK, SOFT
from tusi.structure import SpeciesFit

_BINS = 40
_FILLED: dict = {"fill": True, "facecolor": "#9aa0ab55", "label": "corrected"}
_DASHED: dict = {"fill": False, "edgecolor": SOFT, "linewidth": 0.8, "linestyle": (0, (3, 1.5)), "label": "raw"}


def draw_mixture(axes: Axes, fit: SpeciesFit, *, legend: bool = True) -> Axes:
    """Draw histograms of raw and corrected column intensity, and the fitted classes.

    Intensities are in units of the median corrected one. Each class is a normal curve with its spread and the median
    measurement error of a column. The vertical scale is the square root of the count, so that rare species show.

    Parameters
    ----------
    axes
        Where to draw.
    fit
        Species of one image.
    legend
        Whether to explain the curves.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    used = np.isfinite(fit.corrected_intensity)
    corrected, raw = fit.corrected_intensity[used], fit.atoms.intensity[used]
    unit = float(np.median(corrected)) if used.any() else 1.0
    edges = np.histogram_bin_edges(np.concatenate([corrected, raw]) / unit, bins=_BINS)
    for values, drawn in ((corrected, _FILLED), (raw, _DASHED)):
        axes.stairs(np.sqrt(np.histogram(values / unit, edges)[0]), edges, **drawn)
    grid = np.linspace(edges[0], edges[-1], 400)
    measured = fit.measurement_variance
    noise = 0.0 if measured is None or not used.any() else float(np.sqrt(np.median(measured[used]))) / unit
    total = np.zeros_like(grid)
    names = fit.atoms.species
    for k, (share, mean, deviation) in enumerate(zip(fit.fraction, fit.mean, fit.deviation, strict=True)):
        width = max(float(np.hypot(deviation / unit, noise)), 1e-6)
        curve = share * len(corrected) * (edges[1] - edges[0]) * _normal(grid, mean / unit, width)
        total += curve
        colour = CLASSES[k % len(CLASSES)]
        axes.fill_between(grid, np.sqrt(curve), color=colour, alpha=0.2, linewidth=0)
        axes.plot(
            grid, np.sqrt(curve), color=colour, linewidth=1.5, label=names[k] if k < len(names) else f"class {k + 1}"
        )
    axes.plot(grid, np.sqrt(total), color=INK, linewidth=0.6, linestyle=(0, (1, 1.5)))
    axes.set_ylim(0, None)
    axes.set_yticks([])
    axes.set_xlabel("column intensity / median")
    if legend:
        axes.legend(frameon=False, fontsize=7.5, labelcolor=INK, loc="upper right", handlelength=1.4)
    tidy(axes)
    axes.spines["left"].set_visible(False)
    return axes


def _normal(x: Float[np.ndarray, " x"], mean: float, width: float) -> Float[np.ndarray, " x"]:
    """Return the normal density."""
    return np.exp(-0.5 * ((x - mean) / width) ** 2) / (width * np.sqrt(2 * np.pi))
