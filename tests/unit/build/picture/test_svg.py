from __future__ import annotations

from xml.etree import ElementTree

import pytest

from lamina.build.picture.scene import Box, Item, Scene
from lamina.build.picture.svg import draw

SVG = "{http://www.w3.org/2000/svg}"


def target(name: str, rule: str = "python_library") -> Box:
    return Box(name, "//p", rule, (), ((rule, 1),), f"//p:{name}")


def texts(picture: str) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_a_picture_names_targets_and_explains_its_colours() -> None:
    boxes = (target("a", "python_binary"), target("b"), target("c"))

    shown = texts(draw(Scene("deps(//p:a)", boxes, {(0, 1): 1, (0, 2): 1})))

    assert shown[:2] == ["deps(//p:a)", "3 targets · 2 dependencies"]
    assert shown[2:8] == ["a", "//p", "b", "//p", "c", "//p"]
    assert shown[8:] == ["python_library 2", "python_binary 1"]


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_names_are_no_markup(theme: str) -> None:
    picture = draw(Scene("a & <b>", (target("<x>&\"'"),)), theme)

    assert "<x>&\"'" in texts(picture)
    assert "a & <b>" in texts(picture)


def test_a_picture_loads_nothing() -> None:
    picture = draw(Scene("x", (target("a"), target("b")), {(0, 1): 1}))

    assert "href" not in picture
    assert "url(" not in picture
    assert "<script" not in picture
    assert picture.count("http") == 1  # the name space


def test_the_page_decides_between_light_and_dark() -> None:
    scene = Scene("x", (target("a"),))

    assert "prefers-color-scheme" in draw(scene)
    assert "prefers-color-scheme" not in draw(scene, "dark")


def test_a_group_lists_its_targets() -> None:
    items = (Item("one", "cxx_library"), Item("two", "cxx_test"))
    group = Box("//p", "and 3 more", "", items, (("cxx_library", 4), ("cxx_test", 1)), "tip")

    shown = texts(draw(Scene("x", (group, target("t")), {(0, 1): 7})))

    assert shown[1] == "2 groups · 6 targets · 7 dependencies between them"
    assert shown[2:6] == ["//p", "one", "two", "and 3 more"]


def test_a_group_without_a_list_tells_its_size() -> None:
    group = Box("//p/...", "3 build packages", "", (), (("cxx_library", 40),), "tip")

    assert "40 targets · 3 build packages" in texts(draw(Scene("x", (group,))))


def test_lines_of_many_dependencies_are_thicker() -> None:
    group = Box("//p", "", "", (Item("i", "genrule"),), (("genrule", 1),))
    picture = draw(Scene("x", (group, group, group), {(0, 1): 1, (0, 2): 64}))

    widths = [
        line.get("stroke-width")
        for line in ElementTree.fromstring(picture).iter(f"{SVG}path")
        if "line" in (line.get("class") or "")
    ]
    assert sorted(widths, key=str) == ["4", None]


def test_a_line_that_closes_a_circle_is_broken() -> None:
    picture = draw(Scene("x", (target("a"), target("b")), {(0, 1): 1, (1, 0): 1}))

    assert picture.count('class="line turned') == 1


def test_long_names_are_shortened_and_told_below_the_pointer() -> None:
    name = "n" * 90
    picture = draw(Scene("x", (target(name),)))

    assert name not in texts(picture)
    assert f"<title>//p:{name}</title>" in picture
