"""Puts what was built where a person looks for it: below `lamina-out/` in the workspace."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.core.errors import HostError, UserError
from lamina.core.tree import File, Folder, Node, Symlink
from lamina.formats import kept
from lamina.linux import filesystem

if TYPE_CHECKING:
    from lamina.cli.session import Session

FOLDER = "lamina-out"
_UNFINISHED = ".unfinished"  # in it, outputs are written before they get their name
_FORMAT = "lamina outputs 3"
_IGNORED = ".gitignore"
_IN_THE_WAY = (FileExistsError, NotADirectoryError, IsADirectoryError)


def make_folder(folder: Path) -> None:
    """Make the folder of outputs, which git leaves out: `git add -A` must not take it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / _IGNORED).exists():
        filesystem.write_atomic(folder / _IGNORED, b"*\n")


class Publisher:
    """Writes outputs; a context that one process at a time is in, for one workspace."""

    def __init__(self, session: Session) -> None:
        self._store = session.store
        self._root = session.root / FOLDER
        self._memory = session.state / "outputs"
        self._journal = session.state / "outputs.new"  # what is written before that is kept
        self._writing: int | None = None
        self._phase = session.phase("publishing")
        self._lock = filesystem.locked(session.state / "outputs.lock")
        self._context = contextlib.ExitStack()
        self._known: dict[str, _Mark] = {}
        self._changed = False
        self._folders: set[Path] = set()  # that are there, and are no links
        self.outputs: set[str] = set()  # all that lies there now, by path from the root

    def __enter__(self) -> Publisher:
        self._context.enter_context(self._phase)
        self._context.enter_context(self._lock)
        filesystem.remove_tree(self._root / _UNFINISHED)  # what a killed process left
        try:
            make_folder(self._root)
            (self._root / _UNFINISHED).mkdir()
        except (*_IN_THE_WAY, PermissionError) as error:
            raise UserError(
                f"cannot put outputs into `{self._root}`: {error.strerror}",
                hint="it must be a folder, or a link to one, that you may write",
            ) from error
        self._known = _load(self._memory)
        for path in _noted(self._journal):
            self._known[path] = ()  # ours, whatever it holds
        return self

    def __exit__(self, *error: object) -> None:
        with self._context:
            filesystem.remove_tree(self._root / _UNFINISHED)
            if self._writing is not None:
                os.close(self._writing)
            if self._changed:
                kept.write(self._memory, _FORMAT, self._known, self._store.scratch)
            self._journal.unlink(missing_ok=True)

    def write(self, tree: Mapping[str, Node], folders: Iterable[str] = ()) -> None:
        """Write each file of a tree below `lamina-out/`, unless it lies there already.

        In its `folders` nothing else may stay. Files are read-only copies (sharing blocks where
        the file system can): whoever changes one all the same does not change the store. Raises
        UserError where something is in the way that is no earlier output.
        """
        for folder in folders:
            self._empty(folder, tree)
        self.outputs |= {f"{FOLDER}/{path}" for path in tree}
        self._fetch(tree)
        for path, node in tree.items():
            target = self._root / path
            if self._is_there(path, node):
                continue
            self._note(path)
            try:
                self._put(node, target)
            except _IN_THE_WAY as error:
                raise UserError(
                    f"`{error.filename}` is in the way of the output `{FOLDER}/{path}`",
                    hint=f"remove it, or all of `{FOLDER}` by `lamina clean`",
                ) from error
            self._known[path] = _mark(node, target)
            self._changed = True

    def _is_there(self, path: str, node: Node) -> bool:
        """Whether an output lies there as it was written."""
        found = _mark(node, self._root / path)
        # What a killed process was about to write is known by nothing, and so is what is not there.
        return found != () and self._known.get(path) == found

    def _fetch(self, tree: Mapping[str, Node]) -> None:
        """Bring at once what lies in a build farm alone, and not here already."""
        if self._store.upstream is None:
            return
        self._store.fetch(
            node.digest
            for path, node in tree.items()
            if isinstance(node, File) and not self._is_there(path, node)
        )

    def remove(self, outputs: Iterable[str]) -> None:
        """Remove earlier outputs, by path from the root, that have not been written again."""
        for output in sorted(set(outputs) - self.outputs, reverse=True):
            path = output.removeprefix(f"{FOLDER}/")
            if self._known.pop(path, None) is None:
                continue
            self._changed = True
            _remove(self._root / path)
            for parent in (self._root / path).parents:
                if parent == self._root or not (_is_folder(parent) and _remove(parent)):
                    break

    def _empty(self, folder: str, tree: Mapping[str, Node]) -> None:
        """Remove all in a folder that a tree does not have there."""
        root = self._root / folder
        self._folders.clear()
        wanted = {self._root / path for path in tree}
        kept = wanted | {parent for path in wanted for parent in path.parents}
        for path in _below(root):
            if path not in (kept if _is_folder(path) else wanted):
                _remove(path)

    def _note(self, path: str) -> None:
        """Keep that a path is about to be ours, for who comes after a kill."""
        if self._writing is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._writing = os.open(self._journal, flags, 0o644)
        os.write(self._writing, f"{path}\0".encode())

    def _put(self, node: Node, target: Path) -> None:
        try:
            self._write(node, target)
        except _IN_THE_WAY:
            self._make_room(target)
            self._write(node, target)

    def _make_room(self, target: Path) -> None:
        """Remove the earlier outputs that a file or folder cannot be beside."""
        self._folders.clear()
        for path in (target, *target.parents):
            if path == self._root:
                break
            if not _is_folder(path) and self._is_ours(path):
                _remove(path)
        below = _below(target)
        if all(_is_folder(path) or self._is_ours(path) for path in below):
            for path in (*below, target):
                _remove(path)

    def _is_ours(self, path: Path) -> bool:
        return path.relative_to(self._root).as_posix() in self._known

    def _write(self, node: Node, target: Path) -> None:
        if isinstance(node, Folder):
            if target.is_symlink():
                raise FileExistsError(errno.EEXIST, "a link", str(target))
            target.mkdir(parents=True, exist_ok=True)
            return
        self._make_way(target.parent)
        temporary = self._root / _UNFINISHED / "output"
        temporary.unlink(missing_ok=True)
        if isinstance(node, File):
            source = self._store.path(node.digest)
            filesystem.clone_or_copy(source, temporary, 0o555 if node.executable else 0o444)
        elif isinstance(node, Symlink):
            temporary.symlink_to(node.target)
        temporary.replace(target)

    def _make_way(self, folder: Path) -> None:
        """Make a folder for outputs."""
        if folder in self._folders:
            return
        for parent in (folder, *folder.parents):
            if parent.is_symlink() and parent.is_relative_to(self._root):
                parent.unlink()  # an earlier output: what is written must not go through it
        folder.mkdir(parents=True, exist_ok=True)
        self._folders.add(folder)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _below(folder: Path) -> list[Path]:
    """All in a folder, what is in a folder before that; nothing where there is none."""
    return sorted(folder.rglob("*"), reverse=True) if _is_folder(folder) else []


