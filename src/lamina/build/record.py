"""What a finished command depended on, so that the same command on an unchanged tree needs no work.

A record holds the identity of every file that was read and the listing of every folder that was
looked at. Comparing them takes one stat() each: no BUILD file is loaded, no action looked up.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lamina.build.disk import Listing, look
from lamina.core.tree import File
from lamina.linux import filesystem

# Files are kept as [size, mtime, inode, ctime, mode], those that are not there as [], those that
# were written too shortly before to trust their times as [sha256, executable]; folders as [mtime,
# inode, digest of the listing].
_State = list[int | str]
_NEVER: _State = [""]  # what no file is like


@dataclass(frozen=True, slots=True)
class Seen:
    """What a command has read: a record must tell of that, not of what it has become since."""

    begun: int  # when it began to read (ns)
    files: Mapping[str, File | None]  # by path from the root, or absolute; None where it is unknown
    folders: Mapping[str, Listing]
    made: frozenset[str] = frozenset()  # files that the command wrote, or looked at last


def capture(root: Path, seen: Seen) -> dict[str, dict[str, _State]]:
    """The state of all that was seen.

    What was changed while the command ran gives a record that does not match, rather than one
    that hides the change.
    """
    files: dict[str, File | None] = {**dict.fromkeys(own_code()), **seen.files}
    states = {path: _file_state(root / path, seen.begun, node) for path, node in files.items()}
    states |= {path: _file_state(root / path, seen.begun, None, made=True) for path in seen.made}
    folders = {
        path: _folder_state(root / path, seen.begun, listing)
        for path, listing in seen.folders.items()
    }
    return {"files": dict(sorted(states.items())), "folders": dict(sorted(folders.items()))}


def _matches(state: Mapping[str, Mapping[str, _State]], root: Path) -> bool:
    """Whether every file and folder is as it was."""
    prefix = f"{root}/"
    return all(
        _same_file(path if path.startswith("/") else prefix + path, known)
        for path, known in state["files"].items()
    ) and all(
        _same_folder(path if path.startswith("/") else prefix + path, known)
        for path, known in state["folders"].items()
    )


def save(
    folder: Path,
    key: str,
    state: object,
    result: Mapping[str, object],
    scratch: Path | None = None,
) -> None:
    """Keep what a command led to, and the state of all that it read, under a key."""
    data = json.dumps({"key": key, "state": state, "result": result}, separators=(",", ":"))
    filesystem.write_atomic(_path(folder, key), data.encode(), scratch=scratch)


def load(folder: Path, key: str, root: Path) -> Mapping[str, object] | None:
    """What the command led to, or None if it is not known or anything it read has changed."""
    try:
        document = json.loads(_path(folder, key).read_bytes())
        fresh = document["key"] == key and _matches(document["state"], root)
        return dict(document["result"]) if fresh else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def own_code() -> list[str]:
    """lamina's own files: another lamina may do otherwise."""
    return [str(path) for path in Path(__file__).parents[1].rglob("*.py")]


def _path(folder: Path, key: str) -> Path:
    return folder / "records" / f"{sha256(key.encode()).hexdigest()[:32]}.json"


def _file_state(path: Path, begun: int, node: File | None, *, made: bool = False) -> _State:
    """A file as it was when it was read; one that was `made` as it is now."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return []
    known = filesystem.identity(status)
    if filesystem.settled(known, begun):
        return list(known)
    if node is not None:
        return [node.digest.hash, node.executable]
    unchanged = max(status.st_mtime_ns, status.st_ctime_ns) < begun
    return _content(path, status) if unchanged or made else _NEVER


def _content(path: Path, status: os.stat_result) -> _State:
    """What a file holds, whenever it was written; of a folder only that it is one."""
    if not stat.S_ISREG(status.st_mode):
        return [status.st_mode, ""]
    return [sha256(path.read_bytes()).hexdigest(), bool(status.st_mode & 0o100)]


def _same_file(path: str, known: _State) -> bool:
    try:
        found = os.stat(path)
        if len(known) == 2:
            return _content(Path(path), found) == known
        return list(filesystem.identity(found)) == known
    except (FileNotFoundError, NotADirectoryError):
        return not known


def _folder_state(path: Path, begun: int, listing: Listing) -> _State:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return []
    if filesystem.settled(filesystem.identity(status), begun):
        return [status.st_mtime_ns, status.st_ino, listing.digest]
    return [0, 0, listing.digest]


def _same_folder(path: str, known: _State) -> bool:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return not known
    if not known:
        return False
    # An editor that saves by renaming touches the folder but leaves its listing as it was.
    return [status.st_mtime_ns, status.st_ino] == known[:2] or look(path).digest == known[2]
