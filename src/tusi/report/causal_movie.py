"""The part of the page that shows causes in time: the graph from past to present, and what each link rests on."""

import numpy as np

from tusi.causal.lagged import LaggedLink
from tusi.causal.panel.lagged import lagged_name
from tusi.plot import new_figure
from tusi.plot.causes import draw_causal_graph
from tusi.report.causal_faults import faults_part
from tusi.report.figures import figure_svg, styled
from tusi.report.layout import cards, table
from tusi.report.markup import Markup, element, joined
from tusi.report.mathematics import typeset
from tusi.report.numbers import fixed, p_value, with_error
from tusi.study.causes.movies import MovieCauses
from tusi.study.causes.words import plain

_DASH = "\N{EM DASH}"

LEAD = (
    "An arrow is an action on the same site in a later frame: red raises the effect, blue lowers it. Dashed: both "
    "change within one frame, given their past. Numbers are standard deviations of the effect for one of the cause."
)

LINKS = (
    "Each link was tested with the past of both its ends held fixed, with as many samples as the fields are worth in "
    "space and time. P is the probability over all graphs of the same columns in which nothing acts on anything "
    "earlier, by what is new in each frame."
)


def movie_section(found: MovieCauses) -> Markup:
    """Return verdict, graph, links and faults."""
    with styled():
        figure = new_figure(6.4, 1.6 + 0.9 * found.options.n_lags)
        draw_causal_graph(figure.subplots(), found.graph)
    asked = [link for link in found.links if link.cause != link.effect or link.lag]
    return joined(
        element("div", *(element("p", typeset(sentence)) for sentence in found.verdict)),
        cards([element("figure", figure_svg(figure, key="causes-in-time", label="Causal graph in time"))]),
        element("p", LEAD, class_="lead"),
        element("h3", "Links"),
        element("p", LINKS),
        table(["link", "effect", "p", "P", "independent samples"], [_row(found, link) for link in asked]),
        element("h3", "What is wrong with the table"),
        faults_part(found, (*found.graph.notes, *(found.likely.notes if found.likely is not None else ()))),
    )


def _row(found: MovieCauses, link: LaggedLink) -> Markup:
    sign = "\N{RIGHTWARDS ARROW}" if link.lag else "\N{EN DASH}"
    (strength, error), probability = found.strength(link), found.probability(link)
    cells = [
        f"{plain(lagged_name(link.cause, link.lag))} {sign} {plain(lagged_name(link.effect, 0))}",
        with_error(strength, error) if np.isfinite(strength) else _DASH,
        p_value(link.answer.p_value),
        fixed(probability, 2) if np.isfinite(probability) else _DASH,
        fixed(link.answer.n_effective, 0),
    ]
    named = [element("b", cell) if link in found.found else cell for cell in cells]
    return element("tr", *(element("td", cell) for cell in named))
