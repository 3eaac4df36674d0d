"""`lamina why`: tell why the actions of a target ran in the last build in which they did."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lamina.cli import arguments, changes, farm, output
from lamina.cli.session import Options, Session
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.build.history.causes import Causes
    from lamina.build.history.index import Entry

_SHOWN = 12  # changes of one action


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "target", metavar="TARGET",
        help="a label; with `--remote` the digest of an action, as `lamina why TARGET` tells it",
    )  # fmt: skip
    arguments.complete_labels(parser)
    parser.add_argument(
        "other", nargs="?", default="", metavar="DIGEST",
        help="with `--remote`: the action that it is compared with",
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="show all that changed, however much")
    arguments.add_json(parser)
    farm.add_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Compare the last two runs of each action, or two actions of a build farm."""
    if args.other:
        return _compare(args)
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


def _compare(args: argparse.Namespace) -> int:
    from lamina.build import comparison
    from lamina.core.digest import Digest

    before, after = Digest.parse(args.target), Digest.parse(args.other)
    with Session(Options(jobs=1, remote=args.remote or ("remote",))) as session:
        found = comparison.compare(before, after, farm.reader(session))
    if args.json:
        fields = [changes.fields(change) for change in found]
        output.document({"before": str(before), "after": str(after), "changes": fields})
        return 0
    for line in changes.lines(found, None if args.all else _SHOWN):
        output.data(line)
    if not found:
        output.data("both are the same" if before == after else "nothing that counts differs")
    return 0


def _print(label: str, causes: Causes, entries: Mapping[int, Entry], *, limit: int | None) -> None:
    entry = entries.get(causes.build)
    words = f", `lamina {shlex.join(entry.words)}`" if entry else ""
    last = "" if max(entries, default=causes.build) == causes.build else "last "
    output.data(f"`{label}` {last}ran in build {causes.build}{words}")
    for reason in causes.reasons:
        failed = ", and failed" if reason.execution.state == "failed" else ""
        output.data(f"\n{reason.execution}{failed}")
        output.data(f"  {changes.verdict(reason)}")
        if "/" in reason.execution.digest:  # a build farm knows it by that
            output.data(f"  digest {reason.execution.digest}")
        for line in changes.lines(reason.changes, limit):
            output.data(f"  {line}")
    if causes.roots:
        output.data("\nbehind it")
        for line in changes.lines(causes.roots, limit):
            output.data(f"  {line}")


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
                "digest": reason.execution.digest or None,
                "since_build": reason.before.build if reason.before else None,
                "changes": [changes.fields(change) for change in reason.changes],
            }
            for reason in causes.reasons
        ],
        "behind": [changes.fields(change) for change in causes.roots],
    }
