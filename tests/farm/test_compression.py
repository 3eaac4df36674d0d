"""Blobs that travel compressed, with a server that keeps what it gets in memory.

buildbox-casd has no zstd, so this one has what a client of compressed blobs asks, and no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
import zstandard

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.formats import reapi
from lamina.formats import remote_pb2 as pb
from tests.farm.conftest import Clients

_ZSTD = 1
_PIECE = 100_000  # bytes of a frame: what it sends has many


class Server(grpc.GenericRpcHandler):
    """Blobs by hash; what came and went is counted as it was on the way."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.received = self.sent = 0
        self.cut_after = 0  # bytes of a blob, once

    def service(self, details: Any) -> Any:
        method = details.method.rpartition("/")[2]
        work = getattr(self, f"_{method.lower()}")
        if method == "Read":
            return grpc.unary_stream_rpc_method_handler(work)
        if method == "Write":
            return grpc.stream_unary_rpc_method_handler(work)
        return grpc.unary_unary_rpc_method_handler(work)

    def _getcapabilities(self, _request: bytes, _context: object) -> bytes:
        told = pb.ServerCapabilities(
            low_api_version=pb.SemVer(major=2), high_api_version=pb.SemVer(major=2, minor=3)
        )
        told.cache_capabilities.digest_functions.append(1)
        told.cache_capabilities.supported_compressors.append(_ZSTD)
        told.cache_capabilities.supported_batch_update_compressors.append(_ZSTD)
        return told.SerializeToString()

    def _findmissingblobs(self, request: bytes, _context: object) -> bytes:
        asked = pb.FindMissingBlobsRequest.FromString(request).blob_digests
        missing = [each for each in asked if each.hash not in self.blobs]
        return pb.FindMissingBlobsResponse(missing_blob_digests=missing).SerializeToString()

    def _batchupdateblobs(self, request: bytes, _context: object) -> bytes:
        answer = pb.BatchUpdateBlobsResponse()
        for each in pb.BatchUpdateBlobsRequest.FromString(request).requests:
            self.received += len(each.data)
            data = each.data
            if each.compressor == _ZSTD:
                data = zstandard.ZstdDecompressor().decompress(data, 1 << 30)
            self.blobs[each.digest.hash] = data
            answer.responses.add(digest=each.digest)
        return answer.SerializeToString()

    def _batchreadblobs(self, request: bytes, _context: object) -> bytes:
        asked = pb.BatchReadBlobsRequest.FromString(request)
        assert list(asked.acceptable_compressors) == [_ZSTD]
        answer = pb.BatchReadBlobsResponse()
        for each in asked.digests:
            data = zstandard.ZstdCompressor().compress(self.blobs[each.hash])
            self.sent += len(data)
            answer.responses.add(digest=each, data=data, compressor=_ZSTD)
        return answer.SerializeToString()

    def _read(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        asked = pb.ReadRequest.FromString(request)
        kind, compressor, name, _ = asked.resource_name.split("/")
        assert (kind, compressor) == ("compressed-blobs", "zstd")
        data = self.blobs[name]
        for start in range(asked.read_offset, len(data), _PIECE):
            if self.cut_after and start > self.cut_after:
                self.cut_after = 0
                context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
            piece = zstandard.ZstdCompressor().compress(data[start : start + _PIECE])
            self.sent += len(piece)
            yield pb.ReadResponse(data=piece).SerializeToString()

    def _write(self, requests: Iterator[bytes], _context: object) -> bytes:
        data, name, size = b"", "", 0
        for request in map(pb.WriteRequest.FromString, requests):
            if request.resource_name:
                *_, kind, compressor, name, _size = request.resource_name.split("/")
                assert (kind, compressor) == ("compressed-blobs", "zstd")
            assert request.write_offset == size
            data += request.data
            size += len(request.data)
        self.received += size
        self.blobs[name] = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        return pb.WriteResponse(committed_size=size).SerializeToString()


@pytest.fixture
def server() -> Iterator[tuple[Server, str]]:
    made = Server()
    running = grpc.server(ThreadPoolExecutor(8))
    running.add_generic_rpc_handlers([made])
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    yield made, f"grpc://127.0.0.1:{port}"
    running.stop(0).wait()


Running = tuple[Server, str]


@pytest.mark.parametrize("count", [1_000, 2_000_000], ids=["small", "large"])
def test_a_blob_goes_both_ways_in_fewer_bytes(client: Clients, server: Running, count: int) -> None:
    data = b"abcdefgh" * count
    one, other = client(server[1]), client(server[1])

    one.uploads.ensure({Digest.of(data): data})
    other.store.fetch([Digest.of(data)])

    assert other.store.read(Digest.of(data)) == data
    assert 0 < server[0].received < len(data) / 10
    assert 0 < server[0].sent < len(data) / 10


def test_a_compressed_stream_that_is_cut_goes_on(client: Clients, server: Running) -> None:
    data = os.urandom(6 << 20)
    service = client(server[1])
    service.uploads.ensure({Digest.of(data): data})
    server[0].cut_after = 3 << 20

    service.store.fetch([Digest.of(data)])

    assert service.store.read(Digest.of(data)) == data
    assert server[0].sent < 1.1 * len(data)


def test_what_is_no_zstd_is_told(client: Clients, server: Running) -> None:
    service = client(server[1])
    digest = Digest.of(b"right")
    answer = pb.BatchReadBlobsResponse()
    answer.responses.add(digest=reapi.digest(digest), data=b"no zstd", compressor=_ZSTD)
    server[0]._batchreadblobs = lambda *_: answer.SerializeToString()  # type: ignore[method-assign]

    with pytest.raises(IntegrityError):
        service.cas.read(digest)


def test_a_blob_that_swells_is_stopped_at_its_size(client: Clients, server: Running) -> None:
    service = client(server[1])
    digest = Digest.of(b"right")
    swollen = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    answer = pb.BatchReadBlobsResponse()
    answer.responses.add(digest=reapi.digest(digest), data=swollen, compressor=_ZSTD)
    server[0]._batchreadblobs = lambda *_: answer.SerializeToString()  # type: ignore[method-assign]

    with pytest.raises(IntegrityError, match="does not match its name"):
        service.cas.read(digest)
