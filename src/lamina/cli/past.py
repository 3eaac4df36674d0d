"""The workspace as it was at a commit: its files, for a while, in a folder of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lamina.cli import session
from lamina.core.classes import dataclass
from lamina.core.errors import UserError
from lamina.linux import filesystem, vcs
from lamina.store.local import LocalStore


@dataclass(frozen=True, slots=True)
class Past:
    """Where the workspace of the current folder lies as it was."""

    root: Path
    folder: str  # the current folder, from the root of the workspace


@contextmanager
def checked_out(revision: str, store: LocalStore) -> Iterator[Past]:
    """The workspace as it was; at the end it is removed, with what was remembered of it.

    Raises UserError where there is no version control, no such revision, or no workspace in it.
    """
    root, here = session.find_root(Path.cwd()), Path.cwd().resolve()
    repository = vcs.find(root)
    if repository is None:
        raise UserError(f"`{root}` is under no version control", hint="git and Mercurial are known")
    commit = vcs.commit_of(repository, revision)
    folder = store.scratch / f"at-{commit[:12]}"
    folder.mkdir()
    past = folder / root.relative_to(repository.folder)
    try:
        vcs.export(repository, commit, folder)
        if not (past / session.MARKER).exists():
            raise UserError(f"at `{revision}` there is no `{session.MARKER}` in `{root}`")
        inner = here.relative_to(root).as_posix()
        yield Past(past, "" if inner == "." else inner)
    finally:
        filesystem.remove_tree(session.state_of(past, store))
        filesystem.remove_tree(folder)
