"""Lets one thread end what another one does, whatever that is at the moment."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


class Ended(Exception):
    """What a thread did was ended by another."""


class Cancellation:
    """Handed to whoever does something by whoever may end it. Safe for threads."""

    def __init__(self) -> None:
        # `end` may run code that gets here again.
        self._lock = threading.RLock()
        self._ways: list[Callable[[], object]] = []
        self._is_ended = False

    @property
    def is_ended(self) -> bool:
        """Whether nobody wants it any more."""
        return self._is_ended

    def end(self) -> None:
        """End it, now and for good."""
        with self._lock:
            self._is_ended = True
            for way in self._ways:
                way()

    def check(self) -> None:
        """Raise Ended where nobody wants it any more."""
        if self._is_ended:
            raise Ended

    @contextlib.contextmanager
    def ends_by(self, way: Callable[[], object]) -> Iterator[None]:
        """While the block runs, `end` calls `way`; at once where it was called before."""
        with self._lock:
            self._ways.append(way)
            if self._is_ended:
                way()
        try:
            yield
        finally:
            with self._lock:
                self._ways.remove(way)
