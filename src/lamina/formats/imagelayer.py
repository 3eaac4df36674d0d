"""A layer of a container image as a tar archive that becomes a squashfs image for overlayfs.

In an image, `.wh.x` says that `x` of the layers below is gone, and `.wh..wh..opq` that a folder
hides all below it (github.com/opencontainers/image-spec, layer.md). For overlayfs the first is a
character device 0:0, the second the attribute `trusted.overlay.opaque`, or `user.overlay.opaque`
where an ordinary user mounts (docs.kernel.org/filesystems/overlayfs.html). Whoever wrote these into
the layer itself would hide what its own files do not show to: they are refused.

Owners, modes, times, hard links and extended attributes are kept. Devices are left out: no mount of
ours lets anybody use one. Of two members of one name the later counts.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, cast

from lamina.core.classes import dataclass, field
from lamina.formats.archive import ArchiveError, clean, members

_WHITEOUT, _OPAQUE, _INTERNAL = ".wh.", ".wh..wh..opq", ".wh..wh."
_XATTR = "SCHILY.xattr."
_OURS = ("trusted.overlay.", "user.overlay.")
_MOST_READ = 64 << 20  # bytes of a file that is read whole
_LATEST = (1 << 32) - 1  # seconds since 1970 that squashfs can tell


@dataclass(slots=True)
class _Plan:
    """What a layer holds, once all of it was seen."""

    last: dict[str, int] = field(default_factory=dict)  # path -> number of the member that counts
    folders: dict[str, tarfile.TarInfo] = field(default_factory=dict)
    whiteouts: dict[str, None] = field(default_factory=dict)
    opaque: set[str] = field(default_factory=set)

    def see(self, number: int, member: tarfile.TarInfo) -> None:
        """Take note of a member; raises ArchiveError for what is not to be trusted."""
        path = clean(member.name)
        folder, _, name = path.rpartition("/")
        if not path:
            return
        _check(path, member)
        if name == _OPAQUE:
            self.opaque.add(folder)
        elif any(part.startswith(_INTERNAL) for part in path.split("/")):
            pass  # what aufs kept for itself
        elif name.startswith(_WHITEOUT):
            if name == _WHITEOUT:
                raise ArchiveError(f"its whiteout `{path}` names nothing")
            hidden = name.removeprefix(_WHITEOUT)
            self.whiteouts[f"{folder}/{hidden}" if folder else hidden] = None
        elif not member.isdev() or member.isfifo():
            self.last[path] = number
            self.folders.pop(path, None)
            if member.isdir():
                self.folders[path] = member

    def settle(self) -> None:
        """Decide what only the whole tells."""
        if "" in self.opaque:
            raise ArchiveError(
                "it hides all layers below it",
                hint="make an image of this layer alone, and of those above it",
            )
        for path in list(self.whiteouts):
            if path in self.last:  # what is gone is that of the layers below
                del self.whiteouts[path]
                if path in self.folders:
                    self.opaque.add(path)
        for path in (*self.last, *self.whiteouts, *self.opaque):
            for parent in _parents(path):
                if parent in self.last and parent not in self.folders:
                    raise ArchiveError(f"`{path}` lies below `{parent}`, which is no folder")


def convert(file: IO[bytes], size: int, out: IO[bytes]) -> str:
    """Write a layer of `size` bytes, in any compression, as mksquashfs takes it.

    Returns the sha256 of the layer's own tar archive, which a configuration knows as `diff_id`.
    """
    plan, whole = _Plan(), hashlib.sha256()
    for number, (member, _) in enumerate(members(file, size, whole)):
        plan.see(number, member)
    plan.settle()
    file.seek(0)
    with tarfile.open(
        fileobj=out,
        mode="w|",
        format=tarfile.PAX_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    ) as made:
        _write(plan, file, size, made)
    return whole.hexdigest()


def stacked_files(
    below: Mapping[str, bytes], file: IO[bytes], size: int, wanted: Callable[[str], bool]
) -> dict[str, bytes]:
    """Some files of a layer and of those below it, by path; they are small.

    `below` is what the same call gave for these. Raises ArchiveError.
    """
    own: dict[str, bytes] = {}
    gone: set[str] = set()  # what is no folder, or hides what is below it
    emptied: set[str] = set()
    for member, read in members(file, size):
        path = clean(member.name)
        folder, _, name = path.rpartition("/")
        if name == _OPAQUE:
            emptied.add(folder)
        elif name.startswith(_WHITEOUT):
            hidden = name.removeprefix(_WHITEOUT)
            gone.add(f"{folder}/{hidden}" if folder else hidden)
        elif not member.isdir():
            gone.add(path)
            own.pop(path, None)
            if member.isfile() and wanted(path):
                own[path] = _small(path, member.size, read)
    hiding = gone | emptied
    kept = {
        path: data
        for path, data in below.items()
        if path not in gone and hiding.isdisjoint(("", *_parents(path)))
    }
    return kept | own


def _small(path: str, size: int, read: Callable[[int], bytes]) -> bytes:
    if size > _MOST_READ:
        raise ArchiveError(f"its `{path}` of {size >> 20} MiB is too large to be read")
    return read(size)


def _write(plan: _Plan, file: IO[bytes], size: int, made: tarfile.TarFile) -> None:
    written: set[str] = set()

    def folder(path: str) -> None:
        """A folder, after those it lies in; one that the layer does not have is like any other."""
        for each in (*_parents(path), path):
            if each not in written:
                written.add(each)
                made.addfile(_folder(each, plan.folders.get(each), each in plan.opaque))

    for number, (member, read) in enumerate(members(file, size, hashlib.sha256())):
        path = clean(member.name)
        if plan.last.get(path) != number:
            continue
        if path in plan.folders:
            folder(path)
            continue
        if parent := path.rpartition("/")[0]:
            folder(parent)
        info = _copy(path, member)
        if member.islnk() and info.linkname not in written:
            raise ArchiveError(f"`{path}` is a hard link to `{info.linkname}`, not before it")
        written.add(path)
        made.addfile(info, cast("IO[bytes]", _Data(read, member)) if member.isfile() else None)
    for path in sorted(plan.opaque):
        folder(path)
    for path in plan.whiteouts:
        if parent := path.rpartition("/")[0]:
            folder(parent)
        info = tarfile.TarInfo(path)
        info.type, info.mode = tarfile.CHRTYPE, 0
        made.addfile(info)


class _Data:
    """What `tarfile` reads a member's bytes from."""

    def __init__(self, read: Callable[[int], bytes], member: tarfile.TarInfo) -> None:
        self._read = read
        self._member = member

    def read(self, size: int, /) -> bytes:
        """The next bytes; it is asked for no more than there should be."""
        data = self._read(size)
        if len(data) < size:
            raise ArchiveError(f"its entry `{clean(self._member.name)}` is shorter than it says")
        return data


