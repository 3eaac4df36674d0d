"""The way of `lamina test`: which tests are meant, trying them, telling what became of them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lamina.build.faults import FaultReport
from lamina.build.testing import junit, selection
from lamina.build.testing.results import Attempt, Result, explain
from lamina.build.testing.trials import FOLDER as LEFT
from lamina.build.testing.trials import Trial, trials
from lamina.cli import output
from lamina.cli.publish import FOLDER
from lamina.core.action import OUTPUT_FOLDER, Output
from lamina.core.classes import dataclass, field, replace
from lamina.core.errors import ActionError, UserError
from lamina.core.label import Label, Pattern
from lamina.core.tree import File, Node, below
from lamina.linux import filesystem

if TYPE_CHECKING:
    from lamina.build.events import Listener, Outcome
    from lamina.build.providers import Analysed
    from lamina.build.target import Target
    from lamina.build.testing.trials import Settings
    from lamina.cli.publish import Publisher
    from lamina.cli.session import Session
    from lamina.core.action import Action, Artifact
    from lamina.core.errors import LaminaError

Attempts = list[tuple[Trial, Attempt]]

LOGS = "testlogs"  # in the output folder
_FLAKY_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Chosen:
    """The targets that patterns choose."""

    tests: tuple[Label, ...]
    others: tuple[Label, ...]  # which are only built


def choose(session: Session, patterns: Sequence[str], filters: selection.Filters) -> Chosen:
    """The tests of patterns, with those of suites; raises UserError where there are none."""
    tests: dict[Label, None] = {}
    others: dict[Label, None] = {}
    seen: set[Label] = set()
    waiting = list(reversed(session.labels(patterns)))
    while waiting:
        label = waiting.pop()
        if label in seen:
            continue
        seen.add(label)
        target = _target(session, label)
        if target is None:
            others[label] = None  # building it tells what is wrong
            continue
        if target.rule.name == "test_suite":
            waiting.extend(reversed(_members(session, target)))
        elif not selection.is_test(target):
            others[label] = None
        elif filters.admit(target):
            tests[label] = None
    if not tests:
        session.tell_faults()
        raise UserError(
            f"no test is among the targets of {', '.join(f'`{text}`' for text in patterns)}",
            hint="`lamina targets` lists targets; tests are those whose rule ends in `_test`",
        )
    return Chosen(tuple(tests), tuple(others))


def _members(session: Session, suite: Target) -> list[Label]:
    """The tests of a suite; without a list all of its build package."""
    given = suite.attributes["tests"]
    assert isinstance(given, tuple)
    labels = list(given)
    if not labels:
        every = Pattern.parse(f"{suite.label.home}:all")
        labels = [label for label in session.loader.resolve([every]) if label != suite.label]
    found = {label: _target(session, label) for label in labels}
    return [
        label if target is None else target.label
        for label, target in found.items()
        if target is None
        or target.rule.name == "test_suite"
        or (selection.is_test(target) and selection.in_suite(suite, target))
    ]


def _target(session: Session, label: Label) -> Target | None:
    """A target as it is built, or None where it is faulty and faults do not end the command."""
    try:
        return session.loader.configured(session.loader.target(label))
    except FaultReport:
        if session.loader.tolerance is None:
            raise
        return None


@dataclass(slots=True)
class Run:
    """Tries tests, one after another or many at once, as often as they may fail."""

    session: Session
    settings: Settings
    attempts: int  # for a test that is not flaky
    alone: bool = False  # whether each is tried by itself
    tell: Callable[[Trial, Attempt, bytes], None] = lambda *_: None
    followed: bool = False  # whether what a test prints is shown as it comes
    analysed: Mapping[Label, Analysed] = field(default_factory=dict)
    errors: list[LaminaError] = field(default_factory=list)  # of what tests need
    # By test, and in it by run and shard: the attempts there were.
    done: dict[Label, dict[tuple[int, int], Attempts]] = field(default_factory=dict)
    _running: dict[Action, Trial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Listen to the engine, which must not be in use yet."""
        self.session.watch = self._watch

    def run(self, chosen: Chosen) -> list[Result]:
        """Try them all; what could not be built is in `errors`."""
        session = self.session
        self.analysed = session.analyse((*chosen.tests, *chosen.others))
        tests = session.fitting(chosen.tests)
        cells = session.workspace.cells
        todo = [
            trial
            for label in tests
            for trial in trials(label, self.analysed, cells, self.settings, os.environ)
        ]
        alone = [each for each in todo if self._is_alone(each)]
        together = [each for each in todo if not self._is_alone(each)]
        self._make(self._others(chosen.others) + _inputs(alone), together)
        while again := self._failed(together):
            together = again
            self._make([], together)
        for trial in alone:
            self._try_alone(trial)
        return [self._result(label) for label in tests]

    def _try_alone(self, trial: Trial) -> None:
        waiting = [trial]
        while waiting:
            if not all(
                artifact.action in self.session.engine.results
                for artifact in _inputs(waiting)
                if isinstance(artifact, Output)
            ):
                return  # what it needs was not built, as has been told
            following = follow(self.session) if self.followed else contextlib.nullcontext()
            with following:
                self._make([], waiting)
            waiting = self._failed(waiting)

    def _make(self, others: list[Artifact], some: Sequence[Trial]) -> None:
        """Build and try; what cannot be built stops nothing else."""
        self._running = {trial.action: trial for trial in some}
        outputs = [Output(trial.action, name) for trial in some for name in trial.action.outputs]
        try:
            self.session.engine.build([*others, *outputs])
        except ActionError as error:
            self.errors.append(error)

    def _failed(self, some: Sequence[Trial]) -> list[Trial]:
        """The next attempts at those that failed and may fail."""
        return [
            trial.again()
            for trial in some
            for known in [self.done.get(trial.label, {}).get((trial.run, trial.shard))]
            if known and known[-1][1].failure and trial.attempt < self._allowed(trial)
        ]

    def _allowed(self, trial: Trial) -> int:
        info = self.analysed[trial.label].test
        return max(self.attempts, _FLAKY_ATTEMPTS if info and info.flaky else 1)

    def _is_alone(self, trial: Trial) -> bool:
        info = self.analysed[trial.label].test
        return self.alone or (info is not None and info.exclusive)

    def _others(self, labels: Iterable[Label]) -> list[Artifact]:
        """What building targets that are no tests takes."""
        found: list[Artifact] = []
        for label in labels:
            target = self.analysed.get(label)
            if target is not None:
                found += [file for _, file in target.files]
                found += [] if target.cxx else target.own.values()
        return found

    def _watch(self, listener: Listener) -> Listener:
        return _Watching(listener, self._finished)

    def _finished(self, outcome: Outcome) -> None:
        trial = self._running.get(outcome.action)
        if trial is None:
            return
        read = self.session.store.read
        texts = {
            name: read(node.digest)
            for name in ("failure", "microseconds")
            if isinstance(node := outcome.outputs[f"{LEFT}/{name}"], File)
        }
        seconds = int(texts["microseconds"]) / 1e6
        attempt = Attempt(texts["failure"].decode(), seconds, outcome.cached)
        known = self.done.setdefault(trial.label, {}).setdefault((trial.run, trial.shard), [])
        known.append((trial, attempt))
        node = outcome.outputs[f"{LEFT}/log"]
        log = read(node.digest) if isinstance(node, File) else b""
        last = not attempt.failure or trial.attempt >= self._allowed(trial)
        if last:
            self.tell(trial, attempt, log)

    def _result(self, label: Label) -> Result:
        runs = self.attempts_of(label)
        return Result(str(label), tuple(tuple(each[1] for each in known) for known in runs))

    def attempts_of(self, label: Label) -> list[Attempts]:
        """The attempts at each run and shard of a test, in their order."""
        return [known for _, known in sorted(self.done.get(label, {}).items(), key=itemgetter(0))]

    @property
    def last(self) -> list[tuple[Trial, Attempt]]:
        """The last attempts, by test, run and shard."""
        return [known[-1] for label in sorted(self.done) for known in self.attempts_of(label)]

    def outputs(self, trial: Trial, name: str) -> dict[str, Node]:
        """One of the outputs of a trial; a single file is at ``."""
        whole = f"{LEFT}/{name}"
        made = self.session.engine.results[trial.action]
        if whole in made:
            return {"": made[whole]}
        prefix = f"{whole}/"
        return {path[len(prefix) :]: n for path, n in made.items() if path.startswith(prefix)}


