"""The blobs of a build farm: ContentAddressableStorage and ByteStream.

Small blobs travel many to a message, large ones as streams, which go on where they were cut. What
comes is compared with its name before anybody sees it. Where the server can, both are compressed
by zstd.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from io import BytesIO
from typing import IO, Protocol

from lamina.core.digest import EMPTY, Digest
from lamina.formats import reapi
from lamina.formats import remote_pb2 as pb
from lamina.store.blobs import BlobMissing, mismatch
from lamina.store.remote import wire
from lamina.store.remote.capabilities import Capabilities
from lamina.store.remote.connection import Connection, Metadata
from lamina.store.remote.errors import Absent, FarmError
from lamina.store.streams import Incoming

_SERVICE = "/build.bazel.remote.execution.v2.ContentAddressableStorage"
_STREAM = "/google.bytestream.ByteStream"
_ASKED = 4000  # digests in one question; 75 bytes each
_WORTH = 1 << 10  # bytes from which on compressing pays
_ZSTD = 1  # Compressor
_OK, _NOT_FOUND = 0, 5  # google.rpc.Code
_SLOWEST = 1 << 18  # bytes per second below which a stream counts as stuck


class Content(Protocol):
    """The bytes of a blob that is to be sent; they may be asked for more than once."""

    def __call__(self) -> AbstractContextManager[IO[bytes]]:
        """Open them from the beginning."""


class Cas:
    """Blobs by digest at one endpoint. Safe to use from many threads."""

    def __init__(self, connection: Connection, instance: str, can: Capabilities) -> None:
        self._connection = connection
        self._instance = instance
        self._can = can
        self._zstd = connection.farm.compression
        self.moved = Moved()

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those that it lacks; raises FarmError."""
        wanted = sorted(set(digests) - {EMPTY})
        found: set[Digest] = set()
        for start in range(0, len(wanted), _ASKED):
            asked = wanted[start : start + _ASKED]
            request = pb.FindMissingBlobsRequest(
                instance_name=self._instance, blob_digests=map(reapi.digest, asked)
            )
            answer = self._connection.ask(
                f"{_SERVICE}/FindMissingBlobs", request, pb.FindMissingBlobsResponse
            )
            told = {reapi.value(each) for each in answer.missing_blob_digests}
            found |= told.intersection(asked)
        return found

    def is_small(self, digest: Digest) -> bool:
        """Whether a blob travels with others in one message."""
        return digest.size <= self._can.batch // 2

    def read(self, digest: Digest) -> bytes:
        """A blob that fits into memory; raises BlobMissing, IntegrityError or FarmError."""
        if not self.is_small(digest):
            file = BytesIO()
            self.read_large(digest, Incoming(file, lambda _digest: None))
            return file.getvalue()
        found: dict[Digest, bytes] = {}
        self.read_small([digest], found.__setitem__)
        if digest not in found:
            raise BlobMissing(digest)
        return found[digest]

    def write(self, data: bytes) -> Digest:
        """Keep a blob that fits into memory; raises FarmError."""
        digest = Digest.of(data)
        if self.missing([digest]):
            if self.is_small(digest):
                self.write_small({digest: data})
            else:
                self.write_large(digest, lambda: BytesIO(data))
        return digest

    def read_small(
        self, digests: Iterable[Digest], take: Callable[[Digest, bytes], object]
    ) -> list[Digest]:
        """Hand on small blobs as they come, compared with their names; those that are not there.

        Raises FarmError, IntegrityError for wrong bytes.
        """
        wanted = sorted(set(digests))
        if EMPTY in wanted:
            wanted.remove(EMPTY)
            take(EMPTY, b"")
        absent: list[Digest] = []
        for batch in self._batches([(digest, digest.size) for digest in wanted]):
            absent += self._read_batch(batch, take)
        return absent

    def _read_batch(
        self, batch: Sequence[Digest], take: Callable[[Digest, bytes], object]
    ) -> list[Digest]:
        request = pb.BatchReadBlobsRequest(
            instance_name=self._instance, digests=map(reapi.digest, batch)
        )
        if self._zstd and self._can.zstd:
            request.acceptable_compressors.append(_ZSTD)
        answer = self._connection.ask(
            f"{_SERVICE}/BatchReadBlobs", request, pb.BatchReadBlobsResponse
        )
        waiting, absent = set(batch), []
        for each in answer.responses:
            digest = reapi.value(each.digest)
            if digest not in waiting:
                continue
            if each.status.code == _NOT_FOUND:
                absent.append(digest)
            elif each.status.code != _OK:
                raise self._refused(each.status, digest)
            else:
                data = wire.inflated(each.data, digest) if each.compressor == _ZSTD else each.data
                if Digest.of(data) != digest:
                    raise mismatch(digest)
                self.moved.add(received=len(each.data))
                take(digest, data)
            waiting.discard(digest)
        return [*absent, *sorted(waiting)]

    def write_small(self, blobs: Mapping[Digest, bytes]) -> None:
        """Send small blobs; raises FarmError."""
        packed = {digest: self._packed(data) for digest, data in blobs.items() if digest != EMPTY}
        sizes = [(digest, len(data)) for digest, (data, _) in packed.items()]
        for batch in self._batches(sizes):
            request = pb.BatchUpdateBlobsRequest(instance_name=self._instance)
            for digest in batch:
                data, compressor = packed[digest]
                request.requests.add(digest=reapi.digest(digest), data=data, compressor=compressor)
            answer = self._connection.ask(
                f"{_SERVICE}/BatchUpdateBlobs", request, pb.BatchUpdateBlobsResponse
            )
            self.moved.add(sent=sum(len(packed[digest][0]) for digest in batch))
            for each in answer.responses:
                if each.status.code != _OK:
                    raise self._refused(each.status, reapi.value(each.digest))

    def _packed(self, data: bytes) -> tuple[bytes, int]:
        if not (self._zstd and self._can.zstd_batch) or len(data) < _WORTH:
            return data, 0
        import zstandard

        small = zstandard.ZstdCompressor(level=3).compress(data)
        return (small, _ZSTD) if len(small) < len(data) else (data, 0)

    def _batches(self, sizes: Sequence[tuple[Digest, int]]) -> Iterator[list[Digest]]:
        batch: list[Digest] = []
        room = self._can.batch
        for digest, size in sizes:
            cost = size + 128  # its digest, and what is around both
            if batch and (cost > room or len(batch) >= _ASKED):
                yield batch
                batch, room = [], self._can.batch
            batch.append(digest)
            room -= cost
        if batch:
            yield batch

    def read_large(self, digest: Digest, incoming: Incoming) -> None:
        """Stream a blob to where it goes; raises BlobMissing, IntegrityError or FarmError.

        Where the connection is cut it goes on behind what has come.
        """
        packed = self._zstd and self._can.zstd
        kind = "compressed-blobs/zstd" if packed else "blobs"
        name = self._name(f"{kind}/{digest.hash}/{digest.size}")

        def once(seconds: float, metadata: Metadata) -> None:
            request = pb.ReadRequest(resource_name=name, read_offset=incoming.size)
            answers = self._connection.receive(
                f"{_STREAM}/Read", request, pb.ReadResponse, seconds, metadata
            )
            pieces = (each.data for each in answers)
            for piece in wire.inflating(pieces) if packed else pieces:
                if incoming.size + len(piece) > digest.size:
                    raise mismatch(digest)
                incoming.write(piece)

        try:
            self._connection.repeated(
                once, timeout=self._time_for(digest), advanced=lambda: incoming.size
            )
        except FarmError as error:
            if error.code == "NOT_FOUND":
                raise BlobMissing(digest) from error
            raise
        self.moved.add(received=digest.size)
        if incoming.size != digest.size or incoming.sha256 != digest.hash:
            raise mismatch(digest)

    def read_piece(self, digest: Digest, offset: int, size: int) -> bytes:
        """So many bytes of a blob that has them; raises BlobMissing, IntegrityError or FarmError.

        They are not compared with anything.
        """
        name = self._name(f"blobs/{digest.hash}/{digest.size}")
        found = bytearray()

        def once(seconds: float, metadata: Metadata) -> None:
            request = pb.ReadRequest(
                resource_name=name,
                read_offset=offset + len(found),
                read_limit=size - len(found),
            )
            for each in self._connection.receive(
                f"{_STREAM}/Read", request, pb.ReadResponse, seconds, metadata
            ):
                found.extend(each.data)
                if len(found) >= size:
                    return  # there are servers that know of no limit

        try:
            self._connection.repeated(
                once, timeout=self._time_for(digest), advanced=lambda: len(found)
            )
        except FarmError as error:
            if error.code == "NOT_FOUND":
                raise BlobMissing(digest) from error
            raise
        self.moved.add(received=len(found))
        if len(found) < size:
            raise mismatch(digest)
        return bytes(found[:size])

    def write_large(self, digest: Digest, content: Content) -> None:
        """Stream a blob there; raises FarmError.

        Where the connection is cut it goes on behind what the server has taken.
        """
        packed = self._zstd and self._can.zstd
        kind = "compressed-blobs/zstd" if packed else "blobs"
        name = self._name(f"uploads/{uuid.uuid4()}/{kind}/{digest.hash}/{digest.size}")
        begun, taken = False, 0

        def once(seconds: float, metadata: Metadata) -> None:
            nonlocal begun, taken
            offset = 0
            # A compressed stream that was cut begins anew: where its pieces end is not known.
            if begun and not packed:
                offset = taken = max(taken, self._committed(name))
                if offset >= digest.size:
                    return
            begun = True
            with content() as file:
                file.seek(offset)
                pieces = self._counted(wire.deflating(file) if packed else wire.pieces(file))
                answer = self._connection.send(
                    f"{_STREAM}/Write",
                    _requests(name, pieces, offset),
                    pb.WriteResponse,
                    seconds,
                    metadata,
                )
            # -1, or less than all of a compressed stream: another has brought it meanwhile.
            if not packed and answer.committed_size not in (digest.size, -1):
                raise FarmError(
                    f"the build farm `{self._connection.endpoint}` took {answer.committed_size} of "
                    f"{digest.size} bytes of a blob",
                    "INTERNAL",
                )

        self._connection.repeated(once, timeout=self._time_for(digest), advanced=lambda: taken)

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            self.moved.add(sent=len(piece))

    def _committed(self, name: str) -> int:
        request = pb.QueryWriteStatusRequest(resource_name=name)
        try:
            answer = self._connection.ask(
                f"{_STREAM}/QueryWriteStatus", request, pb.QueryWriteStatusResponse
            )
        except FarmError as error:
            if error.code in ("NOT_FOUND", "UNIMPLEMENTED", "INVALID_ARGUMENT"):
                return 0
            raise
        return answer.committed_size

    def _time_for(self, digest: Digest) -> float:
        return self._connection.farm.timeout + digest.size / _SLOWEST

    def _name(self, rest: str) -> str:
        return f"{self._instance}/{rest}" if self._instance else rest

    def tree(self, root: Digest) -> dict[Digest, bytes]:
        """All `Directory` messages below a root, by digest; raises Absent or FarmError."""
        found: dict[Digest, bytes] = {}
        request = pb.GetTreeRequest(
            instance_name=self._instance, root_digest=reapi.digest(root), page_size=1000
        )

        def once(seconds: float, metadata: Metadata) -> None:
            answers = self._connection.receive(
                f"{_SERVICE}/GetTree", request, pb.GetTreeResponse, seconds, metadata
            )
            for answer in answers:
                for directory in answer.directories:
                    data = directory.SerializeToString(deterministic=True)
                    found[Digest.of(data)] = data
                request.page_token = answer.next_page_token

        self._connection.repeated(once, advanced=lambda: len(found))
        if root not in found:
            raise Absent(f"the build farm has no tree `{root}`", [root])
        return found

    def _refused(self, status: pb.Status, digest: Digest) -> FarmError:
        code = _CODES.get(status.code, "UNKNOWN")
        return FarmError(
            f"the build farm `{self._connection.endpoint}` failed with blob `{digest.short}`: "
            f"{code}: {status.message}".rstrip(": "),
            code,
        )


class Moved:
    """Bytes of blobs that went over the network. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent = self.received = 0

    def add(self, *, sent: int = 0, received: int = 0) -> None:
        with self._lock:
            self.sent += sent
            self.received += received


_CODES = {
    1: "CANCELLED", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION", 10: "ABORTED", 12: "UNIMPLEMENTED",
    13: "INTERNAL", 14: "UNAVAILABLE", 15: "DATA_LOSS", 16: "UNAUTHENTICATED",
}  # fmt: skip


def code_name(number: int) -> str:
    """gRPC's word for a google.rpc.Code."""
    return _CODES.get(number, "UNKNOWN")


def _requests(name: str, pieces: Iterator[bytes], offset: int) -> Iterator[pb.WriteRequest]:
    """The messages of a stream; the last one says that it is."""
    waiting = next(pieces, b"")
    for piece in pieces:
        yield pb.WriteRequest(resource_name=name, write_offset=offset, data=waiting)
        offset, name, waiting = offset + len(waiting), "", piece
    yield pb.WriteRequest(resource_name=name, write_offset=offset, data=waiting, finish_write=True)
