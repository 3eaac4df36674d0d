"""What Slurm says of jobs and nodes, read from what its programs print.

`scontrol -o show job` prints one line for each job, or for each element of an array that has begun:
https://slurm.schedmd.com/scontrol.html; states: https://slurm.schedmd.com/squeue.html.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Sequence

from lamina.cluster.launcher import State
from lamina.core.classes import dataclass

_STATES = {
    "PENDING": State.PENDING, "CONFIGURING": State.PENDING, "REQUEUED": State.PENDING,
    "REQUEUE_FED": State.PENDING, "REQUEUE_HOLD": State.PENDING, "RESV_DEL_HOLD": State.PENDING,
    "SPECIAL_EXIT": State.PENDING, "SUSPENDED": State.RUNNING, "STOPPED": State.RUNNING,
    "RUNNING": State.RUNNING, "COMPLETING": State.RUNNING, "SIGNALING": State.RUNNING,
    "STAGE_OUT": State.RUNNING, "RESIZING": State.RUNNING, "COMPLETED": State.SUCCEEDED,
    "CANCELLED": State.CANCELLED, "PREEMPTED": State.CANCELLED, "REVOKED": State.CANCELLED,
    "FAILED": State.FAILED, "TIMEOUT": State.TIMEOUT, "DEADLINE": State.TIMEOUT,
    "OUT_OF_MEMORY": State.OUT_OF_MEMORY, "NODE_FAIL": State.NODE_FAILED,
    "BOOT_FAIL": State.NODE_FAILED, "LAUNCH_FAILED": State.NODE_FAILED,
}  # fmt: skip
# Of several elements the worst state counts, as soon as all are over.
_WORST = (
    State.LOST, State.NODE_FAILED, State.OUT_OF_MEMORY, State.TIMEOUT, State.FAILED,
    State.CANCELLED, State.SUCCEEDED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Element:
    """A job, or an element of an array; of pending ones several may be told as one."""

    state: State
    indices: tuple[int, ...] = (0,)
    exit_code: int | None = None
    reason: str = ""
    nodes: str = ""  # as Slurm writes it: `en[1-4]`
    restarts: int = 0
    started: float = 0.0  # seconds since the epoch
    ended: float = 0.0
    comment: str = ""
    name: str = ""


def elements(text: str) -> list[Element]:
    """Read what `scontrol -o show job` prints."""
    return [_element(line) for line in text.splitlines() if "JobState=" in line]


def _element(line: str) -> Element:
    state = state_of(_field(line, "JobState"))
    code = exit_code(_field(line, "ExitCode"))
    reason = _field(line, "Reason")
    return Element(
        state=state,
        indices=_indices(_field(line, "ArrayTaskId")),
        exit_code=code if state.is_over else None,
        reason="" if reason in ("None", "NonZeroExitCode") else reason,
        nodes=_field(line, "NodeList").replace("(null)", ""),
        restarts=int(_field(line, "Restarts") or 0),
        started=when(_field(line, "StartTime")),
        ended=when(_field(line, "EndTime")) if state.is_over else 0.0,
        comment=_field(line, "Comment"),
        name=_field(line, "JobName"),
    )


def state_of(word: str) -> State:
    """The state that a word of Slurm's means; `CANCELLED by 1000` and `COMPLETED+` are such too."""
    return _STATES.get(re.split(r"[^A-Z_]", word)[0], State.LOST)


def _field(line: str, name: str) -> str:
    match = re.search(rf"(?:^|\s){name}=(\S*)", line)
    return match[1] if match else ""


def exit_code(text: str) -> int | None:
    """`1:0` is the exit code 1, `0:9` the signal 9."""
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None:
        return None
    return int(match[1]) or (128 + int(match[2]) if int(match[2]) else 0)


def _indices(text: str) -> tuple[int, ...]:
    """`3`, `0-2,5`, `0-9%2`."""
    found: list[int] = []
    for part in text.partition("%")[0].split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if match:
            last = int(match[2] or match[1])
            found += range(int(match[1]), last + 1, int(match[3] or 1))
    return tuple(found) or (0,)


def when(text: str) -> float:
    """Seconds since the epoch of a time as Slurm writes it; 0 where it is none."""
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return 0.0


def merged(states: Sequence[State]) -> State:
    """The state of a job with elements in these."""
    if not states:
        return State.LOST
    if State.RUNNING in states or (State.PENDING in states and any(s.is_over for s in states)):
        return State.RUNNING
    if State.PENDING in states:
        return State.PENDING
    return next(state for state in _WORST if state in states)


_TASK_END = re.compile(
    r"^srun: error: \S+: tasks? ([0-9,-]+): "
    r"(?:Exited with exit code (\d+)|(.+?))(?: \(core dumped\))?$",
    re.MULTILINE,
)
_SIGNALS = {name: number for number in signal.Signals if (name := signal.strsignal(number))}
KILLED = 128 + signal.SIGKILL


def ends(text: str) -> dict[int, int]:
    """The exit codes of tasks that did not end well, as `srun` complains of them.

    It tells several tasks in one line: `srun: error: en2: tasks 1,4-7: Exited with exit code 7`.
    """
    found: dict[int, int] = {}
    for match in _TASK_END.finditer(text):
        if match[2]:
            code = int(match[2])
        elif match[3] in _SIGNALS:
            code = 128 + _SIGNALS[match[3]]
        elif match[3] == "Out Of Memory":
            code = KILLED
        else:
            continue
        for number in _indices(match[1]):
            found.setdefault(number, code)
    return found
