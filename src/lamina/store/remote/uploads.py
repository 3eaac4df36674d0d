"""Blobs on their way to a build farm: what several actions need there goes in common messages.

A few threads take all that waits at once: one question which of it is missing, one message, or
few, with the small blobs, a stream for each large one. What nobody waits for is left for others to
come for a moment. What the farm is known to have is not asked for again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent import futures
from concurrent.futures import Future
from functools import partial
from io import BytesIO

from lamina.core.cancellation import Cancellation
from lamina.core.classes import dataclass, field
from lamina.core.digest import EMPTY, Digest
from lamina.core.errors import IntegrityError
from lamina.store.local import LocalStore
from lamina.store.remote.cas import Cas, Content
from lamina.store.remote.errors import FarmError, Stopped

_THREADS = 4
_TOGETHER = 4000  # blobs that are looked after at once
_MANY = 200  # orders that are not left to become more
_PAUSE = 0.25  # seconds for others to come
_AT_ONCE = 16 << 20  # bytes of small blobs that are read before they are sent
_HEARTBEAT = 0.2  # seconds

# Bytes that are at hand; None where the store has them.
Blobs = Mapping[Digest, bytes | None]


@dataclass(slots=True)
class _Order:
    blobs: Blobs
    then: Callable[[], None]  # what is done when all are there
    urgent: bool  # whether somebody waits for it
    since: float = field(default_factory=time.monotonic)
    done: Future[None] = field(default_factory=Future)


class Uploads:
    """Sends blobs to a farm. Safe to use from many threads."""

    def __init__(self, cas: Cas, store: LocalStore) -> None:
        self._cas = cas
        self._store = store
        self._known: set[Digest] = {EMPTY}
        self._orders: list[_Order] = []
        self._open = 0  # orders that are not done
        self._change = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._settling = False  # whether nothing more is left to come
        self._ended = False
        self._cancelled = 0  # how often
        self.failure = ""  # what the last one that failed said
        self.lost = 0  # orders that failed and that nobody waits for

    def knows(self, digest: Digest) -> bool:
        """Whether a blob was there when it was last heard of."""
        return digest in self._known

    def heard_of(self, digests: Iterable[Digest]) -> None:
        """The farm has said that it has some blobs."""
        self._known.update(digests)

    def forget(self, digests: Iterable[Digest] = ()) -> None:
        """It has lost some, or nobody knows what."""
        gone = set(digests)
        self._known = {EMPTY} | (self._known - gone if gone else set())

    def ensure(self, blobs: Blobs, cancellation: Cancellation | None = None) -> None:
        """Let some blobs be there; raises FarmError, IntegrityError for one that is nowhere.

        Whoever is cancelled waits no longer, and raises Ended; the blobs go on.
        """
        cancelled = self._cancelled
        order = self._add(blobs, lambda: None, urgent=True)
        if order is None:
            return
        while not futures.wait([order.done], _HEARTBEAT).done:
            if self._cancelled != cancelled:
                raise Stopped
            if cancellation is not None:
                cancellation.check()
        order.done.result()

    def cancel(self) -> None:
        """Let nobody wait any longer for what is being sent now."""
        self._cancelled += 1

    def later(self, blobs: Blobs, then: Callable[[], None]) -> None:
        """Send blobs without waiting for it, and then do something, such as name them."""
        order = self._add(blobs, then, urgent=False)
        assert order is not None
        order.done.add_done_callback(self._note)

    def _note(self, done: Future[None]) -> None:
        if (error := done.exception()) is not None:
            with self._change:
                self.lost += 1
                self.failure = str(error)

    def settle(self, patience: float) -> bool:
        """Wait until all is sent; False where for some seconds nothing got further."""
        with self._change:
            self._settling = True
            self._change.notify_all()
            left, since = self._progress(), time.monotonic()
            while self._open:
                self._change.wait(_HEARTBEAT)
                if self._progress() != left:
                    left, since = self._progress(), time.monotonic()
                elif time.monotonic() - since > patience:
                    return False
            self._settling = False
        return True

    def _progress(self) -> tuple[int, int]:
        return self._open, self._cas.moved.sent

    def end(self) -> None:
        """Send nothing more."""
        with self._change:
            self._ended = True
            orders, self._orders = self._orders, []
            self._change.notify_all()
        for order in orders:
            self._finish(order, Stopped())
        for thread in self._threads:
            thread.join()

    def _add(self, blobs: Blobs, then: Callable[[], None], *, urgent: bool) -> _Order | None:
        wanted = {digest: data for digest, data in blobs.items() if digest not in self._known}
        if not wanted and urgent:
            return None
        order = _Order(wanted, then, urgent)
        with self._change:
            if self._ended:
                raise Stopped
            self._orders.append(order)
            self._open += 1
            if len(self._threads) < _THREADS:
                thread = threading.Thread(target=self._work, name="upload", daemon=True)
                thread.start()
                self._threads.append(thread)
            self._change.notify()
        return order

    def _work(self) -> None:
        while orders := self._take():
            try:
                self._send({d: data for order in orders for d, data in order.blobs.items()})
            except (FarmError, IntegrityError, OSError, Stopped) as error:
                self._apart(orders, error)
                continue
            for order in orders:
                self._complete(order)

    def _take(self) -> list[_Order]:
        with self._change:
            while not self._ended and (left := self._left()) != 0:
                self._change.wait(left)
            taken, size = 0, 0
            for order in self._orders:
                size += len(order.blobs)
                if taken and size > _TOGETHER:
                    break
                taken += 1
            found, self._orders = self._orders[:taken], self._orders[taken:]
        return found

    def _left(self) -> float | None:
        """Seconds until what waits is to be taken; None if nothing waits."""
        orders = self._orders
        if not orders:
            return None
        if self._settling or len(orders) >= _MANY or any(order.urgent for order in orders):
            return 0
        return max(0, orders[0].since + _PAUSE - time.monotonic())

    def _apart(self, orders: list[_Order], error: Exception) -> None:
        """Let a blob that cannot be read spoil only the order that it belongs to."""
        if len(orders) == 1 or not isinstance(error, IntegrityError):
            for order in orders:
                self._finish(order, error)
            return
        for order in orders:
            try:
                self._send(order.blobs)
            except (FarmError, IntegrityError, OSError, Stopped) as fault:
                self._finish(order, fault)
            else:
                self._complete(order)

    def _complete(self, order: _Order) -> None:
        try:
            order.then()
        except (FarmError, IntegrityError, OSError, Stopped) as error:
            self._finish(order, error)
        else:
            self._finish(order, None)

    def _finish(self, order: _Order, error: Exception | None) -> None:
        if error is None:
            order.done.set_result(None)
        else:
            order.done.set_exception(error)
        with self._change:
            self._open -= 1
            self._change.notify_all()

    def _content(self, digest: Digest, data: bytes | None) -> Content:
        if data is not None:
            return partial(BytesIO, data)
        return partial(self._store.path(digest).open, "rb")

    def _send(self, blobs: Blobs) -> None:
        wanted = [digest for digest in blobs if digest not in self._known]
        if not wanted:
            return
        missing = self._cas.missing(wanted)
        small: dict[Digest, bytes] = {}
        size = 0
        for digest in sorted(missing):
            data = blobs[digest]
            if self._cas.is_small(digest):
                small[digest] = self._store.read(digest) if data is None else data
                size += digest.size
                if size > _AT_ONCE:
                    self._cas.write_small(small)
                    small, size = {}, 0
            else:
                self._cas.write_large(digest, self._content(digest, data))
        if small:
            self._cas.write_small(small)
        self._known.update(wanted)
