"""The part of the page that shows local structure: maps of each image, and modes that all images share."""

import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tusi.plot import new_figure
from tusi.plot.modes import draw_mode, draw_mode_map, draw_mode_split
from tusi.plot.neighbourhoods import draw_mean_neighbourhood, draw_neighbourhood_classes
from tusi.plot.order import draw_dimerisation, draw_scalar
from tusi.report.defects import NOTE, counted
from tusi.report.figures import figure_svg, styled
from tusi.report.layout import table, warning_list
from tusi.report.markup import Markup, element, joined
from tusi.report.mathematics import typeset
from tusi.report.numbers import digits_for, fixed, p_value, whole, with_error
from tusi.structure.modes import NormalModes
from tusi.study.structure import ImageStructure, StructureAnalysis

MOST_IMAGES, MOST_MODES, MOST_CLASSES = 12, 4, 6
"""Images, modes and classes of neighbourhoods that are drawn; the tables have them all."""

WIDE = 2.2
"""Width over height from which on the maps of an image stand one below the other."""

_DASH = "\N{EM DASH}"
_SIDE, _ROW = 3.1, 9.6
_TITLE = 0.14
"""Height in inches that is kept free for titles of frames without axes, which the layout does not see."""


def structure_section(structure: StructureAnalysis) -> Markup:
    """Return maps of every image, a table of them, and the notes."""
    lead = (
        "What surrounds each site. Chains are displacements of period two: bars lie along them where chance would "
        "make as much in less than one site in a hundred. Strain is relative to the image's mean, and one frame cannot "
        "tell it from drift of the scan. Classes are kinds of neighbourhoods, their number chosen by the evidence."
    )
    cards = [_card(i, image) for i, image in enumerate(structure.images[:MOST_IMAGES])]
    apart = NOTE if any(one.defects is not None for one in structure.images) else "\0"
    notes = [
        *(
            element("li", element("span", one.name, class_="name"), text)
            for one in structure.images
            for text in one.notes
            if not text.startswith(apart)
        ),
        *(element("li", text) for text in structure.notes),
    ]
    parts = [
        element("p", typeset(lead), class_="lead"),
        element("div", *cards, class_="stack"),
        element("h3", "In figures"),
        _table(structure),
    ]
    if notes:
        parts += [element("h3", "Notes"), warning_list(notes)]
    return joined(*parts)


def mode_section(structure: StructureAnalysis) -> Markup:
    """Return shapes, splits and maps of the modes that all images share."""
    modes = structure.modes
    if modes is None or not len(modes):
        return element("p", "Too few complete neighbourhoods to look for modes.")
    beyond = (
        "atoms that are displaced each by itself, by "
        + f"{modes.disorder:.2g} {_unit(modes.length_unit)} along each axis"
        if modes.disorder
        else "the errors of the positions"
    )
    lead = (
        f"Patterns in which the neighbours of a site move together, over {whole(len(modes))} complete neighbourhoods "
        f"of all images, each centred by itself. p is the chance that {beyond} make as strong a pattern; the simulated "
        "neighbourhoods share atoms as the real ones do."
    )
    parts = [element("p", typeset(lead), class_="lead"), _shapes(modes, "mode")]
    if structure.split is not None:
        parts += [
            element("h3", f"Scores by the number of {structure.split.species} neighbours"),
            element(
                "p",
                "Dots are means with standard errors, bands one standard deviation of the scores to either side, "
                "numbers how many neighbourhoods. p is for species that are unrelated to the displacements: dealt "
                "out anew within each image.",
            ),
            _splits(structure),
        ]
    parts += [element("h3", "Where"), _maps(structure, modes)]
    if structure.composition is not None and len(structure.composition):
        parts += [
            element("h3", "Modes of composition"),
            element(
                "p",
                "Patterns of species around a site that are more frequent than in a random alloy: red neighbours are "
                "more often the later species where blue ones are less.",
            ),
            _shapes(structure.composition, "composition"),
        ]
    return joined(*parts)


