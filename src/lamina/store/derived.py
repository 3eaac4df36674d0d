"""What is made of blobs and kept beside them: merged images, layers and packages as files.

Each has a key, made of what it is made of, and lies in `<kind>/<2 hex>/<62 hex>`. A note,
`made/<2 hex>/<62 hex>`, tells in lines the state in which it was when it was done, the sha256 of
it if it is a file, and the hashes of the blobs it is made of. What is not in that state any more (a
program as root can write anywhere) is made again; what the blobs of a leased package are enough for
is in use (`gc`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lamina.core.digest import Digest
from lamina.linux import btrfs, filesystem
from lamina.store.local import LocalStore

MERGED, EXTRACTED, JOINED, LAID = "merged", "extracted", "joined", "laid"
KINDS = (MERGED, EXTRACTED, JOINED, LAID)
_NOTES = "made"
_UNDONE = "-"

State = Callable[[Path], str]  # one line; raises FileNotFoundError


def key(form: str, members: Iterable[str]) -> str:
    """The key of what is made of these blobs, in their order, in a certain way."""
    return Digest.of("\n".join((form, *members)).encode()).hash


def place(kind: str, name: str, folder: Path) -> Path:
    """Where it lies in the store in a folder."""
    return Path(f"{folder}/{kind}/{name[:2]}/{name[2:]}")  # once, not part by part: asked often


def note(name: str, folder: Path) -> Path:
    """Where it is told how it was when it was done; its time is that of the last use."""
    return place(_NOTES, name, folder)


def of_file(path: Path) -> str:
    """The state of a file: who writes into it changes that."""
    return " ".join(map(str, filesystem.identity(path.stat())))


def kept(kind: str, name: str, folder: Path, state: State = of_file) -> Path | None:
    """Where it lies, if it is there and as it was made."""
    path = place(kind, name, folder)
    own = note(name, folder)
    try:
        if own.read_bytes().partition(b"\n")[0].decode() != state(path):
            return None
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):  # somebody else's store
        os.utime(own)
    return path


def of_folder(path: Path) -> str:
    """The state of a folder with all in it: who writes into a file there changes that."""
    from hashlib import sha256  # dear, and seldom needed

    found = sha256()
    waiting = [os.fspath(path)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                status = entry.stat(follow_symlinks=False)
                # The time of a change is that of another link, too.
                known = (status.st_mode, status.st_size, status.st_mtime_ns)
                found.update(f"{entry.name!a} {known}\n".encode())
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return found.hexdigest()


def of_subvolume(path: Path) -> str:
    """The state of a subvolume that nobody can change."""
    if not btrfs.is_read_only(path):
        raise FileNotFoundError(path)
    return "read-only"


@contextlib.contextmanager
def making(
    kind: str,
    name: str,
    members: Iterable[str],
    store: LocalStore,
    state: State = of_file,
    finish: Callable[[Path], None] | None = None,
    lock: str = "lock",
) -> Iterator[Path | None]:
    """A place to make it, in the store's scratch; where the block ends, it is kept.

    None where another process has made it meanwhile: one makes it, and the others wait. What is
    kept is handed to `finish`. What is made for another thing of its kind, in that one's block, has
    another `lock`: each is for many names.
    """
    path = place(kind, name, store.folder)
    with filesystem.locked(path.with_name(lock)):
        if kept(kind, name, store.folder, state) is not None:
            yield None
            return
        remove(path, store)
        made = Path(filesystem.fresh_name(store.scratch))
        try:
            yield made
            # The note comes first: nobody removes what somebody is about to use.
            _note(store, name, _UNDONE, _UNDONE, members)
            content = filesystem.sha256(made) if made.is_file() else _UNDONE
            made.rename(path)
            filesystem.sync_folder(path.parent)
            if finish is not None:
                finish(path)
            _note(store, name, state(path), content, members)
        finally:
            remove(made, store)


def _note(store: LocalStore, name: str, state: str, content: str, members: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in (state, content, *dict.fromkeys(members)))
    filesystem.write_atomic(note(name, store.folder), text.encode(), scratch=store.scratch)


def members(name: str, folder: Path) -> set[str]:
    """The hashes of the blobs that it is made of; none where nobody knows."""
    return set(filter(None, _lines(name, folder)[2:]))


def content(name: str, folder: Path) -> str:
    """The sha256 of a file that was made; empty for a folder, and where nobody knows."""
    found = _lines(name, folder)[1:2]
    return "" if found in ([], [_UNDONE]) else found[0]


def _lines(name: str, folder: Path) -> list[str]:
    try:
        return note(name, folder).read_text(errors="replace").split("\n")
    except OSError:
        return []


def last_use(name: str, folder: Path) -> float:
    """When it was last used, in seconds since the epoch."""
    try:
        return note(name, folder).stat().st_mtime
    except OSError:
        return 0.0


def remove(path: Path, store: LocalStore) -> None:
    """Remove it, if it is there, so that nobody sees half of a folder."""
    if btrfs.is_subvolume(path):
        btrfs.remove(path)
    elif path.is_dir() and not path.is_symlink():
        path.chmod(0o700)  # else it could not be moved
        away = Path(filesystem.fresh_name(store.scratch))
        path.rename(away)
        filesystem.remove_tree(away)
    else:
        path.unlink(missing_ok=True)


def forget(name: str, folder: Path) -> None:
    """Remove the note of what was removed."""
    note(name, folder).unlink(missing_ok=True)
