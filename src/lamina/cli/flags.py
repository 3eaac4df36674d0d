"""The flags that say what is built for, and the configuration they make together.

They come from `[build] flags` of `lamina.toml`, from the command line, and from `[config.NAME]`
where `--config NAME` stands; of two that say different things, the later wins.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NoReturn

from lamina.build.configuration import Configuration
from lamina.build.workspace import Workspace
from lamina.cli import arguments, foreign
from lamina.core.errors import UserError
from lamina.core.label import Home

_MODES = ("opt", "dbg", "fastbuild")
_FILE = "lamina.toml"


def configuration(words: Sequence[str], workspace: Workspace) -> Configuration:
    """What the flags of a command line, as `arguments.normal` spells them, and those of the
    workspace ask for; raises UserError for what is none."""
    settings = _Settings(workspace.cells.home("", ""))
    for word in _expanded(words, workspace):
        name, _, value = word.partition("=")
        settings.take(name, value)
    return Configuration(
        compilation_mode=settings.one.get("--compilation-mode", "fastbuild"),
        platform=settings.one.get("--platforms", ""),
        cpu=settings.one.get("--cpu", ""),
        compiler="clang" if "clang" in workspace.cxx_compiler else "gcc",
        defines=tuple(settings.defines.items()),
        flags=tuple(settings.flags),
        copts=tuple(settings.many("--copt")),
        conlyopts=tuple(settings.many("--conlyopt")),
        cxxopts=tuple(settings.many("--cxxopt")),
        linkopts=tuple(settings.many("--linkopt")),
        constraints=tuple(settings.many("--modifier")),
    )


def _expanded(words: Sequence[str], workspace: Workspace) -> Iterator[str]:
    """All flags in order: those of configs stand where the config is named."""
    yield from _with_configs(_parsed(workspace.build_flags, "[build]"), workspace, ())
    yield from _with_configs(words, workspace, ())


def _with_configs(
    words: Sequence[str], workspace: Workspace, inside: tuple[str, ...]
) -> Iterator[str]:
    for word in words:
        name, _, value = word.partition("=")
        if name != "--config":
            yield word
            continue
        if value in inside:
            cycle = " -> ".join((*inside[inside.index(value) :], value))
            raise UserError(f"a config of `{_FILE}` names itself: `{cycle}`")
        flags = _parsed(_config(value, workspace), f"[config.{value}]")
        yield from _with_configs(flags, workspace, (*inside, value))


def _config(name: str, workspace: Workspace) -> tuple[str, ...]:
    if name in workspace.configs:
        return workspace.configs[name]
    section, dot, setting = name.partition(".")
    if dot and "=" in setting:
        key, _, value = setting.partition("=")
        hint = f'write `{key} = "{value}"` below `[buckconfig.{section}]` in `{_FILE}`'
        raise UserError(f"`--config {name}`: what `read_config` gives is not set here", hint=hint)
    known = ", ".join(f"`{each}`" for each in sorted(workspace.configs))
    hint = f"there are {known}" if known else f"write `[config.{name}]` with `flags = […]`"
    raise UserError(f"no config `{name}` in `{_FILE}`", hint=hint)


class _Parser(argparse.ArgumentParser):
    """Reads the flags of one section of `lamina.toml`."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"`flags` in `{self.prog}` of `{_FILE}`: {message}")


def _parsed(words: Sequence[str], section: str) -> list[str]:
    if not words:
        return []
    parser = _Parser(prog=section, add_help=False)
    arguments.add_flags(parser)
    known = parser._option_string_actions
    found, unknown = parser.parse_known_args(arguments.normal(words, known))
    if unknown:
        names = ", ".join(f"`{name}`" for name in known if name.startswith("--"))
        hint = foreign.advice(unknown[0]) or f"known: {names}"
        raise UserError(f"`flags` in `{section}` of `{_FILE}` has no `{unknown[0]}`", hint=hint)
    return list(found.flags)


class _Settings:
    """What flags have said so far."""

    def __init__(self, home: Home) -> None:
        self.one: dict[str, str] = {}
        self.defines: dict[str, str] = {}
        self.flags: list[tuple[str, str]] = []
        self._lists: dict[str, list[str]] = {}
        self._home = home

    def many(self, name: str) -> list[str]:
        """All values of a flag that may come several times."""
        return self._lists.get(name, [])

    def take(self, name: str, value: str) -> None:
        """Note one flag."""
        _TAKERS.get(name, _Settings._add)(self, name, value)

    def _add(self, name: str, value: str) -> None:
        self._lists.setdefault(name, []).append(value)

    def _mode(self, name: str, value: str) -> None:
        if value not in _MODES:
            modes = ", ".join(f"`{mode}`" for mode in _MODES)
            raise UserError(f"`{name}` takes {modes}, not `{value}`")
        self.one[name] = value

    def _text(self, name: str, value: str) -> None:
        self.one[name] = value

    def _label(self, name: str, value: str) -> None:
        self.one[name] = str(self._home.label(value))

    def _modifier(self, name: str, value: str) -> None:
        self._add(name, str(self._home.label(value)))

    def _define(self, name: str, value: str) -> None:
        key, equals, text = value.partition("=")
        if not key or not equals:
            raise UserError(f"`{name}` takes `name=value`, not `{value}`")
        self.defines[key] = text

    def _flag(self, _name: str, value: str) -> None:
        label, equals, text = value.partition("=")
        negated = label.startswith("no")
        if negated and equals:
            raise UserError(f"`--{label}` takes no value")
        canonical = str(self._home.label(label.removeprefix("no")))
        self.flags.append((canonical, text if equals else str(not negated).lower()))


_TAKERS: Mapping[str, Callable[[_Settings, str, str], None]] = {
    "--compilation-mode": _Settings._mode,
    "--cpu": _Settings._text,
    "--platforms": _Settings._label,
    "--modifier": _Settings._modifier,
    "--define": _Settings._define,
    "--flag": _Settings._flag,
}
