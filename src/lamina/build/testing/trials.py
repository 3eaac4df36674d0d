"""From a test to the actions that try it: its runfiles, its environment, its shards and runs.

A test action sees the package root of its target at `runfiles/_main`, which is also its working
folder; there files have their path from the root of the workspace. The roots of other cells lie
beside it, under their names.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from pathlib import Path

from lamina.build import placement
from lamina.build.analysis import runtime_order
from lamina.build.cellmap import Cells
from lamina.build.disk import join
from lamina.build.providers import Analysed, TestInfo
from lamina.build.rules.running import WORKSPACE, roots
from lamina.core.action import Action, Artifact, Literal, Output, Source, Stored
from lamina.core.classes import dataclass, replace
from lamina.core.errors import UserError
from lamina.core.label import Label
from lamina.core.tree import Symlink, under

RUNFILES = "runfiles"
FOLDER = ".test"  # of the outputs
OUTPUTS = ("failure", "log", "microseconds", "xml", "outputs", "coverage")
_SCRIPT = "run.sh"
_GRACE = 60  # seconds that a test and what it started have to end after its time is over


@dataclass(frozen=True, slots=True)
class Settings:
    """How tests are tried, as the command line says."""

    runs: int = 1
    chosen: str = ""  # a filter for test cases
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    timeouts: tuple[int, ...] = ()  # seconds: for all, or for each of the four sizes
    remembered: bool = True  # whether tests that have passed need not run again
    under: str = ""  # a command that the program is handed to
    sharded: bool = True
    coverage: bool = False
    python_coverage: str = ""  # folder that coverage.py lies in


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a test, or of one shard of it."""

    label: Label
    action: Action
    shard: int = 0
    shards: int = 1
    run: int = 1
    runs: int = 1
    attempt: int = 1

    def again(self) -> Trial:
        """The next attempt."""
        return replace(self, action=replace(self.action), attempt=self.attempt + 1)

    @property
    def folder(self) -> str:
        """Where what it leaves lies, in the folder of the test."""
        parts = []
        if self.shards > 1:
            parts.append(f"shard_{self.shard + 1}_of_{self.shards}")
        if self.runs > 1:
            parts.append(f"run_{self.run}_of_{self.runs}")
        return "/".join(parts)

    def output(self, name: str) -> Output:
        """One of OUTPUTS."""
        return self.action.output(f"{FOLDER}/{name}")


def trials(
    label: Label,
    analysed: Mapping[Label, Analysed],
    cells: Cells,
    settings: Settings,
    outer: Mapping[str, str],
) -> list[Trial]:
    """All trials of a test; `outer` is the environment that it may inherit from.

    Raises UserError where two targets have different files at one path.
    """
    target = analysed[label]
    info = target.test
    assert info is not None
    parts = [analysed[part] for part in runtime_order(label, analysed)]
    inputs = _inputs(parts, cells)
    shards = info.shards if settings.sharded else 1
    return [
        Trial(
            label,
            _action(target, parts, inputs, cells, settings, {**inherited, **numbers}),
            shard,
            shards,
            run,
            settings.runs,
        )
        for inherited in [{name: outer[name] for name in info.inherited if name in outer}]
        for run in range(1, settings.runs + 1)
        for shard in range(shards)
        for numbers in [_numbers(shard, shards, run, settings.runs)]
    ]


def _numbers(shard: int, shards: int, run: int, runs: int) -> dict[str, str]:
    found = {"TEST_RUN_NUMBER": str(run)} if runs > 1 else {}
    if shards > 1:
        for prefix in ("TEST", "GTEST"):
            found |= {f"{prefix}_SHARD_INDEX": str(shard), f"{prefix}_TOTAL_SHARDS": str(shards)}
    return found


