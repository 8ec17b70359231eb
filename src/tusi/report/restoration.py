"""The page of a restored image: before and after, how the frames lay, and what restoration cannot tell."""

import os
from pathlib import Path

import numpy as np

from tusi.data import pixel_size_of
from tusi.data.storage import write_atomically
from tusi.finding.restoration import FrameFlag, Restoration, RowJitter
from tusi.plot import draw_image, new_figure
from tusi.plot.canvas import tidy
from tusi.plot.palette import CLASSES
from tusi.plot.restoration import draw_displacement_field, draw_scan_drift
from tusi.report.figures import figure_svg, styled
from tusi.report.layout import cards, fact_list, page, reference_list, table, verdict_header
from tusi.report.markup import Markup, element, joined
from tusi.report.numbers import fixed, whole
from tusi.report.references import restoration_citation
from tusi.study.provenance import versions
from tusi.study.restoration import RestoredImage

MOST_FIELDS, MOST_ROWS = 4, 100
"""Frames whose displacement is drawn, and frames that the table lists."""

_WIDTH = 4.7
_REASON = {
    FrameFlag.CONSTANT: "constant",
    FrameFlag.NO_OVERLAP: "agrees with no other frame",
    FrameFlag.POOR_FIT: "does not fit the others",
}


def write_restoration_report(restored: RestoredImage, path: str | os.PathLike) -> Path:
    """Write the page of a restored image as one HTML file, all or nothing.

    Parameters
    ----------
    restored
        What `tusi.study.restoration.restore` returned.
    path
        Where to; an existing file is replaced.

    Returns
    -------
    pathlib.Path
        `path`.

    Examples
    --------
    >>> write_restoration_report(restore("movie.tiff"), "restored.html")  # doctest: +SKIP
    """
    return write_atomically(path, render_restoration_report(restored).encode())


def render_restoration_report(restored: RestoredImage) -> str:
    """Return the page of a restored image: self-contained, without scripts, every foreign string escaped.

    Parameters
    ----------
    restored
        What `tusi.study.restoration.restore` returned.

    Examples
    --------
    >>> page = render_restoration_report(restore("movie.tiff"))  # doctest: +SKIP
    """
    title = ", ".join(file.name for file in restored.files)
    sections = [("images", "Before and after", _images(restored))]
    if restored.restoration is not None:
        sections.append(("displacement", "Displacement", _displacement(restored.restoration)))
        sections.append(("frames", "Frames", _frames(restored, restored.restoration)))
    if restored.row_jitter is not None:
        sections.append(("rows", "Rows", _rows(restored.row_jitter)))
    sections.append(("made", "How it was made", _made(restored)))
    sections.append(("cite", "What to cite", reference_list(restoration_citation(restored))))
    first, *rest = (Markup(element("span", sentence)) for sentence in restored.verdict)
    return page(title, verdict_header(title, [first, *rest], _figures(restored)), sections)


def _figures(restored: RestoredImage) -> list[tuple[str, str, str]]:
    """Return the few numbers of the header."""
    n_y, n_x = restored.after.shape
    size = ("image", f"{n_y} × {n_x}", "px")
    if restored.restoration is None:
        return [size]
    flags = restored.restoration.displacement.flags
    return [("frames used", whole(int((flags == 0).sum())), f"of {len(flags)}"), size]


def _images(restored: RestoredImage) -> Markup:
    """Draw the first frame beside the restored image."""
    figures = []
    for key, name, grid in (("before", "The first frame", restored.before), ("after", "Restored", restored.after)):
        with styled():
            figure = new_figure(_WIDTH, _WIDTH * float(np.clip(grid.shape[0] / grid.shape[1], 0.3, 1.8)), layout=None)
            draw_image(figure.add_axes((0, 0, 1, 1)), grid)
        svg = figure_svg(figure, key=key, label=name)
        figures.append(element("figure", svg, element("figcaption", element("b", name), ".")))
    return cards(figures)


