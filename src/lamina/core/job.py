"""A job: a package that a scheduler runs as one or more tasks, and what each of them needs."""

from __future__ import annotations

import itertools
import re
import shlex

from lamina.core.classes import dataclass
from lamina.core.errors import UserError

_RANGE = re.compile(r"(\d+)-(\d+)")
_MOST_ELEMENTS = 10_000  # of an array
_CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Resources:
    """What one task needs; what is 0 is left to the scheduler."""

    cpus: int = 0
    memory: int = 0  # bytes
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Spec:
    """How a program is run as a job."""

    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()  # sorted
    nodes: int = 0  # 0: as many as the tasks take
    tasks_per_node: int = 0
    tasks: int = 0  # 0: `nodes` times `tasks_per_node`, each 1 where it is not said
    resources: Resources = Resources()
    time_limit: int = 0  # seconds; 0: that of the scheduler
    warning: int = 0  # seconds before the limit at which tasks get SIGTERM
    retries: int = 0  # how often a job that failed is started again
    partition: str = ""
    constraint: str = ""
    exclusive: bool = False  # whether no other job may be on its nodes
    mounts: tuple[str, ...] = ()  # `SOURCE:TARGET[:ro]`; for claims `pvc:NAME:TARGET[:ro]`
    setup: tuple[str, ...] = ()  # lines of shell that each task runs before its program
    array: tuple[str, ...] = ()  # for each element its further arguments, as in a shell

    @property
    def count(self) -> int:
        """How many tasks there are, in each element of an array."""
        return self.tasks or max(self.nodes, 1) * max(self.tasks_per_node, 1)

    @property
    def elements(self) -> tuple[tuple[str, ...], ...]:
        """The further arguments of each element; one without any where it is no array."""
        return tuple(tuple(shlex.split(each)) for each in self.array) or ((),)


@dataclass(frozen=True, slots=True)
class Job:
    """A package and how it is run: all that a scheduler is told."""

    id: str  # `train-3f9a1c2e`: unique wherever jobs of one user are kept
    label: str  # of the target
    package: str  # a reference by digest: `host/repository@sha256:…`, `oci:FOLDER@sha256:…`
    spec: Spec
    # What starts the program, where the package is an image; empty where lamina starts it.
    entry_point: tuple[str, ...] = ()
    # Blobs of the package for nodes that lack them, as `formats/carried` writes them; or empty.
    carried: str = ""

    @property
    def name(self) -> str:
        """What people call it: the name of the target."""
        return self.label.rpartition(":")[2] or self.label


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the nodes, or a claim of Kubernetes, that a task sees somewhere."""

    source: str  # a path; the name of the claim
    target: str
    read_only: bool = False
    is_claim: bool = False


def mount_of(text: str) -> Mount:
    """Read `/folder:/where[:ro]` or `pvc:NAME:/where[:ro]`; raises UserError."""
    is_claim = text.startswith("pvc:")
    source, _, rest = text.removeprefix("pvc:").partition(":")
    target, _, mode = rest.partition(":")
    named = _CLAIM.fullmatch(source) if is_claim else source.startswith("/")
    if not named or not target.startswith("/") or mode not in ("", "ro", "rw"):
        raise UserError(
            f"`{text}` is no mount",
            hint="`/folder:/where`, and `:ro` behind it; on Kubernetes `pvc:CLAIM:/where` too",
        )
    return Mount(source, target, mode == "ro", is_claim)


def check(spec: Spec) -> None:
    """Raises UserError for what contradicts itself."""
    if spec.tasks and spec.tasks_per_node:
        product = max(spec.nodes, 1) * spec.tasks_per_node
        if spec.nodes and product != spec.tasks:
            raise UserError(
                f"{spec.tasks} tasks are not {spec.nodes} nodes with {spec.tasks_per_node} each",
                hint="give `tasks`, or `nodes` and `tasks_per_node`",
            )
    if spec.tasks and spec.nodes > spec.tasks:
        raise UserError(f"{spec.nodes} nodes are too many for {spec.tasks} tasks")
    if spec.warning and spec.warning >= (spec.time_limit or spec.warning + 1):
        raise UserError("the warning comes before the time limit, not after it")
    for mount in spec.mounts:
        mount_of(mount)
    for name, _ in spec.environment:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UserError(f"`{name}` is no name of a variable")
    for each in (*spec.array, *spec.setup):
        if "\0" in each:
            raise UserError("a NUL is in a text")


def elements(words: tuple[str, ...]) -> tuple[str, ...]:
    """An array as it is typed: `0-9` are ten elements without arguments, else each is one.

    Raises UserError for what no shell would read.
    """
    found: list[str] = []
    for word in words:
        if bounds := _RANGE.fullmatch(word.strip()):
            first, last = int(bounds[1]), int(bounds[2])
            if first != 0 or last < first:
                raise UserError(f"`{word}` is no array", hint="`0-9` has ten elements")
            found += [""] * min(last + 1, _MOST_ELEMENTS + 1)
            continue
        try:
            shlex.split(word)
        except ValueError as error:
            raise UserError(f"`{word}` are no arguments: {error}") from error
        found.append(word)
    if len(found) > _MOST_ELEMENTS:
        raise UserError(f"an array has {_MOST_ELEMENTS} elements at most")
    return tuple(found)


def product(parameters: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[str, ...]:
    """The elements of an array from values of options: `{"lr": ["1", "2"]}` is `--lr=1`, `--lr=2`.

    Of several options, every combination; the last one changes soonest.
    """
    if not parameters:
        return ()
    choices = [
        [shlex.quote(f"--{name}={value}") for value in values] for name, values in parameters
    ]
    return tuple(" ".join(combination) for combination in itertools.product(*choices))
