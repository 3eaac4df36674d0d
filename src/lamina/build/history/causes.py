"""From the actions of a target back to what a person has changed: through the history of builds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from lamina.build.history import details
from lamina.build.history.details import Execution, Key
from lamina.build.history.reasons import Change, Reason, explain
from lamina.core.classes import dataclass

_RUNS = 3  # of an action that are compared: one of them may have failed

Runs = dict[Key, list[Execution]]


@dataclass(frozen=True, slots=True)
class Causes:
    """Why the actions of a target ran in the last build in which any did."""

    build: int
    reasons: tuple[Reason, ...]  # in the order in which the actions ended
    roots: tuple[Change, ...]  # the changes behind those that other actions brought


def find(folder: Path, label: str) -> Causes | None:
    """The causes in the history of a folder; None where no action of the target has run."""
    runs = runs_of(folder, label)
    if not runs:
        return None
    build = max(each[0].build for each in runs.values())
    found = sorted(_of_build(runs, build), key=lambda reason: reason.execution.ended)
    return Causes(build, tuple(found), tuple(_roots(folder, found, build)))


def runs_of(folder: Path, label: str | None = None) -> Runs:
    """The last runs of each action, of a target or of all, the newest first."""
    found: Runs = {}
    if not folder.is_dir():
        return found
    for each in details.read_all(folder):
        for execution in sorted(each.executions(label), key=lambda run: (-run.build, -run.ended)):
            if execution.state in ("ran", "failed"):
                runs = found.setdefault(execution.key, [])
                if len(runs) < _RUNS:
                    runs.append(execution)
    return found


def _of_build(runs: Runs, build: int) -> Iterator[Reason]:
    return (explain(each) for each in runs.values() if each[0].build == build)


def _roots(folder: Path, found: Iterable[Reason], build: int) -> list[Change]:
    """The changes that no action made, behind the actions whose outputs have changed."""
    targets: dict[str, list[Reason]] = {}
    waiting = [change for reason in found for change in reason.changes if change.maker]
    seen = {change.maker for change in waiting}
    roots: dict[tuple[str, str], Change] = {}
    while waiting:
        maker = waiting.pop(0).maker
        assert maker is not None
        owner, action = maker
        if owner not in targets:
            targets[owner] = list(_of_build(runs_of(folder, owner), build))
        for reason in targets[owner]:
            if str(reason.execution) != action:
                continue
            for change in reason.changes:
                if change.maker is None:
                    roots.setdefault((change.kind, change.origin or change.name), change)
                elif change.maker not in seen:
                    seen.add(change.maker)
                    waiting.append(change)
    return list(roots.values())
