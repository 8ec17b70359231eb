"""Numbers as a physicist prints them: rounded to their uncertainty, with a true minus sign."""

import math

_MINUS = "\N{MINUS SIGN}"
_MISSING = "\N{EM DASH}"
_THIN = "\N{NARROW NO-BREAK SPACE}"


def fixed(value: float, digits: int) -> str:
    """Return a number with this many digits after the point.

    Examples
    --------
    >>> fixed(-0.10049, 3)
    '−0.100'
    """
    if value is None or not math.isfinite(value):
        return _MISSING
    text = f"{value:.{digits}f}"
    return text.replace("-", _MINUS) if float(text) else text.removeprefix("-")


def digits_for(uncertainty: float) -> int:
    """Return how many digits after the point show an uncertainty with two significant figures."""
    if not (math.isfinite(uncertainty) and uncertainty > 0):
        return 3
    return max(0, 1 - math.floor(math.log10(uncertainty)))


def with_error(value: float, error: float) -> str:
    """Return value and standard error, rounded to two figures of the error.

    Examples
    --------
    >>> with_error(-0.0437, 0.0432)
    '−0.044 ± 0.043'
    """
    if not math.isfinite(value):
        return _MISSING
    if error == math.inf:
        return f"{fixed(value, 3)} ± ∞"
    if not (math.isfinite(error) and error > 0):
        return fixed(value, 3)
    digits = digits_for(error)
    return f"{fixed(value, digits)} ± {fixed(error, digits)}"


def span(low: float, high: float, digits: int) -> str:
    """Return an interval; an end that nothing bounds is infinite.

    Examples
    --------
    >>> span(-0.1, 0.2, 2), span(-0.1, math.inf, 2)
    ('[−0.10, 0.20]', '[−0.10, ∞]')
    """
    if math.isnan(low) or math.isnan(high):
        return _MISSING
    return f"[{_end(low, digits)}, {_end(high, digits)}]"


def _end(value: float, digits: int) -> str:
    """Return the end of an interval."""
    return fixed(value, digits) if math.isfinite(value) else "∞" if value > 0 else f"{_MINUS}∞"


def p_value(value: float) -> str:
    """Return a p-value with two significant figures, never as zero.

    Examples
    --------
    >>> p_value(0.00001), p_value(0.0123), p_value(0.5)
    ('< 0.0001', '0.012', '0.50')
    """
    if not math.isfinite(value):
        return _MISSING
    if value < 1e-4:
        return "< 0.0001"
    return fixed(value, min(4, max(2, 1 - math.floor(math.log10(value)))))


def whole(value: int) -> str:
    """Return a count, thousands set apart.

    Examples
    --------
    >>> whole(12345).split()
    ['12', '345']
    """
    return f"{value:,}".replace(",", _THIN)


def about(number: float) -> str:
    """Return a large number to three figures, in words where it is long.

    Examples
    --------
    >>> about(1731.4).split(), about(2.4e6), about(math.inf)
    (['1', '730'], '2.40 million', '∞')
    """
    if math.isnan(number):
        return _MISSING
    if math.isinf(number):
        return "∞"
    if number >= 1e12:
        return "more than 10¹²"
    for size, unit in ((1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.{max(2 - math.floor(math.log10(number / size)), 0)}f} {unit}"
    return whole(int(float(f"{number:.3g}")))
