"""Version control: what a repository of git or Mercurial says of its files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.core.errors import HostError, UserError
from lamina.linux import process


@dataclass(frozen=True, slots=True)
class Repository:
    """A work tree."""

    folder: Path
    tool: str  # "git" or "hg"


@dataclass(frozen=True, slots=True)
class Changes:
    """How a work tree differs from a commit; paths from the root of the repository.

    Files that are not under version control count as added, unless they are ignored.
    """

    edited: frozenset[str] = frozenset()
    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()  # repositories within, of which no more is known


def find(root: Path) -> Repository | None:
    """The repository that a folder lies in."""
    for folder in (root, *root.parents):
        if (folder / ".git").exists():
            return Repository(folder, "git")
        if (folder / ".hg").exists():
            return Repository(folder, "hg")
    return None


def commit_of(repository: Repository, revision: str) -> str:
    """The full id of a commit; raises UserError where the revision names none, or several."""
    if repository.tool == "git":
        wanted = f"{revision}^{{commit}}"
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", wanted)
        found = output(repository, *words, ok=(0, 1, 128)).split()
    else:
        words = ("log", f"--rev={revision}", "--template={node}\n", "--limit=2", "--quiet")
        found = output(repository, *words, ok=(0, 255)).split()
    if len(found) == 1:
        return found[0]
    tool = "git" if repository.tool == "git" else "Mercurial"
    if found:
        raise UserError(f"`{revision}` names several commits, one is wanted")
    hint = "a branch, a tag or a commit that this repository has; a shallow clone has few"
    raise UserError(f"{tool} knows no revision `{revision}`", hint=hint)


def common_ancestor(repository: Repository, commit: str) -> str:
    """Where the history of the work tree parted from that of a commit; raises UserError."""
    if repository.tool == "git":
        found = output(repository, "merge-base", commit, "HEAD", ok=(0, 1)).split()
    else:
        ancestor = f"--rev=ancestor({commit}, .)"
        found = output(repository, "log", ancestor, "--template", "{node}\n").split()
    if not found:
        hint = "a shallow clone may lack it: fetch more of the history"
        raise UserError(f"the work tree and `{commit[:12]}` have no common ancestor", hint=hint)
    return found[0]


def changes(repository: Repository, commit: str) -> Changes:
    """How the work tree, with what is not committed in it, differs from a commit."""
    return _git_changes(repository, commit) if repository.tool == "git" else _hg(repository, commit)


def _git_changes(repository: Repository, commit: str) -> Changes:
    words = output(
        repository,
        "diff", "--name-status", "-z", "--no-renames", "--no-ext-diff",
        "--ignore-submodules=none", commit, "--",
    )  # fmt: skip
    others = output(repository, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    states = list(_pairs(words.split("\0")))
    # A file that became a link, or the like: it is both gone and new.
    edited = {path for state, path in states if state not in ("A", "D", "T")}
    added = {path for state, path in states if state in ("A", "T")} | set(filter(None, others))
    removed = {path for state, path in states if state in ("D", "T")}
    folders = {p.rstrip("/") for p in (*edited, *added) if (repository.folder / p).is_dir()}
    return Changes(
        frozenset(edited - folders), frozenset(_files(added, folders)), frozenset(removed),
        frozenset(folders),
    )  # fmt: skip


def _files(paths: Iterable[str], folders: Collection[str]) -> Iterator[str]:
    return (path for path in paths if path.rstrip("/") not in folders)


def _pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    return zip(words[::2], words[1::2], strict=False)


def _hg(repository: Repository, commit: str) -> Changes:
    words = output(repository, "status", f"--rev={commit}", "-mardu", "-0").split("\0")
    states = [(word[0], word[2:]) for word in words if word]
    return Changes(
        frozenset(path for state, path in states if state == "M"),
        frozenset(path for state, path in states if state in ("A", "?")),
        frozenset(path for state, path in states if state in ("R", "!")),
    )


def content(repository: Repository, commit: str, path: str) -> bytes:
    """What a file held in a commit; raises HostError where it was not there."""
    if repository.tool == "git":
        return _run(repository, "cat-file", "blob", f"{commit}:{path}")
    return _run(repository, "cat", f"--rev={commit}", "--", f"path:{path}")


def export(repository: Repository, commit: str, folder: Path) -> None:
    """Write all files of a commit below a folder that is there and empty.

    Repositories within, such as git's submodules, are left out. The work tree stays as it is.
    """
    if repository.tool == "git":
        # `git archive` would leave out and rewrite what `.gitattributes` says.
        index = {"GIT_INDEX_FILE": f"{folder}.index"}
        _run(repository, "read-tree", commit, environment=index)
        _run(repository, "checkout-index", "--all", f"--prefix={folder}/", environment=index)
        Path(f"{folder}.index").unlink()
    else:
        words = ("--config=ui.archivemeta=false", f"--rev={commit}", "--type=files")
        _run(repository, "archive", *words, str(folder))


def output(repository: Repository, *args: str, ok: tuple[int, ...] = (0,)) -> str:
    """What the repository's tool prints, in words that no setting or language changes."""
    return _run(repository, *args, ok=ok).decode(errors="surrogateescape")


def _run(
    repository: Repository,
    *args: str,
    ok: tuple[int, ...] = (0,),
    environment: Mapping[str, str] | None = None,
) -> bytes:
    environment = {
        **(environment or {}),
        "GIT_OPTIONAL_LOCKS": "0",
        "HGPLAIN": "1",
        "HOME": str(Path.home()),
        "LC_ALL": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    folder = repository.folder
    try:
        done = process.run(repository.tool, *args, cwd=folder, env=environment, ok=ok)
    except HostError as error:
        if "dubious ownership" in error.message:
            raise HostError(
                f"git does not trust `{folder}`, which belongs to another user",
                hint=f"`git config --global --add safe.directory {folder}`",
            ) from error
        raise
    return done.stdout
