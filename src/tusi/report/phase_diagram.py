"""The page of a phase diagram: where the transition is, every observable with its band, and the couplings behind it."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tusi.data.storage import write_atomically
from tusi.generative.prediction.diagram import PhaseDiagram
from tusi.generative.prediction.transition import Transition, find_transition
from tusi.plot import new_figure
from tusi.plot.phase_diagram import SIZES, draw_map, draw_observable
from tusi.report.figures import figure_svg, styled
from tusi.report.layout import Section, fact_list, page, reference_list, table, verdict_header, warning_list
from tusi.report.markup import Markup, element, joined
from tusi.report.mathematics import equation_markup, subscripted, typeset
from tusi.report.numbers import digits_for, fixed, span, whole, with_error
from tusi.report.references import phase_diagram_citation

METHODS = ("Binder crossing", "specific heat")
"""Ways to find a transition; the first one speaks in the verdict."""


def write_phase_diagram_report(diagram: PhaseDiagram, path: str | os.PathLike) -> Path:
    """Write the report of a phase diagram as one HTML file, all or nothing.

    Parameters
    ----------
    diagram
        The phase diagram, fresh or loaded: the page is the same.
    path
        Where to; an existing file is replaced.

    Returns
    -------
    pathlib.Path
        `path`.

    Examples
    --------
    >>> write_phase_diagram_report(diagram, "phases.html")  # doctest: +SKIP
    """
    return write_atomically(path, render_phase_diagram_report(diagram).encode())


def render_phase_diagram_report(diagram: PhaseDiagram) -> str:
    """Return the report of a phase diagram as one self-contained HTML page.

    Transitions are found again from the diagram. The page loads nothing, runs no script, and reads on light and dark
    screens and on paper. Every string that comes from a file or a caller is escaped.

    Parameters
    ----------
    diagram
        The phase diagram.

    Returns
    -------
    str
        The page.

    Examples
    --------
    >>> page = render_phase_diagram_report(diagram)  # doctest: +SKIP
    """
    found = {method: transitions_of(diagram, method) for method in METHODS}
    title = f"{diagram.model} on a {diagram.crystal} crystal"
    sections: list[Section] = [
        ("observables", "Observables", _observable_section(diagram, found[METHODS[0]])),
        ("transitions", "Transitions", _transition_section(diagram, found)),
        ("couplings", "Couplings", _coupling_section(diagram)),
        ("warnings", "Notes", warning_list([element("li", typeset(note)) for note in diagram.notes])),
        ("made", "How it was made", _made(diagram)),
        ("cite", "What to cite", reference_list(phase_diagram_citation())),
    ]
    return page(title, _header(diagram, title, found[METHODS[0]]), sections)


def transitions_of(diagram: PhaseDiagram, method: str = METHODS[0]) -> list[Transition]:
    """Return the transition at each field or composition; nothing where one size or too few temperatures tell none."""
    if len(diagram.sizes) < 2 or len(diagram.temperature) < 3:
        return []
    return [
        find_transition(diagram, method=method, level=k)  # type: ignore[arg-type]
        for k in range(len(diagram.level))
    ]


def _header(diagram: PhaseDiagram, title: str, transitions: Sequence[Transition]) -> Markup:
    """Return the verdict and the few numbers that a seminar asks for."""
    n_found = sum(one.resolved for one in transitions)
    if not transitions:
        verdict = "One size, or too few temperatures: no transition was looked for."
    elif len(transitions) == 1:
        text = str(transitions[0])
        verdict = f"{text[0].upper()}{text[1:]}."
    elif not n_found:
        verdict = "No transition resolved."
    else:
        verdict = f"Transitions at {n_found} of {len(transitions)} values of the {diagram.axis}."
    temperatures = f"{diagram.temperature[0]:.4g} to {diagram.temperature[-1]:.4g}"
    figures = [
        ("temperatures", temperatures, diagram.temperature_unit),
        ("cells along an edge", ", ".join(map(str, diagram.sizes)), ""),
        ("order", diagram.order, ""),
    ]
    return verdict_header(title, [typeset(verdict), equation_markup(diagram.equation)], figures)


def _observable_section(diagram: PhaseDiagram, transitions: Sequence[Transition]) -> Markup:
    """Return every observable, drawn."""
    several, cards = len(diagram.level) > 1, []
    for i, name in enumerate(diagram.observables):
        with styled():
            figure = new_figure(4.7, 3.1)
            axes = figure.add_subplot()
            if several:
                draw_map(axes, diagram, observable=name, transitions=transitions)
            else:
                draw_observable(axes, diagram, observable=name, transition=transitions[0] if transitions else None)
        svg = figure_svg(figure, key=f"observable-{i}", label=f"{name} over temperature")
        cards.append(element("figure", svg, element("figcaption", element("b", name))))
    first = max(len(SIZES) - len(diagram.sizes), 0)
    colours = [SIZES[min(k + first, len(SIZES) - 1)] for k in range(len(diagram.sizes))]
    marks = [
        element("span", element("i", class_="dot", style=f"background: {colour}"), f"{size} cells")
        for size, colour in zip(diagram.sizes, colours, strict=True)
    ]
    lead = (
        f"Maps of the largest crystal over temperature and {diagram.axis}; dots are transitions with their 95 % bars."
        if several
        else "Lines at the fitted couplings, with bands that hold 95 %: the uncertainty of the couplings and of the "
        "simulation together. The upright line is the transition, where one is resolved."
    )
    parts = [element("p", typeset(lead), class_="lead")]
    parts += [] if several else [element("div", *marks, class_="legend")]
    return joined(*parts, element("div", *cards, class_="grid"))


def _transition_section(diagram: PhaseDiagram, found: dict[str, list[Transition]]) -> Markup:
    """Return the transitions by every method."""
    rows = [
        element(
            "tr",
            *([element("td", f"{one.level:.4g}")] if len(diagram.level) > 1 else []),
            element("td", method),
            element("td", fixed(one.value, _digits(one)), class_="calibrated"),
            element("td", span(one.interval[0], one.interval[1], _digits(one))),
            element("td", fixed(one.monte_carlo_error, _digits(one))),
            element("td", fixed(one.size_drift, _digits(one))),
            element("td", one.reason or "", class_="wrap"),
        )
        for transitions in zip(*found.values(), strict=True)
        for method, one in zip(found, transitions, strict=True)
    ]
    if not rows:
        return element("p", "A transition takes at least two sizes and three temperatures.")
    head = ["method", f"Tc, {diagram.temperature_unit}", "95 %", "Monte Carlo error", "drift with size", "why not"]
    head = [diagram.axis, *head] if len(diagram.level) > 1 else head
    lead = (
        "Where two sizes have the same Binder cumulant, and where the peak of the specific heat goes as crystals grow. "
        "Dashes: not resolved."
    )
    return joined(element("p", lead, class_="lead"), table(head, rows))


def _digits(transition: Transition) -> int:
    """Return the digits that the interval of a transition bears."""
    low, high = transition.interval
    return digits_for((high - low) / 4)


def _coupling_section(diagram: PhaseDiagram) -> Markup:
    """Return the draws of the couplings in figures."""
    rows = []
    for name, drawn in zip(diagram.parameters, diagram.draw.T, strict=True):
        error = float(drawn.std(ddof=1))
        low, high = map(float, np.quantile(drawn, (0.025, 0.975)))
        cells = (with_error(float(drawn.mean()), error), span(low, high, digits_for(error)))
        rows.append(element("tr", element("td", subscripted(name)), *(element("td", cell) for cell in cells)))
    lead = f"Mean and spread of the {whole(len(diagram.draw))} draws behind the bands, at the reference temperature."
    return joined(element("p", lead, class_="lead"), table(["coupling", "value ± s.e., kT", "95 %"], rows))


def _made(diagram: PhaseDiagram) -> Markup:
    """Return the grid and how far the simulation carries."""
    least = diagram.effective_sample_size.min()
    facts = [
        ("temperatures", f"{len(diagram.temperature)}, in {diagram.temperature_unit}"),
        (diagram.axis or "levels", ", ".join(f"{level:.4g}" for level in diagram.level) if diagram.axis else "one"),
        ("cells", ", ".join(map(str, diagram.sizes))),
        ("order parameter", diagram.order),
        ("fewest effective samples", fixed(float(least), 0)),
    ]
    return fact_list(facts)
