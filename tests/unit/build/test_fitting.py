"""What is left out because there are no rules for it, or because a cell is not here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lamina.build import workspace
from lamina.build.loader import Loader
from lamina.core.errors import UserError
from lamina.core.label import Label, Pattern

Write = Callable[[Mapping[str, str]], Loader]

ABSENT = {
    "lamina.toml": "[cells]\nrules_go = false\nrules_pkg = false\n",
    "p/x.py": "",
    "p/BUILD": """
load(":macros.bzl", "both")
load("@rules_go//go:def.bzl", lib = "go_library", "needs")
load("@rules_pkg//:mappings.bzl", "pkg_files", "strip_prefix")

lib(name = "go", srcs = ["x.go"], embed = 3, deps = {"unlike": "here"})
pkg_files(name = "files", prefix = strip_prefix.from_pkg(""))
py_library(name = "needy", srcs = ["x.py"], deps = [needs("numpy")])
java_library(name = "java", srcs = glob(["*.java"]), exports = 7)
java_binary(name = "jar", runtime_deps = [":java"])
genrule(name = "user", srcs = [":jar_deploy.jar"], outs = ["o"], cmd = "cp $< $@")
both(name = "macro")
py_library(name = "sound", srcs = ["x.py"])
""",
    "p/macros.bzl": """
load("@rules_go//go:def.bzl", "go_test")

VALUE = go_test("at the top of a file")

def both(name):
    go_test(name = name + "_go_test", tags = [VALUE])
    native.java_test(name = name + "_java_test")
""",
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A workspace with all rules there are."""

    def write_files(files: Mapping[str, str]) -> Loader:
        for name, text in {"lamina.toml": "", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Loader(workspace.read(tmp_path))

    return write_files


def told(loader: Loader, name: str) -> str:
    """What is told to who names a target of `p` that cannot be built."""
    with pytest.raises(UserError) as caught:
        loader.closure([Label("", "p", name)])
    return f"{caught.value.message}; {caught.value.hint}"


def test_a_pattern_leaves_out_what_cannot_be_built(write: Write) -> None:
    loader = write(ABSENT)

    found = loader.closure(loader.resolve([Pattern.parse("//...")]))

    assert [label.name for label in found] == ["sound"]
    assert {label.name: why for label, why in loader.skipped.items()} == {
        "files": "`@rules_pkg` is not here",
        "go": "`@rules_go` is not here",
        "jar": "no rules for Java",
        "java": "no rules for Java",
        "macro_go_test": "`@rules_go` is not here",
        "macro_java_test": "no rules for Java",
        "needy": "`@rules_go` is not here",
        "user": "no rules for Java",
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "go",
            "p/BUILD:6:1: `//p:go` is a `go_library` of `@rules_go`, which is not here; "
            "`rules_go = false` below `[cells]` in `lamina.toml` says so",
        ),
        (
            "needy",
            "p/BUILD:8:1: `//p:needy` is in need of `@rules_go//:needs`, which is not here; "
            "`rules_go = false` below `[cells]` in `lamina.toml` says so",
        ),
        (
            "user",
            "p/BUILD:10:1: `//p:user` depends on `//p:jar`, which is a `java_binary`: "
            "there are no rules for Java; None",
        ),
    ],
)
def test_who_names_it_is_told_why(write: Write, name: str, words: str) -> None:
    assert told(write(ABSENT), name) == words


def test_a_vowel_has_its_article_and_some_rules_have_advice(write: Write) -> None:
    loader = write({"p/BUILD": 'android_library(name = "a")\nproto_library(name = "p")\n'})

    assert "`//p:a` is an `android_library`: there are no rules for Android" in told(loader, "a")
    assert "call `protoc` in a `genrule`" in told(loader, "p")


def test_a_select_decides_whether_an_absent_cell_is_needed(write: Write) -> None:
    build = """
filegroup(name = "a", srcs = select({
    "@platforms//os:windows": ["@win//:x"],
    "//conditions:default": [],
}))
"""
    loader = write({"lamina.toml": "[cells]\nwin = false\n", "p/BUILD": build})

    assert [label.name for label in loader.closure([Label("", "p", "a")])][-1] == "a"


def test_a_cell_of_this_program_can_be_absent_too(write: Write) -> None:
    files = {
        "lamina.toml": "[cells]\nrules_shell = false\n",
        "p/BUILD": 'load("@rules_shell//shell:sh_binary.bzl", "sh_binary")\nsh_binary(name = "a")',
    }

    assert "`sh_binary` of `@rules_shell`" in told(write(files), "a")


def test_an_unknown_cell_is_a_fault_that_tells_both_ways_out(write: Write) -> None:
    loader = write({"p/BUILD": 'filegroup(name = "a", srcs = ["@npm//x"])'})

    assert told(loader, "a").endswith(
        'write `npm = "its/folder"` below `[cells]` in `lamina.toml`, '
        "or `npm = false` to leave out what needs it"
    )


def test_what_a_missing_rule_may_make_is_left_out_with_it(write: Write) -> None:
    build = 'java_export(name = "lib")\nfilegroup(name = "all", srcs = ["lib-docs", "lib-project"])'
    load = 'load("@rules_jvm//:defs.bzl", "java_export")\n'
    files = {"lamina.toml": "[cells]\nrules_jvm = false\n", "p/BUILD": load + build}
    loader = write(files)

    assert not loader.closure(loader.resolve([Pattern.parse("//...")]))
    assert "depends on `//p:lib`, which is a `java_export`" in told(write(files), "all")


def test_a_suite_may_name_tests_that_it_cannot_see(write: Write) -> None:
    files = {
        "p/BUILD": 'sh_test(name = "a_test", srcs = ["a.sh"])',
        "p/a.sh": "",
        "q/BUILD": 'test_suite(name = "all", tests = ["//p:a_test"])',
    }

    found = write(files).closure([Label("", "q", "all")])

    assert [label.name for label in found] == ["a_test", "all"]
