"""Result files of every released version still open.

`result-VERSION.h5` is a small analysis of two simulated images, written by that version; it is added once, when the
version is released, and never written again.
"""

from pathlib import Path

import pytest

from tusi import study
from tusi.report import render_report

ARCHIVED = sorted(Path(__file__).parent.glob("result-*.h5"))


@pytest.mark.parametrize("path", ARCHIVED, ids=lambda path: path.stem)
def test_archived_result_opens_and_its_report_is_drawn(path):
    analysis = study.load(path)
    assert [image.file.name for image in analysis.images] == ["alloy0", "alloy1"]
    assert [image.complete for image in analysis.images] == [True, True]
    assert analysis.comparison is not None
    assert analysis.comparison.models == ("random", "P1", "P2", "M")
    assert analysis.image("alloy1").species.atoms.species == ("Mo", "Re")
    assert len(render_report(analysis)) > 100_000


def test_there_is_an_archived_result():
    assert ARCHIVED
