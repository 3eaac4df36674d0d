"""What the conditions of a `select()` ask for, and whether the configuration has it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from lamina.build.attributes import Kind
from lamina.build.configuration import Configuration
from lamina.build.faults import FaultReport, did_you_mean
from lamina.build.selects import SelectFault, is_default
from lamina.build.target import Target
from lamina.core.errors import UserError
from lamina.core.label import Label

Lookup = Callable[[Label], Target]
Setting = tuple[str, str]  # one thing that a condition asks for

PLATFORMS = "platforms"  # the cell of the constraints that everybody knows
HOST = Label(PLATFORMS, "host", "host")
_CPUS = {"arm64": "aarch64", "i686": "x86_32", "i386": "x86_32", "ppc64le": "ppc64le"}
_BAZEL_CPUS = {"x86_64": "k8", "i386": "piii", "i686": "piii", "arm64": "aarch64"}
# What Bazel's other flags are here, where nothing can change them.
_FIXED = {
    "collect_code_coverage": "false",
    "experimental_cc_shared_library": "true",
    "force_python": "py3",
    "incompatible_use_python_toolchains": "true",
    "python_version": "py3",
    "stamp": "false",
}
_WORDS = {
    "1": "true",
    "yes": "true",
    "y": "true",
    "t": "true",
    "0": "false",
    "no": "false",
    "n": "false",
}


class Conditions:
    """Decides conditions for one configuration; remembers what it has decided."""

    def __init__(self, configuration: Configuration, lookup: Lookup) -> None:
        self.configuration = configuration
        self._lookup = lookup
        self._known: dict[Label, frozenset[Setting] | None] = {}
        self._platform: dict[Label, Label] | None = None

    def settings(self, label: Label) -> frozenset[Setting] | None:
        """All that a condition asks for where it holds, else None.

        Raises SelectFault where it is no condition.
        """
        if label not in self._known:
            self._known[label] = None  # a group that contains itself does not hold
            self._known[label] = self._settings(label)
        return self._known[label]

    def redirection(self, target: Target) -> dict[str, object]:
        """What a `label_flag` stands for, where the command line says so."""
        text = dict(self.configuration.flags).get(str(target.label))
        return {} if text is None else {"build_setting_default": Label.parse(text)}

    def unmet(self, labels: tuple[Label, ...]) -> Label | None:
        """The first of some constraints that the platform has not."""
        return next((label for label in labels if self._constraint(label) is None), None)

    def _settings(self, label: Label) -> frozenset[Setting] | None:
        target = self.actual(label)
        match target.rule.name:
            case "config_setting":
                return self._config_setting(target)
            case "constraint_value":
                return self._constraint(target.label)
            case "config_setting_group":
                return self._group(target)
        raise SelectFault(
            f"`{label}` is a `{target.rule.name}`, not a condition",
            hint="a `select` asks for `config_setting` and `constraint_value`",
            mention=label,
        )

    def actual(self, label: Label) -> Target:
        """The target of a label, behind all aliases."""
        seen = [label]
        target = self._target(label, label)
        while target.rule.name in ("alias", "label_flag", "label_setting"):
            found = self._aliased(target)
            if not isinstance(found, Label) or found in seen:
                raise SelectFault(f"`{label}` leads to no target", mention=label)
            seen.append(found)
            target = self._target(found, label)
        return target

    def _aliased(self, target: Target) -> object:
        from lamina.build.selects import configure  # an alias may choose what it stands for

        name = "actual" if target.rule.name == "alias" else "build_setting_default"
        return configure(target, self.configuration, self._lookup).attributes[name]

    def _target(self, label: Label, mention: Label) -> Target:
        try:
            return self._lookup(label)
        except FaultReport as report:
            fault = report.faults[0]
            if fault.place.path:
                raise
            raise SelectFault(fault.message, hint=fault.hint or None, mention=mention) from report

    def _group(self, target: Target) -> frozenset[Setting] | None:
        """Of `match_any` what the first that holds asks for; of `match_all` all of it."""
        every = target.attributes["match_all"]
        members = every or target.attributes["match_any"]
        assert isinstance(members, tuple)
        found = [self._member(label) for label in members]
        if every:
            known = [settings for settings in found if settings is not None]
            return frozenset().union(*known) if len(known) == len(found) else None
        return next((settings for settings in found if settings is not None), None)

    def _member(self, label: Label) -> frozenset[Setting] | None:
        return frozenset() if is_default(str(label)) else self.settings(label)

    def _config_setting(self, target: Target) -> frozenset[Setting] | None:
        asked: set[Setting] = set()
        for key, value in _pairs(target, "values"):
            if not self._has(key.replace("-", "_"), value):
                return None
            asked.add((key, value))
        for key, value in _pairs(target, "define_values"):
            if dict(self.configuration.defines).get(key) != value:
                return None
            asked.add(("define", f"{key}={value}"))
        for flag, value in _pairs(target, "flag_values"):
            assert isinstance(flag, Label)
            if not self._flag_is(flag, value):
                return None
            asked.add((str(flag), value))
        constraints = target.attributes["constraint_values"]
        assert isinstance(constraints, tuple)
        for label in constraints:
            found = self._constraint(label)
            if found is None:
                return None
            asked |= found
        return frozenset(asked)

    def _has(self, key: str, value: str) -> bool:
        """Whether an option of the command line, by Bazel's name, has a value."""
        configuration = self.configuration
        match key:
            case "cpu":
                return value == (configuration.cpu or host_cpu())
            case "host_cpu":
                return value == host_cpu()
            case "compilation_mode":
                return value == configuration.compilation_mode
            case "compiler":
                return value == configuration.compiler
            case "define":
                name, _, wanted = value.partition("=")
                return dict(configuration.defines).get(name) == wanted
            case "copt" | "conlyopt" | "cxxopt" | "linkopt":
                options: tuple[str, ...] = getattr(configuration, f"{key}s")
                return value in options
            case "platforms" | "platform":
                return (
                    bool(configuration.platform)
                    and str(Label.parse(value)) == configuration.platform
                )
        wanted = value.lower()
        return _FIXED.get(key) == _WORDS.get(wanted, wanted)

    def _flag_is(self, flag: Label, wanted: str) -> bool:
        target = self._target(flag, flag)
        while target.rule.name == "alias":
            aliased = self._aliased(target)
            assert isinstance(aliased, Label)
            target = self._target(aliased, flag)
        if target.rule.name == "compiler_flag":
            return wanted == self.configuration.compiler
        value = self.flag(target)
        if isinstance(value, tuple):
            return wanted in value
        if isinstance(value, bool):
            return value == (_word(wanted) == "true")
        if isinstance(value, Label):
            return value == Label.parse(wanted, target.label.package, target.label.cell)
        return str(value) == wanted

    def flag(self, target: Target) -> object:
        """The value of a build setting: that of the command line, else its default.

        Raises SelectFault for what is no build setting, UserError for a value that it cannot have.
        """
        if "build_setting_default" not in target.attributes:
            raise SelectFault(
                f"`{target.label}` is a `{target.rule.name}`, not a flag",
                hint="a flag is declared by `bool_flag`, `string_flag` and their like",
                mention=target.label,
            )
        given = [v for name, v in self.configuration.flags if name == str(target.label)]
        if not given:
            return target.attributes["build_setting_default"]
        return _typed(target, given)

    def _constraint(self, label: Label) -> frozenset[Setting] | None:
        (setting, value), *_ = self._valued(label).items()
        has = self._values().get(setting)
        standard = self._target(setting, label).attributes.get("default_constraint_value")
        if has is None and standard:
            has = Label.parse(str(standard), setting.package, setting.cell)
        return frozenset({(str(setting), str(value))}) if has == value else None

    def _values(self) -> dict[Label, Label]:
        """The constraint values of the platform, by their setting."""
        if self._platform is None:
            text = self.configuration.platform
            self._platform = dict(_host())
            if text and Label.parse(text) != HOST:
                self._platform = self._of_platform(Label.parse(text))
            for constraint in self.configuration.constraints:
                self._platform |= self._valued(Label.parse(constraint))
        return self._platform

    def _valued(self, value: Label) -> dict[Label, Label]:
        """A constraint value by its setting; raises UserError where it is none."""
        constraint = self.actual(value)
        setting = constraint.attributes.get("constraint_setting")
        if not isinstance(setting, Label):
            raise SelectFault(
                f"`{value}` is a `{constraint.rule.name}`, not a `constraint_value`", mention=value
            )
        return {self.actual(setting).label: constraint.label}

    def _of_platform(self, label: Label) -> dict[Label, Label]:
        if label == HOST:
            return dict(_host())
        target = self.actual(label)
        if target.rule.name != "platform":
            raise UserError(
                f"`--platforms` takes a `platform`; `{label}` is a `{target.rule.name}`"
            )
        found: dict[Label, Label] = {}
        for parent in _labels(target, "parents"):
            found |= self._of_platform(parent)
        for value in _labels(target, "constraint_values"):
            found |= self._valued(value)
        return found


