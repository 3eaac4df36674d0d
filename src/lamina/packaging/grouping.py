"""Which targets share a layer: by a rule, or as the history teaches it (`auto`).

Pure functions over values: who calls them has read the history and knows the targets. What `auto`
finds depends on the history up to a commit some way back (`anchors`), so that the layers of two
builds in between are cut alike on any machine, and none needs to know what another did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from lamina.packaging import partition
from lamina.packaging.partition import Item, Problem

PER_TARGET, PER_PACKAGE, SINGLE, AUTO = "per-target", "per-package", "single", "auto"
STRATEGIES = (PER_TARGET, PER_PACKAGE, SINGLE, AUTO)
MOST = 127  # layers, as many as an image for Docker may have

Layout = tuple[tuple[str, ...], ...]  # names of targets; both levels sorted

_OVERHEAD = 5000  # bytes of a layer with nothing in it: XAR header, superblock and tables
_ONE = 1 << 20  # weight of the newest commit
_HALF_LIFE = 400  # commits after which one counts half
_HORIZON = 400  # commits in which a change of the layout has to pay
WINDOW = 2000  # commits that are learnt from
_STEP = 1024  # commits between two layouts made from nothing
_FINE = 8  # times in between that the layout is looked at again
_NEW = 8  # one in so many layers is for targets that are newer than what is learnt from
_WIDE = 3  # a commit that touches more than one in so many targets teaches nothing
_SURPRISE = 8  # one in so many commits is to be expected to touch a target that none has


@dataclass(frozen=True, slots=True)
class Member:
    """A target as far as grouping knows it."""

    name: str
    package: str  # its build package
    sources: frozenset[str]  # files whose change changes its layer
    carried: tuple[str, ...] = ()  # those of them that lie in the layer as they are
    made: int = 0  # bytes in the layer that are made, rounded so that few commits change it


@dataclass(frozen=True, slots=True)
class Lesson:
    """The history up to one commit."""

    commits: tuple[tuple[str, ...], ...]  # the files that each touched, oldest first
    sizes: Mapping[str, int] = field(default_factory=dict)  # of the files there are at its end


def rounded(size: int) -> int:
    """A size that stays the same while a file grows or shrinks a little: a power of two."""
    return 1 << (size - 1).bit_length() if size > 0 else 0


def anchors(count: int) -> tuple[int, int]:
    """Of a history of so many commits: up to where to learn from nothing, and up to where to adapt.

    Both stay where they are for many commits, and move further as the history grows.
    """
    if count < 1:
        return 0, 0
    step = min(_STEP, 1 << (count.bit_length() - 1))
    fine = max(1, step // _FINE)
    return count - count % step, count - count % fine


def per_package(members: Iterable[Member]) -> Layout:
    """A layer for each build package."""
    found: dict[str, list[str]] = {}
    for member in members:
        found.setdefault(member.package, []).append(member.name)
    return _sorted(found.values())


def rules(strategy: str, members: Sequence[Member]) -> Layout:
    """The layout of a strategy that needs no history."""
    if strategy == PER_PACKAGE:
        return per_package(members)
    names = [member.name for member in members]
    return _sorted([names] if strategy == SINGLE else [[name] for name in names])


def auto(members: Sequence[Member], lessons: Sequence[Lesson], most: int) -> Layout:
    """At most so many layers that ship few bytes for a commit like those of the history.

    The first lesson makes the layout, each further one, from a later time, changes it where that
    pays. Targets that are newer than the last lesson come into a few layers of their own: they are
    still worked on.
    """
    members = sorted(members, key=lambda member: member.name)
    if len(members) <= most:
        return rules(PER_TARGET, members)
    if most == 1:
        return rules(SINGLE, members)
    layout: Layout = ()
    for lesson in lessons:
        layout = learn(members, lesson, most - max(1, most // _NEW), layout)
    known = {name for group in layout for name in group}
    fresh = (member for member in members if member.name not in known)
    return _sorted([*layout, *_hot(fresh, most - len(layout))])


def _hot(members: Iterable[Member], count: int) -> list[list[str]]:
    """New targets in so many layers, those of one build package together.

    Where one comes to lie does not depend on the others, so one more leaves those where they are.
    """
    found: dict[int, list[str]] = {}
    for member in members:
        digest = sha256(member.package.encode()).digest()
        found.setdefault(int.from_bytes(digest[:8]) % count, []).append(member.name)
    return list(found.values())


def learn(members: Sequence[Member], lesson: Lesson, most: int, before: Layout = ()) -> Layout:
    """The layout of those targets that the lesson knows, made from nothing or from one before."""
    sizes = {member.name: _size(member, lesson) for member in members}
    known = sorted((m for m in members if sizes[m.name] is not None), key=lambda m: m.name)
    problem = _problem(known, [sizes[member.name] or 0 for member in known], lesson, most)
    if not before:
        return _named(partition.solve(problem), known)
    numbers = {member.name: number for number, member in enumerate(known)}
    groups = [[numbers[name] for name in group if name in numbers] for group in before]
    return _named(partition.adapt(problem, filter(None, groups), _HORIZON), known)


def is_known(member: Member, lesson: Lesson) -> bool:
    """Whether a target was there at the end of a lesson."""
    return _size(member, lesson) is not None


def _size(member: Member, lesson: Lesson) -> int | None:
    """The bytes of a target's layer at the end of a lesson; None where there was none of it."""
    sources = (*member.sources, *member.carried)  # a source may be a folder of what is carried
    if sources and not any(path in lesson.sizes for path in sources):
        return None
    return member.made + sum(lesson.sizes.get(path, 0) for path in member.carried)


