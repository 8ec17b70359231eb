"""Markup that cannot be injected into, and formulas as print shows them."""

import pytest

from tusi.report.markup import Markup, element, joined
from tusi.report.mathematics import equation_markup, subscripted, typeset
from tusi.report.numbers import digits_for, fixed, p_value, span, with_error

HOSTILE = "<script>alert('x')</script>\"&"


def test_text_is_escaped_in_content_and_attributes_and_markup_is_not_escaped_twice():
    built = element("p", HOSTILE, element("b", HOSTILE), title=HOSTILE)
    assert "<script" not in built
    assert built.count("&lt;script&gt;") == 3
    assert 'title="&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot;&amp;"' in built
    assert joined(built) == built


def test_formulas_and_sentences_escape_what_they_are_given():
    for made in (equation_markup(HOSTILE), typeset(HOSTILE), subscripted(HOSTILE)):
        assert isinstance(made, Markup)
        assert "<script" not in made


def test_attributes_that_are_absent_or_bare():
    assert (
        element("input", type="checkbox", checked=True, disabled=False, name=None) == '<input type="checkbox" checked>'
    )


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(-0.04371, 0.0432, "−0.044 ± 0.043"), (12.3, 4.56, "12.3 ± 4.6"), (1.0, float("nan"), "1.000")],
)
def test_values_are_rounded_to_two_figures_of_their_error(value, error, text):
    assert with_error(value, error) == text


def test_missing_numbers_are_dashes_and_zero_has_no_sign():
    assert fixed(float("nan"), 2) == p_value(float("nan")) == span(float("nan"), 1.0, 2) == "—"
    assert fixed(-0.0001, 2) == "0.00"
    assert digits_for(0.0) == 3


def test_p_values_are_never_zero():
    assert p_value(0.0) == "< 0.0001"
    assert p_value(0.00231) == "0.0023"
    assert p_value(0.9999) == "1.00"


def test_verdicts_get_true_signs_and_stay_together():
    made = typeset("Not detected: w1 = -0.044 +- 0.043 kT (95 % interval -0.13 to 0.04), re-fit 3-4 times.")
    assert "−0.044\u00a0±\u00a00.043\u00a0kT" in made
    assert "interval −0.13 to 0.04" in made
    assert "re-fit 3-4 times" in made
