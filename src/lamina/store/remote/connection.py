"""One endpoint of a build farm: requests with a time limit, repeated where that may help.

gRPC is imported when the first request is made. A request ends within its time whatever the
server does: with an answer, or by raising FarmError. It is repeated with growing pauses, or those
that the server asks for (google.rpc.RetryInfo); a server that keeps failing is left alone for a
while (`breaker`).
"""

from __future__ import annotations

import contextlib
import os
import random
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lamina.core.action import Action
from lamina.core.cancellation import Cancellation, Ended
from lamina.core.digest import Digest
from lamina.core.errors import HostError, UserError
from lamina.formats import protobuf
from lamina.formats import remote_pb2 as pb
from lamina.linux import process
from lamina.store.remote.breaker import Breaker
from lamina.store.remote.credentials import Credentials
from lamina.store.remote.errors import PASSING, REFUSALS, FarmError, FarmGone, FarmRefuses, Stopped
from lamina.store.remote.settings import Endpoint, Farm

if TYPE_CHECKING:
    import grpc

M = TypeVar("M", bound=protobuf.Message)
T = TypeVar("T")
Metadata = tuple[tuple[str, str | bytes], ...]

_LARGEST = 64 << 20  # bytes of a message; what is larger comes in pieces
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"  # which no repetition mends
_DETAILS = "grpc-status-details-bin"
_METADATA = "build.bazel.remote.execution.v2.requestmetadata-bin"


class Connection:
    """An endpoint; safe to use from many threads. `cancel` ends whatever is under way."""

    def __init__(self, farm: Farm, endpoint: Endpoint) -> None:
        self.farm = farm
        self.endpoint = endpoint
        self.breaker = Breaker()
        self._credentials = Credentials(farm, endpoint)
        self._tool = pb.RequestMetadata(
            tool_details=pb.ToolDetails(tool_name="lamina", tool_version=version("lamina")),
            tool_invocation_id=str(uuid.uuid4()),
        )
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._stopped = threading.Event()
        self._closed = False

    def cancel(self) -> None:
        """End every request now; new ones may be made."""
        with self._lock:
            self._stopped.set()
            self._stopped = threading.Event()
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def close(self) -> None:
        """The same, and none may be made any more."""
        self._closed = True
        self.cancel()

    def wait(self, seconds: float) -> None:
        """Let time go by; raises Stopped when everything is ended."""
        if self._stopped.wait(seconds):
            raise Stopped

    def ask(
        self,
        method: str,
        request: protobuf.Message,
        answer: type[M],
        *,
        timeout: float = 0.0,
        action: Action | None = None,
        digest: Digest | None = None,
        cancellation: Cancellation | None = None,
    ) -> M:
        """One question, one answer; within `timeout` seconds, else those of the settings.

        Raises Ended once it is cancelled.
        """
        import grpc

        def once(seconds: float, metadata: Metadata) -> M:
            call = self._open().unary_unary(
                method,
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )
            if cancellation is None:
                found: M = call(request, timeout=seconds, metadata=metadata)
                return found
            cancellation.check()
            answer_to_come: Any = call.future(request, timeout=seconds, metadata=metadata)
            with cancellation.ends_by(answer_to_come.cancel):
                try:
                    found = answer_to_come.result()
                except grpc.FutureCancelledError:
                    raise (Ended if cancellation.is_ended else Stopped) from None
            return found

        return self.repeated(once, timeout=timeout, action=action, digest=digest)

    def send(
        self,
        method: str,
        requests: Iterator[protobuf.Message],
        answer: type[M],
        seconds: float,
        meta: Metadata,
    ) -> M:
        """Many messages, one answer; once."""
        call = self._open().stream_unary(
            method,
            request_serializer=_bytes,
            response_deserializer=answer.FromString,
        )
        found: M = call(requests, timeout=seconds, metadata=meta)
        return found

    def receive(
        self,
        method: str,
        request: protobuf.Message,
        answer: type[M],
        seconds: float,
        meta: Metadata,
        cancellation: Cancellation | None = None,
    ) -> Iterator[M]:
        """One question, many messages; once. The server is told when they are not read on.

        Once it is cancelled they end with the fault CANCELLED.
        """
        call = self._open().unary_stream(
            method,
            request_serializer=_bytes,
            response_deserializer=answer.FromString,
        )
        answers: Any = call(request, timeout=seconds, metadata=meta)
        try:
            with (cancellation or Cancellation()).ends_by(answers.cancel):
                yield from answers
        finally:
            answers.cancel()

    def repeated(
        self,
        work: Callable[[float, Metadata], T],
        *,
        timeout: float = 0.0,
        action: Action | None = None,
        digest: Digest | None = None,
        advanced: Callable[[], int] = lambda: 0,
    ) -> T:
        """What some work gives that is told how many seconds it has and whom it is for.

        Where `advanced` has grown since the last time, the work was of use: the time and the
        number of repetitions begin anew.
        """
        import grpc

        whole, stopped = timeout or self.farm.timeout, self._stopped
        end, attempt, reached, renewed = time.monotonic() + whole, 0, advanced(), False
        while True:
            self._allow()
            headers = self._credentials.headers()
            try:
                found = work(
                    max(end - time.monotonic(), 0.05), self._metadata(headers, action, digest)
                )
            except grpc.RpcError as error:
                fault = self._fault(error)
            except ValueError as error:
                if not stopped.is_set():
                    raise
                raise Stopped from error  # the channel was closed under it
            else:
                self.breaker.succeeded()
                return found
            if stopped.is_set():
                raise Stopped
            if fault.code == "UNAUTHENTICATED" and not renewed and self._credentials.renew(headers):
                renewed = True
                continue
            if fault.code not in PASSING or _UNTRUSTED in fault.message:
                self.breaker.succeeded()  # it is there, and says no
                raise fault
            if advanced() > reached:
                end, attempt, reached = time.monotonic() + whole, 0, advanced()
            pause = _pause(attempt, fault)
            attempt += 1
            if attempt > self.farm.retries or time.monotonic() + pause >= end:
                self.breaker.failed(fault.message)
                raise fault
            if stopped.wait(pause):
                raise Stopped

    def _allow(self) -> None:
        if self._closed:
            raise Stopped
        if not self.breaker.allows():
            raise FarmGone(self.breaker.reason, "UNAVAILABLE")

    def _open(self) -> grpc.Channel:
        with self._lock:
            if self._closed:
                raise Stopped
            if self._channel is None:
                self._channel = _channel(self.farm, self.endpoint)
            return self._channel

    def _metadata(
        self, headers: tuple[tuple[str, str], ...], action: Action | None, digest: Digest | None
    ) -> Metadata:
        told = pb.RequestMetadata()
        told.CopyFrom(self._tool)
        if digest is not None:
            told.action_id = digest.hash
        if action is not None:
            told.action_mnemonic, told.target_id = action.mnemonic, action.owner
        return (*headers, (_METADATA, told.SerializeToString()))

    def _fault(self, error: grpc.RpcError) -> Fault:
        code = error.code().name
        words = (error.details() or "").strip().splitlines()
        message = f"the build farm `{self.endpoint}` failed: {code}: {words[0] if words else ''}"
        return Fault(message.rstrip(": "), code, _status(error))