def _inputs(some: Iterable[Trial]) -> list[Artifact]:
    return [artifact for trial in some for _, artifact in trial.action.inputs]


class _Watching:
    """A listener that hands on what it hears, and tells of what has succeeded."""

    def __init__(self, listener: Listener, finished: Callable[[Outcome], None]) -> None:
        self._listener = listener
        self._finished = finished

    def planned(self, actions: int) -> None:
        self._listener.planned(actions)

    def started(self, action: Action) -> None:
        self._listener.started(action)

    def finished(self, outcome: Outcome) -> None:
        self._listener.finished(outcome)
        self._finished(outcome)

    def failed(self, action: Action, error: LaminaError) -> None:
        self._listener.failed(action, error)


def publish(run: Run, results: Sequence[Result], publisher: Publisher) -> list[Result]:
    """Put logs and reports where they are looked for; the results, with the paths of these."""
    return [_publish(run, result, publisher) for result in results]


def _publish(run: Run, result: Result, publisher: Publisher) -> Result:
    label = Label.parse(result.label)
    folder = log_folder(run.session, label)
    _clear(run.session.root / FOLDER / folder)
    runs = []
    for known in run.attempts_of(label):
        attempts = []
        for number, (trial, attempt) in enumerate(known, 1):
            parts = [trial.folder, f"attempt_{number}" if number < len(known) else ""]
            at = "/".join([folder, *filter(None, parts)])
            publisher.write(_leavings(run, trial, attempt, at))
            log, xml = f"{FOLDER}/{at}/test.log", f"{FOLDER}/{at}/test.xml"
            attempts.append(replace(attempt, log=log, xml=xml))
        runs.append(tuple(attempts))
    return Result(result.label, tuple(runs))