def setting_of(target: Target, configuration: Configuration) -> object:
    """The value of a build setting; see `Conditions.flag`."""

    def none(label: Label) -> Target:
        raise SelectFault(f"no target `{label}`")

    return Conditions(configuration, none).flag(target)


def host_cpu() -> str:
    """The processor of this machine by Bazel's name: `k8` for x86_64."""
    machine = os.uname().machine
    return _BAZEL_CPUS.get(machine, machine)


def _host() -> Iterator[tuple[Label, Label]]:
    machine = os.uname().machine
    yield Label(PLATFORMS, "os", "os"), Label(PLATFORMS, "os", "linux")
    yield Label(PLATFORMS, "cpu", "cpu"), Label(PLATFORMS, "cpu", _CPUS.get(machine, machine))


def _pairs(target: Target, name: str) -> tuple[tuple[Any, str], ...]:
    pairs = target.attributes[name]
    assert isinstance(pairs, tuple)
    return pairs


def _labels(target: Target, name: str) -> tuple[Label, ...]:
    labels = target.attributes[name]
    assert isinstance(labels, tuple)
    return labels


def _word(text: str) -> str:
    return _WORDS.get(text.lower(), text.lower())


def _typed(target: Target, given: list[str]) -> object:
    """The value that the command line gives to a flag; raises UserError where it does not fit."""
    text = given[-1]
    match target.rule.attributes["build_setting_default"].kind:
        case Kind.BOOLEAN:
            if _word(text) not in ("true", "false"):
                raise _unfit(target, text, "`true` or `false`")
            return _word(text) == "true"
        case Kind.INTEGER:
            if not text.removeprefix("-").isdecimal():
                raise _unfit(target, text, "an integer")
            return int(text)
        case Kind.STRING_LIST:
            if target.attributes.get("repeatable"):
                return tuple(given)
            return tuple(part for part in text.split(",") if part)
        case Kind.LABEL:
            return Label.parse(text)
    allowed = target.attributes.get("values")
    if isinstance(allowed, tuple) and allowed and text not in allowed:
        raise _unfit(target, text, ", ".join(f"`{value}`" for value in allowed), allowed)
    return text


def _unfit(target: Target, text: str, takes: str, known: tuple[str, ...] = ()) -> UserError:
    hint = did_you_mean(text, known) or None
    return UserError(f"`--{target.label}` takes {takes}, not `{text}`", hint=hint)
