"""What Kubernetes says of Jobs and pods, read as what became of a job and of its tasks.

Conditions and reasons: https://kubernetes.io/docs/concepts/workloads/controllers/job/,
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from lamina.cluster.kubernetesapi import items
from lamina.cluster.kubernetesmanifest import CONTAINER, ELEMENT, INDEX, Object, part
from lamina.cluster.launcher import State, Status, Task
from lamina.cluster.slurmstate import merged
from lamina.core.classes import dataclass

# Reasons of a pod that are none of its program's doing: the node is gone, or wanted for others.
_NODE_REASONS = frozenset(
    ("Evicted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting", "NodeAffinity")
)
_DEADLINE = "DeadlineExceeded"
HARMLESS = frozenset(("ContainerCreating", "PodInitializing"))  # why a container waits


@dataclass(frozen=True, slots=True)
class Pod:
    """One attempt of a task."""

    name: str
    element: int
    index: int
    state: State
    created: float  # seconds since the epoch
    exit_code: int | None = None
    reason: str = ""
    node: str = ""
    started: float = 0.0
    ended: float = 0.0
    scheduled: float = 0.0


def pod(found: Object) -> Pod | None:
    """Read a pod; None where it has no index, as it is none of an Indexed Job."""
    metadata, status = part(found, "metadata"), part(found, "status")
    index = str(part(metadata, "annotations").get(INDEX, ""))
    element = str(part(metadata, "labels").get(ELEMENT, ""))
    if not index.isdecimal() or not element.isdecimal():
        return None
    container = next(
        (each for each in items(status, "containerStatuses") if each.get("name") == CONTAINER), {}
    )
    ended = part(container, "state", "terminated")
    running = part(container, "state", "running")
    conditions = {str(each.get("type")): each for each in items(status, "conditions")}
    state, reason = _state(status, container, conditions)
    code = ended.get("exitCode")
    return Pod(
        name=str(metadata.get("name")),
        element=int(element),
        index=int(index),
        state=state,
        created=when(metadata.get("creationTimestamp")),
        exit_code=code if isinstance(code, int) else (0 if state is State.SUCCEEDED else None),
        reason=reason,
        node=str(part(found, "spec").get("nodeName") or ""),
        started=when(running.get("startedAt") or ended.get("startedAt")),
        ended=when(ended.get("finishedAt")),
        scheduled=_scheduled(conditions),
    )


def _scheduled(conditions: Mapping[str, Object]) -> float:
    found = conditions.get("PodScheduled", {})
    return when(found.get("lastTransitionTime")) if found.get("status") == "True" else 0.0


def _state(
    status: Object, container: Object, conditions: Mapping[str, Object]
) -> tuple[State, str]:  # fmt: skip
    phase, why = status.get("phase"), str(status.get("reason") or "")
    message = str(status.get("message") or "")
    if phase == "Succeeded":
        return State.SUCCEEDED, ""
    if phase == "Failed":
        return _failure(why, message, container, conditions)
    if phase == "Running":
        return State.RUNNING, ""
    waiting = part(container, "state", "waiting")
    if (word := str(waiting.get("reason") or "")) and word not in HARMLESS:
        return State.PENDING, said(word, waiting.get("message"))
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return State.PENDING, said(str(scheduled.get("reason")), scheduled.get("message"))
    return State.PENDING, said(why, message) if why else ""


def _failure(
    why: str, message: str, container: Object, conditions: Mapping[str, Object]
) -> tuple[State, str]:
    if why == _DEADLINE:
        return State.TIMEOUT, "its time was over"
    disrupted = conditions.get("DisruptionTarget", {})
    if disrupted.get("status") == "True":
        return State.NODE_FAILED, said(str(disrupted.get("reason")), disrupted.get("message"))
    if why in _NODE_REASONS:
        return State.NODE_FAILED, said(why, message)
    ended = part(container, "state", "terminated")
    reason = str(ended.get("reason") or why)
    if reason == "OOMKilled":
        return State.OUT_OF_MEMORY, "it had no more memory"
    told = ended.get("message") or message
    return State.FAILED, said(reason, told) if reason not in ("", "Error") else ""


def said(reason: str, message: object) -> str:
    """In the words of Kubernetes, the first line of them."""
    text = str(message or "").strip().partition("\n")[0]
    return f"{reason}: {text}" if text else reason


def when(text: object) -> float:
    """Seconds since the epoch of a time as the API writes it; 0 where there is none."""
    if not isinstance(text, str):
        return 0.0
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


@dataclass(frozen=True, slots=True)
class _Element:
    """What became of one Job."""

    state: State
    reason: str
    started: float
    ended: float
    tasks: tuple[Task, ...]
    attempt: int


def status(
    jobs: Sequence[Object], pods: Iterable[Pod], count: int, elements: int, gone: State
) -> Status:
    """What became of a job with so many tasks in each of so many Jobs.

    `gone` is what became of Jobs that are not there.
    """
    attempts: dict[tuple[int, int], list[Pod]] = {}
    for each in sorted(pods, key=lambda pod: (pod.created, pod.name)):
        attempts.setdefault((each.element, each.index), []).append(each)
    by_element = {element_of(job): job for job in jobs}
    found = [
        _element(by_element[number], number, attempts, count)
        if number in by_element
        else _missing(number, count, gone)
        for number in range(elements)
    ]
    tasks = tuple(task for element in found for task in element.tasks)
    state = merged([element.state for element in found])
    failed = _first_failure(tasks, attempts, count)
    code = None
    if state is State.SUCCEEDED:
        code = 0
    elif state.is_over and failed is not None:
        code = failed.exit_code
    return Status(
        state,
        code,
        reason=_reason(state, found, failed),
        nodes=tuple(dict.fromkeys(task.node for task in tasks if task.node)),
        attempt=max(element.attempt for element in found),
        started=min((each.started for each in found if each.started), default=0.0),
        ended=max(each.ended for each in found) if state.is_over else 0.0,
        tasks=tasks,
    )


def element_of(job: Object) -> int:
    """Which element of an array a Job is."""
    text = str(part(job, "metadata", "labels").get(ELEMENT, "0"))
    return int(text) if text.isdecimal() else 0


def _element(
    job: Object, number: int, attempts: Mapping[tuple[int, int], Sequence[Pod]], count: int
) -> _Element:
    mine = [attempts.get((number, index), ()) for index in range(count)]
    outcome, reason = _outcome(job)
    state = outcome or State.PENDING
    found = part(job, "status")
    done = indices(str(found.get("completedIndexes") or ""))
    tasks = tuple(
        _task(number * count + index, mine[index], outcome, index in done) for index in range(count)
    )
    newest = [each[-1] for each in mine if each]
    if outcome is State.FAILED:
        state, reason = _why_failed(newest, reason)
    elif outcome is None:
        if any(task.state is not State.PENDING for task in tasks):
            state = State.RUNNING
        reason = reason or next((each.reason for each in newest if each.reason), "")
    started = [pod.started for each in mine for pod in each if pod.started]
    ended = [pod.ended for each in mine for pod in each if pod.ended]
    last = when(found.get("completionTime")) or max(ended, default=0.0)
    return _Element(
        state, reason, min(started, default=0.0), last, tasks,
        max((len(each) for each in mine), default=1) or 1,
    )  # fmt: skip


def _missing(number: int, count: int, gone: State) -> _Element:
    tasks = tuple(Task(number * count + index, gone) for index in range(count))
    reason = "" if gone is State.CANCELLED else "Kubernetes no longer knows it"
    return _Element(gone, reason, 0.0, 0.0, tasks, 1)


def _outcome(job: Object) -> tuple[State | None, str]:
    """What the conditions of a Job say of its end, if it has come; else why it waits."""
    conditions = {
        str(each.get("type")): each
        for each in items(job, "status", "conditions")
        if each.get("status") == "True"
    }
    ended = conditions.get("Complete") or conditions.get("Failed") or {}
    going = when(part(job, "metadata").get("deletionTimestamp"))
    # Tasks may succeed, or fail, because of the SIGTERM that they got. Times are whole seconds.
    if going and not 0 < when(ended.get("lastTransitionTime")) < going:
        return None, "it is being cancelled"
    if "Complete" in conditions:
        return State.SUCCEEDED, ""
    if failed := conditions.get("Failed"):
        if failed.get("reason") == _DEADLINE:
            return State.TIMEOUT, "its time was over"
        return State.FAILED, said(str(failed.get("reason") or ""), failed.get("message"))
    if "Suspended" in conditions or part(job, "spec").get("suspend") is True:
        return None, "it is suspended"
    return None, ""


def _why_failed(newest: Sequence[Pod], reason: str) -> tuple[State, str]:
    """The first task that failed tells more than the Job, which only counts."""
    failed = [pod for pod in newest if pod.state.is_over and pod.state is not State.SUCCEEDED]
    if not failed:
        return State.FAILED, reason
    first = min(failed, key=lambda pod: (pod.ended or pod.created, pod.index))
    return first.state, _told(first.index, first.exit_code, first.reason)


def _told(index: int, code: int | None, reason: str) -> str:
    if reason:
        return f"task {index}: {reason}"
    return f"task {index} ended with {code}" if code is not None else f"task {index} failed"


def _task(number: int, attempts: Sequence[Pod], outcome: State | None, is_done: bool) -> Task:
    if not attempts:
        # Pods of a Job that failed are deleted while they run.
        state = outcome or State.PENDING
        if is_done:
            state = State.SUCCEEDED
        elif state in (State.FAILED, State.OUT_OF_MEMORY, State.NODE_FAILED):
            state = State.CANCELLED
        return Task(number, state, 0 if state is State.SUCCEEDED else None)
    last = attempts[-1]
    state = last.state
    if outcome is None and state.is_over and state is not State.SUCCEEDED:
        state = State.PENDING  # it is started again, or the Job will say that it failed
    times = {"begin": last.scheduled, "pulled": last.started}
    told = tuple((name, time) for name, time in times.items() if time)
    return Task(number, state, last.exit_code if state.is_over else None, last.node, told)


def _first_failure(
    tasks: Sequence[Task], attempts: Mapping[tuple[int, int], Sequence[Pod]], count: int
) -> Task | None:
    def ended(task: Task) -> tuple[float, int]:
        return attempts[divmod(task.index, count)][-1].ended or float("inf"), task.index

    failed = [task for task in tasks if task.exit_code]
    return min(failed, key=ended) if failed else None


def _reason(state: State, found: Sequence[_Element], failed: Task | None) -> str:
    if state is State.SUCCEEDED:
        return ""
    if state.is_over and len(found) > 1 and failed is not None:
        return f"task {failed.index} ended with {failed.exit_code}"
    telling = [each for each in found if each.reason and (each.state is state or not state.is_over)]
    return telling[0].reason if telling else ""


def indices(text: str) -> frozenset[int]:
    """`1,3-5,7` as Jobs tell which of their indexes are done."""
    found: set[int] = set()
    for word in filter(None, text.split(",")):
        first, _, last = word.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def roughly(job: Object) -> State:
    """The state of a Job by itself, without its pods."""
    outcome, _ = _outcome(job)
    if outcome is not None:
        return outcome
    found = part(job, "status")
    begun = any(found.get(name) for name in ("ready", "succeeded", "failed"))
    return State.RUNNING if begun else State.PENDING
