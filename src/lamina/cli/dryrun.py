"""What a build would run, and why, found without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lamina.cli import building, changes, output
from lamina.core.action import Action, Output
from lamina.core.classes import dataclass, field
from lamina.core.errors import ActionError, LaminaError

if TYPE_CHECKING:
    from lamina.build.events import Outcome
    from lamina.build.history.causes import Runs
    from lamina.build.history.reasons import Reason
    from lamina.build.performer import NotRun
    from lamina.cli.session import Session

_SHOWN = 3  # changes of one action


@dataclass(slots=True)
class Forecast:
    """A listener of a dry run: what it looked up, and what it would have run."""

    cached: int = 0
    run: dict[Action, NotRun] = field(default_factory=dict)
    other: list[LaminaError] = field(default_factory=list)
    after: dict[Action, list[Action]] = field(default_factory=dict)  # would follow on these

    def planned(self, actions: int) -> None:
        """What is planned is told at the end."""

    def started(self, action: Action) -> None:
        """Nothing is shown."""

    def finished(self, _outcome: Outcome) -> None:
        self.cached += 1

    def failed(self, action: Action, error: LaminaError) -> None:
        from lamina.build.performer import NotRun

        if isinstance(error, NotRun):
            self.run[action] = error
        else:
            self.other.append(error)


def forecast(session: Session, patterns: Sequence[str]) -> Forecast:
    """Look up all that a build of some patterns needs; the session must be a dry one.

    Raises what stands against building at all.
    """
    from lamina.build.plan import plan

    found = Forecast()
    session.watch = lambda _listener: found
    wanted = building.aim(session, patterns).files
    try:
        session.engine.build(wanted)
    except ActionError:
        if found.other:
            raise found.other[0] from None
    for action in plan(wanted, session.engine.results).actions:
        if action not in found.run:
            needs = dict.fromkeys(a.action for _, a in action.inputs if isinstance(a, Output))
            found.after[action] = [n for n in needs if n in found.run or n in found.after]
    return found


def show(session: Session, found: Forecast, *, as_json: bool) -> None:
    """Print what would run and why, and what may follow."""
    from lamina.build.history import causes

    runs = causes.runs_of(session.history)
    reasons = {action: _reason(error, runs) for action, error in found.run.items()}
    if as_json:
        output.document(_document(found, reasons))
        return
    for action, reason in reasons.items():
        output.data(f"would run  {action}  {action.owner}")
        output.data(f"             {changes.verdict(reason)}")
        for line in changes.lines(reason.changes, _SHOWN):
            output.data(f"             {line}")
    for action, needs in found.after.items():
        output.data(f"may run    {action}  {action.owner}")
        output.data(f"             after {', '.join(map(str, needs[:_SHOWN]))}")
    output.note(
        f"{output.plural(len(found.run), 'action')} would run, {len(found.after)} may follow, "
        f"{found.cached} cached"
    )


def _reason(error: NotRun, runs: Runs) -> Reason:
    from lamina.build.history import reasons, recorder

    action = error.action
    key = (action.owner, action.mnemonic, action.subject, action.outputs)
    earlier = runs.get(key, [])
    before = next((run for run in earlier if run.inputs is not None), None)
    return reasons.explain([recorder.expected(action, error.inputs, before), *earlier])


def _document(found: Forecast, reasons: dict[Action, Reason]) -> dict[str, Any]:
    return {
        "would_run": [
            {
                "action": str(action),
                "target": action.owner,
                "arguments": list(action.arguments),
                "verdict": reason.verdict,
                "changes": [changes.fields(change) for change in reason.changes],
            }
            for action, reason in reasons.items()
        ],
        "may_run": [
            {"action": str(action), "target": action.owner, "after": [str(need) for need in needs]}
            for action, needs in found.after.items()
        ],
        "cached": found.cached,
    }
