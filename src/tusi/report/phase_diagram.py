"""The page of a phase diagram: where the transition is, every observable with its band, and the couplings behind it."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tusi.data.storage import write_atomically
from tusi.generative.prediction.diagram import PhaseDiagram
from tusi.generative.prediction.transition import Transition, find_transition
from tusi.plot import new_figure
from tusi.plot.phase_diagram import TRANSITION, draw_map, draw_observable, level_name, size_colours
from tusi.report.figures import figure_svg, styled
from tusi.report.layout import Section, fact_list, page, reference_list, table, verdict_header, warning_list
from tusi.report.markup import Markup, element, joined
from tusi.report.mathematics import equation_markup, subscripted, typeset
from tusi.report.numbers import digits_for, fixed, span, whole, with_error
from tusi.report.references import phase_diagram_citation

METHODS = ("Binder crossing", "specific heat")
"""Ways to find a transition; the first one speaks in the verdict."""

EXACT = 1e-9
"""Relative spread of the draws below which a coupling was given without an uncertainty."""

MEANINGS = {
    "energy": "Per site.",
    "specific heat": "Per site; where it peaks higher in larger crystals, there is a transition.",
    "coexisting order": "Of either phase where both coexist at free composition; 0 above the critical point.",
    "coexisting Binder cumulant": "Of the free composition; curves of two sizes cross at the critical point.",
    "composition": "Fraction of the sites.",
    "susceptibility": "How far the order fluctuates, per site.",
    "Binder cumulant": "2/3 where the order is complete; curves of two sizes cross at the transition.",
    "short-range order": "Pairs of this shell of neighbours: 0 at random, positive where like sites attract.",
}
"""What an observable means, by its name without a number or species."""


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
    title = f"Phase diagram of {diagram.model}, {diagram.crystal} lattice"
    sections: list[Section] = [
        ("observables", "Observables", _observable_section(diagram, found[METHODS[0]])),
        ("transitions", "Transitions", _transition_section(diagram, found)),
        ("couplings", "Couplings", _coupling_section(diagram)),
        ("warnings", "Notes", warning_list([element("li", typeset(note)) for note in diagram.notes])),
        ("made", "How it was made", _made(diagram)),
        ("cite", "What to cite", reference_list(phase_diagram_citation())),
    ]
    return page(title, _header(diagram, title, found), sections)


def transitions_of(diagram: PhaseDiagram, method: str = METHODS[0]) -> list[Transition]:
    """Return the transition at each field or composition; nothing where one size or too few temperatures tell none."""
    if len(diagram.sizes) < 2 or len(diagram.temperature) < 3:
        return []
    return [
        find_transition(diagram, method=method, level=k)  # type: ignore[arg-type]
        for k in range(len(diagram.level))
    ]


def _header(diagram: PhaseDiagram, title: str, found: dict[str, list[Transition]]) -> Markup:
    """Return the verdict and the few numbers that a seminar asks for."""
    temperatures = f"{diagram.temperature[0]:.4g} to {diagram.temperature[-1]:.4g}"
    figures = [
        ("temperatures", temperatures, "K" if diagram.temperature_unit == "K" else "of the reference"),
        ("cells along an edge", ", ".join(map(str, diagram.sizes)), ""),
        ("order", diagram.order, ""),
    ]
    sentences = [*map(typeset, _verdict(diagram, found)), equation_markup(diagram.equation)]
    return verdict_header(title, sentences, figures)


def _verdict(diagram: PhaseDiagram, found: dict[str, list[Transition]]) -> list[str]:
    """Return what the first method says, and what the others say beside it."""
    first, *others = METHODS
    transitions = found[first]
    named = transitions[0].method if transitions else first
    if len(diagram.sizes) < 2:
        return ["No transition was looked for: that takes at least two sizes."]
    if not transitions:
        return ["No transition was looked for: that takes at least three temperatures."]
    if len(transitions) == 1:
        beside = (f"By {method}: {found[method][0]}." for method in others)
        text = str(transitions[0])
        return [f"{text[0].upper()}{text[1:]}.", " ".join([f"By {named}.", *beside])]
    n_found = {method: sum(one.resolved for one in found[method]) for method in METHODS}
    values = f"{len(transitions)} values of the {level_name(diagram)}"
    start = f"Transitions at {n_found[first]}" if n_found[first] else "No transition resolved at any"
    beside = (f"By {method}: at {n_found[method]} of {len(transitions)}." for method in others)
    return [f"{start} of {values}.", " ".join([f"By {named}.", *beside])]


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
        caption = joined(element("b", name), f". {meaning}" if (meaning := _meaning(diagram, name)) else "")
        cards.append(element("figure", svg, element("figcaption", caption)))
    lead = (
        f"Maps of the largest crystal over temperature and {level_name(diagram)}; dots are transitions with their "
        "95 % bars."
        if several
        else "Lines at the given couplings, with bands that hold 95 %: the uncertainty of the couplings and of the "
        "simulation together."
    )
    if diagram.temperature_unit != "K":
        lead += " Temperatures are relative to the reference: the temperature at which the couplings have their values."
    parts = [element("p", typeset(lead), class_="lead")]
    parts += [] if several else [_legend(diagram, transitions)]
    return joined(*parts, element("div", *cards, class_="grid"))


def _meaning(diagram: PhaseDiagram, observable: str) -> str:
    """Return what an observable means; nothing where the name is not known."""
    if observable != "order":
        return next((text for name, text in MEANINGS.items() if observable.startswith(name)), "")
    if diagram.order == "uniform":
        return "1 where one species holds all sites, 0 where all are as many."
    if diagram.order == "phase separation":
        return "How strong the longest waves are: they grow where the species part."
    return f"How strong the {diagram.order} is, in cycles per cell; about 1 where nothing disturbs it."


def _legend(diagram: PhaseDiagram, transitions: Sequence[Transition]) -> Markup:
    """Return the colours of sizes and of the transition."""
    colours = size_colours(diagram)
    marks = [
        element("span", element("i", class_="dot", style=f"background: {colour}"), f"{size} cells")
        for size, colour in zip(diagram.sizes, colours, strict=True)
    ]
    if transitions and transitions[0].resolved:
        swatch = element("i", class_="dot", style=f"background: {TRANSITION}")
        marks.append(element("span", swatch, "transition and its 95 % band"))
    return element("div", *marks, class_="legend")


def _transition_section(diagram: PhaseDiagram, found: dict[str, list[Transition]]) -> Markup:
    """Return the transitions by every method."""
    every = [one for transitions in zip(*found.values(), strict=True) for one in transitions]
    if not every:
        return element("p", "Nothing to say: a transition takes at least two sizes and three temperatures.")
    several = len(diagram.level) > 1
    rows = [
        element(
            "tr",
            *([element("td", f"{one.level:.4g}" if one.method != METHODS[1] else "")] if several else []),
            element("td", one.method),
            *_cells(one),
        )
        for one in every
    ]
    unit = ", K" if diagram.temperature_unit == "K" else " / reference"
    head = [_level_title(diagram)] if several else []
    head += ["method", f"transition{unit}", "95 %", "Monte Carlo error", "drift with size"]
    lead = (
        "By Binder crossing: where the two largest crystals have the same Binder cumulant. By coexistence curve: where "
        "a composition begins to part into two phases. By specific heat: where its "
        "peak goes as crystals grow. The 95 % hold couplings, simulation and drift with size; the Monte Carlo error is "
        "the part that longer simulations would remove, the drift how far the last size still moved the answer."
    )
    return joined(element("p", typeset(lead), class_="lead"), table(head, rows))


def _level_title(diagram: PhaseDiagram) -> str:
    """Return what the levels are, with their unit."""
    return "field, kT" if diagram.axis == "field" else level_name(diagram)


def _cells(transition: Transition) -> list[Markup]:
    """Return the numbers of a transition, or why there are none."""
    if not transition.resolved:
        return [element("td", typeset(f"not resolved: {transition.reason}"), class_="wrap", colspan="4")]
    digits = _digits(transition)
    return [
        element("td", fixed(transition.value, digits), class_="calibrated"),
        element("td", span(*transition.interval, digits)),
        element("td", fixed(transition.monte_carlo_error, digits)),
        element("td", fixed(transition.size_drift, digits)),
    ]


def _digits(transition: Transition) -> int:
    """Return the digits that the interval of a transition bears."""
    low, high = transition.interval
    return digits_for((high - low) / 4)


def _coupling_section(diagram: PhaseDiagram) -> Markup:
    """Return the draws of the couplings in figures."""
    rows = []
    for name, drawn in zip(diagram.parameters, diagram.draw.T, strict=True):
        mean, error = float(drawn.mean()), float(drawn.std(ddof=1))
        known = error <= EXACT * abs(mean)
        low, high = map(float, np.quantile(drawn, (0.025, 0.975)))
        cells = (fixed(mean, 3), "exact") if known else (with_error(mean, error), span(low, high, digits_for(error)))
        rows.append(element("tr", element("td", subscripted(name)), *(element("td", cell) for cell in cells)))
    lead = (
        f"Mean and spread of the {whole(len(diagram.draw))} draws behind the bands, at the reference temperature. A "
        "coupling that was given without an uncertainty is exact."
    )
    return joined(element("p", lead, class_="lead"), table(["coupling", "value ± s.e., kT", "95 %"], rows))


def _made(diagram: PhaseDiagram) -> Markup:
    """Return the grid and how far the simulation carries."""
    least = float(diagram.effective_sample_size.min())
    unit = "K" if diagram.temperature_unit == "K" else "of the reference temperature"
    low, high = diagram.temperature[0], diagram.temperature[-1]
    facts = [("temperatures", f"{len(diagram.temperature)}, from {low:.4g} to {high:.4g} {unit}")]
    if diagram.axis:
        facts.append((_level_title(diagram), ", ".join(f"{level:.4g}" for level in diagram.level)))
    facts += [
        ("cells along an edge", ", ".join(map(str, diagram.sizes))),
        ("order parameter", diagram.order),
        ("draws of the couplings", whole(len(diagram.draw))),
        ("effective samples", f"at least {fixed(least, 0)} carried to every draw of the couplings"),
    ]
    if diagram.versions:
        facts.append(("versions", ", ".join(diagram.versions)))
    if diagram.command:
        facts.append(("command", element("code", diagram.command)))
    return fact_list(facts)
