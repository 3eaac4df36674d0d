"""What a finished command depended on, so that the same command on an unchanged tree needs no work.

A record holds the identity of every file that was read and the listing of every folder that was
looked at. Comparing them takes one stat() each: no BUILD file is loaded, no action looked up.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from lamina.linux import filesystem

# Files are kept as [size, mtime, inode, ctime, mode], those that are not there as [], those that
# were written too shortly before to trust their times as [sha256]; folders as [mtime, inode,
# digest of the listing].
_State = list[int | str]


def capture(
    root: Path, files: Iterable[str], folders: Iterable[str], begun: int
) -> dict[str, dict[str, _State]]:
    """The state of files and folders (relative to the root, or absolute) as they are now.

    `begun` is when the command began to read (ns): what changed since then makes the record one
    that does not match, rather than one that hides the change.
    """
    known = sorted({*files, *_own_code()})
    return {
        "files": {path: _file_state(root / path, begun) for path in known},
        "folders": {path: _folder_state(root / path) for path in sorted(set(folders))},
    }


def _matches(state: Mapping[str, Mapping[str, _State]], root: Path) -> bool:
    """Whether every file and folder is as it was."""
    prefix = f"{root}/"
    return all(
        _same_file(path if path.startswith("/") else prefix + path, known)
        for path, known in state["files"].items()
    ) and all(_same_folder(prefix + path, known) for path, known in state["folders"].items())


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


def _own_code() -> list[str]:
    """lamina's own files: another lamina may do otherwise."""
    return [str(path) for path in Path(__file__).parents[1].rglob("*.py")]


def _path(folder: Path, key: str) -> Path:
    return folder / "records" / f"{sha256(key.encode()).hexdigest()[:32]}.json"


def _file_state(path: Path, begun: int) -> _State:
    try:
        known = filesystem.identity(path.stat())
        if filesystem.settled(known, min(begun, time.time_ns())):
            return list(known)
        return [_digest(path)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _same_file(path: str, known: _State) -> bool:
    try:
        found = os.stat(path)
        if len(known) == 1:
            return known[0] == _digest(Path(path))
        return list(filesystem.identity(found)) == known
    except (FileNotFoundError, NotADirectoryError):
        return not known


def _folder_state(path: Path) -> _State:
    try:
        status = path.stat()
        return [status.st_mtime_ns, status.st_ino, _listing(str(path))]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _same_folder(path: str, known: _State) -> bool:
    try:
        status = os.stat(path)
        if not known:
            return False
        # An editor that saves by renaming touches the folder but leaves its listing as it was.
        return [status.st_mtime_ns, status.st_ino] == known[:2] or _listing(path) == known[2]
    except (FileNotFoundError, NotADirectoryError):
        return not known


def _listing(path: str) -> str:
    with os.scandir(path) as entries:
        names = sorted(f"{entry.name}\0{entry.is_dir()}" for entry in entries)
    return sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
