"""Formulas and sentences with numbers, set as print sets them."""

import re
from collections.abc import Iterable

from tusi.report.markup import Markup, element, joined
from tusi.report.numbers import about

_FIXED = "\N{NO-BREAK SPACE}"


def subscripted(name: str) -> Markup:
    """Return a coupling with its number, or what it belongs to, below the line.

    Examples
    --------
    >>> subscripted("w12"), subscripted("h_Se"), subscripted("K")
    ('<i>w</i><sub>12</sub>', '<i>h</i><sub>Se</sub>', '<i>K</i>')
    """
    match = re.fullmatch(r"([A-Za-z]+)(\d+)|([A-Za-z])_(.+)|([A-Za-z])", name, re.DOTALL)
    if match is None:
        return joined(name)
    below = match[2] or match[4]
    symbol = element("i", match[1] or match[3] or match[5])
    return joined(symbol, element("sub", below)) if below else symbol


def equation_markup(equation: str) -> Markup:
    """Return an energy as print shows it: sums as sums, counts as delta functions, couplings with subscripts.

    Examples
    --------
    >>> equation_markup("E/kT = w1 sum_NN d(unlike)")
    '<i>E</i>/<i>kT</i> = <i>w</i><sub>1</sub> ∑<sub>NN</sub> δ(unlike)'
    >>> equation_markup("-K sum_i s_i")
    '−<i>K</i> ∑<sub>i</sub> <i>s</i><sub>i</sub>'
    """
    parts = re.split(r"(E/kT|sum_\w+|\bd\([^()]*\)|\b[A-Za-z](?:\d+|_\w+)?(?:\^\d)?(?!\w))", equation)
    return joined(*(_symbol(part) if i % 2 else part.replace("-", "−") for i, part in enumerate(parts)))


def _symbol(part: str) -> Markup:
    """Return one symbol of an equation."""
    if part == "E/kT":
        return joined(element("i", "E"), "/", element("i", "kT"))
    if part.startswith("sum_"):
        return joined("∑", element("sub", part.removeprefix("sum_")))
    if part.startswith("d("):
        return joined("δ", part[1:])
    symbol, _, power = part.partition("^")
    return joined(subscripted(symbol), element("sup", power)) if power else subscripted(symbol)


def typeset(sentence: str, *, couplings: Iterable[str] = ()) -> Markup:
    r"""Return a sentence with true minus signs and plus-minus signs, couplings with subscripts, numbers kept together.

    Parameters
    ----------
    sentence
        Plain text.
    couplings
        Names beside w1, w2, ... that are set as couplings where their value follows.

    Examples
    --------
    >>> typeset("w1 = -0.2 +- 0.1 kT").replace("\N{NO-BREAK SPACE}", " ")
    '<i>w</i><sub>1</sub> = −0.2 ± 0.1 kT'
    """
    sentence = re.sub(r" (?:\+-|±) ", f"{_FIXED}±{_FIXED}", sentence)
    sentence = re.sub(r"\b\d(?:\.\d+)?e\+\d+\b", lambda match: about(float(match[0])), sentence)
    sentence = re.sub(r"(?<![\w.)\]])-(?=\.?\d|inf\b)", "\N{MINUS SIGN}", sentence)
    sentence = re.sub(r"(?<!\w)inf\b", "∞", sentence)
    sentence = re.sub(r" = (?=[\d.\N{MINUS SIGN}])", f"{_FIXED}={_FIXED}", sentence)
    sentence = re.sub(r"(?<=\d) (?=kT\b|%|K\b|eV\b|meV\b)", _FIXED, sentence)
    named = "|".join(re.escape(name) for name in sorted(couplings, key=len, reverse=True))
    pattern = rf"((?<!\w)(?:{named})(?=\s=)|\bw\d+\b)" if named else r"(\bw\d+\b)"
    pieces = re.split(pattern, sentence)
    return joined(*(subscripted(piece) if i % 2 else piece for i, piece in enumerate(pieces)))