def _remove(path: Path) -> bool:
    """Remove a file, a link or an empty folder; whether it was there and could be."""
    try:
        if _is_folder(path):
            path.rmdir()
        else:
            path.unlink()
    except OSError:
        return False
    return True


def is_unfinished(root: Path) -> bool:
    """Whether outputs are being written in a workspace, or were when a process was killed."""
    return os.path.lexists(root / FOLDER / _UNFINISHED)


def copy_out(root: Path, paths: Sequence[str], place: Path) -> None:
    """Copy outputs to where a person wants them, as files of their own that may be written.

    A single one gets the name `place`, or lies in the folder of this name; of several, and of a
    program with all that it needs, the folder is made. Raises UserError where that is not possible.
    """
    program, is_program, _ = paths[0].partition(".root/")
    top = root / f"{program}.root" if is_program else root / FOLDER
    sources = _files(top) if is_program else [root / path for path in paths]
    single = len(sources) == 1 and not is_program
    try:
        for source in sources:
            if single and not place.is_dir():
                _copy_one(source, place)
            else:
                _copy_one(source, place / (source.name if single else source.relative_to(top)))
    except OSError as error:
        if filesystem.is_full(error):
            hint = "make room there, and run the same again"
            raise HostError(f"cannot copy to `{place}`: {error.strerror}", hint=hint) from error
        raise UserError(f"cannot copy to `{error.filename}`: {error.strerror}") from error


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*"))
    return [path for path in found if path.is_symlink() or not path.is_dir()]


def _copy_one(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with filesystem.temporary_beside(target) as temporary:
        temporary.unlink()
        if source.is_symlink():
            temporary.symlink_to(source.readlink())
        else:
            executable = bool(source.stat().st_mode & 0o100)
            filesystem.clone_or_copy(source, temporary, 0o755 if executable else 0o644)
        temporary.replace(target)


_Mark = tuple[str | int, ...]


def _mark(node: Node, target: Path) -> _Mark:
    """What a written output is known by: its content, and what stat() says of it."""
    try:
        status = target.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return (_content(node), *filesystem.identity(status))


def _content(node: Node) -> str:
    if isinstance(node, File):
        return f"{node.digest.hash}{' executable' * node.executable}"
    return f"-> {node.target}" if isinstance(node, Symlink) else "folder"


def _noted(journal: Path) -> list[str]:
    """The paths that a process which was killed was about to write; the last may be cut short."""
    try:
        return journal.read_bytes().decode(errors="replace").split("\0")[:-1]
    except FileNotFoundError:
        return []


def _load(memory: Path) -> dict[str, _Mark]:
    known: dict[str, _Mark] | None = kept.read(memory, _FORMAT)
    return known or {}
