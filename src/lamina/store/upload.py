"""The upload of one blob to a registry: small ones at once, large ones in pieces.

What breaks off is gone on with from where the registry has it, so that a cut costs one piece at
most. Specification: github.com/opencontainers/distribution-spec, "Pushing blobs".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, ServiceError
from lamina.core.reference import Reference
from lamina.store.answers import reason
from lamina.store.repository import NotThere, Refused, Rejected
from lamina.store.streams import Distant
from lamina.store.transport import Passing, Transport

if TYPE_CHECKING:
    import httpx

_CHUNK = 8 << 20  # bytes that are sent at once, and so may have to be sent again
_LARGEST_CHUNK = 64 << 20  # that a registry may ask for
_TRIES = 8  # in a row that bring nothing new
_SENT = re.compile(r"(?:bytes=)?0-(\d+)")
_BYTES = {"Content-Type": "application/octet-stream"}


class _Lost(Passing):
    """The registry knows no more of an upload, which is begun anew."""


class Upload:
    """A blob on its way to a registry."""

    def __init__(
        self,
        reference: Reference,
        path: str,
        transport: Transport,
        digest: Digest,
        source: Path | bytes | Distant,
    ) -> None:
        self._reference = reference
        self._path = path
        self._transport = transport
        self._digest = digest
        self._source = source
        self._chunk = _CHUNK
        self._was_cut = False  # whether something of the upload under way has broken off

    def run(self, mount_from: Sequence[str] = ()) -> None:
        """Do it; the blob may be in one of some other repositories."""
        self._transport.again(lambda: self._once(mount_from), f"upload of {self._digest.oci}")

    def _once(self, mount_from: Sequence[str]) -> None:
        address = self._begin(mount_from)
        self._was_cut = False
        if address is None:
            return
        if isinstance(self._source, bytes):
            self._finish(address, self._source)
        elif self._digest.size <= self._chunk:
            with self._source.open("rb") as file:
                self._finish(address, file.read())
        else:
            self._finish(self._send_all(address, self._source), b"")

    def _begin(self, mount_from: Sequence[str]) -> str | None:
        """The address of a new upload; None where another repository's blob was taken instead."""
        path = f"{self._path}/blobs/uploads/"
        if mount_from:
            other = mount_from[0]
            scope = f"repository:{self._reference.repository}:pull,push repository:{other}:pull"
            query = f"?mount={self._digest.oci}&from={quote(other, safe='')}"
            try:
                answer = self._transport.request("POST", path + query, scope=scope, ok=(201, 202))
            except Refused:
                return self._begin(())  # who may not read the other one may still send the blob
            return None if answer.status == 201 else self._next(answer.headers)
        answer = self._transport.request("POST", path, ok=(202,))
        least = answer.headers.get("OCI-Chunk-Min-Length", "")
        if least.isdecimal():
            self._chunk = max(_CHUNK, min(int(least), _LARGEST_CHUNK))
        return self._next(answer.headers)

    def _send_all(self, address: str, source: Path | Distant) -> str:
        """Send it in pieces; the address to finish at."""
        offset = furthest = tries = 0
        with source.open("rb") as file:
            while offset < self._digest.size:
                file.seek(offset)
                piece = file.read(self._chunk)
                if not piece:
                    raise IntegrityError(f"`{source}` is shorter than it should be")
                try:
                    address, offset = self._send(address, piece, offset)
                    fault = Passing("it does not keep what is sent")
                except _Lost:
                    raise
                except Passing as error:
                    fault = error
                    self._was_cut = True
                    address, offset = self._where(address)
                if offset > furthest:
                    furthest, tries = offset, 0
                    continue
                tries += 1
                if tries == _TRIES:
                    raise fault
                self._transport.pause(tries, fault)
        return address

    def _send(self, address: str, piece: bytes, offset: int) -> tuple[str, int]:
        end = offset + len(piece)
        headers = {**_BYTES, "Content-Range": f"{offset}-{end - 1}"}
        answer = self._transport.once(
            "PATCH", address, headers=headers, content=piece, ok=(202, 404, 416)
        )
        if answer.status == 404:
            raise _Lost("the upload is gone")
        if answer.status == 416:
            raise Passing("it has another part of the upload than we thought")
        return self._next(answer.headers), _sent(answer.headers, end)

    def _where(self, address: str) -> tuple[str, int]:
        """How far an upload has come."""
        try:
            # With the right to push, which some registries want for this too.
            scope = f"repository:{self._reference.repository}:pull,push"
            answer = self._transport.request("GET", address, scope=scope, ok=(204, 200))
        except NotThere as error:
            raise _Lost("the upload is gone") from error
        return self._next(answer.headers, address), _sent(answer.headers, 0)

    def _finish(self, address: str, data: bytes) -> None:
        """Let it be kept; where all is sent already, this alone is tried again."""
        for number in range(1 if data else _TRIES):
            try:
                return self._close(address, data)
            except _Lost:
                raise
            except Passing as error:
                fault = error
                self._was_cut = True
                if not data:
                    self._transport.pause(number, fault)
        raise fault

    def _close(self, address: str, data: bytes) -> None:
        mark = "&" if urlsplit(address).query else "?"
        url = f"{address}{mark}digest={quote(self._digest.oci, safe=':')}"
        try:
            answer = self._transport.once(
                "PUT", url, headers=_BYTES, content=data, ok=(201, 204, 400, 404, 416)
            )
        except Passing:
            if self._is_there():  # the answer was all that was lost
                return
            raise
        if answer.status == 404:
            if self._is_there():
                return
            raise _Lost("the upload is gone")
        if answer.status == 416:
            raise _Lost("it has another part of the upload than we thought")
        if answer.status == 400 and self._was_cut:
            # What was cut off may still have been at work when the rest came.
            if self._is_there():
                return
            raise _Lost("it has not put together what was sent in pieces")
        if answer.status == 400:
            raise Rejected(
                f"`{self._reference.place}` does not take the blob `{self._digest.oci}`"
                f"{reason(answer.data)}"
            )

    def _is_there(self) -> bool:
        try:
            self._transport.request("HEAD", f"{self._path}/blobs/{self._digest.oci}")
        except NotThere:
            return False
        return True

    def _next(self, headers: httpx.Headers, known: str = "") -> str:
        location: str = headers.get("Location") or known
        if not location:
            host = self._reference.host
            raise ServiceError(f"the registry `{host}` names no place for an upload")
        return self._transport.joined(f"{self._transport.base}/", location)


def _sent(headers: httpx.Headers, usual: int) -> int:
    """The bytes that the registry has of an upload."""
    match = _SENT.fullmatch(headers.get("Range", ""))
    # `0-0` is what an empty upload has, as well as one of a single byte.
    return usual if match is None else int(match[1]) + 1 if int(match[1]) else 0
