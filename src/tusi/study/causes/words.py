"""Plain words on causes: what the data say, what they leave open, and how many images would close it."""

import itertools
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from tusi.causal.structural import RankedExperiment, Refutation
    from tusi.study.causes import CausalAnalysis
    from tusi.study.causes.between_images import BetweenImages

THRESHOLD = 0.5
"""Probability of a connection from which on it is named."""

SURE = 0.95
"""Probability from which on a connection is called sure."""

MANY = 200
"""Images above which their number is not named."""

PROBABLE = 0.8
"""Probability from which on a relation between images is called probable."""

LEAST_BITS = 0.3
"""Entropy of what is left open below which no next step is named."""

_WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten"}


def verdict_of(found: "CausalAnalysis") -> tuple[str, ...]:
    """Return what can be told and what cannot, in sentences, most important first.

    Parameters
    ----------
    found
        What was found.
    """
    return (
        *_connections(found),
        *_hidden(found),
        *_shapes(found),
        *_refuted(found),
        *_neighbours(found),
        *(_between(one, found.table.n_images) for one in found.between),
        *_levels(found),
        *_images(found),
        *_next(found),
    )


def plain(name: str) -> str:
    """Return a variable's name as it is read.

    Parameters
    ----------
    name
        Of the variable.

    Examples
    --------
    >>> plain("cell_area")
    'cell area'
    """
    return name.replace("_", " ")


def visible_correlation(n_effective: float) -> float:
    """Return the correlation that is seen at 5 % four times in five.

    Parameters
    ----------
    n_effective
        Independent samples.

    Examples
    --------
    >>> round(visible_correlation(100.0), 2)
    0.28
    """
    return float(np.tanh((1.96 + 0.84) / np.sqrt(max(n_effective - 3, 1.0))))


def number(value: int) -> str:
    """Return a small number in words.

    Parameters
    ----------
    value
        The number.

    Examples
    --------
    >>> number(4), number(40)
    ('four', '40')
    """
    return _WORDS.get(value, str(value))


def _connections(found: "CausalAnalysis") -> list[str]:
    """Say what is connected within images."""
    inside = found.hidden.names
    edges = found.graph.among(inside).edges(THRESHOLD)
    seen = visible_correlation(found.n_effective)
    worth = (
        f"{len(found.table)} rows worth {found.n_effective:.0f} independent ones, in which a direct relation of "
        f"{seen:.2f} standard deviations for one would be seen four times in five"
    )
    pairs = len(inside) * (len(inside) - 1) // 2
    if not edges:
        return [f"None of {pairs} pairs of variables is connected more likely than not: {worth}."]
    directed = [edge for edge in edges if edge.relation == "acts on"]
    out: dict[bool, list[str]] = {True: [], False: []}
    for edge in directed:
        size = ""
        if np.isfinite(edge.strength):
            size = f"{_fixed(edge.strength)} ± {edge.strength_error:.2f} standard deviations for one, "
        out[edge.probability >= SURE].append(
            f"{plain(edge.cause)} acts on {plain(edge.effect)} ({size}P = {edge.probability:.2f})"
        )
    said = [f"Unless a common cause is hidden, {'; '.join(out[True])}."] if out[True] else []
    said += [f"{'Less surely' if said else 'Perhaps'}, {'; '.join(out[False])}."] if out[False] else []
    loose = [edge for edge in edges if edge.relation == "undecided"]
    if loose:
        pair = "; ".join(f"{plain(one.cause)} and {plain(one.effect)} (P = {one.connected:.2f})" for one in loose)
        said.append(f"Connected, but which acts on which cannot be told: {pair}.")
    common = [edge for edge in edges if edge.relation == "hidden common cause"]
    if common:
        pair = "; ".join(f"{plain(one.cause)} and {plain(one.effect)} (P = {one.probability:.2f})" for one in common)
        said.append(f"Related through something that is not in the table: {pair}.")
    rest = pairs - len(edges)
    if rest:
        said.append(f"The other {rest} of {pairs} pairs are rather not connected directly: {worth}.")
    return said


