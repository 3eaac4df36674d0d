"""The supervisor of a job on this machine: `python -m lamina.cluster.supervisor FOLDER`.

It starts the tasks, waits for them, starts them again where the job may be retried, and ends them
when the job is cancelled, one of them fails, or its time is over. What it knows it writes down at
each change (`cluster/local`). Its tasks do not outlive it: they are killed with it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import Popen

from lamina.cluster import command, environment, launchers, local, records
from lamina.cluster.environment import Place
from lamina.cluster.launcher import State, Status, Task
from lamina.cluster.records import Record
from lamina.core.classes import dataclass, field, replace
from lamina.core.cluster import Cluster
from lamina.core.job import Job
from lamina.linux import filesystem, process

_GRACE = 10.0  # seconds from SIGTERM to SIGKILL; containers have their own, within this

_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(slots=True)
class _Running:
    """A task that was started."""

    index: int
    process: Popen[bytes]
    code: int | None = None
    ended: float = 0.0  # seconds since the epoch

    def poll(self) -> bool:
        """Whether it has just ended."""
        if self.code is not None or (code := self.process.poll()) is None:
            return False
        self.code = code if code >= 0 else 128 - code
        self.ended = time.time()
        return True


@dataclass(slots=True)
class _Attempt:
    """The tasks of one attempt, and why they are being ended if they are."""

    tasks: list[_Running] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)  # elements that have not begun
    ending: State | None = None
    kill_at: float = 0.0  # on the monotonic clock
    first_failure: int | None = None


class Supervisor:
    """Runs one job to its end."""

    def __init__(self, record: Record, cluster: Cluster) -> None:
        self._folder = record.folder
        self._job: Job = record.job
        self._cluster = cluster
        self._node = os.uname().nodename
        self._status = Status(State.RUNNING, nodes=(self._node,), started=time.time())
        self._stopped = False

    def run(self) -> Status:
        """Run all attempts; the last status, which is written too."""
        with _woken() as wake:
            signal.signal(signal.SIGUSR1, lambda *_: None)
            for number in _STOP:
                signal.signal(number, self._stop)
            for attempt in range(1, self._job.spec.retries + 2):
                self._status = replace(self._status, attempt=attempt, reason="")
                state, code, reason = self._attempt(attempt, wake)
                if state not in (State.FAILED, State.OUT_OF_MEMORY):
                    break
            tasks = tuple(
                replace(task, state=State.CANCELLED) if task.state is State.PENDING else task
                for task in self._status.tasks
            )
            self._tell(state=state, exit_code=code, reason=reason, ended=time.time(), tasks=tasks)
        return self._status

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopped = True

    def _attempt(self, number: int, wake: int) -> tuple[State, int | None, str]:
        spec = self._job.spec
        now = _Attempt(waiting=list(range(len(spec.elements))))
        begun = time.monotonic()
        self._start_elements(now, number)
        warned = False
        while any(task.code is None for task in now.tasks) or now.waiting:
            pause = 1.0
            if spec.time_limit and now.ending is None:
                left = begun + spec.time_limit - time.monotonic()
                if left <= 0:
                    self._end(now, State.TIMEOUT)
                elif spec.warning and left <= spec.warning and not warned:
                    warned = True
                    _signal_all(now.tasks, signal.SIGTERM)
                pause = min(pause, max(left - (0 if warned else spec.warning), 0.01))
            if self._stopped or (self._folder / local.CANCEL).exists():
                self._end(now, State.CANCELLED)
            if now.ending is not None and time.monotonic() > now.kill_at:
                _signal_all(now.tasks, signal.SIGKILL)
            if now.ending is not None:
                pause = min(pause, max(now.kill_at - time.monotonic(), 0.05))
            _wait(wake, pause)
            self._reap(now, number)
        return self._outcome(now)

    def _end(self, now: _Attempt, why: State) -> None:
        if now.ending is None:
            now.ending, now.kill_at = why, time.monotonic() + _GRACE
            now.waiting.clear()
            _signal_all(now.tasks, signal.SIGTERM)

    def _reap(self, now: _Attempt, number: int) -> None:
        ended = [task for task in now.tasks if task.poll()]
        if not ended:
            return
        for task in ended:
            if task.code and now.ending is None:
                now.first_failure = task.code
                # The others wait for it in vain.
                self._end(now, State.FAILED)
        self._start_elements(now, number)
        self._tell(tasks=self._tasks(now))

    def _start_elements(self, now: _Attempt, number: int) -> None:
        """Start as many elements of an array as there are processors for."""
        spec = self._job.spec
        each = spec.count * max(spec.resources.cpus, 1)
        most = max((os.cpu_count() or 1) // each, 1)
        running = {task.index // spec.count for task in now.tasks if task.code is None}
        while now.waiting and len(running) < most and now.ending is None:
            element = now.waiting.pop(0)
            running.add(element)
            port = _free_port()
            for index in range(spec.count):
                now.tasks.append(self._start(element, index, port, number))
        self._tell(tasks=self._tasks(now))

    def _start(self, element: int, index: int, port: int, attempt: int) -> _Running:
        spec = self._job.spec
        number = element * spec.count + index
        place = Place(
            index, spec.count, index, spec.count, 0, 1, "127.0.0.1", port, element, attempt
        )
        report = self._folder / f"task-{number}.json"
        report.unlink(missing_ok=True)
        given = {
            **os.environ,
            **dict(spec.environment),
            **environment.variables(self._job.id, place),
            command.REPORT: str(report),
        }
        argv = command.words(self._job, self._cluster, spec.elements[element], limited=True)
        lines = "\n".join([*spec.setup, 'exec "$@"'])
        with (self._folder / f"task-{number}.log").open("ab") as log:
            started = process.spawn(
                ["/bin/sh", "-ec", lines, "sh", *argv],
                env=given,
                stdout=log.fileno(),
                stderr=log.fileno(),
                bound=True,
            )
        return _Running(number, started)

    def _tasks(self, now: _Attempt) -> tuple[Task, ...]:
        found = []
        for task in now.tasks:
            state = State.RUNNING
            if task.code is not None:
                state = State.SUCCEEDED if task.code == 0 else self._why(task, now)
            found.append(Task(task.index, state, task.code, self._node, ended=task.ended))
        total = len(self._job.spec.elements) * self._job.spec.count
        found += [Task(index, State.PENDING) for index in range(len(found), total)]
        return tuple(found)

    def _why(self, task: _Running, now: _Attempt) -> State:
        times = dict(local.read_times(self._folder / f"task-{task.index}.json"))
        if "out of memory" in times:
            return State.OUT_OF_MEMORY
        if now.ending in (State.CANCELLED, State.TIMEOUT):
            return now.ending
        return State.FAILED

    def _outcome(self, now: _Attempt) -> tuple[State, int | None, str]:
        tasks = self._tasks(now)
        codes = [task.code for task in now.tasks if task.code]
        code = now.first_failure or (codes[0] if codes else 0)
        if now.ending is State.CANCELLED:
            return State.CANCELLED, code, "it was cancelled"
        if now.ending is State.TIMEOUT:
            return State.TIMEOUT, code, "its time was over"
        for task in tasks:
            if task.state is State.OUT_OF_MEMORY:
                return State.OUT_OF_MEMORY, code, f"task {task.index} had no more memory"
        if code:
            first = next(task for task in now.tasks if task.code == code)
            return State.FAILED, code, f"task {first.index} ended with {code}"
        return State.SUCCEEDED, 0, ""

    def _tell(self, **changes: object) -> None:
        self._status = replace(self._status, **changes)  # type: ignore[arg-type]
        local.write_state(self._folder, self._status)


def _signal_all(tasks: Sequence[_Running], number: signal.Signals) -> None:
    for task in tasks:
        if task.code is None and task.process.poll() is None:
            os.killpg(task.process.pid, number)


def _free_port() -> int:
    """A port that nobody listens on now."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def _woken() -> Iterator[int]:
    """A descriptor that can be read once a signal has come."""
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)


def _wait(wake: int, seconds: float) -> None:
    ready, _, _ = select.select([wake], [], [], seconds)
    if ready:
        os.read(wake, 4096)


def main(folder: Path) -> int:
    """Run the job in a folder."""
    descriptor = os.open(folder / local.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    filesystem.lock(descriptor)
    record = records.read(folder)
    status = Supervisor(record, launchers.cluster_of(record)).run()
    return 0 if status.state is State.SUCCEEDED else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
