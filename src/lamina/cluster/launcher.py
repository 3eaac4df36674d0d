"""What every way to start jobs offers: on this machine, through Slurm, through Kubernetes.

lamina schedules nothing itself. A launcher tells a scheduler of a job, and asks it what became of
that. Third parties add theirs in the entry point group `lamina.launchers`.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from lamina.cluster.records import Record
from lamina.core.classes import dataclass
from lamina.core.cluster import Cluster
from lamina.core.job import Job


class State(enum.Enum):
    """What became of a job or of a task."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out of memory"
    NODE_FAILED = "node failed"
    LOST = "lost"  # whoever should know does not

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens."""
        return self not in (State.PENDING, State.RUNNING)


@dataclass(frozen=True, slots=True)
class Task:
    """One process of a job."""

    index: int  # from 0; in an array, over all elements
    state: State
    exit_code: int | None = None  # 128 + n where a signal ended it
    node: str = ""
    times: tuple[tuple[str, float], ...] = ()  # when stages ended, seconds since the epoch
    ended: float = 0.0  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a job now."""

    state: State
    exit_code: int | None = None  # of the job: the first task's that failed
    reason: str = ""  # in the scheduler's words: why it waits, or why it ended
    nodes: tuple[str, ...] = ()
    attempt: int = 1
    started: float = 0.0  # seconds since the epoch
    ended: float = 0.0
    tasks: tuple[Task, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A job that a scheduler knows."""

    id: str
    native: str  # what the scheduler calls it
    name: str
    state: State
    user: str = ""
    submitted: float = 0.0


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of a cluster."""

    name: str
    state: str  # in the scheduler's words
    cpus: int = 0
    memory: int = 0  # bytes
    gpus: int = 0
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of a package on a node that was to fetch it."""

    node: str
    seconds: float | None = None  # that it took; None where the node had it
    why: str = ""  # the node does not have it, in the scheduler's words


class Launcher(Protocol):
    """A way to start jobs on one cluster."""

    cluster: Cluster

    def plan(self, job: Job) -> Mapping[str, str]:
        """Exactly what would be sent: texts by the names of files. Raises as `submit` does."""

    def submit(self, job: Job, folder: Path) -> str:
        """Tell the scheduler, and return what it calls the job, whose folder is there.

        Raises UserError for what this scheduler cannot do, ServiceError where it refuses.
        """

    def foreign(self, native: str) -> Record:
        """A job that was submitted elsewhere, as the scheduler knows it; raises UserError."""

    def status(self, record: Record) -> Status:
        """What became of a job; raises ServiceError where the scheduler cannot be asked."""

    def cancel(self, record: Record) -> None:
        """End a job; one that is over stays as it is."""

    def log(self, record: Record, task: int, begin: int) -> bytes:
        """What a task has printed, both streams together, from the byte `begin` on."""

    def jobs(self) -> Sequence[Found]:
        """The jobs by lamina that the scheduler still knows."""

    def nodes(self) -> Sequence[Node]:
        """The machines of the cluster."""

    def each_node(self, words: Sequence[str]) -> Iterator[tuple[str, int, str]]:
        """Run a command of lamina once on every node: node, exit code, what it printed."""


@runtime_checkable
class Labelling(Protocol):
    """A launcher whose scheduler can be told which nodes have most of a package."""

    def label(self, package: str, warm: Mapping[str, bool]) -> Sequence[str]:
        """Tell it by the reference of a package, for each node; those whose label has changed.

        Raises ServiceError where the scheduler does not let this user.
        """


@runtime_checkable
class Preparing(Protocol):
    """A launcher that can get ready to submit while the package is built."""

    def prepare(self) -> None:
        """Start what takes a while; what is wrong is for `submit` to tell."""

    def dismiss(self) -> None:
        """End what was started for nothing."""


@runtime_checkable
class Caching(Protocol):
    """A launcher whose nodes fetch packages by means of their own, without a lamina there."""

    def prefetch(self, package: str) -> Generator[Fetched, None, None]:
        """Let each node that is up fetch a package; each once it is known what became of it.

        Who does not want the rest closes it, and it leaves nothing but the packages.
        """

    def held(self, package: str) -> Mapping[str, tuple[int, int]]:
        """Bytes of a package that nodes lack, of how many; without those that do not tell."""


@runtime_checkable
class Watching(Protocol):
    """A launcher whose scheduler tells of changes, so that nobody has to ask again and again."""

    def await_change(self, record: Record, seconds: float) -> None:
        """Return once something changed since the last `status`, or after so many seconds."""
