"""The part of the page that compares models: clusters, couplings, the table, tests."""

import numpy as np

from tusi.generative.results import HamiltonianComparison
from tusi.plot import draw_cluster_classes, draw_clusters, draw_couplings, new_figure
from tusi.plot.couplings import n_couplings
from tusi.plot.palette import SOFT, model_colour
from tusi.report.figures import figure_svg, styled
from tusi.report.layout import table
from tusi.report.markup import Markup, element, joined
from tusi.report.mathematics import equation_markup, subscripted
from tusi.report.numbers import digits_for, fixed, p_value, span, whole, with_error
from tusi.study import Analysis

_LEVEL = 0.05


def coupling_section(analysis: Analysis) -> Markup:
    """Return the couplings of every model, drawn and in figures."""
    comparison = _comparison(analysis)
    parts = [
        element(
            "p",
            "One set of couplings for all images, each image at its own composition. Thick bars are one standard "
            "error, thin bars 95 %; uncertain labels and Monte Carlo noise are included.",
            class_="lead",
        )
    ]
    if n_couplings(comparison):
        with styled():
            figure = new_figure(5.6, 0.55 + 0.4 * n_couplings(comparison))
            draw_couplings(figure.add_subplot(), comparison)
        svg = figure_svg(figure, key="couplings", label="Couplings of all models with their intervals")
        parts.append(element("div", element("figure", svg), class_="grid one"))
    temperature = comparison.temperature
    head = ["model", "energy", "coupling", "value ± s.e., kT", "95 %", "p (zero)"]
    rows = []
    for fit in comparison.fits:
        first = True
        energy = element("td", equation_markup(fit.equation), class_="wrap equation")
        if not fit.parameters:
            rows.append(element("tr", element("td", fit.model), energy, *(element("td", "—") for _ in head[2:])))
        at_temperature = fit.value_at(temperature) if temperature is not None else np.zeros(len(fit.value))
        for k, name in enumerate(fit.parameters):
            error = float(fit.standard_error[k])
            value = with_error(float(fit.value[k]), error)
            if temperature is not None:
                value += f" ({fixed(1000 * float(at_temperature[k]), 1)} meV)"
            cells = [
                subscripted(name),
                value,
                span(float(fit.interval[k, 0]), float(fit.interval[k, 1]), digits_for(error)),
                p_value(float(fit.p_value[k])),
            ]
            lead = [element("td", fit.model), energy] if first else [element("td", ""), element("td", "")]
            rows.append(element("tr", *lead, *(element("td", cell) for cell in cells)))
            first = False
    parts.append(element("h3", "In figures"))
    parts.append(table(head, rows))
    if temperature is not None:
        parts.append(
            element(
                "p",
                f"Energies in meV hold if the arrangement froze in at {temperature:g} K; the images fix w/kT alone.",
            )
        )
    return joined(*parts)


def cluster_section(analysis: Analysis) -> Markup:
    """Return the histogram of clusters of every image against models and chance."""
    comparison = _comparison(analysis)
    cards = []
    for i, name in enumerate(comparison.image_names):
        with styled():
            figure = new_figure(10.0, 2.75)
            axes, below = figure.subplots(2, 1, height_ratios=(1, 0.2), sharex=True)
            draw_clusters(axes, comparison, image=i, models=comparison.models)
            draw_cluster_classes(below, comparison.observed.shape[1])
        outside = (comparison.observed[i] > comparison.null_high[i]) | (comparison.observed[i] < comparison.null_low[i])
        caption = joined(
            element("b", name),
            f": {whole(int(comparison.n_clusters[i]))} clusters; {int(outside.sum())} of {len(outside)} classes lie "
            "outside their band of random alloys.",
        )
        svg = figure_svg(figure, key=f"clusters-{i}", label=f"Cluster histogram of {name}")
        cards.append(element("figure", svg, element("figcaption", caption), class_="wide"))
    marks = [
        element("span", element("i", class_="block", style="background: #9aa0ab66"), "observed"),
        element("span", element("i", class_="block", style=f"border: 1px solid {SOFT}"), "95 % of random alloys"),
        *(
            element("span", element("i", class_="dot", style=f"background: {model_colour(name)}"), name)
            for name in comparison.models
        ),
    ]
    lead = (
        "Every site with its ring of neighbours, sorted into symmetry classes (drawn below: "
        f"{comparison.species[0]} blue, {comparison.species[1]} orange). Counts are expectations over uncertain "
        "labels; their scale is a square root, on which chance has the same size everywhere."
    )
    return joined(
        element("p", lead, class_="lead"),
        element("div", *marks, class_="legend"),
        element("div", *cards, class_="stack"),
    )


