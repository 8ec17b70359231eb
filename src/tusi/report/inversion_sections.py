"""The parts of the page of an inversion: couplings, whether models explain the arrangements, and how much data."""

import re

import numpy as np

from tusi.plot import draw_estimates, draw_expected_error, draw_goodness, new_figure
from tusi.plot.inversion import TARGET, model_colours, n_estimates
from tusi.plot.palette import SOFT
from tusi.report.figures import figure_svg, styled
from tusi.report.layout import table
from tusi.report.markup import Markup, element, joined
from tusi.report.mathematics import equation_markup, subscripted, typeset
from tusi.report.numbers import about, digits_for, fixed, p_value, span, whole, with_error
from tusi.study.inversion import LEVEL, Inversion, ModelFit
from tusi.units import BOLTZMANN

HEAD = (
    "model",
    "coupling",
    "value ± s.e., kT",
    "95 %",
    "Monte Carlo error",
    "R-hat",
    "effective samples",
    "clusters p",
)
"""Titles of the columns of `coupling_rows`."""

AGREED = 1.05
"""R-hat above which chains disagree."""

_DASH = "\N{EM DASH}"


def coupling_rows(inversion: Inversion) -> list[tuple[str, ...]]:
    """Return a line per coupling under a line of titles; a model without couplings has one line.

    Parameters
    ----------
    inversion
        A finished inversion.

    Returns
    -------
    list of tuple of str
        Titles, then model, coupling, value with standard error and 95 % interval (kT), Monte Carlo error, R-hat,
        effective sample size, and the calibrated p-value of the model's clusters.

    Examples
    --------
    >>> from tusi.study import load_inversion
    >>> titles, *rows = coupling_rows(load_inversion("hamiltonian.h5"))  # doctest: +SKIP
    """
    return [HEAD, *(row for fit in inversion.fits for row in _rows_of(fit))]


def _rows_of(fit: ModelFit) -> list[tuple[str, ...]]:
    """Return the lines of one model."""
    clusters, estimate = p_value(fit.examination.pooled_p), fit.estimate
    if estimate is None:
        return [(fit.name, *[_DASH] * 6, clusters)]
    rows = []
    for k, name in enumerate(estimate.parameters):
        error, (low, high) = float(estimate.standard_error[k]), map(float, estimate.interval[k])
        simulated = float(estimate.monte_carlo_error[k])
        rows.append(
            (
                fit.name,
                name,
                with_error(float(estimate.value[k]), error),
                span(low, high, digits_for(error)),
                fixed(simulated, digits_for(simulated)) if simulated else _DASH,
                fixed(estimate.r_hat, 2),
                whole(round(estimate.effective_sample_size)) if np.isfinite(estimate.effective_sample_size) else _DASH,
                clusters,
            )
        )
    return rows


def estimate_section(inversion: Inversion) -> Markup:
    """Return the couplings of every model, drawn and in figures."""
    lead = (
        "One set of couplings for all arrangements. Thick bars are one standard error, thin bars 95 %; sites on the "
        "border, uncertain labels and Monte Carlo noise are allowed for."
    )
    parts = [element("p", typeset(lead), class_="lead")]
    n_rows = n_estimates(inversion)
    if n_rows:
        with styled():
            figure = new_figure(5.6, 0.55 + 0.4 * n_rows)
            draw_estimates(figure.add_subplot(), inversion)
        svg = figure_svg(figure, key="estimates", label="Couplings of all models with their intervals")
        parts.append(element("div", element("figure", svg), class_="grid one"))
    energies = [
        element("tr", element("td", fit.name), element("td", equation_markup(fit.equation), class_="wrap equation"))
        for fit in inversion.fits
    ]
    parts += [element("h3", "Models"), table(["model", "energy"], energies)]
    parts += [element("h3", "In figures"), _coupling_table(inversion), _simulation_table(inversion)]
    if inversion.options.temperatures:
        reference = inversion.options.temperatures[0]
        text = (
            f"Couplings are in kT of the first temperature, {reference:g} K, and scale with 1/T for the others; "
            f"1 kT is {fixed(1000 * BOLTZMANN * reference, 1)} meV there."
        )
        parts.append(element("p", text))
    return joined(*parts, _notes(inversion))


