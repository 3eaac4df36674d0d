"""Archives that others made: tar in any usual compression, and zip, entry by entry.

Nothing in an archive is believed. Names are relative and lead to no other folder, what it says of
sizes is not relied on, and an archive that grows out of all proportion is given up. Who reads one
writes no path of it to a disk: entries are values.

tar: POSIX.1-2001 (pax) and what GNU tar adds, as `tarfile` of the standard library reads them.
zip: APPNOTE 6.3, as `zipfile` does; links and modes by the conventions of Info-ZIP.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import IO, Protocol

from lamina.core.classes import dataclass
from lamina.core.errors import IntegrityError
from lamina.core.tree import DEEPEST

# What an archive may grow to: so much, and so many times its own size. Sources grow to ten times
# it, files of zeros to a thousand times.
_GROWTH, _ALLOWANCE = 200, 256 << 20
_MOST_ENTRIES = 1_000_000
_LEVEL = 6  # of gzip, where we compress
# Bytes: Linux takes paths of 4,095, of which some are left for the folder that all is laid out in.
_LONGEST_PATH, _LONGEST_NAME = 3584, 255
_PATIENCE = 64  # times that `tarfile` may ask for more behind the end

# Types by the names that BUILD files give them: how they are compressed, or that it is a zip.
TYPES = {
    "tar": "", "tar.gz": "gz", "tgz": "gz", "tar.bz2": "bz2", "tbz2": "bz2", "tbz": "bz2",
    "tar.xz": "xz", "txz": "xz", "tar.zst": "zst", "tar.zstd": "zst", "tzst": "zst",
    "zip": "zip", "jar": "zip", "war": "zip", "aar": "zip", "nupkg": "zip", "whl": "zip",
}  # fmt: skip
_WORDS = {"": "tar", "zip": "zip"}  # of the others, `tar.` and the compression

_BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError,
    ValueError, OverflowError, struct.error, NotImplementedError, RuntimeError, MemoryError,
)  # fmt: skip


class ArchiveError(IntegrityError):
    """An archive that cannot be read, or is not to be trusted."""


class Kind(Enum):
    """What an entry is; the value says it to people."""

    FILE = "a file"
    LINK = "a symbolic link"
    SAME = "a hard link"
    FOLDER = "a folder"
    DEVICE = "a device"
    PIPE = "a pipe"
    OTHER = "of no known kind"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an archive."""

    path: str  # relative, without `.` and `..`
    kind: Kind
    executable: bool = False
    target: str = ""  # of a symbolic link as written; of a hard link the path of another entry
    device: tuple[int, int] = (0, 0)  # major and minor number
    read: Callable[[int], bytes] = lambda _size: b""  # the next bytes; before the next entry alone


def entries(file: IO[bytes], size: int, kind: str = "") -> Iterator[Entry]:
    """The entries of an archive of some bytes, in its order; `kind` is one of TYPES, or "" for any.

    Raises ArchiveError for what is no archive, is broken, or leads out of its folder.
    """
    found_kind = compression(file)
    if kind and TYPES[kind] != found_kind:
        name = _WORDS.get(found_kind, f"tar.{found_kind}")
        raise ArchiveError(f"it is no `{kind}` archive, by its first bytes it is `{name}`")
    if found_kind == "zip":
        found = _zip_entries(file, _Budget(_ALLOWANCE + _GROWTH * size))
    else:
        found = _tar_entries(members(file, size))
    for number, entry in enumerate(found):
        if number >= _MOST_ENTRIES:
            raise ArchiveError(f"it has more than {_MOST_ENTRIES} entries")
        if entry is not None:
            yield entry


