from __future__ import annotations

from glob import glob
from pathlib import Path

import pytest

from lamina.build.disk import Disk, View
from lamina.build.glob import expand, fault_of

FILES = (
    "a.py",
    "b.cc",
    ".hidden.py",
    "x1.h",
    "d/a.py",
    "d/e/a.py",
    "d/e/f.txt",
    "d/e/g/h.py",
    "[odd].py",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def files(root: Path, *include: str, exclude: tuple[str, ...] = (), package: str = "") -> list[str]:
    return list(expand(View(Disk(root)), package, include, exclude).files)


PATTERNS = (
    "* *.py ** **/*.py d/*.py d/** d/**/*.py **/e/* **/e/**/*.py ?.?? [ab].* x[0-9].h [!a].cc"
)
MORE = "d/e/a.py nothing d **/**/a.py */*/*"


@pytest.mark.parametrize("pattern", [*PATTERNS.split(), *MORE.split()])
def test_globs_choose_what_pythons_glob_chooses(root: Path, pattern: str) -> None:
    theirs = glob(pattern, root_dir=root, recursive=True, include_hidden=True)  # noqa: PTH207

    assert files(root, pattern) == sorted({p for p in theirs if (root / p).is_file()})


def test_several_patterns_give_each_file_once_sorted(root: Path) -> None:
    assert files(root, "d/*.py", "*.cc", "b.*") == ["b.cc", "d/a.py"]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("d/**", ["[odd].py", ".hidden.py", "a.py"]),
        ("**/a.py", ["[odd].py", ".hidden.py", "d/e/g/h.py"]),
        ("*.py", ["d/a.py", "d/e/a.py", "d/e/g/h.py"]),
        ("**", []),
    ],
)
def test_excluded_files_are_left_out(root: Path, exclude: str, left: list[str]) -> None:
    assert files(root, "**/*.py", exclude=(exclude,)) == sorted(left)


def test_a_glob_ends_at_build_packages_and_workspaces_below(root: Path) -> None:
    (root / "d/e/BUCK").touch()
    (root / "w").mkdir()
    (root / "w/lamina.toml").touch()
    (root / "w/a.py").touch()

    assert files(root, "**/a.py", "d/e/a.py", "d/*/a.py") == ["a.py", "d/a.py"]
    assert files(root, "*.py", package="d/e") == ["a.py"]


def test_a_glob_does_not_follow_links_to_folders_by_itself(root: Path) -> None:
    (root / "loop").symlink_to(".")

    assert files(root, "**/b.cc") == ["b.cc"]
    assert files(root, "loop/b.cc") == ["loop/b.cc"]


def test_folders_are_chosen_when_asked_for(root: Path) -> None:
    found = expand(View(Disk(root)), "", ["*"], folders_too=True)

    assert "d" in found.files


def test_every_folder_that_can_change_the_result_is_on_record(root: Path) -> None:
    view = View(Disk(root))

    expand(view, "", ["d/**/*.py"])

    assert {"d", "d/e", "d/e/g"} <= view.directories


@pytest.mark.parametrize(
    "pattern", ["", "/etc/*", "../*", "a//b", "a/./b", "**.py", "a**/b", ":x", "@x//a", "a/"]
)
def test_misuse_is_told(pattern: str) -> None:
    assert fault_of(pattern)
