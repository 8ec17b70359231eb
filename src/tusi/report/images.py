"""The part of the page that shows the images: atoms, lattices, intensities."""

import numpy as np

from tusi.plot import (
    draw_atoms,
    draw_image,
    draw_lattice,
    draw_mixture,
    draw_vacancies,
    draw_vectors,
    new_figure,
    species_map,
)
from tusi.plot.palette import CLASSES
from tusi.report.figures import figure_svg, styled
from tusi.report.markup import Markup, element, joined
from tusi.report.numbers import fixed, whole
from tusi.report.summary import composition_of, precision_of
from tusi.study import Analysis, ImageAnalysis

_WIDTH = 4.7


def image_section(analysis: Analysis) -> Markup:
    """Return every image with its atoms coloured by species."""
    cards = [image_card(analysis, i, image) for i, image in enumerate(analysis.images)]
    return joined(
        element(
            "p",
            "Each disc is an atomic column. Its colour is the probability of its species, not a label: pale discs with "
            "a white rim are undecided (below 95 %), and stay undecided in everything that follows.",
            class_="lead",
        ),
        species_legend(analysis),
        element("div", *cards, class_="grid"),
    )


def species_legend(analysis: Analysis) -> Markup:
    """Explain the colours."""
    names = next((image.species.atoms.species for image in analysis.images if image.species is not None), ())
    if len(names) == 2:
        ramp = ", ".join(_hex(species_map()(t)) for t in np.linspace(0, 1, 9))
        colours = [
            element(
                "span",
                names[0],
                element("i", class_="ramp", style=f"background: linear-gradient(90deg, {ramp})"),
                names[1],
            )
        ]
    else:
        colours = [
            element("span", element("i", class_="dot", style=f"background: {CLASSES[k % len(CLASSES)]}"), name)
            for k, name in enumerate(names)
        ]
    marks = [
        element("span", element("i", class_="dot unsure"), "undecided"),
        element("span", element("i", class_="dot vacancy"), "vacancy"),
    ]
    return element("div", *colours, *marks, class_="legend")


def image_card(analysis: Analysis, number: int, image: ImageAnalysis) -> Markup:
    """Return one image as a figure, with a switch that hides the atoms."""
    name = element("span", image.file.name, class_="name")
    if image.grid is None:
        reason = image.error or "larger than 4096 x 4096 pixels: kept by hash and path"
        return element("figure", element("div", name, class_="bar"), element("p", f"Not shown: {reason}."))
    switch = element(
        "label",
        element("input", type="checkbox", class_="hide-atoms", checked=True, aria_label="show atoms"),
        " atoms",
    )
    return element(
        "figure",
        element("div", name, switch, class_="bar"),
        _image_svg(number, image),
        element("figcaption", _caption(analysis, image)),
    )


def _image_svg(number: int, image: ImageAnalysis) -> Markup:
    """Draw one image with its atoms and vacancies."""
    assert image.grid is not None
    n_y, n_x = image.grid.shape
    with styled():
        figure = new_figure(_WIDTH, _WIDTH * min(max(n_y / n_x, 0.3), 1.8), layout=None)
        axes = figure.add_axes((0, 0, 1, 1))
        draw_image(axes, image.grid)
        atoms = image.species.atoms if image.species is not None else image.finding.atoms if image.finding else None
        if atoms is not None and len(atoms):
            draw_atoms(axes, atoms, radius=disc_radius(image))
        if image.lattice is not None:
            empty = image.lattice.vacant
            draw_vacancies(axes, image.lattice.position[empty], radius=disc_radius(image))
    return figure_svg(figure, key=f"image-{number}", label=f"Image {image.file.name} with its atomic columns")


def disc_radius(image: ImageAnalysis) -> float:
    """Return a radius that keeps neighbouring discs apart and the spot visible around them."""
    width = image.finding.spot_width * image.pixel_size if image.finding is not None else np.nan
    if image.lattice is not None and len(image.lattice.vectors):
        return 0.24 * float(np.linalg.norm(image.lattice.vectors, axis=-1).min())
    return 1.2 * width if np.isfinite(width) else 3 * image.pixel_size


