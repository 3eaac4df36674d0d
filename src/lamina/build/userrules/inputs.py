"""What the implementation of a rule is given: the attributes of a target, checked and plain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lamina.build.analysis import RuleFault
from lamina.build.conditions import host_cpu, setting_of
from lamina.build.userrules.files import generated, parts_of
from lamina.build.userrules.rules import LABELS, OUTPUTS, Field, UserRule
from lamina.core.action import OUTPUT_FOLDER
from lamina.core.label import Label

if TYPE_CHECKING:
    from lamina.build.analysis import Context

_COMMON = ("tags", "testonly", "deprecation", "features")


def mentioned(rule: UserRule, ctx: Context) -> list[Label]:
    """The labels in the attributes that the rule itself has, in declared order, each once."""
    found: dict[Label, None] = {}
    for name, known in rule.fields.items():
        if known.kind in LABELS:
            found.update(dict.fromkeys(_labels(ctx.target.attributes[name])))
    return list(found)


def data(rule: UserRule, ctx: Context) -> dict[str, Any]:
    """All that the prelude makes `ctx` of; raises RuleFault for a value that does not fit."""
    for name, known in rule.fields.items():
        _check(ctx, name, known, ctx.target.attributes[name])
    configuration = ctx.configuration
    made = {
        name: [generated(ctx.in_package(path)) for path in paths]
        for name, paths in rule.named_outputs(ctx.target).items()
    }
    program = generated(ctx.in_package(ctx.label.name))
    default = [path for paths in made.values() for path in paths]
    own = [*default, program] if rule.executable else default
    return {
        "label": parts_of(ctx, ctx.label),
        "text": str(ctx.label),
        "common": _common(ctx),
        "values": {name: _value(ctx, name, known) for name, known in rule.fields.items()},
        "outputs": {path: [path, path[len(OUTPUT_FOLDER) + 1 :], False, False] for path in own},
        "named": _named(rule, made) | ({"executable": program} if rule.executable else {}),
        "default": default,
        "default_executable": program,
        "executable": rule.executable,
        "setting": _setting(rule, ctx),
        "bin": OUTPUT_FOLDER,
        "build_file": ctx.in_package("BUILD"),
        "workspace": ctx.label.cell or "_main",
        "var": {
            "BINDIR": OUTPUT_FOLDER,
            "COMPILATION_MODE": configuration.compilation_mode,
            "GENDIR": OUTPUT_FOLDER,
            "TARGET_CPU": configuration.cpu or host_cpu(),
            **dict(configuration.defines),
        },
        "cpp": {
            "copts": list(configuration.copts),
            "conlyopts": list(configuration.conlyopts),
            "cxxopts": list(configuration.cxxopts),
            "linkopts": list(configuration.linkopts),
            "compiler": configuration.compiler,
            "custom_malloc": None,
            "compilation_mode": configuration.compilation_mode,
        },
    }


def _common(ctx: Context) -> dict[str, Any]:
    """The attributes that every target has."""
    values = {name: _plain(ctx.target.attributes.get(name)) for name in _COMMON}
    return {"name": ctx.label.name, "visibility": list(ctx.target.visibility), **values}


def _named(rule: UserRule, made: dict[str, list[str]]) -> dict[str, Any]:
    """`ctx.outputs`: an attribute that is a list has several files, any other one or none."""
    return {
        name: paths
        if name in rule.fields and rule.fields[name].kind == "output_list"
        else (paths[0] if paths else None)
        for name, paths in made.items()
    }


def _value(ctx: Context, name: str, known: Field) -> Any:
    value = ctx.target.attributes[name]
    if known.kind == "label":
        return None if value is None else str(value)
    if known.kind == "label_list":
        return [str(label) for label in _labels(value)]
    if known.kind in ("label_keyed_string_dict", "string_dict", "string_list_dict"):
        assert isinstance(value, tuple)
        return {str(key): _plain(entry) for key, entry in value}
    if known.kind in OUTPUTS:
        texts = [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]
        labels = [
            parts_of(ctx, Label(ctx.label.cell, ctx.label.package, text.removeprefix(":")))
            for text in texts
            if text
        ]
        return labels if known.kind == "output_list" else (labels[0] if labels else None)
    return _plain(value)


def _plain(value: object) -> Any:
    return [_plain(element) for element in value] if isinstance(value, tuple) else value


def _labels(value: object) -> list[Label]:
    if isinstance(value, Label):
        return [value]
    elements: Iterable[object] = value if isinstance(value, tuple) else ()
    found = [element[0] if isinstance(element, tuple) else element for element in elements]
    return [label for label in found if isinstance(label, Label)]


def _setting(rule: UserRule, ctx: Context) -> Any:
    return _plain(setting_of(ctx.target, ctx.configuration)) if rule.setting else None


def _check(ctx: Context, name: str, known: Field, value: object) -> None:
    if not known.allow_empty and not value:
        raise RuleFault(f"`{name}` may not be empty", attribute=name)
    if known.values and value not in known.values and (known.mandatory or ctx.given(name)):
        shown = ", ".join(f"`{choice}`" for choice in known.values)
        raise RuleFault(f"`{name}` is one of {shown}, not `{value}`", attribute=name)
    if known.kind not in LABELS:
        return
    for label in _labels(value):
        _check_files(ctx, name, known, label)


def _check_files(ctx: Context, name: str, known: Field, label: Label) -> None:
    target, files = ctx.dep(label), ctx.files(label)
    if known.single and len(files) != 1:
        raise RuleFault(f"`{label}` in `{name}` is {len(files)} files, not one", mention=label)
    if target is None and not known.files:
        raise RuleFault(
            f"`{label}` in `{name}` is a file, and it takes targets",
            hint="`attr.label` and `attr.label_list` take files with `allow_files = True`",
            mention=label,
        )
    endings = known.files if isinstance(known.files, tuple) else ()
    if not endings or any(file.full.endswith(endings) for file in files):
        return
    shown = ", ".join(f"`{ending}`" for ending in endings)
    raise RuleFault(f"`{label}` in `{name}` is no file that ends in {shown}", mention=label)
