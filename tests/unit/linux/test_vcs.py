"""What real repositories say of their changes, those of git and of Mercurial alike."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.core.errors import HostError, UserError
from lamina.linux import vcs
from lamina.linux.vcs import Changes, Repository

_IDENTITY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "HGUSER": "A <a@example.org>",
    "HGRCPATH": "",
}


class Tree:
    """A work tree with `kept`, `edited`, `gone` and `odd name` committed."""

    def __init__(self, tool: str, root: Path) -> None:
        self.root = root
        self.repository = Repository(root, tool)
        root.mkdir()
        self.run("init", "-q", *(("-b", "main") if tool == "git" else ()))
        for name in ("kept", "edited", "gone", 'odd "näme'):
            (root / name).write_text(name)
        self.commit()

    def run(self, *words: str) -> str:
        plain = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        return subprocess.run(
            [self.repository.tool, *words],
            cwd=self.root, check=True, capture_output=True, text=True, env=plain | _IDENTITY,
        ).stdout.strip()  # fmt: skip

    def commit(self) -> str:
        if self.repository.tool == "git":
            self.run("add", "-A")
            self.run("commit", "-q", "-m", "x")
            return self.run("rev-parse", "HEAD")
        self.run("commit", "-q", "-A", "-m", "x")
        return self.run("log", "-r", ".", "-T", "{node}")

    @property
    def head(self) -> str:
        return "HEAD" if self.repository.tool == "git" else "."


@pytest.fixture(params=["git", "hg"])
def tree(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Tree(request.param, tmp_path / "tree")


def test_a_repository_is_found_from_a_folder_within(tree: Tree) -> None:
    (tree.root / "a/b").mkdir(parents=True)

    assert vcs.find(tree.root / "a/b") == tree.repository


def test_there_may_be_none(tmp_path: Path) -> None:
    assert vcs.find(tmp_path) is None


def _edit(tree: Tree) -> None:
    (tree.root / "edited").write_text("other")
    (tree.root / "gone").unlink()
    (tree.root / "sub").mkdir()
    (tree.root / "sub/new").write_text("")
    (tree.root / 'odd "näme').write_text("")


EXPECTED = Changes(frozenset({"edited", 'odd "näme'}), frozenset({"sub/new"}), frozenset({"gone"}))


def _leave(_tree: Tree) -> None:
    """Keep the edits as they are."""


def _record(tree: Tree) -> None:
    tree.commit()


@pytest.mark.parametrize("then", [_leave, _record])
def test_edits_count_whether_they_are_committed_or_not(
    tree: Tree, then: Callable[[Tree], None]
) -> None:
    before = vcs.commit_of(tree.repository, tree.head)
    _edit(tree)
    then(tree)

    assert vcs.changes(tree.repository, before) == EXPECTED


def test_a_renamed_file_is_gone_and_new(tree: Tree) -> None:
    before = vcs.commit_of(tree.repository, tree.head)
    tree.run("mv", "gone", "found")

    assert vcs.changes(tree.repository, before) == Changes(
        added=frozenset({"found"}), removed=frozenset({"gone"})
    )


def test_ignored_files_are_no_changes(tree: Tree) -> None:
    ignore = ".gitignore" if tree.repository.tool == "git" else ".hgignore"
    (tree.root / ignore).write_text("out")
    before = tree.commit()
    (tree.root / "out").write_text("")

    assert vcs.changes(tree.repository, before) == Changes()


def test_former_contents_can_be_read(tree: Tree) -> None:
    before = vcs.commit_of(tree.repository, tree.head)
    _edit(tree)
    tree.commit()

    assert vcs.content(tree.repository, before, "gone") == b"gone"
    assert vcs.content(tree.repository, before, 'odd "näme') == 'odd "näme'.encode()
    with pytest.raises(HostError):
        vcs.content(tree.repository, before, "sub/new")


@pytest.mark.parametrize("name", ["nowhere", "--help", "a b", ""])
def test_a_revision_that_is_none_is_told(tree: Tree, name: str) -> None:
    with pytest.raises(UserError, match=f"knows no revision `{name}`"):
        vcs.commit_of(tree.repository, name)


def test_the_common_ancestor_is_where_histories_part(tree: Tree) -> None:
    start = vcs.commit_of(tree.repository, tree.head)
    (tree.root / "kept").write_text("mine")
    mine = tree.commit()
    tree.run(*(("checkout", "-q", start) if tree.repository.tool == "git" else ("update", start)))
    (tree.root / "edited").write_text("theirs")
    tree.commit()

    assert vcs.common_ancestor(tree.repository, mine) == start


def test_a_repository_within_counts_as_a_folder(tmp_path: Path) -> None:
    outer = Tree("git", tmp_path / "outer")
    before = vcs.commit_of(outer.repository, "HEAD")
    Tree("git", outer.root / "inner")

    assert vcs.changes(outer.repository, before) == Changes(folders=frozenset({"inner"}))


def test_histories_without_a_common_ancestor_are_told(tmp_path: Path) -> None:
    tree = Tree("git", tmp_path / "tree")
    start = vcs.commit_of(tree.repository, "HEAD")
    tree.run("checkout", "-q", "--orphan", "other")
    (tree.root / "kept").write_text("of another history")
    tree.commit()

    with pytest.raises(UserError, match="no common ancestor"):
        vcs.common_ancestor(tree.repository, start)


def test_a_commit_is_written_into_a_folder_as_it_is(tree: Tree, tmp_path: Path) -> None:
    (tree.root / "inner").mkdir()
    (tree.root / "inner/tool").write_text("#!/bin/sh\n")
    (tree.root / "inner/tool").chmod(0o755)
    (tree.root / "link").symlink_to("kept")
    (tree.root / ".gitattributes").write_text("kept export-ignore\n")
    commit = tree.commit()
    (tree.root / "edited").write_text("later")
    out = tmp_path / "out"
    out.mkdir()

    vcs.export(tree.repository, commit, out)

    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    assert found == {
        "kept", "edited", "gone", 'odd "näme', "inner/tool", "link", ".gitattributes",
    }  # fmt: skip
    assert (out / "edited").read_text() == "edited"
    assert (out / "inner/tool").stat().st_mode & 0o111
    assert (out / "link").readlink() == Path("kept")
    assert vcs.changes(tree.repository, commit) == Changes(edited=frozenset({"edited"}))
