"""The workspace as it was at a commit, as far as loading some build packages of it needs.

Nothing is checked out: what has not changed since is read where it lies, the rest is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from lamina.build.disk import Disk, Listing, join
from lamina.build.loader import Loader
from lamina.build.workspace import Workspace
from lamina.core import classes
from lamina.core.classes import dataclass, field
from lamina.linux import vcs

Fetch = Callable[[str], bytes]
OUTPUTS = "lamina-out"


@dataclass(frozen=True, slots=True)
class Difference:
    """What has changed; files by their path from the root of the workspace."""

    edited: frozenset[str] = frozenset()
    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()  # something below has changed, it is not known what

    @property
    def files(self) -> frozenset[str]:
        """All that has changed, was added or removed."""
        return self.edited | self.added | self.removed

    @property
    def moved(self) -> frozenset[str]:
        """What globs may see another way: files that are new or gone."""
        return self.added | self.removed


def difference(workspace: Workspace, repository: Path, changes: vcs.Changes) -> Difference:
    """The changes of a repository as the workspace, or a cell of it, sees them."""

    def seen(paths: Iterable[str]) -> frozenset[str]:
        found = (_seen(workspace, repository / path) for path in paths)
        return frozenset(path for path in found if path is not None)

    folders = seen(changes.folders)
    return Difference(seen(changes.edited), seen(changes.added), seen(changes.removed), folders)


def _seen(workspace: Workspace, file: Path) -> str | None:
    """A file by its path from the root of the workspace; None where it lies elsewhere."""
    if file.is_relative_to(workspace.root):
        path = file.relative_to(workspace.root)
        return None if path.parts[:1] == (OUTPUTS,) else path.as_posix()
    for folder, place in workspace.cells.elsewhere.items():
        if file.is_relative_to(place):
            return join(folder, file.relative_to(place).as_posix())
    return None


def loader(workspace: Workspace, changed: Difference, fetch: Fetch, scratch: Path) -> Loader:
    """What loads build packages as they were.

    `fetch` gives the former content of a file that was edited or removed; `scratch` is an empty
    folder to keep it in.
    """
    settings = {name: getattr(workspace, name) for name in classes.names(type(workspace))}
    texts = _Texts(changed.edited | changed.removed, fetch, scratch)
    past = _PastWorkspace(**settings, texts=texts)
    return Loader(past, disk=_PastDisk(past, changed))


class _Texts:
    """Former contents of files, each fetched when it is first asked for."""

    def __init__(self, changed: frozenset[str], fetch: Fetch, scratch: Path) -> None:
        self._changed = changed
        self._fetch = fetch
        self._scratch = scratch
        self._known: dict[str, str] = {}

    def place(self, path: str) -> str:
        """Where the former content of a file lies; "" where it is the present one."""
        if path not in self._changed:
            return ""
        if path not in self._known:
            file = self._scratch / str(len(self._known))
            file.write_bytes(self._fetch(path))
            self._known[path] = str(file)
        return self._known[path]


@dataclass(frozen=True, slots=True)
class _PastWorkspace(Workspace):
    texts: _Texts = field(kw_only=True)

    def locate(self, path: str) -> str:
        return self.texts.place(path) or Workspace.locate(self, path)


class _PastDisk(Disk):
    """Lists folders without what is new, and with what is gone."""

    def __init__(self, workspace: _PastWorkspace, changed: Difference) -> None:
        cells = workspace.cells
        roots, build_files = cells.folders.values(), cells.build_files
        super().__init__(workspace.root, workspace.ignore, workspace.locate, roots, build_files)
        self._added = _by_folder(changed.added)
        self._removed = _by_folder(changed.removed)
        self._gone = _by_folder({parent for path in changed.removed for parent in above(path)})
        self._past: dict[str, Listing] = {}

    def folder(self, path: str) -> Listing:
        found = self._past.get(path)
        if found is None:
            now = super().folder(path)
            added = self._added.get(path, frozenset())
            found = self._past[path] = Listing(
                now.files - added | self._removed.get(path, frozenset()),
                now.folders - added | self._gone.get(path, frozenset()),
                now.links - added,
            )
        return found


def above(path: str) -> list[str]:
    """The folders that a path lies in, without the root."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _by_folder(paths: frozenset[str] | set[str]) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        found.setdefault(folder, set()).add(name)
    return {folder: frozenset(names) for folder, names in found.items()}