def table_section(analysis: Analysis) -> Markup:
    """Return the literature's table with the calibrated p-values beside it."""
    comparison = _comparison(analysis)
    top = [element("th", "", colspan="2", class_="blank")]
    head = ["image", "N"]
    for model in comparison.models:
        top.append(element("th", model, class_="group", colspan="3", scope="colgroup"))
        head += ["S²", "PV", "p"]
    rows = [_table_row(comparison, i) for i in range(len(comparison.image_names))]
    total = [element("td", "all"), element("td", whole(int(comparison.n_clusters.sum())))]
    bic = [element("td", "BIC"), element("td", "")]
    clic = [element("td", "CLIC"), element("td", "")]
    for fit in comparison.fits:
        total += _triple(fit.statistical_distance, fit.naive_p, fit.calibrated_p)
        bic += [element("td", fixed(fit.bic, 1)), element("td", ""), element("td", "")]
        clic += [element("td", fixed(fit.clic, 1)), element("td", ""), element("td", "")]
    rows += [element("tr", *total, class_="total"), element("tr", *bic), element("tr", *clic)]
    lead = "How far each model's clusters lie from the observed ones, and whether chance explains it."
    return joined(
        element("p", lead, class_="lead"),
        table(head, rows, groups=element("tr", *top)),
        element("p", _explanation(comparison), class_="note"),
        _distance_note(comparison),
        element("h3", "Does a larger model explain more?"),
        _nested_table(comparison),
        _predictive_table(comparison),
    )


def _explanation(comparison: HamiltonianComparison) -> Markup:
    """Say why the two kinds of p-value differ."""
    n_dof = comparison.observed.shape[1] - 1
    return joined(
        element("b", "Two p-values, one question. "),
        f"PV is the value in use in the literature, chi-square of 4NS² with {n_dof} degrees of freedom per image. It "
        "assumes independent clusters and well-filled classes; but neighbouring clusters share sites and most classes "
        "of a dilute image are empty, so it does not hold its level. p is calibrated: the share of "
        f"{whole(comparison.n_permutations)} permutations of the labels on the same sites (“random”), or of "
        f"{whole(comparison.n_bootstrap)} refitted replicas simulated from the model (all others), that lie as far "
        "out. Where they disagree, believe p. Values below 0.05 are red.",
    )


def _distance_note(comparison: HamiltonianComparison) -> Markup:
    """State what uncertain labels do to the distances."""
    parts = [
        f"{fit.model} {fixed(fit.statistical_distance, 4)} {span(*fit.statistical_distance_interval, 4)}"
        for fit in comparison.fits
    ]
    return element("p", f"S² over all images with its 95 % interval from uncertain labels alone: {'; '.join(parts)}.")


def _table_row(comparison: HamiltonianComparison, image: int) -> Markup:
    """Return the line of one image."""
    cells = [
        element("td", comparison.image_names[image], class_="first-wrap"),
        element("td", whole(int(comparison.n_clusters[image]))),
    ]
    for k in range(len(comparison.models)):
        cells += _triple(
            float(comparison.statistical_distance[k, image]),
            float(comparison.naive_p[k, image]),
            float(comparison.calibrated_p[k, image]),
        )
    return element("tr", *cells)


def _triple(distance: float, naive: float, calibrated: float) -> list[Markup]:
    """Return the three cells of one model."""
    return [
        element("td", fixed(distance, 4)),
        element("td", p_value(naive), class_="naive"),
        _calibrated(calibrated),
    ]


def _calibrated(value: float) -> Markup:
    """Return the cell of a calibrated p-value."""
    return element("td", p_value(value), class_="calibrated" + " reject" * (value < _LEVEL))


def _nested_table(comparison: HamiltonianComparison) -> Markup:
    """Return the tests of every pair of nested models."""
    head = ["question", "2 Δ log L", "naive p", "calibrated p", "decrease of S²", "its p"]
    rows = [
        element(
            "tr",
            element("td", f"{test.larger} beyond {test.smaller}"),
            element("td", fixed(test.statistic, 2)),
            element("td", p_value(test.naive_p), class_="naive"),
            _calibrated(test.calibrated_p),
            element("td", fixed(test.distance_gain, 4)),
            element("td", p_value(test.distance_gain_p)),
        )
        for test in comparison.nested_tests
    ]
    if comparison.search_failed:
        text = (
            "A larger model came out worse than a smaller one that it contains: the search did not reach the optimum, "
            "so the models are not ranked."
        )
        return joined(table(head, rows), element("p", text, class_="note"))
    if comparison.ranking:
        order = " < ".join(comparison.ranking)
        return joined(table(head, rows), element("p", f"By CLIC, from best to worst: {order}."))
    return table(head, rows)


def _predictive_table(comparison: HamiltonianComparison) -> Markup:
    """Return the checks on statistics that were not fitted."""
    if not comparison.predictive_labels or not comparison.predictive_p.size:
        return Markup("")
    head = ["statistic that was not fitted", *comparison.models]
    rows = [
        element(
            "tr",
            element("td", label),
            *(
                element("td", p_value(float(p)), class_="reject" if p < _LEVEL else None)
                for p in comparison.predictive_p[:, k]
            ),
        )
        for k, label in enumerate(comparison.predictive_labels)
    ]
    return joined(element("h3", "Predictions"), table(head, rows, caption="Two-sided posterior-predictive p-values."))


def _comparison(analysis: Analysis) -> HamiltonianComparison:
    """Return the comparison of an analysis that has one."""
    assert analysis.comparison is not None
    return analysis.comparison
