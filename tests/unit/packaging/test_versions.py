"""Versions from real repositories: what is committed, what is not, and where it is looked for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.manifest import is_version
from lamina.packaging import versions
from lamina.packaging.versions import Version

CONTENT = Digest.of(b"content").hash  # ed7002b4…

_IDENTITY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "HGUSER": "A <a@example.org>",
    "HGRCPATH": "",
}


def run(folder: Path, *command: str) -> str:
    plain = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True, env=plain | _IDENTITY
    ).stdout.strip()


def commit_git(root: Path) -> None:
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "-q", "-m", "more")


def commit_hg(root: Path) -> None:
    run(root, "hg", "commit", "-q", "-A", "-m", "more")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home without the settings of who runs the tests."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def git(tmp_path: Path) -> Path:
    """A git repository with one commit of `BUILD`, `a.py` and `other.py`."""
    root = tmp_path / "repository"
    fill(root)
    run(root, "git", "init", "-q", "-b", "main")
    commit_git(root)
    return root


def fill(root: Path) -> None:
    root.mkdir()
    for name in ("BUILD", "a.py", "other.py"):
        (root / name).write_text(f"# {name}\n")


@pytest.fixture(params=["git", "hg"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same under git and under Mercurial."""
    if request.param == "git":
        found: Path = request.getfixturevalue("git")
        return found
    root = tmp_path / "repository"
    fill(root)
    run(root, "hg", "init")
    commit_hg(root)
    return root


def commit_of(root: Path) -> str:
    if (root / ".hg").exists():
        return run(root, "hg", "log", "-r", ".", "-T", "{node}")
    return run(root, "git", "rev-parse", "HEAD")


def find(root: Path, *inputs: str) -> Version:
    return versions.find(root, inputs or ("BUILD", "a.py"), CONTENT)


class TestBoth:
    def test_unchanged_inputs_have_the_version_of_the_commit(self, repository: Path) -> None:
        commit = commit_of(repository)

        assert find(repository) == Version(commit, CONTENT, dirty=False)
        assert str(find(repository)) == commit[:12]

    @pytest.mark.parametrize(
        "change",
        [
            lambda root: (root / "a.py").write_text("changed\n"),
            lambda root: (root / "a.py").unlink(),
            lambda root: (root / "a.py").chmod(0o755),
        ],
        ids=["changed", "removed", "executable"],
    )
    def test_a_changed_input_is_marked_by_the_content(
        self, repository: Path, change: Callable[[Path], object]
    ) -> None:
        change(repository)

        assert find(repository).dirty
        assert str(find(repository)) == f"{commit_of(repository)[:12]}-dirty.ed7002b4"

    def test_an_input_that_is_not_in_the_commit_is_marked(self, repository: Path) -> None:
        (repository / "new.py").write_text("")

        assert find(repository, "BUILD", "new.py").dirty

    def test_an_input_that_is_ignored_is_marked(self, repository: Path) -> None:
        (repository / ".gitignore").write_text("made.py\n")
        (repository / ".hgignore").write_text("made.py\n")
        (repository / "made.py").write_text("")

        assert find(repository, "made.py").dirty

    def test_a_file_that_was_looked_for_in_vain_does_not_mark(self, repository: Path) -> None:
        assert not find(repository, "BUILD", "MODULE.bazel").dirty
        (repository / "MODULE.bazel").write_text("")

        assert find(repository, "BUILD", "MODULE.bazel").dirty

    def test_changes_elsewhere_leave_the_version_clean(self, repository: Path) -> None:
        (repository / "other.py").write_text("changed\n")
        (repository / "new.py").write_text("")

        assert not find(repository).dirty

    def test_a_renamed_input_is_marked(self, repository: Path) -> None:
        tool = "hg" if (repository / ".hg").exists() else "git"
        run(repository, tool, "mv", "a.py", "b.py")

        assert find(repository, "b.py").dirty
        assert find(repository, "a.py").dirty

    def test_names_that_need_quoting_are_known(self, repository: Path) -> None:
        names = ("ü ber.py", "a\tb.py", '"c".py')
        for name in names:
            (repository / name).write_text("")
        (commit_hg if (repository / ".hg").exists() else commit_git)(repository)

        assert not find(repository, *names).dirty
        (repository / names[1]).write_text("changed")

        assert find(repository, *names).dirty

    def test_a_workspace_may_be_a_folder_of_the_repository(self, repository: Path) -> None:
        workspace = repository / "sub/ws"
        workspace.mkdir(parents=True)
        (workspace / "a.py").write_text("")
        (commit_hg if (repository / ".hg").exists() else commit_git)(repository)
        (repository / "a.py").write_text("another file of this name is changed\n")

        assert find(workspace, "a.py") == Version(commit_of(repository), CONTENT)
        (workspace / "a.py").write_text("changed\n")

        assert find(workspace, "a.py").dirty

    def test_the_watched_files_change_with_a_commit(self, repository: Path) -> None:
        before = watched(repository)
        (repository / "a.py").write_text("changed\n")
        assert watched(repository) == before

        (commit_hg if (repository / ".hg").exists() else commit_git)(repository)

        assert watched(repository) != before


