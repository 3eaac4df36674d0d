"""Stops asking a service that fails again and again, and tries it once in a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_FAILURES = 3  # requests in a row that failed with all their repetitions
_PAUSE = 30.0  # seconds until it is tried again


class Breaker:
    """Closed while requests succeed, open after some failures in a row. Safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened: float | None = None
        self.reason = ""  # what the last failure said

    @property
    def is_open(self) -> bool:
        """Whether requests are not even tried now."""
        opened = self._opened
        return opened is not None and self._clock() - opened < _PAUSE

    def allows(self) -> bool:
        """Whether a request may be tried; of those after a pause only the first."""
        with self._lock:
            if self._opened is None:
                return True
            if self._clock() - self._opened < _PAUSE:
                return False
            self._opened = self._clock()
            return True

    def succeeded(self) -> None:
        """A request was answered, whatever the answer was."""
        if self._failures or self._opened is not None:
            with self._lock:
                self._failures, self._opened = 0, None

    def failed(self, reason: str) -> None:
        """A request came to nothing, with all its repetitions."""
        with self._lock:
            self._failures += 1
            self.reason = reason
            if self._failures >= _FAILURES and self._opened is None:
                self._opened = self._clock()
