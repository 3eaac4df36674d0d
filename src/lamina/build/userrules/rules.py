"""A rule that a .bzl file defines, as a value like the rules that are built in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lamina.build.attributes import Attribute, Kind
from lamina.build.evaluation import CallFault
from lamina.build.markers import LABEL
from lamina.build.rule import Rule
from lamina.core.classes import dataclass
from lamina.core.errors import UserError
from lamina.core.label import Home

if TYPE_CHECKING:
    from lamina.build.analysis import Context
    from lamina.build.declare import Schema
    from lamina.build.providers import Analysed
    from lamina.build.target import Target
    from lamina.build.userrules.definitions import Definitions

_KINDS = {
    "bool": Kind.BOOLEAN,
    "int": Kind.INTEGER,
    "int_list": Kind.INTEGER_LIST,
    "label": Kind.LABEL,
    "label_keyed_string_dict": Kind.LABEL_DICT,
    "label_list": Kind.LABEL_LIST,
    "license": Kind.ANY,
    "output": Kind.STRING,
    "output_list": Kind.STRING_LIST,
    "string": Kind.STRING,
    "string_dict": Kind.STRING_DICT,
    "string_list": Kind.STRING_LIST,
    "string_list_dict": Kind.LIST_DICT,
}
LABELS = ("label", "label_list", "label_keyed_string_dict")
OUTPUTS = ("output", "output_list")
SETTING = "build_setting_default"
_PLACEHOLDER = re.compile(r"%\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Field:
    """What `attr.…` says of one attribute, beside what every attribute has."""

    kind: str
    mandatory: bool
    executable: bool
    allow_empty: bool
    files: bool | tuple[str, ...]  # whether files may be given, or which endings they have
    single: bool
    values: tuple[object, ...]


@dataclass(slots=True)
class UserRule:
    """A rule of a .bzl file; it has a name and a path once that file has been read."""

    definitions: Definitions
    home: Home  # the build package of the .bzl file
    fields: Mapping[str, Field]
    attributes: Mapping[str, Attribute]
    predeclared: Mapping[str, str]  # `outputs`, with `%{name}` in them
    executable: bool
    test: bool
    setting: str  # kind of the build setting that its targets are, or ""
    doc: str
    absent: str  # what it uses that is not there, or ""
    unchosen: tuple[str, ...] = ()  # types of toolchains that `lamina.toml` chooses none for
    name: str = ""
    path: str = ""
    schema: Schema | None = None

    def rule(self) -> Rule:
        """The rule as loading and analysis take it."""
        return Rule(
            self.name,
            self.attributes,
            self.analyse,
            doc=self.doc,
            outputs=self.outputs,
            home=self.home,
        )

    def outputs(self, target: Target) -> list[str]:
        """The files that a target says it makes, relative to its build package."""
        return [path for paths in self.named_outputs(target).values() for path in paths]

    def named_outputs(self, target: Target) -> dict[str, list[str]]:
        """The same by the attribute, or the name in `outputs`, that says so."""
        found: dict[str, list[str]] = {}
        for name, known in self.fields.items():
            if known.kind in OUTPUTS:
                value = target.attributes[name]
                texts = [value] if isinstance(value, str) else value
                assert isinstance(texts, list | tuple)
                found[name] = [text.removeprefix(":") for text in texts if text]
        for name, pattern in self.predeclared.items():
            found[name] = [_PLACEHOLDER.sub(lambda match: _filled(match[1], target), pattern)]
        return found

    def analyse(self, ctx: Context) -> Analysed:
        """What the implementation, called for one target, hands out."""
        analysed: Analysed = self.definitions.targets.analyse(self, ctx)
        return analysed


def define(definitions: Definitions, spec: dict[str, Any], home: Home) -> UserRule:
    """The rule that `rule()` was called for in a file; raises CallFault."""
    attributes: dict[str, Attribute] = {}
    fields: dict[str, Field] = {}
    absent = spec["absent"]
    for name, given in spec["attributes"].items():
        fields[name] = _field(given)
        absent = absent or given["absent"]
        if given["kind"] not in _KINDS:
            absent = absent or f"`attr.{given['kind']}`"
        attributes[name] = Attribute(
            _KINDS.get(given["kind"], Kind.ANY),
            _default(given, home),
            bool(given["mandatory"]),
            str(given["doc"]),
        )
    for name, attribute in _implicit(spec["executable"], spec["test"]).items():
        attributes.setdefault(name, attribute)
    setting = spec["setting"]
    if setting:
        attributes[SETTING] = Attribute(_KINDS[setting], doc="its value where no flag gives one")
    return UserRule(
        definitions,
        home,
        MappingProxyType(fields),
        MappingProxyType(attributes),
        spec["outputs"],
        bool(spec["executable"]),
        bool(spec["test"]),
        setting,
        str(spec["doc"]),
        absent,
        tuple(spec["unchosen"]),
    )


def _implicit(executable: bool, test: bool) -> Mapping[str, Attribute]:
    """The attributes that a rule has for being started."""
    if test:
        from lamina.build.rules.testing import TEST

        return TEST
    if executable:
        from lamina.build.rules.running import RUNNING

        return RUNNING
    return {}


def _field(given: dict[str, Any]) -> Field:
    allowed = given["single"] if given["single"] is not None else given["allow_files"]
    return Field(
        kind=given["kind"],
        mandatory=bool(given["mandatory"]),
        executable=bool(given["executable"]),
        allow_empty=bool(given["allow_empty"]),
        files=tuple(allowed) if isinstance(allowed, list) else bool(allowed),
        single=bool(given["single"]) or given["single"] == [],
        values=tuple(given["values"]),
    )


def _default(given: dict[str, Any], home: Home) -> object:
    """A default; labels in it are those of the .bzl file, wherever the rule is used."""
    value = given["default"]
    if value is None or given["kind"] not in LABELS:
        return value
    if isinstance(value, list):
        return [_absolute(element, home) for element in value]
    if isinstance(value, dict) and LABEL not in value:
        return {_absolute(key, home): text for key, text in value.items()}
    return _absolute(value, home)


def _absolute(value: object, home: Home) -> str:
    text = value.get(LABEL, "") if isinstance(value, dict) else value
    try:
        return str(home.label(str(text)))
    except UserError as error:
        raise CallFault(error.message, error.hint or "", str(text)) from error


def _filled(name: str, target: Target) -> str:
    if name == "name":
        return target.label.name
    value = target.attributes.get(name)
    return str(getattr(value, "name", value))
