"""What a genrule's command may refer to: `$(location x)`, `$@`, `$(SRCS)` and their like.

Both dialects are understood. With Bazel's `outs`, `$$` is the shell's `$` and an unknown `$(name)`
is an error; with Buck's `out`, only the known macros are replaced and the shell gets the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from lamina.core.classes import dataclass
from lamina.core.errors import UserError

_MACRO = re.compile(
    r"\$\$|\$\((?P<words>[^()]*)\)|\$(?P<sign>[@<])|\$\{?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}?"
)
LOCATIONS = frozenset(
    {
        "location", "locations", "execpath", "execpaths", "rootpath", "rootpaths", "exe",
        "rlocationpath", "rlocationpaths",
    }
)  # fmt: skip
_MENTION = re.compile(rf"\$\((?:{'|'.join(sorted(LOCATIONS))}) +([^()]+?) *\)")


RUNFILES = "_main"  # what the workspace is called where files of several are told apart


@dataclass(frozen=True, slots=True)
class Scope:
    """What the macros of one command stand for."""

    sources: tuple[str, ...]
    outputs: tuple[str, ...]  # from the action's folder: `out/x.h`
    locations: Callable[[str], tuple[str, ...]]  # text of a label -> paths; raises UserError
    output_folder: str = "out"
    variable: Callable[[str], str | None] = lambda _name: None  # those of toolchains and defines
    attribute: str = "cmd"  # for messages

    def variables(self) -> Mapping[str, str]:
        """The macros that take no argument, by name."""
        folder = self.output_folder
        return {
            "SRCS": " ".join(self.sources),
            "OUTS": " ".join(self.outputs),
            "@D": self.outputs[0].rpartition("/")[0] if len(self.outputs) == 1 else folder,
            "RULEDIR": folder,
            "GENDIR": "out",
            "BINDIR": "out",
        }


def mentions(command: str) -> list[str]:
    """The labels that the macros of a command name, as written."""
    return _MENTION.findall(command)


def expand(command: str, scope: Scope, *, strict: bool) -> str:
    """Replace the macros of a command; raises UserError for what is unknown or ambiguous."""

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$" if strict else "$$"
        if match["sign"]:
            return _only(match[0], scope, scope.outputs if match["sign"] == "@" else scope.sources)
        if match["name"]:
            return match[0]
        return _call(match, scope, strict=strict)

    return _MACRO.sub(replace, command)


def _call(match: re.Match[str], scope: Scope, *, strict: bool) -> str:
    name, _, argument = match["words"].strip().partition(" ")
    if name in LOCATIONS and argument.strip():
        return _locate(name, argument.strip(), scope)
    variables = scope.variables()
    if match["words"] in variables:
        return variables[match["words"]]
    if match["words"] in ("@", "<"):
        paths = scope.outputs if name == "@" else scope.sources
        return _only(f"$({match['words']})", scope, paths)
    if (value := scope.variable(match["words"])) is not None:
        return value
    if strict:
        raise UserError(
            f"unknown variable `{match[0]}` in `{scope.attribute}`",
            hint="write `$$` for a `$` of the shell",
        )
    return match[0]


def _locate(name: str, label: str, scope: Scope) -> str:
    paths = scope.locations(label)
    if name.startswith("rlocation"):
        # A path may have a mark of the package root in front, as of `launcher.ROOT`.
        inner = (path.rpartition("\0/")[2].removeprefix("./") for path in paths)
        paths = tuple(f"{RUNFILES}/{path}" for path in inner)
    if name.endswith("s") or len(paths) == 1:
        return " ".join(paths)
    raise UserError(
        f"`$({name} {label})` stands for {len(paths)} files", hint=f"use `$({name}s {label})`"
    )


def _only(macro: str, scope: Scope, paths: tuple[str, ...]) -> str:
    if len(paths) != 1:
        what = "output" if "@" in macro else "source"
        instead = "`$(OUTS)`" if "@" in macro else "`$(SRCS)`"
        raise UserError(
            f"`{macro}` in `{scope.attribute}` needs exactly one {what}, there are {len(paths)}",
            hint=f"use {instead} for all, or `$(location name)` for one",
        )
    return paths[0]