def _caption(analysis: Analysis, image: ImageAnalysis) -> str:
    """Say in one line what was found."""
    if image.error:
        return f"Left out at the step “{image.failed_step}”: {image.error}"
    composition, interval = composition_of(analysis, image)
    parts = [f"{composition} {interval}"]
    if image.finding is not None:
        parts.append(f"{whole(len(image.finding.atoms))} columns found, median precision {precision_of(image)}")
    if image.lattice is not None:
        parts.append(f"{whole(int(image.lattice.vacant.sum()))} vacancies")
    if image.region is not None:
        parts.append(f"region {image.region}")
    return "; ".join(parts) + "."


def lattice_section(analysis: Analysis) -> Markup:
    """Return every lattice: rows, columns, border, holes."""
    cards = []
    for i, image in enumerate(analysis.images):
        if image.lattice is None or not len(image.lattice):
            continue
        lattice = image.lattice
        low, high = lattice.position.min(axis=0), lattice.position.max(axis=0)
        ratio = float((high - low)[0] / max((high - low)[1], 1e-9))
        with styled():
            figure = new_figure(_WIDTH, _WIDTH * min(max(ratio, 0.3), 1.6), layout=None)
            axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
            draw_lattice(axes, lattice)
            draw_vectors(axes, lattice)
        unit = "Å" if image.length_unit == "angstrom" else "px"
        lengths = np.linalg.norm(lattice.vectors[0], axis=1)
        angle = _angle(lattice.vectors[0])
        facts = (
            f": a = {lengths[0]:.4g} {unit}, b = {lengths[1]:.4g} {unit}, angle {angle:.1f}°; {whole(len(lattice))} "
            f"sites, {whole(int(lattice.boundary.sum()))} on the border, {len(lattice.vectors)} "
            f"domain{'s' if len(lattice.vectors) != 1 else ''}, {len(lattice.basis)} per cell."
        )
        cards.append(
            element(
                "figure",
                figure_svg(figure, key=f"lattice-{i}", label=f"Lattice of {image.file.name}"),
                element("figcaption", element("b", image.file.name), facts),
            )
        )
    legend = element(
        "div",
        element("span", element("i", class_="dot full"), "site"),
        element("span", element("i", class_="dot open"), "site on the border"),
        element("span", element("i", class_="dot vacancy"), "vacancy"),
        class_="legend",
    )
    lead = (
        "Sites joined along rows and columns. The window is part of a larger crystal: sites on the border have "
        "neighbours that were not seen, so the models take them as given instead of explaining them."
    )
    return joined(element("p", lead, class_="lead"), legend, element("div", *cards, class_="grid"))


def intensity_section(analysis: Analysis) -> Markup:
    """Return every intensity mixture."""
    cards = []
    for i, image in enumerate(analysis.images):
        if image.species is None:
            continue
        with styled():
            figure = new_figure(_WIDTH, 2.5)
            draw_mixture(figure.add_subplot(), image.species)
        evidence = ", ".join(
            f"{k} {'class' if k == 1 else 'classes'}: {fixed(value, 1)}"
            for k, value in enumerate(image.species.log_evidence, start=1)
        )
        probability = image.species.atoms.species_probability
        known = np.isfinite(probability).all(axis=1)
        unsure = int((probability[known].max(axis=1) < 0.95).sum()) if known.any() and probability.shape[1] else 0
        caption = joined(
            element("b", image.file.name),
            f": {unsure} of {int(known.sum())} columns undecided. Log-evidence of {evidence}.",
        )
        cards.append(
            element(
                "figure",
                figure_svg(figure, key=f"mixture-{i}", label=f"Column intensities of {image.file.name}"),
                element("figcaption", caption),
            )
        )
    lead = (
        "Filled: column intensities after the slowly varying factor (thickness, contamination) is divided out. Dashed: "
        "before. Curves: the species, each with its own spread and the measurement error of a column. The scale is the "
        "square root of the count, so that rare species show."
    )
    return joined(element("p", lead, class_="lead"), element("div", *cards, class_="grid"))


def _angle(vectors: np.ndarray) -> float:
    """Return the angle between two vectors, in degrees."""
    a, b = vectors
    return float(np.degrees(np.arccos(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1, 1))))


def _hex(colour: tuple[float, ...]) -> str:
    """Return a colour as a hexadecimal code."""
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in colour[:3])