def _card(number: int, image: ImageStructure) -> Markup:
    """Return the maps of one image side by side, and the mean neighbourhoods of its classes."""
    strained = image.table("strain_xy")
    panels = [
        name for name, there in (("chains", image.dimerised), ("strain", strained), ("classes", image.classes)) if there
    ]
    if not panels:
        return element("figure", element("p", f"{image.name}: nothing could be measured."))
    with styled():
        figure, frames = _frames(image, len(panels))
        for axes, panel in zip(frames, panels, strict=True):
            if panel == "chains" and image.dimerised is not None:
                draw_dimerisation(axes, image.dimerised)
                axes.set_title("chains", fontsize=8.5)
            elif panel == "strain" and strained is not None:
                draw_scalar(axes, strained, name="strain_xy")
                axes.set_title("shear strain", fontsize=8.5)
            elif image.classes is not None:
                spacing = np.linalg.norm(image.lattice.vectors[0], axis=1).min()
                draw_neighbourhood_classes(axes, image.classes, radius=0.4 * float(spacing))
                _fit(axes, image.classes.position)
                axes.set_title("kinds of neighbourhoods", fontsize=8.5)
    svg = figure_svg(figure, key=f"structure-{number}", label=f"Chains, strain and classes of {image.name}")
    parts = [svg, element("figcaption", element("b", image.name), _caption(image))]
    if image.classes is not None and image.classes.n_classes > 1:
        parts.insert(1, _class_shapes(number, image))
    return element("figure", *parts, class_="wide")


