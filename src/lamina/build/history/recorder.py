"""A listener that writes down what a build did, for `lamina why` and `lamina log`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.build.history import details, index
from lamina.build.history.details import LISTS, PLACES, STATES, Execution, Failure, Step, Table
from lamina.core.action import Action, Output, Source
from lamina.core.classes import replace
from lamina.core.tree import File, Node, Symlink, Tree

if TYPE_CHECKING:
    from lamina.build.events import Outcome
    from lamina.build.history.index import Entry
    from lamina.core.errors import LaminaError

_SLOW = 0.005  # seconds: looking an action up is written down only where it took longer
_MARK = 16  # digits of a digest that are kept
_MESSAGE = 1 << 16  # characters of a failure that are kept


class Recorder:
    """Takes down actions as they end; they are in memory as a few numbers each."""

    def __init__(self, clock: float) -> None:
        """`clock` is `time.monotonic()` when the build began."""
        self._clock = clock
        self._table = Table()
        self._started: dict[Action, float] = {}
        self._times: dict[Action, tuple[float, float]] = {}
        self._failures: list[Failure] = []
        self._begun = 0.0
        self._ended = 0.0
        self.ran = 0
        self.cached = 0

    def planned(self, actions: int) -> None:
        if actions and not self._begun:
            self._begun = time.monotonic() - self._clock

    def started(self, action: Action) -> None:
        self._started[action] = time.monotonic()

    def finished(self, outcome: Outcome) -> None:
        action = outcome.action
        self._started.pop(action, None)
        times = (outcome.begun - self._clock, outcome.ended - self._clock)
        self._times[action] = times
        self._ended = times[1]
        if outcome.cached:
            self.cached += 1
            if times[1] - times[0] >= _SLOW:
                self._add(action, "known", times)
            return
        self.ran += 1
        mark = self._table.id
        inputs = [mark(f"{path}\0{_mark(node)}") for path, node in outcome.inputs.items()]
        # With its whole digest it can be asked for in the build farm.
        digest = str(outcome.digest) if outcome.shared else outcome.digest.hash[:_MARK]
        place = f"{'farm' if outcome.farm else 'here'}{' first' * outcome.raced}"
        self._add(action, "ran", times, digest, inputs, place)

    def failed(self, action: Action, error: LaminaError) -> None:
        now = time.monotonic()
        begun = self._started.pop(action, now)
        self._ended = now - self._clock
        self._add(action, "failed", (begun - self._clock, now - self._clock))
        words = error.message[:_MESSAGE]
        self._failures.append(Failure(action.owner, str(action), words))

    @property
    def span(self) -> tuple[float, float] | None:
        """When the first action was planned and the last one ended; None if there was none."""
        return (self._begun, self._ended) if self._ended else None

    def write(self, folder: Path, entry: Entry, scratch: Path | None = None) -> int:
        """Add the build to the history of a workspace; returns its number.

        What was running was stopped.
        """
        now = time.monotonic() - self._clock
        for action, begun in self._started.items():
            self._add(action, "stopped", (begun - self._clock, now))
        failed = len(self._failures)
        entry = replace(entry, ran=self.ran, cached=self.cached, failed=failed)
        number = index.append(folder, entry, scratch)
        if self._table.rows:
            steps = critical_path(self._times)
            details.write(folder, number, self._table, steps, self._failures, scratch=scratch)
        return number

    def _add(
        self,
        action: Action,
        state: str,
        times: tuple[float, float],
        digest: str = "",
        inputs: list[int] | None = None,
        place: str = "here",
    ) -> None:
        mark = self._table.id
        words = (action.owner, action.mnemonic, action.subject, action.toolchain, digest)
        fixed = (0, STATES.index(state), PLACES.index(place), *map(mark, words))
        if state == "known":
            self._table.add(fixed, [()] * len(LISTS), times)
            return
        names = [mark(path) for path, _ in action.inputs] if action.depfile else []
        lists = (
            [mark(path) for path in action.outputs],
            [mark(word) for word in action.arguments],
            [mark(f"{name}={value}") for name, value in action.environment],
            [mark(text) for text in _settings(action)],
            [mark("")] if inputs is None else inputs,
            names,
            [mark(text) for pair in _origins(action) for text in pair],
        )
        self._table.add(fixed, lists, times)


def expected(action: Action, inputs: Tree, before: Execution | None) -> Execution:
    """What would be written down of an action if it ran now on some inputs.

    Of one that tells what it read it is taken that it reads what it did `before`.
    """
    read = inputs
    if action.depfile and before is not None and before.inputs is not None:
        read = {path: inputs[path] for path in before.inputs if path in inputs}
    return Execution(
        build=0,
        state="ran",
        owner=action.owner,
        mnemonic=action.mnemonic,
        subject=action.subject,
        outputs=action.outputs,
        arguments=action.arguments,
        environment=tuple(f"{name}={value}" for name, value in action.environment),
        toolchain=action.toolchain,
        settings=tuple(_settings(action)),
        inputs={path: _mark(node) for path, node in read.items()},
        names=tuple(path for path, _ in action.inputs) if action.depfile else (),
        origins=dict(_origins(action)),
    )


def _mark(node: Node) -> str:
    """What tells the content of an input."""
    if isinstance(node, File):
        return f"{node.digest.hash[:_MARK]}{' executable' * node.executable}"
    return f"-> {node.target}" if isinstance(node, Symlink) else "folder"


def _settings(action: Action) -> Iterator[str]:
    """What else decides on how an action runs, and whether."""
    yield from (f"mount={path}" for path in action.mounts)
    if action.timeout:
        yield f"timeout={action.timeout:g}"
    if action.network:
        yield "network"
    if action.again:
        yield "again"
    if action.fleeting:
        yield "fleeting"


def _origins(action: Action) -> Iterator[tuple[str, str]]:
    """Where inputs come from, unless from a source of the same path."""
    for path, artifact in action.inputs:
        if isinstance(artifact, Output):
            yield path, f"{artifact.action.owner}\0{artifact.action}"
        elif isinstance(artifact, Source) and artifact.path != path:
            yield path, artifact.path


def critical_path(times: Mapping[Action, tuple[float, float]]) -> list[Step]:
    """The chain of actions, each needing the one before, that took longest.

    `times` holds them in the order in which they ended: what an action needs stands before it.
    """
    longest: dict[Action, tuple[float, Action | None]] = {}
    for action, (begun, ended) in times.items():
        before, maker = 0.0, None
        for other in _makers(action.inputs):
            if other in longest and longest[other][0] > before:
                before, maker = longest[other][0], other
        longest[action] = (before + ended - begun, maker)
    last = max(longest, key=lambda action: longest[action][0], default=None)
    steps: list[Step] = []
    while last is not None:
        steps.append(Step(str(last), last.owner, *times[last]))
        last = longest[last][1]
    return steps[::-1]


def _makers(inputs: Iterable[tuple[str, object]]) -> Iterator[Action]:
    return (artifact.action for _, artifact in inputs if isinstance(artifact, Output))
