"""What every page is made of: the frame with its styles and navigation, the verdict in large type, tables, lists."""

from collections.abc import Iterable, Sequence
from importlib.resources import files

from tusi.report.markup import Markup, element

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""What a browser lets the page do: nothing but show itself."""

Section = tuple[str, str, Markup]
"""Key, title and content."""


def page(title: str, header: Markup, sections: Sequence[Section]) -> str:
    """Return a whole page that loads nothing and runs no script."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} · tusi"),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(files("tusi.report").joinpath("style.css").read_text("utf-8"))),
    )
    navigation = element(
        "nav",
        element("p", "tusi", class_="mark"),
        element("ol", *(element("li", element("a", text, href=f"#{key}")) for key, text, _ in sections)),
        aria_label="Sections",
    )
    main = element(
        "main",
        header,
        *(
            element("section", element("h2", text, id=f"{key}-title"), body, id=key, aria_labelledby=f"{key}-title")
            for key, text, body in sections
        ),
        element("footer", "Made by tusi. The same result file always gives this same page."),
    )
    body = element("body", element("div", navigation, main, class_="page"))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def verdict_header(title: str, sentences: Sequence[Markup], figures: Iterable[tuple[str, str, str]]) -> Markup:
    """Return the verdict in large type, and the few numbers (name, value, unit) that a seminar asks for."""
    first, *rest = sentences
    return element(
        "header",
        element("p", title, class_="eyebrow"),
        element("h1", first),
        *(element("p", sentence, class_="more") for sentence in rest),
        element(
            "dl",
            *(
                element("div", element("dt", name), element("dd", value, " ", element("small", unit)))
                for name, value, unit in figures
            ),
            class_="figures-of-merit",
        ),
    )


def cards(figures: Sequence[Markup]) -> Markup:
    """Return figures side by side where the page is wide enough; one alone does not grow beyond its size."""
    return element("div", *figures, class_="grid one" if len(figures) == 1 else "grid")


def table(head: Sequence[str], rows: Iterable[Markup], *, caption: str = "", groups: Markup | None = None) -> Markup:
    """Return a table that scrolls where the page is narrow; `groups` is a line above its titles."""
    titles = element("tr", *map(_head_cell, head))
    return element(
        "div",
        element(
            "table",
            element("caption", caption) if caption else Markup(""),
            element("thead", *([groups] if groups is not None else []), titles),
            element("tbody", *rows),
        ),
        class_="scroll",
    )


def fact_list(facts: Iterable[tuple[str, str]]) -> Markup:
    """Return names with what belongs to them."""
    pairs = [piece for name, value in facts for piece in (element("dt", name), element("dd", value))]
    return element("dl", *pairs, class_="facts")


def warning_list(items: Sequence[Markup]) -> Markup:
    """Return warnings, each a list item, or that there are none."""
    return element("ul", *items, class_="warnings") if items else element("p", "None.")


def reference_list(references: Iterable[str]) -> Markup:
    """Return what to cite."""
    return element("ol", *(element("li", text) for text in references), class_="references")


def _head_cell(title: str) -> Markup:
    """Return a title; those of columns of text stand on the left."""
    return element("th", title, scope="col", class_="left" if title == "energy" else None)
