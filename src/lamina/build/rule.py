"""What a rule is, and which rules there are: the built-in ones and those of plugins."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from lamina.build.attributes import Attribute
from lamina.core.classes import dataclass, field
from lamina.core.errors import UserError
from lamina.core.label import Home

_GROUP = "lamina.rules"
_BUILT_IN = (
    "lamina.build.rules.python",
    "lamina.build.rules.python_wheel",
    "lamina.build.rules.cxx",
    "lamina.build.rules.generic",
    "lamina.build.rules.config",
    "lamina.build.rules.files",
    "lamina.build.rules.downloads",
    "lamina.build.rules.archives",
    "lamina.build.rules.projects",
    "lamina.build.rules.images",
    "lamina.build.rules.shell",
    "lamina.build.rules.testing",
    "lamina.build.rules.jobs",
    "lamina.build.rules.missing",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of target: its name in BUILD files, its attributes, and who analyses it."""

    name: str  # `python_library`
    attributes: Mapping[str, Attribute]  # its own; the loader adds attributes.COMMON
    implementation: Callable[..., object]  # called by analysis with a context
    aliases: Mapping[str, str] = field(default_factory=dict)  # {"hdrs": "exported_headers"}
    names: tuple[str, ...] = ()  # other names of the rule: ("py_library",)
    doc: str = ""
    # The files that a target of it says it makes; None: those in its attributes `out` and `outs`.
    outputs: Callable[..., list[str]] | None = None
    # Of a rule in a .bzl file, its build package: what attributes with a `_` in front name is
    # needed by the rule itself, and has to be visible from there.
    home: Home | None = None
    # For the want of what no target of it can be built: `rules for Java`, or a cell, `@rules_go`.
    missing: str = ""


@cache
def registry() -> Mapping[str, Rule]:
    """Every rule under each of its names.

    The built-in modules come first, so a source tree works without being installed; then the
    modules that installed distributions name in the entry point group `lamina.rules`.
    """
    modules = dict.fromkeys((*_BUILT_IN, *_plugins()))
    return index(rule for module in modules for rule in _rules_of(module))


def index(rules: Iterable[Rule]) -> Mapping[str, Rule]:
    """The rules by name and by other name; raises UserError where two claim one name."""
    found: dict[str, Rule] = {}
    for rule in rules:
        for name in (rule.name, *rule.names):
            if name in found:
                raise UserError(
                    f"two rules are called `{name}`: `{found[name].name}` and `{rule.name}`",
                    hint=f"uninstall one of the plugins in the entry point group `{_GROUP}`",
                )
            found[name] = rule
    return MappingProxyType(found)


def _plugins() -> list[str]:
    """The modules in the group, read from `*.dist-info`: importlib.metadata takes 20 ms longer."""
    texts = [path.read_text(encoding="utf-8") for path in _entry_point_files()]
    lines = [line for text in texts for line in _group(text)]
    return sorted(line.partition("=")[2].strip() for line in lines)


def _entry_point_files() -> list[Path]:
    folders = [Path(folder or ".") for folder in dict.fromkeys(sys.path)]
    return [path for folder in folders for path in folder.glob("*.dist-info/entry_points.txt")]


def _group(text: str) -> list[str]:
    """The `name = module` lines of the section of our group."""
    section = text.partition(f"[{_GROUP}]")[2].partition("\n[")[0]
    return [line for line in section.splitlines() if "=" in line]


def _rules_of(module: str) -> tuple[Rule, ...]:
    try:
        rules: tuple[Rule, ...] = importlib.import_module(module).RULES
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"the rules in the Python module `{module}` cannot be loaded: {error}",
            hint=f"a module in the entry point group `{_GROUP}` has `RULES: tuple[Rule, ...]`",
        ) from error
    return rules
