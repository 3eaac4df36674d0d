"""Groups of packages, test-only targets, what is deprecated, what fits the platform."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from lamina.build.loader import Loader
from lamina.core.errors import UserError
from lamina.core.label import Label, Pattern

Write = Callable[[Mapping[str, str]], Loader]
Complain = Callable[..., str]

GROUPS = """
package_group(name = "g", packages = {}, includes = {})
package_group(name = "h", packages = ["//h"])
package_group(name = "loop", includes = [":loop"])
alias(name = "other", actual = ":g")
filegroup(name = "t", visibility = ["{}"])
"""


@pytest.mark.parametrize(
    ("packages", "includes", "visibility", "expected"),
    [
        (["//user"], [], ":g", True),
        (["//user"], [], ":other", True),
        (["//user/..."], [], ":g", True),
        (["//..."], [], ":g", True),
        (["public"], [], ":g", True),
        (["private"], [], ":g", False),
        (["//use"], [], ":g", False),
        (["//user/deep/..."], [], ":g", False),
        (["//...", "-//user"], [], ":g", False),
        ([], [":h"], ":g", False),
        (["//user"], [], ":h", False),
        ([], [], ":loop", False),
    ],
)
def test_a_group_of_packages_grants_what_it_lists(
    write: Write, packages: list[str], includes: list[str], visibility: str, expected: bool
) -> None:
    files = {
        "p/BUILD": GROUPS.format(packages, includes, visibility),
        "user/BUILD": 'filegroup(name = "u", srcs = ["//p:t"])',
    }
    loader = write(files)

    if expected:
        assert Label("", "p", "t") in loader.closure([Label("", "user", "u")])
    else:
        with pytest.raises(UserError, match="`//p:t` is not visible to `//user:u`"):
            loader.closure([Label("", "user", "u")])


def test_only_tests_use_what_is_for_tests(complaint: Complain) -> None:
    build = """
filegroup(name = "a", testonly = True)
filegroup(name = "b", srcs = [":a"])
filegroup(name = "c", srcs = [":a"], testonly = True)
"""

    told = complaint({"p/BUILD": build})

    assert told.startswith("p/BUILD:3:31: `//p:a` is for tests only, and `//p:b` is none")


def test_an_alias_passes_on_that_only_tests_may_use_what_it_stands_for(
    complaint: Complain,
) -> None:
    build = """
filegroup(name = "a", testonly = True)
alias(name = "b", actual = ":a")
alias(name = "c", actual = ":b")
filegroup(name = "good", srcs = [":c"], testonly = True)
filegroup(name = "bad", srcs = [":c"])
"""

    told = complaint({"p/BUILD": build})

    assert told.startswith("p/BUILD:6:33: `//p:c` is for tests only, and `//p:bad` is none")


def test_the_use_of_what_is_deprecated_is_told_once(write: Write) -> None:
    files = {
        "p/BUILD": 'filegroup(name = "old", deprecation = "use new", visibility = ["PUBLIC"])\n'
        'filegroup(name = "own", srcs = [":old"])',
        "q/BUILD": "".join(f'filegroup(name = "{n}", srcs = ["//p:old"])\n' for n in "ab"),
    }
    loader = write(files)

    loader.closure(loader.resolve([Pattern.parse("//...")]))

    advice = "warning: q/BUILD:1:31: `//p:old` is deprecated: use new"
    assert list(loader.warnings.values()) == [advice]


WINDOWS = """
filegroup(name = "win", srcs = select({"@platforms//os:windows": []}),
    target_compatible_with = ["@platforms//os:windows"])
filegroup(name = "user", srcs = [":win"])
filegroup(name = "linux", target_compatible_with = ["@platforms//os:linux"])
"""


def test_a_pattern_passes_by_what_does_not_fit_the_platform(write: Write) -> None:
    loader = write({"p/BUILD": WINDOWS})

    labels = loader.resolve([Pattern.parse("//...")])

    assert [str(label) for label in loader.closure(labels) if not label.cell] == ["//p:linux"]
    assert sorted(map(str, loader.skipped)) == ["//p:user", "//p:win"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("win", "p/BUILD:3:31: `//p:win` is not for this machine: it needs "),
        ("user", "p/BUILD:3:31: `//p:user` depends on `//p:win`, which is not for this machine"),
    ],
)
def test_what_is_named_must_fit_the_platform(complaint: Complain, name: str, message: str) -> None:
    assert complaint({"p/BUILD": WINDOWS}, f"//p:{name}").startswith(message)


def test_files_of_what_is_for_tests_may_be_used(write: Write) -> None:
    build = """
genrule(name = "a", outs = ["a.txt"], cmd = "", testonly = True)
filegroup(name = "b", srcs = ["a.txt"])
"""

    assert Label("", "p", "b") in write({"p/BUILD": build}).closure([Label("", "p", "b")])