def _problem(members: Sequence[Member], sizes: Sequence[int], lesson: Lesson, most: int) -> Problem:
    commits = _touches(members, lesson.commits)
    weights = tuple(_weight(len(lesson.commits) - 1 - age) for age in range(len(lesson.commits)))
    items = tuple(Item(size, tuple(touched)) for size, touched in zip(sizes, commits, strict=True))
    prior = max(1, sum(weights) // (_SURPRISE * max(1, len(weights))))
    return Problem(items, weights, _OVERHEAD, prior, most)


def _weight(age: int) -> int:
    """2^(-age / half-life), with straight lines between the halvings: whole numbers all the way."""
    halvings, rest = divmod(age, _HALF_LIFE)
    return (_ONE * (2 * _HALF_LIFE - rest) // (2 * _HALF_LIFE)) >> halvings


def _touches(members: Sequence[Member], commits: Sequence[Iterable[str]]) -> list[list[int]]:
    """For each target the numbers of the commits that touch it and teach something."""
    readers = readers_of(members)
    found: list[list[int]] = [[] for _ in members]
    for number, files in enumerate(commits):
        touched = touched_by(files, readers)
        if len(touched) * _WIDE <= len(members):
            for member in touched:
                found[member].append(number)
    return found


def readers_of(members: Sequence[Member]) -> Mapping[str, Sequence[int]]:
    """For each source the numbers of the targets that it is one of."""
    readers: dict[str, list[int]] = {}
    for number, member in enumerate(members):
        for path in member.sources:
            readers.setdefault(path, []).append(number)
    return readers


def touched_by(files: Iterable[str], readers: Mapping[str, Sequence[int]]) -> set[int]:
    """The targets that a change of these files touches; a source may be a folder above one."""
    found: set[int] = set()
    for path in files:
        while path:
            found.update(readers.get(path, ()))
            path = path.rpartition("/")[0]
    return found


def _named(groups: partition.Groups, members: Sequence[Member]) -> Layout:
    return _sorted([members[number].name for number in group] for group in groups)


def _sorted(groups: Iterable[Iterable[str]]) -> Layout:
    return tuple(sorted(tuple(sorted(group)) for group in map(list, groups) if group))
