"""A rule call becomes a target, or a list of complaints about it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lamina.build import platforms
from lamina.build.attributes import COMMON, COMMON_ALIASES, Attribute, Kind
from lamina.build.coerce import BadValue, Complaint, coerce, describe
from lamina.build.expansion import mentions
from lamina.build.faults import did_you_mean
from lamina.build.markers import LABEL, Call, Selects
from lamina.build.rule import Rule
from lamina.build.selects import Joined, Select, is_default, leaves
from lamina.build.target import Target
from lamina.build.visibility import canonical
from lamina.core.classes import dataclass
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
    settles: bool  # whether some attributes say something of others

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
        settles = "src" in attributes or "mentioned" in attributes
        return cls(rule, attributes, names, defaults, required, settles)

    def is_strict(self, name: str) -> bool:
        """Whether a value has to be of the attribute's kind: a missing rule may know of others."""
        return not self.rule.missing or name in COMMON


NO_SELECTS = Selects()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a build package gives to its targets: its place and the defaults of `package()`."""

    home: Home
    visibility: tuple[str, ...] = ()
    testonly: bool = False
    deprecation: str = ""


def declare(
    schema: Schema,
    called: str,
    arguments: Mapping[str, object],
    scope: Scope,
    selects: Selects = NO_SELECTS,
) -> tuple[Target | None, list[Complaint]]:
    """The target that a call of the rule under the name `called` makes, and what is wrong with it.

    There is a target whenever there is a valid name, so that later faults can be found as well.
    """
    values: dict[str, object] = {}
    written: dict[str, str] = {}
    chosen: list[str] = []
    complaints: list[Complaint] = []
    marked = bool(selects.calls)
    for name, value in platforms.settled(arguments, schema.names).items():
        known = schema.names.get(name)
        if known is None:
            complaints.extend(_unknown(schema, called, name))
        elif known in written:
            message = f"`{name}` and `{written[known]}` are the same attribute"
            complaints.append(Complaint(message, "give one of them", name))
        elif value is not None:
            written[known] = name
            attribute = schema.attributes[known]
            parts = selects.split(value) if marked else None
            try:
                if parts is None:
                    values[known] = coerce(attribute, name, value, scope.home)
                elif attribute.kind is not Kind.ANY:
                    values[known] = _Opening(attribute, name, scope.home, selects).value(parts)
                    chosen.append(known)
            except BadValue as error:
                complaints.extend(error.complaints if schema.is_strict(known) else ())
    complaints.extend(_missing(schema, called, written))
    label = _label(values.pop("name", None), scope, complaints)
    visibility = _visibility(values.pop("visibility", None), written, scope, complaints)
    if label is None:
        return None, complaints
    if schema.settles:
        _settle(schema, values, label, scope)
    given = frozenset(values)
    if scope.testonly:
        values.setdefault("testonly", True)
    if scope.deprecation:
        values.setdefault("deprecation", scope.deprecation)
    attributes = MappingProxyType({**schema.defaults, **values})
    return Target(label, schema.rule, attributes, visibility, given, tuple(chosen)), complaints


def _settle(schema: Schema, values: dict[str, object], label: Label, scope: Scope) -> None:
    """What follows from the attributes that were given."""
    if values.get("src") == label:
        del values["src"]  # Buck's `export_file` of a file that is called like the target
    named = any(_tuple(output)[:1] not in ((), ("",)) for output in _tuple(values.get("outs")))
    if "mentioned" in schema.attributes and ("out" in values or named):
        values["mentioned"] = _mentioned(values, label, scope.home)


def _mentioned(values: Mapping[str, object], label: Label, home: Home) -> tuple[object, ...]:
    """The labels that macros of a command name, but for its own outputs; as SOURCES are typed."""
    env = [part for pair in _tuple(values.get("env")) for part in _tuple(pair)]
    commands = [values.get("cmd"), values.get("cmd_bash"), *env]
    found: dict[tuple[str, Label], None] = {}
    own = {*_texts(values.get("out")), *_texts(values.get("outs"))}
    texts = [text for value in commands for text in leaves(value) if isinstance(text, str)]
    for text in (mention for command in texts for mention in mentions(command)):
        try:
            mentioned = home.label(text)
        except UserError:
            continue  # analysis tells of it, when the macro is to be replaced
        if mentioned.package != label.package or mentioned.name not in own:
            found[(mentioned.name, mentioned)] = None
    return tuple(found)


def _tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()


@dataclass(frozen=True, slots=True)
class _Opening:
    """Types the values of an attribute that a `select()` is in."""

    attribute: Attribute
    name: str  # as written
    home: Home
    selects: Selects

    def value(self, parts: list[object]) -> Select | Joined:
        """What the parts of a value are together; raises BadValue."""
        if self.name in _SETTLED:
            hint = "it is needed before there is a configuration"
            raise BadValue([Complaint(f"`{self.name}` takes no `select`", hint, self.name)])
        typed = tuple(self._part(part) for part in parts)
        only = typed[0]
        return only if len(typed) == 1 and isinstance(only, Select) else Joined(typed)

    def _part(self, part: object) -> object:
        if isinstance(part, Call):
            branches = [(self._condition(key), self._branch(value)) for key, value in part.branches]
            return Select(tuple(branches), part.no_match_error)
        return coerce(self.attribute, self.name, part, self.home)

    def _branch(self, value: object) -> object:
        if value is None:
            return None
        parts = self.selects.split(value)
        return self._part(value) if parts is None else self.value(parts)

    def _condition(self, key: object) -> Label | None:
        text = key.get(LABEL, "") if isinstance(key, dict) else key
        if not isinstance(text, str):
            message = f"a condition is a label, not {describe(text)}"
            raise BadValue([Complaint(message, "", self.name)])
        if is_default(text):
            return None
        try:
            return self.home.label(text)
        except UserError as error:
            complaint = Complaint(error.message, error.hint or "", self.name, text)
            raise BadValue([complaint]) from error


NAMING = ("outs", "sub_targets")  # attributes by which outputs have names, `label[name]`
_SETTLED = frozenset({"name", "visibility", "out", *NAMING})


def _unknown(schema: Schema, called: str, name: str) -> list[Complaint]:
    if not schema.is_strict(name):
        return []
    known = ", ".join(f"`{key}`" for key in schema.rule.attributes)
    hint = did_you_mean(name, schema.names, f"its attributes: {known}" if known else "")
    return [Complaint(f"`{called}` has no attribute `{name}`", hint, name)]


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
    if target.rule.outputs is not None:
        return target.rule.outputs(target)
    found: list[str] = []
    for name in ("out", "outs"):
        attribute = target.rule.attributes.get(name)
        if attribute is not None and attribute.kind is not Kind.ANY:
            found.extend(_texts(target.attributes[name]))
    return found


def named_outputs(target: Target) -> list[tuple[str, str]]:
    """The names of outputs, `label[name]`, each with the path of one of them.

    They are the keys of a dict, or paths in the folder that the target makes.
    """
    own = target.label.name
    found = [(f"{own}[{name}]", path) for name, path in _pairs(target, "outs") if name]
    folder = target.attributes.get("out") or own
    found += [
        (f"{own}[{name or path}]", f"{folder}/{path}")
        for name, path in _pairs(target, "sub_targets")
    ]
    return found


def _pairs(target: Target, name: str) -> list[tuple[str, str]]:
    """Name, which may be "", and path of each output in an attribute."""
    attribute = target.rule.attributes.get(name)
    if attribute is None or attribute.kind is not Kind.OUTPUTS:
        return []
    pairs = [_tuple(pair) for pair in _tuple(target.attributes[name])]
    return [(str(key), str(path)) for key, path in pairs]


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, tuple):
        return [element[1] if isinstance(element, tuple) else element for element in value]
    return []
