"""Phase diagrams: curves with credible bands, maps over field or composition, and where the transition is."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tusi.generative.prediction.diagram import PhaseDiagram
from tusi.generative.prediction.transition import Transition
from tusi.plot.canvas import tidy
from tusi.plot.inversion import literal, plain
from tusi.plot.palette import INK, SOFT

SIZES = ("#9fc3e6", "#5d9bd3", "#1f5f9e", "#0f3358")
"""Colours of crystals from the smallest to the largest."""

TRANSITION = "#c2452d"
"""Colour of the transition temperature."""

SHOWN = ("energy", "specific heat", "order", "susceptibility", "Binder cumulant", "short-range order 1")
"""Observables of the whole picture."""

UNITS = {
    "energy": r"energy per site (k$_\mathrm{B}$T$_\mathrm{ref}$)",
    "specific heat": r"specific heat per site (k$_\mathrm{B}$)",
}
"""Labels of observables with their units."""


def draw_observable(
    axes: Axes, diagram: PhaseDiagram, *, observable: str, level: int = 0, transition: Transition | None = None
) -> Axes:
    """Draw an observable over temperature: a line and a 95 % band for each size, and the transition.

    Parameters
    ----------
    axes
        Where to draw.
    diagram
        The phase diagram.
    observable
        Its name.
    level
        Number of the field or composition.
    transition
        Marked where it is resolved.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    column = diagram.column(observable)
    if transition is not None and transition.resolved:
        axes.axvspan(*transition.interval, color=TRANSITION, alpha=0.13, linewidth=0)
        axes.axvline(transition.value, color=TRANSITION, linewidth=0.9)
    for k, (size, colour) in enumerate(zip(diagram.sizes, size_colours(diagram), strict=True)):
        low, high = diagram.band[k, :, level, column].T
        axes.fill_between(diagram.temperature, low, high, color=colour, alpha=0.22, linewidth=0)
        axes.plot(diagram.temperature, diagram.value[k, :, level, column], color=colour, linewidth=1.4, label=str(size))
    axes.set_xlim(diagram.temperature[0], diagram.temperature[-1])
    axes.set_xlabel(_temperature_label(diagram))
    axes.set_ylabel(UNITS.get(observable) or plain(observable))
    return tidy(axes, grid="y")


def draw_map(axes: Axes, diagram: PhaseDiagram, *, observable: str, transitions: Sequence[Transition] = ()) -> Axes:
    """Draw an observable of the largest crystal over temperature and field or composition, with the transitions.

    Parameters
    ----------
    axes
        Where to draw.
    diagram
        A phase diagram with at least two levels.
    observable
        Its name.
    transitions
        One per level; those that are resolved are marked with their 95 % band.

    Returns
    -------
    matplotlib.axes.Axes
        `axes`.
    """
    shown = diagram.value[-1, :, :, diagram.column(observable)]
    mesh = axes.pcolormesh(
        diagram.level, diagram.temperature, shown, cmap="cividis", shading="nearest", rasterized=True
    )
    bar = axes.figure.colorbar(mesh, ax=axes, shrink=0.85, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(color=SOFT, labelcolor=INK, width=0.6, length=3)
    found = [one for one in transitions if one.resolved]
    if found:
        middle = np.array([one.value for one in found])
        ends = np.array([one.interval for one in found])
        spread = np.stack([middle - ends[:, 0], ends[:, 1] - middle])
        axes.errorbar(
            [one.level for one in found], middle, yerr=spread, fmt="o-", color=TRANSITION,
            markersize=5, linewidth=1.1, elinewidth=1.6, markeredgecolor="#fffffe", markeredgewidth=0.8,
        )  # fmt: skip
    axes.set_xlabel("field, units of kT" if diagram.axis == "field" else plain(level_name(diagram)))
    axes.set_ylabel(_temperature_label(diagram))
    axes.set_title(UNITS.get(observable) or plain(observable), fontsize=8.5)
    return tidy(axes)


def draw_phase_diagram(figure: Figure, diagram: PhaseDiagram, *, transitions: Sequence[Transition]) -> Figure:
    """Draw a phase diagram on an empty figure: curves for one level, maps for several; say where the transition is.

    Parameters
    ----------
    figure
        An empty figure, best 9 x 5 inches.
    diagram
        The phase diagram.
    transitions
        One per level.

    Returns
    -------
    matplotlib.figure.Figure
        `figure`.
    """
    panels = np.asarray(figure.subplots(2, 3)).ravel()
    names = [name for name in SHOWN if name in diagram.observables]
    several = len(diagram.level) > 1
    for axes, name in zip(panels, names, strict=False):
        if several:
            draw_map(axes, diagram, observable=name, transitions=transitions)
        else:
            draw_observable(axes, diagram, observable=name, transition=transitions[0] if transitions else None)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    if not several:
        panels[0].legend(title="cells", frameon=False, fontsize=7.5, title_fontsize=7.5)
    heading = f"{diagram.equation}, {diagram.crystal} lattice\n{_verdict(diagram, transitions)}"
    figure.suptitle(literal(heading), fontsize=9.5, color=INK)
    return figure


def _verdict(diagram: PhaseDiagram, transitions: Sequence[Transition]) -> str:
    """Return the result in words."""
    if len(diagram.level) == 1:
        return str(transitions[0]) if transitions else ""
    n_found = sum(one.resolved for one in transitions)
    if not n_found:
        return "no transition resolved"
    return f"transitions at {n_found} of {len(diagram.level)} values of the {level_name(diagram)}, bars 95 %"


def size_colours(diagram: PhaseDiagram) -> list[str]:
    """Return a colour for each size; the largest is the darkest."""
    first = max(len(SIZES) - len(diagram.sizes), 0)
    return [SIZES[min(k + first, len(SIZES) - 1)] for k in range(len(diagram.sizes))]


def level_name(diagram: PhaseDiagram) -> str:
    """Return what the levels are."""
    species = [name.removeprefix("composition ") for name in diagram.observables if name.startswith("composition ")]
    return f"fraction of {species[0]}" if diagram.axis == "composition" and species else diagram.axis


def _temperature_label(diagram: PhaseDiagram) -> str:
    return "temperature (K)" if diagram.temperature_unit == "K" else "temperature / reference"
