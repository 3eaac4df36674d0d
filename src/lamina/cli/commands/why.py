"""`lamina why`: tell why the actions of a target ran in the last build in which they did."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lamina.cli import arguments, excerpt, output
from lamina.cli.session import Options, Session
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.build.history.causes import Causes
    from lamina.build.history.index import Entry
    from lamina.build.history.reasons import Change

_SHOWN = 12  # changes of one action
_WIDTH = 100  # of one value

_VERDICTS = {
    "changed": "since build {build}:",
    "new": "it is not known to have run before",
    "failed": "it had failed in build {build}, and what fails runs each time",
    "unknown": "it failed, so what it read is not known",
    "asked": "it was asked for, though its result was known",
    "unkept": "its last result was not one to keep, such as that of a test that failed",
    "gone": "nothing has changed, but its result was no longer in the store",
}


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_target(parser)
    parser.add_argument("--all", action="store_true", help="show all that changed, however much")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compare the last two runs of each action."""
    from lamina.build.history import causes, index

    with Session(Options(jobs=1)) as session:
        label = str(session.label(args.target))
        history = session.history
    found = causes.find(history, label)
    if found is None:
        raise UserError(
            f"no action of `{label}` is on record",
            hint="what was built before builds were recorded, or is only looked up, has none",
        )
    entries = {entry.number: entry for entry in index.read(history)}
    if args.json:
        output.document(_document(label, found, entries))
    else:
        _print(label, found, entries, limit=None if args.all else _SHOWN)
    return 0


def _print(label: str, causes: Causes, entries: Mapping[int, Entry], *, limit: int | None) -> None:
    entry = entries.get(causes.build)
    words = f", `lamina {shlex.join(entry.words)}`" if entry else ""
    last = "" if max(entries, default=causes.build) == causes.build else "last "
    output.data(f"`{label}` {last}ran in build {causes.build}{words}")
    for reason in causes.reasons:
        failed = ", and failed" if reason.execution.state == "failed" else ""
        output.data(f"\n{reason.execution}{failed}")
        build = reason.before.build if reason.before else 0
        output.data(f"  {_VERDICTS[reason.verdict].format(build=build)}")
        _print_changes(reason.changes, limit)
    if causes.roots:
        output.data("\nbehind it")
        _print_changes(causes.roots, limit)


def _print_changes(changes: Sequence[Change], limit: int | None) -> None:
    for change in changes[:limit]:
        output.data(f"  {_line(change)}")
    if limit and len(changes) > limit:
        output.data(f"  and {len(changes) - limit} more; `--all` shows them")


def _line(change: Change) -> str:
    name = f"{change.name} " if change.name else ""
    if change.kind == "argument":
        name = ""
    if change.before is None:
        text = f"new {change.kind}: {change.name or _short(change.after)}"
        value = change.after if change.kind == "environment" else None
        text += f"={_short(value)}" if value is not None else ""
    elif change.after is None:
        text = f"{change.kind} that is gone: {change.name or _short(change.before)}"
    else:
        text = f"{change.kind} {name}changed: {_short(change.before)} -> {_short(change.after)}"
    return text + _origin(change)


def _origin(change: Change) -> str:
    if change.maker is not None:
        owner, action = change.maker
        return f"\n      made by {action} of {owner}"
    return f"\n      that is {change.origin}" if change.origin else ""


def _short(value: str | None) -> str:
    return excerpt.fitted(value or "", _WIDTH)


def _document(label: str, causes: Causes, entries: Mapping[int, Entry]) -> dict[str, Any]:
    entry = entries.get(causes.build)
    return {
        "target": label,
        "build": causes.build,
        "last_build": max(entries, default=causes.build),
        "command": list(entry.words) if entry else None,
        "actions": [
            {
                "action": str(reason.execution),
                "outputs": list(reason.execution.outputs),
                "state": reason.execution.state,
                "verdict": reason.verdict,
                "since_build": reason.before.build if reason.before else None,
                "changes": [_change(change) for change in reason.changes],
            }
            for reason in causes.reasons
        ],
        "behind": [_change(change) for change in causes.roots],
    }


def _change(change: Change) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "kind": change.kind,
        "name": change.name,
        "before": change.before,
        "after": change.after,
    }
    if change.maker is not None:
        fields["made_by"] = {"target": change.maker[0], "action": change.maker[1]}
    elif change.origin:
        fields["file"] = change.origin
    return fields