def watched(root: Path) -> dict[Path, bytes | None]:
    """What the watched files hold; None for one that is not there."""
    return {path: path.read_bytes() if path.exists() else None for path in versions.watched(root)}


@pytest.mark.parametrize("command", ["git init -q", "hg init"])
def test_before_the_first_commit_the_content_is_the_version(tmp_path: Path, command: str) -> None:
    fill(tmp_path / "new")
    run(tmp_path / "new", *command.split())

    assert find(tmp_path / "new") == Version(content=CONTENT)


@pytest.mark.parametrize(
    ("init", "commit"), [(("git", "init", "-q"), commit_git), (("hg", "init"), commit_hg)]
)
def test_the_watched_files_change_with_the_first_commit(
    tmp_path: Path, init: tuple[str, ...], commit: Callable[[Path], None]
) -> None:
    fill(tmp_path / "new")
    run(tmp_path / "new", *init)
    before = watched(tmp_path / "new")

    commit(tmp_path / "new")

    assert watched(tmp_path / "new") != before


def test_without_version_control_the_content_is_the_version(tmp_path: Path) -> None:
    fill(tmp_path / "plain")

    assert find(tmp_path / "plain") == Version(content=CONTENT)
    assert str(find(tmp_path / "plain")) == "ed7002b439e9"
    assert not any(path.exists() for path in versions.watched(tmp_path / "plain"))


def test_a_staged_change_is_marked(git: Path) -> None:
    (git / "a.py").write_text("changed\n")
    run(git, "git", "add", "a.py")

    assert find(git).dirty


def test_a_file_that_was_staged_but_never_committed_is_marked(git: Path) -> None:
    (git / "new.py").write_text("")
    run(git, "git", "add", "new.py")

    assert find(git, "new.py").dirty


def test_touching_an_input_does_not_mark_it(git: Path) -> None:
    os.utime(git / "a.py", (0, 0))

    assert not find(git).dirty


def test_asking_for_the_version_writes_nothing_into_the_repository(git: Path) -> None:
    os.utime(git / "a.py", (0, 0))  # which tempts git to refresh its index
    before = (git / ".git/index").read_bytes()

    find(git)

    assert (git / ".git/index").read_bytes() == before


def test_variables_of_git_do_not_lead_to_another_repository(
    git: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = commit_of(git)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere")

    assert find(git) == Version(commit, CONTENT)


class TestLinkedWorkTree:
    """`git worktree add`: `.git` is a file there, HEAD lies elsewhere, branches in the main one."""

    @pytest.fixture
    def linked(self, git: Path) -> Path:
        folder = git.parent / "linked"
        run(git, "git", "worktree", "add", "-q", "-b", "side", str(folder))
        return folder

    def test_its_own_commit_and_changes_count(self, git: Path, linked: Path) -> None:
        (linked / "a.py").write_text("side\n")
        assert find(linked).dirty
        assert not find(git).dirty

        commit_git(linked)

        assert find(linked) == Version(commit_of(linked), CONTENT)
        assert find(linked).commit != find(git).commit

    def test_its_watched_files_change_with_its_commit_and_not_with_others(
        self, git: Path, linked: Path
    ) -> None:
        before, main = watched(linked), watched(git)
        (linked / "a.py").write_text("side\n")

        commit_git(linked)

        assert watched(linked) != before
        assert watched(git) == main


class TestHead:
    def test_the_watched_files_change_with_a_checkout(self, git: Path) -> None:
        run(git, "git", "branch", "same-commit")
        before = watched(git)

        run(git, "git", "checkout", "-q", "same-commit")

        assert watched(git) != before

    def test_the_watched_files_change_with_a_commit_on_a_detached_head(self, git: Path) -> None:
        run(git, "git", "checkout", "-q", "--detach")
        before = watched(git)
        (git / "a.py").write_text("changed\n")

        commit_git(git)

        assert watched(git) != before

    def test_the_watched_files_change_when_packed_branches_move(self, git: Path) -> None:
        run(git, "git", "pack-refs", "--all")
        before = watched(git)
        (git / "a.py").write_text("changed\n")

        commit_git(git)

        assert watched(git) != before

    def test_a_workspace_in_a_folder_watches_the_repository_around_it(self, git: Path) -> None:
        (git / "sub").mkdir()

        assert versions.watched(git / "sub") == versions.watched(git) != []


@pytest.mark.parametrize(
    "version",
    [
        Version("0123456789abcdef" * 3, CONTENT),
        Version("0123456789abcdef" * 3, CONTENT, dirty=True),
        Version(content=CONTENT),
    ],
)
def test_every_version_is_legal_as_a_tag(version: Version) -> None:
    assert is_version(str(version))


def test_the_content_is_named_by_its_parts_in_order() -> None:
    assert versions.content_of(["a", "b"]) == Digest.of(b"a\nb").hash
    assert versions.content_of(["b", "a"]) != versions.content_of(["a", "b"])


def test_the_first_commit_of_a_plain_folder_is_watched_for(tmp_path: Path) -> None:
    fill(tmp_path / "plain")
    before = [path.exists() for path in versions.watched(tmp_path / "plain")]

    subprocess.run(["git", "init", "-q", tmp_path / "plain"], check=True)

    assert before == [False, False]
    assert versions.watched(tmp_path / "plain")[0].exists()
