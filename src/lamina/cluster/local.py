"""Jobs on this machine, without any server: a supervisor starts the tasks and waits for them.

What it knows lies in the job's folder:

    lock                 held by the supervisor: where nobody holds it, it has ended
    state.json           what became of the job and of each task so far
    task-<n>.log         what a task has printed
    task-<n>.json        when its stages ended, as `lamina exec` tells
    cancel               made by who wants the end of the job
    supervisor.log       what went wrong in the supervisor itself
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lamina.cluster import command, records
from lamina.cluster.launcher import Found, Node, State, Status, Task
from lamina.cluster.records import Record
from lamina.core.classes import replace
from lamina.core.cluster import PROGRAM, Cluster
from lamina.core.errors import ServiceError, UserError
from lamina.core.job import Job
from lamina.linux import filesystem, process

LOCK, STATE, CANCEL = "lock", "state.json", "cancel"
_PATIENCE = 10.0  # seconds for a supervisor to begin


class LocalLauncher:
    """Starts jobs on this machine."""

    def __init__(self, cluster: Cluster) -> None:
        # Tasks are run by who submits them, wherever that lies: it need not be on PATH.
        own = process.beside_python(PROGRAM) if cluster.lamina == PROGRAM else None
        self.cluster = replace(cluster, lamina=str(own)) if own else cluster

    def plan(self, job: Job) -> Mapping[str, str]:
        """The command of every element of an array."""
        import shlex

        lines = [shlex.join(self._words(job, element)) for element in job.spec.elements]
        return {"tasks": "\n".join([*job.spec.setup, *lines]) + "\n"}

    def submit(self, job: Job, folder: Path) -> str:
        """Start the supervisor of a job, and wait until it has begun."""
        self._check(job)
        with (folder / "supervisor.log").open("ab") as log:
            child = process.spawn(
                [sys.executable, "-m", "lamina.cluster.supervisor", str(folder)],
                stdout=log.fileno(),
                stderr=log.fileno(),
            )
        until = time.monotonic() + _PATIENCE
        while not (folder / STATE).exists():
            if child.poll() is not None or time.monotonic() > until:
                told = (folder / "supervisor.log").read_text(errors="replace").strip()
                raise ServiceError(f"the job does not start: {told[-500:]}")
            time.sleep(0.005)
        return str(child.pid)

    def _check(self, job: Job) -> None:
        for element in job.spec.elements:
            self._words(job, element)
        have = os.cpu_count() or 1
        if job.spec.resources.cpus > have:
            raise UserError(
                f"each task wants {job.spec.resources.cpus} processors, this machine has {have}"
            )

    def _words(self, job: Job, element: Sequence[str]) -> list[str]:
        return command.words(job, self.cluster, element, limited=True)

    def foreign(self, native: str) -> Record:
        """There is none: all jobs of this machine are on record."""
        raise UserError(f"no job `{native}` is on record", hint="`lamina jobs` lists them")

    def status(self, record: Record) -> Status:
        """What the supervisor has written last; a job whose supervisor was killed is lost."""
        is_held = _is_held(record.folder / LOCK)  # first: what is written after is no loss
        found = read_state(record.folder)
        if found is None:
            return Status(State.LOST, reason="nothing was written about it")
        if not found.state.is_over and not is_held:
            tasks = tuple(
                task if task.state.is_over else Task(task.index, State.LOST, None, task.node)
                for task in found.tasks
            )
            why = "its supervisor was killed"
            return Status(
                State.LOST, None, why, found.nodes, found.attempt, found.started, 0.0, tasks
            )
        return found

    def cancel(self, record: Record) -> None:
        """Ask the supervisor to end the job, and wait for that."""
        if self.status(record).state.is_over:
            return
        filesystem.write_atomic(record.folder / CANCEL, b"")
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(int(record.native), signal.SIGUSR1)
        while not self.status(record).state.is_over:
            time.sleep(0.02)

    def log(self, record: Record, task: int, begin: int) -> bytes:
        """What a task has printed from a byte on."""
        return read_log(record.folder / f"task-{task}.log", begin)

    def jobs(self) -> Sequence[Found]:
        """Those of this machine that were submitted by this user and are not over."""
        found = []
        for folder in records.folders():
            record = records.read(folder)
            if (
                record.cluster == self.cluster.name
                and not (state := self.status(record).state).is_over
            ):
                found.append(
                    Found(
                        record.job.id, record.native, record.job.name, state, "", record.submitted
                    )
                )
        return found

    def nodes(self) -> Sequence[Node]:
        """This machine."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return [Node(os.uname().nodename, "up", os.cpu_count() or 1, memory)]

    def each_node(self, words: Sequence[str]) -> Iterator[tuple[str, int, str]]:
        """Run a command of lamina here."""
        done = process.run(self.cluster.lamina, *words, ok=range(256))
        yield os.uname().nodename, done.returncode, (done.stdout + done.stderr).decode()


def read_log(path: Path, begin: int) -> bytes:
    """A file from a byte on; nothing where it is not there yet."""
    try:
        with path.open("rb") as file:
            file.seek(begin)
            return file.read()
    except FileNotFoundError:
        return b""


def read_times(path: Path) -> tuple[tuple[str, float], ...]:
    """When the stages of a task ended, as `lamina exec` has told."""
    try:
        found = json.loads(path.read_bytes())
        return tuple((str(name), float(when)) for name, when in found.items())
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return ()  # not there yet, or on a node that has not written it


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not filesystem.try_lock(descriptor)
    finally:
        os.close(descriptor)


def write_state(folder: Path, status: Status) -> None:
    """Keep what became of a job so far."""
    document = {
        "state": status.state.value,
        "exit_code": status.exit_code,
        "reason": status.reason,
        "nodes": list(status.nodes),
        "attempt": status.attempt,
        "started": status.started,
        "ended": status.ended,
        "tasks": [
            [task.index, task.state.value, task.exit_code, task.node, task.ended]
            for task in status.tasks
        ],
    }
    filesystem.write_atomic(folder / STATE, json.dumps(document).encode())


def read_state(folder: Path) -> Status | None:
    """What was kept of a job last; None where nothing was."""
    try:
        found = json.loads((folder / STATE).read_bytes())
    except FileNotFoundError:
        return None
    tasks = tuple(
        Task(index, State(state), code, node, read_times(folder / f"task-{index}.json"), ended)
        for index, state, code, node, ended in found["tasks"]
    )
    return Status(
        State(found["state"]), found["exit_code"], found["reason"], tuple(found["nodes"]),
        found["attempt"], found["started"], found["ended"], tasks,
    )  # fmt: skip