def _coupling_table(inversion: Inversion) -> Markup:
    """Return the couplings in figures."""
    head, *lines = coupling_rows(inversion)
    rows = []
    for i, line in enumerate(lines):
        fresh = not i or lines[i - 1][0] != line[0]
        cells = [element("td", line[0] if fresh else ""), element("td", subscripted(line[1]))]
        rows.append(element("tr", *cells, *(element("td", cell) for cell in line[2:5])))
    return table(head[:5], rows)


def _simulation_table(inversion: Inversion) -> Markup:
    """Return how far the simulation behind each estimate can be trusted."""
    head = ["model", "free sites", "rounds", "converged", "R-hat", "effective samples", "log-likelihood gain"]
    rows = []
    for fit in inversion.fits:
        one = fit.estimate
        if one is None:
            continue
        disagree = one.r_hat > AGREED
        size = whole(round(one.effective_sample_size)) if np.isfinite(one.effective_sample_size) else _DASH
        cells = [
            element("td", fit.name),
            element("td", whole(one.n_sites)),
            element("td", whole(one.n_rounds)),
            element("td", "yes" if one.converged else "no", class_=None if one.converged else "reject"),
            element("td", fixed(one.r_hat, 2), class_="reject" if disagree else None),
            element("td", size),
            element("td", with_error(one.log_likelihood_gain, one.log_likelihood_gain_error)),
        ]
        rows.append(element("tr", *cells))
    if not rows:
        return Markup("")
    text = (
        "Simulation behind the estimates. The gain is over no couplings at all, in nats; dashes stand where a method "
        f"simulates nothing. R-hat above {AGREED} is red: the chains disagree."
    )
    return joined(element("h3", "How they were reached"), table(head, rows, caption=text))


def _notes(inversion: Inversion) -> Markup:
    """Return what to know before trusting the numbers."""
    items = [
        element("li", element("span", fit.name, class_="name"), typeset(note))
        for fit in inversion.fits
        if fit.estimate is not None
        for note in fit.estimate.notes
    ]
    return joined(element("h3", "Notes"), element("ul", *items, class_="warnings")) if items else Markup("")


def goodness_section(inversion: Inversion) -> Markup:
    """Return whether each model explains the arrangements, and whether a larger one explains more."""
    with styled():
        figure = new_figure(5.6, 0.75 + 0.42 * len(inversion.fits))
        draw_goodness(figure.add_subplot(), inversion)
    svg = figure_svg(figure, key="goodness", label="P-values of all models")
    colour = next(iter(model_colours(fit.name for fit in inversion.fits).values()))
    marks = [
        element("span", element("i", class_="dot", style=f"background: {colour}"), "all arrangements, calibrated"),
        element("span", element("i", class_="dot small", style=f"background: {colour}"), "each arrangement"),
        element("span", element("i", class_="dot", style=f"border: 1px solid {SOFT}"), "all, naive"),
    ]
    lead = (
        "How far the clusters of each model lie from the observed ones, and whether chance explains it. A model that "
        "holds has p-values anywhere between 0 and 1."
    )
    return joined(
        element("p", typeset(lead), class_="lead"),
        element("div", *marks, class_="legend"),
        element("div", element("figure", svg), class_="grid one"),
        element("h3", "In figures"),
        _distance_table(inversion),
        element("p", _explanation(inversion), class_="note"),
        _predicted_table(inversion),
        _score_table(inversion),
        _criterion_table(inversion),
    )


