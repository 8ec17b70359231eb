"""Figures of the plot package as pieces of a page: inline SVG whose ink follows the page's light or dark colours."""

import re
import warnings
from contextlib import AbstractContextManager

import matplotlib
from matplotlib.figure import Figure

from tusi.plot import style, to_svg
from tusi.plot.palette import INK, PAPER, RULE, SOFT
from tusi.report.markup import Markup, element

_VARIABLES = {INK: "var(--ink)", SOFT: "var(--soft)", RULE: "var(--rule)", PAPER: "var(--card)"}


def figure_svg(figure: Figure, *, key: str, label: str) -> Markup:
    """Return a figure as inline SVG with a label for screen readers.

    Text stays text: a letter that the figure's font lacks is drawn by the browser.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        svg = to_svg(figure, key=key)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(f": {colour}", f": {variable}")
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    title = element("title", label)
    svg = re.sub(r"(<svg[^>]*)>", lambda match: f'{match[1]} role="img">{title}', svg, count=1)
    return Markup(svg)


def styled() -> AbstractContextManager[None]:
    """Return the context in which figures of a report are made."""
    return matplotlib.rc_context(style())  # pyright: ignore[reportArgumentType]
