"""A repository in a folder, in OCI image layout: no server is needed.

Specification: github.com/opencontainers/image-spec, image-layout.md. The index names each manifest
by its tag; one without a tag is named by its digest alone, so that nobody takes it for garbage. A
manifest's referrers are found by their `subject`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from lamina.core.digest import Digest
from lamina.core.errors import HostError, IntegrityError
from lamina.core.reference import Reference
from lamina.formats import oci
from lamina.linux import filesystem
from lamina.store.blobs import verified
from lamina.store.repository import Manifest, NotThere, Rejected, absent
from lamina.store.scratch import Scratch
from lamina.store.streams import Distant, Incoming

_TAG = "org.opencontainers.image.ref.name"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_LOCK = ".lamina.lock"
_SCRATCH, _SCRATCH_LOCK = ".lamina.tmp", ".lamina.tmp.lock"
_LIMIT = 1 << 22  # bytes of a manifest
_CHUNK = 1 << 20


class LayoutRepository:
    """The repository in a folder; many processes may use it at once."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self._folder = Path(reference.repository).absolute()
        self._scratch = Scratch(self._folder / _SCRATCH, self._folder / _SCRATCH_LOCK)

    def manifest(self, wanted: str, *, limit: int = _LIMIT) -> Manifest:
        """The manifest of a tag or a digest; without a tag, the only one that there is."""
        descriptor = self._descriptor(wanted)
        digest = _digest_of(descriptor)
        if digest.size > limit:
            raise IntegrityError(f"the manifest `{wanted}` has more than {limit} bytes")
        data = self.read(digest)
        kind = descriptor.get("mediaType")
        return Manifest(data, kind if isinstance(kind, str) else oci.media_type(data))

    def put_manifest(self, manifest: Manifest, tag: str = "") -> None:
        """Keep a manifest; a tag that was another one's is taken from that.

        Raises Rejected where the folder lacks what it names, as registries do.
        """
        digest, entry = manifest.digest, entry_of(manifest, tag)
        with self._writing():
            for kind, child in oci.children(manifest.data):
                if not oci.is_foreign(kind) and not self._has(child):
                    raise Rejected(f"`{self.reference.place}` lacks `{child.oci}`, which is named")
            self._keep(digest, manifest.data)
            # What it names must be there after a power cut, before the index tells of it.
            filesystem.sync_folder(self._folder / "blobs" / "sha256")
            self._enter(entry)

    def _enter(self, entry: dict[str, Any]) -> None:
        """Let the index tell of a manifest."""
        with filesystem.locked(self._folder / _LOCK):
            data = index_with(self._entries(missing_ok=True), entry)
            self._write(self._folder / "index.json", data)

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those of some blobs that the folder lacks, by name and size."""
        return {digest for digest in digests if not self._has(digest)}

    def find(self, wanted: str) -> Digest:
        """The digest of a blob, with the size of its file."""
        digest = Digest.from_oci(wanted, 0)
        try:
            return Digest(digest.hash, self._size(digest))
        except FileNotFoundError:
            raise self._absent(wanted) from None

    def read(self, digest: Digest) -> bytes:
        """A small blob."""
        try:
            if self._size(digest) != digest.size:
                raise IntegrityError(
                    f"`{self._blob(digest)}` has not the {digest.size} bytes it should have"
                )
            with self._opened(digest, 0) as file:
                return verified(digest, file.read(digest.size))
        except FileNotFoundError:
            raise self._absent(digest.oci) from None

    def fetch(self, digest: Digest, incoming: Incoming) -> None:
        """Let the rest of a blob arrive."""
        try:
            with self._opened(digest, incoming.size) as file:
                # One byte more than there should be tells that there are too many.
                while piece := file.read(max(min(_CHUNK, digest.size + 1 - incoming.size), 0)):
                    incoming.write(piece)
        except FileNotFoundError:
            raise self._absent(digest.oci) from None
        if Digest(incoming.sha256, incoming.size) != digest:
            raise IntegrityError(f"`{self._blob(digest)}` is not what it is called")

    def push(
        self, digest: Digest, source: Path | bytes | Distant, *, mount_from: Sequence[str] = ()
    ) -> None:
        """Keep a blob: a further name of the source's file where it can have one.

        Of a file the size alone is looked at: whoever reads it compares it with its digest.
        """
        del mount_from  # a folder is one repository
        check_source(digest, source)
        with self._writing():
            if isinstance(source, bytes):
                self._keep(digest, source)
            elif not self._has(digest):
                self._take(digest, source)

    def _take(self, digest: Digest, source: Path | Distant) -> None:
        temporary = Path(filesystem.fresh_name(self._scratch.folder))
        try:
            if isinstance(source, Path):
                filesystem.link_or_copy(source, temporary, 0o444)
            else:
                with source.open("rb") as reader, temporary.open("xb") as writer:
                    while piece := reader.read(_CHUNK):
                        writer.write(piece)
                temporary.chmod(0o444)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.rename(self._blob(digest))
        finally:
            temporary.unlink(missing_ok=True)

    def tags(self) -> list[str]:
        """All tags but those that lead to what goes with a manifest."""
        return sorted(tag for each in self._entries() if (tag := _tag_of(each)))

    def referrers(self, digest: Digest) -> list[dict[str, object]]:
        """The descriptors of the manifests whose subject is a manifest."""
        found: dict[str, dict[str, object]] = {}
        for entry in self._entries():
            child = _digest_of(entry)
            subject = oci.subject(self.read(child)) if child.size <= _LIMIT else None
            if subject == digest.oci:
                found[child.oci] = {
                    key: value for key, value in entry.items() if key != "annotations"
                }
        return list(found.values())

    def close(self) -> None:
        """Remove what is not whole."""
        self._scratch.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """A block that writes to the folder, which is made where there is none."""
        try:
            filesystem.make_folder(self._folder / "blobs" / "sha256")
            if not (self._folder / "oci-layout").exists():
                self._write(self._folder / "oci-layout", LAYOUT)
            yield
        except OSError as error:
            hint = "make room there, and run the same again" if filesystem.is_full(error) else None
            raise HostError(
                f"cannot write to the repository in `{self._folder}`: {error.strerror}", hint=hint
            ) from error

    def _write(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        filesystem.write_atomic(path, data, mode=mode, durable=True, scratch=self._scratch.folder)

    def _keep(self, digest: Digest, data: bytes) -> None:
        if not self._has(digest):
            self._write(self._blob(digest), data, 0o444)

    def _has(self, digest: Digest) -> bool:
        try:
            return self._size(digest) == digest.size
        except FileNotFoundError:
            return False

    def _size(self, digest: Digest) -> int:
        """The bytes of a blob; raises FileNotFoundError."""
        return self._blob(digest).stat().st_size

    def _opened(self, digest: Digest, begin: int) -> IO[bytes]:
        """A blob, to be read from a byte on; raises FileNotFoundError."""
        file = self._blob(digest).open("rb")
        file.seek(begin)
        return file

    def _index(self) -> bytes:
        """The index; raises FileNotFoundError."""
        return (self._folder / "index.json").read_bytes()

    def _blob(self, digest: Digest) -> Path:
        return self._folder / "blobs" / "sha256" / digest.hash

    def _descriptor(self, wanted: str) -> dict[str, Any]:
        entries = self._entries()
        if wanted.startswith("sha256:"):
            for entry in entries:
                if entry.get("digest") == wanted:
                    return entry
            with contextlib.suppress(FileNotFoundError):
                return {"digest": wanted, "size": self._size(Digest.from_oci(wanted, 0))}
        found = [each for each in entries if _tag_of(each) == wanted]
        if not found and not self.reference.tag and wanted == "latest":
            # Parts of packages and signatures have no tag; a package that was pushed has one.
            others = [each for each in entries if not _is_beside(_tag_of(each))]
            found = [each for each in others if _tag_of(each)] or others
        if len(found) != 1:
            raise self._absent(wanted)
        return found[0]

    def _entries(self, *, missing_ok: bool = False) -> list[dict[str, Any]]:
        try:
            document = json.loads(self._index())
            found = document["manifests"]
            if not all(isinstance(each, dict) for each in found):
                raise TypeError("descriptors are wanted")
            return list(found)
        except FileNotFoundError:
            if missing_ok:
                return []
            raise NotThere(
                f"there is no OCI image layout in `{self._folder}`",
                hint=f"`lamina push TARGET {self.reference.place}` makes one",
            ) from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise IntegrityError(f"`{self._folder}/index.json` is malformed: {error!r}") from error

    def _absent(self, wanted: str) -> NotThere:
        return absent(self.reference.place, wanted)


def check_source(digest: Digest, source: Path | bytes | Distant) -> None:
    """Raise IntegrityError for what cannot be a blob; of a file the size alone is looked at."""
    if isinstance(source, bytes):
        is_it = Digest.of(source) == digest
    else:
        is_it = not isinstance(source, Path) or source.stat().st_size == digest.size
    if not is_it:
        raise IntegrityError(f"what is to be kept as `{digest.oci}` is something else")


def entry_of(manifest: Manifest, tag: str) -> dict[str, Any]:
    """What an index tells of a manifest."""
    digest = manifest.digest
    entry: dict[str, Any] = {
        "mediaType": manifest.media_type,
        "digest": digest.oci,
        "size": digest.size,
    }
    document = json.loads(manifest.data)
    if isinstance(kind := document.get("artifactType"), str):
        entry["artifactType"] = kind
    if tag:
        entry["annotations"] = {_TAG: tag}
    return entry


def index_with(entries: Iterable[dict[str, Any]], entry: dict[str, Any]) -> bytes:
    """An index that tells of one more manifest, which takes its tag from any other."""
    tag = _tag_of(entry)
    kept = [
        each
        for each in entries
        if not (tag and _tag_of(each) == tag)
        and not (each.get("digest") == entry["digest"] and _tag_of(each) in ("", tag))
    ]
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [*kept, entry]}
    return json.dumps(index, sort_keys=True, separators=(",", ":")).encode()


def _is_beside(tag: str) -> bool:
    """Whether a tag leads to what goes with a manifest: an advice, signatures."""
    return tag.startswith("sha256-")


def _tag_of(entry: dict[str, Any]) -> str:
    annotations = entry.get("annotations")
    tag = annotations.get(_TAG) if isinstance(annotations, dict) else None
    return tag if isinstance(tag, str) else ""


def _digest_of(entry: dict[str, Any]) -> Digest:
    size = entry.get("size")
    if not isinstance(size, int) or isinstance(size, bool):
        raise IntegrityError("a descriptor without a size")
    return Digest.from_oci(str(entry.get("digest")), size)