def _distance_table(inversion: Inversion) -> Markup:
    """Return S^2 of every arrangement and model with its p-values."""
    groups = [element("th", "", colspan="2", class_="blank")]
    head = ["arrangement", "sites"]
    for fit in inversion.fits:
        groups.append(element("th", fit.name, class_="group", colspan="3", scope="colgroup"))
        head += ["S²", "naive p", "p"]
    rows = []
    for i, name in enumerate(inversion.image_names):
        cells = [element("td", name, class_="first-wrap"), element("td", whole(int(inversion.n_sites[i])))]
        for fit in inversion.fits:
            found = fit.examination
            cells += _triple(float(found.distance[i]), None, float(found.distance_p[i]))
        rows.append(element("tr", *cells))
    total = [element("td", "all"), element("td", whole(int(inversion.n_sites.sum())))]
    for fit in inversion.fits:
        found = fit.examination
        total += _triple(found.pooled_distance, found.naive_p, found.pooled_p)
    return table(head, [*rows, element("tr", *total, class_="total")], groups=element("tr", *groups))


def _triple(distance: float, naive: float | None, calibrated: float) -> list[Markup]:
    """Return the three cells of one model."""
    return [
        element("td", fixed(distance, 4)),
        element("td", "" if naive is None else p_value(naive), class_="naive"),
        _calibrated(calibrated),
    ]


def _calibrated(value: float) -> Markup:
    """Return the cell of a calibrated p-value."""
    return element("td", p_value(value), class_="calibrated" + " reject" * (value < LEVEL))


def _explanation(inversion: Inversion) -> Markup:
    """Say why the two kinds of p-value differ."""
    n_replicas = max(fit.examination.n_replicas for fit in inversion.fits)
    return joined(
        element("b", "Two p-values, one question. "),
        "The naive one is in use in the literature: chi-square of 4NS². It assumes independent clusters and "
        "well-filled classes, and does not hold its level. p is calibrated: the rank of the arrangements among "
        f"{whole(n_replicas)} replicas drawn from the model on the same sites and refitted as they were; it cannot be "
        f"smaller than {p_value(1 / (n_replicas + 1))}. Where they disagree, believe p. Values below {LEVEL:g} are "
        "red.",
    )


def _predicted_table(inversion: Inversion) -> Markup:
    """Return the checks on statistics that were not fitted."""
    columns = [dict(zip(fit.examination.predicted, fit.examination.predicted_p, strict=True)) for fit in inversion.fits]
    labels = sorted({label for column in columns for label in column}, key=_natural)
    if not labels:
        return Markup("")
    rows = [
        element(
            "tr",
            element("td", label, class_="first-wrap"),
            *(_calibrated(float(column[label])) if label in column else element("td", "fitted") for column in columns),
        )
        for label in labels
    ]
    text = "Two-sided p-values of what the fit did not see; “fitted” where it is one of the model's own statistics."
    head = ["statistic", *(fit.name for fit in inversion.fits)]
    return joined(element("h3", "Statistics that were not fitted"), table(head, rows, caption=text))


def _natural(label: str) -> list[tuple[int, str]]:
    """Return a key that puts shell 2 before shell 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", label)]


def _score_table(inversion: Inversion) -> Markup:
    """Return the tests of every larger model."""
    rows = [
        element(
            "tr",
            element("td", f"{test.larger} beyond {test.smaller}"),
            element("td", f"+{test.n_parameters}"),
            element("td", fixed(test.statistic, 2)),
            element("td", p_value(test.naive_p), class_="naive"),
            _calibrated(test.calibrated_p),
        )
        for fit in inversion.fits
        for test in fit.tests
    ]
    if not rows:
        return Markup("")
    head = ["question", "couplings", "score statistic", "naive p", "p"]
    text = "Score tests: does the larger model explain more than the smaller one that it contains?"
    return joined(element("h3", "Does a larger model explain more?"), table(head, rows, caption=text))


def _criterion_table(inversion: Inversion) -> Markup:
    """Return the criterion of every model beside the best one's; nothing where there is nothing to compare."""
    known = [fit.clic for fit in inversion.fits if np.isfinite(fit.clic)]
    if len(known) < 2:
        return Markup("")
    rows = [
        element(
            "tr",
            element("td", fit.name),
            element("td", str(0 if fit.estimate is None else len(fit.estimate.parameters))),
            element("td", fixed(fit.clic, 1)),
            element("td", "best" if fit.clic == min(known) else fixed(fit.clic - min(known), 1)),
            _calibrated(fit.examination.pooled_p),
        )
        for fit in inversion.fits
    ]
    text = (
        "CLIC, the composite-likelihood information criterion, weighs how well a model predicts each site from its "
        "neighbours against what its couplings can fit of chance; smaller is better. It ranks models and rejects none: "
        "whether even the best one holds is for p to say."
    )
    head = ["model", "couplings", "CLIC", "above the best", "p"]
    return joined(element("h3", "Which model ranks first?"), table(head, rows, caption=text))


