"""A rule call becomes a target, or a list of complaints about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lamina.build.attributes import COMMON, COMMON_ALIASES, Attribute, Kind
from lamina.build.coerce import BadValue, Complaint, coerce
from lamina.build.faults import did_you_mean
from lamina.build.rule import Rule
from lamina.build.target import Target
from lamina.build.visibility import canonical
from lamina.core.errors import UserError
from lamina.core.label import Home, Label


@dataclass(frozen=True, slots=True)
class Schema:
    """What a rule accepts: its own attributes and the common ones, under all their names."""

    rule: Rule
    attributes: Mapping[str, Attribute]
    names: Mapping[str, str]  # accepted name -> canonical name
    defaults: Mapping[str, object]  # typed; in the order that targets keep
    required: frozenset[str]

    @classmethod
    def of(cls, rule: Rule) -> Schema:
        """The schema of a rule; its own attributes come first and win over common ones."""
        attributes = {**rule.attributes}
        attributes.update((name, a) for name, a in COMMON.items() if name not in attributes)
        names = {**COMMON_ALIASES, **rule.aliases, **{name: name for name in attributes}}
        defaults = {
            name: coerce(attribute, name, attribute.default, Home())
            for name, attribute in attributes.items()
            if name not in ("name", "visibility")
        }
        required = frozenset(name for name, a in attributes.items() if a.required)
        return cls(rule, attributes, names, defaults, required)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a build package gives to its targets: its place and the defaults of `package()`."""

    home: Home
    visibility: tuple[str, ...] = ()
    testonly: bool = False


def declare(
    schema: Schema, called: str, arguments: Mapping[str, object], scope: Scope
) -> tuple[Target | None, list[Complaint]]:
    """The target that a call of the rule under the name `called` makes, and what is wrong with it.

    There is a target whenever there is a valid name, so that later faults can be found as well.
    """
    values: dict[str, object] = {}
    written: dict[str, str] = {}
    complaints: list[Complaint] = []
    for name, value in arguments.items():
        known = schema.names.get(name)
        if known is None:
            complaints.append(_unknown(schema, called, name))
        elif known in written:
            message = f"`{name}` and `{written[known]}` are the same attribute"
            complaints.append(Complaint(message, "give one of them", name))
        elif value is not None:
            written[known] = name
            try:
                values[known] = coerce(schema.attributes[known], name, value, scope.home)
            except BadValue as error:
                complaints.extend(error.complaints)
    complaints.extend(_missing(schema, called, written))
    label = _label(values.pop("name", None), scope, complaints)
    visibility = _visibility(values.pop("visibility", None), written, scope, complaints)
    if label is None:
        return None, complaints
    given = frozenset(values)
    if scope.testonly:
        values.setdefault("testonly", True)
    attributes = MappingProxyType({**schema.defaults, **values})
    return Target(label, schema.rule, attributes, visibility, given), complaints


def _unknown(schema: Schema, called: str, name: str) -> Complaint:
    known = ", ".join(f"`{key}`" for key in schema.rule.attributes)
    hint = did_you_mean(name, schema.names, f"its attributes: {known}" if known else "")
    return Complaint(f"`{called}` has no attribute `{name}`", hint, name)


def _how(name: str, doc: str) -> str:
    if name == "name":
        return 'write `name = "…"`'
    return doc and f"`{name}`: {doc}"


def _missing(schema: Schema, called: str, written: Mapping[str, str]) -> list[Complaint]:
    return [
        Complaint(
            f"`{called}` needs the attribute `{name}`",
            _how(name, schema.attributes[name].doc),
        )
        for name in sorted(schema.required.difference(written))
    ]


def _label(name: object, scope: Scope, complaints: list[Complaint]) -> Label | None:
    """The target's label; a name is no path upwards and no label itself."""
    if not isinstance(name, str):
        return None
    try:
        return Label.parse(f"//{scope.home.package}:{name}", cell=scope.home.cell)
    except UserError as error:
        complaint = Complaint(f"not a target name: `{name}`", error.hint or "", "name", name)
        complaints.append(complaint)
        return None


def _visibility(
    entries: object, written: Mapping[str, str], scope: Scope, complaints: list[Complaint]
) -> tuple[str, ...]:
    if not isinstance(entries, tuple):
        return scope.visibility
    try:
        return canonical(entries, scope.home, written["visibility"])
    except BadValue as error:
        complaints.extend(error.complaints)
        return ()


def outputs(target: Target) -> list[str]:
    """The files that a target says it makes, relative to its build package."""
    found: list[str] = []
    for name in ("out", "outs"):
        attribute = target.rule.attributes.get(name)
        if attribute is not None and attribute.kind is not Kind.ANY:
            found.extend(_texts(target.attributes[name]))
    return found


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, tuple):
        return [element[1] if isinstance(element, tuple) else element for element in value]
    return []
