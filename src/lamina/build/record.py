"""What a finished command depended on, so that the same command on an unchanged tree needs no work.

A record holds the identity of every file that was read and the listing of every folder that was
looked at. Comparing them takes one stat() each: no BUILD file is loaded, no action looked up. What
has changed is told in groups, by what it may lead to: another graph of actions, or other bytes in
the same graph.
"""

from __future__ import annotations

import functools
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from lamina.build.disk import Listing, look
from lamina.core.classes import dataclass, field
from lamina.core.errors import UserError
from lamina.core.tree import File
from lamina.formats import kept
from lamina.linux import filesystem

# Files are kept as [size, mtime, inode, ctime, mode], those that are not there as [], those that
# were written too shortly before to trust their times as [sha256, executable]; folders as [mtime,
# inode, digest of the listing, digest of what in it decides on build packages]. Where times tell
# nothing, as of folders with links to what does not exist yet, mtime and inode are 0.
_State = list[int | str]
State = dict[str, dict[str, _State]]  # group -> path -> state
_NEVER: _State = [""]  # what no file is like
_TICK = 10_000_000  # nanoseconds: so far may a file's time stamp lie behind the clock
_FORMAT = "lamina record 3"
_OWN = f"{Path(__file__).parents[1]}/"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a command has read: a record must tell of that, not of what it has become since."""

    begun: int  # when it began to read (ns)
    # By path from the root, or absolute; None where the content is unknown.
    files: Mapping[str, File | None]
    folders: Mapping[str, Listing]
    made: frozenset[str] = frozenset()  # files that the command wrote, or looked at last
    sources: Mapping[str, File] = field(default_factory=dict)  # files that actions have read


@dataclass(frozen=True, slots=True)
class Changes:
    """What is not as it was."""

    files: tuple[str, ...]  # that decide which actions there are
    sources: tuple[str, ...]  # that actions have read
    made: tuple[str, ...]
    folders: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.files or self.sources or self.made or self.folders)


@dataclass(frozen=True, slots=True)
class Record:
    """What a command led to, and the state of all that it depended on."""

    state: State
    result: Mapping[str, Any]

    def changes(self, root: Path) -> Changes:
        """What has changed since."""
        prefix = f"{root}/"

        def changed(group: str, same: Callable[[str, _State], bool]) -> tuple[str, ...]:
            return tuple(
                path
                for path, known in self.state[group].items()
                if not same(path if path[:1] == "/" else prefix + path, known)
            )

        return Changes(
            changed("files", _same_code),
            changed("sources", _same_file),
            changed("made", _same_made),
            changed("folders", _same_folder),
        )

    def has_same_packages(self, folder: str, found: Listing) -> bool:
        """Whether a folder that changed has the BUILD file and the folders that it had."""
        known = self.state["folders"][folder]
        return len(known) == 4 and found.structure == known[3]


def capture(root: Path, seen: Seen) -> State:
    """The state of all that was seen, this program's own code included.

    What was changed while the command ran gives a record that does not match, rather than one
    that hides the change.
    """
    files = {**dict.fromkeys(own_code()), **seen.files}
    return _states(root, Seen(seen.begun, files, seen.folders, seen.made, seen.sources))


def renew(state: State, root: Path, seen: Seen, gone: Iterable[str] = ()) -> State:
    """The state with what was seen again put in, and without what was made and is `gone`."""
    found = _states(root, seen)
    merged = {group: {**state[group], **found[group]} for group in state}
    for path in gone:
        merged["made"].pop(path, None)
    return merged


def _states(root: Path, seen: Seen) -> State:
    groups: State = {"files": {}, "sources": {}, "made": {}, "folders": {}}
    for group, files in (("files", seen.files), ("sources", seen.sources)):
        for path in sorted(files):
            groups[group][path] = _file_state(_full(root, path), seen.begun, files[path])
    now = time.time_ns()  # nobody reads them before: what counts is how they are from now on
    for path in sorted(seen.made):
        groups["made"][path] = _file_state(_full(root, path), now, None, made=True)
    for path, listing in sorted(seen.folders.items()):
        groups["folders"][path] = _folder_state(root / path, seen.begun, listing)
    return groups


def save(
    folder: Path,
    key: str,
    state: State,
    result: Mapping[str, object],
    scratch: Path | None = None,
) -> None:
    """Keep what a command led to, and the state of all that it read, under a key."""
    kept.write(path_of(folder, key), _FORMAT, (key, state, result), scratch)


def read(folder: Path, key: str) -> Record | None:
    """What is kept under a key, whether it is still true or not."""
    found = kept.read(path_of(folder, key), _FORMAT)
    return Record(*found[1:]) if found is not None and found[0] == key else None


def load(folder: Path, key: str, root: Path) -> Mapping[str, Any] | None:
    """What the command led to, or None if it is not known or anything it read has changed."""
    found = read(folder, key)
    return None if found is None or found.changes(root) else found.result


def own_code() -> list[str]:
    """lamina's own files: another lamina may do otherwise."""
    return [str(path) for path in Path(_OWN).rglob("*.py")]


