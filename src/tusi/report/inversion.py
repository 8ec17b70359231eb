"""The page of an inversion: the verdict, couplings, tests, what more data would bring, and how it was made."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from tusi.data.storage import write_atomically
from tusi.generative.estimation.landscape import DistanceLandscape
from tusi.plot import draw_landscape, new_figure
from tusi.report.figures import figure_svg, styled
from tusi.report.forecasts import forecast_section
from tusi.report.inversion_sections import data_section, estimate_section, goodness_section
from tusi.report.layout import Section, fact_list, page, reference_list, table, verdict_header, warning_list
from tusi.report.markup import Markup, element, joined
from tusi.report.mathematics import subscripted, typeset
from tusi.report.numbers import fixed, whole, with_error
from tusi.report.references import inversion_citation
from tusi.study.inversion import Inversion

MOST_NAMES = 5
"""Arrangements in the title."""

MOST_FIGURES = 3
"""Couplings beside the verdict."""


def write_inversion_report(
    inversion: Inversion, path: str | os.PathLike, *, landscapes: Sequence[DistanceLandscape] = ()
) -> Path:
    """Write the report of an inversion as one HTML file, all or nothing.

    Parameters
    ----------
    inversion
        A finished inversion, fresh or loaded: the page is the same.
    path
        Where to; an existing file is replaced.
    landscapes
        Statistical distances over couplings to draw as well.

    Returns
    -------
    pathlib.Path
        `path`.

    Examples
    --------
    >>> from tusi.study import load_inversion
    >>> write_inversion_report(load_inversion("hamiltonian.h5"), "hamiltonian.html")  # doctest: +SKIP
    """
    return write_atomically(path, render_inversion_report(inversion, landscapes=landscapes).encode())


def render_inversion_report(inversion: Inversion, *, landscapes: Sequence[DistanceLandscape] = ()) -> str:
    """Return the report of an inversion as one self-contained HTML page.

    The page loads nothing, runs no script, and reads on light and dark screens and on paper. Every string that comes
    from a file or a caller is escaped.

    Parameters
    ----------
    inversion
        A finished inversion.
    landscapes
        Statistical distances over couplings to draw as well.

    Returns
    -------
    str
        The page.

    Examples
    --------
    >>> from tusi.study import load_inversion
    >>> page = render_inversion_report(load_inversion("hamiltonian.h5"))  # doctest: +SKIP
    """
    shown, n_more = inversion.image_names[:MOST_NAMES], len(inversion.image_names) - MOST_NAMES
    title = ", ".join(shown) + (f" and {n_more} more" if n_more > 0 else "")
    sections: list[Section] = [
        ("summary", "At a glance", _summary(inversion)),
        ("couplings", "Couplings", estimate_section(inversion)),
        ("models", "Which model explains the arrangements", goodness_section(inversion)),
    ]
    if any(fit.held_out for fit in inversion.fits):
        sections.append(("forecasts", "Each arrangement from the others", forecast_section(inversion)))
    if landscapes:
        sections.append(("landscape", "Statistical distance", _landscape_section(landscapes)))
    sections += [
        ("data", "How much data", data_section(inversion)),
        ("warnings", "Warnings", warning_list([element("li", typeset(text)) for text in inversion.warnings])),
        ("made", "How it was made", _made(inversion)),
        ("cite", "What to cite", reference_list(inversion_citation(inversion))),
    ]
    return page(title, _header(inversion, title), sections)


def _header(inversion: Inversion, title: str) -> Markup:
    """Return the verdict, a paragraph for each model, and the numbers that a seminar asks for."""
    figures: list[tuple[str, str, str]] = [
        ("arrangements", whole(len(inversion.image_names)), ""),
        ("sites", whole(int(inversion.n_sites.sum())), ""),
    ]
    fits = [fit for fit in inversion.fits if fit.estimate is not None]
    best = next((fit for fit in fits if not fit.rejected), None)
    if best is not None and best.estimate is not None and len(best.estimate.parameters) <= MOST_FIGURES:
        one = best.estimate
        for name, value, error in zip(one.parameters, one.value, one.standard_error, strict=True):
            label = joined(subscripted(name), f" ({best.name})")
            figures.append((label, with_error(float(value), float(error)), "kT"))
    return verdict_header(title, _verdict(inversion), figures)


def _verdict(inversion: Inversion) -> list[Markup]:
    """Return the verdict with what is said of one model in one paragraph."""
    names = [name for fit in inversion.fits if fit.estimate is not None for name in fit.estimate.parameters]
    decisions = {str(one) for one in inversion.decisions}
    first, *rest = inversion.verdict or ("",)
    paragraphs: list[Markup] = []
    current = ""
    for sentence in rest:
        owner = next((fit.name for fit in inversion.fits if sentence.startswith(f"{fit.name}: ")), "")
        text = typeset(sentence.removeprefix(f"{owner}: ") if owner else sentence, couplings=names)
        if owner and owner != current:
            paragraphs.append(joined(element("b", owner), ": ", text))
            current = owner
        elif current and sentence not in decisions:
            paragraphs[-1] = joined(paragraphs[-1], " ", Markup(re.sub(r"^[a-z](?=[a-z]+ )", _capital, text)))
        else:
            paragraphs.append(text)
            current = ""
    return [typeset(first, couplings=names), *paragraphs]


def _capital(match: re.Match) -> str:
    return match[0].upper()


def _summary(inversion: Inversion) -> Markup:
    """Return the table of arrangements."""
    temperatures = inversion.options.temperatures
    head = ["arrangement", "sites seen", *inversion.species, *(["temperature"] if temperatures else [])]
    rows = []
    for i, name in enumerate(inversion.image_names):
        cells = [element("td", name, class_="first-wrap"), element("td", whole(int(inversion.n_sites[i])))]
        cells += [element("td", fixed(float(fraction), 3)) for fraction in inversion.composition[i]]
        if temperatures:
            cells.append(element("td", f"{temperatures[i]:g} K" if i < len(temperatures) else "\N{EM DASH}"))
        rows.append(element("tr", *cells))
    own = (
        "each arrangement keeps its own composition"
        if inversion.options.composition == "own"
        else "the models' fields set all compositions"
    )
    lead = f"Fractions of the species on the sites that were seen, on a {inversion.crystal} crystal; {own}."
    return joined(element("p", lead, class_="lead"), table(head, rows))


def _landscape_section(landscapes: Sequence[DistanceLandscape]) -> Markup:
    """Return the statistical distance over couplings."""
    cards = []
    for i, landscape in enumerate(landscapes):
        with styled():
            figure = new_figure(4.7, 3.4)
            draw_landscape(figure.add_subplot(), landscape)
        svg = figure_svg(
            figure, key=f"landscape-{i}", label=f"Statistical distance over the couplings of {landscape.model}"
        )
        cards.append(element("figure", svg, element("figcaption", element("b", landscape.model))))
    lead = (
        "The squared statistical distance between observed clusters and those of the model, over its couplings. Where "
        "the valley is long, the arrangements fix a combination of couplings and not each of them."
    )
    return joined(element("p", lead, class_="lead"), element("div", *cards, class_="grid"))


def _made(inversion: Inversion) -> Markup:
    """Return versions, seed, options, input hashes and the command that repeats the result."""
    provenance, options = inversion.provenance, inversion.options
    methods = dict.fromkeys(fit.estimate.method for fit in inversion.fits if fit.estimate is not None)
    facts: list[tuple[str, str]] = [
        ("command", element("code", provenance.command)),
        ("options", element("code", repr(options))),
        ("estimator", joined(*(element("code", method) for method in methods))),
        ("seed", str(options.seed)),
        ("versions", ", ".join(f"{name} {version}" for name, version in provenance.versions)),
        ("machine", provenance.platform),
    ]
    inputs = [
        element("tr", element("td", name, class_="first-wrap"), element("td", element("code", digest)))
        for step, name, digest in provenance.keys
        if step == "input"
    ]
    shown = [fact for fact in facts if fact[1]]
    return joined(fact_list(shown), element("h3", "Inputs"), table(("file", "SHA-256"), inputs))
