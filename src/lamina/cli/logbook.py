"""What is kept of a command that builds: its phases, its actions, how it ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import output
from lamina.core.errors import Interrupted, LaminaError

if TYPE_CHECKING:
    from lamina.build.history.recorder import Recorder
    from lamina.store.local import LocalStore

_WORDS = 50  # of a command line that are kept


class Logbook:
    """Takes down one command; what its words are empty for is nothing to keep."""

    def __init__(self, words: Sequence[str], jobs: int) -> None:
        self.result = "succeeded"  # what a command may say that knows it better
        self.phases: list[tuple[str, float, float]] = []
        self._words = words
        self._jobs = jobs
        self._date = time.time()
        self._clock = time.monotonic()

    @cached_property
    def recorder(self) -> Recorder:
        """What listens to the engine."""
        from lamina.build.history.recorder import Recorder

        return Recorder(self._clock)

    @property
    def elapsed(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._clock

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Take down how long something took."""
        begun = time.monotonic() - self._clock
        try:
            yield
        finally:
            self.phases.append((name, begun, time.monotonic() - self._clock))

    def close(self, folder: Path, store: LocalStore, error: BaseException | None) -> None:
        """Add the command to the history of the workspace."""
        from lamina.build.history import index

        if not self._words:
            return
        entry = index.Entry(
            begun=self._date,
            seconds=self.elapsed,
            words=(*self._words[:_WORDS], *(("…",) if len(self._words) > _WORDS else ())),
            result=_result(error, self.result),
            jobs=self._jobs,
            message=error.message.partition("\n")[0] if isinstance(error, LaminaError) else "",
            phases=tuple(sorted(self._all_phases(), key=lambda phase: phase[1])),
        )
        try:
            if "recorder" in self.__dict__:
                self.recorder.write(folder, entry, store.scratch)
            else:
                index.append(folder, entry, store.scratch)
        except OSError as fault:  # the build is done; a full disk must not make it a failure
            output.warning(f"no record of this build is kept: {fault.strerror}: `{folder}`")

    def _all_phases(self) -> list[tuple[str, float, float]]:
        executing = self.recorder.span if "recorder" in self.__dict__ else None
        return [*self.phases, ("executing", *executing)] if executing else self.phases


def _result(error: BaseException | None, otherwise: str) -> str:
    if error is None:
        return otherwise
    return "interrupted" if isinstance(error, Interrupted) else "failed"