def look_at_own_code(paths: Collection[str]) -> None:
    """Look at those files of lamina's own now, that `changes` takes for what they are then."""
    for path in own_code():
        if path in paths:
            _own_state(path)


def path_of(folder: Path, key: str, suffix: str = "") -> Path:
    """The file that something is kept in under a key."""
    return folder / "records" / f"{sha256(key.encode()).hexdigest()[:32]}{suffix}"


def _full(root: Path, path: str) -> str:
    return path if path.startswith("/") else f"{root}/{path}"


def _file_state(path: str, begun: int, node: File | None, *, made: bool = False) -> _State:
    """A file as it was when it was read; one that was `made` as it is now, links as links."""
    status = _stat(path, follow=not made)
    if status is None:
        return []
    known = filesystem.identity(status)
    if filesystem.settled(known, begun):
        return list(known)
    if node is not None:
        return [node.digest.hash, node.executable]
    unchanged = max(status.st_mtime_ns, status.st_ctime_ns) < begun - _TICK
    return _content(path, status) if unchanged or made else _NEVER


def _stat(path: str, *, follow: bool = True) -> os.stat_result | None:
    """What is at a path; None where nothing is that could be read, such as a loop of links."""
    try:
        return os.stat(path, follow_symlinks=follow)
    except OSError:
        return None


def _content(path: str, status: os.stat_result) -> _State:
    """What a file holds, whenever it was written; of a folder only that it is one."""
    if stat.S_ISLNK(status.st_mode):
        return [f"-> {Path(path).readlink()}", False]
    if not stat.S_ISREG(status.st_mode):
        return [status.st_mode, ""]
    try:
        return [sha256(Path(path).read_bytes()).hexdigest(), bool(status.st_mode & 0o100)]
    except OSError:  # it has gone since, or may not be read
        return _NEVER


def _same_file(path: str, known: _State, *, follow: bool = True) -> bool:
    found = _stat(path, follow=follow)
    if found is None:
        return not known
    if len(known) == 2:
        return _content(path, found) == known
    return list(filesystem.identity(found)) == known


def _same_code(path: str, known: _State) -> bool:
    """The same for what may be lamina's own: that is what it was when this process looked first."""
    if not path.startswith(_OWN):
        return _same_file(path, known)
    return _own_state(path) == known or _same_file(path, known)


@functools.cache
def _own_state(path: str) -> _State:
    found = _stat(path)
    return [] if found is None else list(filesystem.identity(found))


def _same_made(path: str, known: _State) -> bool:
    return _same_file(path, known, follow=False)


def _folder_state(path: Path, begun: int, listing: Listing) -> _State:
    status = _stat(str(path))
    if status is None:
        return []
    settled = filesystem.settled(filesystem.identity(status), begun) and not listing.dangling
    times: _State = [status.st_mtime_ns, status.st_ino] if settled else [0, 0]
    return [*times, listing.digest, listing.structure]


def _same_folder(path: str, known: _State) -> bool:
    status = _stat(path)
    if status is None:
        return not known
    if not known:
        return False
    # An editor that saves by renaming touches the folder but leaves its listing as it was.
    return [status.st_mtime_ns, status.st_ino] == known[:2] or _listed(path) == known[2]


def _listed(path: str) -> str:
    try:
        return look(path).digest
    except UserError:
        return ""  # who goes on to load it tells of it
