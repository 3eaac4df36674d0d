"""Lets a build farm run an action: the Execution service, and the operation that it answers with.

Execute ──▶ operations, each newer than the one before ──▶ done
   │ cut: WaitExecution by the operation's name, which goes on with the same
   └ the farm has forgotten the name, or had no worker: Execute again
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from lamina.core.action import OUTPUT_FOLDER, Action
from lamina.core.cancellation import Ended
from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.formats import protobuf, reapi, reapi_pb2
from lamina.formats import remote_pb2 as pb
from lamina.store.remote.cas import code_name
from lamina.store.remote.connection import Connection, Fault, Metadata, detail
from lamina.store.remote.errors import Absent, FarmError, Stopped
from lamina.store.remote.waiting import Waiting

_SERVICE = "/build.bazel.remote.execution.v2.Execution"
_CANCEL = "/google.longrunning.Operations/CancelOperation"
_QUEUED = (1, 2)  # ExecutionStage: CACHE_CHECK and QUEUED
_LONGEST = 86_400.0  # seconds that an action without a limit of its own may run there
_SILENCE = 120.0  # seconds without a word until it is asked anew
_GRACE = 0.5  # seconds for a word that the time is up
_PAUSE = 0.2  # seconds before it is asked anew when it has said nothing
_PATIENCE = 1.0  # seconds for it to take note that nobody waits any more


class TooSlow(FarmError):
    """The action has waited for a worker for too long."""


class TookTooLong(FarmError):
    """The action ran longer than it may."""


@dataclass(frozen=True, slots=True)
class Executed:
    """What a farm made of an action, and whether it knew that already."""

    result: reapi_pb2.ActionResult
    cached: bool
    message: str = ""  # what it has to say to a person


class Execution:
    """Runs actions at one endpoint. Safe to use from many threads."""

    def __init__(self, connection: Connection, instance: str) -> None:
        self._connection = connection
        self._instance = instance
        self._lock = threading.Lock()
        self._running: set[str] = set()  # names of operations
        self._cancelled = 0  # how often all were

    def run(
        self,
        digest: Digest,
        action: Action,
        *,
        anew: bool = False,
        waiting: Waiting | None = None,
    ) -> Executed:
        """Run an action whose message and inputs are in its CAS; with `anew` even if it is known.

        A command that fails is a result. Raises Absent for blobs that are not there, TooSlow,
        TookTooLong, or FarmError; Ended, once the farm is told, where the wait was ended.
        """
        task = _Run(self._connection, self._instance, digest, action, anew, waiting or Waiting())
        cancelled = self._cancelled
        try:
            return _executed(self._followed(task), self._connection)
        except (FarmError, Ended):
            if self._cancelled != cancelled:
                raise Stopped from None  # the farm may say so before the request has ended
            if not task.waiting.is_ended:
                raise
            if task.name:
                self._give_up(task.name)
            raise Ended from None
        finally:
            with self._lock:
                self._running.discard(task.name)

    def _followed(self, task: _Run) -> pb.Operation:
        """The operation when it is done."""
        for left in range(self._connection.farm.retries, -1, -1):
            try:
                return self._connection.repeated(
                    lambda _, metadata: self._once(task, metadata),
                    action=task.action,
                    digest=task.digest,
                    advanced=lambda: task.heard,
                )
            except Fault as fault:
                if fault.code == "NOT_FOUND" and task.name and left:
                    task.forget()  # it has lost the operation
                    continue
                if fault.code == "DEADLINE_EXCEEDED" and task.name:
                    raise self._too_slow(task) from fault
                raise _absent(fault.status, fault) or fault from fault
            except _Cut:
                if not left:
                    raise
                self._connection.wait(_PAUSE)
        raise AssertionError

    def _once(self, task: _Run, metadata: Metadata) -> pb.Operation:
        task.waiting.check()
        if task.seconds_left <= 0:
            raise self._too_slow(task)
        # Whether it waits for a worker is only known when the farm has answered.
        seconds = min(task.seconds_left, self._connection.farm.queue_timeout) + _GRACE
        for operation in task.follow(min(_SILENCE, seconds), metadata):
            with self._lock:
                self._running.add(operation.name)
            if operation.done:
                return operation
            if task.seconds_left <= 0:
                raise self._too_slow(task)
        raise _Cut("the build farm ended its answer before the action was done", "UNAVAILABLE")

    def _too_slow(self, task: _Run) -> FarmError:
        """Nobody waits for it any more: tell the farm."""
        self._give_up(task.name)
        if task.is_queued:
            seconds = self._connection.farm.queue_timeout
            words = f"no worker of the build farm took an action within {seconds:g} s"
            return TooSlow(words, "DEADLINE_EXCEEDED")
        return TookTooLong("an action runs in the build farm for too long", "DEADLINE_EXCEEDED")

    def cancel(self) -> None:
        """Tell the farm that nobody waits for what it runs; as far as that goes within a second."""
        with self._lock:
            self._cancelled += 1
            names = list(self._running)
        end = time.monotonic() + _PATIENCE
        for name in names:
            if time.monotonic() < end:
                self._give_up(name)

    def _give_up(self, name: str) -> None:
        request = pb.CancelOperationRequest(name=name)
        with contextlib.suppress(FarmError):
            self._connection.ask(_CANCEL, request, pb.Any, timeout=_PATIENCE)


class _Cut(FarmError):
    """The stream ended too early, without an error."""


class _Run:
    """One action on its way."""

    def __init__(
        self,
        connection: Connection,
        instance: str,
        digest: Digest,
        action: Action,
        anew: bool,
        waiting: Waiting,
    ) -> None:
        self.digest = digest
        self.action = action
        self.waiting = waiting
        self.name = ""  # of the operation
        self.is_queued = False  # as far as the farm tells
        self.heard = 0  # operations that have come
        self._begun = time.monotonic()
        self._connection = connection
        self._request = pb.ExecuteRequest(
            instance_name=instance,
            action_digest=reapi.digest(digest),
            skip_cache_lookup=anew,
            inline_stdout=True,
            inline_stderr=True,
            # It is read here at once.
            inline_output_files=[f"{OUTPUT_FOLDER}/{action.depfile}"] if action.depfile else [],
        )

    def forget(self) -> None:
        """Begin anew."""
        self.name, self.is_queued = "", False

    @property
    def seconds_left(self) -> float:
        """How long it is waited for."""
        most = self._connection.farm.queue_timeout
        if not self.is_queued:
            most += self.action.timeout or _LONGEST
        return self._begun + most - time.monotonic()

    def follow(self, seconds: float, metadata: Metadata) -> Iterator[pb.Operation]:
        """What becomes of it, from now on."""
        method = f"{_SERVICE}/Execute"
        request: pb.ExecuteRequest | pb.WaitExecutionRequest = self._request
        if self.name:
            method, request = f"{_SERVICE}/WaitExecution", pb.WaitExecutionRequest(name=self.name)
        for operation in self._connection.receive(
            method, request, pb.Operation, seconds, metadata, self.waiting
        ):
            self.heard += 1
            self.name = operation.name
            with contextlib.suppress(protobuf.DecodeError):
                told = pb.ExecuteOperationMetadata.FromString(operation.metadata.value)
                self.is_queued = self.waiting.is_queued = told.stage in _QUEUED
            yield operation


def _executed(operation: pb.Operation, connection: Connection) -> Executed:
    if operation.HasField("error"):
        raise _failed(operation.error, connection)
    try:
        answer = pb.ExecuteResponse.FromString(operation.response.value)
    except protobuf.DecodeError as error:
        raise FarmError(
            f"the build farm `{connection.endpoint}` gave no answer that makes sense", "INTERNAL"
        ) from error
    if answer.status.code:
        raise _failed(answer.status, connection)
    return Executed(answer.result, answer.cached_result, answer.message)


def _failed(status: pb.Status, connection: Connection) -> FarmError:
    code = code_name(status.code)
    message = f"the build farm `{connection.endpoint}` failed: {code}: {status.message}"
    fault = FarmError(message.rstrip(": "), code)
    if code == "DEADLINE_EXCEEDED":
        return TookTooLong(fault.message, code)
    return _absent(status, fault) or fault


def _absent(status: pb.Status | None, fault: FarmError) -> Absent | None:
    """What it misses, if that is why it failed."""
    if fault.code not in ("FAILED_PRECONDITION", "NOT_FOUND"):
        return None
    told = detail(status, pb.PreconditionFailure)
    subjects = [each.subject for each in told.violations if each.type == "MISSING"] if told else []
    names = [subject.split("/") for subject in subjects]
    found = [Digest(words[1], int(words[2])) for words in names if _is_blob(words)]
    return Absent(fault.message, found)


def _is_blob(words: list[str]) -> bool:
    """Whether a subject is `blobs/{hash}/{size}`."""
    return len(words) >= 3 and words[0] == "blobs" and words[2].isdecimal()
