"""What a person sees while blobs move: a line for each layer under way, and how much is left."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType

from lamina.cli import output
from lamina.core.digest import Digest

_EVERY = 0.1  # seconds between two drawings
_ROWS = 8
_BAR = 24


class Progress:
    """Counts what moves, and shows it where stderr is a terminal. A context."""

    def __init__(self, verb: str, names: Mapping[Digest, str] | None = None) -> None:
        """`verb` is what is done, `pulling`; `names` are those of layers."""
        self.begun = time.monotonic()
        self._verb = verb
        self._names = names or {}
        self._lock = threading.Lock()
        self._sizes: dict[Digest, int] = {}
        self._moved: dict[Digest, int] = {}
        self._drawn = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        if output.is_terminal():
            self._thread = threading.Thread(target=self._draw_often, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            # Whoever starts a program after this must have one thread only.
            self._thread.join()
            output.redraw((), self._drawn)

    def planned(self, digests: Iterable[Digest]) -> None:
        """These will move."""
        with self._lock:
            self._sizes.update((digest, digest.size) for digest in digests)

    def moved(self, digest: Digest, size: int) -> None:
        """So many bytes more of a blob have moved; less where it has to begin anew."""
        with self._lock:
            self._moved[digest] = self._moved.get(digest, 0) + size

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self.begun

    def _draw_often(self) -> None:
        while not self._ended.wait(_EVERY):
            with contextlib.suppress(OSError):  # the terminal has gone; the work goes on
                self._drawn = output.redraw(list(self._lines()), self._drawn)

    def _lines(self) -> Iterator[str]:
        with self._lock:
            sizes, moved = dict(self._sizes), dict(self._moved)
        under_way = [each for each in sizes if 0 < moved.get(each, 0) < each.size]
        for digest in under_way[:_ROWS]:
            done = moved[digest]
            filled = _BAR * done // max(digest.size, 1)
            bar = "=" * filled + " " * (_BAR - filled)
            name = self._names.get(digest, digest.short)
            yield f"{name[:30]:30} [{bar}] {output.size(done)} / {output.size(digest.size)}"
        total, done = sum(sizes.values()), sum(min(moved.get(each, 0), each.size) for each in sizes)
        ended = sum(moved.get(each, 0) >= each.size for each in sizes)
        rate = done / max(self.seconds, 1e-3)
        left = f", {output.duration((total - done) / rate)} left" if done and total > done else ""
        yield (
            f"{self._verb} {ended}/{output.plural(len(sizes), 'blob')}, "
            f"{output.size(done)} of {output.size(total)}, {output.size(int(rate))}/s{left}"
        )
