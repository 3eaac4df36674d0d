"""What the actions of a build were made of, to tell later why they ran: one file for each build.

A file is zlib over marshal. All text stands once, in a table; an action is a row of 32-bit numbers:

    build (0 for that of the file), state, place, owner, mnemonic, subject, toolchain, digest,
    then for each of `LISTS` how many numbers it has, then these numbers

The files of old builds are folded into one in which each action has its last two rows. One that is
much larger than all that is newer is left as it is, so that no build rewrites a large file for the
sake of a few rows.
"""

from __future__ import annotations

import marshal
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lamina.core.classes import dataclass
from lamina.linux import filesystem

KEPT = 20  # builds that have a file of their own
_OFTEN = 20  # so many more are there before they are folded
_LARGE = 4  # what is so many times larger than all that is newer is not folded
_FORMAT = f"lamina history 2, Python {sys.version_info[:2]}"  # marshal differs between versions

STATES = ("ran", "failed", "known", "stopped")
# Where it ran; `first` where it ran in both places, and was done first there.
PLACES = ("here", "farm", "here first", "farm first")
_FIXED = 8
LISTS = ("outputs", "arguments", "environment", "settings", "inputs", "names", "origins")

Key = tuple[str, str, str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of an action, and all that decided on its result."""

    build: int
    state: str  # `ran`, `failed`, `stopped`; `known` if its result was looked up
    owner: str  # label of its target
    mnemonic: str
    subject: str
    outputs: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()  # `NAME=value`
    toolchain: str = ""
    settings: tuple[str, ...] = ()  # how it ran: `network`, `timeout=60`
    digest: str = ""
    inputs: Mapping[str, str] | None = None  # path -> what tells its content; None if unknown
    names: tuple[str, ...] = ()  # of an action that tells what it read: what it could have read
    origins: Mapping[str, str] | None = None  # input -> the file or the action that it is of
    place: str = "here"  # one of PLACES
    begun: float = 0.0  # seconds since the build began
    ended: float = 0.0

    @property
    def key(self) -> Key:
        """What is the same for one action in all builds."""
        return (self.owner, self.mnemonic, self.subject, self.outputs)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.begun

    def __str__(self) -> str:
        return f"{self.mnemonic} {self.subject or self.owner}"


@dataclass(frozen=True, slots=True)
class Failure:
    """What an action said when it failed."""

    owner: str
    action: str
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """An action on the critical path."""

    action: str
    owner: str
    begun: float
    ended: float


class Table:
    """Rows of actions over a table of all their text."""

    def __init__(self) -> None:
        self.strings: dict[str, int] = {}
        self.rows: list[bytes] = []
        self.times: list[tuple[float, float]] = []

    def id(self, text: str) -> int:
        """The number of a text."""
        return self.strings.setdefault(text, len(self.strings))

    def add(
        self,
        fixed: Sequence[int],
        lists: Sequence[Sequence[int]],
        times: tuple[float, float],
    ) -> None:
        """Add a row."""
        row = array("I", fixed)
        row.extend(map(len, lists))
        for numbers in lists:
            row.extend(numbers)
        self.rows.append(row.tobytes())
        self.times.append(times)

    def add_execution(self, found: Execution) -> None:
        """Add a row that was read from another table."""
        words = (found.owner, found.mnemonic, found.subject, found.toolchain, found.digest)
        inputs = [f"{path}\0{mark}" for path, mark in (found.inputs or {}).items()]
        if found.inputs is None:
            inputs = [""]
        origins = [text for pair in (found.origins or {}).items() for text in pair]
        texts = (
            found.outputs,
            found.arguments,
            found.environment,
            found.settings,
            inputs,
            found.names,
            origins,
        )
        self.add(
            (
                found.build,
                STATES.index(found.state),
                PLACES.index(found.place),
                *map(self.id, words),
            ),
            [[self.id(text) for text in each] for each in texts],
            (found.begun, found.ended),
        )


@dataclass(frozen=True, slots=True)
class Details:
    """The file of a build, or of several that were folded."""

    number: int
    strings: Sequence[str]
    rows: Sequence[bytes]
    times: Sequence[tuple[float, float]]
    critical: tuple[Step, ...] = ()
    failures: tuple[Failure, ...] = ()

    def executions(self, owner: str | None = None) -> Iterator[Execution]:
        """What ran, in the order in which it ended; of one target, or all."""
        if owner is None:
            wanted = None
        elif owner in self.strings:
            wanted = self.strings.index(owner)
        else:
            return
        for data, times in zip(self.rows, self.times, strict=True):
            row = array("I")
            row.frombytes(data)
            if wanted is None or row[3] == wanted:
                yield self._execution(row, times)

    def _execution(self, row: array[int], times: tuple[float, float]) -> Execution:
        text = self.strings
        begin = _FIXED + len(LISTS)
        lists: list[tuple[str, ...]] = []
        for length in row[_FIXED:begin]:
            lists.append(tuple(text[number] for number in row[begin : begin + length]))
            begin += length
        outputs, arguments, environment, settings, inputs, names, origins = lists
        return Execution(
            build=row[0] or self.number,
            state=STATES[row[1]],
            place=PLACES[row[2]],
            owner=text[row[3]],
            mnemonic=text[row[4]],
            subject=text[row[5]],
            outputs=outputs,
            arguments=arguments,
            environment=environment,
            toolchain=text[row[6]],
            settings=settings,
            digest=text[row[7]],
            inputs=None if inputs == ("",) else dict(_parted(inputs)),
            names=names,
            origins=dict(zip(origins[::2], origins[1::2], strict=True)),
            begun=times[0],
            ended=times[1],
        )


def _parted(inputs: Iterable[str]) -> Iterator[tuple[str, str]]:
    for text in inputs:
        path, _, mark = text.partition("\0")
        yield path, mark


def write(
    folder: Path,
    number: int,
    table: Table,
    critical: Sequence[Step] = (),
    failures: Sequence[Failure] = (),
    *,
    scratch: Path | None = None,
) -> None:
    """Write the file of a build, and fold those of old ones now and then."""
    _write(_path(folder, number), number, table, critical, failures, scratch)
    files = _files(folder)
    if len(files) > KEPT + _OFTEN:
        _fold(files[:-KEPT], scratch)


def _write(
    path: Path,
    number: int,
    table: Table,
    critical: Sequence[Step],
    failures: Sequence[Failure],
    scratch: Path | None,
) -> None:
    document: Any = (
        _FORMAT,
        number,
        list(table.strings),
        table.rows,
        table.times,
        [(step.action, step.owner, step.begun, step.ended) for step in critical],
        [(each.owner, each.action, each.message) for each in failures],
    )
    filesystem.write_atomic(path, zlib.compress(marshal.dumps(document), 1), scratch=scratch)


def read(folder: Path, number: int) -> Details | None:
    """The file of a build; None if it did nothing, is folded, or cannot be read."""
    return _read(_path(folder, number))


def read_all(folder: Path) -> Iterator[Details]:
    """The files there are, that of the newest build first."""
    for path in reversed(_files(folder)):
        found = _read(path)
        if found is not None:
            yield found


def _read(path: Path) -> Details | None:
    try:
        form, *fields = marshal.loads(zlib.decompress(path.read_bytes()))
    except (FileNotFoundError, zlib.error, ValueError, EOFError, TypeError):
        return None
    if form != _FORMAT:
        return None
    number, strings, rows, times, critical, failures = fields
    steps = tuple(Step(*step) for step in critical)
    failed = tuple(Failure(*each) for each in failures)
    return Details(number, strings, rows, times, steps, failed)


def _fold(files: Sequence[Path], scratch: Path | None) -> None:
    """Make one file of many, in which each action has its last two runs."""
    sizes = [path.stat().st_size for path in files]
    begin = 0
    while begin < len(files) - 1 and sizes[begin] > _LARGE * sum(sizes[begin + 1 :]):
        begin += 1
    kept: dict[Key, list[Execution]] = {}
    for path in reversed(files[begin:]):
        found = _read(path)
        for execution in reversed(list(found.executions())) if found else ():
            runs = kept.setdefault(execution.key, [])
            if len(runs) < 2 and execution.state in ("ran", "failed"):
                runs.append(execution)
    table = Table()
    for execution in sorted((run for runs in kept.values() for run in runs), key=_age):
        table.add_execution(execution)
    newest = files[-1]
    _write(newest.with_suffix(".folded"), 0, table, (), (), scratch)
    for path in files[begin:]:
        path.unlink(missing_ok=True)


def _age(execution: Execution) -> tuple[int, float]:
    return (execution.build, execution.ended)


def _files(folder: Path) -> list[Path]:
    """The files of builds, the oldest first."""
    found = [path for path in folder.iterdir() if path.suffix in (".build", ".folded")]
    return sorted(found, key=lambda path: path.stem)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:08}.build"
