"""What the calls in one BUILD file do: they collect targets, globs, exported files and faults.

Starlark cannot tell a Python function where it was called, so faults keep the number of their call
(the first call of the file is 0); the place is found afterwards, see `locations`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.build.coerce import Complaint
from lamina.build.declare import NAMING, Schema, Scope, declare, named_outputs, outputs
from lamina.build.disk import View, join
from lamina.build.glob import Glob
from lamina.build.markers import Selects
from lamina.build.target import Target
from lamina.core.classes import dataclass
from lamina.core.label import Home

if TYPE_CHECKING:
    from lamina.build.workspace import Workspace


class CallFault(Exception):
    """Raised in a function called from Starlark: ends the evaluation there."""

    def __init__(self, message: str, hint: str = "", element: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.element = element


class Trap(CallFault):
    """Raised at the call whose place is asked for."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A complaint about a rule call, and what is needed to find its place."""

    ordinal: int
    name: str  # the target's, "" when it has none
    complaint: Complaint
    also: int | None = None  # the ordinal of another call that the message ends with the place of


class Evaluation:
    """The state of a BUILD file while Starlark evaluates it."""

    def __init__(self, home: Home, folder: str, view: View, trap: int = -1) -> None:
        """`folder` is that of the build package, from the root of the workspace."""
        self.scope = Scope(home)
        self.folder = folder
        self.view = view
        self.workspace: Workspace | None = None  # the interpreter tells it, and its selects
        self.schemas: Mapping[str, Schema] = {}  # by the names of rules; it tells these too
        self.selects = Selects()
        self.configured = False  # `package()` was called
        # What rule calls were given, by name: how the rule was called, and its attributes.
        self.calls: dict[str, tuple[str, Mapping[str, object]]] = {}
        self.targets: dict[str, Target] = {}
        self.ordinals: dict[str, int] = {}
        self.generated: dict[str, Target] = {}
        self.exports: dict[str, tuple[str, ...]] = {}
        self.globs: list[Glob] = []
        self.pending: list[Pending] = []
        self.inputs: set[str] = set()  # files that were read, besides .bzl files
        self._calls = 0
        self._trap = trap

    def read(self, name: str) -> str:
        """The text of a file of the build package; raises CallFault where there is none."""
        path = join(self.folder, name)
        assert self.workspace is not None
        if not self.view.has_file(path):
            raise CallFault(f"no file `{path}`", "`lamina lock` writes lock files", name)
        self.inputs.add(path)
        try:
            return Path(self.workspace.locate(path)).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise CallFault(f"cannot read `{path}`: {reason}", "", name) from error

    def call_rule(
        self, schema: Schema, called: str, positional: Sequence[object], named: Mapping[str, object]
    ) -> None:
        """Add the target of a rule call; what is wrong with it is kept for later."""
        ordinal, self._calls = self._calls, self._calls + 1
        if ordinal == self._trap:
            raise Trap("")
        if positional:
            hint = f'write `{called}(name = "…", …)`'
            raise CallFault(f"`{called}` takes its attributes by name only", hint)
        target, complaints = declare(schema, called, named, self.scope, self.selects)
        name = str(named.get("name", ""))
        self.pending.extend(Pending(ordinal, name, complaint) for complaint in complaints)
        if target is not None:
            self.calls[target.label.name] = (called, named)
            self._add(target, ordinal)

    def _add(self, target: Target, ordinal: int) -> None:
        name = target.label.name
        if name in self.targets:
            message = f"there are two targets called `{name}`; the first is at"
            complaint = Complaint(message, "give one of them another name")
            self.pending.append(Pending(ordinal, "", complaint, self.ordinals[name]))
            return
        self.targets[name] = target
        self.ordinals[name] = ordinal
        for path in outputs(target):
            self._add_output(path, target, ordinal)
        if not target.given.isdisjoint(NAMING):
            for output, _ in named_outputs(target):
                self.generated[output] = target

    def _add_output(self, path: str, target: Target, ordinal: int) -> None:
        other = self.generated.setdefault(path, target)
        if other is not target:
            message = f"`{path}` is made by `{other.label.name}` already"
            complaint = Complaint(message, "give one of them another output", "outs", path)
            self.pending.append(Pending(ordinal, target.label.name, complaint))
