"""HTML that cannot be injected into: every string is escaped unless it was built here."""

import html


class Markup(str):
    """A piece of HTML that is already safe; every other string is text and gets escaped."""

    __slots__ = ()


def element(tag: str, /, *children: str, **attributes: str | bool | None) -> Markup:
    """Return one element.

    Parameters
    ----------
    tag
        Name of the element.
    *children
        Text, which is escaped, or markup, which is not.
    **attributes
        Attributes; a trailing underscore is dropped (`class_`), other underscores become hyphens. `None` and `False`
        leave the attribute out, `True` writes its name alone.

    Returns
    -------
    Markup
        The element.

    Examples
    --------
    >>> element("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    written = ""
    for key, value in attributes.items():
        label = key.removesuffix("_").replace("_", "-")
        if value is True:
            written += f" {label}"
        elif value is not None and value is not False:
            written += f' {label}="{html.escape(str(value))}"'
    if tag in ("meta", "input", "br", "hr", "col", "link"):
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{joined(*children)}</{tag}>")


def joined(*children: str) -> Markup:
    """Return several pieces one after the other, text among them escaped."""
    return Markup("".join(child if isinstance(child, Markup) else html.escape(child) for child in children))
