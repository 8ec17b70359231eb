"""The numbers of a whole analysis in one table, for the page and for the terminal."""

import numpy as np

from tusi.report.numbers import digits_for, fixed, span, whole
from tusi.study import Analysis, ImageAnalysis
from tusi.units import ANGSTROM

FILTERED = 2.0
"""Beyond this correlation area of the noise, line jitter cannot be told from the noise."""

HEAD = ("image", "columns", "sites", "clusters", "composition", "95 %", "pixel", "precision", "jitter", "warnings")
"""Titles of the table's columns."""

_MISSING = "\N{EM DASH}"


def summary_rows(analysis: Analysis) -> list[tuple[str, ...]]:
    """Return a line per image under a line of titles.

    Composition is the fraction of the last species among the sites of the site graph; precision is the median standard
    error of a position.

    Parameters
    ----------
    analysis
        A finished analysis.

    Returns
    -------
    list of tuple of str
        Titles, then one row per image.

    Examples
    --------
    >>> from tusi.study import load
    >>> titles, *rows = summary_rows(load("analysis.h5"))  # doctest: +SKIP
    """
    return [HEAD, *(_row(analysis, image) for image in analysis.images)]


def _row(analysis: Analysis, image: ImageAnalysis) -> tuple[str, ...]:
    """Return the line of one image; what a failed step left unknown is a dash."""
    composition, interval = composition_of(analysis, image)
    clusters = clusters_of(analysis, image)
    return (
        image.file.name,
        whole(len(image.finding.atoms)) if image.finding is not None else _MISSING,
        whole(len(image.graph)) if image.graph is not None else _MISSING,
        whole(clusters) if clusters is not None else _MISSING,
        composition,
        interval,
        pixel_of(image),
        precision_of(image),
        jitter_of(image),
        str(len(image.warnings) + bool(image.error)),
    )


def composition_of(analysis: Analysis, image: ImageAnalysis) -> tuple[str, str]:
    """Return the fraction of the counted species, and its interval."""
    comparison = analysis.comparison
    if comparison is not None and image.file.name in comparison.image_names:
        row = comparison.image_names.index(image.file.name)
        value, (low, high) = comparison.composition[row], comparison.composition_interval[row]
        name = comparison.species[1]
    elif image.species is not None and len(image.species.fraction) > 1:
        value, (low, high) = image.species.fraction[-1], image.species.fraction_interval[-1]
        name = image.species.atoms.species[-1]
    else:
        return _MISSING, _MISSING
    return f"{name} {fixed(value, 3)}", span(low, high, 3)


def clusters_of(analysis: Analysis, image: ImageAnalysis) -> int | None:
    """Return the number of complete clusters."""
    comparison = analysis.comparison
    if comparison is None or image.file.name not in comparison.image_names:
        return None
    return int(comparison.n_clusters[comparison.image_names.index(image.file.name)])


def pixel_of(image: ImageAnalysis) -> str:
    """Return the pixel size in words."""
    if image.length_unit == ANGSTROM:
        return f"{image.pixel_size:.4g} Å"
    if image.implied_pixel_size is not None:
        return f"unknown ({image.implied_pixel_size:.4g} Å implied)"
    return "unknown"


def precision_of(image: ImageAnalysis) -> str:
    """Return the median standard error of a position."""
    if image.finding is None:
        return _MISSING
    variance = np.trace(image.finding.atoms.covariance, axis1=1, axis2=2) / 2
    error = float(np.sqrt(np.nanmedian(variance))) if np.isfinite(variance).any() else np.nan
    if not np.isfinite(error):
        return _MISSING
    value, unit = (100 * error, "pm") if image.length_unit == ANGSTROM else (error, "px")
    return f"{fixed(value, digits_for(value))} {unit}"


def jitter_of(image: ImageAnalysis) -> str:
    """Return the line jitter of the scan; a dash where the image was filtered, so that its rows share their noise."""
    if image.finding is None:
        return _MISSING
    if not image.finding.line_jitter and image.finding.noise.correlation_area > FILTERED:
        return _MISSING
    return f"{fixed(image.finding.line_jitter, 2)} px"
