"""What a person reads when a BUILD file is wrong: every kind of fault, word for word."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lamina.build.faults import Fault, FaultReport, Place

Complain = Callable[..., str]

MACRO = "def mac(name):\n    native.py_library(name = name + '_lib', srcs = ['nope.py'])\n"


def lines(*text: str) -> str:
    return "\n".join(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "py_library(\n    name = 'x',\n",
            ["p/BUILD:1:11: syntax error: this bracket is never closed"],
        ),
        (
            "x = 'a' 'b'\n",
            [
                'p/BUILD:1:9: syntax error: unexpected string literal "b" here',
                "hint: is a comma missing? strings are joined by `+`",
            ],
        ),
        (
            "import os\n",
            [
                "p/BUILD:1:1: syntax error: cannot use reserved keyword `import`",
                "hint: Starlark has no modules of Python: write `load(…)`",
            ],
        ),
        ("x = 1 + ''\n", ["p/BUILD:1:5: operation `+` not supported for types `int` and `string`"]),
        ("\nfail('no', 3)\n", ["p/BUILD:2:1: no 3"]),
        ("py_library(name = 'a', name = 'b')\n", ["p/BUILD:1:24: repeated named argument"]),
    ],
)
def test_faults_of_the_language(complaint: Complain, text: str, expected: list[str]) -> None:
    assert complaint({"p/BUILD": text}) == lines(*expected)


def test_an_unknown_rule_names_the_nearest(complaint: Complain) -> None:
    text = complaint({"p/BUILD": "x = 1\n\npython_libary(name = 'x')\n"})

    assert text == lines(
        "p/BUILD:3:1: no rule or function `python_libary`", "hint: did you mean `python_library`?"
    )


def test_all_unknown_names_of_a_file_are_told_at_once(complaint: Complain) -> None:
    text = complaint({"p/BUILD": "pi_library(name = 'x')\npy_library(name = nam)\n"})

    assert text == lines(
        "p/BUILD:1:1: no rule or function `pi_library`",
        "  hint: did you mean `py_library`?",
        "p/BUILD:2:19: no variable `nam`",
    )


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            "py_library(name = 'x', sources = [])",
            [
                "p/BUILD:1:24: `py_library` has no attribute `sources`",
                "hint: did you mean `resources`?",
            ],
        ),
        (
            "python_binary(name = 'x')",
            [
                "p/BUILD:1:1: `python_binary` needs the attribute `main`",
                "hint: `main`: the file to run",
            ],
        ),
        (
            "py_library()",
            [
                "p/BUILD:1:1: `py_library` needs the attribute `name`",
                'hint: write `name = "…"`',
            ],
        ),
        (
            "py_library(name = 'x', deps = ':y')",
            [
                'p/BUILD:1:24: `deps` takes a list of labels, not the string `":y"`',
                'hint: write `deps = [":y"]`',
            ],
        ),
        (
            "py_library(name = 'x', env = {'A': 1})",
            ["p/BUILD:1:24: `env` takes a dict of strings; the integer `1` is in it"],
        ),
        (
            "py_library(name = 3)",
            ["p/BUILD:1:12: `name` takes a string, not the integer `3`"],
        ),
        (
            "py_binary(name = 'x', main = 'x.py', jobs = True)",
            ["p/BUILD:1:38: `jobs` takes an integer, not `True`"],
        ),
        (
            "py_library(\n    name = 'x',\n    deps = [\n        ':y',\n        '//a:b:c'],\n)",
            [
                "p/BUILD:5:9: not a label: `//a:b:c`",
                "hint: names may not hold `:`",
            ],
        ),
        (
            "py_library(name = 'x', srcs = ['/etc/passwd'])",
            [
                "p/BUILD:1:32: not a label: `/etc/passwd`",
                "hint: names are relative to their build package: no `/` at the start",
            ],
        ),
        (
            "py_library(name = 'x', srcs = {'../a.py': 'a.py'})",
            [
                "p/BUILD:1:32: not a path: `../a.py`",
                "hint: paths are relative, without `.`, `..` or empty segments",
            ],
        ),
        (
            "py_library(name = 'a//b')",
            [
                "p/BUILD:1:19: not a target name: `a//b`",
                "hint: there is an empty segment between two slashes or at the end",
            ],
        ),
        (
            "py_library(name = 'x', visibility = ['everyone'])",
            [
                "p/BUILD:1:38: not a visibility: `everyone`",
                'hint: write `["PUBLIC"]`, or labels and patterns such as `["//a:b", "//c/..."]`',
            ],
        ),
        (
            "py_library(name = 'x', data = [], resources = [])",
            [
                "p/BUILD:1:35: `resources` and `data` are the same attribute",
                "hint: give one of them",
            ],
        ),
        (
            "py_library('x')",
            [
                "p/BUILD:1:1: `py_library` takes its attributes by name only",
                'hint: write `py_library(name = "…", …)`',
            ],
        ),
    ],
)
def test_faults_of_a_rule_call(complaint: Complain, call: str, expected: list[str]) -> None:
    assert complaint({"p/BUILD": call + "\n"}) == lines(*expected)


def test_two_targets_of_one_name_are_both_placed(complaint: Complain) -> None:
    text = complaint({"p/BUILD": "py_library(name = 'x')\n\npy_library(name = 'x')\n"})

    assert text == lines(
        "p/BUILD:3:1: there are two targets called `x`; the first is at `p/BUILD:1:1`",
        "hint: give one of them another name",
    )


def test_two_targets_that_make_one_file_are_named(complaint: Complain) -> None:
    rules = "genrule(name = 'a', outs = ['x'])\ngenrule(name = 'b', outs = ['x'])\n"

    assert complaint({"p/BUILD": rules}) == lines(
        "p/BUILD:2:29: `x` is made by `a` already", "hint: give one of them another output"
    )


def test_all_faults_of_all_files_come_in_one_report_sorted_by_place(complaint: Complain) -> None:
    files = {
        "b/BUILD": "py_library(name = 'x', dep = [])\npy_library(nam = 'y')\n",
        "a/BUILD": "py_library(name = 'x',\n",
    }

    assert complaint(files) == lines(
        "a/BUILD:1:11: syntax error: this bracket is never closed",
        "b/BUILD:1:24: `py_library` has no attribute `dep`",
        "  hint: did you mean `deps`?",
        "b/BUILD:2:1: `py_library` needs the attribute `name`",
        '  hint: write `name = "…"`',
        "b/BUILD:2:12: `py_library` has no attribute `nam`",
        "  hint: did you mean `name`?",
    )


def test_a_fault_in_a_macros_target_is_placed_at_the_call_of_the_macro(complaint: Complain) -> None:
    build = "load('//t:m.bzl', 'mac')\n\n[mac(name = n) for n in ['q']]\n"

    assert complaint({"p/BUILD": build, "t/m.bzl": MACRO}) == lines(
        "p/BUILD:3:2: no target or file `//p:nope.py`",
        "hint: `p/BUILD` declares no target of this name",
    )


def test_columns_count_characters(complaint: Complain) -> None:
    text = complaint({"p/BUILD": "x = 'éé'; py_library(name = 'x', deps = [':y'])\n"})

    assert text.startswith("p/BUILD:1:42: no target or file `//p:y`")


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            "glob('*.py')",
            [
                'p/BUILD:1:1: `glob` takes a list of patterns, not the string `"*.py"`',
                'hint: write `glob(["*.py"])`',
            ],
        ),
        (
            "glob(['a**'])",
            [
                "p/BUILD:1:7: not a pattern for `glob`: `a**`",
                "hint: `**` stands alone between slashes, as in `**/*.py`",
            ],
        ),
        (
            "glob(['../x'])",
            [
                "p/BUILD:1:7: not a pattern for `glob`: `../x`",
                "hint: patterns do not contain `..`, `.` or empty segments",
            ],
        ),
        (
            "glob(['*.x'], allow_empty = False)",
            [
                "p/BUILD:1:1: `glob` finds no file for `*.x`",
                "hint: correct the pattern, or set `allow_empty = True`",
            ],
        ),
        (
            "glob(patterns = [])",
            ["p/BUILD:1:1: `glob`: got an unexpected keyword argument 'patterns'"],
        ),
        ("package(visible = [])", ["p/BUILD:1:1: `package` has no argument `visible`"]),
        (
            "package()\npackage()",
            ["p/BUILD:2:1: `package` is called twice", "hint: a BUILD file says its defaults once"],
        ),
        (
            "exports_files('x')",
            [
                'p/BUILD:1:1: `srcs` takes a list of strings, not the string `"x"`',
                'hint: write `srcs = ["x"]`',
            ],
        ),
    ],
)
def test_misuse_of_functions(complaint: Complain, call: str, expected: list[str]) -> None:
    assert complaint({"p/BUILD": call + "\n"}) == lines(*expected)


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (
            "load('//t:mm.bzl', 'mac')",
            ["p/BUILD:1:6: no file `t/mm.bzl` to load", "hint: did you mean `t/m.bzl`?"],
        ),
        (
            "load('//t:m.bzl', 'mak')",
            ["p/BUILD:1:19: `//t:m.bzl` has no symbol `mak`", "hint: did you mean `mac`?"],
        ),
        (
            "load('sub/m', 'mac')",
            ["p/BUILD:1:6: not a file to load: `sub/m`", "hint: did you mean `:sub/m`?"],
        ),
        (
            "load('@foo//x:y.bzl', 'z')",
            [
                "p/BUILD:1:6: no repository `@foo`",
                'hint: write `foo = "its/folder"` below `[cells]` in `lamina.toml`, '
                "or `foo = false` to leave out what needs it",
            ],
        ),
        (
            "load('@rules_python//python:py_library.bzl', 'py_librry')",
            [
                "p/BUILD:1:46: `@rules_python//python:py_library.bzl` has no symbol `py_librry`",
                "hint: did you mean `py_library`?",
            ],
        ),
    ],
)
def test_faults_of_loads(complaint: Complain, load: str, expected: list[str]) -> None:
    assert complaint({"p/BUILD": load + "\n", "t/m.bzl": MACRO}) == lines(*expected)


def test_a_cycle_of_loads_is_told_as_the_cycle(complaint: Complain) -> None:
    files = {
        "p/BUILD": "load('//t:x.bzl', 'z')\n",
        "t/x.bzl": "load(':y.bzl', 'z')\n",
        "t/y.bzl": "load(':x.bzl', 'z')\n",
    }

    assert complaint(files) == (
        "t/y.bzl:1:6: load cycle: `t/x.bzl -> t/y.bzl -> t/x.bzl`\n"
        "hint: move what they share into a file of its own"
    )


@pytest.mark.parametrize(
    ("bzl", "expected"),
    [
        (
            "def mac():\n    fail('not so')\n",
            ["p/BUILD:3:1: not so", "hint: `fail` is called at `t/m.bzl:2:5`"],
        ),
        (
            "def mac():\n    native.glob(['/x'])\n",
            [
                "t/m.bzl:2:18: not a pattern for `glob`: `/x`",
                "hint: patterns are relative to the build package and name files, not labels",
            ],
        ),
        (
            "native.py_library(name = 'x')\n",
            [
                "t/m.bzl:1:1: `py_library` is called while a .bzl file is loaded",
                "hint: call it in a function, which BUILD files load and call",
            ],
        ),
        (
            "def mac():\n    py_library(name = 'x')\n",
            [
                "t/m.bzl:2:5: no rule or function `py_library`",
                "hint: in a .bzl file write `native.py_library`",
            ],
        ),
        (
            "def mac():\n    x = [1]\n    x.foo()\n",
            [
                "t/m.bzl:3:5: object of type `list` has no attribute `foo`",
                "hint: did you mean `pop`?",
            ],
        ),
        (
            "def mac():\n    x = {}\n    return x['key']\n",
            [
                't/m.bzl:3:12: key `"key"` was not found',
                "hint: called from `p/BUILD:3`",
            ],
        ),
    ],
)
def test_faults_in_macros(complaint: Complain, bzl: str, expected: list[str]) -> None:
    build = "load('//t:m.bzl', 'mac')\n\nmac(\n)\n"

    assert complaint({"p/BUILD": build, "t/m.bzl": bzl}) == lines(*expected)


def test_functions_of_the_language_are_known_beside_an_unknown_name(complaint: Complain) -> None:
    files = {"p/m.bzl": "x = len(sorted([nope]))\n", "p/BUILD": "load(':m.bzl', 'x')\n"}

    assert complaint(files) == "p/m.bzl:1:17: no variable `nope`"


def test_the_same_fault_at_many_places_is_told_once() -> None:
    places = [Place(f"p{number}/BUILD", 1, 6) for number in range(6)]
    faults = [Fault(place, "no repository `@x`", "map it") for place in places]

    report = FaultReport([*faults, Fault(Place("q/BUILD", 1), "another")])

    assert report.message == lines(
        "p0/BUILD:1:6: no repository `@x`",
        "  also at `p1/BUILD:1:6`, `p2/BUILD:1:6`, `p3/BUILD:1:6`, 2 more places",
        "  hint: map it",
        "q/BUILD:1: another",
    )
