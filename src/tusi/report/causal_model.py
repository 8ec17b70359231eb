"""The part of the page on the equations that a graph stands for, their total effects, and what to do next."""

from tusi.causal.panel import Interference
from tusi.causal.structural import Effect
from tusi.report.layout import table
from tusi.report.markup import Markup, element, joined
from tusi.report.mathematics import typeset
from tusi.report.numbers import fixed, p_value
from tusi.study.causes.model import ModelOfCauses, TotalEffect
from tusi.study.causes.outlook import Outlook
from tusi.study.causes.words import plain

_DASH = "\N{EM DASH}"

EQUATIONS = (
    "Linear equations on the arrows that are more likely than not, in the variables' own units, and what each explains "
    "of the variance within images. Fit p: that what an equation leaves has nothing to do with its causes, as it must "
    "if relations are linear and no cause is missing."
)

TOTALS = (
    "What raising a variable by one standard deviation does in the end, in standard deviations, by all ways together, "
    "if the graph is right; 95 % intervals count neighbours as what they are worth."
)

NEIGHBOURS = (
    "The value at a site with the mean of its neighbours held fixed, and the other way round. Alike: correlation of "
    "the two; where they are nearly the same number, neither is seen beside the other though one of them acts."
)

OUTLOOK = (
    "Which graphs would remain after as many independent samples again: seen as before, or with one variable set at "
    "random from outside, as by composition, temperature, strain or a field. Simulated from the graphs that remain "
    "now, their equations taken as known."
)


def model_part(found: ModelOfCauses) -> Markup:
    """Return equations with what they explain, and total effects."""
    diagnoses = {one.effect: one for one in found.diagnoses}
    rows = []
    for equation in found.equations:
        name = equation.partition(" = ")[0]
        one = diagnoses.get(name)
        cells = [element("code", equation), *([f"{one.explained:.0%}", p_value(one.p_value)] if one else [_DASH] * 2)]
        rows.append(element("tr", *(element("td", cell) for cell in cells)))
    parts = [element("p", EQUATIONS), table(["equation", "explained", "fit p"], rows)]
    if found.notes:
        parts.append(element("p", typeset(f"Not in the equations: {'; '.join(found.notes)}.")))
    return joined(*parts, element("p", TOTALS), table(
        ["raised", "changes", "by", "directly", "by way of others"], [_total(one) for one in found.effects]
    ))  # fmt: skip


def _total(one: TotalEffect) -> Markup:
    by = _size(one.indirect)
    if one.indirect is not None:
        by = joined(by, f" ({', '.join(map(plain, one.mediators))})")
    cells = [plain(one.cause), plain(one.effect), _size(one.total), _size(one.direct) if one.direct else "all", by]
    return element("tr", *(element("td", cell) for cell in cells))


def _size(effect: Effect | None) -> Markup | str:
    if effect is None:
        return _DASH
    low, high = (fixed(end, 2) for end in effect.interval)
    return f"{fixed(effect.estimate, 2)} ({low} to {high})"


def neighbours_part(found: tuple[Interference, ...]) -> Markup:
    """Return from where each likely cause acts, where images can tell."""
    rows = []
    for one in found:
        cells = [
            f"{plain(one.cause)} \N{RIGHTWARDS ARROW} {plain(one.effect)}", p_value(one.own_p_value),
            p_value(one.neighbours_p_value), fixed(one.shared, 2),
            one.origin,
        ]  # fmt: skip
        rows.append(element("tr", *(element("td", cell) for cell in cells)))
    head = ["pair", "own site, p", "neighbours, p", "alike", "acts from"]
    return joined(element("p", NEIGHBOURS), table(head, rows))


def outlook_part(found: Outlook) -> Markup:
    """Return what could be done next, and how much of what is open each is expected to settle."""
    rows = []
    for one in found.ranked:
        done = f"set {plain(one.experiment.sets)}" if one.experiment.sets else "see more images of the same kind"
        cells = [
            done, f"{fixed(one.gain, 2)} of {fixed(one.unknown, 2)} bits", f"{100 * one.gain / one.unknown:.0f} %",
            f"{plain(one.pair[0])} and {plain(one.pair[1])}",
        ]  # fmt: skip
        rows.append(element("tr", *(element("td", cell) for cell in cells)))
    said = [OUTLOOK]
    if found.hidden:
        pairs = "; ".join(f"{plain(cause)} and {plain(effect)}" for cause, effect in found.hidden)
        said.append(f"A hidden common cause of {pairs} is compared at even odds: FCI does not rule it out.")
    if found.share < 0.99:
        said.append(f"The graphs compared have {100 * found.share:.0f} % of the probability.")
    head = ["what", "expected to tell", "of what is open", "most about"]
    return joined(element("p", " ".join(said)), table(head, rows))