def _frames(image: ImageStructure, number: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many frames, side by side, or one below the other for a wide image."""
    height, width = np.ptp(image.lattice.position, axis=0)
    if width > WIDE * height:
        figure = new_figure(_ROW, number * (0.5 + 0.8 * _ROW * float(height / width)))
        return figure, list(figure.subplots(number, 1, squeeze=False)[:, 0])
    figure = new_figure(_SIDE * number + 0.6, _SIDE)
    return figure, list(figure.subplots(1, number, squeeze=False)[0])


def _class_shapes(number: int, image: ImageStructure) -> Markup:
    """Draw the mean neighbourhood of each class."""
    classes = image.classes
    assert classes is not None
    shown = min(classes.n_classes, MOST_CLASSES)
    with styled():
        figure = new_figure(1.7 * shown, 1.9)
        for k, axes in enumerate(figure.subplots(1, shown, squeeze=False)[0]):
            draw_mean_neighbourhood(axes, classes, k)
            axes.set_title(f"{100 * classes.fraction[k]:.0f} %", fontsize=8.5)
    return figure_svg(figure, key=f"classes-{number}", label=f"Mean neighbourhoods of the classes of {image.name}")


def _fit(axes: Axes, position: Float[np.ndarray, "centre 2"]) -> None:
    """Frame all positions, y downward, without anything else."""
    low, high = np.nanmin(position, axis=0), np.nanmax(position, axis=0)
    margin = 0.03 * (high - low).max()
    axes.set_aspect("equal")
    axes.set_xlim(low[1] - margin, high[1] + margin)
    axes.set_ylim(high[0] + margin, low[0] - margin)
    axes.set_axis_off()


def _caption(image: ImageStructure) -> str:
    """Say in one line what was found."""
    parts = []
    if image.defects is not None:
        count = image.defects.count()
        parts.append(", ".join(counted(number, kind) for kind, number in count.items()) or "no defects")
    return f": {image.verdict.partition(': ')[2]}" + (f"; {'; '.join(parts)}." if parts else ".")


def _table(structure: StructureAnalysis) -> Markup:
    """Return cell, strain, dimerisation and order of each image."""
    head = ["image", "a", "b", "angle", "strain, rms", "dimerised", "amplitude", "kinds", "α₁", "p"]
    return table(head, [element("tr", *(element("td", cell) for cell in _row(one))) for one in structure.images])


def _row(image: ImageStructure) -> list[str]:
    """Return the cells of one image."""
    cells, strained = image.table("gamma"), image.table("strain_xy")
    cell = [_DASH] * 3
    if cells is not None:
        cell = [_mean(cells.column(name), f" {_unit(cells.length_unit)}") for name in ("a", "b")]
        cell.append(_mean(np.degrees(cells.column("gamma")), "°"))
    rms = _DASH
    if strained is not None:
        rms = f"{100 * float(np.sqrt(np.nanmean(strained.column('strain_xy') ** 2))):.2g} %"
    dimerised = [_DASH, _DASH]
    if image.dimerised is not None:
        sure = image.dimerised.p_value < 0.01
        dimerised = [f"{100 * image.dimerised.share:.0f} %", _DASH]
        if sure.any():
            dimerised[1] = f"{float(np.median(image.dimerised.amplitude[sure])):#.2g} {_unit(image.atoms.length_unit)}"
    order = [_DASH, _DASH]
    if image.short_range is not None and np.isfinite(image.short_range.parameter[0, 0, -1]):
        error = float(image.short_range.standard_error[0, 0, -1])
        order = [
            with_error(float(image.short_range.parameter[0, 0, -1]), error),
            p_value(image.short_range.joint_p_value),
        ]
    kinds = str(image.classes.n_classes) if image.classes is not None else _DASH
    return [image.name, *cell, rms, *dimerised, kinds, *order]


def _mean(values: np.ndarray, unit: str = "") -> str:
    """Return mean and its standard error."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return _DASH
    error = float(known.std(ddof=1) / np.sqrt(len(known)))
    return f"{fixed(float(known.mean()), digits_for(error)) if error > 0 else f'{known.mean():.4g}'}{unit}"


def _shapes(modes: NormalModes, key: str) -> Markup:
    """Draw the shape of the first modes."""

    def draw(axes: Axes, *, number: int) -> None:
        draw_mode(axes, modes, number=number)
        axes.set_title(axes.get_title().replace(": ", "\n"), fontsize=8.5)

    return _row_of(
        (f"{key}-shapes", "Shapes of the modes"),
        [functools.partial(draw, number=k) for k in range(len(modes.p_value))],
        height=2.6,
    )


def _splits(structure: StructureAnalysis) -> Markup:
    """Draw scores over the number of neighbours for the first modes."""
    split = structure.split
    assert split is not None
    return _row_of(
        ("splits", "Scores of the modes by the number of neighbours of a species"),
        [functools.partial(draw_mode_split, split=split, number=k) for k in range(split.mean.shape[1])],
        height=2.6,
    )


def _maps(structure: StructureAnalysis, modes: NormalModes) -> Markup:
    """Draw the scores of the first mode on each image."""
    names = [one.name for one in structure.images if one.neighbourhoods is not None]

    def draw(axes: Axes, *, image: int) -> None:
        draw_mode_map(axes, modes, number=0, image=image)
        axes.set_title(f"mode 1, {names[image]}", fontsize=8.5)

    return _row_of(
        ("mode-maps", "Scores of the first mode on the images"),
        [functools.partial(draw, image=k) for k in np.unique(modes.image).tolist() if k < len(names)],
        height=2.5,
        columns=1 if len(names) == 1 else MOST_MODES,
    )


def _row_of(
    named: tuple[str, str],
    drawings: Sequence[Callable[[Axes], object]],
    *,
    height: float,
    columns: int = MOST_MODES,
) -> Markup:
    """Draw the first few side by side, always in as many columns; `named` are the figure's key and its label."""
    key, label = named
    with styled():
        figure = new_figure(_ROW, height)
        figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - _TITLE / height))
        for axes, draw in itertools.zip_longest(figure.subplots(1, columns, squeeze=False)[0], drawings[:columns]):
            if draw is None:
                axes.set_axis_off()
            else:
                draw(axes)
    return element("div", element("figure", figure_svg(figure, key=key, label=label), class_="wide"), class_="stack")


def _unit(length_unit: str) -> str:
    return "Å" if length_unit == "angstrom" else "px"
