"""A repository in a file: a tar archive of a folder in OCI image layout, as of `skopeo`.

It is written as a whole, when what is pushed to it gets its tag; there is no adding to one. Blobs
are read where they lie in it: nothing is unpacked.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from lamina.core.digest import Digest
from lamina.core.errors import HostError, IntegrityError, UserError
from lamina.core.reference import Reference
from lamina.core.tree import File, Node
from lamina.formats import oci, treearchive
from lamina.linux import filesystem
from lamina.store import layout
from lamina.store.layout import LayoutRepository
from lamina.store.repository import Manifest, NotThere, Rejected
from lamina.store.streams import Distant

_BLOBS = "blobs/sha256/"
_MOST = 200_000  # entries
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")


class ArchiveRepository(LayoutRepository):
    """The repository in a file; for one thread where it is written."""

    def __init__(self, reference: Reference) -> None:
        super().__init__(reference)
        self._path = self._folder
        self._members: dict[str, tuple[int, int]] | None = None  # begin and size, by path
        self._sources: dict[Digest, Path | bytes | Distant] = {}  # what it will have
        self._entries_to_write: bytes = b""
        self._is_written = True

    def put_manifest(self, manifest: Manifest, tag: str = "") -> None:
        """Keep a manifest; the archive is there when the one with a version's tag is."""
        for kind, child in oci.children(manifest.data):
            if not oci.is_foreign(kind) and child not in self._sources:
                raise Rejected(f"`{self.reference.place}` lacks `{child.oci}`, which is named")
        self._sources[manifest.digest] = manifest.data
        known = json.loads(self._entries_to_write)["manifests"] if self._entries_to_write else []
        entry = layout.entry_of(manifest, tag)
        self._entries_to_write = layout.index_with(known, entry)
        self._is_written = False
        if tag and not tag.startswith("sha256-"):
            self._write_archive()

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """All that has not been pushed since this was opened."""
        return {digest for digest in digests if digest not in self._sources}

    def push(
        self, digest: Digest, source: Path | bytes | Distant, *, mount_from: Sequence[str] = ()
    ) -> None:
        """Note a blob for the archive; of a file the size alone is looked at."""
        del mount_from
        layout.check_source(digest, source)
        self._sources[digest] = source

    def close(self) -> None:
        """Write what came after the tag: signatures."""
        if not self._is_written and self._path.exists():
            self._write_archive()

    def _write_archive(self) -> None:
        """Write the archive beside its place, and rename it; one tree gives one archive."""
        documents = {"index.json": self._entries_to_write, "oci-layout": layout.LAYOUT}
        tree: dict[str, Node] = {name: File(Digest.of(data)) for name, data in documents.items()}
        tree |= {f"{_BLOBS}{each.hash}": File(each) for each in self._sources}
        small = {Digest.of(data): data for data in documents.values()}

        @contextlib.contextmanager
        def opened(digest: Digest) -> Iterator[IO[bytes]]:
            source = small.get(digest) or self._sources[digest]
            with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
                yield cast("IO[bytes]", file)

        try:
            with filesystem.temporary_beside(self._path) as temporary:
                with temporary.open("wb") as file:
                    treearchive.write_tar(dict(sorted(tree.items())), opened, file)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.chmod(0o644)
                temporary.replace(self._path)
        except OSError as error:
            hint = "make room there, and run the same again" if filesystem.is_full(error) else None
            raise HostError(f"cannot write `{self._path}`: {error.strerror}", hint=hint) from error
        self._is_written = True
        self._members = None

    def _size(self, digest: Digest) -> int:
        return self._member(f"{_BLOBS}{digest.hash}")[1]

    def _opened(self, digest: Digest, begin: int) -> IO[bytes]:
        start, size = self._member(f"{_BLOBS}{digest.hash}")
        return io.BufferedReader(_Part(self._path.open("rb"), start + begin, size - begin))

    def _index(self) -> bytes:
        start, size = self._member("index.json")
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(size)

    def _member(self, path: str) -> tuple[int, int]:
        """Where a file of the archive begins, and its size; raises FileNotFoundError."""
        if self._members is None:
            self._members = _members(self._path)
        try:
            return self._members[path]
        except KeyError:
            raise FileNotFoundError(path) from None


class _Part(io.RawIOBase):
    """A part of a file as a file of its own."""

    def __init__(self, file: IO[bytes], begin: int, size: int) -> None:
        self._file, self._left = file, max(size, 0)
        file.seek(begin)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _members(path: Path) -> dict[str, tuple[int, int]]:
    """Where the files of an archive begin, and their sizes; the first of a name counts."""
    try:
        with path.open("rb") as file:
            first = file.read(6)
            if first.startswith(_COMPRESSED):
                raise UserError(
                    f"`{path}` is compressed", hint="unpack it: blobs are read in place"
                )
            file.seek(0, io.SEEK_END)
            end = file.tell()
            file.seek(0)
            found: dict[str, tuple[int, int]] = {}
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for number, member in enumerate(archive):
                    if number > _MOST:
                        raise IntegrityError(f"`{path}` has more than {_MOST} entries")
                    if not member.isreg() or member.sparse is not None:
                        continue
                    if member.offset_data + member.size > end:
                        raise IntegrityError(f"`{path}` is cut off")
                    name = member.name.removeprefix("./")
                    found.setdefault(name, (member.offset_data, member.size))
            return found
    except FileNotFoundError:
        raise NotThere(
            f"there is no file `{path}`", hint=f"`lamina push TARGET oci-archive:{path}` makes one"
        ) from None
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise IntegrityError(f"`{path}` is no tar archive: {error}") from error
    except OSError as error:
        raise HostError(f"cannot read `{path}`: {error.strerror}") from error