def _action(
    target: Analysed,
    parts: Sequence[Analysed],
    inputs: tuple[tuple[str, Artifact], ...],
    cells: Cells,
    settings: Settings,
    more: Mapping[str, str],
) -> Action:
    info, runnable, label = target.test, target.runnable, target.label
    assert info is not None
    assert runnable is not None
    limit = _limit(info, settings)
    environment = {
        **dict(settings.environment),
        **more,
        "BAZEL_TEST": "1",
        "TEST_BINARY": cells.folder(label.cell, join(label.package, label.name)),
        "TEST_SIZE": info.size,
        "TEST_TARGET": str(label),
        "TEST_TIMEOUT": str(limit),
        "TEST_WORKSPACE": WORKSPACE,
    }
    if settings.chosen:
        environment["TESTBRIDGE_TEST_ONLY"] = settings.chosen
    if settings.under:
        environment["RUN_UNDER"] = settings.under
    if settings.coverage:
        environment["COVERAGE"] = "1"
    if settings.python_coverage:
        environment["LAMINA_PYTHON_COVERAGE"] = settings.python_coverage
    programs = [part.runnable for part in parts if part.runnable is not None]
    identities = {program.identity for program in programs if program.identity}
    mounts = {mount: None for program in programs for mount in program.mounts}
    if settings.python_coverage and not settings.python_coverage.startswith("/usr/"):
        mounts[settings.python_coverage] = None
    built = ((f"built/{number}", artifact) for number, artifact in enumerate(info.built))
    return Action(
        mnemonic="Test",
        owner=str(label),
        arguments=("/bin/bash", _SCRIPT, str(limit), runnable.entry_point, *settings.arguments),
        inputs=(*inputs, *built),
        outputs=tuple(f"{FOLDER}/{name}" for name in OUTPUTS),
        environment=tuple(sorted(environment.items())),
        toolchain="; ".join([*sorted(identities), *(["network"] if info.network else [])]),
        subject=str(label),
        mounts=tuple(mounts),
        timeout=limit + _GRACE,
        network=info.network,
        fleeting=f"{FOLDER}/failure",
        placement=placement.of(info.tags),
        again=not (settings.remembered and info.remembered),
    )


def _limit(info: TestInfo, settings: Settings) -> int:
    """The seconds that a test has."""
    if not settings.timeouts:
        return info.timeout
    size = sum(info.timeout > seconds for seconds in (60, 300, 900))
    given = settings.timeouts[size if len(settings.timeouts) == 4 else 0]
    return given if given > 0 else info.timeout


def _inputs(parts: Sequence[Analysed], cells: Cells) -> tuple[tuple[str, Artifact], ...]:
    """All that a test sees. A folder that several targets make is there several times, in parts."""
    files = _root(parts)
    files += _links(parts, {path for path, _ in files}, cells)
    found = [(under(f"{RUNFILES}/{WORKSPACE}", path), artifact) for path, artifact in files]
    for name, folder in roots(cells, parts).items():
        if name != WORKSPACE:
            found.append((f"{RUNFILES}/{name}", Stored(Symlink(join(WORKSPACE, folder)))))
    found.append((_SCRIPT, _script()))
    return tuple(sorted(found, key=itemgetter(0)))


def _root(parts: Iterable[Analysed]) -> list[tuple[str, Artifact]]:
    """The package root of a target."""
    files: dict[tuple[str, Artifact], None] = {}
    known: dict[str, tuple[Artifact, Label]] = {}
    for part in parts:
        for path, artifact in part.own.items():
            files[path, artifact] = None
            other, owner = known.setdefault(path, (artifact, part.label))
            if other != artifact and not (_is_made(other) or _is_made(artifact)):
                raise UserError(
                    f"`{path}` comes from both `{owner}` and `{part.label}`, and is not the same",
                    hint="give one of them another `base_module` or file name",
                )
    return list(files)


def _is_made(artifact: Artifact) -> bool:
    """Whether only building it can tell what it holds."""
    return isinstance(artifact, Output)


def _links(parts: Iterable[Analysed], files: set[str], cells: Cells) -> list[tuple[str, Artifact]]:
    """Programs where Bazel has them, at the path of their label."""
    folders = {folder for path in files for folder in _above(path)}
    found: list[tuple[str, Artifact]] = []
    for part in parts:
        if part.runnable is None:
            continue
        path = cells.folder(part.label.cell, join(part.label.package, part.label.name))
        if not (path in files or path in folders or files.intersection(_above(path))):
            target = posixpath.relpath(part.runnable.entry_point, posixpath.dirname(path) or ".")
            found.append((path, Stored(Symlink(target))))
    return found


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


@cache
def _script() -> Literal:
    return Literal(Path(__file__).with_name(_SCRIPT).read_bytes())


def sources(parts: Iterable[Analysed]) -> dict[str, str]:
    """Which files of the workspace lie where in the package root, by their path there."""
    return {
        path: artifact.path
        for part in parts
        for path, artifact in part.own.items()
        if isinstance(artifact, Source)
    }
