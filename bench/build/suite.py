"""The measuring itself: both tools by turns, scenario after scenario, each result kept at once."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.build.bazel import Bazel
from bench.build.laminatool import LaminaTool
from bench.build.log import Entry, Log
from bench.build.repository import Repository
from bench.build.scenarios import MEMORY, SCENARIOS, Measured, Scenario, faults
from bench.build.shape import Shape, shape
from bench.build.tool import Built, CommandFailed, Tool

TOOLS: Mapping[str, Callable[[Repository, Path], Tool]] = {"lamina": LaminaTool, "bazel": Bazel}
_SLOW_ROUNDS = 3
_MEMORY_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured."""

    repositories: tuple[str, ...]  # `mixed-200`
    scenarios: Collection[str]
    tools: tuple[str, ...]
    rounds: int
    seed: int


def run(plan: Plan, folder: Path, log: Log, wrong: list[str]) -> None:
    """Measure, and add to `wrong` what is not as it must be.

    A tool that fails a scenario is left out of that one.
    """
    begun = int(time.time())
    for name in plan.repositories:
        kind, _, targets = name.partition("-")
        place = folder / name
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, place, ignore_errors=True)
            _say(f"{name}: writing the files")
            found = shape(int(targets), mixed=kind == "mixed", seed=plan.seed)
            tools = [_tool(tool, found, place, stack) for tool in plan.tools]
            suite = _Suite(name, found, tools, plan, log, begun, wrong)
            suite.run()


def _tool(name: str, of: Shape, place: Path, stack: ExitStack) -> Tool:
    # Each has files of its own: what one writes beside them is none of the other's business.
    repository = Repository(place / name / "bench", of)
    repository.write()
    tool = TOOLS[name](repository, place / name / "state")
    stack.callback(tool.close)
    return tool


@dataclass
class _Suite:
    """One repository, measured with each tool."""

    name: str
    shape: Shape
    tools: Sequence[Tool]
    plan: Plan
    log: Log
    begun: int
    wrong: list[str]

    def run(self) -> None:
        chosen = [each for each in SCENARIOS if each.name in self.plan.scenarios]
        chosen = [each for each in chosen if each.applies(self.shape)]
        clean = next(each for each in SCENARIOS if each.name == "clean")
        if any(each.builds for each in chosen):
            self._check_round(clean)
        for scenario in chosen:
            self._scenario(scenario)
        if MEMORY in self.plan.scenarios:
            self._memory()

    def _scenario(self, scenario: Scenario) -> None:
        tools = list(self.tools) if scenario.slow else self._check_round(scenario)
        rounds = min(self.plan.rounds, _SLOW_ROUNDS) if scenario.slow else self.plan.rounds
        for number in range(rounds):
            _say(f"{self.name}: {scenario.name}, round {number + 1} of {rounds}")
            for tool in _turned(tools, number):
                measured = self._once(scenario, tool, detail=False)
                if measured is None:
                    tools.remove(tool)
                else:
                    self._keep(scenario.name, tool, number, measured)

    def _check_round(self, scenario: Scenario) -> list[Tool]:
        """A round that does not count, in which is counted what was compiled; who came through."""
        _say(f"{self.name}: {scenario.name}, to see that it works")
        return [tool for tool in self.tools if self._once(scenario, tool, detail=True)]

    def _once(self, scenario: Scenario, tool: Tool, *, detail: bool) -> Measured | None:
        try:
            scenario.before(tool)
            os.sync()  # what was written before is not to be written to the disk meanwhile
            measured = scenario.timed(tool, detail)
        except CommandFailed as failed:
            self._complain(f"{scenario.name}: {failed}")
            return None
        for fault in faults(scenario, tool, measured):
            self._complain(fault)
        return measured

    def _keep(self, scenario: str, tool: Tool, number: int, measured: Measured) -> None:
        ran = measured.ran if isinstance(measured, Built) else None
        entry = Entry(
            self.name, scenario, tool.name, self.begun, number, round(measured.seconds, 4), ran
        )
        self.log.add(entry)

    def _complain(self, fault: str) -> None:
        _say(f"{self.name}: WRONG: {fault}")
        if (known := f"{self.name}: {fault}") not in self.wrong:
            self.wrong.append(known)

    def _memory(self) -> None:
        for number in range(min(self.plan.rounds, _MEMORY_ROUNDS)):
            _say(f"{self.name}: {MEMORY}, round {number + 1}")
            for tool in _turned(self.tools, number):
                try:
                    self._memory_of(tool, number)
                except CommandFailed as failed:
                    self._complain(f"{MEMORY}: {failed}")

    def _memory_of(self, tool: Tool, number: int) -> None:
        """From a start with nothing built: a server's peak is that of all it has done."""
        tool.forget()
        tool.stop()
        tool.start()
        clean = tool.build(memory=True).peaks
        null = tool.build(memory=True).peaks
        query = tool.query("deps(//...)", memory=True).peaks
        values = {
            "clean build, the tool": clean.own,
            "clean build, all processes": clean.all,
            "null build, all processes": null.all,
            "query deps(//...), all processes": query.all,
        }
        for what, value in values.items():
            entry = Entry(self.name, f"{MEMORY} {what}", tool.name, self.begun, number, value)
            self.log.add(entry)


def _turned(tools: Sequence[Tool], number: int) -> list[Tool]:
    """Each is first in every other round."""
    first = number % max(len(tools), 1)
    return [*tools[first:], *tools[:first]]


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
