"""Which undeclared file the words of a failed tool speak of; the words are those of real tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.build import undeclared


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("p/a.h", "p/data.txt", "lib/util.py", "top.h"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("p/x.cc:1:10: fatal error: p/a.h: No such file or directory", "p/a.h"),
        ("p/x.cc:1:10: fatal error: a.h: No such file or directory", "p/a.h"),
        ("cat: p/data.txt: No such file or directory", "p/data.txt"),
        ("cat: ./p/data.txt: No such file or directory", "p/data.txt"),
        ("cp: cannot stat '/work/p/data.txt': No such file or directory", "p/data.txt"),
        ("/bin/bash: line 1: p/data.txt: No such file or directory", "p/data.txt"),
        ("sed: can't read p/data.txt: No such file or directory", "p/data.txt"),
        ("python3: can't open file '/work/lib/util.py': [Errno 2] ...", "lib/util.py"),
        ("ModuleNotFoundError: No module named 'lib.util'", "lib/util.py"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'top.h'", "top.h"),
    ],
)
def test_the_file_is_found_in_the_words_of(printed: str, expected: str, root: Path) -> None:
    assert undeclared.find(printed, root, "p", ()) == [expected]


def test_a_path_by_its_own_place_in_the_workspace_is_found(root: Path) -> None:
    printed = f"cat: {root}/p/a.h: No such file or directory"

    assert undeclared.find(printed, root, "p", ()) == ["p/a.h"]


def test_a_declared_file_is_not_named(root: Path) -> None:
    assert undeclared.find("cat: p/a.h: No such file or directory", root, "p", {"p/a.h"}) == []


def test_a_file_that_is_nowhere_is_not_named(root: Path) -> None:
    assert undeclared.find("cat: p/none: No such file or directory", root, "p", ()) == []


def test_a_file_is_not_named_where_nothing_is_missed(root: Path) -> None:
    assert undeclared.find("p/a.h:3: error: expected ';'", root, "p", ()) == []


def test_a_path_that_leaves_the_workspace_is_not_named(root: Path) -> None:
    (root.parent / "outside").touch()

    assert undeclared.find("cat: ../outside: No such file", root, "p", ()) == []


def test_each_file_is_named_once_in_the_order_of_the_words(root: Path) -> None:
    lines = ["top.h: not found", "a.h: not found", "top.h: not found"]

    assert undeclared.find("\n".join(lines), root, "p", ()) == ["top.h", "p/a.h"]


def test_a_file_of_the_machine_is_named_by_its_absolute_path(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.touch()
    (tmp_path / "root").mkdir()
    printed = "cat: /etc/passwd: No such file or directory"

    assert undeclared.find(printed, tmp_path / "root", "", ()) == ["/etc/passwd"]


@pytest.mark.parametrize(
    ("included", "expected"),
    [
        ("deep.h", ["lib/include/v/deep.h"]),
        ("v/deep.h", ["lib/include/v/deep.h"]),
        ("renamed/v/deep.h", ["lib/include/v/deep.h"]),
        ("other/deep.h", []),
        ("twice.h", []),
    ],
)
def test_a_header_is_found_wherever_it_alone_can_be_meant(
    included: str, expected: list[str], root: Path
) -> None:
    for name in ("lib/include/v/deep.h", "a/twice.h", "b/twice.h", "lamina-out/x/deep.h"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()

    gcc = f"p/x.cc:1:10: fatal error: {included}: No such file or directory"
    clang = f"p/x.cc:1:10: fatal error: '{included}' file not found"

    assert undeclared.find(gcc, root, "p", ()) == expected
    assert undeclared.find(clang, root, "p", ()) == expected