def _displacement(restoration: Restoration) -> Markup:
    """Draw where the scan put the pixels: over the rows, and as arrows where it differs from place to place."""
    displacement = restoration.displacement
    used = np.flatnonzero(displacement.flags == 0)
    if not restoration.resolved and sum(displacement.n_intervals) == 0:
        return joined(
            element("p", "Each frame was shifted as a whole; places are relative to the mean frame.", class_="lead"),
            cards([_path(restoration, used)]),
        )
    drawn = []
    if restoration.resolved:
        with styled():
            figure = new_figure(_WIDTH, 3.2)
            axes = tidy(draw_scan_drift(figure.add_subplot(), displacement))
            axes.legend(frameon=False, fontsize=7.5)
        drawn.append(_figure(figure_svg(figure, key="drift", label="Drift over the rows"), "Drift, with 95 % bands."))
    for frame in used[:MOST_FIELDS].tolist():
        field = displacement.scan(frame).displacement
        largest = float(np.abs(field).max())
        magnification = float(f"{0.06 * min(displacement.shape) / max(largest, 1e-3):.1g}")
        with styled():
            figure = new_figure(_WIDTH, _WIDTH * displacement.shape[0] / displacement.shape[1])
            axes = figure.add_subplot()
            draw_displacement_field(axes, displacement, frame=frame, magnification=magnification)
            tidy(axes)
        text = (
            f"Frame {frame + 1}: arrows {magnification:g} times as long as the displacement, at most {largest:.3g} px."
        )
        drawn.append(
            _figure(figure_svg(figure, key=f"field-{frame}", label=f"Displacement of frame {frame + 1}"), text)
        )
    lead = "From where a pixel should have been recorded to where it was, in pixels."
    return joined(element("p", lead, class_="lead"), cards(drawn))


def _path(restoration: Restoration, used: np.ndarray) -> Markup:
    """Draw the shifts of the frames over their number."""
    shift = restoration.displacement.coefficient[used, :, 0]
    with styled():
        figure = new_figure(_WIDTH, 3.0)
        axes = tidy(figure.add_subplot(), grid="y")
        for axis, name in enumerate("yx"):
            axes.plot(used + 1, shift[:, axis], "o-", color=CLASSES[axis], markersize=3, linewidth=1, label=name)
        axes.set_xlabel("frame")
        axes.set_ylabel("displacement (px)")
        axes.legend(frameon=False)
    return _figure(figure_svg(figure, key="path", label="Displacement of each frame"), "Displacement of each frame.")


def _figure(svg: Markup, caption: str) -> Markup:
    return element("figure", svg, element("figcaption", caption))


def _frames(restored: RestoredImage, restoration: Restoration) -> Markup:
    """Return the table of frames."""
    displacement = restoration.displacement
    rows = []
    for frame, (y, x) in enumerate(restored.shift[:MOST_ROWS]):
        reasons = [text for flag, text in _REASON.items() if int(displacement.flags[frame]) & flag]
        cells = [
            whole(frame + 1),
            f"{displacement.scan_angle[frame]:g}°",
            fixed(float(y), 2),
            fixed(float(x), 2),
            fixed(float(displacement.dose[frame]), 2),
            fixed(float(displacement.reduced_chi_square[frame]), 2),
            fixed(float(displacement.hop_probability[frame]), 2),
            "left out: " + ", ".join(reasons) if reasons else "used",
        ]
        rows.append(element("tr", *(element("td", cell) for cell in cells)))
    head = ("frame", "scan angle", "y, px", "x, px", "dose", "reduced χ²", "hop", "")
    caption = (
        "Mean displacement, dose relative to the others, and the probability that the frame lies a lattice vector away "
        "from where it belongs."
    )
    return table(head, rows, caption=caption)


def _rows(jitter: RowJitter) -> Markup:
    """Draw the shift of every row."""
    rows, error = np.arange(len(jitter)), 1.96 * np.sqrt(jitter.variance)
    with styled():
        figure = new_figure(2 * _WIDTH, 2.6)
        axes = tidy(figure.add_subplot(), grid="y")
        axes.fill_between(rows, jitter.shift - error, jitter.shift + error, color=CLASSES[0], alpha=0.25, linewidth=0)
        axes.plot(rows, jitter.shift, color=CLASSES[0], linewidth=0.8)
        axes.set_xlabel("row")
        axes.set_ylabel("shift along x (px)")
    lead = "By how much each row was recorded too far along the fast axis, with a 95 % band."
    svg = figure_svg(figure, key="rows", label="Shift of every row")
    return joined(element("p", lead, class_="lead"), element("div", element("figure", svg), class_="stack"))


def _made(restored: RestoredImage) -> Markup:
    """Return inputs, options and versions."""
    inputs = [
        element(
            "tr",
            element("td", file.path, class_="first-wrap"),
            element("td", whole(file.n_bytes)),
            element("td", element("code", file.sha256)),
        )
        for file in restored.files
    ]
    scale = pixel_size_of(restored.after)
    facts = [
        ("options", element("code", repr(restored.options))),
        ("pixel", f"{scale:.4g} {restored.after.coords['x'].attrs['units']}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions())),
    ]
    return joined(fact_list(facts), element("h3", "Inputs"), table(("file", "bytes", "SHA-256"), inputs))
