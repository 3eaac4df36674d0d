"""`select()` from the BUILD file to the chosen value; Bazel's documentation is the oracle."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from lamina.build.configuration import DEFAULT, Configuration
from lamina.build.loader import Loader
from lamina.build.selects import SelectFault, configure
from lamina.build.target import Target
from lamina.core.errors import UserError
from lamina.core.label import Label

Write = Callable[[Mapping[str, str]], Loader]
OPT = Configuration(compilation_mode="opt")
CONDITIONS = """
config_setting(name = "opt", values = {"compilation_mode": "opt"})
config_setting(name = "dbg", values = {"compilation_mode": "dbg"})
config_setting(name = "fancy", define_values = {"fancy": "yes"})
config_setting(
    name = "opt_fancy", values = {"compilation_mode": "opt"}, define_values = {"fancy": "yes"},
)
"""


def chosen(
    write: Write, call: str, configuration: Configuration = OPT, files: Mapping[str, str] = {}
) -> Target:
    """The target `t` of a BUILD file with the conditions, for a configuration."""
    loader = write({"p/BUILD": CONDITIONS + call, **files})
    target = loader.target(Label("", "p", "t"))
    return configure(target, configuration, loader.target)


def texts(target: Target, name: str) -> object:
    """The value of an attribute, labels as text."""
    value = target.attributes[name]
    if isinstance(value, tuple):
        return [str(part[1] if isinstance(part, tuple) else part) for part in value]
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('select({":opt": ["a"], "//conditions:default": ["b"]})', ["//p:a"]),
        ('select({":dbg": ["a"], "//conditions:default": ["b"]})', ["//p:b"]),
        ('select({":dbg": ["a"], "DEFAULT": ["b"]})', ["//p:b"]),
        ('["x"] + select({":opt": ["a"]}) + ["y"]', ["//p:x", "//p:a", "//p:y"]),
        ('select({":opt": ["a"]}) + select({":opt": ["b"]})', ["//p:a", "//p:b"]),
        ('select({"//p:opt": ["a"]}) + select({"@//p:opt": []})', ["//p:a"]),
        ('select({":opt": None, "//conditions:default": ["b"]})', []),
        ('[":x" + f for f in select({":opt": ["a", "b"]})]', ["//p:xa", "//p:xb"]),
    ],
)
def test_a_list_is_chosen_and_joined(write: Write, value: str, expected: list[str]) -> None:
    target = chosen(write, f'filegroup(name = "t", srcs = {value})')

    assert texts(target, "srcs") == expected


@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        ("cmd", '"a" + select({":opt": " b "}) + "c"', "a b c"),
        ("cmd", '"%s!" % select({":opt": "b"})', "b!"),
        ("executable", 'select({":opt": True, "//conditions:default": False})', True),
        ("env", '{"A": "1"} | select({":opt": {"A": "2", "B": "3"}})', (("A", "2"), ("B", "3"))),
        ("env", '{"A": select({":opt": "x"})}', (("A", "x"),)),
    ],
)
def test_values_of_every_type_are_chosen(
    write: Write, attribute: str, value: str, expected: object
) -> None:
    target = chosen(write, f'genrule(name = "t", outs = ["o"], {attribute} = {value})')

    assert target.attributes[attribute] == expected


def test_a_branch_of_none_leaves_the_attribute_unset(write: Write) -> None:
    call = 'filegroup(name = "t", srcs = select({":opt": None, "DEFAULT": []}))'

    assert "srcs" not in chosen(write, call, OPT).given
    assert "srcs" in chosen(write, call, DEFAULT).given


def test_the_most_special_of_several_conditions_wins(write: Write) -> None:
    call = 'filegroup(name = "t", srcs = select({":opt": ["a"], ":opt_fancy": ["b"]}))'
    both = Configuration(compilation_mode="opt", defines=(("fancy", "yes"),))

    assert texts(chosen(write, call, both), "srcs") == ["//p:b"]
    assert texts(chosen(write, call, OPT), "srcs") == ["//p:a"]


def test_conditions_with_equal_values_do_not_disagree(write: Write) -> None:
    call = 'filegroup(name = "t", srcs = select({":opt": ["a"], ":fancy": ["a"]}))'
    both = Configuration(compilation_mode="opt", defines=(("fancy", "yes"),))

    assert texts(chosen(write, call, both), "srcs") == ["//p:a"]


def test_conditions_that_disagree_are_a_fault(write: Write) -> None:
    call = 'filegroup(name = "t", srcs = select({":opt": ["a"], ":fancy": ["b"]}))'
    both = Configuration(compilation_mode="opt", defines=(("fancy", "yes"),))

    with pytest.raises(SelectFault, match="`//p:opt`, `//p:fancy`") as caught:
        chosen(write, call, both)

    assert caught.value.attribute == "srcs"


def test_without_a_match_the_message_of_the_select_is_told(write: Write) -> None:
    call = 'filegroup(name = "t", srcs = select({":dbg": []}, no_match_error = "only dbg"))'

    with pytest.raises(SelectFault, match=r"^only dbg$") as caught:
        chosen(write, call)

    assert caught.value.hint == "none of these holds: `//p:dbg`"


def test_a_select_may_be_made_at_the_top_of_a_bzl_file_and_by_macros(write: Write) -> None:
    macros = """
DEFAULTS = select({"//p:opt": ["a"], "//conditions:default": ["b"]})
def group(name, srcs):
    native.filegroup(name = name, srcs = DEFAULTS + srcs + select({Label("//p:opt"): ["c"]}))
"""
    call = 'load("//m:m.bzl", "group")\ngroup(name = "t", srcs = select({":opt": ["d"]}))'

    target = chosen(write, call, files={"m/m.bzl": macros, "m/BUILD": ""})

    assert texts(target, "srcs") == ["//p:a", "//p:d", "//p:c"]


def test_a_target_without_select_is_the_same_object(write: Write) -> None:
    loader = write({"p/BUILD": 'filegroup(name = "t")'})
    target = loader.target(Label("", "p", "t"))

    assert configure(target, OPT, loader.target) is target


def test_before_it_is_configured_a_target_mentions_the_labels_of_all_branches(write: Write) -> None:
    call = 'filegroup(name = "t", srcs = ["x"] + select({":opt": ["a"], "DEFAULT": ["b"]}))'
    target = write({"p/BUILD": CONDITIONS + call}).target(Label("", "p", "t"))

    assert [str(label) for label in target.dependencies()] == ["//p:x", "//p:a", "//p:b"]
    assert [str(label) for label in target.conditions()] == ["//p:opt"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("select({})", "`select` has no branch"),
        ('select(["a"])', "`select` takes a dict, not a list"),
        ('select("a")', "`select` takes a dict, not the string"),
        ('select({3: ["a"]})', "a condition is a label, not the integer `3`"),
        ('select({"a:b:c": ["a"]})', "not a label: `a:b:c`"),
        ('select({":opt": "a"})', "`srcs` takes a list of files"),
    ],
)
def test_what_is_no_select_is_told(write: Write, call: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        chosen(write, f'filegroup(name = "t", srcs = {call})')

    assert message in caught.value.message


@pytest.mark.parametrize("attribute", ["name", "visibility", "outs"])
def test_some_attributes_take_no_select(write: Write, attribute: str) -> None:
    call = f'genrule({attribute} = select({{":opt": ["a"]}}), cmd = "")'

    with pytest.raises(UserError, match=f"`{attribute}` takes no `select`"):
        write({"p/BUILD": CONDITIONS + call}).package("p")