def data_section(inversion: Inversion) -> Markup:
    """Return how much data the couplings and the decisions between models take."""
    lead = (
        "Lines are the smallest standard errors that any estimator can have with so many sites, at the fitted "
        "couplings and the mean composition; dots the errors that were reached as the arrangements came; diamonds the "
        f"sites at which the error is {100 * TARGET:g} % of the coupling."
    )
    cards, parts = [], [element("p", typeset(lead), class_="lead")] if inversion.expected else []
    names = [name for name, _ in _outlook(inversion)]
    for i, (expected, name) in enumerate(zip(inversion.expected, names, strict=True)):
        with styled():
            figure = new_figure(4.7, 3.1)
            arriving = inversion.arriving[i] if i < len(inversion.arriving) else None
            draw_expected_error(figure.add_subplot(), expected, arriving=arriving)
        svg = figure_svg(figure, key=f"expected-{i}", label=f"Expected errors of {name}")
        cards.append(element("figure", svg, element("figcaption", element("b", name))))
    if cards:
        parts.append(element("div", *cards, class_="grid"))
        parts += [element("h3", "In figures"), _error_table(inversion)]
    if inversion.decisions:
        items = (element("li", typeset(str(one))) for one in inversion.decisions)
        parts += [element("h3", "To tell models apart"), element("ul", *items, class_="plain")]
    return joined(*parts) if parts else element("p", "Nothing to say with these models.")


def _outlook(inversion: Inversion) -> list[tuple[str, ModelFit | None]]:
    """Return the model of each expected error: expected errors follow the fits whose couplings are finite."""
    fits = [fit for fit in inversion.fits if fit.estimate is not None and bool(np.isfinite(fit.estimate.value).all())]
    return [
        (fits[i].name, fits[i]) if len(fits) == len(inversion.expected) else (", ".join(one.parameters), None)
        for i, one in enumerate(inversion.expected)
    ]


def _error_table(inversion: Inversion) -> Markup:
    """Return the errors now, the smallest possible ones, and the sites for the target."""
    head = ["model", "coupling", "s.e. now, kT", "smallest possible, kT", "ratio", f"sites for {100 * TARGET:g} %"]
    rows = []
    for i, (expected, (name, _)) in enumerate(zip(inversion.expected, _outlook(inversion), strict=True)):
        arriving = inversion.arriving[i] if i < len(inversion.arriving) else None
        target = expected.sites_for(TARGET)
        for k, coupling in enumerate(expected.parameters):
            now = limit = ratio = _DASH
            if arriving is not None:
                now, limit = (_error(float(one[-1, k])) for one in (arriving.obtained, arriving.expected))
                ratio = fixed(float(arriving.ratio[-1, k]), 2)
            cells = [element("td", "" if k else name), element("td", subscripted(coupling))]
            rows.append(
                element("tr", *cells, *(element("td", text) for text in (now, limit, ratio, about(float(target[k])))))
            )
    return table(head, rows)


def _error(value: float) -> str:
    """Return a standard error with two figures."""
    return "∞" if np.isinf(value) else fixed(value, digits_for(value))
