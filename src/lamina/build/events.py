"""What happens to actions during a build, for those who show it or write it down."""

from __future__ import annotations

from typing import Protocol

from lamina.core.action import Action
from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.errors import LaminaError
from lamina.core.tree import Node, Tree


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an action that succeeded came to its outputs."""

    action: Action
    digest: Digest  # of the Action message of the Remote Execution API
    inputs: Tree  # all that it could read
    outputs: dict[str, Node]
    cached: bool  # it was known, and did not run
    begun: float  # time.monotonic() when a worker took it up
    ended: float
    printed: bytes = b""  # on stderr, such as warnings; empty when it did not run
    farm: bool = False  # it ran in the build farm, or that knew it
    raced: bool = False  # it ran in both places, and this result was first
    shared: bool = False  # the build farm may be asked about it by this digest


class Listener(Protocol):
    """Who is told how a build goes on; called from the thread that called `Engine.build`."""

    def planned(self, actions: int) -> None:
        """So many more actions are to be looked at."""

    def started(self, action: Action) -> None:
        """An action was handed to a worker."""

    def finished(self, outcome: Outcome) -> None:
        """An action succeeded, or was known."""

    def failed(self, action: Action, error: LaminaError) -> None:
        """An action failed; the error tells all that a person needs."""


class Listeners:
    """Several of them, told one after another."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def planned(self, actions: int) -> None:
        for listener in self._listeners:
            listener.planned(actions)

    def started(self, action: Action) -> None:
        for listener in self._listeners:
            listener.started(action)

    def finished(self, outcome: Outcome) -> None:
        for listener in self._listeners:
            listener.finished(outcome)

    def failed(self, action: Action, error: LaminaError) -> None:
        for listener in self._listeners:
            listener.failed(action, error)
