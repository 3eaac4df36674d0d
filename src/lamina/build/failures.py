"""What is told of an action that failed, with advice where a file was not declared."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Protocol

from lamina.build import undeclared
from lamina.core.action import Action, ActionResult
from lamina.core.errors import ActionError
from lamina.core.tree import Tree


class Ground(Protocol):
    """Where actions come from, for advice when one fails."""

    def locate(self, path: str) -> str:
        """Where on the disk a path from the root of the workspace is."""

    def folder(self, owner: str) -> str:
        """The folder of the build package of a target."""


class UndeclaredFile(ActionError):
    """An action failed for want of a file that is there, but not among its inputs."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class Failures:
    """Makes errors of results."""

    def __init__(self, ground: Ground, root: Path, *, show_commands: bool) -> None:
        self._ground = ground
        self._root = root
        self._show_commands = show_commands

    def of(self, action: Action, tree: Tree, result: ActionResult) -> ActionError:
        """The error of an action that ended with another code than 0."""
        words = (result.stdout + result.stderr).decode(errors="replace").rstrip()
        lines = [f"`{action.owner}`: {action} failed with exit code {result.exit_code}"]
        folder = self._ground.folder(action.owner)
        missing = undeclared.find(words, self._root, folder, tree)
        lines += [f"it reads `{path}`, which `{action.owner}` does not declare" for path in missing]
        if self._show_commands:
            lines.append(f"command: {shlex.join(action.arguments)}")
        message = "\n".join((*lines, words)).rstrip()
        if missing:
            return UndeclaredFile(message, missing[0])
        return ActionError(message, hint="`--verbose` shows the whole command")
