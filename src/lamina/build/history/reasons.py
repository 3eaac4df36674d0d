"""Why an action ran again: what was not the same the last time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from lamina.build.history.details import Execution
from lamina.core.classes import dataclass

_UNREAD = "not read"  # stands for the content of a file that only matters by its name
_ALIGNED = 2000  # arguments, beyond which they are compared as sets


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two runs of an action; None is what was not there."""

    kind: str  # `input`, `argument`, `environment`, `toolchain`, `setting`, `outputs`, `lamina`
    name: str
    before: str | None
    after: str | None
    origin: str = ""  # of an input: the file or the action it is of

    @property
    def maker(self) -> tuple[str, str] | None:
        """Of an input that an action made: its target, and the action."""
        owner, made, action = self.origin.partition("\0")
        return (owner, action) if made else None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an action ran."""

    execution: Execution
    before: Execution | None  # the run that it is compared with
    verdict: str  # `new`, `changed`, `failed`, `unknown`, `asked`, `unkept`, `gone`
    changes: tuple[Change, ...] = ()


def explain(runs: Sequence[Execution]) -> Reason:
    """Why the newest of the runs of an action ran; the newest stands first."""
    now, earlier = runs[0], runs[1:]
    before = next((run for run in earlier if run.inputs is not None), None)
    if not earlier:
        return Reason(now, None, "new")
    if now.inputs is not None and before is not None:
        found = tuple(changes(before, now))
        if found:
            return Reason(now, before, "changed", found)
    if earlier[0].state == "failed":
        return Reason(now, earlier[0], "failed")
    if now.inputs is None or before is None:
        return Reason(now, before, "unknown")
    if "again" in now.settings:
        return Reason(now, before, "asked")
    return Reason(now, before, "unkept" if "fleeting" in now.settings else "gone")


def changes(before: Execution, after: Execution) -> Iterator[Change]:
    """All that is not the same, what a person is most likely to have changed first."""
    yield from _inputs(before, after)
    yield from _arguments(before.arguments, after.arguments)
    yield from _mapped("environment", _pairs(before.environment), _pairs(after.environment))
    if before.toolchain != after.toolchain:
        yield Change("toolchain", "", before.toolchain, after.toolchain)
    old, new = _lasting(before), _lasting(after)
    yield from (Change("setting", text, text, None) for text in old if text not in new)
    yield from (Change("setting", text, None, text) for text in new if text not in old)
    if before.outputs != after.outputs:
        yield Change("outputs", "", " ".join(before.outputs), " ".join(after.outputs))


def _inputs(before: Execution, after: Execution) -> Iterator[Change]:
    origins = {**(before.origins or {}), **(after.origins or {})}
    for change in _mapped("input", before.inputs or {}, after.inputs or {}):
        origin = _origin(change.name, origins)
        yield Change("input", change.name, change.before, change.after, origin)
    # What an action could have read, and did not, matters by its name: it may lie in front of
    # what it did read.
    read = {*(before.inputs or {}), *(after.inputs or {})}
    old, new = set(before.names) - read, set(after.names) - read
    for path in sorted(old ^ new):
        was, is_now = (_UNREAD if path in old else None), (_UNREAD if path in new else None)
        yield Change("input", path, was, is_now, _origin(path, origins))


def _origin(path: str, origins: Mapping[str, str]) -> str:
    """Where an input is from: itself, or the folder that it lies in."""
    place, inner = path, ""
    while place:
        if place in origins:
            found = origins[place]
            return found if "\0" in found else found + inner
        place = place.rpartition("/")[0]
        inner = path[len(place) :]
    return ""


def _arguments(before: Sequence[str], after: Sequence[str]) -> Iterator[Change]:
    if before == after:
        return
    if max(len(before), len(after)) > _ALIGNED:
        old, new = set(before), set(after)
        yield from (Change("argument", text, text, None) for text in before if text not in new)
        yield from (Change("argument", text, None, text) for text in after if text not in old)
        return
    for kind, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "replace" and j - i == m - k:
            for old_word, new_word in zip(before[i:j], after[k:m], strict=True):
                yield Change("argument", new_word, old_word, new_word)
        elif kind != "equal":
            yield from (Change("argument", text, text, None) for text in before[i:j])
            yield from (Change("argument", text, None, text) for text in after[k:m])


def _mapped(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield Change(kind, name, before.get(name), after.get(name))


def _pairs(environment: Sequence[str]) -> dict[str, str]:
    return dict(text.split("=", 1) for text in environment)


def _lasting(execution: Execution) -> list[str]:
    """The settings that a result depends on."""
    return [text for text in execution.settings if text not in ("again", "fleeting")]
