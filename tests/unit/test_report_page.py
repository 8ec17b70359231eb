"""The report: complete, self-contained, the same from the file as from memory, and deaf to hostile names.

It is drawn from the archived result of the current version.
"""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tusi import study
from tusi.report import citation, render_report, summary_rows, write_report

ARCHIVE = Path(__file__).parents[1] / "archive"
HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>'\"&"
VOID = {"meta", "input", "br", "hr", "col", "link"}


@pytest.fixture(scope="module")
def analysis() -> study.Analysis:
    return study.load(sorted(ARCHIVE.glob("result-*.h5"))[-1])


@pytest.fixture(scope="module")
def page(analysis) -> str:
    return render_report(analysis)


class Reader(HTMLParser):
    """Collects tags, attributes and text, and notices tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_is_well_formed_and_has_every_section(page, analysis):
    reader = Reader(page)
    for title in (
        "At a glance",
        "Images",
        "Couplings",
        "Clusters",
        "Intensities",
        "Lattice",
        "Warnings",
        "What to cite",
    ):
        assert title in reader.text
    identifiers = [value for key, value in reader.attributes if key == "id"]
    assert len(set(identifiers)) == len(identifiers)
    for text in (*analysis.warnings, *(said for image in analysis.images for said in image.warnings)):
        assert text in reader.text
    for image in analysis.images:
        assert image.file.sha256 in reader.text
    assert reader.tags.count("svg") == 4 * len(analysis.images) + 1


def test_page_loads_nothing_and_runs_nothing(page):
    reader = Reader(page)
    assert "script" not in reader.tags
    assert not [key for key, _ in reader.attributes if key.startswith("on")]
    for key, value in reader.attributes:
        if key in ("src", "href", "xlink:href"):
            assert value.startswith(("#", "data:")), value
    assert not re.search(r"@import|url\((?!#)", page)
    assert any(key == "content" and "default-src 'none'" in value for key, value in reader.attributes)


def test_page_is_the_same_from_memory_and_from_the_file(page, analysis, tmp_path):
    again = study.load(study.save(analysis, tmp_path / "again.h5"))
    assert write_report(again, tmp_path / "again.html").read_text("utf-8") == page


def test_hostile_names_and_warnings_are_shown_and_never_obeyed(analysis):
    images = tuple(
        dataclasses.replace(
            image,
            file=dataclasses.replace(image.file, name=f"{HOSTILE}{i}", path=f"{HOSTILE}{i}"),
            warnings=(HOSTILE,),
        )
        for i, image in enumerate(analysis.images)
    )
    comparison = dataclasses.replace(
        analysis.comparison,
        image_names=tuple(image.file.name for image in images),
        species=(HOSTILE, "Re"),
        verdict=(HOSTILE,),
    )
    changed = dataclasses.replace(
        analysis,
        images=images,
        comparison=comparison,
        warnings=(HOSTILE,),
        provenance=dataclasses.replace(analysis.provenance, command=HOSTILE),
    )
    page = render_report(changed)
    reader = Reader(page)
    assert "script" not in reader.tags
    assert "img" not in reader.tags
    assert HOSTILE in reader.text


def test_an_image_that_dropped_out_is_named_and_the_rest_is_drawn(analysis):
    lost = dataclasses.replace(
        analysis.images[0],
        grid=None,
        finding=None,
        lattice=None,
        species=None,
        graph=None,
        failed_step="find",
        error="no atoms & no hope",
    )
    changed = dataclasses.replace(analysis, images=(lost, *analysis.images[1:]), comparison=None)
    text = Reader(render_report(changed)).text
    assert "left out at the step “find”: no atoms & no hope" in text
    assert "No lattice model could be tested" in text
    assert summary_rows(changed)[1][1:4] == ("—", "—", "—")


def test_citations_name_tusi_and_what_was_used(analysis):
    whole = citation(analysis)
    without = citation(dataclasses.replace(analysis, comparison=None))
    assert whole[0].startswith("The tusi developers")
    assert set(without) < set(whole)
    assert any("Besag" in text for text in set(whole) - set(without))
