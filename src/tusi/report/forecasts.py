"""The part of the page that shows each arrangement as the others predict it."""

from tusi.generative.prediction.forecast import Forecast
from tusi.plot import draw_forecast, new_figure
from tusi.plot.forecast import most_frequent
from tusi.plot.inversion import model_colours
from tusi.report.figures import figure_svg, styled
from tusi.report.layout import table
from tusi.report.markup import Markup, element, joined
from tusi.report.numbers import fixed, p_value, whole
from tusi.study.inversion import LEVEL, Inversion

MOST_DRAWN = 12
"""Arrangements that are drawn; the table has them all."""

FEW = 100
"""Effective simulations below which a p-value is only rough."""


def forecast_section(inversion: Inversion) -> Markup:
    """Return what the couplings fitted to all other arrangements predict of each."""
    names = [fit.name for fit in inversion.fits if fit.held_out]
    forecasts = _by_arrangement(inversion)
    cards = []
    for i, (name, of_models) in enumerate(list(forecasts.items())[:MOST_DRAWN]):
        with styled():
            figure = new_figure(10.0, 3.4)
            draw_forecast(figure.add_subplot(), of_models)
        svg = figure_svg(figure, key=f"forecast-{i}", label=f"Clusters of {name}, predicted and observed")
        n_clusters = round(float(next(iter(of_models.values())).observed.sum()))
        n_bins, n_drawn = len(next(iter(of_models.values())).labels), len(most_frequent(of_models))
        drawn = f", the {n_drawn} most frequent of {n_bins} kinds are drawn" if n_drawn < n_bins else ""
        caption = joined(element("b", name), f": {whole(n_clusters)} clusters{drawn}. ", _outcomes(of_models))
        cards.append(element("figure", svg, element("figcaption", caption), class_="wide"))
    colours = model_colours(names)
    marks = [
        element("span", element("i", class_="rule"), "observed"),
        *(
            element("span", element("i", class_="dot", style=f"background: {colours[name]}"), f"{name}, bar 95 %")
            for name in names
        ),
    ]
    lead = (
        "Each arrangement in turn is left out, the couplings are fitted to the others alone, and from them its "
        "clusters are predicted: how often a site has which neighbours. A model cannot pass by bending to what it is "
        "shown. Lines across are what was observed, dots what was predicted; bars hold 95 % of what chance and the "
        "uncertainty of the couplings allow. The scale is a square root."
    )
    names_of_clusters = (
        "A cluster is named by its centre and by how many neighbours are of each species but the first. Where that "
        "does not tell clusters apart, the distances between neighbours of the last species stand in brackets, in "
        "units of the distance between nearest sites: 1×2 for two pairs at distance 1; where that does not, they "
        "are numbered."
    )
    parts = [
        element("p", lead, class_="lead"),
        element("div", *marks, class_="legend"),
        element("div", *cards, class_="stack"),
        element("p", names_of_clusters),
    ]
    if len(forecasts) > MOST_DRAWN:
        parts.append(element("p", f"The first {MOST_DRAWN} of {len(forecasts)} are drawn."))
    return joined(*parts, element("h3", "In figures"), _table(names, forecasts))


def _by_arrangement(inversion: Inversion) -> dict[str, dict[str, Forecast]]:
    """Return forecasts by the arrangement and the model, in their order."""
    found: dict[str, dict[str, Forecast]] = {}
    for fit in inversion.fits:
        for k, one in enumerate(fit.held_out):
            same = len(fit.held_out) == len(inversion.image_names)
            found.setdefault(inversion.image_names[k] if same else one.name, {})[fit.name] = one
    return found


def _outcomes(of_models: dict[str, Forecast]) -> Markup:
    """Return the p-value of each model."""
    said = (f"p = {_rough_p(one)} by {name}".replace("= <", "<").replace("= ≈", "≈") for name, one in of_models.items())
    return joined(f"{', '.join(said)}.")


def _rough_p(forecast: Forecast) -> str:
    """Return the p-value, marked where few simulations stand behind it."""
    return "≈ " * (forecast.effective_sample_size < FEW) + p_value(forecast.p_value)


def _table(names: list[str], forecasts: dict[str, dict[str, Forecast]]) -> Markup:
    """Return distance and p-value of every arrangement and model."""
    groups = [element("th", "", class_="blank")]
    groups += [element("th", name, class_="group", colspan="2", scope="colgroup") for name in names]
    rows = []
    for arrangement, of_models in forecasts.items():
        cells = [element("td", arrangement, class_="first-wrap")]
        for name in names:
            one = of_models.get(name)
            if one is None:
                cells += [element("td", "\N{EM DASH}")] * 2
                continue
            reject = " reject" if one.p_value < LEVEL else ""
            cells += [
                element("td", fixed(one.squared_distance, 4)),
                element("td", _rough_p(one), class_=f"calibrated{reject}"),
            ]
        rows.append(element("tr", *cells))
    text = (
        "S² is the squared statistical distance between predicted and observed clusters; p how often arrangements that "
        f"the model makes lie at least as far from its prediction. Values of p below {LEVEL:g} are red: the couplings "
        f"of the others do not carry over. ≈ where fewer than {FEW} effective simulations stand behind p."
    )
    head = ["arrangement", *["S²", "p"] * len(names)]
    return table(head, rows, caption=text, groups=element("tr", *groups))
