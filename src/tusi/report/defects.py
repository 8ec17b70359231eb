"""The part of the page that shows defects: where they are, how many of each kind, and the listing to download."""

import base64
import csv
import io
from collections.abc import Sequence

import numpy as np

from tusi.plot import draw_image, new_figure
from tusi.plot.defects import STYLE, draw_defects
from tusi.report.figures import figure_svg, styled
from tusi.report.layout import cards, table, warning_list
from tusi.report.markup import Markup, element, joined
from tusi.report.numbers import fixed, whole
from tusi.structure.defects import DefectKind, Defects
from tusi.study import Analysis
from tusi.study.structure import ImageStructure

NOTE = "defects: "
"""How the notes of an image begin that stand in this part of the page."""

_WIDTH = 4.7
_MARK = dict(zip(DefectKind, "○□△⊥━┅", strict=True))
_COLUMNS = (
    "kind", "probability", "y", "x", "y_error", "x_error", "species", "step_1", "step_2", "misorientation_degrees",
    "length", "n_atoms", "length_unit",
)  # fmt: skip


def defect_section(analysis: Analysis) -> Markup:
    """Return a map of every image, a table of kinds, the listings, and the notes."""
    assert analysis.structure is not None
    found = [(one, one.defects) for one in analysis.structure.images if one.defects is not None]
    lead = (
        "What departs from the crystal, each with the probability that it is real: the fainter a mark, the less sure. "
        "The expected number is the sum of the probabilities, which also counts what is less likely than not. "
        "A species that many sites have is composition, not a defect. Point defects are not looked for at the border."
    )
    notes = [
        element("li", element("span", one.name, class_="name"), text.removeprefix(NOTE))
        for one in analysis.structure.images
        for text in one.notes
        if text.startswith(NOTE)
    ]
    parts = [
        element("p", lead, class_="lead"),
        _legend([rows for _, rows in found]),
        cards([_card(analysis, k, one, rows) for k, (one, rows) in enumerate(found)]),
        element("h3", "In figures"),
        _table(found),
    ]
    if notes:
        parts += [element("h3", "Notes"), warning_list(notes)]
    return joined(*parts)


def _legend(found: Sequence[Defects]) -> Markup:
    """Name the marks of the kinds that occur."""
    kinds = [kind for kind in DefectKind if any((rows.kind == kind).any() for rows in found)]
    marks = [
        element("span", element("span", _MARK[kind], style=f"color: {STYLE[kind][0]}"), kind.title) for kind in kinds
    ]
    return element("div", *marks, class_="legend")


def _card(analysis: Analysis, number: int, image: ImageStructure, defects: Defects) -> Markup:
    """Return the map of one image and the link to its listing."""
    kinds = ", ".join(f"{counted(count, kind)}" for kind, count in defects.count().items())
    caption = [element("b", image.name), f": {kinds or 'no defects'}."]
    if len(defects):
        caption += [" ", _link(f"{image.name}-defects.csv", defects_csv(defects), "Listing (CSV)"), "."]
    return element("figure", _map(analysis, number, image, defects), element("figcaption", *caption))


def _map(analysis: Analysis, number: int, image: ImageStructure, defects: Defects) -> Markup:
    """Draw the defects over the image; over the lattice where the image is not kept."""
    grid = analysis.image(image.name).grid
    low, high = image.lattice.position.min(axis=0), image.lattice.position.max(axis=0)
    n_y, n_x = grid.shape if grid is not None else high - low
    ratio = float(min(max(n_y / max(n_x, 1e-9), 0.3), 1.8))
    spacing = float(np.linalg.norm(image.lattice.vectors[0], axis=1).min())
    with styled():
        figure = new_figure(_WIDTH, _WIDTH * ratio, layout=None)
        axes = figure.add_axes((0, 0, 1, 1))
        if grid is not None:
            draw_image(axes, grid)
        else:
            y, x = image.lattice.position.T
            axes.scatter(x, y, s=1.5, color="#8c8e98", linewidth=0, rasterized=True)
            axes.set(xlim=(low[1], high[1]), ylim=(high[0], low[0]), aspect="equal")
            axes.set_axis_off()
        draw_defects(axes, defects, radius=0.45 * spacing, key=False)
    return figure_svg(figure, key=f"defects-{number}", label=f"Defects of {image.name}")


def _table(found: Sequence[tuple[ImageStructure, Defects]]) -> Markup:
    """Return how many defects of each kind every image has, and how many are expected."""
    kinds = [kind for kind in DefectKind if any((rows.kind == kind).any() for _, rows in found)]
    if not kinds:
        return element("p", "No defects.")
    rows = []
    for image, defects in found:
        cells = [element("td", image.name)]
        for kind in kinds:
            own = defects.of_kind(kind)
            likely, expected = int((own.probability >= 0.5).sum()), float(own.probability.sum())
            cells += [element("td", whole(likely)), element("td", fixed(expected, 1))]
        rows.append(element("tr", *cells))
    groups = element(
        "tr",
        element("th", "", class_="blank"),
        *(element("th", kind.title, colspan="2", scope="colgroup", class_="group") for kind in kinds),
    )
    head = ["image", *["p ≥ 0.5", "expected"] * len(kinds)]
    return table(head, rows, groups=groups)


def defects_csv(defects: Defects) -> str:
    """Return all defects as a table of text, one line each.

    Parameters
    ----------
    defects
        Defects of one image.

    Examples
    --------
    >>> print(defects_csv(Defects.of([], length_unit="pixel")).strip()[:22])
    kind,probability,y,x,y
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    with np.errstate(invalid="ignore"):
        error = np.sqrt(np.einsum("dii->di", defects.covariance))
    for row, title in enumerate(defects.titles):
        code = int(defects.species_code[row])
        numbers = (defects.probability[row], *defects.position[row], *error[row])
        more = (*defects.steps[row], defects.misorientation[row], defects.length(row) or np.nan)
        writer.writerow(
            [
                title,
                *map(_number, numbers),
                defects.species[code] if 0 <= code < len(defects.species) else "",
                *map(_number, more),
                len(defects.members(row)),
                defects.length_unit,
            ]
        )
    return text.getvalue()


def counted(number: int, what: str) -> str:
    """Return a number with its noun, in the plural where it should be.

    Parameters
    ----------
    number
        How many.
    what
        The noun in the singular.

    Examples
    --------
    >>> counted(1, "vacancy"), counted(2, "vacancy"), counted(0, "dislocation")
    ('1 vacancy', '2 vacancies', '0 dislocations')
    """
    plural = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{whole(number)} {what if number == 1 else plural}"


def _number(value: float) -> str:
    """Return a number with six figures, and nothing where it is not known."""
    return f"{value:.6g}" if np.isfinite(value) else ""


def _link(name: str, text: str, title: str) -> Markup:
    """Return a link that saves a text which the page itself holds."""
    content = base64.b64encode(text.encode()).decode()
    return element("a", title, href=f"data:text/csv;charset=utf-8;base64,{content}", download=name)
