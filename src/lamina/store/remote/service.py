"""A build farm in use: its services, what is known of their state, and what failed."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from functools import cached_property

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.store.blobs import BlobMissing
from lamina.store.local import LocalStore
from lamina.store.remote import capabilities
from lamina.store.remote.capabilities import Capabilities
from lamina.store.remote.cas import Cas
from lamina.store.remote.connection import Connection
from lamina.store.remote.distant import Distant
from lamina.store.remote.errors import FarmError, FarmRefuses, Stopped
from lamina.store.remote.execution import Execution
from lamina.store.remote.results import Results
from lamina.store.remote.settings import Farm
from lamina.store.remote.uploads import Uploads

_TOLD = 5  # failures
_LOST = "the build farm has lost blobs that it had"
_OFF = Capabilities(batch=0, version=(0, 0))


class Service:
    """The farm that settings name; a context that waits at its end for what is being sent.

    Nothing is asked before it is needed. Safe to use from many threads.
    """

    def __init__(self, farm: Farm, store: LocalStore) -> None:
        assert farm.is_used
        self.farm = farm
        self.store = store
        self._lock = threading.Lock()
        self._failures: dict[str, None] = {}  # told once, in order
        endpoint = farm.endpoint or farm.executor
        assert endpoint is not None
        # Requests that somebody waits for may be ended without those that go on behind.
        self._asking = Connection(farm, endpoint)
        self._moving = Connection(farm, endpoint)
        self._running = self._asking
        if farm.executor not in (None, endpoint):
            assert farm.executor is not None
            self._running = Connection(farm, farm.executor)
        self._uploads: Uploads | None = None
        self.careful = False  # whether results count only if all that they name is brought at once

    def close(self) -> None:
        """Let what is being sent arrive, as long as that gets on; then end everything."""
        if self._uploads is not None:
            if not self._uploads.settle(self.farm.timeout):
                self.note("what was made here could not all be sent to the build farm")
            elif self._uploads.lost:
                self.note(self._uploads.failure)
        self.stop()

    def stop(self) -> None:
        """End everything now."""
        for connection in self._connections:
            connection.close()
        if self._uploads is not None:
            self._uploads.end()

    def cancel(self) -> None:
        """End what somebody waits for, now."""
        if "execution" in self.__dict__:
            self.execution.cancel()
        if self._uploads is not None:
            self._uploads.cancel()
        self._asking.cancel()
        self._running.cancel()

    @property
    def _connections(self) -> list[Connection]:
        return list(dict.fromkeys([self._asking, self._moving, self._running]))

    @property
    def failures(self) -> list[str]:
        """What went wrong and was done without, for people; of many the first."""
        return list(self._failures)[:_TOLD]

    def note(self, message: str) -> None:
        """Take down that something had to be done without the farm."""
        with self._lock:
            self._failures[message] = None

    def failed(self, error: FarmError) -> None:
        """Take down why; raises the error where nothing is to be done without the farm."""
        if isinstance(error, FarmRefuses) or not self.farm.fallback:
            raise error
        self.note(error.message)

    def check(self) -> None:
        """Ask what it can do, before anything relies on it.

        Raises FarmRefuses for what is wrong with the settings, FarmError for a farm that does not
        answer where nothing is to be done without it.
        """
        if self.farm.executes and self.can_run.executes is False and self.can_run is not _OFF:
            raise FarmRefuses(
                f"the build farm `{self._running.endpoint}` runs no actions",
                "UNIMPLEMENTED",
                hint="`execution = false` in `[remote]` uses its cache alone",
            )
        if self.farm.executes and (2, 0) <= self.can_run.version < (2, 1):
            raise FarmRefuses(
                f"the build farm `{self._running.endpoint}` is too old to run actions of lamina",
                "UNIMPLEMENTED",
                hint="it takes version 2.1 of the Remote Execution API; the cache can be used",
            )
        _ = self.can

    @cached_property
    def can(self) -> Capabilities:
        """What the cache can do; nothing where it does not answer."""
        return self._capabilities(self._asking)

    @cached_property
    def can_run(self) -> Capabilities:
        """What execution can do."""
        return self.can if self._running is self._asking else self._capabilities(self._running)

    def _capabilities(self, connection: Connection) -> Capabilities:
        try:
            return capabilities.ask(connection, self.farm.instance)
        except FarmError as error:
            self.failed(error)
            return _OFF

    @property
    def is_there(self) -> bool:
        """Whether it answered when it was first asked, and is not given up."""
        return self.can is not _OFF and not self._asking.breaker.is_open

    @property
    def reads(self) -> bool:
        """Whether results may be looked up."""
        return self.farm.reads and self.is_there

    @property
    def writes(self) -> bool:
        """Whether it takes results from here."""
        return self.farm.writes and self.can.updates and not self._moving.breaker.is_open

    @property
    def executes(self) -> bool:
        """Whether actions may run there."""
        return (
            self.farm.executes
            and self.is_there
            and self.can_run.executes
            and not self._running.breaker.is_open
        )

    @cached_property
    def results(self) -> Results:
        """Its action cache."""
        return Results(self._asking, self.farm.instance, self.cas, self.store.hold)

    @cached_property
    def saved(self) -> Results:
        """The same, for results that are sent behind."""
        return Results(self._moving, self.farm.instance, self.cas)

    @cached_property
    def execution(self) -> Execution:
        """What runs actions."""
        return Execution(self._running, self.farm.instance)

    @cached_property
    def cas(self) -> Cas:
        """Its blobs."""
        return Cas(self._moving, self.farm.instance, self.can)

    @cached_property
    def _near(self) -> Cas:
        """The same, for blobs that somebody waits for here."""
        return Cas(self._asking, self.farm.instance, self.can)

    @property
    def uploads(self) -> Uploads:
        """Blobs on their way there."""
        with self._lock:
            if self._uploads is None:
                self._uploads = Uploads(self.cas, self.store)
            return self._uploads

    def expect(self, digests: Iterable[Digest]) -> None:
        """Know that the farm has blobs, and that they can be had from there."""
        found = set(digests)
        self.uploads.heard_of(found)
        self.store.expect(found)

    def lose(self, digests: Iterable[Digest] = ()) -> None:
        """Know that it has lost blobs; without digests, that it may have lost any.

        From then on its results count only if all that they name can be brought.
        """
        self.careful = True
        self.uploads.forget(digests)

    def lacking(self, digests: Collection[Digest]) -> set[Digest]:
        """Those of some blobs that the farm does not have; all where it does not answer."""
        if self.can is _OFF or self._asking.breaker.is_open:
            return set(digests)
        try:
            return self._near.missing(digests)
        except FarmError as error:
            self.failed(error)
            return set(digests)

    def distant(self, digest: Digest) -> Distant:
        """A blob, to be read without having it here."""

        def failed(error: FarmError | IntegrityError) -> None:
            self.lose([digest] if isinstance(error, BlobMissing) else ())
            if isinstance(error, FarmError):
                self.failed(error)
            elif isinstance(error, BlobMissing):
                self.note(_LOST)
            else:
                self.note(f"the build farm sent wrong bytes: {error.message}")

        return Distant(self._near, digest, failed)

    def bring(self, digests: Collection[Digest]) -> None:
        """Put blobs into the store of this machine; those that cannot be had are not there then."""
        if self.can is _OFF or self._asking.breaker.is_open:
            return
        small, write = [each for each in digests if self.cas.is_small(each)], self.store.write
        try:
            lost = self._near.read_small(small, lambda _, data: write(data, durable=False))
            for digest in sorted(set(digests).difference(small)):
                try:
                    with self.store.incoming(durable=False) as incoming:
                        self._near.read_large(digest, incoming)
                        incoming.adopt()
                except BlobMissing:
                    lost.append(digest)
        except Stopped:
            return  # nobody waits for them any more
        except FarmError as error:
            self.lose()
            self.failed(error)
            return
        except IntegrityError as error:
            self.lose()
            self.note(f"the build farm sent wrong bytes: {error.message}")
            return
        if lost:
            self.lose(lost)
            self.note(_LOST)