def clean(path: str) -> str:
    """A path of an archive without what says nothing, "" for its root; raises ArchiveError."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts:
        raise ArchiveError(f"its entry `{_printable(path)}` leads out of the folder")
    text = "/".join(parts)
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise ArchiveError(f"the name of its entry {path!r} is not UTF-8") from None
    if length > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise ArchiveError(f"the name of its entry `{_printable(path)[:60]}…` is too long")
    if "\0" in text:
        raise ArchiveError(f"the name of its entry {path!r} is none")
    if len(parts) > DEEPEST:
        raise ArchiveError(f"its entry `{_printable(path)[:60]}…` lies in {len(parts) - 1} folders")
    return text


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


class _Budget:
    """So many bytes may come out of an archive."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.left = most

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise ArchiveError(
                f"it unpacks to more than {self.most >> 20} MiB, which is out of all proportion"
            )


class _Stream(Protocol):
    """What can be read from."""

    def read(self, size: int, /) -> bytes: ...


class _Hash(Protocol):
    """What is told of all bytes that are read."""

    def update(self, data: bytes, /) -> None: ...


class _Bounded(io.RawIOBase):
    """A stream that spends from a budget."""

    def __init__(self, stream: _Stream, budget: _Budget, whole: _Hash | None = None) -> None:
        self._stream = stream
        self._budget = budget
        self._whole = whole
        self._size = 0  # bytes so far
        self._asked = 0  # times behind the end

    def read(self, size: int = -1) -> bytes:
        # Asked for all of a huge header, it stops soon after there is too much of it.
        if size < 0 or size > self._budget.left + 1:
            size = self._budget.left + 1
        data = self._stream.read(size)
        self._budget.spend(len(data))
        if not data and size:
            # To go over a file that claims to have 2^60 bytes, it would ask for each 10 KiB of it.
            self._asked += 1
            if self._asked > _PATIENCE:
                raise EOFError("it ends before the file that it says it holds")
        if self._whole is not None:
            self._whole.update(data)
            self._size += len(data)
            if not data and size:
                data, self._size = bytes(-self._size % tarfile.BLOCKSIZE), 0
        return data


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """What the readers of the standard library raise for bad archives, as ArchiveError."""
    try:
        yield
    except ArchiveError:
        raise
    except _BROKEN as error:
        raise ArchiveError(f"it is broken: {_words(error)}") from error


def _words(error: BaseException) -> str:
    text = _printable(str(error)).strip().rstrip(".") or type(error).__name__
    return text[:1].lower() + text[1:]


def compression(file: IO[bytes]) -> str:
    """The compression by the first bytes, or `zip`; "" also for what is no archive at all."""
    head = file.read(6)
    file.seek(0)
    for found, magic in (
        ("gz", b"\x1f\x8b"),
        ("bz2", b"BZh"),
        ("xz", b"\xfd7zXZ\0"),
        ("zst", b"\x28\xb5\x2f\xfd"),
        ("zip", b"PK\x03\x04"),
        ("zip", b"PK\x05\x06"),
    ):
        if head.startswith(magic):
            return found
    return ""


class _Zstd:
    """A stream of zstd, whose faults are told like those of the other ones."""

    def __init__(self, file: IO[bytes]) -> None:
        import zstandard

        self._stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        self._fault = zstandard.ZstdError

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except self._fault as error:
            raise ValueError(str(error)) from error


def _decompressed(file: IO[bytes], kind: str) -> _Stream:
    if kind == "gz":
        return gzip.GzipFile(fileobj=file)
    if kind == "bz2":
        return bz2.BZ2File(file)
    if kind == "xz":
        return lzma.LZMAFile(file)
    if kind == "zst":
        return _Zstd(file)
    return file


def plain(file: IO[bytes], size: int) -> str:
    """The sha256 of a tar archive before it was compressed; raises ArchiveError."""
    whole = hashlib.sha256()
    for _ in members(file, size, whole):
        pass
    return whole.hexdigest()


def to_gzip(file: IO[bytes], size: int, out: IO[bytes]) -> str:
    """Write a tar archive in any compression anew, by gzip and without a time; as `plain`."""
    with gzip.GzipFile("", "wb", _LEVEL, out, mtime=0) as packed:
        whole = _Copying(packed)
        for _ in members(file, size, whole):
            pass
    return whole.hash.hexdigest()


