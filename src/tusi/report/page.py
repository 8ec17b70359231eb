"""The whole page: verdict, sections, how it was made; one file that needs nothing else."""

import os
from pathlib import Path

from tusi.data.storage import write_atomically
from tusi.report.causes import causes_section
from tusi.report.defects import defect_section
from tusi.report.images import image_section, intensity_section, lattice_section
from tusi.report.layout import Section, fact_list, page, reference_list, table, verdict_header, warning_list
from tusi.report.markup import Markup, element, joined
from tusi.report.mathematics import subscripted, typeset
from tusi.report.models import cluster_section, coupling_section, table_section
from tusi.report.numbers import whole, with_error
from tusi.report.references import citation
from tusi.report.structure import mode_section, structure_section
from tusi.report.summary import summary_rows
from tusi.report.symmetry import symmetry_section
from tusi.study import Analysis
from tusi.study.structure import StructureAnalysis


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
    return page(title, _header(analysis, title), _sections(analysis))


def _sections(analysis: Analysis) -> list[Section]:
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
    if analysis.structure is not None and analysis.structure.images:
        sections += _structure_sections(analysis, analysis.structure)
    if analysis.causes is not None:
        sections.append(("causes", "Causes", causes_section(analysis.causes)))
    sections += [
        ("warnings", "Warnings", _warnings(analysis)),
        ("made", "How it was made", _made(analysis)),
        ("cite", "What to cite", reference_list(citation(analysis))),
    ]
    return sections


def _structure_sections(analysis: Analysis, structure: StructureAnalysis) -> list[Section]:
    """Return the sections on local structure that the result has."""
    sections = [("structure", "Local structure", structure_section(structure))]
    if any(image.symmetry is not None for image in structure.images):
        sections.append(("symmetry", "Symmetry", symmetry_section(structure)))
    if any(image.defects is not None for image in structure.images):
        sections.append(("defects", "Defects", defect_section(analysis)))
    return [*sections, ("modes", "Modes", mode_section(structure))]


def _header(analysis: Analysis, title: str) -> Markup:
    """Return the verdict in large type, and the few numbers that a seminar asks for."""
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
    return verdict_header(title, [*map(typeset, analysis.verdict)], figures)


def _summary(analysis: Analysis) -> Markup:
    """Return the table of images."""
    titles, *rows = summary_rows(analysis)
    note = (
        "Composition is that of the clusters' centres, with the interval that uncertain labels leave; precision is the "
        "median standard error of a column's position along one axis; jitter is the shift of scan lines, which a "
        "filtered image does not tell."
    )
    return joined(
        element("p", note, class_="lead"), table(titles, [element("tr", *map(_cell, enumerate(row))) for row in rows])
    )


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
    return warning_list(items)


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
        fact_list(facts),
        element("h3", "Inputs"),
        table(("file", "bytes", "SHA-256"), inputs),
        element("h3", "Noise and spot"),
        table(noise_head, noise),
    )
