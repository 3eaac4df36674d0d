"""What a start of a package came to, so that the next one need not find it out again.

A record `starts/<user id>-<reference>` tells which images are mounted, what is run, and in which
state all files were that had a say in it: those of the images, and those that tell which package
the reference names. It holds as long as they are unchanged; else all is found out anew. It is for
one user, and only what this user alone may write is believed.

Its fields end with NUL bytes: the form; the hash of the package; its title; the program that
serves images, if one does; then lists, each after its length: arguments, variables, images (path,
kind, offset, state), files that had a say (path, state), notes of use that are to be renewed
(path); `end`. Nothing dear is imported here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from lamina.linux.identity import identity

FOLDER = "starts"
_FORMAT = "lamina start 2"
_END = "end"
_ABSENT = "-"
_LONGEST = 200  # characters of a name


class Start:
    """What was found out; plain, as data classes are dear to import."""

    __slots__ = ("arguments", "files", "images", "notes", "package", "server", "title", "variables")

    def __init__(
        self,
        package: str,
        title: str,
        server: str,
        arguments: list[str],
        variables: list[str],
        images: list[tuple[str, str, int, str]],
        files: list[tuple[str, str]],
        notes: list[str],
    ) -> None:
        """The fields of a record."""
        self.package = package  # the hash of its manifest
        self.title = title  # its folder below `/packages`
        self.server = server  # the program that serves images; empty where the kernel reads them
        self.arguments = arguments  # the first is a path
        self.variables = variables  # `NAME=value`, that the program gets besides those around it
        self.images = images  # path, `squashfs` or `erofs`, offset in bytes, state; bottom first
        self.files = files  # path, state
        self.notes = notes  # paths

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


def path(store: str, reference: str) -> str | None:
    """Where the record of a reference lies for this user; None for one too long to have any."""
    name = reference.replace("%", "%25").replace("/", "%2F")
    return None if len(name) > _LONGEST else f"{store}/{FOLDER}/{os.geteuid()}-{name}"


def encode(found: Start) -> bytes:
    """The record, to be written to `path`."""
    fields = [_FORMAT, found.package, found.title, found.server]
    for many in (found.arguments, found.variables, found.images, found.files, found.notes):
        fields.append(str(len(many)))
        for each in many:
            fields += [each] if isinstance(each, str) else map(str, each)
    return os.fsencode("".join(f"{field}\0" for field in (*fields, _END)))


def read(store: str, reference: str) -> Start | None:
    """The record of a reference; None where there is none that can be believed."""
    place = path(store, reference)
    if place is None:
        return None
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        own = status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not own or not stat.S_ISREG(status.st_mode):
            return None
        data = os.read(descriptor, status.st_size)
    finally:
        os.close(descriptor)
    return decode(data)


def decode(data: bytes) -> Start | None:
    """The start that this tells of; None where it is no whole record of this form."""
    fields = _Fields(os.fsdecode(data).split("\0"))
    try:
        if fields.text() != _FORMAT:
            return None
        found = Start(
            fields.text(),
            fields.text(),
            fields.text(),
            [fields.text() for _ in range(fields.number())],
            [fields.text() for _ in range(fields.number())],
            [
                (fields.text(), fields.text(), fields.number(), fields.text())
                for _ in range(fields.number())
            ],
            [(fields.text(), fields.text()) for _ in range(fields.number())],
            [fields.text() for _ in range(fields.number())],
        )
        return found if fields.rest() == [_END, ""] and found.arguments else None
    except (IndexError, ValueError):
        return None


class _Fields:
    """The fields of a record, one by one."""

    def __init__(self, fields: list[str]) -> None:
        self._fields = fields
        self._at = 0

    def text(self) -> str:
        self._at += 1
        return self._fields[self._at - 1]

    def number(self) -> int:
        return int(self.text())

    def rest(self) -> list[str]:
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
