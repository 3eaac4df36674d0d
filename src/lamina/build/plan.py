"""Which actions must run, and in which order: decided before anything is done."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from lamina.core.action import Action, Artifact, Output
from lamina.core.classes import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions, each after those whose outputs it reads, and who waits for whom."""

    actions: tuple[Action, ...]
    needs: Mapping[Action, frozenset[Action]]
    dependents: Mapping[Action, tuple[Action, ...]]


def plan(wanted: Iterable[Artifact], done: Container[Action] = ()) -> Plan:
    """Everything that has to be known before the artifacts are there, without what is `done`."""
    needs: dict[Action, frozenset[Action]] = {}
    order: dict[Action, None] = {}
    stack = [(action, False) for action in reversed(_makers(wanted, done))]
    while stack:
        action, finished = stack.pop()
        if finished:
            order[action] = None
        elif action not in needs:
            makers = _makers((artifact for _, artifact in action.inputs), done)
            needs[action] = frozenset(makers)
            stack.append((action, True))
            stack.extend((maker, False) for maker in reversed(makers))
    dependents: dict[Action, list[Action]] = {action: [] for action in order}
    for action in order:
        for maker in needs[action]:
            dependents[maker].append(action)
    return Plan(tuple(order), needs, {key: tuple(value) for key, value in dependents.items()})


def _makers(artifacts: Iterable[Artifact], done: Container[Action]) -> list[Action]:
    """The actions that make these artifacts, in order, each once."""
    makers = dict.fromkeys(item.action for item in artifacts if isinstance(item, Output))
    return [action for action in makers if action not in done]
