"""The differences between two runs of an action, and what they led to, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lamina.cli import excerpt

if TYPE_CHECKING:
    from lamina.build.history.reasons import Change, Reason

_WIDTH = 60  # of one value

_VERDICTS = {
    "changed": "since build {build}:",
    "new": "it is not known to have run before",
    "failed": "it had failed in build {build}, and what fails runs each time",
    "unknown": "it failed, so what it read is not known",
    "asked": "it was asked for, though its result was known",
    "unkept": "its last result was not one to keep, such as that of a test that failed",
    "gone": "nothing has changed, but its result was no longer in the store",
}


def verdict(reason: Reason) -> str:
    """Why an action ran, in one line."""
    build = reason.before.build if reason.before else 0
    return _VERDICTS[reason.verdict].format(build=build)


def lines(changes: Sequence[Change], limit: int | None) -> Iterator[str]:
    """What is not the same; some changes have two lines."""
    for change in changes[:limit]:
        yield _line(change)
        if change.maker is not None:
            owner, action = change.maker
            yield f"    made by {action} of {owner}"
        elif change.origin:
            yield f"    that is {change.origin}"
    if limit is not None and len(changes) > limit:
        yield f"and {len(changes) - limit} more"


def _line(change: Change) -> str:
    name = "" if change.kind == "argument" else change.name
    value = "" if change.kind in ("input", "setting") else excerpt.fitted(_value(change), _WIDTH)
    told = "=".join(part for part in (name, value) if part)
    if change.before is None:
        return f"new {change.kind}: {told}"
    if change.after is None:
        return f"{change.kind} that is gone: {told}"
    before, after = excerpt.fitted(change.before, _WIDTH), excerpt.fitted(change.after, _WIDTH)
    return f"{' '.join((change.kind, name)).rstrip()} changed: {before} -> {after}"


def _value(change: Change) -> str:
    return change.before or change.after or ""


def fields(change: Change) -> dict[str, Any]:
    """The same as data."""
    found: dict[str, Any] = {
        "kind": change.kind,
        "name": change.name,
        "before": change.before,
        "after": change.after,
    }
    if change.maker is not None:
        found["made_by"] = {"target": change.maker[0], "action": change.maker[1]}
    elif change.origin:
        found["file"] = change.origin
    return found
