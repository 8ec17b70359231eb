"""Regions as people type them, and which atoms lie inside."""

import numpy as np
import pytest

from tusi.errors import InputError
from tusi.study.regions import Region, check_regions, region_for


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("1:5,2:7", Region(y0=1, y1=5, x0=2, x1=7)),
        (":5,2:", Region(y1=5, x0=2)),
        ("a=b.tiff=1:5,2:7", Region(y0=1, y1=5, x0=2, x1=7, name="a=b.tiff")),
    ],
)
def test_regions_are_read_and_written_the_same_way(text, region):
    assert Region.parse(text) == region
    assert Region.parse(str(region)) == region


@pytest.mark.parametrize("text", ["", "1:5", "5:1,2:7", "1:5,7:7", "a:b,c:d", "1:5,2:7,3:4", "-1:5,2:7"])
def test_what_is_no_region_is_refused(text):
    with pytest.raises(InputError, match="`region`: expected"):
        Region.parse(text)


def test_pixel_centres_decide_in_any_unit():
    region = Region(y0=1, y1=3, x0=0, x1=2)
    pixel = np.array([[0.4, 0.0], [0.6, 0.0], [2.4, 1.4], [2.6, 0.0], [1.0, 1.6]])
    inside = [False, True, True, False, False]
    assert region.holds(pixel, pixel_size=1.0).tolist() == inside
    assert region.holds(pixel * 0.2, pixel_size=0.2).tolist() == inside


def test_an_image_takes_its_own_region_before_the_common_one():
    regions = (Region(y1=5), Region(y1=9, name="b"))
    assert region_for("x/a.tiff", regions) == regions[0]
    assert region_for("x/b.tiff", regions) == regions[1]
    assert region_for("x/b.tiff", ()) is None


def test_regions_for_no_image_and_two_for_one_are_refused():
    paths = ("x/a.tiff", "b.png")
    check_regions(paths, (Region(y1=5), Region(y1=9, name="b")))
    with pytest.raises(InputError, match=r"the name of an image \(a, a.tiff, b, b.png\); got 'c'"):
        check_regions(paths, (Region(name="c"),))
    with pytest.raises(InputError, match=r"one region for 'a.tiff'; got several"):
        check_regions(paths, (Region(name="a", y1=5), Region(name="a.tiff", y1=6)))
