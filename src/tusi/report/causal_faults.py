"""What is wrong with a table of causes, and what could not be had."""

from tusi.report.layout import warning_list
from tusi.report.markup import Markup, element
from tusi.report.mathematics import typeset
from tusi.report.numbers import whole
from tusi.study.causes import CausalAnalysis
from tusi.study.causes.movies import MovieCauses


def faults_part(found: CausalAnalysis | MovieCauses, also: tuple[str, ...]) -> Markup:
    """Return the lint's findings, rows that were left out, and notes."""
    items = [element("li", element("span", one.fault, class_="name"), typeset(str(one))) for one in found.findings]
    dropped = found.table.n_dropped
    if dropped:
        items.append(element("li", f"{whole(dropped)} rows with missing values were left out."))
    items += [element("li", typeset(note)) for note in (*found.notes, *also)]
    return warning_list(items)
