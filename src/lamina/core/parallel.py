"""Several pieces of work at once that mostly wait, such as requests.

Unlike those of `concurrent.futures`, the threads do not keep the process: who is interrupted, or
meets an error, leaves them to themselves.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

# The kernel may hand a signal to another thread, and only the main one runs signal handlers: so it
# never sleeps for longer than this.
_HEARTBEAT = 0.2  # seconds


def run(work: Sequence[Callable[[], T]], at_once: int) -> list[T]:
    """What each piece gives, in their order; the first error that one raises is raised."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(work)):
        waiting.put(number)
    done: queue.SimpleQueue[tuple[int, T] | BaseException] = queue.SimpleQueue()
    ended = threading.Event()

    def go() -> None:
        while not ended.is_set():
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((number, work[number]()))
            except BaseException as error:  # whatever it is, it belongs to who waits
                done.put(error)

    threads = [
        threading.Thread(target=go, name="parallel", daemon=True)
        for _ in range(min(at_once, len(work)))
    ]
    try:
        for thread in threads:
            thread.start()
        found = dict(_next(done) for _ in work)
    finally:
        ended.set()
    for thread in threads:
        thread.join()  # whoever starts a program after this must have one thread only
    return [found[number] for number in range(len(work))]


def _next(done: queue.SimpleQueue[tuple[int, T] | BaseException]) -> tuple[int, T]:
    while True:
        try:
            found = done.get(timeout=_HEARTBEAT)
        except queue.Empty:
            continue
        if isinstance(found, BaseException):
            raise found
        return found
