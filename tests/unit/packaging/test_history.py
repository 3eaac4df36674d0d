"""Histories of real repositories, of git and of Mercurial."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lamina.linux import vcs
from lamina.linux.vcs import Repository
from lamina.packaging import history

_WHO = {
    **os.environ,
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "HGUSER": "A",
    "HGPLAIN": "1",
}
_MERGED = {
    "git": "git init -q -b trunk; {0} one 1; {0} two 2; git checkout -q -b side; {0} three 3;"
    "{0} four 4; git checkout -q trunk; {0} two 22; git merge -q --no-ff -m m side; {0} one 11",
    "hg": "hg init -q; {0} one 1; {0} two 2; {0} three 3; {0} four 4; hg up -q 1; {0} two 22;"
    "hg merge -q 3; hg ci -qm m; {0} one 11",
}
_COMMIT = {
    "git": 'commit() { printf "$2" > "$1"; git add "$1"; git commit -qm "$1"; };',
    "hg": 'commit() { printf "$2" > "$1"; hg add -q "$1"; hg ci -qm "$1"; };',
}


@pytest.fixture(params=["git", "hg"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    """Two commits; then a branch of two, merged after one of the trunk; then one more."""
    tool: str = request.param
    script = _COMMIT[tool] + _MERGED[tool].format("commit")
    subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=_WHO, check=True)
    found = vcs.find(tmp_path)
    assert found is not None
    return found


def test_what_was_merged_is_one_commit_of_the_trunk(repository: Repository) -> None:
    commits = history.read(repository, history.head(repository), 10)

    assert [commit.files for commit in commits] == [
        ("one",), ("two",), ("two",), ("four", "three"), ("one",)
    ]  # fmt: skip
    assert history.count(repository, history.head(repository)) == 5


def test_only_the_last_commits_are_read_where_few_are_wanted(repository: Repository) -> None:
    head = history.head(repository)
    commits = history.read(repository, head, 2)

    assert [commit.files for commit in commits] == [("four", "three"), ("one",)]
    assert commits[-1].id == head == history.nth(repository, head, 0)
    assert commits[-2].id == history.nth(repository, head, 1)


def test_sizes_are_those_of_the_commit(repository: Repository) -> None:
    head = history.head(repository)

    assert history.sizes(repository, head) == {"one": 2, "two": 2, "three": 1, "four": 1}
    assert history.sizes(repository, history.nth(repository, head, 4)) == {"one": 1}


@pytest.mark.parametrize("tool", ["git", "hg"])
def test_a_repository_without_a_commit_has_no_head(tool: str, tmp_path: Path) -> None:
    subprocess.run([tool, "init", "-q", str(tmp_path)], check=True, env=_WHO)
    found = vcs.find(tmp_path)

    assert found is not None
    assert history.head(found) == ""
