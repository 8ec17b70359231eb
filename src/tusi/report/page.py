"""The whole page: verdict, sections, how it was made; one file that needs nothing else."""

import os
from importlib.resources import files
from pathlib import Path

from tusi.data.storage import write_atomically
from tusi.report.images import image_section, intensity_section, lattice_section
from tusi.report.markup import Markup, element, joined
from tusi.report.mathematics import subscripted, typeset
from tusi.report.models import cluster_section, coupling_section, table_section
from tusi.report.numbers import whole, with_error
from tusi.report.references import citation
from tusi.report.summary import summary_rows
from tusi.study import Analysis

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def write_report(analysis: Analysis, path: str | os.PathLike) -> Path:
    """Write the report of an analysis as one HTML file, all or nothing.

    Parameters
    ----------
    analysis
        A finished analysis, fresh or loaded: the page is the same.
    path
        Where to; an existing file is replaced.

    Returns
    -------
    pathlib.Path
        `path`.

    Examples
    --------
    >>> from tusi.study import load
    >>> write_report(load("analysis.h5"), "analysis.html")  # doctest: +SKIP
    """
    return write_atomically(path, render_report(analysis).encode())


def render_report(analysis: Analysis) -> str:
    """Return the report of an analysis as one self-contained HTML page.

    The page loads nothing, runs no script, and reads on light and dark screens and on paper. Every string that comes
    from a file or a caller is escaped.

    Parameters
    ----------
    analysis
        A finished analysis.

    Returns
    -------
    str
        The page.

    Examples
    --------
    >>> from tusi.study import load
    >>> page = render_report(load("analysis.h5"))  # doctest: +SKIP
    """
    title = ", ".join(image.file.name for image in analysis.images)
    sections = _sections(analysis)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} · tusi"),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(files("tusi.report").joinpath("style.css").read_text("utf-8"))),
    )
    navigation = element(
        "nav",
        element("p", "tusi", class_="mark"),
        element("ol", *(element("li", element("a", text, href=f"#{key}")) for key, text, _ in sections)),
        aria_label="Sections",
    )
    main = element(
        "main",
        _header(analysis, title),
        *(
            element("section", element("h2", text, id=f"{key}-title"), body, id=key, aria_labelledby=f"{key}-title")
            for key, text, body in sections
        ),
        element("footer", "Made by tusi. The same result file always gives this same page."),
    )
    body = element("body", element("div", navigation, main, class_="page"))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _sections(analysis: Analysis) -> list[tuple[str, str, Markup]]:
    """Return key, title and content of every section that this result has."""
    sections = [("summary", "At a glance", _summary(analysis)), ("images", "Images", image_section(analysis))]
    if analysis.comparison is not None:
        sections += [
            ("couplings", "Couplings", coupling_section(analysis)),
            ("clusters", "Clusters", cluster_section(analysis)),
            ("table", "Which model explains the images", table_section(analysis)),
        ]
    if any(image.species is not None for image in analysis.images):
        sections.append(("intensities", "Intensities", intensity_section(analysis)))
    if any(image.lattice is not None for image in analysis.images):
        sections.append(("lattice", "Lattice", lattice_section(analysis)))
    sections += [
        ("warnings", "Warnings", _warnings(analysis)),
        ("made", "How it was made", _made(analysis)),
        ("cite", "What to cite", element("ol", *map(_item, citation(analysis)), class_="references")),
    ]
    return sections