def _hidden(found: "CausalAnalysis") -> list[str]:
    """Say where a hidden common cause would explain an arrow as well."""
    names = found.hidden.names
    doubtful = []
    for i, j in itertools.permutations(range(len(names)), 2):
        likely = found.graph.probability(names[i], names[j]) >= THRESHOLD
        if likely and found.hidden.confounded[i, j]:
            share = found.stability.hidden.confounded[i, j] if found.stability is not None else None
            again = f" (in {100 * share:.0f} % of resampled images)" if share is not None else ""
            doubtful.append(f"{plain(names[i])} and {plain(names[j])}{again}")
    if not doubtful:
        return []
    return [
        f"FCI, which allows for hidden common causes, finds one behind {'; behind '.join(doubtful)} instead of an "
        f"action of one on the other (level {found.options.level:g})."
    ]


def _shapes(found: "CausalAnalysis") -> list[str]:
    """Say where the shapes of distributions give a direction that independences leave open, or the other one."""
    if found.shapes is None:
        return []
    told = {frozenset((edge.cause, edge.effect)): edge for edge in found.shapes.edges() if edge.relation == "acts on"}
    turned, given = [], []
    for edge in found.graph.among(found.shapes.names).edges(THRESHOLD):
        shape = told.get(frozenset((edge.cause, edge.effect)))
        if shape is None:
            continue
        action = f"{plain(shape.cause)} acts on {plain(shape.effect)}"
        if found.stability is not None:
            share = found.stability.shapes.probability(shape.cause, shape.effect)
            action += f" (in {100 * share:.0f} % of resampled images)"
        if edge.relation == "undecided":
            given.append(action)
        elif edge.relation == "acts on" and edge.cause != shape.cause:
            turned.append(action)
    said = []
    if given:
        said.append(f"From the shape of the distributions alone, {'; '.join(given)} (DirectLiNGAM).")
    if turned:
        said.append(f"The shape of the distributions contradicts the graph: by it, {'; '.join(turned)} (DirectLiNGAM).")
    return said


def _refuted(found: "CausalAnalysis") -> list[str]:
    """Name arrows that do not stand up, and equations that do not hold."""
    if found.model is None:
        return []
    fallen = [one for one in found.model.refutations if not one.survived]
    stood = len(found.model.refutations) - len(fallen)
    said = []
    if fallen:
        named = "; ".join(f"{plain(one.cause)} on {plain(one.effect)} ({reason(one)})" for one in fallen)
        said.append(f"Attempts to refute succeed for {named}.")
    if stood and not fallen:
        said.append("Every arrow withstands shifted images, random common causes and the test of halves of the images.")
    bent = [one for one in found.model.diagnoses if one.p_value < found.options.level]
    if bent:
        named = "; ".join(f"{plain(one.effect)} on {plain(one.cause)} (p = {one.p_value:.2g})" for one in bent)
        said.append(
            f"What the equations leave still depends on a cause, {named}: the relation is not linear, or a cause is "
            "missing."
        )
    return said


def _neighbours(found: "CausalAnalysis") -> list[str]:
    """Name causes that act of neighbouring sites."""
    where = {"neighbours": "neighbouring sites rather than from its own", "both": "its own site and neighbouring ones"}
    said = [
        f"{plain(one.cause)} acts on {plain(one.effect)} from {where[one.origin]}."
        for one in found.neighbours
        if one.origin in where
    ]
    return [f"{sentence[0].upper()}{sentence[1:]}" for sentence in said]


def reason(refuted: "Refutation") -> str:
    """Return why an arrow did not stand up, in a few words.

    Parameters
    ----------
    refuted
        What became of it.
    """
    return str(refuted).partition(" is refuted: ")[2]


def _next(found: "CausalAnalysis") -> list[str]:
    """Say what would tell most about what is left open."""
    if found.outlook is None:
        return []
    more = next((one for one in found.outlook.ranked if not one.experiment.sets), None)
    best = found.outlook.ranked[0]
    if more is None or best.unknown < LEAST_BITS:
        return []
    opened, again = "Of what is open about the graph", "as many images of the same kind again"
    if not best.experiment.sets or best.gain - more.gain <= 3 * np.hypot(best.gain_error, more.gain_error):
        return [f"{opened}, {again} would settle about {_share(more)}, setting one variable from outside no more."]
    first, second = map(plain, best.pair)
    return [
        f"{opened}, setting {plain(best.experiment.sets)} from outside would settle about {_share(best)}, above all on "
        f"{first} and {second}; {again}, {_share(more)}."
    ]


