"""The part of the page that shows plane groups: a map for each image, and which groups were not told apart."""

from collections.abc import Sequence

import numpy as np

from tusi.plot import new_figure
from tusi.plot.symmetry import draw_symmetry_map
from tusi.report.figures import figure_svg, styled
from tusi.report.layout import cards, table, warning_list
from tusi.report.markup import Markup, element, joined
from tusi.report.numbers import fixed, whole
from tusi.structure.symmetry import PLANE_GROUPS
from tusi.study.structure import ImageStructure, StructureAnalysis
from tusi.study.symmetry import SymmetryMap

_WIDTH, _LEGEND = 4.7, 0.8
"""Width of a map in inches, with the share of it that the legend takes."""

_GAP = 0.94
"""Side of a square over the distance between windows."""


def symmetry_section(structure: StructureAnalysis) -> Markup:
    """Return a map of every image, what it says in words, a table, and the notes."""
    mapped = [(one, one.symmetry) for one in structure.images if one.symmetry is not None]
    scan_error = mapped[0][1].scan_error if mapped else 0.0
    lead = (
        "The plane group of the average structure in windows. A square marks the middle of a window in the colour of "
        "the most probable group, the paler the less probable it is. The groups start out alike. A subgroup keeps some "
        "probability for ever, since a distortion too small to be seen is never excluded; a supergroup keeps some "
        "where the errors could hide what breaks it. Lengths and angles of the scan are taken to be known to "
        f"{100 * scan_error:g} %, so that no smaller strain breaks a symmetry. Columns count as different where their "
        "brightness differs from site to site of the cell; which species an alloy has on which site does not count."
    )
    notes = [
        element("li", element("span", one.name, class_="name"), text) for one, found in mapped for text in found.notes
    ]
    parts = [
        element("p", lead, class_="lead"),
        cards([_card(k, one, found) for k, (one, found) in enumerate(mapped)]),
        element("h3", "In figures"),
        _table(mapped),
    ]
    if notes:
        parts += [element("h3", "Notes"), warning_list(notes)]
    return joined(*parts)


def _card(number: int, image: ImageStructure, found: SymmetryMap) -> Markup:
    """Return the map of one image over what it says in words."""
    caption = element("figcaption", element("b", image.name), f": {' '.join(found.verdict)}")
    if not found.most_probable:
        return element("figure", caption)
    low, high = image.lattice.position.min(axis=0), image.lattice.position.max(axis=0)
    extent = 1.04 * np.maximum(high - low, 1e-3 * (high - low).max())
    known = found.table[np.isfinite(found.table.select(PLANE_GROUPS).value).all(axis=1)]
    with styled():
        inches = _WIDTH - _LEGEND
        height = float(np.clip(inches * extent[0] / extent[1], 0.9, 1.4 * inches))
        figure = new_figure(_WIDTH, height, layout=None)
        axes = figure.add_axes((0, 0, inches / _WIDTH, 1))
        y, x = image.lattice.position.T
        axes.scatter(x, y, s=0.6, color="#8c8e98", linewidth=0, rasterized=True)
        middle = (low + high) / 2
        axes.set_xlim(middle[1] - extent[1] / 2, middle[1] + extent[1] / 2)
        axes.set_ylim(middle[0] + extent[0] / 2, middle[0] - extent[0] / 2)
        scale = 72 * min(inches / extent[1], height / extent[0])
        side = min(_distance(found), 0.6 * float(extent.min()))
        draw_symmetry_map(axes, known, size=(_GAP * scale * side) ** 2)
    label = f"Most probable plane group of windows of {image.name}"
    return element("figure", figure_svg(figure, key=f"symmetry-{number}", label=label), caption)


def _distance(found: SymmetryMap) -> float:
    """Return the least distance, along an axis of the image, at which squares on two windows do not overlap."""
    position = found.table.position
    apart = np.abs(position[:, None] - position[None]).max(axis=-1)
    np.fill_diagonal(apart, np.inf)
    return float(apart.min()) if len(position) > 1 else np.inf


def _table(mapped: Sequence[tuple[ImageStructure, SymmetryMap]]) -> Markup:
    """Return windows, groups, and how sure they are."""
    head = ["image", "windows", "cells in a window", "sites in the cell", "most probable", "its probability", "decided"]
    return table(head, [element("tr", *(element("td", cell) for cell in _row(*one))) for one in mapped])


def _row(image: ImageStructure, found: SymmetryMap) -> list[str]:
    """Return the cells of one image."""
    size = f"{found.window[0]} × {found.window[1]}"
    if not found.most_probable:
        return [image.name, "0", size, whole(found.n_sites), *["\N{EM DASH}"] * 3]
    best, often = next(iter(found.most_probable.items()))
    column = found.table.column(best)
    return [
        image.name,
        whole(len(found.table)),
        size,
        whole(found.n_sites),
        f"{best} in {whole(often)}",
        fixed(float(np.nanmean(column)), 2),
        whole(found.n_decided),
    ]
