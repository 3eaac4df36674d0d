"""Pictures of layers: areas are true, and the text is XML whatever is in it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.packaging import picture
from lamina.packaging.picture import Area, Box

sizes = st.lists(st.integers(1, 10**9), min_size=1, max_size=40).map(
    lambda found: sorted(found, reverse=True)
)


@given(sizes)
def test_each_area_is_as_large_as_its_share_and_lies_inside(found: list[int]) -> None:
    whole = Area(10, 20, 300, 200)

    areas = picture.squarified(found, whole)

    for size, area in zip(found, areas, strict=True):
        assert area.width * area.height == pytest.approx(60_000 * size / sum(found), rel=1e-3)
        assert area.x >= 9.99
        assert area.y >= 19.99
        assert area.x + area.width <= 310.01
        assert area.y + area.height <= 220.01


def test_equal_sizes_become_nearly_squares() -> None:
    areas = picture.squarified([5] * 16, Area(0, 0, 400, 400))

    assert all(area.width == pytest.approx(100) == area.height for area in areas)


def test_the_picture_is_xml_and_names_the_layers() -> None:
    boxes = [Box('//a:"<b>&', 1000, 0.5, ("1 KiB",), (600, 400)), Box("//c:d", 10, 0.0)]

    root = ElementTree.fromstring(picture.draw("two <layers>", boxes))

    texts = [element.text for element in root.iter() if element.text and element.text.strip()]
    assert "two <layers>" in texts
    assert any('//a:"<b>&' in text for text in texts)
    assert any("//c:d" in text for text in texts)