def _share(one: "RankedExperiment") -> str:
    """Return the share of what is open that an experiment is expected to settle."""
    return f"{100 * one.gain / one.unknown:.0f} %"


def _between(one: "BetweenImages", n_images: int) -> str:
    """Say what the images' means tell."""
    cause, effect, slope = plain(one.slope.cause), plain(one.slope.effect), one.slope
    if not slope.known:
        return f"Whether {cause} acts on {effect} cannot be told from {number(n_images)} images."
    low, high = slope.interval()
    size = f"slope {_signed(slope.estimate)} for one unit, 95 % interval {_signed(low)} to {_signed(high)}"
    beyond = " and ".join(["what acts within images", *(plain(name) for name in one.given)])
    where = f"from image to image, beyond {beyond}"
    if one.probability >= PROBABLE:
        way = "rises" if slope.estimate > 0 else "falls"
        said = f"{effect} {way if one.probability >= SURE else f'probably {way}'} with {cause} {where}: {size}"
        left = "" if one.probability >= SURE else f"; {number(n_images)} images do not settle it"
        return f"{said[0].upper()}{said[1:]} (P = {one.probability:.2f}){left}.{_entangled(one, n_images)}"
    least = (
        f" If it is as strong as it looks, about {one.n_needed:.0f} images would show it."
        if n_images < one.n_needed < MANY
        else ""
    )
    return (
        f"Whether {effect} changes with {cause} {where}, {number(n_images)} images cannot decide: {size} "
        f"(P = {one.probability:.2f}).{least}{_entangled(one, n_images)}"
    )


def _entangled(one: "BetweenImages", n_images: int) -> str:
    """Say from which other differences between images this one could not be told."""
    if not one.entangled:
        return ""
    others = " and ".join(plain(name) for name in one.entangled)
    return f" {number(n_images).capitalize()} images do not tell it from {others}."


def _fixed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _signed(value: float) -> str:
    return f"{value:.2g}".replace("-", "\N{MINUS SIGN}", 1) if value < 0 else f"{value:.2g}"


def _levels(found: "CausalAnalysis") -> list[str]:
    """Name the slopes that turn round between images."""
    turned = [one for one in found.levels if one.verdict == "reversal"]
    differ = [one for one in found.levels if one.verdict == "different"]
    said = []
    for what, checks in (
        ("Simpson: the slope turns round between images for", turned),
        ("Slopes within and between images differ for", differ),
    ):
        if checks:
            pairs = "; ".join(f"{plain(one.within.effect)} against {plain(one.within.cause)}" for one in checks)
            said.append(f"{what} {pairs}: several images must not be pooled.")
    if found.levels and not said and found.table.n_images > 2:
        said.append("No slope is seen to differ within and between images (Simpson).")
    return said


def _images(found: "CausalAnalysis") -> list[str]:
    """Say what images can decide at all."""
    n_images = found.table.n_images
    if n_images == 1 and found.table.cell.any(axis=0).all():
        return ["One image tells nothing about what acts between specimens: composition, thickness, preparation."]
    if not found.table.between:
        return []
    outer = " and ".join(plain(name) for name in found.table.between)
    freedom = n_images - 2
    seen = "two means leave no degree of freedom"
    if freedom > 0:
        critical = stats.t.ppf(0.975, freedom)
        seen = (
            f"with {number(freedom)} degree{'s' * (freedom != 1)} of freedom only correlations above "
            f"{critical / np.sqrt(critical**2 + freedom):.3g} between their means stand out"
        )
    return [
        f"{number(n_images).capitalize()} images can tell what acts from place to place within them. What {outer} does "
        f"between them they hardly can: {seen}, and no number of rows tells {outer} from whatever else differs between "
        "the specimens. That takes more specimens, or several images of each."
    ]
