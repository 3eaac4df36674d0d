"""Whatever becomes of files, the next build gives what a build from nothing gives."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.correctness.conftest import Workspace

Steps = Callable[[Path], Iterator[None]]  # what is done to a workspace between its builds

# Tells of every source its path, whether it is executable, and what it holds.
LIST = "for each in $(SRCS); do echo $$each; test -x $$each && echo x; cat $$each; done > $@"
FILES = {
    "lamina.toml": "[cells]\nother = 'cell'\n",
    "defs.bzl": "load('//:words.bzl', 'WORD')\n"
    "def note(name):\n    native.genrule(name = name, outs = [name + '.out'],\n"
    "        cmd = 'echo ' + WORD + ' > $@')\n",
    "words.bzl": "WORD = 'one'\n",
    "p/BUILD": "load('//:defs.bzl', 'note')\nnote('noted')\n"
    f"genrule(name = 'all', srcs = glob(['**/*.txt']), outs = ['all.out'], cmd = '{LIST}')\n"
    "genrule(name = 'one', srcs = ['a.txt'], outs = ['one.out'], cmd = 'cat $(SRCS) > $@')\n"
    "python_binary(name = 'program', main = 'main.py', resources = glob(['sub/*.txt']))\n",
    "p/main.py": "print('main')\n",
    "p/a.txt": "a\n",
    "p/b.txt": "b\n",
    "p/sub/c.txt": "c\n",
    "p/sub/deep/d.txt": "d\n",
    "q/BUILD": "load('//:defs.bzl', 'note')\nnote('noted')\n"
    "genrule(name = 'above', srcs = ['//p:all', '@other//:made'], outs = ['above.out'],\n"
    "    cmd = 'cat $(SRCS) > $@')\n",
    "cell/BUILD": "genrule(name = 'made', srcs = ['e.txt'], outs = ['made.out'],\n"
    "    cmd = 'cat $< > $@')\n",
    "cell/e.txt": "e\n",
    "elsewhere/f.txt": "f\n",
    "elsewhere/deep/g.txt": "g\n",
}
PATTERNS = ("//...", "@other//...", "//p:program")


def edited(root: Path) -> Iterator[None]:
    (root / "p/a.txt").write_text("other\n")
    yield
    (root / "p/a.txt").write_text("a\n")
    yield


def edited_to_the_same_size_and_time(root: Path) -> Iterator[None]:
    status = (root / "p/a.txt").stat()
    (root / "p/a.txt").write_text("z\n")
    os.utime(root / "p/a.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    yield


def moved_back_in_time(root: Path) -> Iterator[None]:
    (root / "p/a.txt").write_text("old\n")
    os.utime(root / "p/a.txt", (1, 1))
    yield
    (root / "p/a.txt").write_text("new\n")
    os.utime(root / "p/a.txt", (1, 1))
    yield


def moved_into_the_future(root: Path) -> Iterator[None]:
    later = time.time() + 100_000
    for text in ("one\n", "two\n"):
        (root / "p/a.txt").write_text(text)
        os.utime(root / "p/a.txt", (later, later))
        yield


def made_executable(root: Path) -> Iterator[None]:
    (root / "p/a.txt").chmod(0o755)
    yield
    (root / "p/a.txt").chmod(0o644)
    yield


def replaced_by_renaming(root: Path) -> Iterator[None]:
    (root / "p/.a.new").write_text("replaced\n")
    (root / "p/.a.new").replace(root / "p/a.txt")
    yield


def renamed(root: Path) -> Iterator[None]:
    (root / "p/b.txt").rename(root / "p/bb.txt")
    yield
    (root / "p/bb.txt").rename(root / "p/b.txt")
    yield


def two_change_their_names(root: Path) -> Iterator[None]:
    (root / "p/b.txt").rename(root / "p/x")
    (root / "p/a.txt").rename(root / "p/b.txt")
    (root / "p/x").rename(root / "p/a.txt")
    yield


def folder_renamed(root: Path) -> Iterator[None]:
    (root / "p/sub").rename(root / "p/bus")
    yield
    (root / "p/bus").rename(root / "p/sub")
    yield


def added_and_removed(root: Path) -> Iterator[None]:
    (root / "p/sub/new.txt").write_text("new\n")
    yield
    (root / "p/sub/new.txt").unlink()
    (root / "p/b.txt").unlink()
    yield


def file_to_folder_and_back(root: Path) -> Iterator[None]:
    (root / "p/b.txt").unlink()
    (root / "p/b.txt").mkdir()
    (root / "p/b.txt/inner.txt").write_text("inner\n")
    yield
    shutil.rmtree(root / "p/b.txt")
    (root / "p/b.txt").write_text("again\n")
    yield


def folder_to_file_and_back(root: Path) -> Iterator[None]:
    shutil.rmtree(root / "p/sub/deep")
    (root / "p/sub/deep").write_text("now a file\n")
    yield
    (root / "p/sub/deep").unlink()
    (root / "p/sub/deep").mkdir()
    (root / "p/sub/deep/other.txt").write_text("other\n")
    yield


def link_to_a_file(root: Path) -> Iterator[None]:
    (root / "p/b.txt").unlink()
    (root / "p/b.txt").symlink_to("../elsewhere/f.txt")
    yield
    (root / "elsewhere/f.txt").write_text("edited behind the link\n")
    yield
    (root / "p/b.txt").unlink()
    (root / "p/b.txt").symlink_to("a.txt")
    yield


def link_to_a_folder(root: Path) -> Iterator[None]:
    (root / "p/link").symlink_to("../elsewhere")
    yield
    (root / "p/sub").rename(root / "p/bus")
    (root / "p/sub").symlink_to("../elsewhere")
    yield
    (root / "elsewhere/h.txt").write_text("new behind the link\n")
    (root / "elsewhere/f.txt").write_text("edited behind the link\n")
    yield
    (root / "p/sub").unlink()
    (root / "p/sub").symlink_to("bus")
    yield


def link_that_leads_nowhere_at_first(root: Path) -> Iterator[None]:
    (root / "p/later.txt").symlink_to("../elsewhere/later")
    (root / "p/round.txt").symlink_to("round.txt")
    time.sleep(0.06)  # so long that the folder's time is trusted
    yield
    (root / "elsewhere/later").write_text("now there\n")
    yield
    (root / "elsewhere/later").unlink()
    yield
    (root / "elsewhere/later").mkdir()
    yield


def new_build_file_takes_files_away(root: Path) -> Iterator[None]:
    (root / "p/sub/deep/BUILD").write_text(
        "genrule(name = 'own', srcs = ['d.txt'], outs = ['own.out'], cmd = 'cat $< > $@')\n"
    )
    yield
    (root / "p/sub/deep/BUILD").unlink()
    yield


def build_file_under_another_name(root: Path) -> Iterator[None]:
    text = (root / "q/BUILD").read_text()
    (root / "q/BUILD").rename(root / "q/BUILD.bazel")
    yield
    (root / "q/BUCK").write_text(text.replace("cat ", "echo buck; cat "))
    yield
    (root / "q/BUILD.bazel").unlink()
    yield
    (root / "q/BUILD").write_text(text)
    yield


def build_file_edited(root: Path) -> Iterator[None]:
    file = root / "p/BUILD"
    file.write_text(f"{file.read_text()}# a comment\n")
    yield
    file.write_text(file.read_text().replace("'**/*.txt'", "'*.txt'"))
    yield
    file.write_text(file.read_text().replace("srcs = ['a.txt']", "srcs = ['b.txt']"))
    yield


def loaded_file_edited(root: Path) -> Iterator[None]:
    (root / "words.bzl").write_text("WORD = 'one'  # a comment\n")
    yield
    (root / "words.bzl").write_text("WORD = 'two'\n")
    yield


def settings_edited(root: Path) -> Iterator[None]:
    text = (root / "lamina.toml").read_text()
    (root / "lamina.toml").write_text(f"{text}[workspace]\nignore = ['p/sub/deep']\n")
    yield
    (root / "lamina.toml").write_text(f"# a comment\n{text}")
    yield


def cell_edited(root: Path) -> Iterator[None]:
    (root / "cell/e.txt").write_text("other\n")
    yield
    build = root / "cell/BUILD"
    build.write_text(build.read_text().replace("cat $<", "cat $< $<"))
    yield


def cell_moved(root: Path) -> Iterator[None]:
    shutil.copytree(root / "cell", root / "copy")
    (root / "copy/e.txt").write_text("of the copy\n")
    (root / "lamina.toml").write_text("[cells]\nother = 'copy'\n")
    yield
    (root / "copy/e.txt").write_text("of the copy, edited\n")
    yield


def package_removed(root: Path) -> Iterator[None]:
    shutil.rmtree(root / "q")
    yield


CASES: list[Steps] = [
    edited, edited_to_the_same_size_and_time, moved_back_in_time, moved_into_the_future,
    made_executable, replaced_by_renaming, renamed, two_change_their_names, folder_renamed,
    added_and_removed, file_to_folder_and_back, folder_to_file_and_back, link_to_a_file,
    link_to_a_folder, link_that_leads_nowhere_at_first, new_build_file_takes_files_away,
    build_file_under_another_name, build_file_edited, loaded_file_edited, settings_edited,
    cell_edited, cell_moved, package_removed,
]  # fmt: skip


@pytest.mark.parametrize("steps", CASES, ids=lambda steps: steps.__name__)
def test_after_each_change_the_outputs_are_those_of_a_clean_build(
    workspace: Workspace, steps: Steps
) -> None:
    workspace.write(FILES)
    time.sleep(0.06)  # so long that the times of the files are trusted
    workspace.check(*PATTERNS)

    for _ in steps(workspace.root):
        workspace.check(*PATTERNS)
        assert workspace.build(*PATTERNS) == 0


def test_commands_that_alternate_each_notice_what_another_has_seen(workspace: Workspace) -> None:
    workspace.write(FILES)
    packages = []
    for word in ("one", "two", "one", "three"):
        workspace.write({"words.bzl": f"WORD = '{word}'\n"})

        workspace.build("//p:noted")
        assert workspace.output("p/noted.out") == f"{word}\n"

        workspace.write({"p/sub/c.txt": word})
        packages.append(workspace.json("package", "//p:program")["digest"])

        workspace.build("//q:noted")
        assert workspace.output("q/noted.out") == f"{word}\n"

        workspace.check("//...")

    assert packages[0] == packages[2]
    assert len(set(packages)) == 3
