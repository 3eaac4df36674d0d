"""What a start of a package came to, so that the next one need not find it out again.

A record `starts/<user id>-<reference>`, with a hash where there are more words than that, tells
which images are mounted, what is run, and all that had a say in it: the state of the images, of
the files that tell which package the reference names, and other facts of this machine. It holds as
long as they are as they were; else all is found out anew. It is for one user, who alone may read
it, and only what this user alone may write is believed.

Its fields end with NUL bytes: the form; the hash of the package; its title; the program that
serves images, if one does; then lists, each after its length: arguments, variables, images (path,
kind, offset, state), facts (kind, what it is of, value), notes of use that are to be renewed
(path), what a container is to be told, nothing where there is none, images that may become folders
(path, where that would be), and, for a program in Python, what its launcher is like that needs no
shell: the text before the interpreter's path and behind it, and the path of what that starts in the
package; `end`. Nothing dear is imported here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence

from lamina.linux.identity import identity

FOLDER = "starts"
_FORMAT = "lamina start 5"
_END = "end"
_ABSENT = "-"
_LONGEST = 200  # characters of a name


class Start:
    """What was found out; plain, as data classes are dear to import."""

    __slots__ = (
        "arguments", "facts", "images", "large", "launcher", "notes", "package", "server", "title",
        "variables", "walls",
    )  # fmt: skip

    def __init__(
        self,
        package: str,
        title: str,
        server: str,
        arguments: list[str],
        variables: list[str],
        images: list[tuple[str, str, int, str]],
        facts: list[tuple[str, str, str]],
        notes: list[str],
        walls: list[str],
        large: list[tuple[str, str]],
        launcher: list[str],
    ) -> None:
        """The fields of a record."""
        self.package = package  # the hash of its manifest
        self.title = title  # its folder below `/packages`
        self.server = server  # the program that serves images; empty where the kernel reads them
        self.arguments = arguments  # the first is a path
        self.variables = variables  # `NAME=value`, that the program gets besides those around it
        # Path, `squashfs`, `erofs` or `folder`, offset in bytes, state; bottom first.
        self.images = images
        self.facts = facts  # kind, what it is of, value: see `fact`
        self.notes = notes  # paths
        self.walls = walls  # fields of a container, empty where there is none
        self.large = large  # images that may become folders, and where these would be
        self.launcher = launcher  # two texts and a path, or empty; the launcher in C reads it

    def __eq__(self, other: object) -> bool:
        """Whether both tell of the same start."""
        return isinstance(other, Start) and encode(self) == encode(other)


def state(path: str) -> str:
    """What tells a file from what it was before, or that it is not there."""
    try:
        return of(os.stat(path))
    except FileNotFoundError:
        return _ABSENT


def of(status: os.stat_result) -> str:
    """The state of a file that is open."""
    return " ".join(map(str, identity(status)))


FILE, TEXT, FOLDER_ITSELF, LINK, THERE, VARIABLE, GROUP, RIGHTS = (
    "file", "text", "folder", "link", "there", "variable", "group", "rights",
)  # fmt: skip


def fact(kind: str, of: str) -> str:
    """Something about this machine or process that has a say in a start, as it is now."""
    if kind == FILE:
        return state(of)
    if kind == TEXT:
        return _text(of)
    if kind == FOLDER_ITSELF:  # whatever is in it
        try:
            status = os.stat(of)
        except OSError:
            return _ABSENT
        return f"{status.st_dev} {status.st_ino}"
    if kind == LINK:
        return os.path.realpath(of)
    if kind == THERE:
        return str(os.path.lexists(of))
    if kind == RIGHTS:
        from lamina.linux import rights

        return rights.context()
    if kind == VARIABLE:
        return f"={os.environ[of]}" if of in os.environ else _ABSENT
    return str(os.getegid())


def _text(file: str) -> str:
    try:
        with open(file) as opened:  # noqa: PTH123 - pathlib is dear
            return opened.read()
    except OSError:
        return _ABSENT


def path(store: str, words: Sequence[str]) -> str | None:
    """Where the record of words of `lamina exec` lies for this user; None for a too long one.

    A reference alone is the words of a start with whatever options leave no trace. Others are
    told by a hash: they may hold what is not for every eye.
    """
    if len(words) == 1:
        name = words[0].replace("%", "%25").replace("/", "%2F")
    else:
        from _blake2 import blake2s  # of `hashlib`, which is dear

        name = "%" + blake2s(os.fsencode("\0".join(words))).hexdigest()
    return None if len(name) > _LONGEST else f"{store}/{FOLDER}/{os.geteuid()}-{name}"


def encode(found: Start) -> bytes:
    """The record, to be written to `path`."""
    fields = [_FORMAT, found.package, found.title, found.server]
    for many in (
        found.arguments, found.variables, found.images, found.facts, found.notes, found.walls,
        found.large, found.launcher,
    ):  # fmt: skip
        fields += flat(many)
    return os.fsencode("".join(f"{field}\0" for field in (*fields, _END)))


def flat(many: Sequence[str | tuple[object, ...]]) -> list[str]:
    """A list as fields, after its length."""
    fields = [str(len(many))]
    for each in many:
        fields += [each] if isinstance(each, str) else map(str, each)
    return fields


def read(store: str, words: Sequence[str]) -> Start | None:
    """The record of words of `lamina exec`; None where there is none that can be believed."""
    place = path(store, words)
    return None if place is None else _believed(place)


def own(store: str) -> list[tuple[str, Start]]:
    """The records of this user that can be believed, each with its path."""
    try:
        names = os.listdir(f"{store}/{FOLDER}")  # noqa: PTH208 - pathlib is dear
    except FileNotFoundError:
        return []
    mine = (f"{store}/{FOLDER}/{name}" for name in names if name.startswith(f"{os.geteuid()}-"))
    return [(place, found) for place in mine if (found := _believed(place)) is not None]


def _believed(place: str) -> Start | None:
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        is_own = status.st_uid == os.geteuid() and not status.st_mode & (
            stat.S_IWGRP | stat.S_IWOTH
        )
        if not is_own or not stat.S_ISREG(status.st_mode):
            return None
        data = os.read(descriptor, status.st_size)
    finally:
        os.close(descriptor)
    return decode(data)


def decode(data: bytes) -> Start | None:
    """The start that this tells of; None where it is no whole record of this form."""
    fields = Fields(os.fsdecode(data).split("\0"))
    try:
        if fields.text() != _FORMAT:
            return None
        found = Start(
            fields.text(),
            fields.text(),
            fields.text(),
            fields.texts(),
            fields.texts(),
            [
                (fields.text(), fields.text(), fields.number(), fields.text())
                for _ in range(fields.number())
            ],
            [(fields.text(), fields.text(), fields.text()) for _ in range(fields.number())],
            fields.texts(),
            fields.texts(),
            fields.pairs(),
            fields.texts(),
        )
        return found if fields.rest() == [_END, ""] and found.arguments else None
    except (IndexError, ValueError):
        return None


class Fields:
    """The fields of a record, one by one; raises IndexError where there are no more."""

    def __init__(self, fields: list[str]) -> None:
        """All of them."""
        self._fields = fields
        self._at = 0

    def text(self) -> str:
        """The next one."""
        self._at += 1
        return self._fields[self._at - 1]

    def number(self) -> int:
        """The next one; raises ValueError where it is no number."""
        return int(self.text())

    def texts(self) -> list[str]:
        """A list."""
        return [self.text() for _ in range(self.number())]

    def pairs(self) -> list[tuple[str, str]]:
        """A list of pairs."""
        return [(self.text(), self.text()) for _ in range(self.number())]

    def rest(self) -> list[str]:
        """Those that are left."""
        return self._fields[self._at :]


def sweep(store: str, is_here: Callable[[str], bool]) -> None:
    """Remove the records of packages that are not here, as is told by the hash of a manifest."""
    try:
        names = os.listdir(f"{store}/{FOLDER}")  # noqa: PTH208 - pathlib is dear
    except FileNotFoundError:
        return
    for name in names:
        place = f"{store}/{FOLDER}/{name}"
        try:
            with open(place, "rb") as file:  # noqa: PTH123
                found = decode(file.read())
            if found is None or not is_here(found.package):
                os.unlink(place)  # noqa: PTH108
        except (FileNotFoundError, PermissionError):
            continue  # it has gone meanwhile, or is another user's to remove