class _Copying:
    """Hashes what it is told of, and writes it."""

    def __init__(self, out: gzip.GzipFile) -> None:
        self._out = out
        self.hash = hashlib.sha256()

    def update(self, data: bytes, /) -> None:
        self.hash.update(data)
        self._out.write(data)


Member = tuple[tarfile.TarInfo, Callable[[int], bytes]]  # and what reads its next bytes


def members(file: IO[bytes], size: int, whole: _Hash | None = None) -> Iterator[Member]:
    """The members of a tar archive as `tarfile` has them, for who needs more than entries tell.

    `whole` is given all bytes of the archive, once it was decompressed: they are known by a digest,
    so where the last block is not filled up, as some builders of images leave it, that is no fault.
    Raises ArchiveError.
    """
    most = _ALLOWANCE + _GROWTH * size
    stream = _Bounded(_decompressed(file, compression(file)), _Budget(most), whole)
    return _members(stream, _Budget(most))


def _members(stream: _Bounded, budget: _Budget) -> Iterator[Member]:
    with _translated():
        try:
            archive = tarfile.open(  # noqa: SIM115
                fileobj=stream,
                mode="r|",
                encoding="utf-8",
                errors="surrogateescape",
            )
        except tarfile.ReadError as error:
            raise ArchiveError("it is neither a tar nor a zip archive") from error
    with archive:
        while True:
            with _translated():
                member = archive.next()
            if member is None:
                break
            if member.size < 0:  # `tarfile` would go back, or take it for the end
                raise ArchiveError(f"its entry `{_printable(member.name)}` has {member.size} bytes")
            archive.members.clear()  # type: ignore[attr-defined]  # else it would keep all of them
            data = archive.extractfile(member) if member.isfile() else None
            yield member, partial(_read, data or io.BytesIO(), budget)
    with _translated():
        while stream.read(1 << 20):
            pass  # what stands after the last member


def _tar_entries(read: Iterator[Member]) -> Iterator[Entry | None]:
    return (_tar_entry(*member) for member in read)


def _tar_entry(member: tarfile.TarInfo, read: Callable[[int], bytes]) -> Entry | None:
    path = clean(member.name)
    if not path:
        return None  # the root itself
    if member.isfile():
        return Entry(path, Kind.FILE, bool(member.mode & 0o100), read=read)
    if member.isdir():
        return Entry(path, Kind.FOLDER)
    if member.issym():
        return Entry(path, Kind.LINK, target=member.linkname)
    if member.islnk():
        return Entry(path, Kind.SAME, target=clean(member.linkname))
    if member.isfifo():
        return Entry(path, Kind.PIPE)
    if member.isdev():
        return Entry(path, Kind.DEVICE, device=(member.devmajor, member.devminor))
    return Entry(path, Kind.OTHER)


def _zip_entries(file: IO[bytes], budget: _Budget) -> Iterator[Entry | None]:
    with _translated():
        archive = zipfile.ZipFile(file)
    for info in archive.infolist():
        yield _zip_entry(archive, info, budget)


def _zip_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget) -> Entry | None:
    path = clean(info.filename)
    mode = info.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if not path:
        return None
    if info.is_dir():
        return Entry(path, Kind.FOLDER)
    if info.flag_bits & 1:
        raise ArchiveError(f"its entry `{path}` is encrypted")
    if kind not in (0, stat.S_IFREG, stat.S_IFLNK):
        return Entry(path, Kind.PIPE if stat.S_ISFIFO(mode) else Kind.DEVICE)
    with _translated():
        data = archive.open(info)
    if kind == stat.S_IFLNK:
        target = _read(data, budget, _LONGEST_PATH + 1).decode(errors="surrogateescape")
        return Entry(path, Kind.LINK, target=target)
    return Entry(path, Kind.FILE, bool(mode & 0o100), read=partial(_read, data, budget))


def _read(stream: IO[bytes], budget: _Budget, size: int) -> bytes:
    """The next bytes of a file; those of a hole in a sparse one are counted too."""
    with _translated():
        data = stream.read(size)
        budget.spend(len(data))
        return data
