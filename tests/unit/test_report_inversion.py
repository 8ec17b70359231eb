"""The page of an inversion: self-contained, deaf to hostile names, true to the numbers, and whole in odd cases."""

import dataclasses
import math
import re
from collections.abc import Iterable
from html.parser import HTMLParser

import numpy as np
import pytest

from tusi.data import storage
from tusi.generative.estimation.decision import DataToDecide, DecisionTarget
from tusi.generative.estimation.estimate import CouplingEstimate
from tusi.generative.estimation.examination import FitExamination, ScoreTest
from tusi.generative.estimation.information import ErrorAgainstSites, ExpectedError
from tusi.generative.estimation.landscape import DistanceLandscape
from tusi.generative.prediction.forecast import Forecast
from tusi.plot import draw_estimates, draw_expected_error, draw_forecast, draw_goodness, new_figure
from tusi.plot.inversion import model_colours
from tusi.report import coupling_rows, forecasts, inversion_citation, render_inversion_report, write_inversion_report
from tusi.report.inversion_sections import _criterion_table
from tusi.report.numbers import about, p_value, span, with_error
from tusi.study import Inversion, InversionOptions, Provenance
from tusi.study.files import CLASSES
from tusi.study.inversion import ModelFit

IMAGES = ("one", "two")
HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>'\"&"
VOID = {"meta", "input", "br", "hr", "col", "link"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and notices tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.handle_startendtag(tag, attrs)
        self.open += [tag] if tag not in VOID else []

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def estimate(model: str, parameters: Iterable[str], value: Iterable[float]) -> CouplingEstimate:
    names, values = tuple(parameters), np.array([*value])
    errors = 0.0213 + 0.011 * np.arange(len(names))
    return CouplingEstimate(
        model=model,
        equation="E/kT = w1 sum_NN d(unlike)",
        parameters=names,
        value=values,
        covariance=np.diag(errors**2),
        interval=values[:, None] + 1.96 * errors[:, None] * [-1, 1],
        monte_carlo_error=errors / 17,
        converged=True,
        n_rounds=3,
        effective_sample_size=312.4,
        r_hat=1.01,
        log_likelihood_gain=41.25,
        log_likelihood_gain_error=0.83,
        method="MaximumLikelihood()",
        notes=("a note of the fit",),
        n_sites=2888,
    )


def examination(model: str, p: float, images: tuple[str, ...] = IMAGES) -> FitExamination:
    return FitExamination(
        model=model,
        distance=np.linspace(0.0123, 0.0234, len(images)),
        distance_p=np.linspace(0.317, 0.619, len(images)),
        pooled_distance=0.0178,
        pooled_p=p,
        naive_p=0.0007,
        predicted=("unlike pairs of shell 10", "unlike pairs of shell 3"),
        predicted_p=np.array([0.041, 0.73]),
        n_replicas=499,
    )


def forecast(name: str) -> Forecast:
    return Forecast(
        name=name,
        labels=("A + 0 B", "A + 1 B", "B + 0 B"),
        expected=np.array([100.0, 30.0, 0.2]),
        band=np.array([[80.0, 120.0], [20.0, 41.0], [0.0, 2.0]]),
        observed=np.array([104.0, 26.0, 0.0]),
        squared_distance=0.00345,
        p_value=0.437,
        effective_sample_size=200.0,
        own=False,
    )


def expected(one: CouplingEstimate) -> ExpectedError:
    return ExpectedError(
        parameters=one.parameters,
        couplings=one.value,
        information=np.eye(len(one.parameters)) * 0.7,
        information_error=np.eye(len(one.parameters)) * 0.01,
        n_sites=np.array([100.0, 1000.0, 10000.0]),
        standard_error=np.sqrt(1 / 0.7 / np.array([100.0, 1000.0, 10000.0]))[:, None].repeat(len(one.parameters), 1),
    )


def arriving(one: CouplingEstimate) -> ErrorAgainstSites:
    limit = expected(one)
    n_sites = np.array([1444.0, 2888.0])
    smallest = np.stack([limit.at(n) for n in n_sites])
    return ErrorAgainstSites(parameters=one.parameters, n_sites=n_sites, obtained=1.3 * smallest, expected=smallest)


@pytest.fixture(scope="module")
def inversion() -> Inversion:
    first, second = estimate("P1", ("w1",), [0.6543]), estimate("P2", ("w1", "w2"), [0.5721, -0.0754])
    score = ScoreTest(smaller="P1", larger="P2", statistic=5.098, n_parameters=1, naive_p=0.0239, calibrated_p=0.026)
    held_out = tuple(map(forecast, IMAGES))
    decision = DataToDecide(
        smaller="P1", larger="P2", degrees=1, noncentrality=0.0016, noncentrality_error=3e-5,
        target=DecisionTarget(n_seen=3200), n_sites=4931.0,
    )  # fmt: skip
    return Inversion(
        fits=(
            ModelFit(
                name="random", equation="E/kT = 0", estimate=None, examination=examination("random", 0.002), tests=(),
                clic=912.4,
            ),
            ModelFit(
                name="P1", equation=first.equation, estimate=first, examination=examination("P1", 0.298),
                tests=(score,), clic=896.1, held_out=held_out,
            ),
            ModelFit(
                name="P2", equation=second.equation, estimate=second, examination=examination("P2", 0.508), tests=(),
                clic=897.3, held_out=held_out,
            ),
        ),
        decisions=(decision,),
        expected=(expected(first), expected(second)),
        arriving=(arriving(first), arriving(second)),
        image_names=IMAGES,
        species=("Mo", "Re"),
        crystal="square",
        n_sites=np.array([1600, 1601]),
        composition=np.array([[0.524, 0.476], [0.396, 0.604]]),
        verdict=("Not rejected: P2.", "P1: w1 = -0.652 +- 0.021 kT.", "P1: clusters p = 0.298.", str(decision)),
        warnings=("watch out",),
        options=InversionOptions(temperatures=(300.0, 450.0)),
        provenance=Provenance(
            command="tusi fit-hamiltonian one.npy two.npy --seed 0",
            versions=(("tusi", "0.1.0"),),
            platform="Linux",
            keys=(("input", "one", "ab" * 32), ("inversion", "all", "cd" * 32)),
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(inversion) -> str:
    return render_inversion_report(inversion)


def test_page_is_well_formed_and_needs_nothing_else(page):
    reader = Reader(page)
    identifiers = [value for key, value in reader.attributes if key == "id"]
    assert len(set(identifiers)) == len(identifiers)
    assert reader.tags.count("svg") == 2 + 2 + len(IMAGES)
    assert "script" not in reader.tags
    assert not [key for key, _ in reader.attributes if key.startswith("on")]
    for key, value in reader.attributes:
        if key in ("src", "href", "xlink:href"):
            assert value.startswith(("#", "data:")), value
    assert not re.search(r"@import|url\((?!#)", page)
    assert any(key == "content" and "default-src 'none'" in value for key, value in reader.attributes)


def test_every_number_is_the_results(page, inversion):
    text = Reader(page).text
    wanted = [
        inversion.provenance.command,
        "ab" * 32,
        "watch out",
        "a note of the fit",
        "450 K",
        "0.604",
        p_value(0.437),
    ]
    for fit in inversion.fits:
        found = fit.examination
        for number in (*found.distance, found.pooled_distance):
            wanted.append(f"{number:.4f}")
        wanted += [p_value(p) for p in (*found.distance_p, found.pooled_p, found.naive_p, *found.predicted_p)]
        for test in fit.tests:
            wanted += [f"{test.statistic:.2f}", p_value(test.naive_p), p_value(test.calibrated_p)]
        if fit.estimate is not None:
            one = fit.estimate
            wanted += map(with_error, one.value, one.standard_error)
            wanted += [span(low, high, 3) for low, high in one.interval]
            wanted += ["312", with_error(one.log_likelihood_gain, one.log_likelihood_gain_error), f"{one.r_hat:.2f}"]
        wanted += [p_value(one.p_value) for one in fit.held_out]
    for one in inversion.expected:
        wanted += [about(number) for number in one.sites_for(0.05)]
    assert [each for each in wanted if each not in text] == []
    assert "cd" * 32 not in text


def test_criterion_ranks_and_does_not_judge(page, inversion):
    text = Reader(page).text
    table = text.split("Which model ranks first?")[1].split("Each arrangement from the others")[0]
    assert "It ranks models and rejects none" in table
    best = min(fit.clic for fit in inversion.fits)
    for fit in inversion.fits:
        above = "best" if fit.clic == best else f"{fit.clic - best:.1f}"
        assert f"{fit.name}{fit_size(fit)}{fit.clic:.1f}{above}{p_value(fit.examination.pooled_p)}" in table
    assert any("Varin" in text for text in inversion_citation(inversion))


@pytest.mark.parametrize("clic", [float("nan"), 3120.5])
def test_criterion_of_one_model_is_not_shown(inversion, clic):
    one, other, *_ = inversion.fits
    fits = (dataclasses.replace(one, clic=float("nan")), dataclasses.replace(other, clic=clic))
    assert not _criterion_table(dataclasses.replace(inversion, fits=fits))


def fit_size(fit: ModelFit) -> int:
    return 0 if fit.estimate is None else len(fit.estimate.parameters)


def test_verdict_comes_first_and_each_model_has_its_paragraph(page):
    assert "<h1>Not rejected: P2.</h1>" in page
    paragraph = re.search(r"<b>P1</b>: (.*?)</p>", page)
    assert paragraph is not None
    assert "−0.652\u00a0±\u00a00.021\u00a0kT" in paragraph[1]
    assert "Clusters p" in paragraph[1]
    assert re.search(r"About 1,\d00 more sites \(about 4,\d00 in all\)", page)
    text = Reader(page).text
    assert text.index("shell 3") < text.index("shell 10")
    assert page.count("reject") > 3


def test_page_is_the_same_from_the_file(inversion, tmp_path):
    small = odd(inversion, "unbounded")
    storage.save(small, tmp_path / "fit.h5", classes=CLASSES)
    again = storage.load(tmp_path / "fit.h5", classes=CLASSES)
    assert write_inversion_report(again, tmp_path / "fit.html").read_text("utf-8") == render_inversion_report(small)


def test_hostile_names_are_shown_and_never_obeyed(inversion):
    name = HOSTILE + "$\\frac$"
    one = dataclasses.replace(
        estimate(name, (f"w_{name}", "w1"), [0.1, 0.2]), equation=name, notes=(name,), method=name
    )
    fits = (
        dataclasses.replace(
            inversion.fits[1],
            name=name,
            equation=name,
            estimate=one,
            examination=dataclasses.replace(inversion.fits[1].examination, predicted=(name, "字")),
            tests=(dataclasses.replace(inversion.fits[1].tests[0], larger=name),),
            held_out=tuple(dataclasses.replace(forecast(name), labels=(name, "字", "c")) for _ in IMAGES),
        ),
    )
    hostile = dataclasses.replace(
        inversion,
        fits=fits,
        decisions=(dataclasses.replace(inversion.decisions[0], larger=name),),
        expected=(expected(one),),
        arriving=(arriving(one),),
        image_names=(name + "1", name + "2"),
        species=(name, "Re"),
        crystal=name,
        verdict=(name, f"{name}: {name}"),
        warnings=(name,),
        provenance=dataclasses.replace(
            inversion.provenance, command=name, platform=name, versions=((name, name),), keys=(("input", name, name),)
        ),
    )
    reader = Reader(render_inversion_report(hostile))
    assert "script" not in reader.tags
    assert "img" not in reader.tags
    assert not [key for key, _ in reader.attributes if key.startswith("on")]
    assert reader.text.count(HOSTILE) > 20


def odd(inversion: Inversion, case: str) -> Inversion:
    fits = tuple(dataclasses.replace(fit, held_out=()) for fit in inversion.fits)
    first = fits[1].estimate
    assert first is not None
    if case == "random alone":
        return dataclasses.replace(
            inversion, fits=fits[:1], decisions=(), expected=(), arriving=(), verdict=("random holds.",)
        )
    if case == "unbounded":
        one = dataclasses.replace(
            first, covariance=np.array([[np.inf]]), interval=np.array([[-0.2, np.inf]]), r_hat=np.nan,
            monte_carlo_error=np.array([np.nan]), effective_sample_size=np.nan, log_likelihood_gain=np.nan,
            converged=False,
        )  # fmt: skip
    elif case == "not determined":
        one = dataclasses.replace(
            first, value=np.full(1, np.nan), covariance=np.full((1, 1), np.nan), interval=np.full((1, 2), np.nan)
        )
        return dataclasses.replace(
            inversion, fits=(dataclasses.replace(fits[1], estimate=one),), expected=(), arriving=()
        )
    elif case == "no information":
        blind = dataclasses.replace(
            inversion.expected[0], information=np.zeros((1, 1)), couplings=np.zeros(1),
            standard_error=np.full((3, 1), np.inf),
        )  # fmt: skip
        return dataclasses.replace(inversion, fits=fits[:2], expected=(blind,), arriving=())
    else:
        names = tuple(f"an arrangement with a long name, number {k}" for k in range(40))
        parameters = ("w_TeSe1", "w_Tevac1", "w_Sevac1", "w_TeSe2", "w_Tevac2", "h_vac")
        one = estimate("P2", parameters, np.linspace(-2, 2, 6))
        many = tuple(
            dataclasses.replace(
                fits[1], name=f"model {k}", estimate=one, tests=(), held_out=tuple(map(forecast, names)),
                examination=examination("P2", 1.0, names),
            )
            for k in range(4)
        )  # fmt: skip
        return dataclasses.replace(
            inversion, fits=many, image_names=names, species=("Te", "Se", "vac"), n_sites=np.full(40, 9),
            composition=np.full((40, 3), 1 / 3), expected=(expected(one),), arriving=(arriving(one),),
            options=InversionOptions(),
        )  # fmt: skip
    return dataclasses.replace(inversion, fits=(dataclasses.replace(fits[1], estimate=one),), expected=(), arriving=())


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("random alone", "Nothing to say with these models."),
        ("unbounded", "[−0.200, ∞]"),
        ("not determined", "not determined"),
        ("no information", "no information"),
        ("many", "The first 1 of 40 are drawn."),
    ],
)
def test_odd_results_have_a_page(inversion, case, text, monkeypatch):
    monkeypatch.setattr(forecasts, "MOST_DRAWN", 1)
    changed = odd(inversion, case)
    reader = Reader(render_inversion_report(changed))
    assert text in reader.text
    assert "nan" not in reader.text
    assert "inf" not in reader.text.replace("information", "").replace("infinite", "")
    assert len({len(row) for row in coupling_rows(changed)}) == 1


def test_a_landscape_is_drawn_where_there_is_one(inversion):
    grid = np.linspace(-1, 1, 5)
    landscape = DistanceLandscape(
        model="P1", parameters=("w1",), grid=(grid,), squared=grid**2 + 0.01, minimum=np.zeros(1), least=0.01,
        value=np.zeros(1), covariance=np.eye(1) / 9, n_clusters=100.0,
    )  # fmt: skip
    small = odd(inversion, "random alone")
    assert "Statistical distance" in Reader(render_inversion_report(small, landscapes=[landscape])).text


def points(axes) -> list[tuple[float, float]]:
    """Return every marker."""
    return [
        (float(x), float(y))
        for line in axes.lines
        if line.get_marker() not in ("None", "", None)
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def test_estimates_are_drawn_where_they_are(inversion):
    axes = draw_estimates(new_figure(4, 3).subplots(), inversion)
    assert np.allclose(points(axes), [(0.6543, 0), (0.5721, 1), (-0.0754, 2)])
    bars = [tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 1.4]
    assert any(bar == pytest.approx((0.6543 - 1.96 * 0.0213, 0.6543 + 1.96 * 0.0213)) for bar in bars)


def test_unbounded_ends_are_arrows_inside_the_axes(inversion):
    axes = draw_estimates(new_figure(4, 3).subplots(), odd(inversion, "unbounded"))
    (arrow,) = [line for line in axes.lines if line.get_marker() == ">"]
    assert axes.get_xlim()[0] < arrow.get_xdata()[0] < axes.get_xlim()[1]


def test_p_values_are_drawn_where_they_are_and_never_off_the_axis(inversion):
    axes = draw_goodness(new_figure(4, 3).subplots(), inversion)
    drawn = [x for x, _ in points(axes)]
    for fit in inversion.fits:
        assert min(abs(x - fit.examination.pooled_p) for x in drawn) < 1e-9
    assert min(drawn) > axes.get_xlim()[0]
    assert max(drawn) <= 1.0


def test_diamonds_lie_on_the_line_at_five_per_cent(inversion):
    limit = inversion.expected[1]
    axes = draw_expected_error(new_figure(4, 3).subplots(), limit, arriving=inversion.arriving[1])
    diamonds = [line for line in axes.lines if line.get_marker() == "D"]
    assert len(diamonds) == 2
    for k, line in enumerate(diamonds):
        (n_sites,), (error,) = line.get_xdata(), line.get_ydata()
        assert error == pytest.approx(0.05 * abs(limit.couplings[k]))
        assert limit.at(n_sites)[k] == pytest.approx(error)


def test_observed_counts_are_drawn_where_they_are():
    axes = draw_forecast(new_figure(4, 3).subplots(), {"P1": forecast("one"), "P2": forecast("one")})
    observed = axes.collections[-1].get_paths()
    assert [float(path.vertices[0, 1]) for path in observed] == [104.0, 26.0, 0.0]


def test_rough_p_values_of_forecasts_are_marked(page, inversion):
    assert "p = 0.44 by P1" in page
    assert "≈ 0.44" not in page
    few = tuple(dataclasses.replace(one, effective_sample_size=27.0) for one in inversion.fits[1].held_out)
    rough = dataclasses.replace(inversion, fits=(dataclasses.replace(inversion.fits[1], held_out=few),))
    section = Reader(forecasts.forecast_section(rough)).text
    assert "p ≈ 0.44 by P1" in section


def test_of_many_bins_the_most_frequent_are_drawn(inversion):
    counts = np.random.default_rng(2).permutation(100).astype(float)
    many = dataclasses.replace(
        forecast("one"), labels=tuple(f"bin {count:.0f}" for count in counts), observed=counts, expected=counts,
        band=np.column_stack([counts, counts]),
    )  # fmt: skip
    axes = draw_forecast(new_figure(4, 3).subplots(), {"P1": many})
    shown = [tick.get_text() for tick in axes.get_xticklabels()]
    assert shown == [f"bin {count:.0f}" for count in counts if count >= 68]
    observed = [float(path.vertices[0, 1]) for path in axes.collections[-1].get_paths()]
    assert observed == [count for count in counts if count >= 68]
    fits = (dataclasses.replace(inversion.fits[1], held_out=(many, many)),)
    section = Reader(forecasts.forecast_section(dataclasses.replace(inversion, fits=fits))).text
    assert "the 32 most frequent of 100 kinds are drawn" in section


def test_names_of_bins_tell_them_apart():
    labels = ("A + 3 B (1, 1, 1.73)", "A + 4 B (1, 1, 1, 1.73, 1.73, 2)", "A + 2 B (1, 1) #2", "A + 1 B", "odd (1, 1")
    one = dataclasses.replace(forecast("one"), labels=labels[:3])
    axes = draw_forecast(new_figure(4, 3).subplots(), {"P1": one})
    shown = [tick.get_text() for tick in axes.get_xticklabels()]
    assert shown == ["A + 3 B (1×2, 1.73)", "A + 4 B (1×3, 1.73×2, 2)", "A + 2 B (1×2) #2"]
    other = draw_forecast(new_figure(4, 3).subplots(), {"P1": dataclasses.replace(one, labels=("e", *labels[3:]))})
    assert [tick.get_text() for tick in other.get_xticklabels()] == ["e", *labels[3:]]


def test_models_without_a_colour_get_different_ones():
    colours = model_colours(["random", "P1", "P3", "ising", "ising2", "potts"])
    assert len(set(colours.values())) == 6
    assert colours["P1"] == model_colours(["P1"])["P1"]


def test_citations_follow_the_method(inversion):
    by_likelihood = inversion_citation(inversion)
    by_distance = inversion_citation(dataclasses.replace(inversion, options=InversionOptions(method="distance")))
    assert any("Geyer" in text for text in set(by_likelihood) - set(by_distance))
    assert any("Beran" in text for text in by_distance)
    assert not any("Besag" in text for text in inversion_citation(odd(inversion, "random alone")))


def test_large_numbers_in_words():
    assert [about(n) for n in (1, 999.6, 9.996e6, 3e13, math.nan)] == [
        "1", "1\u202f000", "10.00 million", "more than 10¹²", "—",
    ]  # fmt: skip
