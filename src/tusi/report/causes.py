"""The part of the page that shows causes: the graph, what each edge rests on, levels, maps, and what is wrong."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tusi.causal.panel import Slope
from tusi.data import CausalEdge, CausalGraph
from tusi.data.storage import write_atomically
from tusi.plot import new_figure
from tusi.plot.causes import draw_causal_graph, draw_effect_map
from tusi.report.causal_faults import faults_part
from tusi.report.causal_model import model_part, neighbours_part, outlook_part
from tusi.report.causal_movie import movie_section
from tusi.report.figures import figure_svg, styled
from tusi.report.layout import Section, cards, fact_list, page, table, verdict_header
from tusi.report.markup import Markup, element, joined
from tusi.report.mathematics import typeset
from tusi.report.numbers import fixed, p_value, whole, with_error
from tusi.study.causes import CausalAnalysis
from tusi.study.causes.movies import MovieCauses
from tusi.study.causes.words import plain, reason

DRAWN = 0.3
"""Probability of a connection from which on it is drawn and listed."""

MOST_IMAGES = 4
"""Images of which a map shows effects."""

AGAIN = "In brackets: in how many of {} images put together from blocks of these a search says the same."

_DASH = "\N{EM DASH}"
_SIGNS = {
    "acts on": "\N{RIGHTWARDS ARROW}", "each on the other": "\N{RIGHTWARDS ARROW OVER LEFTWARDS ARROW}",
    "hidden common cause": "\N{LEFT RIGHT ARROW}", "undecided": "\N{EN DASH}",
}  # fmt: skip

_SAID = {"reversal": "turn round", "different": "differ", "no difference seen": "agree", "undecided": _DASH}

_TURNED = str.maketrans("<>", "><")

LEAD = (
    "An arrow is a direct action, as wide as it is probable: red raises the effect, blue lowers it, grey has no sign. "
    "Dashed: connected, but which acts on which cannot be told. Dotted with two heads: a common cause that is not in "
    "the table. Numbers are standard deviations of the effect for one of the cause. Within images they come from all "
    "acyclic graphs, weighed by an evidence that counts sites for as many as they are worth; arrows from what is the "
    "same everywhere in an image come from the images' means alone. What is not linear, acts back, or is hidden can "
    "make any of these wrong."
)

OTHERS = (
    "FCI allows for hidden common causes: o leaves open whether there is an arrowhead, and arrowheads at both ends are "
    "a hidden cause. The shapes of the distributions (DirectLiNGAM) give a direction where disturbances are not normal "
    "and no cause is hidden. Refuters compare each arrow with shifted images, add random common causes, and ask "
    "whether one half of the images predicts the other; they say nothing about its direction."
)


def causes_section(found: CausalAnalysis) -> Markup:
    """Return verdict, graph, tables, maps and faults."""
    parts = [
        element("div", *(element("p", typeset(sentence)) for sentence in found.verdict)),
        _graph(found),
        element("p", LEAD, class_="lead"),
        element("h3", "Edges"),
        _edges(found),
        element("h3", "What other methods say"),
        _others(found),
        element("h3", "Variables"),
        _variables(found),
    ]
    if found.model is not None:
        parts += [element("h3", "Equations and total effects"), model_part(found.model)]
    if found.neighbours:
        parts += [element("h3", "At the site or around it"), neighbours_part(found.neighbours)]
    if found.levels:
        parts += [element("h3", "Within and between images"), _levels(found)]
    if found.maps:
        parts += [element("h3", "Where effects are strong"), _maps(found)]
    if found.outlook is not None:
        parts += [element("h3", "What to do next"), outlook_part(found.outlook)]
    parts += [element("h3", "What is wrong with the table"), faults_part(found, found.graph.notes)]
    return joined(*parts)


def write_causes_report(found: CausalAnalysis | MovieCauses, path: str | os.PathLike) -> Path:
    """Write what was found in one table as one HTML file, all or nothing.

    Parameters
    ----------
    found
        The result, fresh or loaded: the page is the same.
    path
        Where to; an existing file is replaced.

    Returns
    -------
    pathlib.Path
        `path`.

    Examples
    --------
    >>> from tusi.data import storage
    >>> from tusi.study.files import CLASSES
    >>> write_causes_report(storage.load("causes.h5", classes=CLASSES), "causes.html")  # doctest: +SKIP
    """
    return write_atomically(path, render_causes_report(found).encode())


def render_causes_report(found: CausalAnalysis | MovieCauses) -> str:
    """Return what was found in one table as one self-contained HTML page.

    Parameters
    ----------
    found
        The result.

    Examples
    --------
    >>> from tusi.data import storage
    >>> from tusi.study.files import CLASSES
    >>> page = render_causes_report(storage.load("causes.h5", classes=CLASSES))  # doctest: +SKIP
    """
    title = dict(found.made).get("table", "Causes")
    movie = isinstance(found, MovieCauses)
    figures = [
        ("rows", whole(len(found.table)), ""),
        *([] if movie else [("independent samples", fixed(found.n_effective, 0), "")]),
        ("frames" if movie else "images", whole(found.table.n_images), ""),
        ("variables", whole(found.table.n_variables), ""),
    ]
    first, *_ = found.verdict
    section = movie_section(found) if movie else causes_section(found)
    sections: list[Section] = [("causes", "Causes", section)]
    if found.made:
        sections.append(("made", "How it was made", fact_list([(name, text) for name, text in found.made])))
    return page(title, verdict_header(title, [typeset(first)], figures), sections)


def _graph(found: CausalAnalysis) -> Markup:
    with styled():
        figure = new_figure(6.4, 1.2 + 0.9 * _levels_drawn(found))
        draw_causal_graph(figure.subplots(), found.graph, threshold=DRAWN)
    return cards([element("figure", figure_svg(figure, key="causes-graph", label="Causal graph"))])


def _levels_drawn(found: CausalAnalysis) -> int:
    """Return about how many levels the graph will have."""
    return min(4, 2 + len(found.graph.names) // 4)


def _edges(found: CausalAnalysis) -> Markup:
    """Return what holds between two variables, how sure, how strong, and what that rests on."""
    head = ["pair", "connected", "relation", "effect", "judged by"]
    edges = found.graph.edges(DRAWN)
    if not edges:
        return element("p", f"No pair is connected with a probability of {DRAWN} or more.")
    rows = []
    for edge in edges:
        size = with_error(edge.strength, edge.strength_error) if np.isfinite(edge.strength_error) else _DASH
        defined = (edge.cause, edge.effect) in found.knowledge.required
        cells = [
            f"{plain(edge.cause)} {_SIGNS[edge.relation]} {plain(edge.effect)}",
            fixed(edge.connected, 2),
            edge.relation if edge.relation == "undecided" else f"{edge.relation}, {fixed(edge.probability, 2)}",
            size,
            "given" if defined else _judged_by(found, edge),
        ]
        rows.append(element("tr", *(element("td", cell) for cell in cells)))
    return table(head, rows)


def _others(found: CausalAnalysis) -> Markup:
    """Return what methods with other assumptions say of the pairs that vary within images."""
    rows = []
    for edge in found.graph.among(found.hidden.names).edges(DRAWN):
        pair = f"{plain(edge.cause)} {_SIGNS[edge.relation]} {plain(edge.effect)}"
        again = found.stability
        cells = [
            pair,
            f"{_mark(found, edge)}{_share(again.hidden, edge, found.hidden) if again else ''}",
            f"{_shape(found, edge)}{_share(again.shapes, edge, found.shapes) if again else ''}",
            _refuted(found, edge),
        ]
        rows.append(element("tr", *(element("td", cell) for cell in cells)))
    head = ["pair", "FCI", "shapes", "refuters"]
    note = OTHERS if found.stability is None else f"{OTHERS} {AGAIN.format(found.stability.n_resamples)}"
    return joined(element("p", note), table(head, rows))


def _share(again: CausalGraph, edge: CausalEdge, once: CausalGraph | None) -> str:
    """Return the share of resampled images in which a search says of a pair what it says of the images."""
    if once is None:
        return ""
    i, j = (once.names.index(name) for name in (edge.cause, edge.effect))
    for name in ("confounded", "undecided", "feedback"):
        if getattr(once, name)[i, j]:
            return f" ({100 * getattr(again, name)[i, j]:.0f} %)"
    share = again.arrow[i, j] if once.arrow[i, j] else again.arrow[j, i] if once.arrow[j, i] else None
    return f" ({100 * (1 - again.connected[i, j] if share is None else share):.0f} %)"


def _judged_by(found: CausalAnalysis, edge: CausalEdge) -> str:
    if {edge.cause, edge.effect} & set(found.table.between):
        return f"{found.table.n_images} images"
    return f"{found.n_effective:.0f} samples"


def _mark(found: CausalAnalysis, edge: CausalEdge) -> str:
    """Return the edge between two variables as FCI draws it, in the order of the pair."""
    for mark in found.marks:
        first, sign, second = mark.split(" ")
        if (first, second) == (edge.cause, edge.effect):
            return sign
        if (second, first) == (edge.cause, edge.effect):
            return sign[::-1].translate(_TURNED)
    return "no edge"


def _shape(found: CausalAnalysis, edge: CausalEdge) -> str:
    """Return the direction that the shapes of the distributions give, in the order of the pair."""
    if found.shapes is None:
        return _DASH
    forth, back = (found.shapes.probability(*pair) for pair in ((edge.cause, edge.effect), (edge.effect, edge.cause)))
    if forth or back:
        return _SIGNS["acts on"] if forth else "\N{LEFTWARDS ARROW}"
    places = [found.shapes.names.index(name) for name in (edge.cause, edge.effect)]
    return "cannot tell" if found.shapes.connected[*places] else "no edge"


def _refuted(found: CausalAnalysis, edge: CausalEdge) -> str:
    """Return whether an arrow withstands attempts to refute it."""
    one = found.model.refutation(edge.cause, edge.effect) if found.model is not None else None
    if one is None:
        return _DASH
    return "survives" if one.survived else reason(one)


def _variables(found: CausalAnalysis) -> Markup:
    """Return what the variables are."""
    facts = []
    for name, unit in zip(found.table.names, found.table.units, strict=True):
        value = found.table.column(name)
        shown = "" if unit == "1" else f" {unit.replace('angstrom', 'Å').replace('^2', '²')}"
        said = [f"{found.meaning[name]}; "] if name in found.meaning else []
        said.append(f"mean {value.mean():.3g}, standard deviation {value.std():.2g}{shown}")
        if name in found.table.between:
            said.append(f"; one sample an image, {found.table.n_images} in all")
        facts.append((plain(name), typeset("".join(said))))
    return fact_list(facts)


def _levels(found: CausalAnalysis) -> Markup:
    """Return the slopes within and between images."""
    head = ["effect against cause", "within images", "between images", "pooled", "p", "they"]
    rows = []
    for one in found.levels:
        pair = f"{plain(one.within.effect)} against {plain(one.within.cause)}"
        cells = [pair, *map(_slope, (one.within, one.between, one.pooled)), p_value(one.p_value), _SAID[one.verdict]]
        shown = [element("b", cell) if one.flagged and k == len(cells) - 1 else cell for k, cell in enumerate(cells)]
        first, *others = shown
        cells = [element("td", first, class_="first-wrap"), *(element("td", cell) for cell in others)]
        rows.append(element("tr", *cells))
    note = (
        "Slopes in the variables' own units. Between images there are as many samples as images, so the error there "
        f"has {max(found.table.n_images - 2, 0)} degrees of freedom. The pooled slope mixes the two and is shown "
        "because it is what usually gets published. p is that of no difference between the first two."
    )
    return joined(element("p", note), table(head, rows))


def _slope(slope: Slope) -> str:
    if not np.isfinite(slope.estimate):
        return _DASH
    if not slope.known or not slope.standard_error > 0:
        return typeset(f"{slope.estimate:.2g}")
    scale = 10.0 ** np.floor(np.log10(max(abs(slope.estimate), slope.standard_error)))
    if 1e-3 <= scale < 1e4:
        return with_error(slope.estimate, slope.standard_error)
    power = f"{np.log10(scale):.0f}".replace("-", "\N{MINUS SIGN}")
    size = with_error(slope.estimate / scale, slope.standard_error / scale)
    return joined(f"({size}) × 10", element("sup", power))


def _maps(found: CausalAnalysis) -> Markup:
    """Return where the surest effects are strong."""
    note = (
        "Slopes in squares of the images, in the image's own standard deviations, other likely causes held fixed, "
        "drawn toward their mean as far as chance parts them. They are not corrected for errors of the cause."
    )
    limit = max(0.1, *(float(np.abs(one.drawn).max()) for one in found.maps))
    drawn = [_map(found, number, limit=limit) for number in range(len(found.maps))]
    return joined(element("p", note), element("div", *drawn, class_="stack"))


def _map(found: CausalAnalysis, number: int, *, limit: float) -> Markup:
    one = found.maps[number]
    images = np.unique(one.image)[:MOST_IMAGES].tolist()
    with styled():
        figure, frames = _frames()
        for axes, image in zip(frames, images, strict=False):
            draw_effect_map(axes, one, table=found.table, image=image, limit=limit)
            axes.set_title(found.table.image_names[image], fontsize=8.5)
        for axes in frames[len(images) :]:
            axes.set_axis_off()
        bar = figure.colorbar(frames[len(images) - 1].collections[-1], ax=frames, shrink=0.8, aspect=24)
        bar.set_label("standard deviations for one", fontsize=8)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    varies = "differs from place to place" if one.p_value < found.options.level else "is not seen to differ in place"
    caption = element(
        "figcaption",
        element("b", f"{plain(one.cause)} {_SIGNS['acts on']} {plain(one.effect)}"),
        typeset(
            f": mean {one.mean:.2f}, spread {one.spread:.2f} over {len(one)} squares; it {varies} "
            f"(p {'' if one.p_value < 1e-4 else '= '}{p_value(one.p_value)})."
        ),
    )
    label = f"Local effect of {plain(one.cause)} on {plain(one.effect)}"
    return element("figure", figure_svg(figure, key=f"effect-map-{number}", label=label), caption, class_="wide")


def _frames() -> tuple[Figure, Sequence[Axes]]:
    figure = new_figure(9.6, 2.5)
    return figure, list(figure.subplots(1, MOST_IMAGES, squeeze=False)[0])
