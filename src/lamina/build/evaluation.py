"""What the calls in one BUILD file do: they collect targets, globs, exported files and faults.

Starlark cannot tell a Python function where it was called, so faults keep the number of their call
(the first call of the file is 0); the place is found afterwards, see `locations`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lamina.build import glob as globs
from lamina.build.attributes import Attribute, Kind
from lamina.build.coerce import BadValue, Complaint, coerce, describe
from lamina.build.declare import Schema, Scope, declare, outputs
from lamina.build.disk import View
from lamina.build.target import Target
from lamina.build.visibility import PUBLIC, canonical
from lamina.core.errors import UserError
from lamina.core.label import Home, Label

_STRINGS = Attribute(Kind.STRING_LIST)
_FLAG = Attribute(Kind.BOOLEAN)


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
        self.targets: dict[str, Target] = {}
        self.ordinals: dict[str, int] = {}
        self.generated: dict[str, Target] = {}
        self.exports: dict[str, tuple[str, ...]] = {}
        self.globs: list[globs.Glob] = []
        self.pending: list[Pending] = []
        self._calls = 0
        self._trap = trap
        self._configured = False

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
        target, complaints = declare(schema, called, named, self.scope)
        name = str(named.get("name", ""))
        self.pending.extend(Pending(ordinal, name, complaint) for complaint in complaints)
        if target is not None:
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

    def _add_output(self, path: str, target: Target, ordinal: int) -> None:
        other = self.generated.setdefault(path, target)
        if other is not target:
            message = f"`{path}` is made by `{other.label.name}` already"
            complaint = Complaint(message, "give one of them another output", "outs", path)
            self.pending.append(Pending(ordinal, target.label.name, complaint))

    def glob(
        self,
        include: object = (),
        exclude: object = (),
        exclude_directories: object = 1,
        allow_empty: object = True,
    ) -> list[str]:
        """The files of the build package that match; see `lamina.build.glob`."""
        chosen = _patterns("include", include)
        unwanted = _patterns("exclude", exclude)
        folders_too = not _value(_FLAG, "exclude_directories", exclude_directories)
        found = globs.expand(self.view, self.folder, chosen, unwanted, folders_too)
        self.globs.append(found)
        if not found.files and not _value(_FLAG, "allow_empty", allow_empty):
            shown = ", ".join(f"`{pattern}`" for pattern in chosen)
            raise CallFault(
                f"`glob` finds no file for {shown}",
                "correct the pattern, or set `allow_empty = True`",
            )
        return list(found.files)

    def package(
        self,
        default_visibility: object = None,
        default_testonly: object = None,
        **ignored: object,
    ) -> None:
        """Set the defaults of the targets that follow; `features` and the like are accepted."""
        unknown = sorted(ignored.keys() - _IGNORED)
        if unknown:
            raise CallFault(f"`package` has no argument `{unknown[0]}`")
        if self._configured:
            raise CallFault("`package` is called twice", "a BUILD file says its defaults once")
        self._configured = True
        entries = _value(_STRINGS, "default_visibility", default_visibility)
        visibility = _visibility(entries, self.scope.home, "default_visibility")
        testonly = bool(_value(_FLAG, "default_testonly", default_testonly))
        self.scope = Scope(self.scope.home, visibility, testonly)

    def package_name(self) -> str:
        """The path of the build package from the root."""
        return self.scope.home.package

    def repository_name(self) -> str:
        """The name of the workspace as labels write it."""
        return f"@{self.scope.home.cell}"

    def exports_files(
        self, srcs: object, visibility: object = None, licenses: object = None
    ) -> None:
        """Let other build packages use source files by label."""
        del licenses
        entries = (PUBLIC,) if visibility is None else _value(_STRINGS, "visibility", visibility)
        shown = _visibility(entries, self.scope.home, "visibility")
        for label in _exported(srcs, self.scope.home):
            if label.package != self.scope.home.package:
                raise CallFault(
                    f"`exports_files` names `{label}` of another build package",
                    "export it in the BUILD file of its own build package",
                    str(label),
                )
            self.exports[label.name] = shown

    def licenses(self, *_terms: object, **_named: object) -> None:
        """Accepted, without effect."""


_IGNORED = frozenset(
    {
        "default_applicable_licenses",
        "default_compatible_with",
        "default_deprecation",
        "default_package_metadata",
        "default_restricted_to",
        "features",
        "licenses",
    }
)


def _patterns(name: str, value: object) -> tuple[str, ...]:
    """The patterns of a glob; raises CallFault when they are none."""
    if isinstance(value, str):
        raise CallFault(
            f"`glob` takes a list of patterns, not {describe(value)}", f'write `glob(["{value}"])`'
        )
    patterns = _value(_STRINGS, name, value)
    for pattern in patterns if isinstance(patterns, tuple) else ():
        fault = globs.fault_of(pattern)
        if fault:
            raise CallFault(f"not a pattern for `glob`: `{pattern}`", fault, pattern)
    return patterns if isinstance(patterns, tuple) else ()


def _value(attribute: Attribute, name: str, value: object) -> object:
    """An argument of a function, typed like an attribute of a rule."""
    try:
        given = list(value) if isinstance(value, tuple) else value
        return coerce(attribute, name, given, Home())
    except BadValue as error:
        raise _first(error) from error


def _visibility(entries: object, home: Home, name: str) -> tuple[str, ...]:
    try:
        return canonical(entries if isinstance(entries, tuple) else (), home, name)
    except BadValue as error:
        raise _first(error) from error


def _exported(srcs: object, home: Home) -> list[Label]:
    names = _value(_STRINGS, "srcs", srcs)
    try:
        return [home.label(n) for n in (names if isinstance(names, tuple) else ())]
    except UserError as error:
        raise CallFault(error.message, error.hint or "") from error


def _first(error: BadValue) -> CallFault:
    complaint = error.complaints[0]
    return CallFault(complaint.message, complaint.hint, complaint.element)
