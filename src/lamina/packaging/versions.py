"""The version of a package: the commit it was made from, marked where its inputs differ from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import partial
from hashlib import sha256
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.linux import vcs
from lamina.linux.vcs import Repository

_COMMIT = 12  # hexadecimal digits of the commit in a version
_CONTENT = 8  # hexadecimal digits of the content in a dirty mark


@dataclass(frozen=True, slots=True)
class Version:
    """A version; `str()` is legal as an OCI tag and as a file name."""

    commit: str = ""  # full id; empty without version control
    content: str = ""  # 64 hexadecimal digits, of what is in the package
    dirty: bool = False  # an input differs from the commit, or is not in it

    def __str__(self) -> str:
        if not self.commit:
            return self.content[:_COMMIT]
        mark = f"-dirty.{self.content[:_CONTENT]}" if self.dirty else ""
        return self.commit[:_COMMIT] + mark


def content_of(parts: Collection[str]) -> str:
    """The digest of a package's content, from what names its parts."""
    return sha256("\n".join(parts).encode()).hexdigest()


def find(root: Path, inputs: Collection[str], content: str) -> Version:
    """The version of what is made from these files of a workspace.

    Those that were looked for and are neither there nor in the commit are as it has them.
    A workspace under neither git nor Mercurial, or without a commit, has a content version.
    """
    repository = vcs.find(root)
    if repository is None:
        return Version(content=content)
    found = _git(repository) if repository.tool == "git" else _mercurial(repository)
    if found is None:
        return Version(content=content)
    commit, differs = found
    prefix = root.relative_to(repository.folder).as_posix()
    paths = (path if prefix == "." else f"{prefix}/{path}" for path in inputs)
    return Version(commit, content, any(differs(path) for path in paths))


def watched(root: Path) -> list[Path]:
    """The files of version control that change with the commit, whether they exist or not."""
    repository = vcs.find(root)
    if repository is None:
        return [root / ".git/HEAD", root / ".hg/dirstate"]  # once there is version control
    if repository.tool == "git":
        return _git_files(repository.folder / ".git")
    return [repository.folder / ".hg/dirstate"]


def _git(repository: Repository) -> tuple[str, Callable[[str], bool]] | None:
    """The commit, and whether a path differs from it."""
    head = vcs.output(repository, "rev-parse", "--verify", "--quiet", "HEAD", ok=(0, 1))
    if not head:
        return None
    tracked = set(vcs.output(repository, "ls-files", "-z").split("\0"))
    words = vcs.output(repository, "status", "--porcelain", "-z", "-uno", "--no-renames")
    changed = {entry[3:] for entry in words.split("\0") if entry}
    return head.strip(), partial(_differs, repository.folder, changed, tracked)


def _mercurial(repository: Repository) -> tuple[str, Callable[[str], bool]] | None:
    commit = vcs.output(repository, "log", "-r", ".", "-T", "{node}")
    if not commit or set(commit) == {"0"}:
        return None
    changed = set(vcs.output(repository, "status", "-mardu", "-n", "-0").split("\0"))
    tracked = set(vcs.output(repository, "files", "-0", "-r", ".", ok=(0, 1)).split("\0"))
    return commit, partial(_differs, repository.folder, changed, tracked)


def _differs(folder: Path, changed: Collection[str], tracked: Collection[str], path: str) -> bool:
    """Whether a file is not what it is in the commit."""
    return path in changed or (path not in tracked and os.path.lexists(folder / path))


def _git_files(dot_git: Path) -> list[Path]:
    """HEAD, the branch that it names, and the file that branches are packed into."""
    folder = dot_git
    if dot_git.is_file():  # a linked work tree or a submodule
        folder = (dot_git.parent / _text(dot_git).removeprefix("gitdir:").strip()).resolve()
    common = folder / (_text(folder / "commondir").strip() or ".")
    head = _text(folder / "HEAD").strip()
    branch = [common / head.removeprefix("ref:").strip()] if head.startswith("ref:") else []
    return [folder / "HEAD", *branch, common / "packed-refs"]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
