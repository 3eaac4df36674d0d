"""The functions of the query language: what each takes, and who answers it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from enum import Enum
from types import MappingProxyType

from lamina.build.query import choices, files, walks
from lamina.core.classes import dataclass


class Takes(Enum):
    """What an argument is; the value says it to people."""

    VERTICES = "targets"
    TEXT = "a word"
    REGEX = "a regular expression"
    NUMBER = "a number"
    PATHS = "paths of files"
    FILTER = "an expression"


@dataclass(frozen=True, slots=True)
class Function:
    """One function: its arguments by name, of which the last few may be left out."""

    run: Callable[..., Collection[int]]
    arguments: Mapping[str, Takes]
    optional: int = 0
    many: bool = False  # the last argument may come several times

    @property
    def doc(self) -> str:
        """What it gives, in a line."""
        return (self.run.__doc__ or "").partition("\n")[0]

    def shown(self, name: str) -> str:
        """How it is called: `deps(x, depth?)`."""
        words = list(self.arguments)
        needed = len(words) - self.optional
        parts = [word if index < needed else f"{word}?" for index, word in enumerate(words)]
        return f"{name}({', '.join(parts)}{', …' if self.many else ''})"


_X = {"x": Takes.VERTICES}
_DEPTH = {"depth": Takes.NUMBER}
_ATTRIBUTE = {"attribute": Takes.TEXT}
_REGEX = {"regex": Takes.REGEX}
_FILE = {"file": Takes.PATHS}
_FROM_TO = {"from": Takes.VERTICES, "to": Takes.VERTICES}

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "deps": Function(walks.deps, {**_X, **_DEPTH, "filter": Takes.FILTER}, optional=2),
        "rdeps": Function(walks.rdeps, {"universe": Takes.VERTICES, **_X, **_DEPTH}, optional=1),
        "allrdeps": Function(walks.allrdeps, {**_X, **_DEPTH}, optional=1),
        "same_pkg_direct_rdeps": Function(walks.same_pkg_direct_rdeps, _X),
        "allpaths": Function(walks.allpaths, _FROM_TO),
        "somepath": Function(walks.somepath, _FROM_TO),
        "some": Function(walks.some, {**_X, "count": Takes.NUMBER}, optional=1),
        "kind": Function(choices.kind, {**_REGEX, **_X}),
        "filter": Function(choices.filter_, {**_REGEX, **_X}),
        "attr": Function(choices.attr, {**_ATTRIBUTE, **_REGEX, **_X}),
        "attrfilter": Function(choices.attrfilter, {**_ATTRIBUTE, "value": Takes.TEXT, **_X}),
        "nattrfilter": Function(choices.nattrfilter, {**_ATTRIBUTE, "value": Takes.TEXT, **_X}),
        "attrregexfilter": Function(choices.attrregexfilter, {**_ATTRIBUTE, **_REGEX, **_X}),
        "labels": Function(choices.labels, {**_ATTRIBUTE, **_X}),
        "inputs": Function(walks.inputs, _X),
        "owner": Function(files.owner, _FILE, many=True),
        "tests": Function(choices.tests, _X),
        "testsof": Function(choices.testsof, _X),
        "executables": Function(choices.executables, _X),
        "visible": Function(choices.visible, {"by": Takes.VERTICES, **_X}),
        "siblings": Function(files.siblings, _X),
        "buildfiles": Function(files.buildfiles, _X),
        "buildfile": Function(files.buildfile, _X),
        "allbuildfiles": Function(files.buildfiles, _X),
        "loadfiles": Function(files.loadfiles, _X),
        "rbuildfiles": Function(files.rbuildfiles, _FILE, many=True),
        "targets_in_buildfile": Function(files.targets_in_buildfile, _FILE, many=True),
        "first_order_deps": Function(walks.first_order_deps, {}),
        "target_deps": Function(walks.target_deps, {}),
    }
)