def _header(analysis: Analysis, title: str) -> Markup:
    """Return the verdict in large type, and the few numbers that a seminar asks for."""
    first, *rest = map(typeset, analysis.verdict)
    figures: list[tuple[str, str, str]] = [
        ("images", str(sum(image.complete for image in analysis.images)), f"of {len(analysis.images)}")
    ]
    comparison = analysis.comparison
    if comparison is not None:
        figures.append(("clusters", whole(int(comparison.n_clusters.sum())), ""))
        figures.append(("free sites", whole(int(comparison.n_free_sites.sum())), ""))
        fit = next((fit for fit in comparison.fits if len(fit.parameters) == 1), None)
        if fit is not None:
            value = with_error(float(fit.value[0]), float(fit.standard_error[0]))
            figures.append((joined(subscripted(fit.parameters[0]), f" ({fit.model})"), value, "kT"))
    return element(
        "header",
        element("p", title, class_="eyebrow"),
        element("h1", first),
        *(element("p", sentence, class_="more") for sentence in rest),
        element(
            "dl",
            *(
                element("div", element("dt", name), element("dd", value, " ", element("small", unit)))
                for name, value, unit in figures
            ),
            class_="figures-of-merit",
        ),
    )


def _summary(analysis: Analysis) -> Markup:
    """Return the table of images."""
    titles, *rows = summary_rows(analysis)
    table = element(
        "table",
        element("thead", element("tr", *(element("th", title, scope="col") for title in titles))),
        element("tbody", *(element("tr", *map(_cell, enumerate(row))) for row in rows)),
    )
    note = (
        "Composition is that of the clusters' centres, with the interval that uncertain labels leave; precision is the "
        "median standard error of a column's position along one axis; jitter is the shift of scan lines, which a "
        "filtered image does not tell."
    )
    return joined(element("p", note, class_="lead"), element("div", table, class_="scroll"))


def _cell(numbered: tuple[int, str]) -> Markup:
    column, text = numbered
    return element("td", text, class_="first-wrap" if column == 0 else None)


def _warnings(analysis: Analysis) -> Markup:
    """Return every warning under the name of what it concerns."""
    items = [element("li", text) for text in analysis.warnings]
    for image in analysis.images:
        name = element("span", image.file.name, class_="name")
        if image.error:
            items.append(element("li", name, f"left out at the step “{image.failed_step}”: {image.error}"))
        items += [element("li", name, text) for text in image.warnings]
    if not items:
        return element("p", "None.")
    return element("ul", *items, class_="warnings")


def _made(analysis: Analysis) -> Markup:
    """Return versions, seed, options, input hashes and the command that repeats the result."""
    provenance, options = analysis.provenance, analysis.options
    facts = [
        ("command", element("code", provenance.command)),
        ("options", element("code", repr(options))),
        ("seed", str(options.seed)),
        ("versions", ", ".join(f"{name} {version}" for name, version in provenance.versions)),
        ("machine", provenance.platform),
    ]
    pairs = [piece for name, value in facts for piece in (element("dt", name), element("dd", value))]
    inputs = [
        element(
            "tr",
            element("td", image.file.path, class_="first-wrap"),
            element("td", whole(image.file.n_bytes)),
            element("td", element("code", image.file.sha256)),
        )
        for image in analysis.images
    ]
    noise = [
        element(
            "tr",
            element("td", image.file.name, class_="first-wrap"),
            element("td", f"{image.finding.noise.gain:.4g}"),
            element("td", f"{image.finding.noise.offset:.4g}"),
            element("td", f"{image.finding.noise.read_variance:.4g}"),
            element("td", f"{image.finding.noise.correlation_area:.3g}"),
            element("td", f"{image.finding.spot_width:.3g} px"),
            element("td", f"{image.finding.reduced_chi_square:.3g}"),
        )
        for image in analysis.images
        if image.finding is not None
    ]
    noise_head = ("image", "gain", "offset", "read variance", "correlation area", "spot width", "reduced χ²")
    return joined(
        element("dl", *pairs, class_="facts"),
        element("h3", "Inputs"),
        _plain_table(("file", "bytes", "SHA-256"), inputs),
        element("h3", "Noise and spot"),
        _plain_table(noise_head, noise),
    )


def _plain_table(head: tuple[str, ...], rows: list[Markup]) -> Markup:
    return element(
        "div",
        element(
            "table",
            element("thead", element("tr", *(element("th", title, scope="col") for title in head))),
            element("tbody", *rows),
        ),
        class_="scroll",
    )


def _item(text: str) -> Markup:
    return element("li", text)
