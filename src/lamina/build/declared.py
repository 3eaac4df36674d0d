"""What an action declared, in what it made."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.core.action import Action, ActionResult
from lamina.core.errors import ActionError
from lamina.core.tree import File, Node


def is_fleeting(action: Action, result: ActionResult) -> bool:
    """Whether a result says of itself that it is not to be remembered."""
    if not action.fleeting:
        return False
    node = dict(result.outputs).get(action.fleeting)
    return not isinstance(node, File) or node.digest.size > 0


def is_whole(action: Action, known: ActionResult) -> bool:
    """Whether a remembered result has all outputs; an entry of the cache may be cut short."""
    try:
        outputs(action, known)
    except ActionError:
        return False
    return True


def outputs(action: Action, result: ActionResult) -> ActionResult:
    """The outputs the action declared; raises ActionError for one that it did not make."""
    made = dict(result.outputs)
    found: dict[str, Node] = {}
    for output in action.outputs:
        part = {output: made[output]} if output in made else _folder(output, made)
        if not part:
            raise ActionError(
                f"`{action.owner}`: {action} succeeded but did not make `{output}`",
                hint="outputs are written below `out/`; `$@`, `$(OUTS)` and `$OUT` name them",
            )
        found.update(part)
    return ActionResult(tuple(sorted(found.items())), 0, result.stdout, result.stderr)


def _folder(output: str, made: Mapping[str, Node]) -> dict[str, Node]:
    """What was made below a folder."""
    return {path: node for path, node in made.items() if path.startswith(f"{output}/")}
