"""The shape of a generated repository: its targets, who depends on whom, where they lie.

Areas are what a team has: ten build packages of ten targets. The first area is the base that all
others build on; a few of its libraries are hubs with many dependents. Within an area libraries
lie in layers and depend on lower ones, mostly on the next below. Programs are at the top. The same
number of targets, kind and seed give the same shape on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

PACKAGE = 10  # targets in a build package
AREA = 10 * PACKAGE
LAYERS = 10  # of libraries; programs lie above them
MODULUS = 1_000_003  # of all values, so that they fit an int of C++

_BASE_LAYERS = 3
_PROGRAMS = 0.03
_GENRULES = 0.02
_CXX = 0.55  # of the packages of a mixed repository
_OTHER_LANGUAGE = 0.15  # of the targets of a package
_HUB = 0.06  # of the libraries depend on the hub of their language directly
_EXPORTED = 0.15  # of the headers of dependencies are included by the own header
_FAN_OUT = ((1, 25), (2, 30), (3, 25), (4, 10), (5, 6), (6, 4))  # dependencies: weight
_OWN_AREA, _BASE = 0.65, 0.90  # below: own area; below: base; above: any lower layer


class Rule(Enum):
    """What a target is."""

    CXX_LIBRARY = "cxx_library"
    CXX_BINARY = "cxx_binary"
    PYTHON_LIBRARY = "python_library"
    PYTHON_BINARY = "python_binary"
    CXX_GENRULE = "cxx_genrule"  # makes a header
    PYTHON_GENRULE = "python_genrule"  # makes a module

    @property
    def cxx(self) -> bool:
        return self in (Rule.CXX_LIBRARY, Rule.CXX_BINARY, Rule.CXX_GENRULE)

    @property
    def library(self) -> bool:
        return self in (Rule.CXX_LIBRARY, Rule.PYTHON_LIBRARY)

    @property
    def program(self) -> bool:
        return self in (Rule.CXX_BINARY, Rule.PYTHON_BINARY)

    @property
    def genrule(self) -> bool:
        return self in (Rule.CXX_GENRULE, Rule.PYTHON_GENRULE)


@dataclass(frozen=True, slots=True)
class Target:
    """One target; others are named by their index, and come before it."""

    index: int
    rule: Rule
    package: str
    layer: int
    deps: tuple[int, ...]
    exported: frozenset[int]  # of the dependencies: the own header includes their headers
    table: int | None  # the genrule of the same package that makes one of its sources
    constant: int  # what its source adds to the values of its dependencies
    weight: int  # what its header says

    @property
    def name(self) -> str:
        kind = "app" if self.rule.program else "table" if self.rule.genrule else "lib"
        return f"{kind}{self.index}"

    @property
    def label(self) -> str:
        return f"//{self.package}:{self.name}"


@dataclass(frozen=True)
class Shape:
    """All targets, dependencies before dependents."""

    targets: tuple[Target, ...]

    @cached_property
    def packages(self) -> dict[str, list[Target]]:
        found: dict[str, list[Target]] = {}
        for target in self.targets:
            found.setdefault(target.package, []).append(target)
        return found

    @cached_property
    def dependents(self) -> list[list[int]]:
        """Who depends on each target directly."""
        found: list[list[int]] = [[] for _ in self.targets]
        for target in self.targets:
            for dep in needs(target):
                found[dep].append(target.index)
        return found

    def above(self, index: int) -> set[int]:
        """A target and all that depend on it, however far."""
        return _closure(index, self.dependents)

    def includers(self, index: int) -> set[int]:
        """The C++ targets whose source includes the header of a target, however deep."""
        headers = _closure(index, self._header_includers)
        return headers | {
            each
            for header in headers
            for each in self.dependents[header]
            if self.targets[each].rule.cxx
        }

    @cached_property
    def _header_includers(self) -> list[list[int]]:
        return [
            [each for each in dependents if index in self.targets[each].exported]
            for index, dependents in enumerate(self.dependents)
        ]

    def hub(self, *, cxx: bool) -> Target:
        """The library that most others need directly."""
        libraries = self._libraries(cxx)
        return max(libraries, key=lambda target: (len(self.dependents[target.index]), target.index))

    def leaf(self, *, cxx: bool) -> Target:
        """A library that one program needs, and nobody else; it needs others itself."""
        for target in self._libraries(cxx):
            dependents = self.dependents[target.index]
            if len(dependents) == 1 and target.deps and self.targets[dependents[0]].rule.program:
                return target
        raise ValueError("no library has a program as its one dependent: take another seed")

    def has(self, *, cxx: bool) -> bool:
        """Whether there are libraries of a language."""
        return any(True for _ in self._libraries(cxx))

    def _libraries(self, cxx: bool) -> Iterator[Target]:
        return (each for each in self.targets if each.rule.library and each.rule.cxx == cxx)


def needs(target: Target) -> tuple[int, ...]:
    """All that a target depends on."""
    return target.deps if target.table is None else (*target.deps, target.table)


def _closure(index: int, edges: Sequence[Iterable[int]]) -> set[int]:
    found, waiting = {index}, [index]
    while waiting:
        for each in edges[waiting.pop()]:
            if each not in found:
                found.add(each)
                waiting.append(each)
    return found


@dataclass(slots=True)
class _Slot:
    """A target to be, before it has an index."""

    rule: Rule
    package: str
    area: int
    layer: int
    table: _Slot | None = None
    index: int = -1


def shape(targets: int, *, mixed: bool, seed: int = 1) -> Shape:
    """The shape of a repository with so many targets, of Python alone or of C++ too."""
    random_ = random.Random(f"{targets} {mixed} {seed}")
    slots = sorted(_slots(targets, mixed, random_), key=lambda slot: slot.layer)
    for index, slot in enumerate(slots):
        slot.index = index
    choice = _Choice(random_)
    return Shape(tuple(choice.target(slot) for slot in slots))


def _slots(targets: int, mixed: bool, random_: random.Random) -> Iterator[_Slot]:
    for first in range(0, targets, PACKAGE):
        area, package = divmod(first // PACKAGE, AREA // PACKAGE)
        path = f"area{area:03}/pkg{package}"
        cxx = mixed and random_.random() < _CXX
        size = min(PACKAGE, targets - first)
        table: _Slot | None = None
        for position in range(size):
            if table is not None:
                yield _Slot(_library(table.rule.cxx), path, area, table.layer, table)
                table = None
                continue
            own = cxx != (mixed and random_.random() < _OTHER_LANGUAGE)
            slot = _slot(own, path, area, package, position == size - 1, random_)
            table = slot if slot.rule.genrule else None
            yield slot


def _slot(
    cxx: bool, path: str, area: int, package: int, last: bool, random_: random.Random
) -> _Slot:
    chance = random_.random()
    layer = _layer(area, package, random_)
    if chance < _PROGRAMS:
        rule = Rule.CXX_BINARY if cxx else Rule.PYTHON_BINARY
        return _Slot(rule, path, area, LAYERS)
    if chance < _PROGRAMS + _GENRULES and not last:
        return _Slot(Rule.CXX_GENRULE if cxx else Rule.PYTHON_GENRULE, path, area, layer)
    return _Slot(_library(cxx), path, area, layer)


def _library(cxx: bool) -> Rule:
    return Rule.CXX_LIBRARY if cxx else Rule.PYTHON_LIBRARY


def _layer(area: int, package: int, random_: random.Random) -> int:
    """The packages of an area go upwards, and each has targets of up to three layers."""
    low, high = (0, _BASE_LAYERS - 1) if area == 0 else (_BASE_LAYERS, LAYERS - 1)
    middle = low + package * (high - low + 1) // (AREA // PACKAGE)
    return min(high, max(low, middle + random_.choice((-1, 0, 0, 1))))


@dataclass
class _Choice:
    """Chooses dependencies among the libraries that lie lower."""

    random_: random.Random
    # language, area, layer -> libraries
    lower: dict[tuple[bool, int, int], list[int]] = field(default_factory=dict)
    base: dict[bool, list[int]] = field(default_factory=dict)  # of the first area, hubs first
    unused: dict[tuple[bool, int], list[int]] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    areas: int = 1

    def target(self, slot: _Slot) -> Target:
        """The target of a slot; slots come by layer."""
        deps = () if slot.rule.genrule else tuple(self._deps(slot))
        exported = frozenset(
            dep for dep in deps if slot.rule.library and self.random_.random() < _EXPORTED
        )
        table = None if slot.table is None else slot.table.index
        constant, weight = self.random_.randrange(1, 10_000), self.random_.randrange(1, 100)
        self.used.update(deps)
        if slot.rule.library:
            self._add(slot)
        return Target(
            slot.index, slot.rule, slot.package, slot.layer, deps, exported, table, constant, weight
        )

    def _add(self, slot: _Slot) -> None:
        cxx = slot.rule.cxx
        self.lower.setdefault((cxx, slot.area, slot.layer), []).append(slot.index)
        if slot.area == 0:
            self.base.setdefault(cxx, []).append(slot.index)
        self.unused.setdefault((cxx, slot.area), []).append(slot.index)
        self.areas = max(self.areas, slot.area + 1)

    def _deps(self, slot: _Slot) -> list[int]:
        chosen: dict[int, None] = {}
        if slot.rule.program:
            chosen.update(dict.fromkeys(self._not_yet_used(slot)))
        base = self.base.get(slot.rule.cxx, [])
        if slot.layer and base and self.random_.random() < _HUB:
            chosen[base[0]] = None
        counts, weights = zip(*_FAN_OUT, strict=True)
        for _ in range(self.random_.choices(counts, weights)[0]):
            found = self._one(slot, base)
            if found is not None:
                chosen[found] = None
        return sorted(chosen)

    def _one(self, slot: _Slot, base: Sequence[int]) -> int | None:
        if slot.layer == 0:
            return None
        chance = self.random_.random()
        if chance < _OWN_AREA or slot.area == 0:
            area = slot.area
        elif chance < _BASE:
            # The smaller a number, the likelier it is: few libraries have many dependents.
            return base[int(len(base) * self.random_.random() ** 3)] if base else None
        else:
            area = self.random_.randrange(self.areas)
        return self._below(slot, area)

    def _below(self, slot: _Slot, area: int) -> int | None:
        layer = slot.layer - 1
        while layer >= 0:
            found = self.lower.get((slot.rule.cxx, area, layer))
            if found and self.random_.random() < 0.7:
                return self.random_.choice(found)
            layer -= 1
        return None

    def _not_yet_used(self, slot: _Slot) -> list[int]:
        """A library of the area that nobody needs yet, so that programs have code of their own."""
        waiting = self.unused.get((slot.rule.cxx, slot.area), [])
        while waiting:
            found = waiting.pop()
            if found not in self.used:
                return [found]
        return []
