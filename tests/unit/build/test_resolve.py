"""Labels and patterns against a workspace: what is found, and the words when nothing is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from lamina.build.loader import Loader
from lamina.core.label import Label, Pattern

Write = Callable[[Mapping[str, str]], Loader]
Complain = Callable[..., str]

TREE = {
    "BUILD": "py_library(name = 'top')\n",
    "a/BUILD": "py_library(name = 'z')\npy_library(name = 'a', tags = ['manual'])\n",
    "a/b/BUCK": "py_library(name = 'b')\n",
    "c/x.py": "",
}


def lines(*text: str) -> str:
    return "\n".join(text)


def chosen(loader: Loader, *patterns: str) -> list[str]:
    return [str(label) for label in loader.resolve([Pattern.parse(text) for text in patterns])]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["//..."], ["//:top", "//a:z", "//a/b:b"]),
        (["//a/..."], ["//a:z", "//a/b:b"]),
        (["//a:all"], ["//a:z"]),
        (["//a"], ["//a:a"]),
        (["//a/b", "//:top"], ["//a/b:b", "//:top"]),
        (["//...", "-//a/..."], ["//:top"]),
        (["//...", "-//a:z", "//a:z"], ["//:top", "//a/b:b", "//a:z"]),
    ],
)
def test_patterns_choose_in_their_order(
    write: Write, patterns: list[str], expected: list[str]
) -> None:
    assert chosen(write(TREE), *patterns) == expected


def test_manual_targets_are_chosen_on_demand(write: Write) -> None:
    loader = write(TREE)

    assert loader.resolve([Pattern.parse("//a:all")], manual=True) == (
        Label("", "a", "a"),
        Label("", "a", "z"),
    )


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (
            "//x/...",
            [
                "`//x/...` finds nothing: no folder `x`",
                "hint: `lamina targets` lists all targets",
            ],
        ),
        (
            "//c/...",
            [
                "`//c/...` finds nothing: no BUILD file in or below `c`",
                "hint: write one: `BUILD`, `BUILD.bazel` or `BUCK`",
            ],
        ),
        ("//c:all", ["no build package `//c`", "hint: `c` has no BUILD file: write one"]),
        (
            "//a/bb:b",
            ["no build package `//a/bb`, needed for `//a/bb:b`", "hint: did you mean `//a/b`?"],
        ),
        ("//a:zz", ["no target or file `//a:zz`", "hint: did you mean `//a:z`?"]),
        (
            "@cell//a",
            [
                "no repository `@cell`",
                'hint: write `cell = "its/folder"` below `[cells]` in `lamina.toml`, '
                "or `cell = false` to leave out what needs it",
            ],
        ),
        (
            "@pypi//numpy",
            [
                "no repository `@pypi`",
                "hint: distributions of Python come by `lamina lock` and `python_requirements`, "
                "as `//third_party/python:numpy`",
            ],
        ),
        (
            "//c/x.py",
            [
                "no build package `//c/x.py`, needed for `//c/x.py:x.py`",
                "hint: `c/x.py` is a file: name a target that has it",
            ],
        ),
        (
            "//a:BUILD",
            [
                "`//a:BUILD` is a source file, not a target",
                "hint: name a target that has the file in its `srcs`",
            ],
        ),
    ],
)
def test_a_pattern_that_finds_nothing_is_a_fault(
    complaint: Complain, pattern: str, expected: list[str]
) -> None:
    assert complaint(TREE, pattern) == lines(*expected)


def test_the_closure_has_dependencies_before_dependents(write: Write) -> None:
    loader = write(
        {
            "BUILD": "py_library(name = 'a', deps = ['//p:b', ':c'])\npy_library(name = 'c')\n",
            "p/BUILD": "py_library(name = 'b', deps = ['//:c'], visibility = ['PUBLIC'])\n"
            "py_library(name = 'unused', deps = [':missing'])\n",
        }
    )
    text = loader.workspace.root / "BUILD"
    text.write_text(text.read_text().replace("name = 'c'", "name = 'c', visibility = ['//p:b']"))

    assert [str(label) for label in loader.closure([Label("", "", "a")])] == [
        "//:c",
        "//p:b",
        "//:a",
    ]


def test_a_long_chain_needs_no_recursion(write: Write) -> None:
    calls = [f"py_library(name = '{n}', deps = [':{n + 1}'])\n" for n in range(3000)]
    loader = write({"BUILD": "".join(calls) + "py_library(name = '3000')\n"})

    assert len(loader.closure([Label("", "", "0")])) == 3001


def test_a_generated_file_stands_for_its_maker(write: Write) -> None:
    loader = write(
        {
            "BUILD": "genrule(name = 'gen', outs = ['x.py'])\n"
            "py_library(name = 'a', srcs = ['x.py'])\n",
        }
    )

    closure = loader.closure([Label("", "", "a")])

    assert [label.name for label in closure] == ["gen", "a"]
    assert loader.generated(Label("", "", "x.py")) is closure[Label("", "", "gen")]
    assert loader.generated(Label("", "", "a")) is None


def test_all_missing_things_of_a_closure_come_at_once(complaint: Complain) -> None:
    files = {
        "p/BUILD": lines(
            "py_library(",
            "    name = 'x',",
            "    srcs = ['a.py', 'sub/b.py'],",
            "    deps = [",
            "        ':y',",
            "        '//p/sub:cc',",
            "        '//q:c',",
            "        '//p/sub:c.py',",
            "    ],",
            ")",
        ),
        "p/aa.py": "",
        "p/sub/BUILD": "py_library(name = 'c')\n",
        "p/sub/b.py": "",
        "p/sub/c.py": "",
    }

    assert complaint(files) == lines(
        "p/BUILD:3:13: no target or file `//p:a.py`",
        "  hint: did you mean `//p:aa.py`?",
        "p/BUILD:3:21: `//p:sub/b.py` crosses into the build package `//p/sub`",
        "  hint: write `//p/sub:b.py`",
        "p/BUILD:5:9: no target or file `//p:y`",
        "  hint: `p/BUILD` declares no target of this name",
        "p/BUILD:6:9: no target or file `//p/sub:cc`",
        "  hint: did you mean `//p/sub:c`?",
        "p/BUILD:7:9: no build package `//q`, needed for `//q:c`",
        "  hint: there is no folder `q`",
        "p/BUILD:8:9: the file `//p/sub:c.py` is not visible to `//p:x`",
        '  hint: write `exports_files(["c.py"])` or a `filegroup` in `p/sub/BUILD`',
    )


def test_a_cycle_is_told_from_its_smallest_label_with_each_place(complaint: Complain) -> None:
    public = "visibility = ['PUBLIC']"
    files = {
        "a/BUILD": f"py_library(name = 'x', deps = ['//b:y'], {public})\n",
        "b/BUILD": f"py_library(name = 'y', deps = ['//a:x'], {public})\n",
    }

    expected = lines(
        "a/BUILD:1:32: dependency cycle: `//a:x -> //b:y -> //a:x`",
        "  a/BUILD:1:32: `//a:x` depends on `//b:y`",
        "  b/BUILD:1:32: `//b:y` depends on `//a:x`",
        "hint: remove one of these dependencies",
    )
    assert complaint(files) == expected
    assert complaint(files, "//b:y") == expected


def test_a_target_may_not_depend_on_itself(complaint: Complain) -> None:
    text = complaint({"BUILD": "py_library(name = 'x', deps = [':x'])\n"})

    assert text.startswith("BUILD:1:32: dependency cycle: `//:x -> //:x`")


def test_an_invisible_target_says_who_whom_and_how_to_grant(complaint: Complain) -> None:
    files = {
        "a/BUILD": "py_library(name = 'x', deps = ['//b:y', '//b:z'])\n",
        "b/BUILD": "py_library(name = 'y')\n"
        "py_library(name = 'z', visibility = ['//c/...', '//a:other'])\n",
    }

    assert complaint(files) == lines(
        "a/BUILD:1:32: `//b:y` is not visible to `//a:x`",
        '  hint: to grant it, add `"//a:x"` to its `visibility` at `b/BUILD:1:1`',
        "a/BUILD:1:41: `//b:z` is not visible to `//a:x`",
        '  hint: to grant it, add `"//a:x"` to its `visibility` at `b/BUILD:2:24`',
    )


@pytest.mark.parametrize(
    "grant",
    [
        "PUBLIC",
        "//visibility:public",
        "//a:x",
        "//a:",
        "//a/...",
        "//...",
        "//a:__pkg__",
        "//a:__subpackages__",
        "//:__subpackages__",
    ],
)
def test_every_way_to_grant_visibility(write: Write, grant: str) -> None:
    loader = write(
        {
            "a/BUILD": "py_library(name = 'x', deps = ['//b:y'])\n",
            "b/BUILD": f"py_library(name = 'y', visibility = ['{grant}'])\n",
        }
    )

    assert len(loader.closure([Label("", "a", "x")])) == 2


def test_the_default_visibility_of_a_package_holds_for_its_targets(write: Write) -> None:
    loader = write(
        {
            "b/BUILD": "package(default_visibility = ['//a:__pkg__'])\n"
            "py_library(name = 'y')\n"
            "py_library(name = 'z', visibility = ['//visibility:private'])\n"
        }
    )

    assert loader.target(Label("", "b", "y")).visibility == ("//a:all",)
    assert loader.target(Label("", "b", "z")).visibility == ("PRIVATE",)


def test_an_exported_file_is_usable_from_elsewhere(write: Write) -> None:
    loader = write(
        {
            "a/BUILD": "py_library(name = 'x', data = ['//b:f.txt'])\n",
            "b/BUILD": "exports_files(['f.txt'])\n",
            "b/f.txt": "",
        }
    )

    assert len(loader.closure([Label("", "a", "x")])) == 1


def test_a_faulty_dependency_is_told_once(complaint: Complain) -> None:
    files = {
        "a/BUILD": "py_library(name = 'x', deps = ['//b:y', '//b:z'])\n",
        "b/BUILD": "py_library(name = 'y', dep = [])\n",
    }

    assert complaint(files, "//a:x") == lines(
        "b/BUILD:1:24: `py_library` has no attribute `dep`", "hint: did you mean `deps`?"
    )
