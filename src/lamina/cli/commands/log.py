"""`lamina log`: what the last builds of this workspace did, and where their time went."""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.build.history import index
from lamina.cli import arguments, output
from lamina.cli.session import Options, Session
from lamina.core.classes import asdict
from lamina.core.errors import UserError
from lamina.linux import filesystem

if TYPE_CHECKING:
    from lamina.build.history.details import Details, Execution
    from lamina.build.history.index import Entry

_SLOWEST = 10  # actions that are shown
# What is told of where an action ran; nothing of the usual place.
_PLACES = {
    "here": "", "farm": "  remote", "here first": "  local first", "farm first": "  remote first",
}  # fmt: skip
_VIEWS = ("list", "show", "ran", "failed")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "view", nargs="?", choices=_VIEWS, default="list", metavar="list|show|ran|failed",
        help="the last builds; of one build where its time went, what ran, what failed",
    )  # fmt: skip
    parser.add_argument(
        "number", nargs="?", type=_number, metavar="BUILD",
        help="its number (default: the last one that did something)",
    )  # fmt: skip
    parser.add_argument(
        "-n", "--count", type=_number, default=20, metavar="N", help="builds to list (default: 20)"
    )
    parser.add_argument(
        "--trace", type=Path, metavar="FILE",
        help="write when each action ran, for https://ui.perfetto.dev or chrome://tracing",
    )  # fmt: skip
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list, or one build."""
    with Session(Options(jobs=1)) as session:
        history = session.history
    entries = index.read(history)
    if args.view == "list" and not args.trace:
        _list(entries[-args.count :], as_json=args.json)
        return 0
    entry, details = _chosen(history, entries, args.number)
    if args.trace:
        _write_trace(args.trace, entry, details)
    if args.view in ("ran", "failed"):
        {"ran": _ran, "failed": _failed}[args.view](entry, details, args.json)
    elif args.view == "show":
        _show(entry, details, as_json=args.json)
    return 0


def _number(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"not a number: `{text}`", hint="`lamina log` lists the numbers of builds")
    return int(text)


def _chosen(
    history: Path, entries: Sequence[Entry], number: int | None
) -> tuple[Entry, Details | None]:
    from lamina.build.history import details

    if not entries:
        raise UserError("no build of this workspace is on record")
    if number is not None:
        found = next((entry for entry in entries if entry.number == number), None)
        if found is None:
            raise UserError(f"no build {number} is on record", hint="`lamina log` lists them")
        return found, details.read(history, number)
    for entry in reversed(entries):
        known = details.read(history, entry.number)
        if known is not None:
            return entry, known
    return entries[-1], None


def _list(entries: Sequence[Entry], *, as_json: bool) -> None:
    if as_json:
        output.document([_fields(entry) for entry in entries])
        return
    if not entries:
        output.note("no build of this workspace is on record")
        return
    output.table(
        ("build", "when", "took", "ran", "cached", "failed", "result", "command"),
        [
            (
                str(entry.number),
                _when(entry.begun),
                output.duration(entry.seconds),
                str(entry.ran),
                str(entry.cached),
                str(entry.failed),
                entry.result,
                shlex.join(entry.words),
            )
            for entry in entries
        ],
        right=(0, 2, 3, 4, 5),
    )


def _show(entry: Entry, details: Details | None, *, as_json: bool) -> None:
    executions = list(details.executions()) if details else []
    slowest = sorted(executions, key=lambda each: -each.seconds)[:_SLOWEST]
    critical = details.critical if details else ()
    if as_json:
        output.document(
            {
                **_fields(entry),
                "places": Counter(each.place for each in executions if each.state == "ran"),
                "slowest": [_execution(each) for each in slowest],
                "critical_path": [asdict(step) for step in critical],
                "failures": [asdict(failure) for failure in details.failures] if details else [],
            }
        )
        return
    looked = entry.ran + entry.cached
    hits = f" ({entry.cached / looked:.0%} cache hits)" if looked else ""
    output.data(f"build {entry.number}: `lamina {shlex.join(entry.words)}`")
    output.data(f"{entry.result} {_when(entry.begun)}, in {output.duration(entry.seconds)}")
    output.data(
        f"{output.plural(entry.ran, 'action')} run, {entry.cached} cached{hits}, "
        f"{entry.failed} failed"
    )
    if places := _places(executions):
        output.data(places)
    if entry.message and not entry.failed:
        output.data(f"ended by: {entry.message}")
    _section("phases", [(name, "", end - begin) for name, begin, end in _merged(entry.phases)])
    _section("slowest actions", [(str(e), e.owner, e.seconds) for e in slowest])
    total = sum(step.ended - step.begun for step in critical)
    _section(
        f"critical path, {output.duration(total)}",
        [(step.action, step.owner, step.ended - step.begun) for step in critical],
    )
    if details and details.failures:
        output.data(f"\nfailed ({output.plural(len(details.failures), 'action')})")
        for failure in details.failures:
            output.data(f"  {failure.owner}  {failure.action}")


def _places(executions: Iterable[Execution]) -> str:
    """How many actions ran in a build farm, and who was first with those that ran there and here.

    Nothing where there was no farm.
    """
    count = Counter(each.place for each in executions if each.state == "ran")
    here, there = count["here first"], count["farm first"]
    if not (here or there or count["farm"]):
        return ""
    text = f"{count['farm'] + there} of them in the build farm"
    raced = f"; {here + there} raced, {there} remote and {here} local first"
    return text + raced * bool(here + there)


def _section(title: str, lines: Sequence[tuple[str, str, float]]) -> None:
    if lines:
        output.data(f"\n{title}")
        for text, owner, seconds in lines:
            output.data(f"  {output.duration(seconds):>10}  {text}{f'  {owner}' * bool(owner)}")


def _merged(phases: Iterable[index.Phase]) -> list[index.Phase]:
    """Phases of one name as one, as long as they are together."""
    sums: dict[str, float] = {}
    for name, begin, end in phases:
        sums[name] = sums.get(name, 0.0) + end - begin
    return [(name, 0.0, seconds) for name, seconds in sums.items()]


def _ran(entry: Entry, details: Details | None, as_json: bool) -> None:
    found = [each for each in details.executions() if each.state != "known"] if details else []
    if as_json:
        output.document([_execution(each) for each in found])
        return
    for each in found:
        state = f"  {each.state}" if each.state != "ran" else _PLACES[each.place]
        output.data(f"{output.duration(each.seconds):>10}  {each}  {each.owner}{state}")
    if not found:
        _nothing(entry, entry.ran)


def _failed(entry: Entry, details: Details | None, as_json: bool) -> None:
    found = details.failures if details else ()
    if as_json:
        output.document([asdict(failure) for failure in found])
        return
    for failure in found:
        output.data(f"{failure.message}\n")
    if not found:
        _nothing(entry, entry.failed)


def _nothing(entry: Entry, count: int) -> None:
    """Tell why there is nothing to show."""
    from lamina.build.history.details import KEPT

    if count:
        output.note(f"what build {entry.number} did is no longer kept; of {KEPT} builds it is")
    else:
        output.note(f"none in build {entry.number}, `lamina {shlex.join(entry.words)}`")


def _execution(each: Execution) -> dict[str, Any]:
    return {
        "action": str(each),
        "target": each.owner,
        "mnemonic": each.mnemonic,
        "subject": each.subject,
        "state": each.state,
        "place": each.place,
        "begun": round(each.begun, 6),
        "seconds": round(each.seconds, 6),
        "arguments": list(each.arguments),
    }


def _fields(entry: Entry) -> dict[str, Any]:
    fields = asdict(entry)
    fields["phases"] = [
        {"name": name, "begun": round(begin, 6), "seconds": round(end - begin, 6)}
        for name, begin, end in entry.phases
    ]
    return {"number": fields.pop("number"), **fields}


def _when(begun: float) -> str:
    """The time of day of what was today, else the date too."""
    local, now = time.localtime(begun), time.localtime()
    form = "%H:%M:%S" if local[:3] == now[:3] else "%Y-%m-%d %H:%M"
    return time.strftime(form, local)


def _write_trace(path: Path, entry: Entry, details: Details | None) -> None:
    from lamina.build.history import timeline

    data = json.dumps(timeline.trace(entry, details)).encode()
    try:
        filesystem.write_atomic(path, data)
    except OSError as error:
        raise UserError(f"cannot write `{path}`: {error.strerror}") from error
    output.note(f"wrote `{path}`: open it in https://ui.perfetto.dev or chrome://tracing")
