"""Load statements as they are written."""

from __future__ import annotations

from lamina.build.loads import loads, source_of, used

TEXT = """
load("@x//:a.bzl", "one", 'two', mine = "three", )  # load("@no", "no")
load(
    "//:b.bzl",  # (why)
    "four",
    five = "six", "seven",
)
mine.field(two.first(), two.second, omine.other)
# load("@y//:c.bzl", "eight")
    load("indented", "nine")
"""


def test_each_file_has_its_symbols_by_the_names_they_get() -> None:
    assert list(loads(TEXT)) == [
        ("@x//:a.bzl", {"one": "one", "two": "two", "mine": "three"}),
        ("//:b.bzl", {"four": "four", "five": "six", "seven": "seven"}),
    ]


def test_fields_are_those_of_the_name_in_the_file() -> None:
    found = used(TEXT, "@x//:a.bzl")

    assert found == {"one": set(), "two": {"first", "second"}, "three": {"field"}}


def test_a_symbol_leads_to_its_file() -> None:
    assert source_of(TEXT, "six") == "//:b.bzl"
    assert source_of(TEXT, "nine") == ""
