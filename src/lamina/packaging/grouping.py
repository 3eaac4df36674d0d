"""Which targets share a layer: by a rule, or as the history teaches it (`auto`).

Pure functions over values: who calls them has read the history and knows the targets. What `auto`
finds depends on the history up to a commit some way back (`anchors`), so that the layers of two
builds in between are cut alike on any machine, and none needs to know what another did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from lamina.core.classes import dataclass, field
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
_FIRST = 6  # the power of two that is the first anchor, where the history is not too long
_OLD = 64  # an anchor before one so-many-th of the history teaches nothing that matters now
_DIGITS = 3  # binary digits of the number of commits that are anchors
_FINE = 64  # commits between two last anchors, at most
_NEW = 8  # one in so many layers is for targets that are newer than what is learnt from
_WIDE = 10  # a commit that touches more than one in so many targets teaches nothing,
_FEW = 100  # if it touches more than so many
_SURPRISE = 8  # one in so many commits is to be expected to touch a target that none has


@dataclass(frozen=True, slots=True)
class Member:
    """A target as far as grouping knows it."""

    name: str
    package: str  # its build package
    sources: frozenset[str] = frozenset()  # files whose change changes its layer
    carried: tuple[str, ...] = ()  # those of them that lie in the layer as they are
    made: int = 0  # bytes in the layer that are made, rounded so that few commits change it


@dataclass(frozen=True, slots=True)
class Lesson:
    """The history up to one commit."""

    commits: tuple[tuple[str, ...], ...]  # the files that each touched, oldest first
    sizes: Mapping[str, int] = field(default_factory=dict)  # of the files there are at its end
    new: int = 0  # of the commits, those that came after the lesson before


def rounded(size: int) -> int:
    """A size that stays the same while a file grows or shrinks a little: a power of two."""
    return 1 << (size - 1).bit_length() if size > 0 else 0


def anchors(count: int) -> tuple[int, ...]:
    """Up to which commits to learn, one after the other, in a history of so many.

    The first ones are powers of four, then come the first digits of the number itself, in binary:
    as the history grows, the early ones stay where they are for long, and the last one moves every
    few commits. So what was learnt before need not be kept by anybody: it can be learnt again.
    """
    if count < 1:
        return ()
    top = 1 << (count.bit_length() - 1)
    fine = min(_FINE, max(1, top // 8))
    ladder = (1 << power for power in range(_FIRST, top.bit_length(), 2))
    found = {power for power in ladder if power * _OLD >= count}
    digits = [bit for bit in _bits(count) if bit >= fine][:_DIGITS]
    found.update(sum(digits[: number + 1]) for number in range(len(digits)))
    return (*sorted({*found, count - count % fine}),)


def _bits(number: int) -> list[int]:
    return [1 << place for place in reversed(range(number.bit_length())) if number >> place & 1]


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
    pays. New targets begin in a few layers that are kept for them: they are still worked on.
    """
    members = sorted(members, key=lambda member: member.name)
    if len(members) <= most:
        return rules(PER_TARGET, members)
    if most == 1:
        return rules(SINGLE, members)
    slots: list[list[str]] = []
    settled = 0  # slots that were made by the first lesson; the others are for new targets
    for lesson in lessons:
        if any(slots):
            slots = _adapted(members, lesson, slots, settled)
        else:
            slots = _begun(members, lesson, most)
            settled = sum(map(bool, slots))
    return _sorted(_with_new(members, slots or [[] for _ in range(most)], settled))


def _begun(members: Sequence[Member], lesson: Lesson, most: int) -> list[list[str]]:
    known, sizes = _known(members, lesson)
    problem = _problem(known, sizes, lesson, most - max(1, most // _NEW))
    slots = [[known[number].name for number in group] for group in partition.solve(problem)]
    return slots + [[] for _ in range(most - len(slots))]


def _adapted(
    members: Sequence[Member], lesson: Lesson, slots: Sequence[Sequence[str]], settled: int
) -> list[list[str]]:
    known, sizes = _known(members, lesson)
    numbers = {member.name: number for number, member in enumerate(known)}
    before = _with_new(known, slots, settled)
    groups = [[numbers[name] for name in group if name in numbers] for group in before]
    problem = _problem(known, sizes, lesson, len(slots))
    placed = {name for group in slots for name in group}
    begin = len(lesson.commits) - lesson.new
    loose = [
        number
        for number, item in enumerate(problem.items)
        if known[number].name not in placed or (item.commits and item.commits[-1] >= begin)
    ]
    found = partition.adapt(problem, groups, loose, _HORIZON)
    return [[known[number].name for number in group] for group in found]


def _with_new(
    members: Iterable[Member], slots: Sequence[Sequence[str]], settled: int
) -> list[list[str]]:
    """The slots, and in those behind the settled ones the targets that are in none yet.

    Those of one build package come together. Where one comes to lie does not depend on the others,
    so one more leaves those where they are.
    """
    found = [list(group) for group in slots]
    placed = {name for group in slots for name in group}
    for member in members:
        if member.name not in placed:
            digest = sha256(member.package.encode()).digest()
            number = int.from_bytes(digest[:8]) % (len(found) - settled)
            found[settled + number].append(member.name)
    return found


def _known(members: Sequence[Member], lesson: Lesson) -> tuple[list[Member], list[int]]:
    """The targets that are there at the end of a lesson, and the sizes of their layers then."""
    sizes = [_size(member, lesson) for member in members]
    found = [(m, size) for m, size in zip(members, sizes, strict=True) if size is not None]
    return [member for member, _ in found], [size for _, size in found]


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
        if len(touched) <= max(_FEW, len(members) // _WIDE):
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


def _sorted(groups: Iterable[Iterable[str]]) -> Layout:
    return tuple(sorted(tuple(sorted(group)) for group in map(list, groups) if group))
