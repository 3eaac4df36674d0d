"""The history of a repository of git or Mercurial: which files each commit of its trunk touched.

The trunk is the line of first parents: what was merged counts as one commit, as it is one step of
what is packaged from the trunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from lamina.core.classes import dataclass
from lamina.linux import vcs
from lamina.linux.vcs import Repository

_MARK = "\x01"


@dataclass(frozen=True, slots=True)
class Commit:
    """One step of the trunk; paths from the root of the repository."""

    id: str
    files: tuple[str, ...]  # sorted


def head(repository: Repository) -> str:
    """The commit that is checked out, or "" where there is none yet."""
    if repository.tool == "git":
        words = ("rev-parse", "--verify", "--quiet", "HEAD")
        return vcs.output(repository, *words, ok=(0, 1)).strip()
    found = vcs.output(repository, "log", "--rev=.", "-T", "{node}")
    return found if found.strip("0") else ""


def nth(repository: Repository, commit: str, back: int) -> str:
    """The commit so many steps of the trunk before another."""
    if repository.tool == "git":
        return vcs.commit_of(repository, f"{commit}~{back}")
    return list(_trunk(_changesets(repository, commit), commit))[back]


def count(repository: Repository, commit: str) -> int:
    """How many commits the trunk has up to one; a shallow clone has only its few."""
    if repository.tool == "git":
        words = ("rev-list", "--count", "--first-parent", commit, "--")
        return int(vcs.output(repository, *words))
    return len(list(_trunk(_changesets(repository, commit), commit)))


def is_shallow(repository: Repository) -> bool:
    """Whether old commits are not in the repository."""
    if repository.tool != "git":
        return False
    return vcs.output(repository, "rev-parse", "--is-shallow-repository").strip() == "true"


def read(repository: Repository, commit: str, most: int) -> list[Commit]:
    """The last so many commits of the trunk up to one, the oldest first."""
    reader = _git if repository.tool == "git" else _mercurial
    return list(reader(repository, commit, most))[::-1]


def sizes(repository: Repository, commit: str) -> Mapping[str, int]:
    """The size in bytes of each file in a commit."""
    if repository.tool == "git":
        lines = vcs.output(repository, "ls-tree", "-r", "-l", "-z", commit).split("\0")
        entries = (line.split("\t", 1) for line in lines if line)
        found = ((path, words.split()[-1]) for words, path in entries)
        return {path: int(size) for path, size in found if size != "-"}  # a submodule has none
    lines = vcs.output(
        repository, "files", f"--rev={commit}", "-T", "{size} {path}\\0", ok=(0, 1)
    ).split("\0")
    pairs = (line.split(" ", 1) for line in lines if line)
    return {path: int(size) for size, path in pairs}


def _git(repository: Repository, commit: str, most: int) -> Iterator[Commit]:
    text = vcs.output(
        repository,
        "log", "--first-parent", "-m", "--root", "--name-only", "--no-renames", "--no-ext-diff",
        "--ignore-submodules=none", f"--max-count={most}", "-z", "--format=%x01%H", commit, "--",
    )  # fmt: skip
    for part in text.split(_MARK)[1:]:
        name, *files = part.replace("\n", "\0", 1).split("\0")
        yield Commit(name, tuple(sorted(filter(None, (file.lstrip("\n") for file in files)))))


def _mercurial(repository: Repository, commit: str, most: int) -> Iterator[Commit]:
    known = _changesets(repository, commit, "{join(files, '\\0')}")
    trunk = list(_trunk(known, commit))
    wanted = set(trunk[:most])
    steps, seen = [], set[str]()
    for name in reversed(trunk):
        files = _brought(known, name, seen)
        if name in wanted:
            steps.append(Commit(name, tuple(sorted(files))))
    return reversed(steps)


@dataclass(frozen=True, slots=True)
class _Changeset:
    parents: tuple[str, ...]
    files: tuple[str, ...]


@cache  # what a commit is made of never changes, and Mercurial takes a while to tell
def _changesets(repository: Repository, commit: str, files: str = "") -> Mapping[str, _Changeset]:
    """All that a commit is made of; `files` is the template of theirs."""
    template = f"{_MARK}{{node}} {{p1node}} {{p2node}}\\0{files}"
    text = vcs.output(repository, "log", f"--rev=::{commit}", "-T", template)
    found = {}
    for part in text.split(_MARK)[1:]:
        words, *paths = part.split("\0")
        name, *parents = words.split()
        known = tuple(parent for parent in parents if parent.strip("0"))
        found[name] = _Changeset(known, tuple(filter(None, paths)))
    return found


def _trunk(known: Mapping[str, _Changeset], commit: str) -> Iterator[str]:
    """A commit and its first parents, the newest first."""
    while commit:
        yield commit
        commit = next(iter(known[commit].parents), "")


def _brought(known: Mapping[str, _Changeset], commit: str, seen: set[str]) -> set[str]:
    """The files of a commit and of those that it merges, which are seen from now on.

    Mercurial itself lists for a merge only what is in neither of its parents.
    """
    files: set[str] = set()
    waiting = [commit]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            files.update(known[name].files)
            waiting.extend(known[name].parents)
    return files