def _copy(path: str, member: tarfile.TarInfo) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.mode, info.uid, info.gid = member.mode & 0o7777, member.uid, member.gid
    info.mtime = min(max(int(member.mtime), 0), _LATEST)
    if member.isfile():
        info.size = member.size
    else:
        info.type = member.type
    info.linkname = clean(member.linkname) if member.islnk() else member.linkname
    info.pax_headers = {
        key: value for key, value in member.pax_headers.items() if key.startswith(_XATTR)
    }
    return info


def _folder(path: str, member: tarfile.TarInfo | None, opaque: bool) -> tarfile.TarInfo:
    if member is None:
        info = tarfile.TarInfo(path)
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info = _copy(path, member)
    if opaque:
        names = (f"{_XATTR}{prefix}opaque" for prefix in _OURS)
        info.pax_headers = {**info.pax_headers, **dict.fromkeys(names, "y")}
    return info


def _parents(path: str) -> Iterator[str]:
    """The folders that a path lies in, the outermost first."""
    place = path.find("/")
    while place >= 0:
        yield path[:place]
        place = path.find("/", place + 1)


def _check(path: str, member: tarfile.TarInfo) -> None:
    """Raises ArchiveError for what would mean something else to overlayfs than to who wrote it."""
    if member.ischr() and (member.devmajor, member.devminor) == (0, 0):
        raise ArchiveError(f"`{path}` is a character device 0:0, which hides what lies below it")
    for key in member.pax_headers:
        if not key.isprintable():  # or not UTF-8: such bytes stand there as surrogates
            raise ArchiveError(f"`{path}` has an attribute whose name is none: {key!r:.80}")
        if any(name in key for name in _OURS):
            raise ArchiveError(f"`{path}` has the attribute `{key}`, which only overlayfs may set")
    if member.issym() and not member.linkname:
        raise ArchiveError(f"its link `{path}` leads nowhere")