class Fault(FarmError):
    """What one request ended with; `status` is what the server told more of it."""

    def __init__(self, message: str, code: str, status: pb.Status | None) -> None:
        super().__init__(message, code)
        self.status = status

    def detail(self, kind: type[M]) -> M | None:
        """One of the things that it told more."""
        return detail(self.status, kind)


def detail(status: pb.Status | None, kind: type[M]) -> M | None:
    """What a google.rpc.Status holds of one kind."""
    for each in status.details if status is not None else ():
        if each.type_url.rpartition(".")[2] == kind.DESCRIPTOR.name:
            with contextlib.suppress(protobuf.DecodeError):
                found = kind()
                found.ParseFromString(each.value)
                return found
    return None


def refusal(endpoint: Endpoint, fault: FarmError) -> FarmError:
    """The same, with advice, where it says that we may not, or that this is no farm."""
    if _UNTRUSTED in fault.message:
        hint = "`ca` in `[remote]` names the certificates that are trusted"
        return FarmRefuses(fault.message, fault.code, hint=hint)
    if fault.code not in REFUSALS:
        return fault
    hint = {
        "UNAUTHENTICATED": "`token_file`, `token_env` or `credential_helper` in `[remote]` tell it "
        "who you are",
        "PERMISSION_DENIED": "whoever runs the farm says what you may do there",
        "UNIMPLEMENTED": f"`{endpoint}` speaks gRPC, but not this part of the Remote Execution API",
    }[fault.code]
    return FarmRefuses(fault.message, fault.code, hint=hint)


def _bytes(message: protobuf.Message) -> bytes:
    return message.SerializeToString()


def _status(error: grpc.RpcError) -> pb.Status | None:
    pairs: Any = error.trailing_metadata() or ()
    for key, value in pairs:
        if key == _DETAILS:
            with contextlib.suppress(protobuf.DecodeError):
                return pb.Status.FromString(value)
    return None


def _pause(attempt: int, fault: Fault) -> float:
    """Seconds until the next attempt; by lot, so that not all come back at once."""
    wanted = fault.detail(pb.RetryInfo)
    if wanted is not None:
        return max(0.0, wanted.retry_delay.seconds + wanted.retry_delay.nanos / 1e9)
    most = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**attempt)
    return most * random.uniform(0.5, 1.0)


def _channel(farm: Farm, endpoint: Endpoint) -> grpc.Channel:
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # programs are started by exec at once
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it says is told by its errors too
    try:
        import grpc
    except ImportError as error:
        raise HostError(
            "a build farm needs the package `grpcio`",
            hint=f"`{process.install('remote')}` brings it",
        ) from error
    options = [
        ("grpc.max_receive_message_length", _LARGEST),
        ("grpc.max_send_message_length", _LARGEST),
        ("grpc.enable_retries", 0),  # they are made here, where they can be counted
        ("grpc.enable_http_proxy", int(not endpoint.is_here)),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.primary_user_agent", f"lamina/{version('lamina')}"),
    ]
    if not endpoint.secure:
        return grpc.insecure_channel(endpoint.address, options)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_authorities(farm),
        private_key=_read(farm, farm.key),
        certificate_chain=_read(farm, farm.certificate),
    )
    return grpc.secure_channel(endpoint.address, credentials, options)


def _authorities(farm: Farm) -> bytes | None:
    if farm.ca:
        return _read(farm, farm.ca)
    system = ssl.get_default_verify_paths().cafile
    return Path(system).read_bytes() if system else None


def _read(farm: Farm, name: str) -> bytes | None:
    if not name:
        return None
    try:
        return farm.file(name).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read `{farm.file(name)}`: {error.strerror}") from error
