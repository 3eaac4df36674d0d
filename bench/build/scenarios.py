"""What is measured: for each scenario what happens before, what is timed, and what must be true."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bench.build.repository import Repository, program_above
from bench.build.shape import Shape, Target
from bench.build.tool import Built, Done, Tool

# lamina does not trust the times of files that are as young as a clock tick, and Bazel waits for
# them to get older; between the edit of a person and the command lies more than that.
_SETTLE = 0.2
_REST = 5.0  # seconds in which the disk comes to rest after much was removed

Measured = Built | Done
Pick = Callable[[Shape], Target]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that people do with a build tool."""

    name: str
    title: str
    before: Callable[[Tool], None]
    timed: Callable[[Tool, bool], Measured]  # the second: with detail
    subject: Pick | None = None  # a target that must be right afterwards
    cxx: bool | None = None  # the language that the repository must have
    compiled: Callable[[Shape], int] | None = None  # sources of C++ that must be compiled
    labels: Callable[[Repository], set[str]] | None = None  # targets that must be listed
    slow: bool = False  # three rounds are enough

    @property
    def builds(self) -> bool:
        """Whether all is to be built before."""
        return self.labels is None

    def applies(self, shape: Shape) -> bool:
        """Whether a repository has what is to be edited."""
        return self.cxx is None or shape.has(cxx=self.cxx)


def faults(scenario: Scenario, tool: Tool, measured: Measured) -> list[str]:
    """What is not as it must be after a scenario."""
    shape = tool.repository.shape
    found = []
    if isinstance(measured, Built):
        expected = scenario.compiled(shape) if scenario.compiled else None
        if expected is not None and measured.compiled not in (None, expected):
            found.append(f"{measured.compiled} sources compiled, {expected} expected")
        if scenario.subject and (subject := scenario.subject(shape)).rule.cxx:
            found += _wrong_value(tool, program_above(subject, shape))
    elif scenario.labels:
        known = {target.label for target in shape.targets}
        expected_labels = scenario.labels(tool.repository)
        listed = known.intersection(measured.output.split())
        if listed != expected_labels:
            found.append(f"{len(listed)} targets listed, {len(expected_labels)} expected")
    return [f"{scenario.name}, {tool.name}: {fault}" for fault in found]


def _wrong_value(tool: Tool, program: Target) -> list[str]:
    path = tool.program(program)
    done = subprocess.run([path], capture_output=True, text=True, check=False)
    expected = tool.repository.value(program)
    if done.stdout.strip() == str(expected):
        return []
    return [f"{program.label} printed {done.stdout.strip()!r}, {expected} expected"]


def _nothing(_: Tool) -> None:
    """The repository as the last build left it."""


def _forgotten(tool: Tool) -> None:
    tool.forget()
    time.sleep(_REST)


def _forgotten_and_stopped(tool: Tool) -> None:
    tool.forget()
    tool.stop()
    time.sleep(_REST)


def _built_and_stopped(tool: Tool) -> None:
    tool.build()
    tool.stop()


def _unloaded(tool: Tool) -> None:
    tool.forget_loaded()


def _edited(edit: Callable[[Repository, Target], None], pick: Pick, tool: Tool) -> None:
    edit(tool.repository, pick(tool.repository.shape))
    time.sleep(_SETTLE)


def _build(tool: Tool, detail: bool) -> Built:
    return tool.build(detail=detail)


def _load(tool: Tool, _: bool) -> Done:
    return tool.load()


def _query(expression: Callable[[Shape], str], tool: Tool, _: bool) -> Done:
    return tool.query(expression(tool.repository.shape))


def _leaf(cxx: bool, shape: Shape) -> Target:
    return shape.leaf(cxx=cxx)


def _hub(cxx: bool, shape: Shape) -> Target:
    return shape.hub(cxx=cxx)


def _any_leaf(shape: Shape) -> Target:
    return shape.leaf(cxx=shape.has(cxx=True))


def _any_hub(shape: Shape) -> Target:
    return shape.hub(cxx=shape.has(cxx=True))


def _all_sources(shape: Shape) -> int:
    return sum(each.rule.cxx and not each.rule.genrule for each in shape.targets)


def _including(pick: Pick, shape: Shape) -> int:
    return len(shape.includers(pick(shape).index))


def _none(_: Shape) -> int:
    return 0


def _one(_: Shape) -> int:
    return 1


def _everything(repository: Repository) -> set[str]:
    return {target.label for target in repository.shape.targets}


def _above_hub(repository: Repository) -> set[str]:
    return {target.label for target in repository.above(_any_hub(repository.shape))}


def _edit(
    name: str,
    title: str,
    edit: Callable[[Repository, Target], None],
    pick: Pick,
    compiled: Callable[[Shape], int] | None,
    cxx: bool | None = None,
) -> Scenario:
    before = partial(_edited, edit, pick)
    return Scenario(name, title, before, _build, pick, cxx, compiled)


# Those that end Bazel's server come last: after a start it is slower for a while.
SCENARIOS: Sequence[Scenario] = (
    Scenario(
        "clean", "clean build", _forgotten, _build, _any_hub, compiled=_all_sources, slow=True
    ),
    Scenario("null", "null build", _nothing, _build, _any_hub, compiled=_none),
    _edit(
        "leaf-py", "edit a leaf .py", Repository.edit_source, partial(_leaf, False), _none, False
    ),
    _edit("hub-py", "edit a hub .py", Repository.edit_source, partial(_hub, False), _none, False),
    _edit("leaf-cc", "edit a leaf .cc", Repository.edit_source, partial(_leaf, True), _one, True),
    _edit(
        "leaf-h", "edit a leaf .h", Repository.edit_header, partial(_leaf, True),
        partial(_including, partial(_leaf, True)), True,
    ),
    _edit(
        "hub-h", "edit a hub .h", Repository.edit_header, partial(_hub, True),
        partial(_including, partial(_hub, True)), True,
    ),
    _edit("comment", "comment in a BUILD file", Repository.edit_comment, _any_leaf, _none),
    _edit("add-dep", "a dependency more in a BUILD file", Repository.add_dep, _any_leaf, None),
    Scenario(
        "query-deps", "query deps(//...)", _nothing, partial(_query, lambda _: "deps(//...)"),
        labels=_everything,
    ),
    Scenario(
        "query-rdeps", "query rdeps(//..., hub)", _nothing,
        partial(_query, lambda shape: f"rdeps(//..., {_any_hub(shape).label})"),
        labels=_above_hub,
    ),
    Scenario("load-again", "list the targets", _nothing, _load, labels=_everything),
    Scenario(
        "load-edit", "list them after a comment in a BUILD file",
        partial(_edited, Repository.edit_comment, _any_leaf), _load, labels=_everything,
    ),
    Scenario(
        "null-cold", "null build, Bazel's server started", _built_and_stopped, _build, _any_hub,
        compiled=_none, slow=True,
    ),
    Scenario(
        "clean-cold", "clean build, Bazel's server started", _forgotten_and_stopped, _build,
        _any_hub, compiled=_all_sources, slow=True,
    ),
    Scenario(
        "load", "load all BUILD files, nothing known", _unloaded, _load, labels=_everything,
        slow=True,
    ),
)  # fmt: skip
MEMORY = "memory"  # beside them: how much memory a clean build, a null build and a query take
NAMES = (*(scenario.name for scenario in SCENARIOS), MEMORY)
