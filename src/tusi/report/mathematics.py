"""Formulas and sentences with numbers, set as print sets them."""

import re

from tusi.report.markup import Markup, element, joined

_FIXED = "\N{NO-BREAK SPACE}"


def subscripted(name: str) -> Markup:
    """Return a name with its number below the line.

    Examples
    --------
    >>> subscripted("w12")
    '<i>w</i><sub>12</sub>'
    """
    match = re.fullmatch(r"([A-Za-z]+)(\d+)", name)
    return joined(element("i", match[1]), element("sub", match[2])) if match else joined(name)


def equation_markup(equation: str) -> Markup:
    """Return an energy as print shows it: sums as sums, counts as delta functions, couplings with subscripts.

    Examples
    --------
    >>> equation_markup("E/kT = w1 sum_NN d(unlike)")
    '<i>E</i>/<i>kT</i> = <i>w</i><sub>1</sub> ∑<sub>NN</sub> δ(unlike)'
    """
    return joined(*map(_symbol, re.split(r"(E/kT|sum_[A-Za-z]+|\bd(?=\()|\b[A-Za-z]\d+\b)", equation)))


def _symbol(part: str) -> str:
    """Return one symbol of an equation."""
    if part == "E/kT":
        return joined(element("i", "E"), "/", element("i", "kT"))
    if part.startswith("sum_"):
        return joined("∑", element("sub", part.removeprefix("sum_")))
    return "δ" if part == "d" else subscripted(part)


def typeset(sentence: str) -> Markup:
    r"""Return a sentence with true minus signs and plus-minus signs, couplings with subscripts, numbers kept together.

    Examples
    --------
    >>> typeset("w1 = -0.2 +- 0.1 kT").replace("\N{NO-BREAK SPACE}", " ")
    '<i>w</i><sub>1</sub> = −0.2 ± 0.1 kT'
    """
    sentence = re.sub(r" (?:\+-|±) ", f"{_FIXED}±{_FIXED}", sentence)
    sentence = re.sub(r"(?<![\w.)\]])-(?=\.?\d)", "\N{MINUS SIGN}", sentence)
    sentence = re.sub(r" = (?=[\d.\N{MINUS SIGN}])", f"{_FIXED}={_FIXED}", sentence)
    sentence = re.sub(r"(?<=\d) (?=kT\b|%|K\b|eV\b|meV\b)", _FIXED, sentence)
    pieces = re.split(r"(\bw\d+\b)", sentence)
    return joined(*(subscripted(piece) if i % 2 else piece for i, piece in enumerate(pieces)))