def _clear(folder: Path) -> None:
    """Remove the folders that earlier attempts, shards and runs left."""
    for pattern in ("outputs", "shard_*_of_*", "run_*_of_*", "attempt_*"):
        for path in folder.glob(pattern):
            filesystem.remove_tree(path)


def log_folder(session: Session, label: Label) -> str:
    """Where the logs of a test lie, in the output folder."""
    package = session.workspace.cells.folder(label.cell, label.package)
    return "/".join(filter(None, [LOGS, package, label.name]))


def _leavings(run: Run, trial: Trial, attempt: Attempt, at: str) -> dict[str, Node]:
    """The files that an attempt left."""
    tree = {f"{at}/test.log": run.outputs(trial, "log")[""]}
    xml = run.outputs(trial, "xml")[""]
    if isinstance(xml, File) and xml.digest.size == 0:
        report = _report(run, trial, attempt)
        xml = File(run.session.store.write(junit.merged([report]), durable=False))
    tree[f"{at}/test.xml"] = xml
    for name, node in below(f"{at}/outputs", run.outputs(trial, "outputs")).items():
        if isinstance(node, File):
            tree[name] = node
    return tree


def _report(run: Run, trial: Trial, attempt: Attempt) -> junit.Report:
    read = run.session.store.read
    log, xml = run.outputs(trial, "log")[""], run.outputs(trial, "xml")[""]
    assert isinstance(log, File)
    assert isinstance(xml, File)
    return junit.Report(
        str(trial.label),
        explain(attempt.failure),
        attempt.seconds,
        read(xml.digest),
        read(log.digest).decode(errors="replace"),
    )


def reports(run: Run) -> list[junit.Report]:
    """Every last attempt, for a report of all."""
    return [_report(run, *each) for each in run.last]


_LOG = f"*/{OUTPUT_FOLDER}/{LEFT}/log"  # of what runs now, in the scratch folder
_LOOK = 0.05  # seconds between two looks at it


@contextmanager
def follow(session: Session) -> Iterator[None]:
    """Show what the one test that runs meanwhile prints, as it comes."""
    ended = threading.Event()
    thread = threading.Thread(target=_follow, args=(session.store.scratch, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _follow(scratch: Path, ended: threading.Event) -> None:
    """Print whole lines; the file is kept open, so that its end is read after it is moved away."""
    file: BinaryIO | None = None
    rest = b""
    while not (last := ended.wait(_LOOK)) or file is not None:
        if file is None:
            found = next(iter(scratch.glob(_LOG)), None)
            with contextlib.suppress(FileNotFoundError):
                file = found.open("rb") if found else None
        if file is not None:
            *lines, rest = (rest + file.read()).split(b"\n")
            for line in lines + [rest] * bool(last and rest):
                output.note(line.decode(errors="replace"))
            if last:
                file.close()
                return
