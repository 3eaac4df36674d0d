"""The functions of BUILD files and macros, as a BUILD file sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from lamina.build.loader import Loader
from lamina.core.errors import UserError

Write = Callable[[Mapping[str, str]], Loader]


def printed(write: Write, text: str, files: Mapping[str, str] | None = None) -> str:
    """What a BUILD file of the package `p` prints."""
    loader = write({"p/BUILD": text, **(files or {})})
    loader.package("p")
    return "\n".join(loader.prints)


def in_macro(write: Write, expression: str, files: Mapping[str, str] | None = None) -> str:
    """What an expression in a macro of the package `m` is, called from the package `p`."""
    macro = f"def show():\n    print({expression})\n"
    call = 'load("//m:m.bzl", "show")\nshow()'
    return printed(write, call, {"m/BUILD": "", "m/m.bzl": macro, **(files or {})})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("package_name()", "p"),
        ("repository_name()", "@"),
        ("repo_name()", ""),
        ("module_version()", "None"),
        ('read_config("a", "b")', "c"),
        ('read_config("a", "x", "none")', "none"),
        ('read_root_config("x", "y")', "None"),
        ("host_info().os.is_linux", "True"),
        ("host_info().os.is_windows", "False"),
        ('existing_rule("x")', "None"),
        ('sorted(subpackages(["**"]))', "['d', 'e/f']"),
        ('subpackages(["**"], exclude = ["e/*"])', "['d']"),
        ('subpackages(["x"], allow_empty = True)', "[]"),
        ('oncall("me")', "None"),
        ('json.encode_indent({"a": [1]}, indent = " ")', '{\n "a": [\n  1\n ]\n}'),
        ('json.indent("[1.50]", prefix = ">")', "[\n>\t1.50\n>]"),
        ('json.encode(struct(b = 1, a = ("x", None)))', '{"a":["x",null],"b":1}'),
        ('json.decode("{", default = 7)', "7"),
        ('glob(["*.toml"], excludes = ["lamina.*"])', "[]"),
        ('subdir_glob([("d", "**/*.txt")])', "{}"),
        ('subdir_glob([("inc", "**/*.h"), ("", "*.h")])', "{'a/x.h': 'inc/a/x.h', 'y.h': 'y.h'}"),
        ('subdir_glob([("inc", "a/*.h")], prefix = "p")', "{'p/a/x.h': 'inc/a/x.h'}"),
    ],
)
def test_functions_of_a_build_file(write: Write, expression: str, expected: str) -> None:
    files = {
        "lamina.toml": '[buckconfig.a]\nb = "c"\n',
        "p/d/BUILD": "",
        "p/d/g/BUILD": "",
        "p/e/f/BUILD": "",
        "p/inc/a/x.h": "",
        "p/y.h": "",
    }

    assert printed(write, f"print({expression})", files) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("native.package_name()", "p"),
        ("native.repo_name()", ""),
        ('native.package_relative_label(":x").package', "p"),
        ('str(native.package_relative_label("//q:x"))', "@@//q:x"),
        ('str(Label(":x"))', "@@//m:x"),
        ('str(Label("@platforms//os:linux"))', "@@platforms//os:linux"),
        ('Label("//a/b").name', "b"),
        ('Label("@platforms//os:linux").workspace_name', "platforms"),
        ('Label(Label("//a:b")).package', "a"),
        ("str(3) + str([1])", "3[1]"),
        ("native.host_info().arch.is_arm", "False"),
        ('read_config("a", "b", "d")', "d"),
        ("native.existing_rules()", "{}"),
    ],
)
def test_functions_of_a_macro(write: Write, expression: str, expected: str) -> None:
    assert in_macro(write, expression) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("json.encode({1: 2})", "a key of an object in JSON is a string, not `1`"),
        ("json.encode([len])", "a function cannot be written as JSON"),
        ('json.decode("1e999")', "not JSON that can be read: the number `1e999` is too large"),
    ],
)
def test_what_cannot_be_json_is_told(write: Write, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        printed(write, f"x = {text}")

    assert caught.value.message.startswith(f"p/BUILD:1:5: {message}")


def test_brackets_that_are_too_deep_for_json_are_an_error(write: Write) -> None:
    deep = "def deep():\n    x = 1\n    for _ in range(10000):\n        x = [x]\n    return x\n"

    with pytest.raises(UserError, match="stack"):
        printed(write, f"{deep}json.encode(deep())")


def test_existing_rules_tell_what_was_given(write: Write) -> None:
    text = """
filegroup(name = "a", srcs = ["b", "c"])
print(existing_rule("a")["srcs"], existing_rules()["a"]["kind"], existing_rules().keys())
"""

    assert printed(write, text) == "['b', 'c'] filegroup ['a']"


def test_a_label_may_stand_where_its_text_may(write: Write) -> None:
    macro = 'def m():\n    native.filegroup(name = "x", srcs = [Label(":f"), "g"])\n'
    loader = write({"p/BUILD": 'load("//m:m.bzl", "m")\nm()', "m/BUILD": "", "m/m.bzl": macro})

    labels = loader.package("p").targets["x"].dependencies()

    assert [str(label) for label in labels] == ["//m:f", "//p:g"]


def test_package_gives_defaults_to_the_targets_that_follow(write: Write) -> None:
    text = """
package(default_visibility = ["PUBLIC"], default_testonly = True, default_deprecation = "old")
filegroup(name = "a")
filegroup(name = "b", testonly = False, deprecation = "older")
"""
    targets = write({"p/BUILD": text}).package("p").targets

    settings = [(t.attributes["testonly"], t.attributes["deprecation"]) for t in targets.values()]

    assert settings == [(True, "old"), (False, "older")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('glob(select({":x": ["a"], "DEFAULT": []}))', "`include` takes no `select`"),
        ('subpackages(["x"])', "`subpackages` finds no build package for `x`"),
        ("Label(3)", "`Label` takes a string, not the integer `3`"),
        ('Label("a:b:c")', "not a label: `a:b:c`"),
        ("package(unknown = 1)", "`package` has no argument `unknown`"),
    ],
)
def test_what_they_do_not_take_is_told_at_the_call(write: Write, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        write({"p/BUILD": f"\n{text}"}).package("p")

    assert caught.value.message.startswith("p/BUILD:2:")
    assert message in caught.value.message
